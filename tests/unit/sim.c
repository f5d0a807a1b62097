/* SPDX-License-Identifier: MIT */
/*
 * core/sim.c: the transport that all other tests stand on. It must itself see
 * every way to answer wrongly.
 */
#include "support.h"

#include <errno.h>
#include <string.h>

#include "sim.h"

enum { DEPTH = 8, MAX_IO = 4096 };

struct feed {
	unsigned total;
	unsigned issued;
	unsigned answered;
	double sector[64];
	int32_t result[64];
};

static bool feed_next(void *arg, struct ul_req *req, uint8_t *data)
{
	struct feed *feed = arg;

	if (feed->issued == feed->total)
		return false;
	req->op = feed->issued % 2 ? UL_OP_FLUSH : UL_OP_WRITE;
	req->sector = feed->issued++;
	req->length = 512;
	memset(data, 0x5a, 512);
	return true;
}

static void feed_done(void *arg, const struct ul_req *req, const uint8_t *data, int32_t result)
{
	struct feed *feed = arg;

	feed->sector[feed->answered] = req->sector;
	feed->result[feed->answered++] = result;
}

static struct transport *open_sim(struct feed *feed, unsigned total, unsigned batch)
{
	struct transport *t;

	*feed = (struct feed){ .total = total };
	assert_int_equal(sim_open(&t, &(struct sim_config){ .queue = 5,
							    .depth = DEPTH,
							    .max_io = MAX_IO,
							    .batch = batch,
							    .next = feed_next,
							    .done = feed_done,
							    .arg = feed }),
			 0);
	return t;
}

static void answer_batch(struct transport *t, int count)
{
	for (int i = 0; i < count; i++)
		t->ops->answer(t, t->shared.batch[i], i);
}

static void requests_come_in_order_and_answers_go_back(void **state)
{
	struct feed feed;
	struct transport *t = open_sim(&feed, 3, DEPTH);

	assert_int_equal(t->ops->reap(t, UINT64_MAX), 3);
	for (unsigned i = 0; i < 3; i++) {
		const struct ul_req *req = &t->shared.reqs[t->shared.batch[i]];

		assert_true(req->sector == i);
		assert_int_equal(req->tag, t->shared.batch[i]);
		assert_int_equal(req->queue, 5);
	}
	answer_batch(t, 3);
	assert_int_equal(feed.answered, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(feed.sector[i] == i);
		assert_int_equal(feed.result[i], i);
	}
	t->ops->close(t);
}

static void only_ops_with_data_get_a_buffer(void **state)
{
	struct feed feed;
	struct transport *t = open_sim(&feed, 2, DEPTH);
	uint16_t write, flush;

	assert_int_equal(t->ops->reap(t, UINT64_MAX), 2);
	write = t->shared.batch[0];
	flush = t->shared.batch[1];
	assert_ptr_equal(t->shared.reqs[write].buf, t->shared.buffers + write * MAX_IO);
	assert_int_equal(t->shared.reqs[write].buf[511], 0x5a);
	assert_null(t->shared.reqs[flush].buf);
	t->ops->close(t);
}

static void a_batch_is_no_larger_than_asked(void **state)
{
	struct feed feed;
	struct transport *t = open_sim(&feed, 10, 3);
	unsigned rounds = 0;
	int count;

	while ((count = t->ops->reap(t, UINT64_MAX)) > 0) {
		assert_in_range(count, 1, 3);
		answer_batch(t, count);
		rounds++;
	}
	assert_int_equal(count, -ENODEV);
	assert_int_equal(rounds, 4);
	assert_int_equal(feed.answered, 10);
	t->ops->close(t);
}

static void no_more_requests_are_out_than_the_depth(void **state)
{
	struct feed feed;
	struct transport *t = open_sim(&feed, 20, 6);

	assert_int_equal(t->ops->reap(t, UINT64_MAX), 6);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), DEPTH - 6);
	assert_int_equal(feed.issued, DEPTH);
	t->ops->close(t);
}

