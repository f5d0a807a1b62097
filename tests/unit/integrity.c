/* SPDX-License-Identifier: MIT */
/*
 * The metadata of requests, from the driver to what keeps it and back, past the
 * script: core/backend_integrity.c and what core/dispatch.c does for it, over a
 * backing that answers at once and over one that takes its time. The driver's
 * memory is a file; see tests/rig.c.
 */
#include "support.h"

#include <errno.h>

enum { WITH = UL_FLAG_INTEGRITY, NOTHING = 0xff };

/* Eight bytes for each 512 of data; what the script does is up to the test. */
#define DEVICE                                                                                     \
	"local ublk, ffi = require 'ublk', require 'ffi'\n"                                        \
	"local device = { size = '1M', integrity = { interval = 512, metadata_size = 8 } }\n"
#define END "\nreturn device"

static const struct rig_request write_then_read[] = {
	{ .op = UL_OP_WRITE, .sector = 8, .length = 4096, .fill = 0xa1, .flags = WITH },
	{ .op = UL_OP_READ, .sector = 8, .length = 4096, .flags = WITH },
	{ .op = UL_OP_READ, .sector = 9, .length = 512, .flags = WITH },
};

enum { WRITE, READ, PART, THREE };

static struct rig run(const char *script, const struct rig_request *requests, unsigned count)
{
	struct rig rig = { .script = script,
			   .batch = 1,
			   .depth = 1, /* memory of one tag: what is left in it would show */
			   .requests = requests,
			   .count = count };

	rig_run(&rig);
	assert_int_equal(rig.load, 0);
	assert_int_equal(rig.end, -ENODEV);
	assert_int_equal(rig.faults, 0);
	return rig;
}

static void assert_metadata(const struct rig *rig, unsigned which, uint8_t first, uint8_t last)
{
	assert_int_equal(rig->answers[which].result, rig->requests[which].length);
	assert_int_equal(rig->answers[which].metadata[0], first);
	assert_int_equal(rig->answers[which].metadata[1], last);
}

static void what_was_written_comes_back_with_its_data(void **state)
{
	static const char *const scripts[] = {
		DEVICE "function device.flush() end" END,
		DEVICE "function device.handler() end" END,
		DEVICE "function device.handler(_, _, _, _, req) return req:forward() end" END,
		DEVICE "function device.handler(_, _, _, _, req) ublk.sleep '1ms' end" END,
		DEVICE "device.backing = ublk.mirror{ ublk.mem(), ublk.mem() }" END,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct rig rig = run(scripts[i], write_then_read, THREE);

		assert_metadata(&rig, READ, 0xa1, 0xa1);
		assert_metadata(&rig, PART, 0xa1, 0xa1);
		assert_int_equal(rig.answers[READ].first, 0xa1);
	}
}

/* A place that was never written, discarded, set to zeros, or written by one who has none. */
static void a_place_without_metadata_says_so(void **state)
{
	static const struct rig_request requests[] = {
		{ .op = UL_OP_READ, .sector = 0, .length = 4096, .flags = WITH },
		{ .op = UL_OP_WRITE, .sector = 8, .length = 4096, .fill = 1, .flags = WITH },
		{ .op = UL_OP_DISCARD, .sector = 9, .length = 512 },
		{ .op = UL_OP_WRITE_ZEROES, .sector = 11, .length = 512 },
		{ .op = UL_OP_WRITE, .sector = 13, .length = 512, .fill = 2 },
		{ .op = UL_OP_READ, .sector = 8, .length = 1024, .flags = WITH },
		{ .op = UL_OP_READ, .sector = 10, .length = 1024, .flags = WITH },
		{ .op = UL_OP_READ, .sector = 12, .length = 1024, .flags = WITH },
		{ .op = UL_OP_READ, .sector = 14, .length = 512 }, /* who wants none */
	};
	struct rig rig =
		run(DEVICE "function device.flush() end" END, requests, ARRAY_SIZE(requests));

	assert_metadata(&rig, 0, NOTHING, NOTHING);
	for (unsigned i = 5; i < 8; i++)
		assert_metadata(&rig, i, 1, NOTHING);
	assert_metadata(&rig, 8, 0, 0);
}

