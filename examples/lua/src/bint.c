/* Integers of a fixed width in two's complement, for amounts that 64 bits do not hold: require(".bint")(256).
 *
 * A value is a userdata of `n` 32-bit limbs, least significant first; the table of functions of a width is also the
 * metatable of its values. Every function is a closure over (n, that table). What is not a bint but stands for an
 * integer (an integer, a float without fraction, a decimal, 0x or 0b string) is taken as one; other numbers make the
 * result an ordinary Lua number. Results wrap around, as Lua's own integers do. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lauxlib.h"
#include "weft.h"

typedef uint32_t limb;

/* Widest integer, in limbs. */
#define MOST 256

static int width(lua_State *L) { return (int)lua_tointeger(L, lua_upvalueindex(1)); }

/* --- arithmetic on limbs ------------------------------------------------------------------------------------------ */

static void clear(limb *x, int n) { memset(x, 0, (size_t)n * sizeof *x); }
static void copy(limb *to, const limb *from, int n) { memcpy(to, from, (size_t)n * sizeof *to); }
static int negative(const limb *x, int n) { return x[n - 1] >> 31; }

static int zero(const limb *x, int n) {
  for (int i = 0; i < n; i++)
    if (x[i]) return 0;
  return 1;
}

static void add(limb *to, const limb *x, const limb *y, int n) {
  uint64_t carry = 0;
  for (int i = 0; i < n; i++) {
    carry += (uint64_t)x[i] + y[i];
    to[i] = (limb)carry;
    carry >>= 32;
  }
}

static void negate(limb *to, const limb *x, int n) {
  uint64_t carry = 1;
  for (int i = 0; i < n; i++) {
    carry += (limb)~x[i];
    to[i] = (limb)carry;
    carry >>= 32;
  }
}

static void subtract(limb *to, const limb *x, const limb *y, int n) {
  uint64_t carry = 1;
  for (int i = 0; i < n; i++) {
    carry += (uint64_t)x[i] + (limb)~y[i];
    to[i] = (limb)carry;
    carry >>= 32;
  }
}

/* `to` is neither x nor y. */
static void multiply(limb *to, const limb *x, const limb *y, int n) {
  clear(to, n);
  for (int i = 0; i < n; i++) {
    uint64_t carry = 0;
    if (!x[i]) continue;
    for (int j = 0; i + j < n; j++) {
      carry += (uint64_t)x[i] * y[j] + to[i + j];
      to[i + j] = (limb)carry;
      carry >>= 32;
    }
  }
}

/* x = x * factor + more; true if it did not fit. */
static int shift_in(limb *x, limb factor, limb more, int n) {
  uint64_t carry = more;
  for (int i = 0; i < n; i++) {
    carry += (uint64_t)x[i] * factor;
    x[i] = (limb)carry;
    carry >>= 32;
  }
  return carry != 0;
}

/* x = x / by; the rest. */
static limb shift_out(limb *x, limb by, int n) {
  uint64_t rest = 0;
  for (int i = n - 1; i >= 0; i--) {
    rest = rest << 32 | x[i];
    x[i] = (limb)(rest / by);
    rest %= by;
  }
  return (limb)rest;
}

static int compare(const limb *x, const limb *y, int n) {
  for (int i = n - 1; i >= 0; i--)
    if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
  return 0;
}

static int compare_signed(const limb *x, const limb *y, int n) {
  int a = negative(x, n), b = negative(y, n);
  return a != b ? (a ? -1 : 1) : compare(x, y, n);
}

static void shift_left(limb *to, const limb *x, uint64_t by, int n) {
  int words = by / 32 >= (uint64_t)n ? n : (int)(by / 32), bits = (int)(by % 32);
  for (int i = n - 1; i >= 0; i--) {
    limb high = i >= words ? x[i - words] : 0, low = i > words ? x[i - words - 1] : 0;
    to[i] = bits ? high << bits | low >> (32 - bits) : high;
  }
}

