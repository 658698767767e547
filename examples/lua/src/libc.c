/* What Lua's library asks of an operating system, answered without one: no files, no commands, no environment, UTC,
 * and the time of the message. These definitions come before those of wasi-libc, so the module imports nothing of WASI. */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "weft.h"

/* Seconds since 1970 of the message that is handled. */
static time_t now;

void weft_set_time(double seconds) { now = seconds > 0 && seconds < 9e15 ? (time_t)seconds : 0; }

time_t time(time_t *to) {
  if (to) *to = now;
  return now;
}

/* lobject.c: an integer in decimal digits; how many characters. */
int weft_integer_text(char *to, long long value) {
  char digits[20];
  int used = 0, length = 0;
  unsigned long long rest = value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value;
  do digits[used++] = (char)('0' + rest % 10);
  while (rest /= 10);
  if (value < 0) to[length++] = '-';
  while (used) to[length++] = digits[--used];
  to[length] = 0;
  return length;
}

/* Processor time would be different on every node. */
clock_t clock(void) { return 0; }

char *getenv(const char *name) {
  (void)name;
  return NULL;
}

struct tm *localtime(const time_t *at) { return gmtime(at); }

/* More memory comes from the host, as in every AO module: its rule for how much is part of AO's environment. */
__attribute__((import_module("env"), import_name("emscripten_resize_heap"))) int host_resize_heap(size_t size);

void *sbrk(intptr_t more) {
  static size_t top; /* End of what was given out; the memory may be larger. */
  size_t size = __builtin_wasm_memory_size(0) << 16;
  if (!top) top = size;
  size_t from = top, to = from + (size_t)more;
  if (more < 0 || to < from || (to > size && !host_resize_heap(to))) {
    errno = ENOMEM;
    return (void *)-1;
  }
  top = to;
  return (void *)from;
}

/* `os.exit` ends the message: the host undoes what it did. */
__attribute__((import_module("env"), import_name("exit"), noreturn)) void host_exit(int code);
void exit(int code) { host_exit(code); }
void abort(void) { __builtin_trap(); }
/* Nothing is registered to run at an end; with this here the linker does not look for it in wasi-libc's exit. */
void __wasm_call_dtors(void) {}

static int refused(void) {
  errno = ENOSYS;
  return -1;
}

/* With no command, the question is whether there is a command processor. */
int system(const char *command) { return command ? refused() : 0; }
int remove(const char *name) {
  (void)name;
  return refused();
}
int rename(const char *from, const char *to) {
  (void)from, (void)to;
  return refused();
}
char *tmpnam(char *name) {
  (void)name;
  return NULL;
}

/* luaL_loadfilex (`loadfile`, `dofile`) finds no file. */
FILE *const stdin = NULL;
FILE *fopen(const char *name, const char *mode) {
  (void)name, (void)mode;
  errno = ENOENT;
  return NULL;
}
FILE *freopen(const char *name, const char *mode, FILE *file) {
  (void)file;
  return fopen(name, mode);
}
int fclose(FILE *file) {
  (void)file;
  return 0;
}
int getc(FILE *file) {
  (void)file;
  return EOF;
}
int ferror(FILE *file) {
  (void)file;
  return 0;
}
int feof(FILE *file) {
  (void)file;
  return 1;
}
size_t fread(void *to, size_t size, size_t count, FILE *file) {
  (void)to, (void)size, (void)count, (void)file;
  return 0;
}

/* wasi-libc's number formatting would complain about `long double` here, which Lua does not use. */
char __stderr_FILE[256];

/* Chance would be different on every node. */
int getentropy(void *to, size_t length) {
  for (size_t i = 0; i < length; i++) ((char *)to)[i] = 0;
  return 0;
}
