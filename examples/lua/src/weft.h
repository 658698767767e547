/* What the C files of this module share. */
#ifndef WEFT_H
#define WEFT_H

#include <stddef.h>

#include "lua.h"

/* libc.c: the time of the message that is handled, in seconds since 1970. */
void weft_set_time(double seconds);

/* json.c: pushes the value of a JSON text of `length` bytes; raises a Lua error that says where it is wrong. If it is an
 * object, it gets `room` for members at once. */
void json_decode(lua_State *L, const char *text, size_t length, int room);

/* json.c: text that is being written. One at a time: the next start ends the one before. The memory belongs to the
 * writer and is valid until the next start. */
void json_start(lua_State *L);
void json_raw(lua_State *L, const char *text, size_t length);
void json_value(lua_State *L, int index);
const char *json_text(size_t *length);

/* native.c: functions for the Lua part, as fields of the table on top of the stack. */
void native_functions(lua_State *L);

/* bint.c: pushes a table with the functions of fixed-width integers. */
int bint_open(lua_State *L);

#endif
