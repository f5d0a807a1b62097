/* SPDX-License-Identifier: MIT */
/*
 * core/backend_mirror.c, served at once and then with all legs slow: each leg
 * has all the data, one may fail and nobody sees it, and who failed a write is
 * not asked again.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "../exercise.h"
#include "../slow.h"
#include "../trees.h"

enum { SIZE = 4 << 20, THREADS = 4 };

static bool slow;

static struct ul_device mirror(uint32_t legs)
{
	struct ul_device dev = tree_device(UL_BACKING_MIRROR);

	dev.size = SIZE;
	tree_grow(&dev, 0, legs, UL_BACKING_MEM);
	return dev;
}

/* A mirror whose legs can fail. */
static struct backend *open_mirror(uint32_t legs)
{
	struct ul_device dev = mirror(legs);
	struct backend *root = tree_open(&dev);

	tree_slow(root);
	return root;
}

static unsigned exercise(struct backend *root, struct model *model, int (*expected)(int result))
{
	return tree_exercise(
		root,
		(struct exercise){
			.model = model, .seed = 5, .operations = 10000, .expected = expected },
		slow);
}

static void each_leg_has_the_data(void **state)
{
	struct backend *root = open_mirror(3);
	struct model model;

	model_open(&model, SIZE, NULL);
	exercise(root, &model, NULL);
	exercise_compare(root, &model);
	for (unsigned i = 0; i < 3; i++)
		exercise_compare(root->child[i], &model);
	model_close(&model);
	backend_close(root);
}

static void a_mirror_of_files_and_stripes_keeps_the_data(void **state)
{
	struct ul_device dev = tree_device(UL_BACKING_MIRROR);
	uint32_t first = tree_grow(&dev, 0, 2, UL_BACKING_STRIPE);
	uint32_t stripe = tree_grow(&dev, first, 2, UL_BACKING_FILE);
	struct model model;
	struct backend *root;

	tree_file(&dev.backing[first + 1], "whole.img", SIZE, 0);
	tree_file(&dev.backing[stripe], "left.img", SIZE / 2, 0);
	tree_file(&dev.backing[stripe + 1], "right.img", SIZE / 2, 0);
	root = tree_open(&dev);
	assert_true(dev.size == SIZE);
	if (slow)
		tree_slow(root);
	model_open(&model, SIZE, NULL);
	tree_exercise(root, (struct exercise){ .model = &model, .operations = 300 }, slow);
	exercise_compare(root->child[0], &model);
	exercise_compare(root->child[1], &model);
	model_close(&model);
	backend_close(root);
}

static unsigned reads, others; /* of the leg that is watched */

static int fail_reads(const struct ul_req *req)
{
	reads += req->op == UL_OP_READ;
	return req->op == UL_OP_READ ? -ENODATA : 0;
}

static void a_read_goes_to_another_leg_when_one_fails(void **state)
{
	struct backend *root = open_mirror(2);
	struct model model;
	const char *log;

	slow_fail(root->child[0], fail_reads);
	reads = 0;
	model_open(&model, SIZE, NULL);
	log_begin();
	exercise(root, &model, NULL);
	log = log_end();
	assert_has(log,
		   "ublk.mirror: [1] (mem) failed a read: No data available; another is asked");
	assert_one_line(log);
	assert_in_range(reads, 100, 10000); /* it is asked again: its other places may be well */
	slow_fail(root->child[0], NULL);
	exercise_compare(root->child[0], &model);
	model_close(&model);
	backend_close(root);
}

static unsigned countdown;

static int fail_after_a_while(const struct ul_req *req)
{
	others += countdown == 0;
	if (countdown)
		countdown--;
	return countdown ? 0 : -ENOSPC;
}

static void a_leg_that_fails_a_write_is_left_out(void **state)
{
	struct backend *root = open_mirror(3);
	struct model model;
	const char *log;

	slow_fail(root->child[1], fail_after_a_while);
	countdown = 1000;
	others = 0;
	model_open(&model, SIZE, NULL);
	log_begin();
	exercise(root, &model, NULL);
	log = log_end();
	assert_has(log,
		   "ublk.mirror: [2] (mem) failed a write: No space left on device; it is left "
		   "out from now on, its data is out of date; 2 of 3 are left");
	assert_in_range(count_lines(log), 1, 2);     /* a read may have failed before */
	assert_in_range(others, 0, EXERCISE_FLIGHT); /* what was on its way */
	exercise_compare(root->child[0], &model);
	exercise_compare(root->child[2], &model);
	model_close(&model);
	backend_close(root);
}

