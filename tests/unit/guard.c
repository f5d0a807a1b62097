/* SPDX-License-Identifier: MIT */
/*
 * core/guard.c through the rig: each misuse of a request's buffer is told with
 * its request, place and byte, and a script that keeps to its buffers sees no
 * difference, whoever serves its requests and whenever.
 */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guard.h"

#define SCRIPT(body) "local ublk = require 'ublk'; local ffi = require 'ffi'; " body

static struct rig run_with(struct rig rig)
{
	rig_run(&rig);
	assert_int_equal(rig.load, 0);
	assert_int_equal(rig.end, -ENODEV);
	assert_int_equal(rig.faults, 0);
	return rig;
}

/* Each write is 512 bytes, one after the other in tag 0, with its number from 1 as data. */
static struct rig run_writes(const char *body, unsigned count)
{
	static struct rig_request requests[64];
	static char script[1024];

	for (unsigned i = 0; i < count; i++)
		requests[i] = (struct rig_request){
			.op = UL_OP_WRITE, .sector = i, .length = 512, .fill = (uint8_t)(i + 1)
		};
	snprintf(script, sizeof(script),
		 SCRIPT("return { size = '1M', write = function(s, n, buf)"
			" %s end }"),
		 body);
	return run_with((struct rig){ .script = script,
				      .requests = requests,
				      .count = count,
				      .batch = 1,
				      .debug = true });
}

static void a_write_after_the_answer_is_told_when_the_tag_is_used_again(void **state)
{
	struct rig rig = run_writes("if s == 0 then ublk.spawn(function() buf[5] = 1 end)"
				    " else ublk.log('the next') end",
				    2);
	const char *told =
		strstr(rig.log, "--debug: the buffer of a write (sector 0, 512 bytes) "
				"was written after its request was answered, at byte 5\n");

	assert_non_null(told);
	assert_has(told, "the next");
	assert_int_equal(count_lines(rig.log), 2);
	assert_int_equal(rig.misuses, 1);
	assert_int_equal(rig.answers[1].result, 512);
	assert_int_equal(rig.answers[1].first, 2);
}

static void a_write_after_the_last_answer_is_told_at_the_end(void **state)
{
	struct rig rig = run_writes("if s == 1 then ublk.spawn(function() buf[511] = 1"
				    " ublk.log('the last') end) end",
				    2);

	assert_has(rig.log, "the last");
	assert_has(strstr(rig.log, "the last"), "(sector 1, 512 bytes) was written after its "
						"request was answered, at byte 511\n");
	assert_int_equal(rig.misuses, 1);
	assert_int_equal(count_lines(rig.log), 2); /* not again when it is closed */
}

static void a_read_after_the_answer_gives_the_pattern(void **state)
{
	struct rig rig = run_writes("ublk.spawn(function() ublk.log(buf[0], buf[511]) end)", 1);

	assert_int_equal(GUARD_PATTERN, 219);
	assert_has(rig.log, ": 219 219\n");
	assert_int_equal(rig.misuses, 0);
}

