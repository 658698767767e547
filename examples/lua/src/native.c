/* Functions for the Lua part of the module: what is too slow or not possible in Lua. */

#include <stdint.h>
#include <string.h>

#include "lauxlib.h"
#include "weft.h"

/* --- JSON ------------------------------------------------------------------------------------------------------- */

/* Keys that are sorted by inserting. */
#define FEW 32

static int decode(lua_State *L) {
  size_t length;
  if (lua_type(L, 1) != LUA_TSTRING) return luaL_error(L, "expected argument of type string, got %s", luaL_typename(L, 1));
  const char *text = lua_tolstring(L, 1, &length);
  json_decode(L, text, length, 4);
  return 1;
}

static int encode(lua_State *L) {
  size_t length;
  lua_settop(L, 1);
  json_start(L);
  json_value(L, 1);
  const char *text = json_text(&length);
  lua_pushlstring(L, text, length);
  return 1;
}

/* names(table): its keys as a list, sorted by their bytes; nothing if one of them is no text. */
static int names(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  int n = 0;
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) return 0;
    n++;
  }
  lua_createtable(L, n, 0);
  int i = 0;
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    lua_pushvalue(L, -2);
    lua_rawseti(L, 2, ++i);
  }
  for (int from = 2; n <= FEW && from <= n; from++) {
    size_t moving_length, length;
    lua_rawgeti(L, 2, from);
    const char *moving = lua_tolstring(L, -1, &moving_length);
    int at = from;
    for (; at > 1; at--) {
      lua_rawgeti(L, 2, at - 1);
      const char *before = lua_tolstring(L, -1, &length);
      int order = memcmp(before, moving, length < moving_length ? length : moving_length);
      if (order < 0 || (order == 0 && length <= moving_length)) {
        lua_pop(L, 1);
        break;
      }
      lua_rawseti(L, 2, at);
    }
    lua_rawseti(L, 2, at);
  }
  lua_pushboolean(L, n <= FEW);
  return 2;
}

/* --- base64 ----------------------------------------------------------------------------------------------------- */

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* base64_encode(bytes, url): with padding, or the URL alphabet without. */
static int base64_encode(lua_State *L) {
  size_t length, used = 0;
  const unsigned char *bytes = (const unsigned char *)luaL_checklstring(L, 1, &length);
  int for_url = lua_toboolean(L, 2);
  const char *alphabet = for_url ? url : standard;
  if (length > (size_t)1 << 30) return luaL_error(L, "base64: too long");
  luaL_Buffer b;
  char *to = luaL_buffinitsize(L, &b, (length + 2) / 3 * 4);
  for (size_t i = 0; i < length; i += 3) {
    size_t left = length - i;
    uint32_t three = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);
    to[used++] = alphabet[three >> 18];
    to[used++] = alphabet[three >> 12 & 63];
    if (left > 1) to[used++] = alphabet[three >> 6 & 63];
    else if (!for_url) to[used++] = '=';
    if (left > 2) to[used++] = alphabet[three & 63];
    else if (!for_url) to[used++] = '=';
  }
  luaL_pushresultsize(&b, used);
  return 1;
}

static int digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

/* base64_decode(text): either alphabet; characters of neither are skipped, as padding is. */
static int base64_decode(lua_State *L) {
  size_t length, used = 0;
  const char *text = luaL_checklstring(L, 1, &length);
  luaL_Buffer b;
  char *to = luaL_buffinitsize(L, &b, length / 4 * 3 + 3);
  uint32_t bits = 0;
  int have = 0;
  for (size_t i = 0; i < length; i++) {
    int six = digit(text[i]);
    if (six < 0) continue;
    bits = bits << 6 | (uint32_t)six;
    have += 6;
    if (have >= 8) {
      have -= 8;
      to[used++] = (char)(bits >> have & 255);
    }
  }
  luaL_pushresultsize(&b, used);
  return 1;
}

