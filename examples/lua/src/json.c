/* JSON, both ways, without a detour through Lua code: most of what a message costs in a Lua process is its JSON.
 *
 * Numbers: without a fraction and small enough they are Lua integers, exact in both directions; others are floats,
 * written with the digits that read back as the same number. `null` is nil. Members are written sorted by name, so that
 * the same value has the same text. */

#include <stdlib.h>
#include <string.h>
#include <stdio.h>

#include "lauxlib.h"
#include "weft.h"

/* Deepest nesting, both ways. */
#define DEPTH 100
/* Room that is kept from one text to the next. */
#define KEPT (1 << 20)

/* --- reading ---------------------------------------------------------------------------------------------------- */

typedef struct {
  lua_State *L;
  const char *start, *at, *end;
  int depth;
  /* Room for members that the outermost object begins with. */
  int room;
} reader;

static int wrong(reader *r, const char *what) {
  int line = 1, column = 1;
  for (const char *c = r->start; c < r->at && c < r->end; c++) {
    column++;
    if (*c == '\n') line++, column = 1;
  }
  return luaL_error(r->L, "JSON: %s at line %d column %d", what, line, column);
}

static void space(reader *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t')) r->at++;
}

static int hex4(reader *r, const char *at) {
  int value = 0;
  if (r->end - at < 4) return wrong(r, "a unicode escape ends early");
  for (int i = 0; i < 4; i++) {
    char c = at[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return wrong(r, "a unicode escape needs four hexadecimal digits");
    value = value << 4 | digit;
  }
  return value;
}

static size_t utf8(char *to, unsigned code) {
  if (code < 0x80) {
    to[0] = (char)code;
    return 1;
  }
  if (code < 0x800) {
    to[0] = (char)(0xc0 | code >> 6);
    to[1] = (char)(0x80 | (code & 0x3f));
    return 2;
  }
  if (code < 0x10000) {
    to[0] = (char)(0xe0 | code >> 12);
    to[1] = (char)(0x80 | (code >> 6 & 0x3f));
    to[2] = (char)(0x80 | (code & 0x3f));
    return 3;
  }
  to[0] = (char)(0xf0 | code >> 18);
  to[1] = (char)(0x80 | (code >> 12 & 0x3f));
  to[2] = (char)(0x80 | (code >> 6 & 0x3f));
  to[3] = (char)(0x80 | (code & 0x3f));
  return 4;
}

/* The code point after `\u`; a half of a surrogate pair alone becomes U+FFFD. */
static unsigned escape_u(reader *r) {
  unsigned code = (unsigned)hex4(r, r->at);
  r->at += 4;
  if (code >= 0xd800 && code < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
    unsigned low = (unsigned)hex4(r, r->at + 2);
    if (low >= 0xdc00 && low < 0xe000) {
      r->at += 6;
      return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
  }
  return code >= 0xd800 && code < 0xe000 ? 0xfffd : code;
}

static char escape(reader *r, char c) {
  switch (c) {
    case '"': case '\\': case '/': return c;
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: wrong(r, "an escape that JSON does not have"); return 0;
  }
}

/* Past the opening quote. */
static void string(reader *r) {
  const char *from = r->at, *scan = from;
  int plain = 1;
  while (scan < r->end && *scan != '"') {
    if (*scan == '\\') {
      plain = 0;
      scan++;
    } else if ((unsigned char)*scan < 0x20) {
      r->at = scan;
      wrong(r, "a control character in a string");
    }
    scan++;
  }
  if (scan >= r->end) wrong(r, "a string without its closing quote");
  if (plain) {
    lua_pushlstring(r->L, from, (size_t)(scan - from));
    r->at = scan + 1;
    return;
  }
  luaL_Buffer b;
  /* What escapes stand for is never longer than they are. */
  char *to = luaL_buffinitsize(r->L, &b, (size_t)(scan - from));
  size_t used = 0;
  while (r->at < scan) {
    char c = *r->at++;
    if (c != '\\') {
      to[used++] = c;
    } else if (*r->at == 'u') {
      r->at++;
      used += utf8(to + used, escape_u(r));
    } else {
      to[used++] = escape(r, *r->at);
      r->at++;
    }
  }
  r->at = scan + 1;
  luaL_pushresultsize(&b, used);
}

static void number(reader *r) {
  const char *from = r->at;
  char digits[64];
  while (r->at < r->end && strchr("+-.eE0123456789", *r->at) && *r->at) r->at++;
  size_t length = (size_t)(r->at - from);
  if (length >= sizeof digits) {
    r->at = from;
    wrong(r, "a number with too many digits");
  }
  memcpy(digits, from, length);
  digits[length] = 0;
  if (lua_stringtonumber(r->L, digits) != length + 1) {
    r->at = from;
    wrong(r, "not a number");
  }
}

static void value(reader *r);

static void array(reader *r) {
  lua_State *L = r->L;
  lua_Integer n = 0;
  lua_newtable(L);
  space(r);
  if (r->at < r->end && *r->at == ']') {
    r->at++;
    return;
  }
  for (;;) {
    value(r);
    lua_rawseti(L, -2, ++n);
    space(r);
    if (r->at >= r->end) wrong(r, "a list without its closing bracket");
    char c = *r->at++;
    if (c == ']') return;
    if (c != ',') {
      r->at--;
      wrong(r, "a comma or a closing bracket is missing");
    }
  }
}

static void object(reader *r) {
  lua_State *L = r->L;
  lua_createtable(L, 0, r->depth == 1 ? r->room : 2);
  space(r);
  if (r->at < r->end && *r->at == '}') {
    r->at++;
    return;
  }
  for (;;) {
    space(r);
    if (r->at >= r->end || *r->at != '"') wrong(r, "a member's name is missing");
    r->at++;
    string(r);
    space(r);
    if (r->at >= r->end || *r->at != ':') wrong(r, "a colon is missing");
    r->at++;
    value(r);
    lua_rawset(L, -3);
    space(r);
    if (r->at >= r->end) wrong(r, "an object without its closing brace");
    char c = *r->at++;
    if (c == '}') return;
    if (c != ',') {
      r->at--;
      wrong(r, "a comma or a closing brace is missing");
    }
  }
}

static int literal(reader *r, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0) return 0;
  r->at += length;
  return 1;
}

static void value(reader *r) {
  space(r);
  if (r->at >= r->end) wrong(r, "the text ends early");
  char c = *r->at;
  if (c == '"') {
    r->at++;
    string(r);
  } else if (c == '{' || c == '[') {
    if (++r->depth > DEPTH) wrong(r, "nested too deeply");
    luaL_checkstack(r->L, 4, "JSON");
    r->at++;
    if (c == '{') object(r);
    else array(r);
    r->depth--;
  } else if (c == '-' || (c >= '0' && c <= '9')) {
    number(r);
  } else if (literal(r, "true")) {
    lua_pushboolean(r->L, 1);
  } else if (literal(r, "false")) {
    lua_pushboolean(r->L, 0);
  } else if (literal(r, "null")) {
    lua_pushnil(r->L);
  } else {
    wrong(r, "a character that begins no value");
  }
}

void json_decode(lua_State *L, const char *text, size_t length, int room) {
  reader r = {L, text, text, text + length, 0, room};
  luaL_checkstack(L, 4, "JSON");
  value(&r);
  space(&r);
  if (r.at < r.end) wrong(&r, "more text after the value");
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

/* One buffer outside of Lua's heap: an error in the middle leaves nothing to free. */
static struct {
  char *text;
  size_t length, room;
} out;

void json_start(lua_State *L) {
  (void)L;
  if (out.room > KEPT) {
    free(out.text);
    out.text = NULL;
    out.room = 0;
  }
  out.length = 0;
}

const char *json_text(size_t *length) {
  *length = out.length;
  return out.text;
}

static char *reserve(lua_State *L, size_t more) {
  if (more > out.room - out.length) {
    size_t room = out.room ? out.room : 4096;
    while (room - out.length < more) {
      if (room > (size_t)1 << 30) luaL_error(L, "JSON: the text becomes too large");
      room *= 2;
    }
    char *text = realloc(out.text, room);
    if (!text) luaL_error(L, "not enough memory");
    out.text = text;
    out.room = room;
  }
  return out.text + out.length;
}

void json_raw(lua_State *L, const char *text, size_t length) {
  memcpy(reserve(L, length), text, length);
  out.length += length;
}

static void write_string(lua_State *L, const char *s, size_t length) {
  static const char hex[] = "0123456789abcdef";
  /* At most six characters for one. */
  if (length > (size_t)1 << 28) luaL_error(L, "JSON: a string is too long");
  char *to = reserve(L, 2 + 6 * length), *at = to;
  *at++ = '"';
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)s[i];
    if (c >= 0x20 && c != '"' && c != '\\') {
      *at++ = (char)c;
      continue;
    }
    *at++ = '\\';
    switch (c) {
      case '"': case '\\': *at++ = (char)c; break;
      case '\b': *at++ = 'b'; break;
      case '\f': *at++ = 'f'; break;
      case '\n': *at++ = 'n'; break;
      case '\r': *at++ = 'r'; break;
      case '\t': *at++ = 't'; break;
      default:
        *at++ = 'u', *at++ = '0', *at++ = '0';
        *at++ = hex[c >> 4], *at++ = hex[c & 15];
    }
  }
  *at++ = '"';
  out.length += (size_t)(at - to);
}

