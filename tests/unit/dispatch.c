/* SPDX-License-Identifier: MIT */
/*
 * core/dispatch.c over core/sim.c: which requests reach the script, which the
 * backing, and what answer each gets. What a script may answer is in script.c.
 */
#include "support.h"

#include <errno.h>

static const struct rig_request one_of_each[] = {
	{ .op = UL_OP_WRITE, .sector = 8, .length = 4096, .fill = 0xa1 },
	{ .op = UL_OP_READ, .sector = 8, .length = 4096 },
	{ .op = UL_OP_FLUSH },
	{ .op = UL_OP_DISCARD, .sector = 64, .length = 8192 },
	{ .op = UL_OP_WRITE_ZEROES, .sector = 128, .length = 8192 },
};

enum { WRITE, READ, FLUSH, DISCARD, WRITE_ZEROES, EACH };

static struct rig run_each(const char *script)
{
	/* One at a time: within a batch the script's requests are served after the others. */
	struct rig rig = { .script = script, .batch = 1, .requests = one_of_each, .count = EACH };

	rig_run(&rig);
	assert_int_equal(rig.load, 0);
	assert_int_equal(rig.end, -ENODEV);
	assert_int_equal(rig.faults, 0);
	return rig;
}

static void results_are_lengths_for_data_and_0_for_the_rest(void **state)
{
	struct rig rig = run_each(NULL);

	assert_int_equal(rig.answers[WRITE].result, 4096);
	assert_int_equal(rig.answers[READ].result, 4096);
	assert_int_equal(rig.answers[FLUSH].result, 0);
	assert_int_equal(rig.answers[DISCARD].result, 0);
	assert_int_equal(rig.answers[WRITE_ZEROES].result, 0);
	assert_int_equal(rig.answers[READ].first, 0xa1);
	assert_int_equal(rig.answers[READ].last, 0xa1);
}

static void ops_without_handler_never_reach_the_script(void **state)
{
	struct rig rig = run_each("return { size = '1M',\n"
				  "  flush = function() return 'EIO' end }");

	assert_int_equal(rig.answers[FLUSH].result, -EIO);
	assert_int_equal(rig.stats->op[UL_OP_FLUSH].scripted, 1);
	assert_int_equal(rig.stats->op[UL_OP_FLUSH].injected, 1);
	assert_int_equal(rig.answers[WRITE].result, 4096);
	assert_int_equal(rig.stats->op[UL_OP_WRITE].scripted, 0);
	assert_int_equal(rig.stats->op[UL_OP_READ].scripted, 0);
	assert_int_equal(rig.stats->op[UL_OP_DISCARD].scripted, 0);
	assert_int_equal(rig.stats->op[UL_OP_WRITE_ZEROES].scripted, 0);
}

static void a_handler_for_all_sees_all(void **state)
{
	static const uint8_t ops[] = { UL_OP_READ, UL_OP_WRITE, UL_OP_FLUSH, UL_OP_DISCARD,
				       UL_OP_WRITE_ZEROES };
	struct rig rig = run_each("return { size = '1M', handler = function() end }");

	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
		assert_int_equal(rig.stats->op[ops[i]].scripted, 1);
	assert_int_equal(rig.answers[READ].result, 4096);
}

static void nil_passes_a_request_to_the_backing(void **state)
{
	struct rig rig = run_each("return { size = '1M', write = function() end }");

	assert_int_equal(rig.answers[WRITE].result, 4096);
	assert_int_equal(rig.answers[READ].first, 0xa1);
	assert_int_equal(rig.stats->op[UL_OP_WRITE].scripted, 1);
	assert_int_equal(rig.stats->op[UL_OP_WRITE].injected, 0);
	assert_int_equal(rig.stats->op[UL_OP_WRITE].errors, 0);
}

static void true_is_done_without_the_backing(void **state)
{
	struct rig rig = run_each("return { size = '1M', handler = function(op)\n"
				  "  if op ~= 'read' then return true end end }");

	assert_int_equal(rig.answers[WRITE].result, 4096); /* answered whole, and stored nowhere: */
	assert_int_equal(rig.answers[READ].first, 0);
	assert_int_equal(rig.answers[FLUSH].result, 0);
	assert_int_equal(rig.answers[DISCARD].result, 0);
}

