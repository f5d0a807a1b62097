/* SPDX-License-Identifier: MIT */
/*
 * The C side of lua/ublk/engine.lua. Its functions are called through pcall; a
 * batch resumes a coroutine directly, which is half the price of a call that
 * resumes it in Lua. The modules are linked in as bytecode, where
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
#include <sys/resource.h>

#include "log.h"
#include "script_memory.h"

#define SAME_PLACE(view, req)                                                                      \
	_Static_assert(offsetof(struct ul_view, view) == offsetof(struct ul_req, req), #req)
SAME_PLACE(sector, sector);
SAME_PLACE(time, time);
SAME_PLACE(_buf, buf);
SAME_PLACE(_placed, placed);
SAME_PLACE(length, length);
SAME_PLACE(flags, flags);
SAME_PLACE(_verdict, verdict);
SAME_PLACE(tag, tag);
SAME_PLACE(queue, queue);
SAME_PLACE(op, op);
SAME_PLACE(_marks, marks);
_Static_assert(sizeof(struct ul_view) == sizeof(struct ul_req), "size");

enum { SLOT_ENGINE = 1 }; /* on the stack of a state: the module table */

/* A fiber is a coroutine that serves batches and tasks, and stops where a handler waits. */
struct script {
	lua_State *L;
	struct script_memory memory;
	struct ul_queue *queue; /* that it is attached to */
	lua_State **parked;	/* by slot: the fiber that waits there, or NULL */
	lua_State **idle;	/* fibers without work; the last one back goes first */
	uint32_t idle_count;
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
	log_bug("engine.%s: %s", name, lua_tostring(L, -1));
	lua_pop(L, 1);
	return -ENOEXEC;
}

/* Modules in UBLK_LUA_PATH win over those in the binary: search files before symbols. */
static void prefer_path(lua_State *L, const char *dir)
{
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "path"); /* LuaJIT's own files */
	lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s", dir, dir, lua_tostring(L, -1));
	lua_setfield(L, -3, "path");
	lua_pop(L, 1);
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

/*
 * This thread, the main one, has as much stack as the shell that started it
 * allows; but the limit is read when the stack grows, and the kernel keeps at
 * least 128 MB free below it. What the script starts inherits the limit.
 */
static void allow_deep_stack(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_STACK, &limit) || limit.rlim_cur >= SCRIPT_STACK)
		return;
	limit.rlim_cur = limit.rlim_max < SCRIPT_STACK ? limit.rlim_max : SCRIPT_STACK;
	(void)setrlimit(RLIMIT_STACK, &limit); /* without it a deep recursion crashes */
}

static int script_new(struct script **script, size_t memory)
{
	struct script *s = calloc(1, sizeof(*s));

	allow_deep_stack();
	if (s)
		s->L = luaL_newstate();
	if (!s || !s->L) {
		log_error("no memory for a Lua state");
		free(s);
		return -ENOMEM;
	}
	script_memory_open(&s->memory, s->L, memory);
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
	(void)script_memory_enter(&s->memory);
	ret = call_engine(L, how, 7, 2);
	script_memory_leave(&s->memory);
	return ret ? ret : load_result(L);
}

int script_open(struct script **script, const struct script_config *cfg, struct ul_device *dev)
{
	struct script *s;
	int ret = script_new(&s, cfg->memory);

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
	int ret = script_new(&s, cfg->memory);

	if (ret)
		return ret;
	ret = load(s, "help", cfg, NULL);
	script_close(s);
	return ret;
}

int script_attach(struct script *s, struct ul_queue *queue)
{
	uint32_t slots = queue->depth + queue->tasks;

	s->queue = queue;
	s->parked = calloc(slots, sizeof(*s->parked));
	s->idle = calloc(slots + 1, sizeof(*s->idle)); /* each slot waits, and one serves */
	if (!s->parked || !s->idle) {
		log_error("no memory for a script's coroutines");
		return -ENOMEM;
	}
	/* The queue itself, and the two pointers that a fiber yields. */
	lua_pushlightuserdata(s->L, queue);
	lua_pushlightuserdata(s->L, queue);
	lua_pushlightuserdata(s->L, &queue->parking);
	return call_engine(s->L, "attach", 3, 0);
}

/*
 * A coroutine that waits for work; its first argument is there already: the
 * queue's address, which says that it is C who resumes it. Lua keeps it from
 * the collector. NULL: Lua has no memory; the error is on top of the state's stack.
 */
static lua_State *take_fiber(struct script *s)
{
	lua_State *fiber;

	if (s->idle_count) {
		fiber = s->idle[--s->idle_count];
	} else {
		lua_getfield(s->L, SLOT_ENGINE, "new_fiber");
		if (lua_pcall(s->L, 0, 1, 0))
			return NULL;
		fiber = lua_tothread(s->L, -1);
		lua_pop(s->L, 1);
	}
	lua_pushlightuserdata(fiber, s->queue);
	return fiber;
}

/* How a fiber stopped: it yields one of two pointers that no script can have. */
enum stop { FINISHED, PARKED, FAILED };