static void shift_right(limb *to, const limb *x, uint64_t by, int n) {
  int words = by / 32 >= (uint64_t)n ? n : (int)(by / 32), bits = (int)(by % 32);
  for (int i = 0; i < n; i++) {
    limb low = i + words < n ? x[i + words] : 0, high = i + words + 1 < n ? x[i + words + 1] : 0;
    to[i] = bits ? low >> bits | high << (32 - bits) : low;
  }
}

/* Both as unsigned; `y` is not zero. Bit by bit above one limb: amounts are divided rarely. */
static void divide(limb *quotient, limb *rest, const limb *x, const limb *y, int n) {
  limb q[MOST], r[MOST];
  int top = n - 1;
  while (top > 0 && !y[top]) top--;
  if (top == 0) {
    copy(q, x, n);
    clear(r, n);
    r[0] = shift_out(q, y[0], n);
  } else {
    clear(q, n);
    clear(r, n);
    int bit = n * 32 - 1;
    while (bit > 0 && !(x[bit / 32] >> (bit % 32) & 1)) bit--;
    for (; bit >= 0; bit--) {
      limb carried = r[n - 1] >> 31;
      shift_left(r, r, 1, n);
      r[0] |= x[bit / 32] >> (bit % 32) & 1;
      if (carried || compare(r, y, n) >= 0) {
        subtract(r, r, y, n);
        q[bit / 32] |= (limb)1 << (bit % 32);
      }
    }
  }
  copy(quotient, q, n);
  copy(rest, r, n);
}

/* Signed; towards zero, or towards minus infinity if `down`. */
static void divide_signed(limb *quotient, limb *rest, const limb *x, const limb *y, int n, int down) {
  limb a[MOST], b[MOST];
  int sx = negative(x, n), sy = negative(y, n);
  if (sx) negate(a, x, n); else copy(a, x, n);
  if (sy) negate(b, y, n); else copy(b, y, n);
  divide(quotient, rest, a, b, n);
  if (sx != sy) negate(quotient, quotient, n);
  if (sx) negate(rest, rest, n);
  if (down && sx != sy && !zero(rest, n)) {
    limb one[MOST];
    clear(one, n);
    one[0] = 1;
    copy(b, y, n);
    subtract(quotient, quotient, one, n);
    add(rest, rest, b, n);
  }
}

/* --- Lua values ----------------------------------------------------------------------------------------------------- */

static limb *push(lua_State *L) {
  limb *x = lua_newuserdata(L, (size_t)width(L) * sizeof *x);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  return x;
}

static const limb *own(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return NULL;
  int same = lua_rawequal(L, -1, lua_upvalueindex(2));
  lua_pop(L, 1);
  return same ? lua_touserdata(L, index) : NULL;
}

static void from_integer(limb *to, lua_Integer value, int n) {
  uint64_t bits = (uint64_t)value;
  for (int i = 0; i < n; i++) to[i] = i == 0 ? (limb)bits : i == 1 ? (limb)(bits >> 32) : value < 0 ? ~(limb)0 : 0;
}

static int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 99;
}

static int from_digits(limb *to, const char *text, size_t length, int base, int n) {
  int minus = 0;
  if (length && (*text == '-' || *text == '+')) {
    minus = *text == '-';
    text++, length--;
  }
  if (base == 0) {
    base = 10;
    if (length > 2 && text[0] == '0' && (text[1] | 32) == 'x') base = 16;
    if (length > 2 && text[0] == '0' && (text[1] | 32) == 'b') base = 2;
    if (base != 10) text += 2, length -= 2;
  }
  if (!length) return 0;
  clear(to, n);
  for (size_t i = 0; i < length; i++) {
    int d = digit(text[i]);
    if (d >= base) return 0;
    shift_in(to, (limb)base, (limb)d, n);
  }
  if (minus) negate(to, to, n);
  return 1;
}

