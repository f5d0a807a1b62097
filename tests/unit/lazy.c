/* SPDX-License-Identifier: MIT */
/*
 * core/dispatch.c where a request's data is with the driver: it is fetched for
 * those who look at it, and for nobody else, and what a read gets goes back
 * with its answer alone. The driver's memory is a file; see tests/rig.c.
 */
#include "support.h"

#include <errno.h>

static const struct rig_request write_then_read[] = {
	{ .op = UL_OP_WRITE, .sector = 8, .length = 4096, .fill = 0xa1 },
	{ .op = UL_OP_READ, .sector = 8, .length = 4096 },
};

enum { WRITE, READ, BOTH };

#define LIBS "local ublk, ffi = require 'ublk', require 'ffi'\n"

static struct rig run(const char *script, bool debug)
{
	struct rig rig = { .script = script,
			   .batch = 1,
			   .depth = 1, /* one buffer for both: what is left in it would show */
			   .debug = debug,
			   .requests = write_then_read,
			   .count = BOTH };

	rig_run(&rig);
	assert_int_equal(rig.load, 0);
	assert_int_equal(rig.end, -ENODEV);
	assert_int_equal(rig.faults, 0);
	assert_int_equal(rig.misuses, 0);
	return rig;
}

static void assert_read(const struct rig *rig, uint8_t first, uint8_t last)
{
	assert_int_equal(rig->answers[WRITE].result, 4096);
	assert_int_equal(rig->answers[READ].result, 4096);
	assert_int_equal(rig->answers[READ].first, first);
	assert_int_equal(rig->answers[READ].last, last);
}

/* A slow backing is not lazy: it wants the data in memory. */
static void who_does_not_look_costs_no_copy(void **state)
{
	static const char *const scripts[] = {
		NULL,
		LIBS "return { size = '1M', flush = function() end }",
		LIBS "return { size = '1M', data = false, handler = function() end }",
		LIBS "return { size = '1M', data = false, handler = function(_, _, _, _, req)\n"
		     "  return req:forward() end }",
		LIBS
		"return { size = '1M', data = false, handler = function() ublk.sleep '1ms' end }",
		LIBS "return { size = '1M', handler = function(op, sector, length) end }",
		/* The backing fills it. */
		LIBS "return { size = '1M', read = function(_, _, buf) end }",
	};

	for (unsigned i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct rig rig = run(scripts[i], false);

		assert_read(&rig, 0xa1, 0xa1);
		assert_int_equal(rig.fetched, rig_slow ? BOTH : 0);
	}
}

static void an_error_without_a_look_costs_no_copy(void **state)
{
	struct rig rig = run(LIBS "return { size = '1M', data = false,\n"
				  "  handler = function() return 'ENOSPC' end }",
			     false);

	assert_int_equal(rig.answers[WRITE].result, -ENOSPC);
	assert_int_equal(rig.answers[READ].result, -ENOSPC);
	assert_int_equal(rig.fetched, 0);
}

static void who_looks_sees_what_is_written_and_may_change_it(void **state)
{
	static const char *const scripts[] = {
		LIBS "return { size = '1M', write = function(_, n, buf)\n"
		     "  if buf[0] ~= 0xa1 or buf[n - 1] ~= 0xa1 then return 'EDOM' end\n"
		     "  buf[0] = 7 end }",
		/* Another layer looks: then the data is there for the whole request. */
		LIBS
		"return { size = '1M', data = false, write = function(_, _, buf, req)\n"
		"  if buf ~= nil then return 'EDOM' end return req:forward() end, layers = { {\n"
		"  write = function(_, _, buf)\n"
		"  if buf[0] ~= 0xa1 then return 'EDOM' end buf[0] = 7 end } } }",
		LIBS "return { size = '1M', write = function(_, _, buf, req)\n"
		     "  buf[0] = 7 ublk.sleep '1ms' return req:forward() end }",
	};

	for (unsigned i = 0; i < ARRAY_SIZE(scripts); i++) {
		for (int debug = 0; debug < 2; debug++) {
			struct rig rig = run(scripts[i], debug);

			assert_read(&rig, 7, 0xa1);
		}
	}
}