static void write_number(lua_State *L, int index) {
  char digits[40];
  int length;
  if (lua_isinteger(L, index)) {
    length = weft_integer_text(digits, (long long)lua_tointeger(L, index));
  } else {
    double x = lua_tonumber(L, index);
    if (x != x || x - x != 0) luaL_error(L, "JSON: unexpected number value '%s'", x != x ? "nan" : x > 0 ? "inf" : "-inf");
    if (x >= -1e15 && x <= 1e15 && x == (double)(long long)x) {
      length = weft_integer_text(digits, (long long)x);
    } else {
      length = snprintf(digits, sizeof digits, "%.14g", x);
      if (strtod(digits, NULL) != x) length = snprintf(digits, sizeof digits, "%.17g", x);
    }
  }
  json_raw(L, digits, (size_t)length);
}

static void write_value(lua_State *L, int index, int depth);

/* Keys have to be 1 … n. */
static void write_list(lua_State *L, int index, int depth) {
  lua_Integer n = 0, longest = 0;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (!lua_isinteger(L, -2)) luaL_error(L, "JSON: invalid table: mixed or invalid key types");
    lua_Integer key = lua_tointeger(L, -2);
    n++;
    if (key < 1 || key > longest) longest = key < 1 ? LUA_MAXINTEGER : key;
  }
  if (longest != n) luaL_error(L, "JSON: invalid table: sparse array");
  json_raw(L, "[", 1);
  for (lua_Integer i = 1; i <= n; i++) {
    if (i > 1) json_raw(L, ",", 1);
    lua_rawgeti(L, index, i);
    write_value(L, lua_gettop(L), depth);
    lua_pop(L, 1);
  }
  json_raw(L, "]", 1);
}

