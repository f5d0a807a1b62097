/* SPDX-License-Identifier: MIT */
/*
 * core/backend_stripe.c over memory and files, served at once and then with
 * all legs slow: the chunks are where they should be, and what a leg says is
 * what the whole says.
 */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../exercise.h"
#include "../slow.h"
#include "../trees.h"

enum { LEG = 1 << 20 };

static bool slow;

/* A stripe over `count` legs of memory. */
static struct ul_device stripe(uint32_t count, uint32_t chunk)
{
	struct ul_device dev = tree_device(UL_BACKING_STRIPE);
	uint32_t first = tree_grow(&dev, 0, count, UL_BACKING_MEM);

	dev.backing[0].block = chunk;
	for (uint32_t i = 0; i < count; i++)
		dev.backing[first + i].size = LEG;
	return dev;
}

static void exercise_device(struct ul_device *dev, uint64_t seed, unsigned operations)
{
	struct backend *root = tree_open(dev);
	struct model model;

	if (slow)
		tree_slow(root);
	model_open(&model, (uint64_t)dev->size, NULL);
	tree_exercise(root,
		      (struct exercise){ .model = &model, .seed = seed, .operations = operations },
		      slow);
	exercise_compare(root, &model);
	model_close(&model);
	backend_close(root);
}

static void a_stripe_keeps_the_data(void **state)
{
	static const struct {
		uint32_t legs, chunk;
	} cases[] = { { 2, 512 }, { 3, 4096 }, { 5, 64 << 10 }, { 9, 1536 }, { 2, LEG } };

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ul_device dev = stripe(cases[i].legs, cases[i].chunk);

		exercise_device(&dev, i, 20000);
	}
}

static void a_stripe_over_stripes_and_files_keeps_the_data(void **state)
{
	struct ul_device dev = tree_device(UL_BACKING_STRIPE);
	uint32_t top = tree_grow(&dev, 0, 2, UL_BACKING_STRIPE);
	uint32_t left = tree_grow(&dev, top, 2, UL_BACKING_FILE);
	uint32_t right = tree_grow(&dev, top + 1, 2, UL_BACKING_MEM);

	dev.backing[top].block = 4096;
	tree_file(&dev.backing[left], "a.img", LEG, 0);
	tree_file(&dev.backing[left + 1], "b.img", LEG, 0);
	dev.backing[right].size = dev.backing[right + 1].size = LEG;
	exercise_device(&dev, 7, 300);
	assert_true(dev.size == 4 * LEG);
}

static int serve(struct backend *root, const struct ul_req *req)
{
	return root->ops->serve(root, NULL, req);
}

static void chunks_go_round(void **state)
{
	struct ul_device dev = stripe(3, 4096);
	struct backend *root = tree_open(&dev);
	static uint8_t data[8 * 4096];
	struct ul_req req = { .op = UL_OP_WRITE, .buf = data, .length = sizeof(data) };

	for (unsigned i = 0; i < 8; i++)
		memset(data + i * 4096, (int)i + 1, 4096);
	assert_int_equal(serve(root, &req), 0);
	for (unsigned i = 0; i < 8; i++) {
		struct ul_req part = { .op = UL_OP_READ, .buf = data, .length = 4096 };

		part.sector = i / 3 * 8;
		assert_int_equal(serve(root->child[i % 3], &part), 0);
		assert_int_equal(data[0], i + 1);
		assert_int_equal(data[4095], i + 1);
	}
	backend_close(root);
}

static unsigned asked;

static int count_and_fail_discards(const struct ul_req *req)
{
	asked++;
	return req->op == UL_OP_DISCARD ? -ENOSPC : 0;
}