static unsigned refusals;
static bool refuses;

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring)
{
	if (!refuses)
		return __real_io_uring_submit(ring);
	refusals++;
	return -EAGAIN;
}

/* More pieces than the ring has entries, and it takes no more in that round: no leg is to blame. */
static void a_full_ring_is_no_reason_to_leave_a_leg_out(void **state)
{
	struct ul_device dev = tree_device(UL_BACKING_MIRROR);
	const uint32_t legs = 10, first = tree_grow(&dev, 0, legs, UL_BACKING_STRIPE);
	struct model model;
	struct backend *root;

	for (uint32_t i = 0; i < legs * 2; i++) {
		uint32_t leg = first + i / 2, half = first + legs + i;
		char name[] = { (char)('a' + i), 0 };

		dev.backing[leg].block = 4096;
		if (i % 2 == 0)
			tree_grow(&dev, leg, 2, UL_BACKING_FILE);
		tree_file(&dev.backing[half], name, SIZE / 2, 0);
	}
	root = tree_open(&dev);
	if (slow)
		tree_slow(root);
	refusals = 0;
	refuses = true;
	model_open(&model, SIZE, NULL);
	log_begin();
	tree_exercise(root, (struct exercise){ .model = &model, .operations = 200 }, slow);
	assert_string_equal(log_end(), "");
	refuses = false;
	assert_true(!slow || refusals > 10);
	for (uint32_t i = 0; i < legs; i++)
		exercise_compare(root->child[i], &model);
	model_close(&model);
	backend_close(root);
}

static int fail_writes(const struct ul_req *req)
{
	return req->op == UL_OP_READ ? 0 : -EREMOTEIO;
}

static int is_remote(int result)
{
	return result == -EREMOTEIO;
}

static void the_last_legs_errors_are_the_clients(void **state)
{
	struct backend *root = open_mirror(2);
	struct model model;
	const char *log;

	slow_fail(root->child[0], fail_writes);
	slow_fail(root->child[1], fail_writes);
	model_open(&model, SIZE, NULL);
	log_begin();
	assert_in_range(exercise(root, &model, is_remote), 5000, 9000);
	log = log_end();
	assert_has(log, "1 of 2 are left");
	assert_one_line(log);
	model_close(&model);
	backend_close(root);
}

static int fail_all(const struct ul_req *req)
{
	return -ENODATA;
}

static int serve(struct backend *root, uint8_t op)
{
	static uint8_t data[4096];

	return root->ops->serve(root, NULL,
				&(struct ul_req){ .op = op, .length = 4096, .buf = data });
}

static const uint8_t changes[] = { UL_OP_WRITE, UL_OP_DISCARD, UL_OP_WRITE_ZEROES };

/* A script may try, in a task say. Nobody is to blame, and both legs are read as before. */
static void a_read_only_mirror_refuses_to_change_and_keeps_its_legs(void **state)
{
	struct ul_device dev = tree_device(UL_BACKING_MIRROR);
	uint32_t first = tree_grow(&dev, 0, 2, UL_BACKING_FILE);
	struct backend *root;

	dev.read_only = 1;
	tree_file(&dev.backing[first], "left.img", SIZE, 0);
	tree_file(&dev.backing[first + 1], "right.img", SIZE, 0);
	root = tree_open(&dev);
	log_begin();
	for (unsigned i = 0; i < ARRAY_SIZE(changes); i++)
		assert_int_equal(serve(root, changes[i]), -EROFS);
	assert_int_equal(serve(root, UL_OP_READ), 0);
	assert_int_equal(serve(root, UL_OP_FLUSH), 0);
	assert_string_equal(log_end(), "");
	backend_close(root);
}

static int turn_read_only(const struct ul_req *req)
{
	return req->op == UL_OP_READ ? 0 : -EROFS;
}

