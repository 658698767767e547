/* What Lua's own sources are compiled with, included before each of them (clang -include). They stay unmodified. */
#ifndef WEFT_CONFIG_H
#define WEFT_CONFIG_H

/* Errors. wasm has no setjmp: as in every AO module built by emscripten, the host calls the protected function for us
 * (invoke_vii) and a throw below it unwinds to there. `f` and `ud` are the names of the parameters of
 * luaD_rawrunprotected, the one place where LUAI_TRY is used. */
__attribute__((import_module("env"), import_name("invoke_vii"))) void host_invoke_vii(int function, int a, int b);
__attribute__((import_module("env"), import_name("_emscripten_throw_longjmp"), noreturn)) void host_throw(void);
#define LUAI_THROW(L, c) host_throw()
#define LUAI_TRY(L, c, a) host_invoke_vii((int)(f), (int)(L), (int)(ud))
#define luai_jmpbuf int

/* Nothing that differs between nodes or runs may reach the process: a constant seed for string hashes. */
#define luai_makeseed() 0x57656674u
#define l_signalT int
#define lua_getlocaledecpoint() '.'

/* There is no terminal. */
#define lua_writestring(s, l) ((void)(s), (void)(l))
#define lua_writeline() ((void)0)
#define lua_writestringerror(s, p) ((void)(s), (void)(p))

/* Declared by other C libraries than wasi-libc; libc.c has them. */
#define _WASI_EMULATED_PROCESS_CLOCKS
#define L_tmpnam 20
char *tmpnam(char *name);
int system(const char *command);

/* bit32, math.pow and the like, which processes written for aos may use. */
#define LUA_COMPAT_5_2

/* Integers as text without printf, which takes longer than everything around it. */
#include "luaconf.h"
#undef lua_integer2str
#define lua_integer2str(s, sz, n) weft_integer_text((s), (n))
int weft_integer_text(char *to, long long value);

/* A table that changes its size asks the host for protection, in case that memory runs out half-way: dozens of calls out
 * of the module for one message. It is only needed where half-way is a state that differs: when entries of a hash part
 * may belong in the array part that has just grown. Everywhere else the error may pass as it is. (build.sh says which
 * file is compiled; the names are those of luaH_resize's variables.) */
#ifdef WEFT_ltable
#include "ldo.h"
#define luaD_rawrunprotected(L, f, ud) \
  (nasize > oldasize && nhsize > 0 && oldhsize > 0 ? (luaD_rawrunprotected)(L, f, ud) : ((f)(L, ud), LUA_OK))
#endif

#endif
