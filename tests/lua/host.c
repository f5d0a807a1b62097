/* SPDX-License-Identifier: MIT */
/*
 * Runs a Lua test file inside the program's own code: the modules in its
 * bytecode and the ul_* functions that FFI finds are those of ublk-lua. Gives
 * the tests rig{...}, which runs a script in a Lua state of its own as the
 * program does, over core/sim.c.
 */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>

#include "../rig.h"

static lua_Integer field(lua_State *L, const char *name)
{
	lua_Integer value;

	lua_getfield(L, 1, name);
	value = luaL_optinteger(L, -1, 0);
	lua_pop(L, 1);
	return value;
}

static uint8_t op_number(lua_State *L, const char *name)
{
	for (unsigned op = 0; op < UL_OP_COUNT; op++)
		if (stats_op_name(op) && strcmp(stats_op_name(op), name) == 0)
			return (uint8_t)op;
	luaL_error(L, "rig: no op %s", name);
	return 0;
}

/* { OP [, sector [, length [, fill [, flags]]]] } */
static struct rig_request request(lua_State *L)
{
	struct rig_request req;

	luaL_checktype(L, -1, LUA_TTABLE);
	for (int i = 1; i <= 5; i++)
		lua_rawgeti(L, -i, i);
	req.op = op_number(L, luaL_checkstring(L, -5));
	req.sector = luaL_optnumber(L, -4, 0);
	req.length = (uint32_t)luaL_optnumber(L, -3, req.op == UL_OP_FLUSH ? 0 : 512);
	req.fill = (uint8_t)luaL_optinteger(L, -2, 0);
	req.flags = (uint32_t)luaL_optnumber(L, -1, 0);
	lua_pop(L, 5);
	return req;
}

static unsigned fill_requests(lua_State *L, struct rig_request *requests)
{
	unsigned count;

	lua_getfield(L, 1, "requests");
	luaL_argcheck(L, lua_istable(L, -1), 1, "no requests");
	for (count = 0;; count++) {
		lua_rawgeti(L, -1, (int)count + 1);
		if (lua_isnil(L, -1))
			break;
		luaL_argcheck(L, count < RIG_MOST, 1, "too many requests");
		requests[count] = request(L);
		lua_pop(L, 1);
	}
	lua_pop(L, 2);
	return count;
}

static void set(lua_State *L, const char *name, double value)
{
	lua_pushnumber(L, value);
	lua_setfield(L, -2, name);
}

static void push_answers(lua_State *L, const struct rig *rig)
{
	lua_newtable(L);
	lua_newtable(L);
	for (unsigned i = 0; i < rig->count; i++) {
		const struct rig_answer *answer = &rig->answers[i];

		lua_pushnumber(L, answer->result);
		lua_rawseti(L, -3, (int)i + 1);
		lua_newtable(L);
		set(L, "time", answer->time);
		set(L, "order", answer->order);
		set(L, "first", answer->first);
		set(L, "last", answer->last);
		lua_rawseti(L, -2, (int)i + 1);
	}
	lua_setfield(L, -3, "answers");
	lua_setfield(L, -2, "results");
}

static void push_ops(lua_State *L, const struct rig *rig)
{
	lua_newtable(L);
	for (unsigned op = 0; op < UL_OP_COUNT; op++) {
		const struct stats_op *stats = &rig->stats->op[op];

		if (!stats->requests)
			continue;
		lua_newtable(L);
		set(L, "requests", (double)stats->requests);
		set(L, "errors", (double)stats->errors);
		set(L, "scripted", (double)stats->scripted);
		set(L, "injected", (double)stats->injected);
		lua_setfield(L, -2, stats_op_name(op));
	}
	lua_setfield(L, -2, "ops");
}

/* `layers` in their order, and `counters` by name. */
static void push_counts(lua_State *L, const struct ul_script_stats *stats)
{
	lua_newtable(L);
	for (unsigned i = 0; i < stats->layers; i++) {
		lua_newtable(L);
		lua_pushstring(L, stats->layer[i].name);
		lua_setfield(L, -2, "name");
		set(L, "seen", stats->layer[i].seen);
		set(L, "hit", stats->layer[i].hit);
		lua_rawseti(L, -2, (int)i + 1);
	}
	lua_setfield(L, -2, "layers");
	lua_newtable(L);
	for (unsigned i = 0; i < stats->counters; i++)
		set(L, stats->counter[i].name, stats->counter[i].value);
	lua_setfield(L, -2, "counters");
}

/*
 * rig { script = TEXT, requests = { { OP [, sector [, length [, fill [, flags]]]] }, … } } and what
 * else struct rig takes. Gives `load`, `log`, and when it was loaded `results` and `answers` (both
 * by request), `ops`, `layers`, `counters`, `stops`. A request that gets no answer, or two, is an
 * error.
 */
static int run_rig(lua_State *L)
{
	static struct rig_request requests[RIG_MOST];
	struct rig rig = { .requests = requests };

	luaL_checktype(L, 1, LUA_TTABLE);
	rig.count = fill_requests(L, requests);
	rig.batch = (unsigned)field(L, "batch");
	rig.depth = (unsigned)field(L, "depth");
	rig.seed = (uint64_t)field(L, "seed");
	rig.rounds = (unsigned)field(L, "rounds");
	rig.stop_at = (unsigned)field(L, "stop_at");
	rig.fail_at = (unsigned)field(L, "fail_at");
	rig.memory = (size_t)field(L, "memory");
	lua_getfield(L, 1, "script");
	rig.script = luaL_checkstring(L, -1);
	rig_run(&rig);
	if (rig.load == 0 && (rig.end != -ENODEV || rig.faults))
		return luaL_error(L, "rig: ended with %d and %d faults: %s", rig.end, rig.faults,
				  rig.log);
	lua_newtable(L);
	set(L, "load", rig.load);
	lua_pushstring(L, rig.log);
	lua_setfield(L, -2, "log");
	if (rig.load)
		return 1;
	set(L, "stops", rig.stops);
	push_answers(L, &rig);
	push_ops(L, &rig);
	push_counts(L, &rig.stats->script);
	return 1;
}

static int traceback(lua_State *L)
{
	luaL_traceback(L, L, lua_tostring(L, 1), 1);
	return 1;
}

int main(int argc, char **argv)
{
	lua_State *L = luaL_newstate();
	int ret;

	if (!L || argc < 2) {
		fprintf(stderr, "usage: lua-host FILE [ARG ...]\n");
		return 2;
	}
	luaL_openlibs(L);
	lua_register(L, "rig", run_rig);
	lua_newtable(L);
	for (int i = 1; i < argc; i++) {
		lua_pushstring(L, argv[i]);
		lua_rawseti(L, -2, i - 1);
	}
	lua_setglobal(L, "arg");

	/* A test file returns luaunit's count of failures. */
	lua_pushcfunction(L, traceback);
	ret = luaL_loadfile(L, argv[1]);
	if (ret == 0)
		ret = lua_pcall(L, 0, 1, -2);
	if (ret)
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
	else
		ret = lua_tointeger(L, -1) != 0;
	lua_close(L);
	return ret ? 1 : 0;
}