static void who_looks_gives_and_changes_what_is_read(void **state)
{
	static const char *const scripts[] = {
		LIBS "return { size = '1M', read = function(_, n, buf)\n"
		     "  ffi.fill(buf, n, 9) buf[0] = 7 return true end }",
		LIBS "return { size = '1M', read = function(_, n, buf, req)\n"
		     "  req:forward() if buf[0] ~= 0xa1 then return 'EDOM' end\n"
		     "  ffi.fill(buf, n, 9) buf[0] = 7 end }",
		LIBS "return { size = '1M', read = function(_, n, buf, req)\n"
		     "  ublk.backing:read(8, 4096, buf) if buf[0] ~= 0xa1 then return 'EDOM' end\n"
		     "  ffi.fill(buf, n, 9) buf[0] = 7 return true end }",
	};

	for (unsigned i = 0; i < ARRAY_SIZE(scripts); i++) {
		for (int debug = 0; debug < 2; debug++) {
			struct rig rig = run(scripts[i], debug);

			assert_read(&rig, 7, 9);
		}
	}
}

/* What is not answered with success leaves the client's memory alone. */
static void a_read_that_fails_gives_nothing(void **state)
{
	struct rig rig = run(LIBS "return { size = '1M', read = function(_, n, buf)\n"
				  "  ffi.fill(buf, n, 9) return 'EIO' end }",
			     false);

	assert_int_equal(rig.answers[READ].result, -EIO);
	assert_int_equal(rig.answers[READ].first, 0xee);
}

static void a_pass_with_the_guard_gives_the_backings_data(void **state)
{
	struct rig rig = run(LIBS "return { size = '1M', read = function(_, _, buf) end }", true);

	assert_read(&rig, 0xa1, 0xa1);
}

/* Not what the kernel's memory held before: that is somebody else's. */
static void done_without_a_look_gives_an_old_buffer(void **state)
{
	struct rig rig =
		run(LIBS "return { size = '1M', data = false, read = function() return true end }",
		    false);

	assert_int_equal(rig.answers[READ].result, 4096);
	assert_int_not_equal(rig.answers[READ].first, 0xee);
}

static void what_cannot_be_fetched_is_an_error_and_no_data(void **state)
{
	static const char *const scripts[] = {
		LIBS "return { size = '1M', handler = function(...) return true end }",
		LIBS
		"return { size = '1M', read = function(_, _, _, req) return req:forward() end,\n"
		"  write = function(_, _, _, req) return req:forward() end }",
		/* Asked for again, it is no more to be had. */
		LIBS "return { size = '1M', data = false,\n"
		     "  write = function(_, _, _, req) req:forward() return req:forward() end }",
		NULL,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct rig rig = { .script = scripts[i],
				   .requests = write_then_read,
				   .count = BOTH,
				   .deaf = true };

		rig_run(&rig);
		assert_int_equal(rig.faults, 0);
		assert_int_equal(rig.answers[WRITE].result, -EBADF);
		assert_int_equal(rig.answers[READ].result, -EBADF);
		assert_string_equal(rig.log, "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_does_not_look_costs_no_copy),
		cmocka_unit_test(an_error_without_a_look_costs_no_copy),
		cmocka_unit_test(who_looks_sees_what_is_written_and_may_change_it),
		cmocka_unit_test(who_looks_gives_and_changes_what_is_read),
		cmocka_unit_test(a_read_that_fails_gives_nothing),
		cmocka_unit_test(a_pass_with_the_guard_gives_the_backings_data),
		cmocka_unit_test(done_without_a_look_gives_an_old_buffer),
		cmocka_unit_test(what_cannot_be_fetched_is_an_error_and_no_data),
	};

	rig_lazy = true;
	return run_in_both_modes("lazy", tests, ARRAY_SIZE(tests), &rig_slow);
}