static void what_failed_below_changes_nothing(void **state)
{
	static const struct rig_request requests[] = {
		{ .op = UL_OP_WRITE, .sector = 8, .length = 512, .fill = 1, .flags = WITH },
		{ .op = UL_OP_WRITE, .sector = 8, .length = 512, .fill = 2, .flags = WITH },
		{ .op = UL_OP_READ, .sector = 8, .length = 512, .flags = WITH },
	};
	struct rig rig = run(DEVICE "local n = 0\n"
				    "function device.write() n = n + 1\n"
				    "  if n == 2 then return 'EIO' end end" END,
			     requests, ARRAY_SIZE(requests));

	assert_int_equal(rig.answers[1].result, -EIO);
	assert_metadata(&rig, 2, 1, 1);
}

static void a_handler_sees_what_is_written_and_may_change_it(void **state)
{
	static const char *const scripts[] = {
		DEVICE "function device.write(_, _, _, req)\n"
		       "  local m, n = req:metadata()\n"
		       "  if n ~= 64 or m[0] ~= 0xa1 or m[63] ~= 0xa1 then return 'EDOM' end\n"
		       "  m[0] = 7 end" END,
		DEVICE "function device.write(_, _, _, req)\n"
		       "  local m, n = req:metadata()\n"
		       "  m[0] = 7 ublk.sleep '1ms' return req:forward() end" END,
		/* The backing is asked from elsewhere, meanwhile. */
		DEVICE "function device.write(_, _, buf, req)\n"
		       "  ublk.backing:write(64, 4096, buf)\n"
		       "  req:metadata()[0] = 7 end" END,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct rig rig = run(scripts[i], write_then_read, THREE);

		assert_metadata(&rig, READ, 7, 0xa1);
		assert_metadata(&rig, PART, 0xa1, 0xa1);
	}
}

static void a_handler_changes_what_is_read_once_it_is_there(void **state)
{
	struct rig rig = run(DEVICE "function device.read(_, _, _, req)\n"
				    "  local m, n = req:metadata()\n"
				    "  if m[0] ~= 0xff then return 'EDOM' end\n"
				    "  local failed = req:forward()\n"
				    "  if failed or m[0] ~= 0xa1 or n < 8 then return 'EDOM' end\n"
				    "  m[n - 1] = 9 end" END,
			     write_then_read, THREE);

	assert_metadata(&rig, READ, 0xa1, 9);
	assert_metadata(&rig, PART, 0xa1, 9);
}

/* One tag serves a request that is the script's, then others. */
static void what_was_shown_of_one_request_is_not_the_nexts(void **state)
{
	static const struct rig_request requests[] = {
		{ .op = UL_OP_WRITE, .sector = 8, .length = 512, .fill = 1, .flags = WITH },
		{ .op = UL_OP_WRITE, .sector = 16, .length = 512, .fill = 2, .flags = WITH },
		{ .op = UL_OP_READ, .sector = 8, .length = 512, .flags = WITH },
		{ .op = UL_OP_READ, .sector = 16, .length = 512, .flags = WITH },
	};
	struct rig rig = run(DEVICE "device.range = '4K+512'\n"
				    "function device.handler() end" END,
			     requests, ARRAY_SIZE(requests));

	assert_metadata(&rig, 2, 1, 1);
	assert_metadata(&rig, 3, 2, 2);
}

