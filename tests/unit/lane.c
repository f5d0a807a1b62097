/* SPDX-License-Identifier: MIT */
/*
 * core/lane.c on a real ring: more operations than it has entries, each ended
 * once and in the order of the completions, also when one starts the next.
 */
#include "support.h"

#include <fcntl.h>
#include <unistd.h>

#include "lane.h"

enum { ENTRIES = 4, MANY = 64 };

static struct {
	struct io_uring ring;
	struct lane lane;
} it;

struct counted {
	struct lane_op op;
	unsigned ended, left;
};

static void start(struct counted *counted);

static void count(struct lane_op *op, int32_t result)
{
	struct counted *counted = (struct counted *)op;

	assert_int_equal(result, 0);
	counted->ended++;
	if (counted->left) {
		counted->left--;
		start(counted);
	}
}

static void start(struct counted *counted)
{
	struct io_uring_sqe sqe = { 0 };

	counted->op.done = count;
	io_uring_prep_fsync(&sqe, 0, IORING_FSYNC_DATASYNC);
	assert_int_equal(lane_start(&it.lane, &counted->op, 0, &sqe), 0);
}

static int open_lane(void **state)
{
	int fd = open(temp_file("lane", ""), O_RDWR | O_CLOEXEC);
	int files[] = { fd, fd };

	(void)state;
	it.lane = (struct lane){ .ring = &it.ring };
	if (io_uring_queue_init(ENTRIES, &it.ring, 0) ||
	    io_uring_register_files(&it.ring, files, 2))
		return -1;
	return close(fd);
}

static int close_lane(void **state)
{
	(void)state;
	io_uring_queue_exit(&it.ring);
	return 0;
}

/* Until nothing is on its way. */
static void run_all(void)
{
	struct io_uring_cqe *cqe;

	while (it.lane.flying) {
		assert_true(io_uring_submit_and_wait(&it.ring, 1) >= 0);
		while (io_uring_peek_cqe(&it.ring, &cqe) == 0) {
			lane_end(&it.lane, io_uring_cqe_get_data(cqe), cqe->res);
			io_uring_cqe_seen(&it.ring, cqe);
		}
		lane_run(&it.lane);
	}
}

static void more_than_the_ring_has_entries_all_end_once(void **state)
{
	struct counted ops[MANY] = { 0 };

	for (unsigned i = 0; i < MANY; i++)
		start(&ops[i]);
	assert_int_equal(it.lane.flying, MANY);
	run_all();
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(ops[i].ended, 1);
}

static void one_that_ends_may_start_the_next(void **state)
{
	struct counted ops[2] = { { .left = 5 }, { .left = 9 } };

	start(&ops[0]);
	start(&ops[1]);
	run_all();
	assert_int_equal(ops[0].ended, 6);
	assert_int_equal(ops[1].ended, 10);
}

static unsigned order[3], ordered;

static void note(struct lane_op *op, int32_t result)
{
	(void)op;
	order[ordered++] = (unsigned)result;
}

static void they_are_run_in_the_order_in_which_they_ended(void **state)
{
	struct lane_op ops[3] = { { .done = note }, { .done = note }, { .done = note } };

	it.lane.flying = 3;
	lane_end(&it.lane, &ops[2], 2);
	lane_end(&it.lane, &ops[0], 0);
	lane_end(&it.lane, &ops[1], 1);
	assert_int_equal(ordered, 0); /* not before the round */
	lane_run(&it.lane);
	assert_int_equal(order[0], 2);
	assert_int_equal(order[1], 0);
	assert_int_equal(order[2], 1);
	assert_int_equal(it.lane.flying, 0);
}

#define lane_test(name) cmocka_unit_test_setup_teardown(name, open_lane, close_lane)

int main(void)
{
	const struct CMUnitTest tests[] = {
		lane_test(more_than_the_ring_has_entries_all_end_once),
		lane_test(one_that_ends_may_start_the_next),
		lane_test(they_are_run_in_the_order_in_which_they_ended),
	};

	return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