static void a_write_beside_the_buffer_is_told_with_its_byte(void **state)
{
	static const struct {
		const char *body;
		const char *said;
	} cases[] = {
		{ "buf[512] = 1", "beyond its end, at byte 512\n" },
		{ "buf[513] = 1", "beyond its end, at byte 513\n" },
		{ "ffi.fill(buf, 1000, 7)", "beyond its end, at byte 512\n" },
		{ "buf[65536 + 4095] = 1", "beyond its end, at byte 69631\n" },
		{ "buf[-1] = 1", "before its beginning, at byte -1\n" },
		{ "buf[-4096] = 1", "before its beginning, at byte -4096\n" },
		{ "buf[-4095] = 1 buf[-7] = 1", "before its beginning, at byte -4095\n" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig rig = run_writes(cases[i].body, 1);

		assert_has(rig.log, "--debug: the buffer of a write (sector 0, 512 bytes) was ");
		assert_has(rig.log, cases[i].said);
		assert_one_line(rig.log);
		assert_int_equal(rig.misuses, 1);
		assert_int_equal(rig.answers[0].result, 512);
	}
}

static void both_sides_are_told(void **state)
{
	struct rig rig = run_writes("buf[-2] = 1 buf[600] = 1", 1);

	assert_has(rig.log, "before its beginning, at byte -2\n");
	assert_has(rig.log, "beyond its end, at byte 600\n");
	assert_int_equal(rig.misuses, 2);
}

/* Far beyond its own: into that of a tag which never had a request to be told. */
static void a_write_to_a_buffer_that_nobody_had_is_told_by_its_tag(void **state)
{
	struct rig rig = run_writes("buf[2 * (65536 + 8192) + 3] = 1", 1);

	assert_has(rig.log, "--debug: the buffer of tag 2, which has had no request yet, was "
			    "written, at byte 3\n");
	assert_one_line(rig.log);
	assert_int_equal(rig.misuses, 1);
}

/* A misuse is told once, not with each later request in its tag. */
static void a_buffer_is_put_right_again(void **state)
{
	struct rig rig = run_writes("if s == 0 then ublk.spawn(function() buf[5] = 1 end)"
				    " elseif s == 1 then buf[512] = 1 end",
				    8);

	assert_int_equal(rig.misuses, 2);
	assert_int_equal(count_lines(rig.log), 2);
}

static void many_misuses_are_summed_up(void **state)
{
	struct rig rig = run_writes("buf[512] = 1", 20);

	assert_int_equal(rig.misuses, 20);
	assert_int_equal(count_lines(rig.log), 20);
	assert_lacks(rig.log, "in all");
	rig = run_writes("buf[512] = 1", 35);
	assert_int_equal(rig.misuses, 35);
	assert_int_equal(count_lines(rig.log), 21);
	assert_has(rig.log, "--debug: 35 misuses of buffers in all\n");
}

/* A write and reads of what it wrote: served by the backing, forwarded and changed, by the script;
 * a write that is changed on its way; and ops that never reach Lua. */
static const struct rig_request honest_requests[] = {
	{ .op = UL_OP_WRITE, .sector = 0, .length = 1024, .fill = 0x11 },
	{ .op = UL_OP_READ, .sector = 0, .length = 1024 },
	{ .op = UL_OP_READ, .sector = 1, .length = 512 },
	{ .op = UL_OP_WRITE, .sector = 8, .length = 65536, .fill = 0x22 },
	{ .op = UL_OP_READ, .sector = 8, .length = 65536 },
	{ .op = UL_OP_READ, .sector = 200, .length = 4096 },
	{ .op = UL_OP_FLUSH },
	{ .op = UL_OP_DISCARD, .sector = 0, .length = 4096 },
	{ .op = UL_OP_READ, .sector = 0, .length = 1024 },
	{ .op = UL_OP_READ, .sector = 4096, .length = 512 },
};

static const char honest_script[] = SCRIPT(
	"return { size = '1M', flush = function() end, discard = function() end,\n"
	"  write = function(s, n, buf) if s == 8 then buf[0], buf[n - 1] = 0x33, 0x44 end end,\n"
	"  read = function(s, n, buf, req)\n"
	"    if s == 200 then ffi.fill(buf, n, 0x55) ublk.sleep(1) return true end\n"
	"    if s == 1 then assert(not req:forward()) buf[0] = buf[0] + 1 end\n"
	"  end }");

static void assert_honest(const struct rig *rig)
{
	static const uint8_t first[] = { 0, 0x11, 0x12, 0, 0x33, 0x55, 0, 0, 0 };
	static const uint8_t last[] = { 0, 0x11, 0x11, 0, 0x44, 0x55, 0, 0, 0 };

	assert_string_equal(rig->log, "");
	assert_int_equal(rig->misuses, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(first); i++) {
		if (honest_requests[i].op == UL_OP_READ) {
			assert_int_equal(rig->answers[i].first, first[i]);
			assert_int_equal(rig->answers[i].last, last[i]);
			assert_int_equal(rig->answers[i].result, honest_requests[i].length);
		}
	}
	assert_int_equal(rig->answers[9].result, -EIO); /* beyond the device */
}

static void an_honest_script_is_served_as_without(void **state)
{
	static const unsigned depths[] = { 1, 2, 3, 64 };

	for (unsigned i = 0; i < ARRAY_SIZE(depths); i++) {
		struct rig rig = {
			.script = honest_script,
			.requests = honest_requests,
			.count = ARRAY_SIZE(honest_requests),
			.depth = depths[i],
			.batch = 1,
		};

		rig = run_with(rig);
		assert_honest(&rig);
		rig.debug = true;
		rig = run_with(rig);
		assert_honest(&rig);
		rig.rounds = 50; /* all tags, again and again */
		rig = run_with(rig);
		assert_honest(&rig);
	}
}

static void each_tag_has_a_buffer_of_its_own(void **state)
{
	enum { COUNT = 48 };
	struct rig_request requests[COUNT];
	struct rig rig = {
		/* All are parked at one time, with their data filled before. */
		.script = SCRIPT("return { size = '1M', read = function(s, n, buf)\n"
				 "  ffi.fill(buf, n, s) ublk.sleep(1 + s / 100) return true end }"),
		.requests = requests,
		.count = COUNT,
		.debug = true,
	};

	for (unsigned i = 0; i < COUNT; i++)
		requests[i] = (struct rig_request){ .op = UL_OP_READ,
						    .sector = COUNT - i,
						    .length = i % 2 ? 512 : 65536 };
	rig = run_with(rig);
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(rig.answers[i].result, requests[i].length);
		assert_int_equal(rig.answers[i].first, COUNT - i);
		assert_int_equal(rig.answers[i].last, COUNT - i);
	}
	assert_string_equal(rig.log, "");
}

