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
#include <stdlib.h>
#include <string.h>

#include "log.h"

enum {
	KB = 1024,
	MB = 1024 * KB,
	DEFAULT_LIMIT = 256 * MB,
	STEP_KB = 4,	     /* of a collection, at least: 3 us, or 100 when all it frees is cold */
	MIN_GROWTH = 1 * MB, /* between two collections */
	HURRY = 64,	     /* steps for a whole collection, when too much is used */
	FULL_PAUSE = 1024,   /* rounds between two collections of a state that is full */
};

/* Is the chunk "@DIR/ublk/FILE"? */
static bool is_file_in(const char *dir, const char *source)
{
	static const char modules[] = "/ublk/";
	size_t len = strlen(dir);

	return *source == '@' && strncmp(source + 1, dir, len) == 0 &&
	       strncmp(source + 1 + len, modules, sizeof(modules) - 1) == 0;
}

/* The library must not stop halfway through what it does; the script is reached soon. */
static bool in_library(lua_State *L, lua_Debug *ar)
{
	static const char composed[] = "=ublk.";
	const char *dir = getenv("UBLK_LUA_PATH");

	return !lua_getinfo(L, "S", ar) || is_file_in("lua", ar->source) ||
	       (dir && is_file_in(dir, ar->source)) ||
	       strncmp(ar->source, composed, sizeof(composed) - 1) == 0;
}

/* The next collection, from what the last one has left. */
static void plan(struct script_memory *m)
{
	size_t growth = m->used / 2 > MIN_GROWTH ? m->used / 2 : MIN_GROWTH;
	size_t room = m->limit > m->used ? (m->limit - m->used) / 2 : 0;

	m->collecting = false;
	m->next = m->used + (growth < room ? growth : room);
}

/* With less to spare than an eighth, the next collection would come at once. */
static bool too_little_left(const struct script_memory *m)
{
	return m->used > m->limit / 8 * 7;
}

/* A finalizer of the script may throw, which must not end the process. */
static int protected_gc(lua_State *L)
{
	int what = (int)lua_tointeger(L, 1);

	lua_pushinteger(L, lua_gc(L, what, (int)lua_tointeger(L, 2)));
	return 1;
}

/* Has a collection come to its end? */
static bool gc(struct script_memory *m, int what, int argument)
{
	bool ended;

	lua_rawgeti(m->L, LUA_REGISTRYINDEX, m->gc_ref);
	lua_pushinteger(m->L, what);
	lua_pushinteger(m->L, argument);
	ended = lua_pcall(m->L, 2, 1, 0) == 0 && lua_tointeger(m->L, -1);
	lua_pop(m->L, 1);
	return ended;
}

/* LuaJIT's buffer for strings is halved in a collection: more than one may be worth it. */
static bool again(const struct script_memory *m, size_t before)
{
	return too_little_left(m) && m->used < before / 8 * 7;
}

/*
 * Garbage is no reason to fail: see how much is alive. Once in a round, again
 * after as much as pays for it, and once after each error that such a look has
 * raised: what its handler held is garbage now, but if it has caught the error.
 */
static bool has_room(struct script_memory *m, lua_State *L)
{
	bool paid = !m->looked || m->used >= m->alive + m->limit / 8;
	size_t before;

	if (m->full || (!paid && !m->raised))
		return false;
	do {
		before = m->used;
		lua_gc(L, LUA_GCCOLLECT, 0); /* a finalizer that throws is the handler's */
	} while (again(m, before));
	m->looked = true;
	m->alive = m->used;
	m->emergency = too_little_left(m);
	m->raised = m->emergency && paid;
	m->hurry = 0;
	m->ceiling = m->emergency ? m->limit / 4 * 5 : m->limit;
	return !m->emergency;
}

/*
 * Machine code sees no hook, but gives way when a collection has marked all that
 * is alive. So the next step does as much, however little the others do: else a
 * string that is doubled in a loop would be long beyond any limit by then. Not
 * at each allocation: the library may have to make some more.
 */
static void hurry(struct script_memory *m)
{
	int pace;

	if (m->used < m->hurry)
		return;
	m->hurry = m->used + m->limit / 8;
	pace = lua_gc(m->L, LUA_GCSETSTEPMUL, 0); /* without end */
	if (pace)
		m->pace = pace;
}