/* The value at `index` as limbs; false if it does not stand for an integer. */
static int take(lua_State *L, int index, limb *to) {
  int n = width(L);
  size_t length;
  const char *text;
  const limb *x;
  switch (lua_type(L, index)) {
    case LUA_TUSERDATA:
      x = own(L, index);
      if (x) copy(to, x, n);
      return x != NULL;
    case LUA_TNUMBER: {
      lua_Integer value;
      double number = lua_tonumber(L, index);
      if (lua_isinteger(L, index)) value = lua_tointeger(L, index);
      else if (!lua_numbertointeger(number, &value) || (double)value != number) return 0;
      from_integer(to, value, n);
      return 1;
    }
    case LUA_TSTRING:
      text = lua_tolstring(L, index, &length);
      return from_digits(to, text, length, 0, n);
    default: return 0;
  }
}

static void need(lua_State *L, int index, limb *to) {
  if (!take(L, index, to)) luaL_error(L, "value cannot be represented by a bint");
}

/* Digits of an unsigned value, written backwards from `end`; their beginning. */
static char *digits(limb *x, int base, char *end, int n) {
  do *--end = "0123456789abcdefghijklmnopqrstuvwxyz"[shift_out(x, (limb)base, n)];
  while (!zero(x, n));
  return end;
}

static int push_digits(lua_State *L, const limb *x, int base, int unsigned_) {
  int n = width(L), minus = !unsigned_ && negative(x, n);
  limb value[MOST];
  char text[MOST * 32 + 2], *end = text + sizeof text;
  if (minus) negate(value, x, n); else copy(value, x, n);
  char *at = digits(value, base, end, n);
  if (minus) *--at = '-';
  lua_pushlstring(L, at, (size_t)(end - at));
  return 1;
}

static int fits_integer(const limb *x, int n) {
  limb fill = n >= 2 && x[1] >> 31 ? ~(limb)0 : 0;
  for (int i = 2; i < n; i++)
    if (x[i] != fill) return 0;
  return 1;
}

static lua_Integer as_integer(const limb *x, int n) {
  if (n == 1) return (int32_t)x[0];
  return (lua_Integer)((uint64_t)x[1] << 32 | x[0]);
}

/* An ordinary number: an integer if it fits, else the nearest float. */
static int push_number(lua_State *L, const limb *x) {
  int n = width(L);
  if (fits_integer(x, n)) {
    lua_pushinteger(L, as_integer(x, n));
    return 1;
  }
  push_digits(L, x, 10, 0);
  double value = strtod(lua_tostring(L, -1), NULL);
  lua_pop(L, 1);
  lua_pushnumber(L, value);
  return 1;
}

/* The value at `index` as an ordinary number, for operations with one that is no integer. */
static void push_operand(lua_State *L, int index) {
  const limb *x = own(L, index);
  if (x) push_number(L, x);
  else if (lua_isnumber(L, index)) lua_pushnumber(L, lua_tonumber(L, index));
  else luaL_error(L, "attempt to perform arithmetic on a %s value", luaL_typename(L, index));
}

static int as_numbers(lua_State *L, int operation) {
  push_operand(L, 1);
  push_operand(L, 2);
  lua_arith(L, operation);
  return 1;
}

/* --- operators ------------------------------------------------------------------------------------------------------ */

static int both(lua_State *L, limb *x, limb *y) { return take(L, 1, x) && take(L, 2, y); }

static int op_add(lua_State *L) {
  limb x[MOST], y[MOST];
  if (!both(L, x, y)) return as_numbers(L, LUA_OPADD);
  add(push(L), x, y, width(L));
  return 1;
}
static int op_sub(lua_State *L) {
  limb x[MOST], y[MOST];
  if (!both(L, x, y)) return as_numbers(L, LUA_OPSUB);
  subtract(push(L), x, y, width(L));
  return 1;
}
static int op_mul(lua_State *L) {
  limb x[MOST], y[MOST];
  if (!both(L, x, y)) return as_numbers(L, LUA_OPMUL);
  multiply(push(L), x, y, width(L));
  return 1;
}
static int op_div(lua_State *L) { return as_numbers(L, LUA_OPDIV); }
static int op_pow(lua_State *L) { return as_numbers(L, LUA_OPPOW); }

