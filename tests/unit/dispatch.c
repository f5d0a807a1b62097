/* SPDX-License-Identifier: MIT */
/*
 * core/dispatch.c over core/sim.c: which requests reach the script, which the
 * backing, and what answer each gets. What a script may answer is in script.c.
 */
#include "support.h"

#include <errno.h>
#include <unistd.h>

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
				  "  if (buf ~= nil) ~= data then return 'ERANGE' end end }");

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
		struct rig rig = {
			.script = scripts[i], .batch = 1, .requests = requests, .count = 7
		};

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
		assert_int_equal(rig.stats->rounds, (40 + batch - 1) / batch + rig_slow);
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
	assert_int_equal(rig.stats->rounds, 1 + rig_slow);
}

/* Run `requests` through `script`, each in a round of its own; all answered once. */
static struct rig run_singly(const char *script, const struct rig_request *requests, unsigned count)
{
	struct rig rig = { .script = script, .batch = 1, .requests = requests, .count = count };

	rig_run(&rig);
	assert_int_equal(rig.load, 0);
	assert_int_equal(rig.end, -ENODEV);
	assert_int_equal(rig.faults, 0);
	return rig;
}

static void what_waits_is_answered_once_when_it_has(void **state)
{
	struct rig_request requests[64];
	struct rig rig = {
		.script = "local ublk = require 'ublk'\n"
			  "return { size = '1M', write = function(s, n, buf, req)\n"
			  "  if s % 4 == 1 then ublk.sleep(0.001 * s) end\n"
			  "  if s % 4 == 2 then return req:forward() end\n"
			  "  if s % 4 == 3 then ublk.sleep(0) return 'ENOSPC' end end }",
		.requests = requests,
		.count = 64,
		.rounds = 10,
	};

	for (unsigned i = 0; i < 64; i++)
		requests[i] = (struct rig_request){ .op = UL_OP_WRITE, .sector = i, .length = 512 };
	for (rig.batch = 1; rig.batch <= 64; rig.batch *= 2) {
		rig_run(&rig);
		assert_int_equal(rig.end, -ENODEV);
		assert_int_equal(rig.faults, 0);
		assert_int_equal(rig.stats->op[UL_OP_WRITE].requests, 640);
		assert_int_equal(rig.stats->op[UL_OP_WRITE].scripted, 640);
		assert_int_equal(rig.stats->op[UL_OP_WRITE].injected, 160);
		for (unsigned i = 0; i < 64; i++)
			assert_int_equal(rig.answers[i].result, i % 4 == 3 ? -ENOSPC : 512);
	}
}

static void who_waits_holds_up_nobody_else(void **state)
{
	static const struct rig_request requests[] = {
		{ .op = UL_OP_WRITE, .sector = 0, .length = 512 },
		{ .op = UL_OP_WRITE, .sector = 1, .length = 512 },
		{ .op = UL_OP_WRITE, .sector = 2, .length = 512 },
		{ .op = UL_OP_READ, .sector = 2, .length = 512 },
	};
	struct rig rig = run_singly("local ublk = require 'ublk'\n"
				    "return { size = '1M', write = function(s)\n"
				    "  if s < 2 then ublk.sleep(2 - s) end end }",
				    requests, 4);

	assert_int_equal(rig.answers[2].order, 0);
	assert_int_equal(rig.answers[3].order, 1);
	assert_int_equal(rig.answers[1].order, 2);
	assert_int_equal(rig.answers[0].order, 3);
	assert_true(rig.answers[2].time == 0);
	assert_true(rig.answers[3].time == 0);
	assert_true(rig.answers[1].time == 1);
	assert_true(rig.answers[0].time == 2);
}

static void a_result_that_is_handed_on_is_not_injected(void **state)
{
	static const struct rig_request requests[] = {
		{ .op = UL_OP_READ, .sector = 1 << 20, .length = 512 }, /* beyond the end: EIO */
		{ .op = UL_OP_READ, .sector = 1 << 20, .length = 1024 },
		{ .op = UL_OP_READ, .sector = 8, .length = 512 },
	};
	struct rig rig = run_singly("return { size = '1M', read = function(s, n, buf, req)\n"
				    "  local err = req:forward()\n"
				    "  if n == 1024 or not err then return 'ENODATA' end end }",
				    requests, 3);

	assert_int_equal(rig.answers[0].result, -EIO);
	assert_int_equal(rig.answers[1].result, -ENODATA);
	assert_int_equal(rig.answers[2].result, -ENODATA);
	assert_int_equal(rig.stats->op[UL_OP_READ].errors, 3);
	assert_int_equal(rig.stats->op[UL_OP_READ].injected, 2);
}

