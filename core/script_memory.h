/* SPDX-License-Identifier: MIT */
/*
 * The memory of one Lua state: how much it may have, and when it is cleaned
 * up. A handler that takes more than its state may have gets a Lua error;
 * while what is alive is more, the script does not run. Garbage is collected
 * between batches, a little at a time, so that a request hardly ever waits
 * for it. Used by script.c only, on the state's thread.
 */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

struct script_memory {
	lua_State *L;
	lua_Alloc alloc; /* LuaJIT's own */
	void *alloc_data;
	int gc_ref;	    /* a function in the registry: lua_gc, to be called by lua_pcall */
	size_t used, limit; /* bytes */
	size_t ceiling;	    /* the limit, or more while an error is on its way up */
	size_t hurry;	    /* a step of the collector does all it can when so much is used */
	int pace;	    /* its own, while it does; or 0 */
	size_t next;	    /* a collection begins, or goes on, when so much is used */
	size_t last;	    /* used after the last step of a collection that is under way */
	size_t alive;	    /* with `looked`: used after the last look */
	bool collecting;
	bool guarded;	/* the script runs: it gets an error when it takes too much */
	bool looked;	/* in this round, how much is alive */
	bool emergency; /* and that was too much */
	bool raised;	/* for which there was an error: what is alive may be less by now */
	bool full;	/* the script holds too much, also between batches */
	bool told;
	unsigned pause; /* rounds until a state that is full is looked at again */
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