static void calm_down(struct script_memory *m)
{
	if (m->pace)
		(void)lua_gc(m->L, LUA_GCSETSTEPMUL, m->pace);
	m->pace = 0;
}

/* A hook: the script has taken too much. */
static void too_much(lua_State *L, lua_Debug *ar)
{
	struct script_memory *m;

	(void)lua_getallocf(L, (void **)&m);
	calm_down(m);
	if (in_library(L, ar))
		return;
	lua_sethook(L, NULL, 0, 0);
	if (m->used <= m->ceiling || has_room(m, L))
		return;
	luaL_where(L, 0);
	lua_pushfstring(L, "out of memory: the script uses more than %d MiB (see --memory)",
			(int)(m->limit / MB));
	lua_concat(L, 2);
	lua_error(L);
}

/* The collector has come to its end by itself: who takes too much now is another. */
static void end_of_alarm(struct script_memory *m)
{
	m->emergency = m->looked = false;
	m->ceiling = m->limit;
}

static void *counted_alloc(void *data, void *ptr, size_t old_size, size_t new_size)
{
	struct script_memory *m = data;
	void *p = m->alloc(m->alloc_data, ptr, old_size, new_size);

	if (p || new_size == 0)
		m->used += new_size - old_size;
	if (m->emergency && !too_little_left(m))
		end_of_alarm(m);
	if (m->used > m->ceiling && m->guarded && new_size > old_size) {
		lua_gc(m->L, LUA_GCRESTART, 0); /* now, whatever the script has said */
		lua_sethook(m->L, too_much, LUA_MASKCOUNT, 1); /* a signal handler may, too */
		hurry(m);
	}
	return p;
}

void script_memory_open(struct script_memory *m, lua_State *L, size_t limit)
{
	*m = (struct script_memory){ .L = L, .limit = limit ? limit : DEFAULT_LIMIT };
	m->used = (size_t)lua_gc(L, LUA_GCCOUNT, 0) * KB + (size_t)lua_gc(L, LUA_GCCOUNTB, 0);
	m->alloc = lua_getallocf(L, &m->alloc_data);
	lua_pushcfunction(L, protected_gc);
	m->gc_ref = luaL_ref(L, LUA_REGISTRYINDEX);
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
	/* What is resumed though the state is full may be what lets go: it needs a little. */
	m->ceiling = m->full ? m->limit / 4 * 5 : m->limit;
	m->hurry = 0;
	m->guarded = true;
	return !m->full;
}

void script_memory_leave(struct script_memory *m)
{
	m->guarded = false;
	calm_down(m);
	if (m->used > m->limit)
		lua_sethook(m->L, NULL, 0, 0);
}

/* The script does not run, and a collection has ended: what is used is alive. */
static void decide(struct script_memory *m)
{
	plan(m);
	m->full = too_little_left(m);
	if (!m->full)
		return;
	m->next = m->used + m->limit / 8;
	m->pause = FULL_PAUSE;
	if (!m->told)
		log_error("the script holds more than %zu MiB (see --memory): it is not asked any "
			  "more, its requests fail",
			  m->limit / MB);
	m->told = true;
}

/* An error was raised. Was it that handler alone who held so much? */
static void end_emergency(struct script_memory *m)
{
	size_t before;

	m->emergency = false;
	do {
		before = m->used;
		(void)gc(m, LUA_GCCOLLECT, 0);
	} while (again(m, before));
	decide(m);
}

static bool is_due(struct script_memory *m)
{
	if (m->used >= m->next)
		return true;
	return m->full && --m->pause == 0;
}

/*
 * LuaJIT would do the same work in the middle of a handler, when twice as much
 * is used as the last collection left. So this one begins earlier, and does at
 * least as much as was allocated since its last step: it comes to an end.
 */
void script_memory_step(struct script_memory *m)
{
	size_t grown;

	m->looked = false;
	if (m->emergency)
		end_emergency(m);
	if (!is_due(m))
		return;
	grown = m->collecting && m->used > m->last ? m->used - m->last : 0;
	if (m->used > m->limit && grown < m->used / HURRY)
		grown = m->used / HURRY;
	m->collecting = true;
	m->next = 0; /* a step in each round, until it is done */
	if (gc(m, LUA_GCSTEP, (int)(grown / KB) + STEP_KB)) {
		plan(m);
		if (m->full)
			decide(m);
	}
	m->last = m->used;
}
