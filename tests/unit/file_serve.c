/* SPDX-License-Identifier: MIT */
/*
 * core/file_serve.c where the data is with the driver and the file in memory:
 * one copy, by the mapped file, where that does what a read or write would, and
 * by the tag's buffer where it does not. Both memories are memfds.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"

enum { PAGE = 4096, BYTES = 64 * PAGE, MOST = 8 * PAGE, TAG = 2, UNTOUCHED = 0x5c };

static const off_t driver_offset = 0x80000000 + ((off_t)TAG << 25);

static struct {
	int file;
	struct lane lane;
	struct backend *backend;
	uint8_t buffers[(TAG + 1) * MOST];
} it;

static int open_both(bool read_only)
{
	struct ul_device dev = {
		.size = BYTES,
		.backings = 1,
		.backing = { { .kind = UL_BACKING_FILE, .size = BYTES, .read_only = read_only } },
		.volatile_cache = 1,
		.read_only = read_only
	};

	it.file = memfd_create("file", MFD_CLOEXEC);
	it.lane = (struct lane){ .lazy = true,
				 .char_fd = memfd_create("driver", MFD_CLOEXEC),
				 .split.step = 1,
				 .buffers = it.buffers,
				 .stride = MOST };
	memset(it.buffers, UNTOUCHED, sizeof(it.buffers));
	if (it.file < 0 || it.lane.char_fd < 0 || ftruncate(it.file, BYTES) ||
	    ftruncate(it.lane.char_fd, driver_offset + MOST))
		return -1;
	snprintf(dev.backing[0].path, sizeof(dev.backing[0].path), "/proc/self/fd/%d", it.file);
	return backend_open(&it.backend, &dev);
}

static int set_up(void **state)
{
	(void)state;
	return open_both(false);
}

static int tear_down(void **state)
{
	(void)state;
	backend_close(it.backend);
	return close(it.file) | close(it.lane.char_fd);
}

static int serve(uint8_t op, off_t offset, uint32_t length)
{
	return it.backend->ops->serve(
		it.backend, &it.lane,
		&(struct ul_req){
			.op = op, .sector = (double)offset / 512, .length = length, .tag = TAG });
}

/* Every byte of what lies in `fd`. */
static void assert_holds(int fd, off_t offset, uint32_t length, uint8_t fill)
{
	uint8_t found[MOST];

	assert_int_equal(pread(fd, found, length, offset), length);
	for (uint32_t i = 0; i < length; i++)
		assert_int_equal(found[i], fill);
}

static void put(int fd, off_t offset, uint32_t length, uint8_t fill)
{
	uint8_t data[MOST];

	memset(data, fill, length);
	assert_int_equal(pwrite(fd, data, length, offset), length);
}

static bool buffer_is_untouched(void)
{
	return it.buffers[TAG * MOST] == UNTOUCHED;
}

static blkcnt_t blocks(void)
{
	struct stat st;

	assert_int_equal(fstat(it.file, &st), 0);
	return st.st_blocks;
}

static void data_goes_by_one_copy(void **state)
{
	assert_true(it.backend->lazy);
	put(it.lane.char_fd, driver_offset, MOST, 0x11);
	assert_int_equal(serve(UL_OP_WRITE, 512, MOST), 0);
	assert_holds(it.file, 512, MOST, 0x11);
	assert_holds(it.file, 0, 512, 0);
	assert_holds(it.file, 512 + MOST, 512, 0);

	put(it.file, 8192, 1024, 0x22);
	assert_int_equal(serve(UL_OP_READ, 8192, 1024), 0);
	assert_holds(it.lane.char_fd, driver_offset, 1024, 0x22);
	assert_holds(it.lane.char_fd, driver_offset + 1024, 512, 0x11);
	assert_true(buffer_is_untouched());
}

/* Through the mapping it would take memory, for zeros. */
static void a_hole_stays_one_when_it_is_read(void **state)
{
	blkcnt_t before;

	put(it.file, 0, PAGE, 0x11);
	put(it.lane.char_fd, driver_offset, MOST, 0x33);
	before = blocks();
	assert_int_equal(serve(UL_OP_READ, 0, MOST), 0);
	assert_holds(it.lane.char_fd, driver_offset, PAGE, 0x11);
	assert_holds(it.lane.char_fd, driver_offset + PAGE, MOST - PAGE, 0);
	assert_int_equal(serve(UL_OP_READ, BYTES - MOST, MOST), 0);
	assert_int_equal(blocks(), before);
}

static void what_was_cleared_is_read_as_zeros(void **state)
{
	put(it.file, 0, MOST, 0x11);
	assert_int_equal(serve(UL_OP_READ, 0, MOST), 0); /* it is in the page tables */
	assert_int_equal(serve(UL_OP_DISCARD, PAGE, PAGE), 0);
	assert_int_equal(serve(UL_OP_READ, 0, MOST), 0);
	assert_holds(it.lane.char_fd, driver_offset, PAGE, 0x11);
	assert_holds(it.lane.char_fd, driver_offset + PAGE, PAGE, 0);
	assert_holds(it.lane.char_fd, driver_offset + 2 * PAGE, PAGE, 0x11);
}

static void a_file_that_was_cut_short_is_an_error_and_no_signal(void **state)
{
	put(it.file, 0, BYTES / 8, 0x11);
	assert_int_equal(ftruncate(it.file, 2 * PAGE), 0);
	assert_int_equal(serve(UL_OP_READ, PAGE, 2 * PAGE), -EIO);
	assert_int_equal(serve(UL_OP_READ, BYTES - PAGE, PAGE), -EIO);
	put(it.lane.char_fd, driver_offset, MOST, 0x44);
	assert_int_equal(serve(UL_OP_WRITE, PAGE, 2 * PAGE), 0); /* a write makes it longer again */
	assert_holds(it.file, PAGE, 2 * PAGE, 0x44);
}

static void a_driver_that_moves_nothing_is_an_error(void **state)
{
	int real = it.lane.char_fd;

	it.lane.char_fd = -1;
	put(it.file, 0, MOST, 0x11);
	assert_int_equal(serve(UL_OP_READ, 0, MOST), -EBADF);
	assert_int_equal(serve(UL_OP_READ, MOST, MOST), -EBADF); /* a hole */
	assert_int_equal(serve(UL_OP_WRITE, 0, MOST), -EBADF);
	assert_holds(it.file, 0, MOST, 0x11);
	it.lane.char_fd = real;
}

static void a_read_only_file_is_read(void **state)
{
	tear_down(NULL);
	assert_int_equal(open_both(true), 0);
	put(it.file, 0, MOST, 0x11);
	assert_int_equal(serve(UL_OP_READ, 0, MOST), 0);
	assert_holds(it.lane.char_fd, driver_offset, MOST, 0x11);
	assert_int_equal(serve(UL_OP_WRITE, 0, PAGE), -EROFS);
}

#define serve_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		serve_test(data_goes_by_one_copy),
		serve_test(a_hole_stays_one_when_it_is_read),
		serve_test(what_was_cleared_is_read_as_zeros),
		serve_test(a_file_that_was_cut_short_is_an_error_and_no_signal),
		serve_test(a_driver_that_moves_nothing_is_an_error),
		serve_test(a_read_only_file_is_read),
	};

	return cmocka_run_group_tests_name("file_serve", tests, NULL, NULL);
}
