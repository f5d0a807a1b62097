/* SPDX-License-Identifier: MIT */
/*
 * The C side of lua/ublk/engine.lua. Its functions are called through pcall; a
 * batch resumes the worker coroutine directly, which is half the price of a
 * call that resumes it in Lua. The modules are linked in as bytecode, where
 * LuaJIT's `require` finds them by their symbols; UBLK_LUA_PATH names a folder
 * whose modules come first, for work on them.
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

/* Places on the stack of a state. */
enum {
	SLOT_ENGINE = 1, /* the module table */
	SLOT_WORKER,	 /* the worker coroutine, once attached: kept here from the collector */
};

struct script {
	lua_State *L;
	lua_State *worker; /* at SLOT_WORKER; NULL when Lua could not make one */
	const void *idle;  /* what the worker yields when its batch is done */
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

	if (s)
		s->L = luaL_newstate();
	if (!s || !s->L) {
		log_error("no memory for a Lua state");
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
	lua_pushlightuserdata(L, cfg->stats);
	lua_pushstring(L, cfg->chunk);
	ret = call_engine(L, how, 7, 2);
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

/* The coroutine on top becomes the worker. */
static void set_worker(struct script *s)
{
	s->worker = lua_tothread(s->L, -1);
	lua_replace(s->L, SLOT_WORKER);
}

int script_attach(struct script *s, struct ul_queue *queue)
{
	int ret;

	lua_pushnil(s->L); /* SLOT_WORKER */
	lua_pushlightuserdata(s->L, queue);
	s->idle = queue;
	ret = call_engine(s->L, "attach", 1, 1);
	if (ret == 0)
		set_worker(s);
	return ret;
}

/*
 * The worker has stopped within the batch: a handler yielded, or the loop
 * itself failed, for want of memory say. Lua settles that request and gives a
 * worker for the rest. False when it cannot: the rest keeps the verdict EIO.
 */
static bool replace_worker(struct script *s, int status)
{
	/* A yield may have left nothing: its stack has no place -1 then. */
	const char *error = status == LUA_YIELD ? NULL : lua_tostring(s->worker, -1);

	if (status == LUA_YIELD)
		lua_pushnil(s->L);
	else
		lua_pushstring(s->L, error ? error : "with an error that is no text");
	if (call_engine(s->L, "replace", 1, 1) == 0) {
		set_worker(s);
		return s->worker != NULL;
	}
	s->worker = NULL;
	return false;
}

void script_batch(struct script *s, unsigned count)
{
	int args = 1;

	if (!s->worker)
		return;
	lua_pushnumber(s->worker, count);
	for (;;) {
		int status = lua_resume(s->worker, args);

		if (status == LUA_YIELD && lua_gettop(s->worker) == 1 &&
		    lua_touserdata(s->worker, 1) == s->idle) {
			lua_settop(s->worker, 0);
			return;
		}
		if (!replace_worker(s, status))
			return;
		args = 0;
	}
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
