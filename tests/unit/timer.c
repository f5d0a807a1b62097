/* SPDX-License-Identifier: MIT */
/*
 * core/timer.c: what is due comes in the order of its deadline, and then in
 * the order in which it was set; and the heap against a model that searches.
 */
#include "support.h"

#include "timer.h"

enum { SLOTS = 8 };

static int timers_open(void **state)
{
	*state = timer_open(SLOTS);
	return *state ? 0 : -1;
}

static int timers_close(void **state)
{
	timer_close(*state);
	return 0;
}

/* The slots that are due at `now`, in their order, are `slots`; UINT32_MAX ends the list. */
static void assert_due(struct timers *t, uint64_t now, const uint32_t *slots)
{
	uint32_t slot;

	for (; *slots != UINT32_MAX; slots++) {
		assert_true(timer_due(t, now, &slot));
		assert_int_equal(slot, *slots);
	}
	assert_false(timer_due(t, now, &slot));
}

#define DUE(t, now, ...)                                                                           \
	assert_due(t, now, (const uint32_t[]){ __VA_ARGS__ __VA_OPT__(, ) UINT32_MAX })

static void nothing_set_is_never_due(void **state)
{
	assert_true(timer_next(*state) == TIMER_NEVER);
	DUE(*state, TIMER_NEVER);
}

static void what_is_due_comes_by_its_deadline(void **state)
{
	timer_set(*state, 0, 30);
	timer_set(*state, 1, 10);
	timer_set(*state, 2, 20);
	timer_set(*state, 3, 40);
	assert_int_equal(timer_next(*state), 10);
	DUE(*state, 9);
	DUE(*state, 30, 1, 2, 0);
	assert_int_equal(timer_next(*state), 40);
	DUE(*state, 40, 3);
	DUE(*state, TIMER_NEVER);
}

static void equal_deadlines_come_as_they_were_set(void **state)
{
	static const uint32_t order[] = { 5, 2, 7, 0, 3, 6, 1, 4 };

	for (unsigned i = 0; i < SLOTS; i++)
		timer_set(*state, order[i], 5);
	DUE(*state, 5, 5, 2, 7, 0, 3, 6, 1, 4);
}

static void a_cleared_timer_does_not_go_off(void **state)
{
	for (uint32_t i = 0; i < SLOTS; i++)
		timer_set(*state, i, 10 + i);
	timer_clear(*state, 0);
	timer_clear(*state, 5);
	timer_clear(*state, 7);
	timer_clear(*state, 5); /* once more is nothing */
	assert_int_equal(timer_next(*state), 11);
	DUE(*state, 100, 1, 2, 3, 4, 6);
	timer_clear(*state, 1); /* has gone off */
	assert_true(timer_next(*state) == TIMER_NEVER);
}

static void a_timer_set_anew_has_its_new_deadline_and_place(void **state)
{
	timer_set(*state, 0, 10);
	timer_set(*state, 1, 20);
	timer_set(*state, 2, 20);
	timer_set(*state, 0, 30);
	DUE(*state, 15);
	timer_set(*state, 1, 20); /* now behind 2 */
	DUE(*state, 30, 2, 1, 0);
}

static void one_that_went_off_can_be_set_again(void **state)
{
	timer_set(*state, 3, 10);
	DUE(*state, 10, 3);
	timer_set(*state, 3, 5);
	DUE(*state, 10, 3);
}

static void never_is_later_than_all(void **state)
{
	timer_set(*state, 0, TIMER_NEVER);
	timer_set(*state, 1, TIMER_NEVER - 1);
	DUE(*state, TIMER_NEVER - 1, 1);
	assert_true(timer_next(*state) == TIMER_NEVER);
}

/* Takes no care of speed. */
struct model {
	uint64_t deadline[64], order[64]; /* order 0: not set */
	uint64_t count;
};

static int model_first(const struct model *m)
{
	int first = -1;

	for (int i = 0; i < 64; i++)
		if (m->order[i] &&
		    (first < 0 || m->deadline[i] < m->deadline[first] ||
		     (m->deadline[i] == m->deadline[first] && m->order[i] < m->order[first])))
			first = i;
	return first;
}

static void a_random_history_is_as_the_model_says(void **state)
{
	struct timers *t = timer_open(64);
	struct model m = { .count = 0 };
	struct ul_rng rng;
	uint32_t slot;

	ul_rng_seed(&rng, 1, 0);
	for (uint64_t step = 0; step < 200000; step++) {
		uint32_t i = (uint32_t)(ul_rng_next(&rng) * 64);
		double what = ul_rng_next(&rng);
		int first;

		if (what < 0.5) {
			m.deadline[i] = step / 100 + (uint64_t)(ul_rng_next(&rng) * 50);
			m.order[i] = ++m.count;
			timer_set(t, i, m.deadline[i]);
		} else if (what < 0.6) {
			m.order[i] = 0;
			timer_clear(t, i);
		}
		first = model_first(&m);
		assert_true(timer_next(t) == (first < 0 ? TIMER_NEVER : m.deadline[first]));
		if (timer_due(t, step / 100, &slot)) {
			assert_int_equal(slot, first);
			m.order[first] = 0;
		} else {
			assert_true(first < 0 || m.deadline[first] > step / 100);
		}
	}
	timer_close(t);
}

#define timer_test(name) cmocka_unit_test_setup_teardown(name, timers_open, timers_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		timer_test(nothing_set_is_never_due),
		timer_test(what_is_due_comes_by_its_deadline),
		timer_test(equal_deadlines_come_as_they_were_set),
		timer_test(a_cleared_timer_does_not_go_off),
		timer_test(a_timer_set_anew_has_its_new_deadline_and_place),
		timer_test(one_that_went_off_can_be_set_again),
		timer_test(never_is_later_than_all),
		cmocka_unit_test(a_random_history_is_as_the_model_says),
	};

	return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
