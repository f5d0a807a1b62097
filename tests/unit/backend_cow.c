/* SPDX-License-Identifier: MIT */
/*
 * Copy on write (core/backend_cow.c and core/cow_*.c), served at once and then
 * with base and store slow: the base stays as it is, and what was written is
 * read back, now and when the store is opened again. tests/unit/cow_crash.c
 * takes the power away.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../exercise.h"
#include "../slow.h"
#include "../trees.h"
#include "cow.h"

enum { SIZE = (2 << 20) + 5 * 512, FILL = 0xaa, THREADS = 4 };

static bool slow;

/* A base of SIZE bytes, all FILL, and a store that is not there yet. */
static struct ul_device cow_of_files(void)
{
	struct ul_device dev = tree_device(UL_BACKING_COW);
	uint32_t first = tree_grow(&dev, 0, 2, UL_BACKING_FILE);

	tree_file(&dev.backing[first + COW_BASE], "base.img", SIZE, FILL);
	unlink(temp_path("cow.img"));
	snprintf(dev.backing[first + COW_STORE].path, 4096, "%s", temp_path("cow.img"));
	return dev;
}

/* The same over memory, which is filled here. */
static struct backend *open_in_memory(uint32_t block)
{
	struct ul_device dev = tree_device(UL_BACKING_COW);
	uint8_t *data = malloc(SIZE);
	struct backend *root;

	assert_non_null(data);
	memset(data, FILL, SIZE);
	dev.size = SIZE;
	dev.backing[0].block = block;
	tree_grow(&dev, 0, 2, UL_BACKING_MEM);
	root = tree_open(&dev);
	assert_int_equal(
		root->child[COW_BASE]->ops->serve(
			root->child[COW_BASE], NULL,
			&(struct ul_req){ .op = UL_OP_WRITE, .length = SIZE, .buf = data }),
		0);
	free(data);
	tree_slow(root);
	return root;
}

static void open_model(struct model *model)
{
	model_open(model, SIZE, NULL);
	memset(model->data, FILL, SIZE);
}

static void compare_with_fill(struct backend *base)
{
	struct model model;

	open_model(&model);
	exercise_compare(base, &model);
	model_close(&model);
}

static unsigned exercise(struct backend *root, struct model *model, unsigned operations,
			 uint64_t seed, int (*expected)(int result))
{
	return tree_exercise(root,
			     (struct exercise){ .model = model,
						.seed = seed,
						.operations = operations,
						.expected = expected },
			     slow);
}

static void what_is_written_covers_the_base(void **state)
{
	static const uint32_t blocks[] = { 4096, 12288, 64 << 10, 1 << 20 };

	for (unsigned i = 0; i < 3 * ARRAY_SIZE(blocks); i++) {
		struct backend *root = open_in_memory(blocks[i % ARRAY_SIZE(blocks)]);
		struct model model;

		open_model(&model);
		exercise(root, &model, 3000, i, NULL);
		exercise_compare(root, &model);
		compare_with_fill(root->child[COW_BASE]);
		model_close(&model);
		backend_close(root);
	}
}

static void a_store_is_taken_up_again(void **state)
{
	struct ul_device dev = cow_of_files();
	struct model model;

	open_model(&model);
	for (unsigned i = 0; i < 4; i++) {
		struct ul_device again = dev;
		struct backend *root = tree_open(&again);

		assert_true(again.size == SIZE);
		exercise_compare(root, &model);
		if (slow)
			tree_slow(root);
		exercise(root, &model, 50, i, NULL);
		compare_with_fill(root->child[COW_BASE]);
		backend_close(root);
	}
	model_close(&model);
}

static int serve(struct backend *root, uint8_t op, uint64_t offset, uint32_t length, uint8_t *buf)
{
	return root->ops->serve(
		root, NULL,
		&(struct ul_req){
			.op = op, .sector = (double)(offset / 512), .length = length, .buf = buf });
}

static uint8_t byte_at(struct backend *root, uint64_t offset)
{
	static uint8_t sector[512];

	assert_int_equal(serve(root, UL_OP_READ, offset, 512, sector), 0);
	for (unsigned i = 1; i < 512; i++)
		assert_int_equal(sector[i], sector[0]);
	return sector[0];
}

/* What is discarded may be anything, but what was cleared may not come back. */
static void the_base_does_not_come_back(void **state)
{
	struct backend *root = open_in_memory(64 << 10);

	assert_int_equal(serve(root, UL_OP_WRITE_ZEROES, 4096, 128 << 10, NULL), 0);
	assert_int_equal(byte_at(root, 4096 - 512), FILL);
	assert_int_equal(byte_at(root, 4096), 0);
	assert_int_equal(serve(root, UL_OP_DISCARD, 0, SIZE, NULL), 0);
	assert_int_equal(byte_at(root, 4096), 0);
	assert_int_equal(byte_at(root, (64 << 10) + 512), 0);
	assert_int_equal(byte_at(root, SIZE - 512), FILL); /* not ours to clear */
	assert_int_equal(serve(root, UL_OP_ZONE_OPEN, 0, 0, NULL), -EOPNOTSUPP);
	backend_close(root);
}

static void nothing_can_be_written_to_the_base(void **state)
{
	struct ul_device dev = cow_of_files();
	struct backend *root = tree_open(&dev);
	uint8_t data[512] = { 0 };

	assert_int_equal(serve(root->child[COW_BASE], UL_OP_WRITE, 0, 512, data), -EROFS);
	assert_int_equal(serve(root->child[COW_STORE], UL_OP_WRITE, SIZE, 512, data), 0);
	backend_close(root);
}

static unsigned countdown;

static int fail_now_and_then(const struct ul_req *req)
{
	return countdown++ % 16 == 0 ? -ENODATA : 0;
}