static void each_request_in_flight_has_its_own(void **state)
{
	static const struct rig_request requests[] = {
		{ .op = UL_OP_WRITE, .sector = 8, .length = 512, .fill = 1, .flags = WITH },
		{ .op = UL_OP_WRITE, .sector = 16, .length = 8192, .fill = 2, .flags = WITH },
		{ .op = UL_OP_WRITE, .sector = 64, .length = 512, .fill = 3, .flags = WITH },
	};
	struct rig rig = { .script = DEVICE "function device.write(_, _, buf, req)\n"
					    "  ublk.sleep '1ms'\n"
					    "  local m, n = req:metadata()\n"
					    "  if m[0] ~= buf[0] or m[n - 1] ~= buf[0] then\n"
					    "    return 'EDOM' end end" END,
			   .requests = requests,
			   .count = ARRAY_SIZE(requests) };

	rig_run(&rig);
	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++)
		assert_int_equal(rig.answers[i].result, requests[i].length);
}

/* Below fills it, as the data. */
static void what_a_handler_writes_to_a_read_that_it_passes_on_is_lost(void **state)
{
	struct rig rig = run(DEVICE "function device.read(_, _, _, req)\n"
				    "  req:metadata()[0] = 7 end" END,
			     write_then_read, THREE);

	assert_metadata(&rig, READ, 0xa1, 0xa1);
}

static void a_read_that_the_script_serves_has_what_it_says_or_nothing(void **state)
{
	struct rig rig = run(DEVICE "function device.read(_, n, buf)\n"
				    "  ffi.fill(buf, n, 5) return true end" END,
			     write_then_read, THREE);

	assert_metadata(&rig, READ, NOTHING, NOTHING);
	assert_int_equal(rig.answers[READ].first, 5);
	rig = run(DEVICE "function device.read(_, n, buf, req)\n"
			 "  local m, size = req:metadata()\n"
			 "  ffi.fill(m, size, 6) return true end" END,
		  write_then_read, THREE);
	assert_metadata(&rig, READ, 6, 6);
}

static void a_request_without_metadata_shows_none(void **state)
{
	static const struct rig_request requests[] = {
		{ .op = UL_OP_WRITE, .sector = 8, .length = 512 },
		{ .op = UL_OP_READ, .sector = 8, .length = 512 },
		{ .op = UL_OP_FLUSH },
	};
	struct rig rig = run(DEVICE "function device.handler(_, _, _, _, req)\n"
				    "  if req:metadata() ~= nil then return 'EDOM' end end" END,
			     requests, ARRAY_SIZE(requests));

	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++)
		assert_int_equal(rig.answers[i].result, requests[i].length);
}

static void without_the_driver_the_request_fails(void **state)
{
	static const char *const scripts[] = {
		DEVICE "device.backing = ublk.null() function device.flush() end" END,
		DEVICE "device.backing = ublk.null() device.data = false\n"
		       "function device.handler() return true end" END,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct rig rig = { .script = scripts[i],
				   .requests = write_then_read,
				   .count = THREE,
				   .deaf = true };

		rig_run(&rig);
		for (unsigned r = 0; r < THREE; r++)
			assert_int_equal(rig.answers[r].result, -EBADF);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_comes_back_with_its_data),
		cmocka_unit_test(a_place_without_metadata_says_so),
		cmocka_unit_test(what_failed_below_changes_nothing),
		cmocka_unit_test(a_handler_sees_what_is_written_and_may_change_it),
		cmocka_unit_test(a_handler_changes_what_is_read_once_it_is_there),
		cmocka_unit_test(what_was_shown_of_one_request_is_not_the_nexts),
		cmocka_unit_test(each_request_in_flight_has_its_own),
		cmocka_unit_test(what_a_handler_writes_to_a_read_that_it_passes_on_is_lost),
		cmocka_unit_test(a_read_that_the_script_serves_has_what_it_says_or_nothing),
		cmocka_unit_test(a_request_without_metadata_shows_none),
		cmocka_unit_test(without_the_driver_the_request_fails),
	};

	rig_lazy = true;
	return run_in_both_modes("integrity", tests, ARRAY_SIZE(tests), &rig_slow);
}
