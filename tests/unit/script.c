/* SPDX-License-Identifier: MIT */
/*
 * Scripts against core/script.c and lua/ublk/loop.lua: each verdict, each way
 * a handler can go wrong, and what the log says about it. A wrong script fails
 * its own requests, the others are served, and every tag is answered once.
 */
#include "support.h"

#include <errno.h>
#include <stdio.h>

#include "script.h"

enum { MANY = 64 };

#define DEVICE(write_body)                                                                         \
	"return { size = '1M',\n"                                                                  \
	"  write = function(sector, length, buf, req)\n" write_body "\n end }"

/* Requests 0 and 2 are the handler's, 1 and 3 show that the device lives. */
static const struct rig_request requests[] = {
	{ .op = UL_OP_WRITE, .sector = 0, .length = 512, .fill = 1 },
	{ .op = UL_OP_WRITE, .sector = 8, .length = 512, .fill = 2 },
	{ .op = UL_OP_WRITE, .sector = 0, .length = 512, .fill = 3 },
	{ .op = UL_OP_READ, .sector = 8, .length = 512 },
};

static struct rig run(const char *script, unsigned batch)
{
	struct rig rig = { .script = script, .batch = batch, .requests = requests, .count = 4 };

	rig_run(&rig);
	assert_int_equal(rig.load, 0);
	assert_int_equal(rig.end, -ENODEV);
	assert_int_equal(rig.faults, 0);
	return rig;
}

/* Sector 0 gets `body`'s verdict, sector 8 goes through. */
static struct rig run_body(const char *body)
{
	char script[1024];

	snprintf(script, sizeof(script), DEVICE("    if sector == 0 then %s end"), body);
	return run(script, 4);
}

static void assert_others_served(const struct rig *rig)
{
	assert_int_equal(rig->answers[1].result, 512);
	assert_int_equal(rig->answers[3].result, 512);
}

