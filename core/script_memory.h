/* SPDX-License-Identifier: MIT */
/*
 * The memory of one Lua state: how much it may have, and when it is cleaned
 * up. A handler that takes more than its state may have gets a Lua error;
 * while what is alive is more, the script does not run. Garbage is collected
 * between batches, a little at a time, so that no request waits for it. Used
 * by script.c only, on the state's thread.
 */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

struct script_memory {
	lua_State *L;
	lua_Alloc alloc; /* LuaJIT's own */
	void *alloc_data;
	size_t used, limit; /* bytes */
	size_t next;	    /* a collection begins, or goes on, when so much is used */
	size_t last;	    /* used after the last step of a collection that is under way */
	bool collecting;
	bool guarded; /* the script runs: it gets an error when it takes too much */
	bool looked;  /* in this round, how much is alive */
	bool told;
	unsigned pause;	      /* rounds until the next collection may begin */
	unsigned cycles_over; /* collections that ended with more alive than there may be */
};

/* Bound the state, from now on, to `limit` bytes; 0: 256 MiB. */
void script_memory_open(struct script_memory *memory, lua_State *L, size_t limit);

/* Before lua_close: the state is LuaJIT's own again. */
void script_memory_close(struct script_memory *memory);

/* Between these the state runs the script, not the engine alone. False: it must not, it is full. */
bool script_memory_enter(struct script_memory *memory);
void script_memory_leave(struct script_memory *memory);

/* A step of garbage collection, if one is due. */
void script_memory_step(struct script_memory *memory);