static void operands(lua_State *L, limb *x, limb *y) {
  need(L, 1, x);
  need(L, 2, y);
}
static void divisor(lua_State *L, limb *x, limb *y) {
  operands(L, x, y);
  if (zero(y, width(L))) luaL_error(L, "attempt to perform division by zero");
}

static int op_idiv(lua_State *L) {
  limb x[MOST], y[MOST], rest[MOST];
  if (!both(L, x, y)) return as_numbers(L, LUA_OPIDIV);
  divisor(L, x, y);
  divide_signed(push(L), rest, x, y, width(L), 1);
  return 1;
}
static int op_mod(lua_State *L) {
  limb x[MOST], y[MOST], quotient[MOST];
  if (!both(L, x, y)) return as_numbers(L, LUA_OPMOD);
  divisor(L, x, y);
  divide_signed(quotient, push(L), x, y, width(L), 1);
  return 1;
}
static int op_unm(lua_State *L) {
  limb x[MOST];
  need(L, 1, x);
  negate(push(L), x, width(L));
  return 1;
}
static int op_eq(lua_State *L) {
  limb x[MOST], y[MOST];
  lua_pushboolean(L, both(L, x, y) ? compare(x, y, width(L)) == 0 : lua_rawequal(L, 1, 2));
  return 1;
}
static int ordered(lua_State *L, int or_equal) {
  limb x[MOST], y[MOST];
  if (both(L, x, y)) {
    int order = compare_signed(x, y, width(L));
    lua_pushboolean(L, order < 0 || (or_equal && order == 0));
  } else {
    push_operand(L, 1);
    push_operand(L, 2);
    lua_pushboolean(L, lua_compare(L, -2, -1, or_equal ? LUA_OPLE : LUA_OPLT));
  }
  return 1;
}
static int op_lt(lua_State *L) { return ordered(L, 0); }
static int op_le(lua_State *L) { return ordered(L, 1); }

#define BITWISE(name, expression)                              \
  static int name(lua_State *L) {                              \
    limb x[MOST], y[MOST];                                     \
    operands(L, x, y);                                         \
    limb *to = push(L);                                        \
    for (int i = 0; i < width(L); i++) to[i] = (expression);   \
    return 1;                                                  \
  }
BITWISE(op_band, x[i] & y[i])
BITWISE(op_bor, x[i] | y[i])
BITWISE(op_bxor, x[i] ^ y[i])

static int op_bnot(lua_State *L) {
  limb x[MOST];
  need(L, 1, x);
  limb *to = push(L);
  for (int i = 0; i < width(L); i++) to[i] = ~x[i];
  return 1;
}

static lua_Integer amount(lua_State *L, int index) {
  limb y[MOST];
  need(L, index, y);
  if (!fits_integer(y, width(L))) luaL_error(L, "a shift by more than 64 bits can count");
  return as_integer(y, width(L));
}
static int shifted(lua_State *L, lua_Integer left) {
  limb x[MOST];
  need(L, 1, x);
  if (left >= 0) shift_left(push(L), x, (uint64_t)left, width(L));
  else shift_right(push(L), x, 0 - (uint64_t)left, width(L));
  return 1;
}
static int op_shl(lua_State *L) { return shifted(L, amount(L, 2)); }
static int op_shr(lua_State *L) { return shifted(L, (lua_Integer)(0 - (uint64_t)amount(L, 2))); }

static int op_tostring(lua_State *L) {
  limb x[MOST];
  need(L, 1, x);
  return push_digits(L, x, 10, 0);
}

/* --- making ------------------------------------------------------------------------------------------------------- */