static const struct rig_request three_writes_and_a_read[] = {
	{ .op = UL_OP_WRITE, .sector = 0, .length = 512 },
	{ .op = UL_OP_WRITE, .sector = 1, .length = 512 },
	{ .op = UL_OP_WRITE, .sector = 2, .length = 512 },
	{ .op = UL_OP_READ, .sector = 2, .length = 512 },
};

static void the_end_of_a_device_lets_go_of_what_is_held(void **state)
{
	struct rig rig = {
		.script = "local ublk = require 'ublk'\n"
			  "return { size = '1M',\n"
			  "  write = function(s) local verdict = ublk.hold('x')\n"
			  "    print('released', s, verdict) return verdict end,\n"
			  "  read = function() return ublk.hold('y') end }",
		.batch = 1,
		.requests = three_writes_and_a_read,
		.count = 4,
		.stop_at = 4,
	};

	rig_run(&rig);
	assert_int_equal(rig.end, -ENODEV);
	assert_int_equal(rig.faults, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(rig.answers[i].result, -EIO);
	assert_string_equal(rig.log, "ublk-lua: released 0 EIO\nublk-lua: released 1 EIO\n"
				     "ublk-lua: released 2 EIO\n");
}

static void the_end_by_force_answers_what_waits_and_runs_no_script(void **state)
{
	struct rig rig = {
		.script = "local ublk = require 'ublk'\n"
			  "ublk.every(1, function() print 'task' end)\n"
			  "local turns = ublk.counter 'turns'\n" /* always something to do */
			  "local function again() turns:add() ublk.spawn(again) end\n"
			  "ublk.spawn(again)\n"
			  "return { size = '1M',\n"
			  "  write = function(s) print('in')\n"
			  "    if s == 0 then ublk.hold('x') elseif s == 1 then ublk.wait('y')\n"
			  "    else ublk.sleep(1) end print('out') end,\n"
			  "  read = function() print('read') end }",
		.batch = 1,
		.requests = three_writes_and_a_read,
		.count = 4,
		.fail_at = 4,
	};

	rig_run(&rig);
	assert_int_equal(rig.end, -ENODEV);
	assert_int_equal(rig.faults, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(rig.answers[i].result, -EIO);
	assert_int_equal(rig.stats->op[UL_OP_WRITE].errors, 3);
	assert_string_equal(rig.log, "ublk-lua: in\nublk-lua: in\nublk-lua: in\n");
	/* As much as three rounds allow, one for each write. */
	assert_true(rig.stats->script.counter[0].value == 3 * (RIG_DEPTH + UL_TASKS));
}

/* Nor what the script has left for the collector: its finalizers may hang as handlers may. */
static void the_end_by_force_runs_no_finalizer(void **state)
{
	struct rig rig = {
		.script = "local ublk, ffi = require 'ublk', require 'ffi'\n"
			  "return { size = '1M', write = function()\n"
			  "  ublk.sleep(1)\n"
			  "  local t = { ffi.gc(ffi.new 'int[1]', function()\n"
			  "    if ublk.now() > 0 then print 'finalizer' end end) }\n"
			  "  for i = 1, 100000 do t = { t } end end }",
		.depth = 1,
		.requests = three_writes_and_a_read,
		.count = 4,
		.rounds = 2000,
		.fail_at = 2,
	};

	rig_run(&rig);
	assert_int_equal(rig.end, -ENODEV);
	assert_int_equal(rig.faults, 0);
	assert_int_equal(rig.answers[3].result, -EIO);
	assert_string_equal(rig.log, "");
}

static void only_what_touches_the_ranges_reaches_the_script(void **state)
{
	static const struct {
		struct rig_request request;
		unsigned seen;
	} cases[] = {
		{ { .op = UL_OP_READ, .sector = 0, .length = 4096 }, 0 },
		{ { .op = UL_OP_READ, .sector = 0, .length = 4608 }, 1 }, /* its last sector */
		{ { .op = UL_OP_READ, .sector = 8, .length = 512 }, 1 },
		{ { .op = UL_OP_READ, .sector = 15, .length = 512 }, 1 },
		{ { .op = UL_OP_READ, .sector = 16, .length = 512 }, 0 },
		{ { .op = UL_OP_READ, .sector = 16, .length = 1024 }, 0 },
		{ { .op = UL_OP_READ, .sector = 0, .length = 65536 }, 1 }, /* all around it */
		{ { .op = UL_OP_WRITE, .sector = 7, .length = 512 }, 0 },
		{ { .op = UL_OP_WRITE, .sector = 8, .length = 512 }, 1 },
		{ { .op = UL_OP_DISCARD, .sector = 1024, .length = 512 }, 1 }, /* the second */
		{ { .op = UL_OP_DISCARD, .sector = 1023, .length = 512 }, 0 },
		{ { .op = UL_OP_WRITE_ZEROES, .sector = 0, .length = 1 << 20 }, 1 },
		{ { .op = UL_OP_FLUSH }, 1 }, /* has no place */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t op = cases[i].request.op;
		struct rig rig =
			run_singly("return { size = '1M', range = { '4K..8K', '512K+512' },\n"
				   "  handler = function() return 'ENODATA' end }",
				   &cases[i].request, 1);

		assert_int_equal(rig.stats->op[op].scripted, cases[i].seen);
		if (cases[i].seen)
			assert_int_equal(rig.answers[0].result, -ENODATA);
		else
			assert_true(rig.answers[0].result >= 0);
	}
}

static void each_answer_has_its_time(void **state)
{
	struct rig_request requests[40];
	const struct ul_histogram *h;
	struct rig rig = {
		.script = "local ublk = require 'ublk'\n"
			  "return { size = '1M', write = function(s)\n"
			  "  if s % 4 == 1 then ublk.sleep(0.001) end\n"
			  "  if s % 4 == 2 then return 'EIO' end\n"
			  "  if s % 4 == 3 then ublk.sleep(1) end end }",
		.batch = 8,
		.requests = requests,
		.count = 40,
	};

	for (unsigned i = 0; i < 40; i++)
		requests[i] = (struct rig_request){ .op = UL_OP_WRITE, .sector = i, .length = 512 };
	requests[0].op = UL_OP_FLUSH;
	rig_run(&rig);
	h = &rig.stats->latency[UL_OP_WRITE];
	assert_true(h->count == 39);
	assert_true(h->min == 0);
	assert_true(h->max == 1e9);
	assert_true(h->sum == 10 * 1e6 + 10 * 1e9);
	assert_int_equal(h->bucket[0], 19);
	assert_true(rig.stats->latency[UL_OP_FLUSH].count == 1);
	assert_true(rig.stats->latency[UL_OP_READ].count == 0);
}

/* Each wakes the other in its own turn, so there is never nothing to do. */
static void tasks_that_never_rest_do_not_keep_requests_waiting(void **state)
{
	struct rig_request requests[8];
	struct rig rig = {
		.script = "local ublk = require 'ublk'\n"
			  "local turns = ublk.counter 'turns'\n"
			  "local function play(mine, theirs)\n"
			  "  while true do ublk.signal(theirs) ublk.wait(mine) turns:add() end\n"
			  "end\n"
			  "ublk.spawn(play, 'a', 'b')\n"
			  "ublk.spawn(play, 'b', 'a')\n"
			  "return { size = '1M', write = function(s) if s % 2 == 0 then\n"
			  "  ublk.sleep(0) end end }",
		.requests = requests,
		.count = 8,
		.depth = 4,
		.rounds = 100,
	};

	for (unsigned i = 0; i < 8; i++)
		requests[i] = (struct rig_request){ .op = UL_OP_WRITE, .sector = i, .length = 512 };
	alarm(60); /* or it would last for ever */
	rig_run(&rig);
	alarm(0);
	assert_int_equal(rig.end, -ENODEV);
	assert_int_equal(rig.faults, 0);
	assert_int_equal(rig.stats->op[UL_OP_WRITE].requests, 800);
	assert_int_equal(rig.stats->op[UL_OP_WRITE].errors, 0);
	assert_true(rig.stats->rounds < 2000);
	assert_true(rig.stats->script.counter[0].value > 100);
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
		cmocka_unit_test(what_waits_is_answered_once_when_it_has),
		cmocka_unit_test(who_waits_holds_up_nobody_else),
		cmocka_unit_test(a_result_that_is_handed_on_is_not_injected),
		cmocka_unit_test(the_end_of_a_device_lets_go_of_what_is_held),
		cmocka_unit_test(the_end_by_force_answers_what_waits_and_runs_no_script),
		cmocka_unit_test(the_end_by_force_runs_no_finalizer),
		cmocka_unit_test(only_what_touches_the_ranges_reaches_the_script),
		cmocka_unit_test(each_answer_has_its_time),
		cmocka_unit_test(tasks_that_never_rest_do_not_keep_requests_waiting),
	};

	return run_in_both_modes("dispatch", tests, ARRAY_SIZE(tests), &rig_slow);
}
