/* SPDX-License-Identifier: MIT */
/*
 * core/script_memory.c through the rig: scripts that leak, run away or make
 * garbage within a small limit, compiled and interpreted. Who takes too much
 * gets an error, the others are served, and the process lives.
 */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LIMIT = 4 << 20, BATCH = 16, RUNAWAY = 8 };

#define SAID	 "out of memory: the script uses more than 4 MiB (see --memory)"
#define FULL	 "the script holds more than 4 MiB (see --memory): it is not asked any more"
#define RUN_AWAY "local t = {} while true do t[#t + 1] = {} end"

/* Writes to the sectors 0 to BATCH - 1, again and again. */
static struct rig run(const char *script, unsigned rounds)
{
	static struct rig_request requests[BATCH];
	struct rig rig = { .script = script,
			   .requests = requests,
			   .count = BATCH,
			   .batch = BATCH,
			   .depth = BATCH,
			   .rounds = rounds,
			   .memory = LIMIT };

	for (unsigned i = 0; i < BATCH; i++)
		requests[i] = (struct rig_request){ .op = UL_OP_WRITE, .sector = i, .length = 512 };
	alarm(120);
	rig_run(&rig);
	alarm(0);
	if (rig.load == 0) {
		assert_int_equal(rig.end, -ENODEV);
		assert_int_equal(rig.faults, 0);
		assert_int_equal(rig.stats->op[UL_OP_WRITE].requests, (uint64_t)rounds * BATCH);
	}
	return rig;
}

/* `body` is that of a write handler, `head` what stands before the device. */
static struct rig run_both(const char *head, const char *body, unsigned rounds, bool compiled)
{
	char script[2048];

	snprintf(script, sizeof(script),
		 "%s local ublk = require 'ublk' local ffi = require 'ffi' %s\n"
		 "return { size = '1M', write = function(s, n, buf, req)\n%s end }",
		 compiled ? "" : "jit.off()", head, body);
	return run(script, rounds);
}

static uint64_t errors(const struct rig *rig)
{
	return rig->stats->op[UL_OP_WRITE].errors;
}

static void a_script_that_leaks_gets_errors_and_then_is_not_asked(void **state)
{
	static const char *const leaks[] = {
		"t[#t + 1] = ('x'):rep(10000) .. #t",
		"t[#t + 1] = ffi.new('uint8_t[?]', 10000)",
		"for i = 1, 100 do t[#t + 1] = { i } end",
	};

	for (unsigned i = 0; i < 2 * ARRAY_SIZE(leaks); i++) {
		struct rig rig = run_both("local t = {}", leaks[i / 2], 400, i % 2);

		assert_has(rig.log, "test.lua:3: " SAID);
		assert_has(rig.log, FULL);
		assert_in_range(count_lines(rig.log), 2, 16); /* with a traceback */
		assert_int_equal(rig.answers[0].result, -EIO);
		assert_in_range(errors(&rig), 400 * BATCH / 4, 400 * BATCH - 200);
	}
}

static void garbage_is_no_error(void **state)
{
	static const char *const garbage[] = {
		"for i = 1, 500 do local t = { i, ('x'):rep(100) .. i } end",
		"for i = 1, 20 do local b = ffi.new('uint8_t[?]', 100000) end",
		"local t = {} for i = 1, 20000 do t[i] = i end",
		"ublk.spawn(function() for i = 1, 1000 do local t = { i } end end)",
		"local b = ('x'):rep(1e6) .. s",
		"local t = {} for i = 1, 1000 do t[i] = { i } end ublk.sleep(0.001)",
	};

	for (unsigned i = 0; i < 2 * ARRAY_SIZE(garbage); i++) {
		/* Half of the limit is alive. */
		struct rig rig = run_both("local keep = ffi.new('uint8_t[?]', 1e6)", garbage[i / 2],
					  100, i % 2);

		assert_string_equal(rig.log, "");
		assert_int_equal(errors(&rig), 0);
	}
}