static int new(lua_State *L) {
  limb x[MOST];
  need(L, 1, x);
  copy(push(L), x, width(L));
  return 1;
}
/* bint(value): the table of functions is called. */
static int call(lua_State *L) {
  lua_remove(L, 1);
  return new(L);
}
/* The value as a bint, or nil; `trunc` takes floats with a fraction too. */
static int tobint(lua_State *L) {
  limb x[MOST];
  if (!take(L, 1, x)) return 0;
  copy(push(L), x, width(L));
  return 1;
}
/* As tobint, but what is no integer comes back as a number if it is one. */
static int parse(lua_State *L) {
  if (tobint(L)) return 1;
  if (!lua_isnumber(L, 1)) return 0;
  lua_pushnumber(L, lua_tonumber(L, 1));
  return 1;
}
static int trunc(lua_State *L) {
  if (lua_type(L, 1) == LUA_TNUMBER && !lua_isinteger(L, 1)) {
    double x = lua_tonumber(L, 1);
    lua_pushnumber(L, x < 0 ? __builtin_ceil(x) : __builtin_floor(x));
    lua_replace(L, 1);
  }
  return tobint(L);
}
static int fromuinteger(lua_State *L) {
  lua_Integer value = luaL_checkinteger(L, 1);
  limb *to = push(L);
  from_integer(to, value, width(L));
  for (int i = 2; i < width(L); i++) to[i] = 0;
  return 1;
}
static int frominteger(lua_State *L) {
  lua_Integer value = luaL_checkinteger(L, 1);
  from_integer(push(L), value, width(L));
  return 1;
}
static int frombase(lua_State *L) {
  size_t length;
  limb x[MOST];
  if (lua_type(L, 1) != LUA_TSTRING) return 0;
  const char *text = lua_tolstring(L, 1, &length);
  lua_Integer base = luaL_optinteger(L, 2, 10);
  if (base < 2 || base > 36 || !from_digits(x, text, length, (int)base, width(L))) return 0;
  copy(push(L), x, width(L));
  return 1;
}
static int fromstring(lua_State *L) { return lua_type(L, 1) == LUA_TSTRING ? tobint(L) : 0; }

static int frombytes(lua_State *L, int little) {
  size_t length;
  const unsigned char *bytes = (const unsigned char *)luaL_checklstring(L, 1, &length);
  limb *to = push(L);
  clear(to, width(L));
  for (size_t i = 0; i < length && i < (size_t)width(L) * 4; i++)
    to[i / 4] |= (limb)bytes[little ? i : length - 1 - i] << (i % 4 * 8);
  return 1;
}
static int fromle(lua_State *L) { return frombytes(L, 1); }
static int frombe(lua_State *L) { return frombytes(L, 0); }