static void what_was_parked_is_told_when_it_is_answered(void **state)
{
	struct rig rig = run_writes("ublk.sleep(1) buf[512] = 1", 2);

	assert_int_equal(rig.misuses, 2);
	assert_has(rig.log, "(sector 1, 512 bytes) was written beyond its end, at byte 512\n");
}

/* With the end by force its request is answered; the buffer is nobody's from then on. */
static void the_end_by_force_gives_back_what_is_parked(void **state)
{
	static const struct rig_request requests[] = {
		{ .op = UL_OP_READ, .sector = 1, .length = 512 },
		{ .op = UL_OP_WRITE, .sector = 2, .length = 512, .fill = 9 },
		{ .op = UL_OP_READ, .sector = 3, .length = 512 },
	};
	struct rig rig = run_with((struct rig){
		.script = SCRIPT("return { size = '1M', handler = function(op, s, n, buf)\n"
				 "  if s == 1 then buf[0] = 77 else buf[600] = 1 end\n"
				 "  ublk.hold 'it' end }"),
		.requests = requests,
		.count = 3,
		.batch = 1,
		.fail_at = 3,
		.debug = true,
	});

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(rig.answers[i].result, -EIO);
	assert_int_equal(rig.misuses, 1);
	assert_has(rig.log,
		   "write (sector 2, 512 bytes) was written beyond its end, at byte 600\n");
	assert_one_line(rig.log);
}

/* C alone serves the other writes, in the same tag and with the transport's own buffer. */
static void requests_without_a_handler_are_left_alone(void **state)
{
	static const struct rig_request requests[] = {
		{ .op = UL_OP_READ, .sector = 1, .length = 512 },
		{ .op = UL_OP_WRITE, .sector = 2, .length = 512, .fill = 9 },
		{ .op = UL_OP_READ, .sector = 2, .length = 512 },
	};
	struct rig rig = run_with((struct rig){
		.script = SCRIPT("return { size = '1M', layers = {\n"
				 "  { range = { 512, 1024 }, read = function(s, n, buf)\n"
				 "    ublk.spawn(function() buf[0] = buf[0] + 1 end) end } } }"),
		.requests = requests,
		.count = 3,
		.batch = 1,
		.debug = true,
	});

	assert_int_equal(rig.stats->op[UL_OP_READ].scripted, 1);
	assert_int_equal(rig.answers[2].first, 9);
	assert_int_equal(rig.answers[2].last, 9);
	assert_int_equal(rig.misuses, 1);
	assert_has(rig.log,
		   "read (sector 1, 512 bytes) was written after its request was answered, "
		   "at byte 0\n");
}

static void a_script_that_serves_nothing_shows_the_pattern_not_old_data(void **state)
{
	static const struct rig_request requests[] = {
		{ .op = UL_OP_WRITE, .sector = 2, .length = 512, .fill = 9 },
		{ .op = UL_OP_READ, .sector = 2, .length = 512 },
	};
	struct rig rig = run_with((struct rig){
		.script = SCRIPT("return { size = '1M', handler = function() return true end }"),
		.requests = requests,
		.count = 2,
		.batch = 1,
		.debug = true,
	});

	assert_int_equal(rig.answers[1].first, GUARD_PATTERN);
	assert_int_equal(rig.answers[1].last, GUARD_PATTERN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_write_after_the_answer_is_told_when_the_tag_is_used_again),
		cmocka_unit_test(a_write_after_the_last_answer_is_told_at_the_end),
		cmocka_unit_test(a_read_after_the_answer_gives_the_pattern),
		cmocka_unit_test(a_write_beside_the_buffer_is_told_with_its_byte),
		cmocka_unit_test(both_sides_are_told),
		cmocka_unit_test(a_write_to_a_buffer_that_nobody_had_is_told_by_its_tag),
		cmocka_unit_test(a_buffer_is_put_right_again),
		cmocka_unit_test(many_misuses_are_summed_up),
		cmocka_unit_test(an_honest_script_is_served_as_without),
		cmocka_unit_test(each_tag_has_a_buffer_of_its_own),
		cmocka_unit_test(what_was_parked_is_told_when_it_is_answered),
		cmocka_unit_test(the_end_by_force_gives_back_what_is_parked),
		cmocka_unit_test(requests_without_a_handler_are_left_alone),
		cmocka_unit_test(a_script_that_serves_nothing_shows_the_pattern_not_old_data),
	};

	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
