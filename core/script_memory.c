/* SPDX-License-Identifier: MIT */
/*
 * Why not an allocator that refuses: LuaJIT does not survive that in compiled
 * code (2.1.0-beta3 crashes when an allocation of a trace fails). So it is
 * given what it asks for, and a hook raises the error at the next instruction
 * that is interpreted. A compiled loop that allocates comes back to the
 * interpreter in each cycle of the collector.
 */
#include "script_memory.h"

#include <lauxlib.h>
#include <string.h>

#include "log.h"

enum {
	KB = 1024,
	MB = 1024 * KB,
	DEFAULT_LIMIT = 256 * MB,
	STEP_KB = 4,	     /* of a collection, at least: 3 us, or 100 when all it frees is cold */
	MIN_GROWTH = 1 * MB, /* between two collections */
	HURRY = 64,	     /* steps for a whole collection, when too much is used */
	SURE = 2,	     /* collections: one may have begun before something was let go of */
	FULL_PAUSE = 1024,   /* rounds between two collections of a state that is full */
};

/* The library must not stop halfway through what it does; the script is reached soon. */
static bool in_library(lua_State *L, lua_Debug *ar)
{
	static const char modules[] = "@lua/ublk/", composed[] = "=ublk.";

	return !lua_getinfo(L, "S", ar) || strncmp(ar->source, modules, sizeof(modules) - 1) == 0 ||
	       strncmp(ar->source, composed, sizeof(composed) - 1) == 0;
}

/* The next collection, from what the last one has left. */
static void plan(struct script_memory *m)
{
	size_t growth = m->used / 2 > MIN_GROWTH ? m->used / 2 : MIN_GROWTH;
	size_t room = m->limit > m->used ? (m->limit - m->used) / 2 : 0;

	m->collecting = false;
	m->next = m->used + (growth < room ? growth : room);
	/* With less to spare than an eighth, the next collection would come at once. */
	m->cycles_over = m->used > m->limit / 8 * 7 ? m->cycles_over + 1 : 0;
}

/* Garbage is no reason to fail: see how much is alive, once in a round. */
static bool has_room(struct script_memory *m)
{
	if (m->looked)
		return false;
	m->looked = true;
	lua_gc(m->L, LUA_GCCOLLECT, 0);
	m->next = 0; /* what this handler holds may be gone when it has failed: look again */
	return m->used < m->limit / 8 * 7;
}

/* A hook: the script has taken too much. */
static void too_much(lua_State *L, lua_Debug *ar)
{
	struct script_memory *m;

	if (in_library(L, ar))
		return;
	(void)lua_getallocf(L, (void **)&m);
	lua_sethook(m->L, NULL, 0, 0);
	if (has_room(m))
		return;
	luaL_where(L, 0);
	lua_pushfstring(L, "out of memory: the script uses more than %d MiB (see --memory)",
			(int)(m->limit / MB));
	lua_concat(L, 2);
	lua_error(L);
}

static void *counted_alloc(void *data, void *ptr, size_t old_size, size_t new_size)
{
	struct script_memory *m = data;
	void *p = m->alloc(m->alloc_data, ptr, old_size, new_size);

	if (p || new_size == 0)
		m->used += new_size - old_size;
	if (m->used > m->limit && m->guarded)
		lua_sethook(m->L, too_much, LUA_MASKCOUNT, 1); /* a signal handler may, too */
	return p;
}

void script_memory_open(struct script_memory *m, lua_State *L, size_t limit)
{
	*m = (struct script_memory){ .L = L, .limit = limit ? limit : DEFAULT_LIMIT };
	m->used = (size_t)lua_gc(L, LUA_GCCOUNT, 0) * KB + (size_t)lua_gc(L, LUA_GCCOUNTB, 0);
	m->alloc = lua_getallocf(L, &m->alloc_data);
	lua_setallocf(L, counted_alloc, m);
	plan(m);
}

void script_memory_close(struct script_memory *m)
{
	if (m->alloc)
		lua_setallocf(m->L, m->alloc, m->alloc_data);
}

bool script_memory_enter(struct script_memory *m)
{
	m->guarded = m->cycles_over < SURE;
	m->looked = false;
	return m->guarded;
}

void script_memory_leave(struct script_memory *m)
{
	m->guarded = false;
	if (m->used > m->limit)
		lua_sethook(m->L, NULL, 0, 0);
}

/*
 * LuaJIT would do the same work in the middle of a handler, when twice as much
 * is used as the last collection left. So this one begins earlier, and does at
 * least as much as was allocated since its last step: it comes to an end.
 */
void script_memory_step(struct script_memory *m)
{
	bool over = m->used > m->limit;
	size_t grown;

	if (m->used < m->next || (m->pause && m->pause--))
		return;
	grown = m->collecting && m->used > m->last ? m->used - m->last : 0;
	if (over && grown < m->used / HURRY)
		grown = m->used / HURRY;
	m->collecting = true;
	m->next = 0; /* a step in each round, until it is done */
	if (lua_gc(m->L, LUA_GCSTEP, (int)(grown / KB) + STEP_KB)) {
		plan(m);
		m->pause = m->cycles_over >= SURE ? FULL_PAUSE : 0;
		if (m->cycles_over >= SURE && !m->told) {
			m->told = true;
			log_error("the script holds more than %zu MiB (see --memory): it is not "
				  "asked any more, its requests fail",
				  m->limit / MB);
		}
	}
	m->last = m->used;
}
