/* SPDX-License-Identifier: MIT */
/*
 * Runs a Lua test file inside the program's own code: the modules in its
 * bytecode and the ul_* functions that FFI finds are those of ublk-lua. Also
 * gives the tests drive(), which runs the batch loop as core/script.c does.
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>

static char idle; /* its address is what a worker yields at the end of a batch */

/*
 * drive(worker, replace, rounds, count): resume the worker with a batch of
 * `count`, `rounds` times, as script_batch does. Returns the worker at the end.
 */
static int drive(lua_State *L)
{
	lua_State *worker = lua_tothread(L, 1);
	lua_Integer rounds = luaL_checkinteger(L, 3);

	for (lua_Integer i = 0; i < rounds; i++) {
		int args = 1, status;

		lua_pushvalue(L, 4);
		lua_xmove(L, worker, 1);
		while ((status = lua_resume(worker, args)) != LUA_YIELD ||
		       lua_gettop(worker) != 1 || lua_touserdata(worker, 1) != &idle) {
			lua_pushvalue(L, 2);
			lua_pushstring(L, status == LUA_YIELD ? NULL : lua_tostring(worker, -1));
			lua_call(L, 1, 1);
			lua_replace(L, 1);
			worker = lua_tothread(L, 1);
			args = 0;
		}
		lua_settop(worker, 0);
	}
	lua_settop(L, 1);
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
	lua_pushcfunction(L, drive);
	lua_setglobal(L, "drive");
	lua_pushlightuserdata(L, &idle);
	lua_setglobal(L, "idle");
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
