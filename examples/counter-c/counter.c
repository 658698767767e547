/* A whole AO process in C, without any library: it counts.
 *
 * Weft's plain convention (Module-Format wasm32-unknown-unknown). The node
 *   1. asks alloc(length) for room for the message and for the environment and copies both (UTF-8 JSON) there,
 *   2. calls handle(message, message length, environment, environment length),
 *   3. reads the result: UTF-8 JSON at the address in the upper half of the 64 bits, its length in the lower half.
 * The process's memory is its state: what a static variable holds is there again when the next message comes, unless
 * the result has an `Error`; then the node undoes everything that this message changed.
 *
 * Messages (tag Action): Ping, Increment, Forward (tag To, optional tag Forward-Action), see README.md.
 */

typedef unsigned int u32;
typedef unsigned long long u64;

#define EXPORT(name) __attribute__((export_name(name)))

/* --- the state ------------------------------------------------------------------------------------------------- */

static u64 count;     /* Increments so far. */
static u64 reference; /* Messages sent so far: gives each outgoing message its own number. */

/* --- memory: room that is used for one message and then again for the next -------------------------------------- */

extern unsigned char __heap_base;
static u32 top;      /* First free address; 0 before the first message. */
static int answered; /* The room belongs to a message that has its answer. */

EXPORT("alloc") u32 alloc(u32 length) {
  if (top == 0 || answered) {
    top = (u32)(unsigned long)&__heap_base;
    answered = 0;
  }
  u32 at = (top + 15) & ~15u;
  if (length > 0x7fffffffu - at) return 0;
  u32 end = at + length;
  u32 have = __builtin_wasm_memory_size(0);
  u32 need = (end + 65535) >> 16;
  if (need > have && __builtin_wasm_memory_grow(0, need - have) == (unsigned long)-1) return 0;
  top = end;
  return at;
}

/* --- text: pieces of JSON, still escaped, so that they can be copied into other JSON as they are ----------------- */

typedef struct {
  const char *at;
  u32 length;
} text;