/* Each costs its own request, however many there are in a batch. */
static void a_handler_that_runs_away_fails_alone(void **state)
{
	static const char *const bodies[] = {
		"if s % 8 == 0 then " RUN_AWAY " end",
		"if s % 8 == 0 then local t = {} while true do t[#t + 1] = 'x' .. #t end end",
		"if s % 8 == 0 then local t = {} while true do t = { t } end end",
		"if s % 8 == 0 then local t = {}"
		" while true do t[#t + 1] = ffi.new('uint8_t[?]', 5000) end end",
		"if s % 8 == 0 then local x = 'x' while true do x = x .. x end end",
		"if s % 8 == 0 then ublk.sleep(0.001) " RUN_AWAY " end",
		/* The loop is machine code by then, and has no other allocation. */
		"for i = 1, s % 8 == 0 and 101 or 100 do local x = 'x'"
		" for _ = 1, i == 101 and 60 or 10 do x = x .. x end end",
		"if s % 8 == 0 then local x = ('x'):rep(1e7) .. s end",
	};

	for (unsigned i = 0; i < 2 * ARRAY_SIZE(bodies); i++) {
		struct rig rig = run_both("", bodies[i / 2], 1, i % 2);

		for (unsigned r = 0; r < BATCH; r++)
			assert_int_equal(rig.answers[r].result, r % RUNAWAY ? 512 : -EIO);
		assert_int_equal(errors(&rig), 2);
		assert_has(rig.log, "test.lua:3: " SAID);
		assert_lacks(rig.log, FULL);
	}
}

static void one_that_stops_the_collector_does_too(void **state)
{
	struct rig rig =
		run_both("collectgarbage 'stop'",
			 "if s % 8 == 0 then collectgarbage 'stop' " RUN_AWAY " end", 3, true);

	assert_int_equal(errors(&rig), 6);
	assert_lacks(rig.log, FULL);
}

static void an_error_can_be_caught(void **state)
{
	const char *body = "if s % 8 == 0 then\n"
			   " local ok, err = pcall(function() " RUN_AWAY " end)\n"
			   " assert(not ok and err:find 'out of memory')\n"
			   " return 'ENOSPC' end";

	for (unsigned i = 0; i < 2; i++) {
		struct rig rig = run_both("", body, 5, i);

		assert_string_equal(rig.log, "");
		for (unsigned r = 0; r < BATCH; r++)
			assert_int_equal(rig.answers[r].result, r % RUNAWAY ? 512 : -ENOSPC);
	}
}

/* What it gets is bounded, and what it held is there again for the next round. */
static void one_that_catches_it_again_and_again_stays_small(void **state)
{
	const char *body =
		"if s ~= 15 then return end\n"
		"local t, bad = {}, 0\n"
		"while bad < 100 do\n"
		"  if not pcall(function() for i = 1, 1000 do t[#t + 1] = { i } end end)\n"
		"  then bad = bad + 1 end end\n"
		"keep = math.max(keep, collectgarbage 'count')\n"
		"print('most', keep > 3000 and keep < 16384)";
	struct rig rig = run_both("local keep = 0", body, 3, true);

	assert_lacks(rig.log, FULL);
	assert_lacks(rig.log, "false");
	assert_in_range(errors(&rig), 0, 3);
}

static void a_script_that_runs_away_at_load_is_refused(void **state)
{
	struct rig rig = run("local a = 1\n" RUN_AWAY, 1);

	assert_int_equal(rig.load, -ENOEXEC);
	assert_has(rig.log, "test.lua:2: " SAID);
	assert_one_line(rig.log);
	rig = run("jit.off()\n\n" RUN_AWAY, 1);
	assert_int_equal(rig.load, -ENOEXEC);
	assert_has(rig.log, "test.lua:3: " SAID);
	assert_one_line(rig.log);
}

static void a_task_that_runs_away_is_ended_alone(void **state)
{
	struct rig rig =
		run_both("ublk.spawn(function() " RUN_AWAY " end)",
			 "if s == 0 then ublk.spawn(function() " RUN_AWAY " end) end", 5, true);

	assert_has(rig.log, "a task failed: ");
	assert_has(rig.log, SAID);
	assert_lacks(rig.log, FULL);
	assert_int_equal(errors(&rig), 0);
}

static void a_task_that_leaks_is_stopped_though_the_script_is_not_asked(void **state)
{
	struct rig rig =
		run_both("local t = {} local function leak() while true do\n"
			 " for i = 1, 1000 do t[#t + 1] = { i } end ublk.sleep(0) end end\n"
			 "for i = 1, 20 do ublk.spawn(leak) end",
			 "ublk.sleep(0.001)", 50, true);

	assert_has(rig.log, SAID);
	assert_has(rig.log, FULL);
}

/* What is let go of by a task, which runs on, is noticed after the pause. */
static void a_script_that_lets_go_is_asked_again(void **state)
{
	struct rig rig = run_both("local t, rounds = {}, 0 local gone = false\n"
				  "ublk.spawn(function() for i = 1, 500 do ublk.sleep(0) end\n"
				  " t, gone = {}, true end)",
				  "if not gone then for i = 1, 100 do t[#t + 1] = { s } end end",
				  3000, true);

	assert_has(rig.log, FULL);
	assert_in_range(errors(&rig), 400 * BATCH, 1500 * BATCH);
	for (unsigned r = 0; r < BATCH; r++)
		assert_int_equal(rig.answers[r].result, 512);
}