typedef struct {
  const char *text;
  size_t length;
} name;

static int by_name(const void *left, const void *right) {
  const name *a = left, *b = right;
  size_t common = a->length < b->length ? a->length : b->length;
  int order = memcmp(a->text, b->text, common);
  return order ? order : a->length < b->length ? -1 : a->length > b->length;
}

/* Members of an object that are sorted without taking memory for it. */
#define FEW 32

static void write_object(lua_State *L, int index, int depth) {
  name few[FEW], *names = few;
  int n = 0, top = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "JSON: invalid table: mixed or invalid key types");
    n++;
  }
  /* The table keeps the names alive while they are sorted. */
  if (n > FEW) names = lua_newuserdata(L, (size_t)n * sizeof *names);
  int i = 0;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    names[i].text = lua_tolstring(L, -2, &names[i].length);
    i++;
  }
  if (n > FEW) qsort(names, (size_t)n, sizeof *names, by_name);
  else {
    for (i = 1; i < n; i++) {
      name moving = names[i];
      int at = i;
      for (; at > 0 && by_name(&names[at - 1], &moving) > 0; at--) names[at] = names[at - 1];
      names[at] = moving;
    }
  }
  json_raw(L, "{", 1);
  for (i = 0; i < n; i++) {
    if (i > 0) json_raw(L, ",", 1);
    write_string(L, names[i].text, names[i].length);
    json_raw(L, ":", 1);
    lua_pushlstring(L, names[i].text, names[i].length);
    lua_rawget(L, index);
    write_value(L, lua_gettop(L), depth);
    lua_pop(L, 1);
  }
  json_raw(L, "}", 1);
  lua_settop(L, top);
}

static void write_table(lua_State *L, int index, int depth) {
  if (depth > DEPTH) luaL_error(L, "JSON: circular reference, or nested deeper than %d", DEPTH);
  luaL_checkstack(L, 8, "JSON");
  lua_pushnil(L);
  if (!lua_next(L, index)) {
    json_raw(L, "[]", 2);
    return;
  }
  lua_pop(L, 2);
  int list = lua_rawgeti(L, index, 1) != LUA_TNIL;
  lua_pop(L, 1);
  if (list) write_list(L, index, depth);
  else write_object(L, index, depth);
}

static void write_value(lua_State *L, int index, int depth) {
  size_t length;
  const char *text;
  switch (lua_type(L, index)) {
    case LUA_TNIL: json_raw(L, "null", 4); break;
    case LUA_TBOOLEAN: json_raw(L, lua_toboolean(L, index) ? "true" : "false", lua_toboolean(L, index) ? 4 : 5); break;
    case LUA_TNUMBER: write_number(L, index); break;
    case LUA_TSTRING:
      text = lua_tolstring(L, index, &length);
      write_string(L, text, length);
      break;
    case LUA_TTABLE: write_table(L, index, depth + 1); break;
    default: luaL_error(L, "JSON: unexpected type '%s'", luaL_typename(L, index));
  }
}

void json_value(lua_State *L, int index) { write_value(L, lua_absindex(L, index), 0); }