static void errno_verdicts_are_that_errno(void **state)
{
	static const struct {
		const char *body;
		int32_t result;
	} cases[] = {
		{ "return 'EIO'", -EIO },
		{ "return 'ENODATA'", -ENODATA },
		{ "return 'ENOSPC'", -ENOSPC },
		{ "return 'EILSEQ'", -EILSEQ },
		{ "return 'ETIMEDOUT'", -ETIMEDOUT },
		{ "return 'ENOTSUP'", -EOPNOTSUPP },
		{ "return 'EOPNOTSUPP'", -EOPNOTSUPP },
		{ "return -5", -EIO },
		{ "return -61", -ENODATA },
		{ "return true", 512 },
		{ "return nil", 512 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig rig = run_body(cases[i].body);

		assert_int_equal(rig.answers[0].result, cases[i].result);
		assert_int_equal(rig.answers[2].result, cases[i].result);
		assert_others_served(&rig);
		assert_string_equal(rig.log, "");
	}
}

static void what_is_no_verdict_is_eio_and_one_line(void **state)
{
	static const struct {
		const char *body;
		const char *said;
	} cases[] = {
		{ "return 'EFOO'", "returned \"EFOO\"" },
		{ "return 'eio'", "returned \"eio\"" },
		{ "return ''", "returned \"\"" },
		{ "return 5", "returned 5" },
		{ "return 0", "returned 0" },
		{ "return 1", "returned 1" },
		{ "return -4096", "returned -4096" },
		{ "return -5.5", "returned -5.5" },
		{ "return 0/0", "returned nan" },
		{ "return {}", "returned {}" },
		{ "return false", "returned false" },
		{ "return print", "returned a function" },
		{ "return req", "returned a cdata" },
		{ "return coroutine.running()", "returned a thread" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig rig = run_body(cases[i].body);

		assert_int_equal(rig.answers[0].result, -EIO);
		assert_int_equal(rig.answers[2].result, -EIO);
		assert_others_served(&rig);
		assert_has(rig.log, "write: the handler ");
		if (cases[i].said[9] != 'n') /* a NaN's sign is the machine's */
			assert_has(rig.log, cases[i].said);
		assert_int_equal(count_lines(rig.log), 2); /* at once, and the count at the end */
		assert_has(rig.log, "(2 times in all)");
	}
}

static void errnos_that_are_no_errors_are_refused(void **state)
{
	static const struct {
		const char *body;
		const char *said;
	} cases[] = {
		{ "return 'EAGAIN'", "EAGAIN means" },	    { "return -11", "EAGAIN means" },
		{ "return 'EWOULDBLOCK'", "EAGAIN means" }, { "return 'EREMCHG'", "EREMCHG makes" },
		{ "return -78", "EREMCHG makes" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig rig = run_body(cases[i].body);

		assert_int_equal(rig.answers[0].result, -EIO);
		assert_others_served(&rig);
		assert_has(rig.log, "write: the handler's verdict is refused");
		assert_has(rig.log, cases[i].said);
	}
}

static void a_handler_that_throws_fails_its_request(void **state)
{
	struct rig rig = run_body("local t = nil; return t.field");

	assert_int_equal(rig.answers[0].result, -EIO);
	assert_int_equal(rig.answers[2].result, -EIO);
	assert_others_served(&rig);
	/* What, where, and how it came there. */
	assert_has(rig.log, "write: the handler failed, the request gets EIO: ");
	assert_has(rig.log, "test.lua:3: attempt to index local 't'");
	assert_has(rig.log, "stack traceback:");
	assert_has(rig.log, "(2 times in all)");
}

static void thrown_objects_are_told_as_they_are(void **state)
{
	static const struct {
		const char *body;
		const char *said;
	} cases[] = {
		{ "error { code = 1 }", "table: 0x" },
		{ "error()", "nil" },
		{ "error(nil)", "nil" },
		{ "error(42, 0)", "42" },
		{ "error(false)", "false" },
		{ "error(setmetatable({}, { __tostring = function() return 'mine' end }))",
		  "mine" },
		{ "error(req)", "cdata" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig rig = run_body(cases[i].body);

		assert_int_equal(rig.answers[0].result, -EIO);
		assert_int_equal(rig.answers[2].result, -EIO);
		assert_others_served(&rig);
		assert_has(rig.log, "write");
		assert_has(rig.log, cases[i].said);
	}
}

/* The error's own tostring throws: that is an error in the loop itself. */
static void errors_that_cannot_be_told_fail_one_request(void **state)
{
	struct rig rig = run_body("error(setmetatable({}, { __tostring = function()"
				  " error 'again' end }))");

	assert_int_equal(rig.answers[0].result, -EIO);
	assert_int_equal(rig.answers[2].result, -EIO);
	assert_others_served(&rig);
	assert_has(rig.log, "again");
}

static void a_yield_fails_its_request_and_the_rest_is_served(void **state)
{
	for (unsigned batch = 1; batch <= 4; batch++) {
		struct rig rig =
			run(DEVICE("    if sector == 0 then coroutine.yield('x') end"), batch);

		assert_int_equal(rig.answers[0].result, -EIO);
		assert_int_equal(rig.answers[2].result, -EIO);
		assert_others_served(&rig);
		assert_has(rig.log, "coroutine.yield");
	}
}

/* In place of the loop's own private value, anything may be yielded. */
static void no_yielded_value_is_taken_for_the_end_of_a_batch(void **state)
{
	struct rig rig = run_body("coroutine.yield(nil)");

	assert_int_equal(rig.answers[0].result, -EIO);
	assert_others_served(&rig);
	/* Nothing at all, and a collector that looks at the coroutine's stack at once. */
	rig = run_body("collectgarbage('setpause', 0); coroutine.yield()");
	assert_int_equal(rig.answers[0].result, -EIO);
	assert_others_served(&rig);
	rig = run_body("coroutine.yield({})");
	assert_int_equal(rig.answers[0].result, -EIO);
	assert_others_served(&rig);
}

/* UL_PARKED must not get out as an answer, of two bytes. */
static void a_yield_after_a_wait_fails_its_request_whatever_lua_does(void **state)
{
	struct rig rig = run_body("require('ublk').sleep(0)"
				  " require('ublk.engine').settle = error coroutine.yield()");

	assert_int_equal(rig.answers[0].result, -EIO);
	assert_int_equal(rig.answers[2].result, -EIO);
	assert_others_served(&rig);
}

static void an_undeclared_variable_fails_its_request(void **state)
{
	struct rig rig = run_body("return countr");

	assert_int_equal(rig.answers[0].result, -EIO);
	assert_others_served(&rig);
	assert_has(rig.log, "test.lua:3: undeclared variable countr: write \"local countr\"");
	rig = run_body("count = sector");
	assert_int_equal(rig.answers[2].result, -EIO);
	assert_others_served(&rig);
	assert_has(rig.log, "test.lua:3: assignment to undeclared variable count");
}

static void endless_recursion_fails_its_request(void **state)
{
	struct rig rig = run_body("local function f() return 1 + f() end return f()");

	assert_int_equal(rig.answers[0].result, -EIO);
	assert_int_equal(rig.answers[2].result, -EIO);
	assert_others_served(&rig);
	assert_has(rig.log, "stack overflow");
}

static void no_memory_for_a_handler_fails_its_request(void **state)
{
	struct rig rig = run_body("return ('x'):rep(2 ^ 20):rep(2 ^ 12)");

	assert_int_equal(rig.answers[0].result, -EIO);
	assert_int_equal(rig.answers[2].result, -EIO);
	assert_others_served(&rig);
	assert_has(rig.log, "write: ");
	assert_has(rig.log, "memory");
}

/* A script may spoil its view of a request; the answer goes to the right tag all the same. */
static void changing_a_request_does_not_misdirect_its_answer(void **state)
{
	static const char *const bodies[] = {
		"req.tag = 5",	       "req.tag = 9999",      "req.op = 250; return 'EIO'",
		"req.length = 2 ^ 31", "req.sector = 2 ^ 53", "req._verdict = 99; return 'EIO'",
		"req._buf = 0",
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct rig rig = run_body(bodies[i]);

		assert_others_served(&rig);
	}
}

static void a_mistake_is_told_once_and_counted(void **state)
{
	struct rig_request many[MANY];
	struct rig rig = {
		.script = DEVICE("    error 'always'"),
		.batch = 8,
		.requests = many,
		.count = MANY,
	};

	for (unsigned i = 0; i < MANY; i++)
		many[i] = requests[0];
	rig_run(&rig);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(rig.answers[i].result, -EIO);
	assert_has(rig.log, "test.lua:3: always");
	assert_has(rig.log, "(64 times in all)");
	assert_true(count_lines(rig.log) < 12);
}

/* Each request's message differs, so "the same again" does not hold it back. */
static void messages_that_differ_do_not_fill_the_log(void **state)
{
	struct rig_request many[MANY];
	struct rig rig = {
		.script = DEVICE("    error('bad sector ' .. sector)"),
		.requests = many,
		.count = MANY,
	};

	for (unsigned i = 0; i < MANY; i++) {
		many[i] = requests[0];
		many[i].sector = i;
	}
	rig_run(&rig);
	assert_int_equal(rig.answers[MANY - 1].result, -EIO);
	assert_has(rig.log, "bad sector 0");
	assert_true(count_lines(rig.log) < 200);
}

static int load(const char *text, const char **log)
{
	struct rig rig = { .script = text };

	rig_run(&rig);
	*log = rig.log;
	return rig.load;
}

static void load_errors_say_what_and_where_on_one_line(void **state)
{
	static const struct {
		const char *script;
		const char *said;
	} cases[] = {
		{ "return {\n  size = = 1\n}", "test.lua:2: unexpected symbol near '='" },
		{ "local x\nreturn { size = x.y }", "test.lua:2: attempt to index local 'x'" },
		{ "error 'no way'", "test.lua:1: no way" },
		{ "error({})", "table: 0x" },
		{ "", "the script returned nothing" },
		{ "return 5", "the script returned a number" },
		{ "return { size = '1X' }", "test.lua: size = \"1X\": needs a size such as" },
		{ "return { syze = 1 }", "test.lua: unknown field \"syze\"; a device has " },
		{ "require 'ublk'.file ''", "test.lua:1: ublk.file needs a path" },
		{ "require 'ublk'.randomseed(-1)", "test.lua:1: ublk.randomseed needs" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *log;

		assert_int_equal(load(cases[i].script, &log), -ENOEXEC);
		assert_has(log, cases[i].said);
		assert_one_line(log);
	}
}

static void a_missing_module_is_one_line(void **state)
{
	const char *log;

	assert_int_equal(load("local m = require 'nosuch'\nreturn m", &log), -ENOEXEC);
	assert_has(log, "test.lua:1: module 'nosuch' not found");
	assert_one_line(log);
}

static int open_with(const char *path, const char *word, const char **log)
{
	char *args[] = { (char *)word };
	struct ul_device dev;
	struct script *script;
	int ret;

	log_begin();
	ret = script_open(
		&script,
		&(struct script_config){ .path = path, .args = args, .arg_count = word ? 1 : 0 },
		&dev);
	if (ret == 0)
		script_close(script);
	*log = log_end();
	return ret;
}

static void wrong_words_are_usage_errors(void **state)
{
	const char *path = temp_file("words.lua", "local o = require 'ublk'.options {\n"
						  "  size = { type = 'size', default = '1M' } }\n"
						  "return { size = o.size }");
	static const char *const words[] = { "sise=1", "size=big", "size", "=1" };
	const char *log;

	assert_int_equal(open_with(path, "size=2M", &log), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		assert_int_equal(open_with(path, words[i], &log), -EINVAL);
		assert_has(log, "words.lua: ");
		assert_one_line(log);
	}
}

static void what_is_no_script_is_named(void **state)
{
	const char *log;

	assert_int_equal(open_with("/nonexistent/x.lua", NULL, &log), -ENOENT);
	assert_has(log, "/nonexistent/x.lua: No such file or directory");
	assert_one_line(log);
	assert_int_equal(open_with("/", NULL, &log), -ENOENT);
	assert_has(log, "/: Is a directory");
	assert_one_line(log);
}

static void a_chunk_loads_for_each_queue_as_a_file_does(void **state)
{
	struct script_config config = {
		.path = "-e",
		.chunk = "{ size = ublk.size '1M', write = function() end } -- a disk",
		.seed = 1,
	};

	for (config.queue = 0; config.queue < 2; config.queue++) {
		struct script *script;
		struct ul_device dev;

		assert_int_equal(script_open(&script, &config, &dev), 0);
		assert_true(dev.size == 1 << 20);
		assert_int_equal(dev.op_mask, 1 << UL_OP_WRITE);
		script_close(script);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errno_verdicts_are_that_errno),
		cmocka_unit_test(what_is_no_verdict_is_eio_and_one_line),
		cmocka_unit_test(errnos_that_are_no_errors_are_refused),
		cmocka_unit_test(a_handler_that_throws_fails_its_request),
		cmocka_unit_test(thrown_objects_are_told_as_they_are),
		cmocka_unit_test(errors_that_cannot_be_told_fail_one_request),
		cmocka_unit_test(a_yield_fails_its_request_and_the_rest_is_served),
		cmocka_unit_test(no_yielded_value_is_taken_for_the_end_of_a_batch),
		cmocka_unit_test(a_yield_after_a_wait_fails_its_request_whatever_lua_does),
		cmocka_unit_test(an_undeclared_variable_fails_its_request),
		cmocka_unit_test(endless_recursion_fails_its_request),
		cmocka_unit_test(no_memory_for_a_handler_fails_its_request),
		cmocka_unit_test(changing_a_request_does_not_misdirect_its_answer),
		cmocka_unit_test(a_mistake_is_told_once_and_counted),
		cmocka_unit_test(messages_that_differ_do_not_fill_the_log),
		cmocka_unit_test(load_errors_say_what_and_where_on_one_line),
		cmocka_unit_test(a_missing_module_is_one_line),
		cmocka_unit_test(wrong_words_are_usage_errors),
		cmocka_unit_test(what_is_no_script_is_named),
		cmocka_unit_test(a_chunk_loads_for_each_queue_as_a_file_does),
	};

	return cmocka_run_group_tests_name("script", tests, NULL, NULL);
}