/* As a file system of the host does when its disk fails. */
static void a_leg_that_turns_read_only_is_left_out(void **state)
{
	struct backend *root = open_mirror(2);

	slow_fail(root->child[0], turn_read_only);
	log_begin();
	assert_int_equal(serve(root, UL_OP_WRITE), 0);
	assert_has(log_end(), "[1] (mem) failed a write: Read-only file system");
	backend_close(root);
}

static void what_no_leg_can_read_is_an_error(void **state)
{
	struct backend *root = open_mirror(2);

	slow_fail(root->child[0], fail_all);
	slow_fail(root->child[1], fail_all);
	log_begin();
	assert_int_equal(serve(root, UL_OP_READ), -ENODATA);
	assert_int_equal(count_lines(log_end()), 2);
	assert_int_equal(serve(root, UL_OP_ZONE_OPEN), -EOPNOTSUPP);
	backend_close(root);
}

static int cannot_clear(const struct ul_req *req)
{
	return req->op == UL_OP_DISCARD || req->op == UL_OP_WRITE_ZEROES ? -EOPNOTSUPP : 0;
}

/* The client will write zeros instead; the leg is as good as it was. */
static void a_leg_that_cannot_clear_stays(void **state)
{
	struct backend *root = open_mirror(2);

	slow_fail(root->child[0], cannot_clear);
	log_begin();
	assert_int_equal(serve(root, UL_OP_DISCARD), -EOPNOTSUPP);
	assert_int_equal(serve(root, UL_OP_WRITE_ZEROES), -EOPNOTSUPP);
	assert_string_equal(log_end(), "");
	backend_close(root);
}

static void the_size_is_the_smallest_legs(void **state)
{
	struct ul_device dev = mirror(2);
	const char *log;

	dev.size = 0;
	dev.backing[1].size = SIZE;
	dev.backing[2].size = SIZE - 512;
	log_begin();
	assert_int_equal(backend_probe(&dev, "test.lua"), 0);
	log = log_end();
	assert_true(dev.size == SIZE - 512);
	assert_has(log,
		   "backings of 4193792 to 4194304 bytes: the smallest's size is the mirror's");
}

static struct backend *shared;
static struct model shared_model;
static atomic_int passed;

static int fail_once_all_are_busy(const struct ul_req *req)
{
	return req->op != UL_OP_READ && atomic_fetch_add(&passed, 1) > 2000 ? -EIO : 0;
}

static void *exercise_part(void *arg)
{
	exercise_run(&(struct exercise){ .backend = shared,
					 .model = &shared_model,
					 .threads = THREADS,
					 .thread = *(const unsigned *)arg,
					 .operations = 5000 });
	return NULL;
}

/* What one thread learns of a leg all know before they read. By `serve`: ticks are one thread's. */
static void threads_agree_on_who_is_left(void **state)
{
	unsigned numbers[THREADS];
	pthread_t threads[THREADS];
	const char *log;

	atomic_store(&passed, 0);
	shared = open_mirror(2);
	slow_fail(shared->child[1], fail_once_all_are_busy);
	model_open(&shared_model, SIZE, NULL);
	log_begin();
	for (unsigned i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, exercise_part, &numbers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	log = log_end();
	assert_has(log, "[2] (mem) failed a write");
	assert_one_line(log);
	exercise_compare(shared->child[0], &shared_model);
	model_close(&shared_model);
	backend_close(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_leg_has_the_data),
		cmocka_unit_test(a_mirror_of_files_and_stripes_keeps_the_data),
		cmocka_unit_test(a_read_goes_to_another_leg_when_one_fails),
		cmocka_unit_test(a_leg_that_fails_a_write_is_left_out),
		cmocka_unit_test(a_full_ring_is_no_reason_to_leave_a_leg_out),
		cmocka_unit_test(the_last_legs_errors_are_the_clients),
		cmocka_unit_test(a_read_only_mirror_refuses_to_change_and_keeps_its_legs),
		cmocka_unit_test(a_leg_that_turns_read_only_is_left_out),
		cmocka_unit_test(what_no_leg_can_read_is_an_error),
		cmocka_unit_test(a_leg_that_cannot_clear_stays),
		cmocka_unit_test(the_size_is_the_smallest_legs),
		cmocka_unit_test(threads_agree_on_who_is_left),
	};

	return run_in_both_modes("backend_mirror", tests, ARRAY_SIZE(tests), &slow);
}