/* A range has no data to be cut: each leg is asked once. */
static void a_leg_is_asked_once_for_a_range_and_its_error_is_the_answer(void **state)
{
	struct ul_device dev = stripe(3, 4096);
	struct backend *root = tree_open(&dev);

	tree_slow(root);
	slow_fail(root->child[1], count_and_fail_discards);
	asked = 0;
	assert_int_equal(serve(root, &(struct ul_req){ .op = UL_OP_WRITE_ZEROES, .length = LEG }),
			 0);
	assert_int_equal(serve(root, &(struct ul_req){ .op = UL_OP_FLUSH }), 0);
	assert_int_equal(asked, 2);
	assert_int_equal(serve(root, &(struct ul_req){ .op = UL_OP_DISCARD, .length = LEG }),
			 -ENOSPC);
	/* Of the first two chunks only the second is there, of the first alone nothing. */
	assert_int_equal(serve(root, &(struct ul_req){ .op = UL_OP_DISCARD, .length = 8192 }),
			 -ENOSPC);
	assert_int_equal(serve(root, &(struct ul_req){ .op = UL_OP_DISCARD, .length = 4096 }), 0);
	assert_int_equal(serve(root, &(struct ul_req){ .op = UL_OP_ZONE_OPEN }), -EOPNOTSUPP);
	backend_close(root);
}

static int fail_at_times(const struct ul_req *req)
{
	return req->op != UL_OP_FLUSH && (uint64_t)req->sector % 64 < 8 ? -ENODATA : 0;
}

static int is_enodata(int result)
{
	return result == -ENODATA;
}

/* Its error comes once, and only when nothing of the request is on its way any more. */
static void a_failing_leg_fails_what_touches_it_alone(void **state)
{
	struct ul_device dev = stripe(3, 4096);
	struct backend *root = tree_open(&dev);
	struct model model;
	unsigned failed;

	tree_slow(root);
	slow_fail(root->child[2], fail_at_times);
	model_open(&model, (uint64_t)dev.size, NULL);
	failed = tree_exercise(
		root,
		(struct exercise){ .model = &model, .operations = 20000, .expected = is_enodata },
		slow);
	assert_in_range(failed, 100, 15000);
	model_close(&model);
	backend_close(root);
}

static void the_size_is_whole_rows_of_the_smallest(void **state)
{
	struct ul_device dev = stripe(4, 64 << 10);

	dev.backing[3].size = LEG - 512;
	assert_int_equal(backend_probe(&dev, "test.lua"), 0);
	assert_true(dev.size == 4 * (LEG - (64 << 10)));
	assert_int_equal(dev.io_opt, 256 << 10);

	dev = stripe(3, 64 << 10);
	dev.backing[1].size = dev.backing[2].size = dev.backing[3].size = 0;
	dev.size = 10 * (64 << 10) + 512; /* four rows hold it */
	assert_int_equal(backend_probe(&dev, "test.lua"), 0);
	assert_true(dev.backing[2].size == 4 * (64 << 10));
	assert_int_equal(dev.io_opt, 0); /* no power of two */
}

static void what_cannot_be_striped_is_refused(void **state)
{
	struct ul_device cases[3] = { stripe(2, 2 * LEG), stripe(2, 1536), stripe(2, 512) };
	static const char *const said[] = {
		"ublk.stripe: a backing of 1048576 bytes does not hold a chunk of 2097152",
		"ublk.stripe: chunk = 1536 is not a multiple of block_size 4096",
		"test.lua: size = 2097664 bytes: its backing has 2097152",
	};

	cases[1].logical_block_size = 4096;
	cases[2].size = 2 * LEG + 512;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		log_begin();
		assert_int_equal(backend_probe(&cases[i], "test.lua"), -EINVAL);
		assert_true(cases[i].io_opt == 0);
		assert_has(log_end(), said[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stripe_keeps_the_data),
		cmocka_unit_test(a_stripe_over_stripes_and_files_keeps_the_data),
		cmocka_unit_test(chunks_go_round),
		cmocka_unit_test(a_leg_is_asked_once_for_a_range_and_its_error_is_the_answer),
		cmocka_unit_test(a_failing_leg_fails_what_touches_it_alone),
		cmocka_unit_test(the_size_is_whole_rows_of_the_smallest),
		cmocka_unit_test(what_cannot_be_striped_is_refused),
	};

	return run_in_both_modes("backend_stripe", tests, ARRAY_SIZE(tests), &slow);
}