static void the_end_comes_when_all_is_answered(void **state)
{
	struct feed feed;
	struct transport *t = open_sim(&feed, 4, DEPTH);

	answer_batch(t, t->ops->reap(t, UINT64_MAX));
	assert_int_equal(t->ops->reap(t, UINT64_MAX), -ENODEV);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), -ENODEV);
	assert_int_equal(sim_faults(t), 0);
	t->ops->close(t);
}

static void a_second_answer_is_a_fault(void **state)
{
	struct feed feed;
	struct transport *t = open_sim(&feed, 1, DEPTH);
	const char *log;

	assert_int_equal(t->ops->reap(t, UINT64_MAX), 1);
	answer_batch(t, 1);
	log_begin();
	answer_batch(t, 1);
	log = log_end();
	assert_int_equal(sim_faults(t), 1);
	assert_int_equal(feed.answered, 1);
	assert_has(log, "bug in dispatch: tag 0 was answered, but it owed no answer");
	t->ops->close(t);
}

static void an_answer_to_no_tag_is_a_fault(void **state)
{
	struct feed feed;
	struct transport *t = open_sim(&feed, 1, DEPTH);

	log_begin();
	t->ops->answer(t, DEPTH, 0);
	t->ops->answer(t, DEPTH - 1, 0);
	assert_has(log_end(), "tag 8");
	assert_int_equal(sim_faults(t), 2);
	assert_int_equal(feed.answered, 0);
	t->ops->close(t);
}

static void tags_never_answered_are_faults(void **state)
{
	struct feed feed;
	struct transport *t = open_sim(&feed, 3, DEPTH);

	assert_int_equal(t->ops->reap(t, UINT64_MAX), 3);
	t->ops->answer(t, t->shared.batch[1], 0);
	assert_int_equal(sim_owed(t), 2);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), -EPROTO);
	assert_int_equal(sim_faults(t), 2);
	t->ops->close(t);
}

static void the_clock_stands_still_while_requests_come(void **state)
{
	struct feed feed;
	struct transport *t = open_sim(&feed, 6, 3);

	assert_int_equal(t->ops->now(t), 0);
	assert_int_equal(t->ops->reap(t, 1000), 3);
	assert_int_equal(t->ops->reap(t, 1000), 3);
	assert_int_equal(t->ops->now(t), 0);
	t->ops->close(t);
}

static void the_clock_jumps_to_the_deadline_when_nothing_comes(void **state)
{
	struct feed feed;
	struct transport *t = open_sim(&feed, 1, DEPTH);
	int count = t->ops->reap(t, UINT64_MAX);

	assert_int_equal(t->ops->reap(t, 3600000000000), 0);
	assert_int_equal(t->ops->now(t), 3600000000000);
	assert_true(ul_now(&t->shared) == 3600);
	assert_int_equal(t->ops->reap(t, 1000), 0);
	assert_true(t->ops->now(t) >= 3600000000000); /* never back */
	answer_batch(t, count);
	assert_int_equal(t->ops->reap(t, 3700000000000), -ENODEV); /* nothing is owed */
	assert_int_equal(sim_faults(t), 0);
	t->ops->close(t);
}

/* Reap with deadlines `period` ns after the clock until that ends; how often that was. */
static unsigned tick(struct transport *t, uint64_t period, int end)
{
	unsigned ticks = 0;
	int ret;

	while ((ret = t->ops->reap(t, period ? t->ops->now(t) + period : 0)) == 0)
		assert_true(++ticks < 10000000);
	assert_int_equal(ret, end);
	return ticks;
}

static void a_clock_that_ticks_for_nobody_is_given_up_after_a_century(void **state)
{
	static const uint64_t periods[] = { 0, 1, 1000000000 };
	const uint64_t century = 100 * 365 * 86400ULL * 1000000000;

	for (unsigned i = 0; i < ARRAY_SIZE(periods); i++) {
		struct feed feed;
		struct transport *t = open_sim(&feed, 1, DEPTH);

		assert_int_equal(t->ops->reap(t, UINT64_MAX), 1);
		tick(t, periods[i], -ETIME);
		assert_in_range(t->ops->now(t), century, century + century / 50);
		assert_int_equal(sim_faults(t), 1);
		t->ops->close(t);
	}
}