static int constant(lua_State *L, lua_Integer value) {
  from_integer(push(L), value, width(L));
  return 1;
}
static int make_zero(lua_State *L) { return constant(L, 0); }
static int make_one(lua_State *L) { return constant(L, 1); }
static int mininteger(lua_State *L) {
  limb *x = push(L);
  clear(x, width(L));
  x[width(L) - 1] = (limb)1 << 31;
  return 1;
}
static int maxinteger(lua_State *L) {
  limb *x = push(L);
  memset(x, 255, (size_t)width(L) * sizeof *x);
  x[width(L) - 1] >>= 1;
  return 1;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static int tobytes(lua_State *L, int little) {
  limb x[MOST];
  need(L, 1, x);
  int size = width(L) * 4, trim = lua_toboolean(L, 2);
  unsigned char bytes[MOST * 4];
  for (int i = 0; i < size; i++) bytes[little ? i : size - 1 - i] = (unsigned char)(x[i / 4] >> (i % 4 * 8));
  int from = 0, to = size;
  while (trim && little && to > 1 && !bytes[to - 1]) to--;
  while (trim && !little && from < size - 1 && !bytes[from]) from++;
  lua_pushlstring(L, (const char *)bytes + from, (size_t)(to - from));
  return 1;
}
static int tole(lua_State *L) { return tobytes(L, 1); }
static int tobe(lua_State *L) { return tobytes(L, 0); }

/* The low 64 bits. */
static int tointeger(lua_State *L) {
  limb x[MOST];
  if (!take(L, 1, x)) return 0;
  lua_pushinteger(L, as_integer(x, width(L)));
  return 1;
}
static int tonumber(lua_State *L) {
  limb x[MOST];
  if (take(L, 1, x)) return push_number(L, x);
  if (!lua_isnumber(L, 1)) return 0;
  lua_pushnumber(L, lua_tonumber(L, 1));
  return 1;
}
/* tobase(x, base, unsigned): without `unsigned`, base 10 shows a sign and others show the bits. */
static int tobase(lua_State *L) {
  limb x[MOST];
  if (!take(L, 1, x)) return 0;
  lua_Integer base = luaL_optinteger(L, 2, 10);
  if (base < 2 || base > 36) return 0;
  int bits = lua_isnoneornil(L, 3) ? base != 10 : lua_toboolean(L, 3);
  return push_digits(L, x, (int)base, bits);
}
static int isbint(lua_State *L) {
  lua_pushboolean(L, own(L, 1) != NULL);
  return 1;
}
static int isintegral(lua_State *L) {
  lua_pushboolean(L, own(L, 1) != NULL || lua_isinteger(L, 1));
  return 1;
}
static int isnumeric(lua_State *L) {
  lua_pushboolean(L, own(L, 1) != NULL || lua_type(L, 1) == LUA_TNUMBER);
  return 1;
}
static int type(lua_State *L) {
  if (own(L, 1)) lua_pushliteral(L, "bint");
  else if (lua_type(L, 1) != LUA_TNUMBER) return 0;
  else lua_pushstring(L, lua_isinteger(L, 1) ? "integer" : "float");
  return 1;
}

#define QUESTION(name, expression)       \
  static int name(lua_State *L) {        \
    limb x[MOST];                        \
    int n = width(L);                    \
    need(L, 1, x);                       \
    lua_pushboolean(L, (expression));    \
    return 1;                            \
  }
static int is_value(const limb *x, lua_Integer value, int n) {
  limb y[MOST];
  from_integer(y, value, n);
  return compare(x, y, n) == 0;
}
QUESTION(iszero, zero(x, n))
QUESTION(isone, is_value(x, 1, n))
QUESTION(isminusone, is_value(x, -1, n))
QUESTION(isneg, negative(x, n))
QUESTION(ispos, !negative(x, n) && !zero(x, n))
QUESTION(iseven, ((void)n, !(x[0] & 1)))
QUESTION(isodd, ((void)n, x[0] & 1))

static int ult(lua_State *L) {
  limb x[MOST], y[MOST];
  operands(L, x, y);
  lua_pushboolean(L, compare(x, y, width(L)) < 0);
  return 1;
}
static int ule(lua_State *L) {
  limb x[MOST], y[MOST];
  operands(L, x, y);
  lua_pushboolean(L, compare(x, y, width(L)) <= 0);
  return 1;
}

/* --- more arithmetic ---------------------------------------------------------------------------------------------- */

static int step(lua_State *L, lua_Integer by, int operation) {
  limb x[MOST], y[MOST];
  if (!take(L, 1, x)) {
    push_operand(L, 1);
    lua_pushinteger(L, 1);
    lua_arith(L, operation);
    return 1;
  }
  from_integer(y, by, width(L));
  add(push(L), x, y, width(L));
  return 1;
}
static int inc(lua_State *L) { return step(L, 1, LUA_OPADD); }
static int dec(lua_State *L) { return step(L, -1, LUA_OPSUB); }

static int absolute(lua_State *L) {
  limb x[MOST];
  need(L, 1, x);
  if (negative(x, width(L))) negate(x, x, width(L));
  copy(push(L), x, width(L));
  return 1;
}
/* floor, ceil: of a float with a fraction too. */
static int rounded(lua_State *L, int up) {
  if (lua_type(L, 1) == LUA_TNUMBER && !lua_isinteger(L, 1)) {
    double x = lua_tonumber(L, 1);
    lua_pushnumber(L, up ? __builtin_ceil(x) : __builtin_floor(x));
    lua_replace(L, 1);
  }
  return new(L);
}
static int floor_(lua_State *L) { return rounded(L, 0); }
static int ceil_(lua_State *L) { return rounded(L, 1); }

static int extreme(lua_State *L, int most) {
  limb x[MOST], y[MOST];
  operands(L, x, y);
  copy(push(L), (compare_signed(x, y, width(L)) > 0) == most ? x : y, width(L));
  return 1;
}
static int max(lua_State *L) { return extreme(L, 1); }
static int min(lua_State *L) { return extreme(L, 0); }

/* The low `bits` bits. */
static int bwrap(lua_State *L) {
  limb x[MOST];
  need(L, 1, x);
  lua_Integer bits = amount(L, 2);
  for (int i = 0; i < width(L); i++) {
    lua_Integer left = bits - i * 32;
    if (left <= 0) x[i] = 0;
    else if (left < 32) x[i] &= ((limb)1 << left) - 1;
  }
  copy(push(L), x, width(L));
  return 1;
}
static int rotated(lua_State *L, int right) {
  limb x[MOST], one[MOST], two[MOST];
  need(L, 1, x);
  lua_Integer bits = width(L) * 32, by = amount(L, 2) % bits;
  if (right) by = -by;
  by = (by % bits + bits) % bits;
  shift_left(one, x, (uint64_t)by, width(L));
  shift_right(two, x, (uint64_t)(bits - by), width(L));
  limb *to = push(L);
  for (int i = 0; i < width(L); i++) to[i] = one[i] | two[i];
  return 1;
}
static int brol(lua_State *L) { return rotated(L, 0); }
static int bror(lua_State *L) { return rotated(L, 1); }

/* Quotient, rest, or both; unsigned, towards zero, towards minus infinity. */
enum { QUOTIENT = 1, REST = 2 };
static int quotient_and_rest(lua_State *L, int which, int is_signed, int down) {
  limb x[MOST], y[MOST], q[MOST], r[MOST];
  divisor(L, x, y);
  if (is_signed) divide_signed(q, r, x, y, width(L), down);
  else divide(q, r, x, y, width(L));
  if (which & QUOTIENT) copy(push(L), q, width(L));
  if (which & REST) copy(push(L), r, width(L));
  return which == (QUOTIENT | REST) ? 2 : 1;
}
static int udivmod(lua_State *L) { return quotient_and_rest(L, QUOTIENT | REST, 0, 0); }
static int udiv(lua_State *L) { return quotient_and_rest(L, QUOTIENT, 0, 0); }
static int umod(lua_State *L) { return quotient_and_rest(L, REST, 0, 0); }
static int tdivmod(lua_State *L) { return quotient_and_rest(L, QUOTIENT | REST, 1, 0); }
static int tdiv(lua_State *L) { return quotient_and_rest(L, QUOTIENT, 1, 0); }
static int tmod(lua_State *L) { return quotient_and_rest(L, REST, 1, 0); }
static int idivmod(lua_State *L) { return quotient_and_rest(L, QUOTIENT | REST, 1, 1); }

/* x to the power of y, exact but for wrapping; modulo m if there is one (unsigned). */
static void power(limb *to, limb *x, limb *y, const limb *m, int n) {
  limb product[MOST], ignored[MOST];
  from_integer(to, 1, n);
  if (m) divide(ignored, x, x, m, n);
  while (!zero(y, n)) {
    if (y[0] & 1) {
      multiply(product, to, x, n);
      if (m) divide(ignored, product, product, m, n);
      copy(to, product, n);
    }
    shift_right(y, y, 1, n);
    multiply(product, x, x, n);
    if (m) divide(ignored, product, product, m, n);
    copy(x, product, n);
  }
}
static int ipow(lua_State *L) {
  limb x[MOST], y[MOST];
  operands(L, x, y);
  if (negative(y, width(L))) return luaL_error(L, "ipow: the exponent is negative");
  power(push(L), x, y, NULL, width(L));
  return 1;
}
static int upowmod(lua_State *L) {
  limb x[MOST], y[MOST], m[MOST];
  operands(L, x, y);
  need(L, 3, m);
  if (zero(m, width(L))) return luaL_error(L, "attempt to perform division by zero");
  power(push(L), x, y, m, width(L));
  return 1;
}

/* --- the module ----------------------------------------------------------------------------------------------------- */

static const luaL_Reg functions[] = {
    {"__add", op_add}, {"__sub", op_sub}, {"__mul", op_mul}, {"__div", op_div}, {"__idiv", op_idiv}, {"__mod", op_mod},
    {"__pow", op_pow}, {"__unm", op_unm}, {"__eq", op_eq}, {"__lt", op_lt}, {"__le", op_le}, {"__band", op_band},
    {"__bor", op_bor}, {"__bxor", op_bxor}, {"__bnot", op_bnot}, {"__shl", op_shl}, {"__shr", op_shr},
    {"__tostring", op_tostring}, {"new", new}, {"tobint", tobint}, {"parse", parse}, {"trunc", trunc},
    {"fromuinteger", fromuinteger}, {"frominteger", frominteger}, {"frombase", frombase}, {"fromstring", fromstring},
    {"fromle", fromle}, {"frombe", frombe}, {"zero", make_zero}, {"one", make_one}, {"mininteger", mininteger},
    {"maxinteger", maxinteger}, {"tole", tole}, {"tobe", tobe}, {"touinteger", tointeger}, {"tointeger", tointeger},
    {"tonumber", tonumber}, {"tobase", tobase}, {"isbint", isbint}, {"isintegral", isintegral},
    {"isnumeric", isnumeric}, {"type", type}, {"iszero", iszero}, {"isone", isone}, {"isminusone", isminusone},
    {"isneg", isneg}, {"ispos", ispos}, {"iseven", iseven}, {"isodd", isodd}, {"inc", inc}, {"dec", dec},
    {"abs", absolute}, {"floor", floor_}, {"ceil", ceil_}, {"max", max}, {"min", min}, {"bwrap", bwrap}, {"brol", brol},
    {"bror", bror}, {"udivmod", udivmod}, {"udiv", udiv}, {"umod", umod}, {"tdivmod", tdivmod}, {"tdiv", tdiv},
    {"tmod", tmod}, {"idivmod", idivmod}, {"ipow", ipow}, {"upowmod", upowmod}, {"eq", op_eq}, {"ult", ult},
    {"ule", ule}, {NULL, NULL},
};

/* bint(bits): the functions of a width, always the same table for the same width. */
static int of_width(lua_State *L) {
  lua_Integer bits = luaL_optinteger(L, 1, 256);
  if (bits < 32 || bits > MOST * 32 || bits % 32) {
    return luaL_error(L, "a bint has 32 to %d bits, in steps of 32, not %d", MOST * 32, (int)bits);
  }
  if (lua_rawgeti(L, lua_upvalueindex(1), bits) != LUA_TNIL) return 1;
  lua_newtable(L);
  int module = lua_gettop(L);
  lua_pushinteger(L, bits / 32);
  lua_pushvalue(L, module);
  luaL_setfuncs(L, functions, 2);
  lua_pushvalue(L, module);
  lua_setfield(L, module, "__index");
  lua_pushliteral(L, "bint");
  lua_setfield(L, module, "__name");
  lua_pushinteger(L, bits);
  lua_setfield(L, module, "bits");
  lua_newtable(L);
  lua_pushinteger(L, bits / 32);
  lua_pushvalue(L, module);
  lua_pushcclosure(L, call, 2);
  lua_setfield(L, -2, "__call");
  lua_setmetatable(L, module);
  lua_pushvalue(L, module);
  lua_rawseti(L, lua_upvalueindex(1), bits);
  return 1;
}

int bint_open(lua_State *L) {
  lua_newtable(L);
  lua_pushcclosure(L, of_width, 1);
  return 1;
}
