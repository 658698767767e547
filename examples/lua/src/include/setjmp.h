/* Lua's ldo.c includes this header; errors unwind through the host instead (config.h). */