static int same(text a, const char *b) {
  u32 i = 0;
  for (; i < a.length && b[i]; i++)
    if (a.at[i] != b[i]) return 0;
  return i == a.length && !b[i];
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

typedef struct {
  const char *at, *end;
} reader;

static char peek(reader *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t')) r->at++;
  return r->at < r->end ? *r->at : 0;
}

static int accept(reader *r, char c) {
  if (peek(r) != c) return 0;
  r->at++;
  return 1;
}

static text string(reader *r) {
  text none = {0, 0};
  if (!accept(r, '"')) return none;
  const char *from = r->at;
  while (r->at < r->end && *r->at != '"') r->at += *r->at == '\\' ? 2 : 1;
  if (r->at >= r->end) {
    r->at = r->end;
    return none;
  }
  text s = {from, (u32)(r->at - from)};
  r->at++;
  return s;
}

/* Past one value of any kind. Brackets are counted, strings are stepped over. */
static void skip(reader *r) {
  u32 depth = 0;
  do {
    char c = peek(r);
    if (c == '"') {
      string(r);
    } else if (c == '{' || c == '[') {
      depth++;
      r->at++;
    } else if (c == '}' || c == ']') {
      depth--;
      r->at++;
    } else if (c == ',' || c == ':') {
      r->at++;
    } else {
      while (r->at < r->end && *r->at != ',' && *r->at != '}' && *r->at != ']' && *r->at != ' ' && *r->at != '\n')
        r->at++;
    }
  } while (depth > 0 && r->at < r->end);
}

typedef struct {
  text from, data, action, to, forward_action, type;
} message;

static void read_tag(reader *r, message *m) {
  text name = {0, 0}, value = {0, 0};
  if (!accept(r, '{')) {
    skip(r);
    return;
  }
  while (r->at < r->end && !accept(r, '}')) {
    text key = string(r);
    accept(r, ':');
    if (same(key, "name") && peek(r) == '"') name = string(r);
    else if (same(key, "value") && peek(r) == '"') value = string(r);
    else skip(r);
    accept(r, ',');
  }
  /* The first tag of a name counts. */
  if (same(name, "Action") && !m->action.at) m->action = value;
  if (same(name, "To") && !m->to.at) m->to = value;
  if (same(name, "Forward-Action") && !m->forward_action.at) m->forward_action = value;
  if (same(name, "Type") && !m->type.at) m->type = value;
}

static message read_message(const char *at, u32 length) {
  message m = {{0, 0}, {0, 0}, {0, 0}, {0, 0}, {0, 0}, {0, 0}};
  reader r = {at, at + length};
  accept(&r, '{');
  while (r.at < r.end && peek(&r) != '}') {
    text key = string(&r);
    accept(&r, ':');
    if (same(key, "From") && peek(&r) == '"') {
      m.from = string(&r);
    } else if (same(key, "Data") && peek(&r) == '"') {
      m.data = string(&r);
    } else if (same(key, "Tags") && accept(&r, '[')) {
      while (r.at < r.end && !accept(&r, ']')) {
        read_tag(&r, &m);
        accept(&r, ',');
      }
    } else {
      skip(&r);
    }
    accept(&r, ',');
  }
  return m;
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

static char *out, *out_end;

static void put(const char *s) {
  while (*s && out < out_end) *out++ = *s++;
}

static void put_text(text s) {
  for (u32 i = 0; i < s.length && out < out_end; i++) *out++ = s.at[i];
}

/* A number with at least `width` digits. */
static void put_number(u64 n, u32 width) {
  char digits[32];
  u32 used = 0;
  do {
    digits[used++] = (char)('0' + n % 10);
    n /= 10;
  } while (n || used < width);
  while (used && out < out_end) *out++ = digits[--used];
}

static void tag(const char *name, text value) {
  put("{\"name\":\"");
  put(name);
  put("\",\"value\":\"");
  put_text(value);
  put("\"}");
}

static text literal(const char *s) {
  text t = {s, 0};
  while (s[t.length]) t.length++;
  return t;
}

/* A message to `target`; `data` is text, or the count when it is empty. */
static void send(text target, text action, text data) {
  reference++;
  put("{\"Target\":\"");
  put_text(target);
  put("\",\"Data\":\"");
  if (data.at) put_text(data);
  else put_number(count, 1);
  put("\",\"Anchor\":\""); /* 32 characters, as the wire wants them. */
  put_number(reference, 32);
  put("\",\"Tags\":[");
  tag("Data-Protocol", literal("ao"));
  put(",");
  tag("Variant", literal("ao.TN.1"));
  put(",");
  tag("Type", literal("Message"));
  put(",");
  tag("Action", action);
  put(",{\"name\":\"Reference\",\"value\":\"");
  put_number(reference, 1);
  put("\"}]}");
}

static void ok(text output) {
  put("{\"ok\":true,\"response\":{\"Output\":{\"data\":\"");
  if (output.at) put_text(output);
  else put_number(count, 1);
  put("\"},\"Spawns\":[],\"Assignments\":[],\"Messages\":[");
}

static void done(void) { put("]}}"); }

static void error(const char *what, text detail) {
  put("{\"ok\":true,\"response\":{\"Error\":\"");
  put(what);
  put_text(detail);
  put("\"}}");
}

/* --- what the process does -------------------------------------------------------------------------------------- */

static void answer(message *m) {
  text number = {0, 0};
  if (same(m->action, "Ping")) {
    ok(literal("pong"));
    send(m->from, literal("Pong"), literal("pong"));
    done();
  } else if (same(m->action, "Increment")) {
    count++;
    ok(number);
    send(m->from, literal("Count"), number);
    done();
  } else if (same(m->action, "Forward")) {
    if (m->to.length != 43) {
      error("Forward needs a tag To with the 43 characters of a process id", literal(""));
      return;
    }
    ok(literal("forwarded"));
    send(m->to, m->forward_action.at ? m->forward_action : literal("Increment"), m->data.at ? m->data : literal(""));
    done();
  } else if (same(m->action, "Pong") || same(m->action, "Count")) {
    /* Answers of other counters. Saying nothing keeps two counters from talking for ever. */
    ok(literal("noted"));
    done();
  } else if (!m->action.at && same(m->type, "Process")) {
    /* The first message of every process is the process item itself. */
    ok(literal("ready"));
    done();
  } else {
    error("unknown Action; use Ping, Increment or Forward, not: ", m->action);
  }
}

EXPORT("handle") u64 handle(u32 msg, u32 msg_length, u32 env, u32 env_length) {
  (void)env, (void)env_length;
  message m = read_message((const char *)(unsigned long)msg, msg_length);
  /* What comes out is the message's own texts, each at most once, and less than 1 KiB around them. */
  u32 room = msg_length + 1024;
  u32 at = alloc(room);
  if (!at) __builtin_trap();
  out = (char *)(unsigned long)at;
  out_end = out + room;
  answer(&m);
  answered = 1;
  u32 length = (u32)(out - (char *)(unsigned long)at);
  return (u64)at << 32 | length;
}