static enum stop run(struct script *s, lua_State *fiber, int args)
{
	int status = lua_resume(fiber, args);
	const void *token = NULL;

	if (status == LUA_YIELD && lua_gettop(fiber) == 1)
		token = lua_touserdata(fiber, 1);
	if (token == s->queue) {
		lua_settop(fiber, 0);
		s->idle[s->idle_count++] = fiber;
		return FINISHED;
	}
	if (token == &s->queue->parking) {
		lua_settop(fiber, 0);
		s->parked[s->queue->parking] = fiber;
		if (s->queue->parking < s->queue->depth)
			s->queue->reqs[s->queue->parking].marks |= UL_MARK_HIT;
		return PARKED;
	}
	return FAILED;
}

enum { BATCH = -1 }; /* instead of a slot */

/*
 * A handler yielded by itself, or the loop failed, for want of memory say: in
 * `fiber`, or there was none for it. It was resumed for `slot`. Lua tells it,
 * and gives the request at hand the verdict of a failed one.
 */
static void settle(struct script *s, lua_State *fiber, int slot)
{
	/* Nothing here may allocate: a collection may run a finalizer that throws. */
	if (fiber && lua_status(fiber) == LUA_YIELD)
		lua_pushnil(s->L);
	else if (fiber && lua_gettop(fiber) && lua_type(fiber, -1) == LUA_TSTRING)
		lua_xmove(fiber, s->L, 1);
	else if (fiber)
		lua_pushboolean(s->L, true);
	if (slot == BATCH)
		lua_pushnil(s->L);
	else
		lua_pushinteger(s->L, slot);
	s->queue->rest = 0; /* stays so when Lua fails again: then the batch keeps its verdicts */
	(void)call_engine(s->L, "settle", 2, 0);
}

static void serve_batch(struct script *s, unsigned count)
{
	lua_State *fiber = take_fiber(s);
	int args = 2;

	if (fiber)
		lua_pushnumber(fiber, count);
	while (fiber) {
		enum stop stop = run(s, fiber, args);

		if (stop == FINISHED)
			return;
		if (stop == PARKED)
			s->queue->reqs[s->queue->parking].verdict = UL_PARKED;
		else
			settle(s, fiber, BATCH);
		if (!s->queue->rest)
			return;
		fiber = take_fiber(s);
		args = 1;
	}
	settle(s, NULL, BATCH);
}

void script_batch(struct script *s, unsigned count)
{
	if (!script_memory_enter(&s->memory))
		return;
	serve_batch(s, count);
	script_memory_leave(&s->memory);
}

bool script_resume(struct script *s, uint32_t slot)
{
	lua_State *fiber = s->parked[slot];
	enum stop stop;
	int args = 1;

	s->parked[slot] = NULL;
	if (fiber) {
		lua_pushlightuserdata(fiber, s->queue);
	} else if (slot < s->queue->depth) {
		return false; /* nothing waits there: whoever parked it did not stop */
	} else {	      /* a task begins */
		fiber = take_fiber(s);
		if (!fiber) {
			settle(s, NULL, (int)slot);
			return true;
		}
		lua_pushnil(fiber);
		lua_pushnumber(fiber, slot);
		args = 3;
	}
	(void)script_memory_enter(&s->memory); /* who waits may be who lets go */
	stop = run(s, fiber, args);
	script_memory_leave(&s->memory);
	if (stop == FAILED) {
		if (slot < s->queue->depth) /* in case that Lua can settle nothing any more */
			s->queue->reqs[slot].verdict = -EIO;
		settle(s, fiber, (int)slot);
	}
	return stop != PARKED;
}

void script_tidy(struct script *s)
{
	script_memory_step(&s->memory);
}

bool script_was_full(const struct script *s)
{
	return s->memory.told;
}

void script_stopping(struct script *s)
{
	(void)call_engine(s->L, "stopping", 0, 0);
}

int script_ask(struct script *s, const char *question, char **answer)
{
	int ret = call_engine(s->L, question, 0, 1);

	if (ret)
		return ret;
	if (answer) {
		*answer = strdup(lua_tostring(s->L, -1));
		ret = *answer ? 0 : -ENOMEM;
	}
	lua_pop(s->L, 1);
	return ret;
}

int script_command(struct script *s, const char *request, size_t size, char **answer)
{
	int ret;

	lua_pushlstring(s->L, request, size);
	(void)script_memory_enter(&s->memory); /* it may be what lets go */
	ret = call_engine(s->L, "command", 1, 1);
	script_memory_leave(&s->memory);
	if (ret)
		return ret;
	*answer = strdup(lua_tostring(s->L, -1));
	lua_pop(s->L, 1);
	return *answer ? 0 : -ENOMEM;
}

void script_close(struct script *s)
{
	if (!s)
		return;
	if (lua_gettop(s->L) >= SLOT_ENGINE && lua_istable(s->L, SLOT_ENGINE))
		(void)call_engine(s->L, "close", 0, 0);
	script_memory_close(&s->memory);
	lua_close(s->L);
	free(s->parked);
	free(s->idle);
	free(s);
}