/* --- SHA-256 ---------------------------------------------------------------------------------------------------- */

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turn(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void block(uint32_t state[8], const unsigned char *bytes) {
  uint32_t w[64], s[8];
  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)bytes[4 * i] << 24 | (uint32_t)bytes[4 * i + 1] << 16 | (uint32_t)bytes[4 * i + 2] << 8 | bytes[4 * i + 3];
  for (int i = 16; i < 64; i++)
    w[i] = w[i - 16] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
           (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
  memcpy(s, state, sizeof s);
  for (int i = 0; i < 64; i++) {
    uint32_t one = s[7] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[i] + w[i];
    uint32_t two = (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
    memmove(s + 1, s, 7 * sizeof *s);
    s[4] += one;
    s[0] = one + two;
  }
  for (int i = 0; i < 8; i++) state[i] += s[i];
}

/* sha256(bytes): 32 bytes. */
static int sha256(lua_State *L) {
  size_t length;
  const unsigned char *bytes = (const unsigned char *)luaL_checklstring(L, 1, &length);
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  size_t whole = length / 64 * 64, left = length - whole;
  for (size_t i = 0; i < whole; i += 64) block(state, bytes + i);
  unsigned char last[128] = {0};
  memcpy(last, bytes + whole, left);
  last[left] = 0x80;
  size_t size = left < 56 ? 64 : 128;
  uint64_t bits = (uint64_t)length * 8;
  for (int i = 0; i < 8; i++) last[size - 1 - i] = (unsigned char)(bits >> (8 * i));
  for (size_t i = 0; i < size; i += 64) block(state, last + i);
  unsigned char digest[32];
  for (int i = 0; i < 32; i++) digest[i] = (unsigned char)(state[i / 4] >> (24 - i % 4 * 8));
  lua_pushlstring(L, (const char *)digest, sizeof digest);
  return 1;
}

/* --- text ------------------------------------------------------------------------------------------------------- */

/* is_utf8(bytes): whether they are text as Unicode defines it (no surrogates, no long forms). */
static int is_utf8(lua_State *L) {
  size_t length;
  const unsigned char *s = (const unsigned char *)luaL_checklstring(L, 1, &length);
  const unsigned char *end = s + length;
  int good = 1;
  while (good && s < end) {
    unsigned char c = *s++;
    if (c < 0x80) continue;
    int more = c >= 0xc2 && c <= 0xdf ? 1 : c >= 0xe0 && c <= 0xef ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : 0;
    good = more > 0 && end - s >= more;
    if (!good) break;
    unsigned char least = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80, most = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    good = s[0] >= least && s[0] <= most;
    for (int i = 1; i < more; i++) good = good && s[i] >= 0x80 && s[i] <= 0xbf;
    s += more;
  }
  lua_pushboolean(L, good);
  return 1;
}

static int set_time(lua_State *L) {
  weft_set_time(luaL_checknumber(L, 1));
  return 0;
}

/* --- what was fixed in the log for reading ------------------------------------------------------------------------ */

__attribute__((import_module("env"), import_name("__asyncjs__weavedrive_open"))) int host_open(const char *path, const char *mode);
__attribute__((import_module("env"), import_name("__asyncjs__weavedrive_read"))) int host_read(int file, void *to, int length);
__attribute__((import_module("env"), import_name("__asyncjs__weavedrive_close"))) int host_close(int file);

/* read_file(path): the whole content, or nil. Only /data/…, /tx/… and /block/… that the message's log entry carries exist. */
static int read_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  int file = host_open(path, "r");
  if (file <= 0) return 0;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (;;) {
    int got = host_read(file, luaL_prepbuffer(&b), LUAL_BUFFERSIZE);
    if (got <= 0 || got > (int)LUAL_BUFFERSIZE) break;
    luaL_addsize(&b, (size_t)got);
  }
  host_close(file);
  luaL_pushresult(&b);
  return 1;
}

static const luaL_Reg functions[] = {
    {"names", names},        {"json_decode", decode}, {"json_encode", encode}, {"base64_encode", base64_encode}, {"base64_decode", base64_decode},
    {"sha256", sha256},      {"is_utf8", is_utf8},    {"set_time", set_time},           {"read_file", read_file},
    {NULL, NULL},
};

void native_functions(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  bint_open(L);
  lua_setfield(L, -2, "bint");
}