static void the_script_reads_and_fills_the_data(void **state)
{
	static const struct rig_request requests[] = {
		{ .op = UL_OP_WRITE, .sector = 0, .length = 512, .fill = 7 },
		{ .op = UL_OP_WRITE, .sector = 8, .length = 512, .fill = 8 },
		{ .op = UL_OP_READ, .sector = 16, .length = 1024 },
	};
	struct rig rig = {
		.script = "local ffi = require 'ffi'\n"
			  "return { size = '1M',\n"
			  "  write = function(sector, length, buf)\n"
			  "    if buf[0] == 8 and buf[length - 1] == 8 then return 'ENOSPC' end "
			  "end,\n"
			  "  read = function(sector, length, buf)\n"
			  "    ffi.fill(buf, length, sector + length / 512)\n"
			  "    return true end }",
		.requests = requests,
		.count = 3,
	};

	rig_run(&rig);
	assert_int_equal(rig.answers[0].result, 512);
	assert_int_equal(rig.answers[1].result, -ENOSPC);
	assert_int_equal(rig.answers[2].result, 1024);
	assert_int_equal(rig.answers[2].first, 18);
	assert_int_equal(rig.answers[2].last, 18);
}

static void ops_without_data_have_no_buffer(void **state)
{
	struct rig rig = run_each("return { size = '1M', handler = function(op, s, n, buf, req)\n"
				  "  local data = op == 'read' or op == 'write'\n"
				  "  if (buf ~= nil) ~= data then return 'ERANGE' end\n"
				  "  if (req.buf ~= nil) ~= data then return 'EDOM' end end }");

	for (unsigned i = 0; i < EACH; i++)
		assert_true(rig.answers[i].result >= 0);
}

static void a_handler_gets_the_request(void **state)
{
	struct rig rig = run_each("return { size = '1M', discard = function(s, n, buf, req)\n"
				  "  assert(s == 64 and n == 8192)\n"
				  "  assert(req.sector == s and req.length == n and req.op == 3)\n"
				  "  assert(req.queue == 3 and req.tag < 64 and req.flags == 0)\n"
				  "  return 'EDOM' end }");

	assert_int_equal(rig.answers[DISCARD].result, -EDOM);
	assert_string_equal(rig.log, "");
}

static void beyond_the_end_is_an_error_whole(void **state)
{
	enum { SECTORS = RIG_SIZE / 512 };
	static const struct rig_request requests[] = {
		{ .op = UL_OP_WRITE, .sector = SECTORS - 1, .length = 512, .fill = 3 },
		{ .op = UL_OP_WRITE, .sector = SECTORS - 1, .length = 1024, .fill = 4 },
		{ .op = UL_OP_READ, .sector = SECTORS, .length = 512 },
		{ .op = UL_OP_DISCARD, .sector = SECTORS - 8, .length = 8192 },
		{ .op = UL_OP_READ, .sector = 9007199254740992.0, .length = 512 },
		{ .op = UL_OP_READ, .sector = SECTORS - 1, .length = 512 },
		{ .op = UL_OP_READ, .sector = 0, .length = UINT32_MAX },
	};
	static const char *const scripts[] = { NULL,
					       "return { size = '1M', handler = function() end }" };

	for (unsigned i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct rig rig = { .script = scripts[i], .requests = requests, .count = 7 };

		rig_run(&rig);
		assert_int_equal(rig.answers[0].result, 512);
		assert_int_equal(rig.answers[1].result, -EIO);
		assert_int_equal(rig.answers[2].result, -EIO);
		assert_int_equal(rig.answers[3].result, -EIO);
		assert_int_equal(rig.answers[4].result, -EIO);
		assert_int_equal(rig.answers[5].result, 512);
		/* Neither the write nor the discard was begun. */
		assert_int_equal(rig.answers[5].first, 3);
		assert_int_equal(rig.answers[6].result, -EIO);
	}
}

