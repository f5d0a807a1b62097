/* SPDX-License-Identifier: MIT */
/*
 * core/park.c: what waits goes on when it is woken, once, in the order of
 * being woken; and what the next deadline of a queue is.
 */
#include "support.h"

#include <errno.h>

#include "park.h"
#include "timer.h"

enum { DEPTH = 4, SLOTS = DEPTH + UL_TASKS };

static struct ul_req reqs[DEPTH];
static struct ul_queue queue;

static int queue_open(void **state)
{
	queue = (struct ul_queue){ .depth = DEPTH, .reqs = reqs };
	for (unsigned tag = 0; tag < DEPTH; tag++)
		reqs[tag] = (struct ul_req){ .tag = (uint16_t)tag };
	return park_open(&queue);
}

static int queue_close(void **state)
{
	park_close(&queue);
	return 0;
}

/* The slots that may go on, in their order, are `slots`; UINT32_MAX ends the list. */
static void assert_ready(const uint32_t *slots)
{
	uint32_t slot, count = 0;

	while (slots[count] != UINT32_MAX)
		count++;
	assert_int_equal(park_ready(&queue), count);
	for (uint32_t i = 0; i < count; i++) {
		assert_true(park_next_ready(&queue, &slot));
		assert_int_equal(slot, slots[i]);
	}
	assert_false(park_next_ready(&queue, &slot));
}

#define READY(...) assert_ready((const uint32_t[]){ __VA_ARGS__ __VA_OPT__(, ) UINT32_MAX })

static void a_queue_has_a_slot_for_each_tag_and_task(void **state)
{
	assert_int_equal(queue.tasks, UL_TASKS);
	READY();
	assert_true(park_deadline(&queue) == TIMER_NEVER);
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		ul_park_wake(&queue, slot);
	assert_int_equal(park_ready(&queue), SLOTS);
}

static void the_first_that_is_woken_goes_on_first(void **state)
{
	ul_park_wake(&queue, 2);
	ul_park_wake(&queue, SLOTS - 1);
	ul_park_wake(&queue, 0);
	assert_int_equal(park_deadline(&queue), 0);
	READY(2, SLOTS - 1, 0);
	assert_true(park_deadline(&queue) == TIMER_NEVER);
}

static void the_order_holds_when_the_ring_goes_round(void **state)
{
	uint32_t next = 0, slot;

	for (uint32_t i = 0; i < 3; i++)
		ul_park_wake(&queue, i);
	for (unsigned i = 0; i < 3 * SLOTS; i++) {
		assert_true(park_next_ready(&queue, &slot));
		assert_int_equal(slot, next % SLOTS);
		ul_park_wake(&queue, (next++ + 3) % SLOTS);
	}
	assert_int_equal(park_ready(&queue), 3);
}

static void woken_twice_is_once(void **state)
{
	ul_park_wake(&queue, 1);
	ul_park_wake(&queue, 0);
	ul_park_wake(&queue, 1);
	READY(1, 0);
	ul_park_wake(&queue, 1); /* it has gone on since */
	READY(1);
}

static void time_wakes_what_is_due(void **state)
{
	ul_park_until(&queue, 0, 3e-3);
	ul_park_until(&queue, 1, 1e-3);
	ul_park_until(&queue, 2, 2e-3);
	assert_int_equal(park_deadline(&queue), 1000000);
	park_expire(&queue, 999999);
	READY();
	park_expire(&queue, 2000000);
	assert_int_equal(park_deadline(&queue), 0);
	READY(1, 2);
	assert_int_equal(park_deadline(&queue), 3000000);
	park_expire(&queue, UINT64_MAX - 1);
	READY(0);
}

static void who_is_woken_before_his_time_is_not_woken_again(void **state)
{
	ul_park_until(&queue, 0, 1);
	ul_park_wake(&queue, 0);
	READY(0);
	assert_true(park_deadline(&queue) == TIMER_NEVER);
	park_expire(&queue, 2000000000);
	READY();
}

/* Sums of doubles fall a little short: 0.1 + 0.7 is below 0.8. */
static void nobody_is_woken_early(void **state)
{
	struct ul_rng rng;

	ul_rng_seed(&rng, 1, 0);
	ul_park_until(&queue, 0, 0.1 + 0.7);
	assert_int_equal(park_deadline(&queue), 800000000);
	for (unsigned i = 0; i < 100000; i++) {
		double time = ul_rng_next(&rng) * 1000;

		ul_park_until(&queue, 0, time);
		assert_true((double)park_deadline(&queue) >= time * 1e9);
		assert_true((double)park_deadline(&queue) < time * 1e9 + 1);
	}
}

