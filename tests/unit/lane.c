/* SPDX-License-Identifier: MIT */
/*
 * core/lane.c on a real ring: more operations than it has entries, each ended
 * once and in the order of the completions, also when one starts the next. And
 * the way to a request's data.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lane.h"

enum { ENTRIES = 4, MANY = 64 };

static struct {
	struct io_uring ring;
	struct lane lane;
	bool full; /* the kernel takes nothing */
} it;

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring)
{
	return it.full ? -EAGAIN : __real_io_uring_submit(ring);
}

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
	lane_start(&it.lane, &counted->op, 0, &sqe);
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

static unsigned refusals;

static void count_refusal(struct lane_op *op, int32_t result)
{
	struct counted *counted = (struct counted *)op;

	assert_int_equal(result, -EINTR);
	refusals++;
	start(counted);
	counted->op.done = it.full ? count_refusal : count;
}

/* Once in each round, for which the queue is woken; and then like any other. */
static void what_a_full_ring_does_not_take_is_asked_for_again(void **state)
{
	struct counted ops[ENTRIES + 1] = { 0 };
	eventfd_t wakes = 0;

	it.lane.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	it.full = true;
	for (unsigned i = 0; i < ENTRIES + 1; i++)
		start(&ops[i]);
	ops[ENTRIES].op.done = count_refusal;
	assert_int_equal(it.lane.flying, ENTRIES + 1);
	for (unsigned rounds = 1; rounds < 4; rounds++) {
		assert_int_equal(eventfd_read(it.lane.wake_fd, &wakes), 0);
		lane_run(&it.lane);
		assert_int_equal(refusals, rounds);
	}
	it.full = false;
	lane_run(&it.lane);
	run_all();
	for (unsigned i = 0; i < ENTRIES + 1; i++)
		assert_int_equal(ops[i].ended, 1);
	close(it.lane.wake_fd);
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

/*
 * The driver's memory: a file, at the offsets of its interface. Two pages, of which only the first
 * can be written to, are the program's.
 */
struct data {
	struct lane lane;
	struct ul_req req;
	uint8_t *pages;
	off_t offset; /* of the request's data */
};

enum { PAGE = 4096 };

static struct data open_data(void)
{
	struct data d = {
		.lane = { .lazy = true,
			  .split = { .queue = 3, .first = 1, .step = 2 },
			  .char_fd = memfd_create("data", MFD_CLOEXEC) },
		.req = { .tag = 2, .length = 2 * PAGE },
		.offset = 0x80000000 + (3LL << 41) + (5LL << 25),
	};

	assert_true(d.lane.char_fd >= 0);
	d.pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(d.pages != MAP_FAILED);
	memset(d.pages, 1, 2 * PAGE);
	return d;
}

static void close_data(struct data *d)
{
	munmap(d->pages, 2 * PAGE);
	close(d->lane.char_fd);
}

static void data_lies_where_the_driver_has_it(void **state)
{
	struct data d = open_data();
	uint8_t found[3] = { 0 };

	assert_int_equal(pwrite(d.lane.char_fd, "abcdef", 6, d.offset), 6);
	assert_int_equal(lane_fetch(&d.lane, &d.req, 2, d.pages, 3), 0);
	assert_memory_equal(d.pages, "cde\1", 4);
	assert_int_equal(lane_store(&d.lane, &d.req, 1, "xy", 2), 0);
	assert_int_equal(pread(d.lane.char_fd, found, 3, d.offset), 3);
	assert_memory_equal(found, "axy", 3);
	close_data(&d);
}

/* Three pieces of a tag, beside those of others. */
static void metadata_lies_where_the_driver_has_it(void **state)
{
	struct data d = open_data();
	uint8_t memory[8 * 64];
	struct ul_queue shared = {
		.metadata = memory, .metadata_stride = 64, .interval = 512, .metadata_size = 8
	};
	uint8_t found[24] = { 0 };

	memset(memory, 1, sizeof(memory));
	d.lane.shared = &shared;
	d.req.length = 3 * 512;
	d.offset |= 1LL << 62;
	assert_int_equal(pwrite(d.lane.char_fd, "three pieces of metadata, and more", 34, d.offset),
			 34);
	assert_int_equal(lane_fetch_metadata(&d.lane, &d.req), 0);
	assert_memory_equal(memory + 2 * 64, "three pieces of metadata\1", 25);
	assert_int_equal(memory[2 * 64 - 1], 1);
	memset(memory + 2 * 64, 2, 64);
	assert_int_equal(lane_store_metadata(&d.lane, &d.req), 0);
	assert_int_equal(pread(d.lane.char_fd, found, 24, d.offset), 24);
	assert_int_equal(found[0] + found[23], 4);
	assert_int_equal(pread(d.lane.char_fd, found, 10, d.offset + 24), 10);
	assert_memory_equal(found, ", and more", 10);
	close_data(&d);
}

/* Memory that is none cuts the first call short, and the second gives nothing at all. */
static void what_is_cut_short_goes_on_and_ends(void **state)
{
	struct data d = open_data();
	uint8_t found = 0;

	assert_int_equal(ftruncate(d.lane.char_fd, d.offset + 2 * PAGE), 0);
	assert_int_equal(mprotect(d.pages + PAGE, PAGE, PROT_NONE), 0);
	assert_int_equal(lane_fetch(&d.lane, &d.req, 0, d.pages, 2 * PAGE), -EFAULT);
	assert_int_equal(d.pages[PAGE - 1], 0);
	d.pages[PAGE - 1] = 9;
	assert_int_equal(lane_store(&d.lane, &d.req, 0, d.pages, 2 * PAGE), -EFAULT);
	assert_int_equal(pread(d.lane.char_fd, &found, 1, d.offset + PAGE - 1), 1);
	assert_int_equal(found, 9);
	/* A driver that gives no more is told apart from one that says what is wrong. */
	assert_int_equal(ftruncate(d.lane.char_fd, d.offset + 1), 0);
	assert_int_equal(lane_fetch(&d.lane, &d.req, 0, d.pages, 2), -EFAULT);
	close(d.lane.char_fd);
	assert_int_equal(lane_fetch(&d.lane, &d.req, 0, d.pages, 2), -EBADF);
	assert_int_equal(lane_store(&d.lane, &d.req, 0, d.pages, 2), -EBADF);
	d.lane.char_fd = -1;
	munmap(d.pages, 2 * PAGE);
}

static void *post_in_order(void *arg)
{
	struct lane_op *ops = arg;

	for (int i = 0; i < 3; i++)
		lane_post(&it.lane, &ops[i], i);
	return NULL;
}

static void another_thread_may_end_them_and_wakes_the_queue(void **state)
{
	struct lane_op ops[3] = { { .done = note }, { .done = note }, { .done = note } };
	pthread_t thread;
	eventfd_t woken;

	ordered = 0;
	it.lane.wake_fd = eventfd(0, EFD_CLOEXEC);
	it.lane.flying = 3;
	assert_int_equal(pthread_create(&thread, NULL, post_in_order, ops), 0);
	assert_int_equal(eventfd_read(it.lane.wake_fd, &woken), 0);
	while (it.lane.flying)
		lane_run(&it.lane);
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(order[i], i);
	close(it.lane.wake_fd);
}

#define lane_test(name) cmocka_unit_test_setup_teardown(name, open_lane, close_lane)

int main(void)
{
	const struct CMUnitTest tests[] = {
		lane_test(more_than_the_ring_has_entries_all_end_once),
		lane_test(one_that_ends_may_start_the_next),
		lane_test(what_a_full_ring_does_not_take_is_asked_for_again),
		lane_test(they_are_run_in_the_order_in_which_they_ended),
		cmocka_unit_test(data_lies_where_the_driver_has_it),
		cmocka_unit_test(metadata_lies_where_the_driver_has_it),
		cmocka_unit_test(what_is_cut_short_goes_on_and_ends),
		lane_test(another_thread_may_end_them_and_wakes_the_queue),
	};

	return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