/* The string is gone with its handler, but LuaJIT's buffer for it is not, at once. */
static void one_huge_string_is_no_end(void **state)
{
	struct rig rig = run_both("", "if s == 15 then return #(('x'):rep(1e7) .. s) end", 3, true);

	assert_int_equal(errors(&rig), 3);
	assert_lacks(rig.log, FULL);
}

static void finalizers_that_throw_do_not_end_the_process(void **state)
{
	struct rig rig =
		run_both("local ffi = require 'ffi'\n"
			 "local function no() error 'in gc' end\n"
			 "local own = ffi.metatype('struct { int a; }', { __gc = no })",
			 "for i = 1, 30 do ffi.gc(ffi.new 'int[4]', no) own() end", 100, true);

	assert_has(rig.log, "a finalizer failed: ");
	assert_has(rig.log, "in gc");
}

/*
 * All of it at random, within one script. Who runs away fails, who makes a huge
 * string may (machine code lets go of it soon), and nobody else.
 */
static void any_mixture_is_survived(void **state)
{
	const char *head = "local runaway, huge = ublk.counter 'runaway', ublk.counter 'huge'\n"
			   "local t = {} local acts = {\n"
			   " function() " RUN_AWAY " end,\n"
			   " function() ublk.sleep(ublk.random()) " RUN_AWAY " end,\n"
			   " function() local x = ('x'):rep(5e6) .. #t end,\n"
			   " function() pcall(function() " RUN_AWAY " end) end,\n"
			   " function() for i = 1, 500 do t[#t + 1] = { i } end end,\n"
			   " function() t[#t + 1] = ffi.new('uint8_t[?]', 3e5) end,\n"
			   " function() end, function() t = {} end, function() t = {} end,\n"
			   " function() ublk.spawn(function() " RUN_AWAY " end) end,\n"
			   " function() ublk.sleep(ublk.random()) t = {} end }";
	const char *body = "local n = math.floor(ublk.random() * #acts) + 1\n"
			   "if n <= 2 then runaway:add() elseif n == 3 then huge:add() end\n"
			   "return acts[n]()";

	for (unsigned i = 0; i < 2; i++) {
		struct rig rig = run_both(head, body, 20, i);
		const struct ul_counter *counter = rig.stats->script.counter;
		uint64_t runaway = (uint64_t)counter[0].value, huge = (uint64_t)counter[1].value;

		assert_in_range(runaway, BATCH, 20 * BATCH);
		assert_in_range(errors(&rig), runaway, runaway + huge);
		assert_lacks(rig.log, "bug");
	}
}

/* What a text is trimmed to stays alive for as long as the library works on it. */
static void no_error_is_thrown_into_the_library_wherever_it_is(void **state)
{
	char dir[] = "/tmp/script-memory-XXXXXX", library[64], here[4096];

	assert_non_null(mkdtemp(dir));
	snprintf(library, sizeof(library), "%s/library", dir);
	assert_non_null(realpath("lua", here));
	assert_return_code(symlink(here, library), errno);
	assert_return_code(setenv("UBLK_LUA_PATH", library, 1), errno);
	struct rig rig = run("local ublk = require 'ublk'\n"
			     "local text = (' x'):rep(800000)\n"
			     "return { write = function() ublk.range(text) end }",
			     2);

	unsetenv("UBLK_LUA_PATH");
	unlink(library);
	rmdir(dir);
	assert_int_equal(rig.load, 0);
	assert_lacks(rig.log, "units.lua");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_script_that_leaks_gets_errors_and_then_is_not_asked),
		cmocka_unit_test(garbage_is_no_error),
		cmocka_unit_test(a_handler_that_runs_away_fails_alone),
		cmocka_unit_test(one_that_stops_the_collector_does_too),
		cmocka_unit_test(an_error_can_be_caught),
		cmocka_unit_test(one_that_catches_it_again_and_again_stays_small),
		cmocka_unit_test(a_script_that_runs_away_at_load_is_refused),
		cmocka_unit_test(a_task_that_runs_away_is_ended_alone),
		cmocka_unit_test(a_task_that_leaks_is_stopped_though_the_script_is_not_asked),
		cmocka_unit_test(a_script_that_lets_go_is_asked_again),
		cmocka_unit_test(one_huge_string_is_no_end),
		cmocka_unit_test(finalizers_that_throw_do_not_end_the_process),
		cmocka_unit_test(no_error_is_thrown_into_the_library_wherever_it_is),
		cmocka_unit_test(any_mixture_is_survived),
	};

	return cmocka_run_group_tests_name("script_memory", tests, NULL, NULL);
}