static int is_enodata(int result)
{
	return result == -ENODATA;
}

/* Neither claims nor flushes stay behind: whoever comes later is served. */
static void an_error_below_is_the_requests_alone(void **state)
{
	for (unsigned which = COW_BASE; which <= COW_STORE; which++) {
		struct backend *root = open_in_memory(64 << 10);
		struct cow *cow = (struct cow *)root;
		struct model model;

		open_model(&model);
		slow_fail(root->child[which], fail_now_and_then);
		assert_in_range(exercise(root, &model, 4000, which, is_enodata), 1, 3000);
		slow_fail(root->child[which], NULL);
		exercise(root, &model, 2000, 9, NULL);
		exercise_compare(root, &model);
		assert_false(cow->flushing);
		assert_null(cow->waiting);
		for (unsigned i = 0; i < COW_CLAIMS; i++)
			assert_int_equal(cow->claims[i].count, 0);
		model_close(&model);
		backend_close(root);
	}
}

static struct backend *shared;
static struct model shared_model;

static void *exercise_part(void *arg)
{
	tree_exercise(shared,
		      (struct exercise){ .model = &shared_model,
					 .threads = THREADS,
					 .thread = *(const unsigned *)arg,
					 .operations = 250 },
		      slow);
	return NULL;
}

/* Each block is of all threads: who adds it, and who waits for that, changes. */
static void threads_share_blocks(void **state)
{
	struct ul_device dev = cow_of_files();
	unsigned numbers[THREADS];
	pthread_t threads[THREADS];

	shared = tree_open(&dev);
	if (slow)
		tree_slow(shared);
	open_model(&shared_model);
	for (unsigned i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, exercise_part, &numbers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	exercise_compare(shared, &shared_model);
	backend_close(shared);

	shared = tree_open(&dev);
	exercise_compare(shared, &shared_model);
	compare_with_fill(shared->child[COW_BASE]);
	backend_close(shared);
	model_close(&shared_model);
}

static int open_it(struct ul_device *dev, const char **log)
{
	struct backend *root = NULL;
	int ret;

	log_begin();
	ret = backend_probe(dev, "test.lua");
	if (ret == 0)
		ret = backend_open(&root, dev);
	if (ret == 0)
		backend_close(root);
	*log = log_end();
	return ret;
}

static void what_is_no_store_for_this_base_is_refused(void **state)
{
	struct ul_device good = cow_of_files(), dev = good;
	const char *log;

	assert_int_equal(open_it(&dev, &log), 0);
	dev = good;
	dev.backing[0].block = 4096;
	assert_int_equal(open_it(&dev, &log), -EINVAL);
	assert_has(log, "cow.img: a store for 2099712 bytes in blocks of 65536, the base has "
			"2099712 and block is 4096");
	dev = good;
	assert_int_equal(truncate(temp_path("base.img"), SIZE - 512), 0);
	assert_int_equal(open_it(&dev, &log), -EINVAL);
	assert_has(log, "a store for 2099712 bytes in blocks of 65536, the base has 2099200");
	dev = good;
	temp_file("cow.img", "Dear diary,");
	assert_int_equal(open_it(&dev, &log), -EINVAL);
	assert_has(log, "cow.img holds something else; a store begins as zeros, or as no file");
	dev = good;
	dev.backing[2] = (struct ul_backing_spec){ .kind = UL_BACKING_MEM, .size = SIZE };
	assert_int_equal(open_it(&dev, &log), -EINVAL);
	assert_has(log, "ublk.cow: its store has 2099712 bytes and needs 2164736");
	assert_one_line(log);
}

static bool refused_in_another_process(struct ul_device dev)
{
	const char *log;
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(open_it(&dev, &log) == -EBUSY && strstr(log, "cow.img\"): another device"));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_store_is_of_one_device_at_a_time(void **state)
{
	struct ul_device dev = cow_of_files(), same = dev;
	struct backend *root = tree_open(&dev);

	assert_true(refused_in_another_process(same));
	backend_close(root);
	assert_false(refused_in_another_process(same));
}

static void a_base_of_too_many_blocks_is_refused(void **state)
{
	struct ul_device dev = tree_device(UL_BACKING_COW);
	const char *log;

	dev.backing[0].block = 4096;
	tree_grow(&dev, 0, 2, UL_BACKING_NULL);
	dev.backing[1].size = 0x1p47;
	assert_int_equal(open_it(&dev, &log), -EINVAL);
	assert_has(log, "a base of 140737488355328 bytes has too many blocks of 4096");
	assert_one_line(log);
}

static void a_device_that_is_read_only_makes_no_store(void **state)
{
	struct ul_device dev = cow_of_files();
	const char *log;

	dev.read_only = 1;
	assert_int_equal(open_it(&dev, &log), -ENOENT);
	assert_has(log, "cow.img\"): No such file");
	assert_int_equal(access(temp_path("cow.img"), F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_covers_the_base),
		cmocka_unit_test(a_store_is_taken_up_again),
		cmocka_unit_test(the_base_does_not_come_back),
		cmocka_unit_test(nothing_can_be_written_to_the_base),
		cmocka_unit_test(an_error_below_is_the_requests_alone),
		cmocka_unit_test(threads_share_blocks),
		cmocka_unit_test(what_is_no_store_for_this_base_is_refused),
		cmocka_unit_test(a_store_is_of_one_device_at_a_time),
		cmocka_unit_test(a_base_of_too_many_blocks_is_refused),
		cmocka_unit_test(a_device_that_is_read_only_makes_no_store),
	};

	return run_in_both_modes("backend_cow", tests, ARRAY_SIZE(tests), &slow);
}
