/* SPDX-License-Identifier: MIT */
/*
 * The C side of lua/ublk/engine.lua: its functions stand at fixed places of
 * the stack, and all traffic goes through pcall. The modules are linked in as
 * bytecode, where LuaJIT's `require` finds them by their symbols;
 * UBLK_LUA_PATH names a folder whose modules come first, for work on them.
 */
#include "script.h"

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* Places on the stack of a state, from script_new on. */
enum {
	SLOT_ENGINE = 1, /* the module table */
	SLOT_SERVE,	 /* the batch function, once attached */
};

struct script {
	lua_State *L;
	bool failed; /* a batch call has failed and was logged */
};

void ul_log(int level, const char *message)
{
	log_line(level, "%s", message);
}

const char *ul_errno_name(int number)
{
	return strerrorname_np(number);
}

/* Call engine.<name> with the `args` values on top; its `results` take their place. */
static int call_engine(lua_State *L, const char *name, int args, int results)
{
	lua_getfield(L, SLOT_ENGINE, name);
	lua_insert(L, -args - 1);
	if (lua_pcall(L, args, results, 0) == 0)
		return 0;
	log_error("bug in engine.%s: %s", name, lua_tostring(L, -1));
	lua_pop(L, 1);
	return -ENOEXEC;
}

/* Modules in UBLK_LUA_PATH win over those in the binary: search files before symbols. */
static void prefer_path(lua_State *L, const char *dir)
{
	lua_getglobal(L, "package");
	lua_pushfstring(L, "%s/?.lua;%s/?/init.lua", dir, dir);
	lua_setfield(L, -2, "path");
	lua_getfield(L, -1, "loaders");
	lua_rawgeti(L, -1, 1);
	lua_rawgeti(L, -2, 2);
	lua_rawseti(L, -3, 1);
	lua_rawseti(L, -2, 2);
	lua_pop(L, 2);
}

static int load_engine(lua_State *L)
{
	const char *dir = getenv("UBLK_LUA_PATH");

	luaL_openlibs(L);
	if (dir)
		prefer_path(L, dir);
	lua_getglobal(L, "require");
	lua_pushliteral(L, "ublk.engine");
	lua_call(L, 1, 1);
	return 1;
}

static int script_new(struct script **script)
{
	struct script *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->L = luaL_newstate();
	if (!s->L) {
		free(s);
		return -ENOMEM;
	}
	lua_pushcfunction(s->L, load_engine);
	if (lua_pcall(s->L, 0, 1, 0)) {
		log_error("cannot start Lua: %s", lua_tostring(s->L, -1));
		script_close(s);
		return -ENOEXEC;
	}
	*script = s;
	return 0;
}

/* engine.load's answer: true, or the errno's name and a message. */
static int load_result(lua_State *L)
{
	const char *name, *message;
	int ret = 0;

	if (lua_type(L, -2) == LUA_TSTRING) {
		name = lua_tostring(L, -2);
		message = lua_tostring(L, -1);
		log_error("%s", message ? message : "unknown error");
		ret = strcmp(name, "EINVAL") == 0   ? -EINVAL
		      : strcmp(name, "ENOENT") == 0 ? -ENOENT
						    : -ENOEXEC;
	}
	lua_pop(L, 2);
	return ret;
}

static int load(struct script *s, const char *how, const struct script_config *cfg,
		struct ul_device *dev)
{
	lua_State *L = s->L;
	int ret;

	lua_pushstring(L, cfg->path);
	lua_createtable(L, (int)cfg->arg_count, 0);
	for (unsigned i = 0; i < cfg->arg_count; i++) {
		lua_pushstring(L, cfg->args[i]);
		lua_rawseti(L, -2, (int)i + 1);
	}
	lua_pushlightuserdata(L, (void *)&cfg->seed);
	lua_pushnumber(L, cfg->queue);
	lua_pushlightuserdata(L, dev);
	ret = call_engine(L, how, 5, 2);
	return ret ? ret : load_result(L);
}

int script_open(struct script **script, const struct script_config *cfg, struct ul_device *dev)
{
	struct script *s;
	int ret = script_new(&s);

	if (ret)
		return ret;
	memset(dev, 0, sizeof(*dev));
	ret = load(s, "load", cfg, dev);
	if (ret) {
		script_close(s);
		return ret;
	}
	*script = s;
	return 0;
}

int script_help(const struct script_config *cfg)
{
	struct script *s;
	int ret = script_new(&s);

	if (ret)
		return ret;
	ret = load(s, "help", cfg, NULL);
	script_close(s);
	return ret;
}

int script_attach(struct script *s, struct ul_queue *queue)
{
	lua_pushlightuserdata(s->L, queue);
	return call_engine(s->L, "attach", 1, 1); /* stays at SLOT_SERVE */
}

void script_batch(struct script *s, unsigned count)
{
	lua_State *L = s->L;

	lua_pushvalue(L, SLOT_SERVE);
	lua_pushnumber(L, count);
	if (lua_pcall(L, 1, 0, 0) == 0)
		return;
	/* Handlers' errors end in loop.lua; this is the engine's own, or no memory. */
	if (!s->failed)
		log_error("the batch loop failed, its requests get EIO: %s", lua_tostring(L, -1));
	s->failed = true;
	lua_pop(L, 1);
}

void script_close(struct script *s)
{
	if (!s)
		return;
	if (lua_gettop(s->L) >= SLOT_ENGINE && lua_istable(s->L, SLOT_ENGINE))
		(void)call_engine(s->L, "close", 0, 0);
	lua_close(s->L);
	free(s);
}
