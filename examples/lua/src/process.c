/* The module's face to the host: AO's convention for 32-bit emscripten modules.
 *
 *   _initialize() or __wasm_call_ctors()  once: makes the Lua state and runs the prelude
 *   _emscripten_stack_alloc(length)       room for the message, then for the environment, as C strings
 *   handle(message, environment)          evaluates; the answer is a C string that is valid until the next call
 *
 * The host keeps the linear memory between messages: the Lua state in it is the state of the process. */

#include <stdlib.h>
#include <string.h>

#include "lauxlib.h"
#include "lualib.h"
#include "prelude.h"
#include "weft.h"

#define EXPORT(name) __attribute__((export_name(name)))

/* The prelude's function of a message and an environment, and the environment that was decoded last. */
#define HANDLE "weft.handle"
#define ENVIRONMENT_TEXT "weft.environment.text"
#define ENVIRONMENT "weft.environment"

/* Room of a message: what AO gives it, its tags as members, `reply` and the like. */
#define MEMBERS 32

static lua_State *lua;

/* --- memory for what comes in ----------------------------------------------------------------------------------- */

/* Messages are too large for a C stack: the host's "stack allocation" is from the heap, and freed when it was read. */
static struct room {
  struct room *next;
  max_align_t content[];
} *rooms;

EXPORT("_emscripten_stack_alloc") void *allocate(size_t length) {
  struct room *room = length < (size_t)1 << 30 ? malloc(sizeof *room + length) : NULL;
  if (!room) __builtin_trap();
  room->next = rooms;
  rooms = room;
  return room->content;
}

static void free_rooms(void) {
  while (rooms) {
    struct room *next = rooms->next;
    free(rooms);
    rooms = next;
  }
}

/* The host tells that something was thrown. Lua knows: its error status is set before. */
EXPORT("setThrew") void set_threw(int threw, int value) { (void)threw, (void)value; }

/* --- the state -------------------------------------------------------------------------------------------------- */

static const luaL_Reg libraries[] = {
    {"_G", luaopen_base},           {LUA_COLIBNAME, luaopen_coroutine}, {LUA_TABLIBNAME, luaopen_table},
    {LUA_STRLIBNAME, luaopen_string}, {LUA_MATHLIBNAME, luaopen_math},  {LUA_UTF8LIBNAME, luaopen_utf8},
    {LUA_OSLIBNAME, luaopen_os},    {LUA_DBLIBNAME, luaopen_debug},     {LUA_BITLIBNAME, luaopen_bit32},
};

/* Opens the libraries, loads the prelude's chunks and runs the first, which returns the function for messages. */
static int boot(lua_State *L) {
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
    luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
    lua_pop(L, 1);
  }
  lua_newtable(L);
  native_functions(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_setfield(L, -2, "loaded");
  lua_newtable(L);
  for (size_t i = 0; i < sizeof prelude / sizeof *prelude; i++) {
    char shown[32] = "=";
    strncat(shown, prelude[i].name, sizeof shown - 2);
    if (luaL_loadbufferx(L, (const char *)prelude[i].text, prelude[i].length, shown, "t") != LUA_OK) return lua_error(L);
    lua_setfield(L, -2, prelude[i].name);
  }
  lua_getfield(L, -1, "boot");
  lua_insert(L, -3);
  lua_call(L, 2, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, HANDLE);
  return 0;
}

/* The linker's. Calling it here makes the module a library, whose exports are called again and again. */
void __wasm_call_ctors(void);

EXPORT("_initialize") void initialise(void) {
  if (lua) return;
  __wasm_call_ctors();
  lua = luaL_newstate();
  if (!lua) __builtin_trap();
  lua_pushcfunction(lua, boot);
  if (lua_pcall(lua, 0, 0, 0) != LUA_OK) __builtin_trap();
  lua_gc(lua, LUA_GCCOLLECT, 0);
}

/* The same under the names that AO's own loader calls. Its debug build marks the end of the C stack, which is at 0. */
EXPORT("__wasm_call_ctors") void construct(void) { initialise(); }
EXPORT("dynCall_vii") void dyn_call(void (*function)(int, int), int a, int b) { function(a, b); }
EXPORT("emscripten_stack_init") void stack_init(void) {}
EXPORT("emscripten_stack_get_end") size_t stack_end(void) { return 0; }

/* --- messages --------------------------------------------------------------------------------------------------- */

/* Pushes the decoded environment. It is the same for all messages of a process, so it is decoded once. */
static void push_environment(lua_State *L, const char *text) {
  size_t known_length, length = strlen(text);
  lua_getfield(L, LUA_REGISTRYINDEX, ENVIRONMENT_TEXT);
  const char *known = lua_tolstring(L, -1, &known_length);
  if (known && known_length == length && memcmp(known, text, length) == 0) {
    lua_pop(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, ENVIRONMENT);
    return;
  }
  lua_pop(L, 1);
  json_decode(L, text, length, 4);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, ENVIRONMENT);
  lua_pushlstring(L, text, length);
  lua_setfield(L, LUA_REGISTRYINDEX, ENVIRONMENT_TEXT);
}

/* handle(message text, environment text), as light userdata; writes the answer. */
static int evaluate(lua_State *L) {
  const char *message = lua_touserdata(L, 1), *environment = lua_touserdata(L, 2);
  lua_settop(L, 0);
  lua_getfield(L, LUA_REGISTRYINDEX, HANDLE);
  json_decode(L, message, strlen(message), MEMBERS);
  push_environment(L, environment);
  free_rooms();
  lua_call(L, 2, 1);
  json_start(L);
  json_raw(L, "{\"ok\":true,\"response\":", 22);
  json_value(L, -1);
  json_raw(L, "}", 2);
  return 0;
}

EXPORT("handle") const char *handle(const char *message, const char *environment) {
  size_t length;
  initialise();
  lua_State *L = lua;
  lua_pushcfunction(L, evaluate);
  lua_pushlightuserdata(L, (void *)message);
  lua_pushlightuserdata(L, (void *)environment);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
    /* Only what the prelude does not catch: the message could not be read or the answer not be written. */
    lua_pushfstring(L, "%s", luaL_tolstring(L, -1, NULL));
    json_start(L);
    json_raw(L, "{\"ok\":false,\"response\":", 23);
    json_value(L, -1);
    json_raw(L, "}", 2);
  }
  lua_settop(L, 0);
  free_rooms();
  /* A step of the collector at the end of each message, besides those that allocation makes it take: garbage is
   * collected by and by, never all at once, and at the same points on every node. */
  lua_gc(L, LUA_GCSTEP, 0);
  return json_text(&length);
}