static void a_wait_of_a_century_and_one_is_none_too_long(void **state)
{
	const uint64_t long_time = 101 * 365 * 86400ULL * 1000000000;
	struct feed feed;
	struct transport *t = open_sim(&feed, 1, DEPTH);

	assert_int_equal(t->ops->reap(t, UINT64_MAX), 1);
	assert_int_equal(t->ops->reap(t, long_time), 0);
	assert_int_equal(t->ops->now(t), long_time);
	answer_batch(t, 1);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), -ENODEV);
	t->ops->close(t);
}

/* As one that is answered hour by hour while a timer ticks each microsecond. */
static void time_passes_for_many_in_a_bounded_number_of_rounds(void **state)
{
	const uint64_t hour = 3600000000000;
	struct feed feed;
	struct transport *t = open_sim(&feed, 0, 1);
	unsigned rounds = 0;

	/* A million and a thousand for each are exact; leaps of 1 % add below 3000 for an hour. */
	for (unsigned i = 0; i < 64; i++) {
		feed.total++;
		assert_int_equal(t->ops->reap(t, UINT64_MAX), 1);
		while (t->ops->now(t) < (i + 1) * hour) {
			assert_int_equal(t->ops->reap(t, t->ops->now(t) + 1000), 0);
			assert_true(++rounds < 1000000 + 64 * 4000);
		}
		answer_batch(t, 1);
	}
	t->ops->close(t);
}

static void what_is_ready_again_and_again_takes_time(void **state)
{
	struct feed feed;
	struct transport *t = open_sim(&feed, 1, DEPTH);

	assert_int_equal(t->ops->reap(t, UINT64_MAX), 1);
	for (unsigned i = 1; i <= 1000; i++) {
		assert_int_equal(t->ops->reap(t, 0), 0);
		assert_int_equal(t->ops->now(t), (i - 1) * 100000);
	}
	t->ops->close(t);
}

static void the_real_clock_goes_on_by_itself(void **state)
{
	struct transport *t;
	uint64_t before;

	assert_int_equal(sim_open(&t, &(struct sim_config){ .depth = DEPTH,
							    .max_io = MAX_IO,
							    .batch = DEPTH,
							    .real_time = true,
							    .next = feed_next,
							    .arg = &(struct feed){ .total = 1 } }),
			 0);
	before = t->ops->now(t);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 1);
	assert_int_equal(t->ops->reap(t, before + 3600000000000), 0); /* without a wait */
	while (t->ops->now(t) == before)
		;
	assert_true(t->ops->now(t) - before < 3600000000000);
	t->ops->close(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_come_in_order_and_answers_go_back),
		cmocka_unit_test(only_ops_with_data_get_a_buffer),
		cmocka_unit_test(a_batch_is_no_larger_than_asked),
		cmocka_unit_test(no_more_requests_are_out_than_the_depth),
		cmocka_unit_test(the_end_comes_when_all_is_answered),
		cmocka_unit_test(a_second_answer_is_a_fault),
		cmocka_unit_test(an_answer_to_no_tag_is_a_fault),
		cmocka_unit_test(tags_never_answered_are_faults),
		cmocka_unit_test(the_clock_stands_still_while_requests_come),
		cmocka_unit_test(the_clock_jumps_to_the_deadline_when_nothing_comes),
		cmocka_unit_test(a_clock_that_ticks_for_nobody_is_given_up_after_a_century),
		cmocka_unit_test(a_wait_of_a_century_and_one_is_none_too_long),
		cmocka_unit_test(time_passes_for_many_in_a_bounded_number_of_rounds),
		cmocka_unit_test(what_is_ready_again_and_again_takes_time),
		cmocka_unit_test(the_real_clock_goes_on_by_itself),
	};

	return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