static void unknown_ops_are_refused_by_the_backing(void **state)
{
	static const struct rig_request requests[] = {
		{ .op = UL_OP_ZONE_OPEN },
		{ .op = 200 },
		{ .op = 4 },
	};
	struct rig rig = { .requests = requests, .count = 3 };

	rig_run(&rig);
	assert_int_equal(rig.answers[0].result, -EOPNOTSUPP);
	assert_int_equal(rig.answers[1].result, -EOPNOTSUPP);
	assert_int_equal(rig.answers[2].result, -EOPNOTSUPP);
	assert_int_equal(rig.faults, 0);
}

static void fail_answers_all_without_the_script(void **state)
{
	struct rig rig = {
		.script = "return { size = '1M', handler = function() return true end }",
		.fail_at = 1,
		.requests = one_of_each,
		.count = EACH,
	};

	rig_run(&rig);
	for (unsigned i = 0; i < EACH; i++)
		assert_int_equal(rig.answers[i].result, -EIO);
	assert_int_equal(rig.stats->op[UL_OP_WRITE].scripted, 0);
	assert_int_equal(rig.stats->op[UL_OP_WRITE].errors, 1);
	assert_int_equal(rig.faults, 0);
}

static void every_batch_size_serves_all_once(void **state)
{
	struct rig_request requests[40];

	for (unsigned i = 0; i < 40; i++)
		requests[i] = (struct rig_request){ .op = i % 3 ? UL_OP_WRITE : UL_OP_FLUSH,
						    .sector = i,
						    .length = i % 3 ? 512 : 0 };
	for (unsigned batch = 1; batch <= 41; batch += 5) {
		struct rig rig = {
			.script = "return { size = '1M', write = function(s)\n"
				  "  if s % 2 == 0 then return 'ENODATA' end end }",
			.batch = batch,
			.requests = requests,
			.count = 40,
		};

		rig_run(&rig);
		assert_int_equal(rig.faults, 0);
		assert_int_equal(rig.stats->rounds, (40 + batch - 1) / batch);
		for (unsigned i = 0; i < 40; i++)
			assert_int_equal(rig.answers[i].result, i % 3 == 0   ? 0
								: i % 2 == 0 ? -ENODATA
									     : 512);
	}
}

static void counters_tell_what_became_of_requests(void **state)
{
	static const struct rig_request requests[] = {
		{ .op = UL_OP_READ, .sector = 0, .length = 512 },	 /* the script fails it */
		{ .op = UL_OP_READ, .sector = 8, .length = 1024 },	 /* served */
		{ .op = UL_OP_READ, .sector = 1 << 20, .length = 2048 }, /* below fails it */
	};
	struct rig rig = {
		.script = "return { size = '1M',\n"
			  "  read = function(s) if s == 0 then return 'EIO' end end }",
		.requests = requests,
		.count = 3,
	};
	const struct stats_op *reads;

	rig_run(&rig);
	reads = &rig.stats->op[UL_OP_READ];
	assert_int_equal(reads->requests, 3);
	assert_int_equal(reads->bytes, 3584);
	assert_int_equal(reads->scripted, 3);
	assert_int_equal(reads->injected, 1);
	assert_int_equal(reads->errors, 2);
	assert_int_equal(rig.stats->rounds, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_are_lengths_for_data_and_0_for_the_rest),
		cmocka_unit_test(ops_without_handler_never_reach_the_script),
		cmocka_unit_test(a_handler_for_all_sees_all),
		cmocka_unit_test(nil_passes_a_request_to_the_backing),
		cmocka_unit_test(true_is_done_without_the_backing),
		cmocka_unit_test(the_script_reads_and_fills_the_data),
		cmocka_unit_test(ops_without_data_have_no_buffer),
		cmocka_unit_test(a_handler_gets_the_request),
		cmocka_unit_test(beyond_the_end_is_an_error_whole),
		cmocka_unit_test(unknown_ops_are_refused_by_the_backing),
		cmocka_unit_test(fail_answers_all_without_the_script),
		cmocka_unit_test(every_batch_size_serves_all_once),
		cmocka_unit_test(counters_tell_what_became_of_requests),
	};

	return cmocka_run_group_tests_name("dispatch", tests, NULL, NULL);
}