static void times_that_no_clock_has(void **state)
{
	ul_park_until(&queue, 0, -1);
	assert_int_equal(park_deadline(&queue), 0);
	ul_park_until(&queue, 0, 0x1p62 / 1e9);
	assert_true(park_deadline(&queue) == TIMER_NEVER);
	ul_park_until(&queue, 0, 1e300);
	assert_true(park_deadline(&queue) == TIMER_NEVER);
	ul_park_until(&queue, 0, __builtin_nan(""));
	assert_true(park_deadline(&queue) == TIMER_NEVER);
}

static void only_what_waits_for_a_time_can_be_cancelled(void **state)
{
	uint32_t slot;

	assert_int_equal(ul_park_cancel(&queue, 0), 0);
	ul_park_until(&queue, 0, 1);
	assert_int_equal(ul_park_cancel(&queue, 0), 1);
	assert_int_equal(ul_park_cancel(&queue, 0), 0);
	assert_true(park_deadline(&queue) == TIMER_NEVER);
	ul_park_until(&queue, 1, 1);
	park_expire(&queue, 1000000000);
	assert_int_equal(ul_park_cancel(&queue, 1), 0);
	READY(1);
	ul_park_io(&queue, 2);
	assert_int_equal(ul_park_cancel(&queue, 2), 0);
	assert_true(park_next_io(&queue, &slot));
}

static void wishes_to_the_backing_come_in_their_order(void **state)
{
	uint32_t slot;

	ul_park_io(&queue, 3);
	ul_park_io(&queue, SLOTS - 1);
	assert_int_equal(park_ready(&queue), 0);
	assert_true(park_next_io(&queue, &slot));
	assert_int_equal(slot, 3);
	assert_true(park_next_io(&queue, &slot));
	assert_int_equal(slot, SLOTS - 1);
	assert_false(park_next_io(&queue, &slot));
}

/* Else the backing would serve it while its handler goes on, or it would go on twice. */
static void nobody_wakes_what_waits_for_the_backing(void **state)
{
	uint32_t slot;

	ul_park_io(&queue, 1);
	ul_park_wake(&queue, 1);
	READY();
	assert_true(park_next_io(&queue, &slot));
	assert_int_equal(slot, 1);
	ul_park_wake(&queue, 1); /* the backing has it, and may take its time */
	READY();
	assert_true(park_waits_for_io(&queue, 1));
	park_end_io(&queue, 1, -EIO);
	assert_int_equal(queue.results[1], -EIO);
	assert_false(park_waits_for_io(&queue, 1));
	READY(1);
}

static void a_forward_asks_for_the_request_itself(void **state)
{
	uint32_t slot;

	reqs[2] = (struct ul_req){ .tag = 2,
				   .op = UL_OP_WRITE,
				   .sector = 8,
				   .length = 512,
				   .flags = UL_FLAG_FUA,
				   .buf = (uint8_t *)reqs };
	ul_park_forward(&queue, 2);
	assert_int_equal(reqs[2].marks, UL_MARK_HIT | UL_MARK_FORWARDED);
	assert_true(park_next_io(&queue, &slot));
	assert_int_equal(slot, 2);
	assert_int_equal(queue.slots[2].io.op, UL_OP_WRITE);
	assert_true(queue.slots[2].io.sector == 8);
	assert_int_equal(queue.slots[2].io.length, 512);
	assert_int_equal(queue.slots[2].io.flags, UL_FLAG_FUA);
	assert_ptr_equal(queue.slots[2].io.buf, reqs);
	assert_int_equal(queue.slots[2].io.marks, UL_MARK_FORWARDED);
	ul_park_io(&queue, 2); /* of the script's own, in the same slot */
	assert_int_equal(queue.slots[2].io.marks, 0);
}

#define park_test(name) cmocka_unit_test_setup_teardown(name, queue_open, queue_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		park_test(a_queue_has_a_slot_for_each_tag_and_task),
		park_test(the_first_that_is_woken_goes_on_first),
		park_test(the_order_holds_when_the_ring_goes_round),
		park_test(woken_twice_is_once),
		park_test(time_wakes_what_is_due),
		park_test(who_is_woken_before_his_time_is_not_woken_again),
		park_test(nobody_is_woken_early),
		park_test(times_that_no_clock_has),
		park_test(only_what_waits_for_a_time_can_be_cancelled),
		park_test(wishes_to_the_backing_come_in_their_order),
		park_test(nobody_wakes_what_waits_for_the_backing),
		park_test(a_forward_asks_for_the_request_itself),
	};

	return cmocka_run_group_tests_name("park", tests, NULL, NULL);
}
