/* SPDX-License-Identifier: MIT */
/*
 * core/file_start.c against a kernel made of this file: what it asks for is
 * seen as the SQE that it is, and the completion is whatever a test wants.
 * Linked with --wrap, see WRAP_file_start in tests.mk.
 */
#include "support.h"

#include <errno.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/uio.h>

#include "file.h"

enum { LENGTH = 8192, SECTOR = 16, NOT_ENDED = INT32_MAX };

static _Alignas(4096) uint8_t buffer[LENGTH];

static struct {
	struct io_uring_sqe sqe; /* the last that was asked for */
	unsigned file;
	unsigned asked;
	int refuse;	/* what lane_pages says; 0: it takes it */
	unsigned again; /* asked for in the next round */
	struct file backing;
	struct backend_io io;
	struct ul_req req;
	struct lane lane;
	unsigned pages; /* how often they were asked for */
	unsigned stored, fetched;
	int result;	/* of the request */
	unsigned calls; /* of file_serve */
	int serves;	/* what file_serve says */
} it;

void __wrap_lane_start(struct lane *lane, struct lane_op *op, unsigned file,
		       const struct io_uring_sqe *sqe);
void __wrap_lane_try_again(struct lane *lane, struct lane_op *op);
int __wrap_file_serve(struct backend *backend, struct lane *lane, const struct ul_req *req);
int __wrap_lane_pages(struct lane *lane, uint16_t tag);
int __wrap_lane_fetch(const struct lane *lane, const struct ul_req *req, uint32_t at, void *to,
		      uint32_t length);
int __wrap_lane_store(const struct lane *lane, const struct ul_req *req, uint32_t at,
		      const void *from, uint32_t length);

enum { TAG = 5 };

int __wrap_lane_pages(struct lane *lane, uint16_t tag)
{
	assert_int_equal(tag, TAG);
	it.pages++;
	return it.refuse;
}

int __wrap_lane_fetch(const struct lane *lane, const struct ul_req *req, uint32_t at, void *to,
		      uint32_t length)
{
	assert_ptr_equal(to, buffer);
	assert_int_equal(at, 0);
	assert_int_equal(length, LENGTH);
	it.fetched++;
	return it.serves;
}

int __wrap_lane_store(const struct lane *lane, const struct ul_req *req, uint32_t at,
		      const void *from, uint32_t length)
{
	assert_ptr_equal(from, buffer);
	assert_int_equal(at, 0);
	assert_int_equal(length, LENGTH);
	it.stored++;
	return it.serves;
}

void __wrap_lane_try_again(struct lane *lane, struct lane_op *op)
{
	assert_ptr_equal(lane, &it.lane);
	assert_ptr_equal(op, &it.io.op);
	it.again++;
}

void __wrap_lane_start(struct lane *lane, struct lane_op *op, unsigned file,
		       const struct io_uring_sqe *sqe)
{
	(void)lane;
	assert_ptr_equal(op, &it.io.op);
	it.sqe = *sqe;
	it.file = file;
	it.asked++;
}

int __wrap_file_serve(struct backend *backend, struct lane *lane, const struct ul_req *req)
{
	assert_ptr_equal(backend, &it.backing.base);
	assert_ptr_equal(lane, it.io.lane);
	assert_ptr_equal(req, &it.req);
	it.calls++;
	return it.serves;
}

static void keep_result(struct backend_io *io, int result)
{
	assert_ptr_equal(io, &it.io);
	assert_int_equal(it.result, NOT_ENDED);
	it.result = result;
}

static int set_up(void **state)
{
	(void)state;
	memset(&it, 0, sizeof(it));
	it.result = NOT_ENDED;
	it.io.end = keep_result;
	return 0;
}

static void start(uint8_t op, uint32_t flags)
{
	it.req = (struct ul_req){
		.op = op, .flags = flags, .sector = SECTOR, .length = LENGTH, .buf = buffer
	};
	assert_int_equal(file_start(&it.backing.base, NULL, &it.req, &it.io), BACKEND_LATER);
}

static void complete(int32_t result)
{
	assert_int_equal(it.result, NOT_ENDED);
	it.io.op.done(&it.io.op, result);
}

static void assert_transfer(unsigned opcode, uint32_t done)
{
	assert_int_equal(it.sqe.opcode, opcode);
	assert_int_equal(it.sqe.addr, (uintptr_t)buffer + done);
	assert_int_equal(it.sqe.len, LENGTH - done);
	assert_int_equal(it.sqe.off, SECTOR * 512 + done);
}

static void a_transfer_is_one_operation(void **state)
{
	start(UL_OP_READ, 0);
	assert_transfer(IORING_OP_READ, 0);
	complete(LENGTH);
	assert_int_equal(it.result, 0);
	assert_int_equal(it.asked, 1);
}

static void a_short_one_goes_on_where_it_stopped(void **state)
{
	start(UL_OP_WRITE, 0);
	complete(512);
	assert_transfer(IORING_OP_WRITE, 512);
	complete(4096);
	assert_transfer(IORING_OP_WRITE, 4608);
	complete(LENGTH - 4608);
	assert_int_equal(it.result, 0);
	assert_int_equal(it.asked, 3);
}

static void the_end_of_the_file_is_an_error(void **state)
{
	start(UL_OP_READ, 0);
	complete(512);
	complete(0);
	assert_int_equal(it.result, -EIO);
}

static void the_hosts_errno_is_the_requests(void **state)
{
	static const uint8_t ops[] = { UL_OP_READ, UL_OP_WRITE, UL_OP_FLUSH, UL_OP_DISCARD,
				       UL_OP_WRITE_ZEROES };

	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		set_up(NULL);
		start(ops[i], 0);
		complete(-ENOSPC);
		assert_int_equal(it.result, -ENOSPC);
		assert_int_equal(it.asked, 1);
		assert_int_equal(it.calls, 0);
	}
}

static void what_was_interrupted_is_asked_for_again(void **state)
{
	start(UL_OP_WRITE, UL_FLAG_FUA);
	complete(512);
	complete(-EINTR);
	assert_transfer(IORING_OP_WRITE, 512);
	assert_int_equal(it.sqe.rw_flags, RWF_DSYNC);
	assert_int_equal(it.sqe.flags & IOSQE_ASYNC, 0);
	complete(-EAGAIN); /* it would have to wait: a thread of the kernel may */
	assert_transfer(IORING_OP_WRITE, 512);
	assert_int_equal(it.sqe.flags & IOSQE_ASYNC, IOSQE_ASYNC);
	complete(LENGTH - 512);
	assert_int_equal(it.result, 0);
}

static void what_is_only_read_is_not_changed(void **state)
{
	static const uint8_t changes[] = { UL_OP_WRITE, UL_OP_DISCARD, UL_OP_WRITE_ZEROES };

	it.backing.read_only = true;
	for (unsigned i = 0; i < ARRAY_SIZE(changes); i++) {
		it.req = (struct ul_req){ .op = changes[i], .length = LENGTH, .buf = buffer };
		assert_int_equal(file_start(&it.backing.base, NULL, &it.req, &it.io), -EROFS);
	}
	assert_int_equal(it.asked, 0);
	start(UL_OP_READ, 0);
	assert_int_equal(it.asked, 1);
}

static void fua_is_for_writes_that_have_it(void **state)
{
	start(UL_OP_WRITE, UL_FLAG_FUA);
	assert_int_equal(it.sqe.rw_flags, RWF_DSYNC);
	set_up(NULL);
	start(UL_OP_WRITE, 0);
	assert_int_equal(it.sqe.rw_flags, 0);
	set_up(NULL);
	start(UL_OP_READ, UL_FLAG_FUA);
	assert_int_equal(it.sqe.rw_flags, 0);
}

static void a_flush_is_fdatasync(void **state)
{
	start(UL_OP_FLUSH, 0);
	assert_int_equal(it.sqe.opcode, IORING_OP_FSYNC);
	assert_int_equal(it.sqe.fsync_flags, IORING_FSYNC_DATASYNC);
	complete(0);
	assert_int_equal(it.result, 0);
}

static void assert_fallocate(uint32_t mode)
{
	assert_int_equal(it.sqe.opcode, IORING_OP_FALLOCATE);
	assert_int_equal(it.sqe.len, mode | FALLOC_FL_KEEP_SIZE);
	assert_int_equal(it.sqe.off, SECTOR * 512);
	assert_int_equal(it.sqe.addr, LENGTH);
}

static void a_range_of_a_file_is_cleared_by_a_hole(void **state)
{
	start(UL_OP_DISCARD, 0);
	assert_fallocate(FALLOC_FL_PUNCH_HOLE);
	complete(0);
	assert_int_equal(it.result, 0);
	set_up(NULL);
	start(UL_OP_WRITE_ZEROES, 0);
	assert_fallocate(FALLOC_FL_PUNCH_HOLE);
	set_up(NULL);
	start(UL_OP_WRITE_ZEROES, UL_FLAG_NOUNMAP);
	assert_fallocate(FALLOC_FL_ZERO_RANGE);
}

static void what_must_be_durable_is_flushed_before_its_end(void **state)
{
	it.backing.durable = true;
	start(UL_OP_DISCARD, 0);
	complete(0);
	assert_int_equal(it.result, NOT_ENDED);
	assert_int_equal(it.sqe.opcode, IORING_OP_FSYNC);
	complete(0);
	assert_int_equal(it.result, 0);

	set_up(NULL);
	start(UL_OP_WRITE_ZEROES, UL_FLAG_FUA);
	complete(0);
	complete(-EIO); /* no success before the host's own */
	assert_int_equal(it.result, -EIO);
}

static void a_block_device_has_a_discard_of_its_own(void **state)
{
	it.backing.block_device = true;
	start(UL_OP_DISCARD, 0);
	assert_int_equal(it.sqe.opcode, IORING_OP_URING_CMD);
	assert_int_equal(it.sqe.cmd_op, 0x1200); /* _IO(0x12, 0), linux/blkdev.h */
	assert_int_equal(it.sqe.addr, SECTOR * 512);
	assert_int_equal(it.sqe.addr3, LENGTH);
	complete(0);
	assert_int_equal(it.result, 0);
}

static void what_the_ring_cannot_is_done_by_system_calls(void **state)
{
	static const int lacking[] = { -EOPNOTSUPP, -EINVAL };

	for (unsigned i = 0; i < ARRAY_SIZE(lacking); i++) {
		set_up(NULL);
		it.backing.block_device = true;
		it.serves = i ? -ENOSPC : 0;
		start(UL_OP_DISCARD, 0);
		complete(lacking[i]);
		assert_int_equal(it.calls, 1);
		assert_int_equal(it.result, it.serves);
	}
	/* But the flush that was owed is not done twice: its error would be lost. */
	set_up(NULL);
	it.backing.block_device = it.backing.durable = true;
	start(UL_OP_WRITE_ZEROES, 0);
	complete(0);
	complete(-EINVAL);
	assert_int_equal(it.calls, 0);
	assert_int_equal(it.result, -EINVAL);
}

static void only_what_is_aligned_goes_past_the_page_cache(void **state)
{
	it.backing.memory_align = 512;
	it.backing.offset_align = 4096;
	start(UL_OP_WRITE, 0);
	assert_int_equal(it.file, FILE_DIRECT);
	complete(512);
	assert_int_equal(it.file, FILE_CACHED);
	complete(4096 - 512);
	assert_int_equal(it.file, FILE_DIRECT);
	complete(4096);
	assert_int_equal(it.result, 0);

	set_up(NULL);
	it.backing.memory_align = it.backing.offset_align = 512;
	it.req = (struct ul_req){ .op = UL_OP_READ, .length = 512, .buf = buffer + 1 };
	assert_int_equal(file_start(&it.backing.base, NULL, &it.req, &it.io), BACKEND_LATER);
	assert_int_equal(it.file, FILE_CACHED);
}

/* A read or write whose data is with the driver. */
static void start_in_pages(uint8_t op)
{
	it.lane = (struct lane){ .buffers = buffer };
	it.req = (struct ul_req){ .op = op, .sector = SECTOR, .length = LENGTH, .tag = TAG };
	assert_int_equal(file_start(&it.backing.base, &it.lane, &it.req, &it.io), BACKEND_LATER);
}

static void assert_in_pages(unsigned opcode, uint32_t done)
{
	assert_int_equal(it.sqe.opcode, opcode);
	assert_int_equal(it.sqe.addr, done);
	assert_int_equal(it.sqe.len, LENGTH - done);
	assert_int_equal(it.sqe.off, SECTOR * 512 + done);
	assert_int_equal(it.sqe.buf_index, TAG);
}

static void data_of_the_driver_is_moved_in_its_pages(void **state)
{
	it.backing.memory_align = it.backing.offset_align = 512;
	start_in_pages(UL_OP_WRITE);
	assert_in_pages(IORING_OP_WRITE_FIXED, 0);
	assert_int_equal(it.file, FILE_DIRECT);
	complete(512);
	assert_in_pages(IORING_OP_WRITE_FIXED, 512);
	complete(LENGTH - 512);
	assert_int_equal(it.result, 0);
	assert_int_equal(it.pages, 2);

	set_up(NULL);
	start_in_pages(UL_OP_READ);
	assert_in_pages(IORING_OP_READ_FIXED, 0);
	complete(-EIO);
	assert_int_equal(it.result, -EIO);
	assert_int_equal(it.fetched + it.stored, 0);

	set_up(NULL); /* what has no data wants no pages */
	start_in_pages(UL_OP_FLUSH);
	assert_int_equal(it.pages, 0);
}

/* They cannot be registered, or the file is opened for O_DIRECT and they do not lie so. */
static void where_the_pages_do_not_do_the_buffer_does(void **state)
{
	static const int refusals[] = { -EFAULT, -EINVAL };

	for (unsigned i = 0; i < ARRAY_SIZE(refusals); i++) {
		set_up(NULL);
		start_in_pages(UL_OP_WRITE);
		complete(512);
		complete(refusals[i]);
		assert_int_equal(it.fetched, 1);
		assert_transfer(IORING_OP_WRITE, 0);
		complete(LENGTH);
		assert_int_equal(it.result, 0);
		assert_int_equal(it.stored, 0);

		set_up(NULL);
		start_in_pages(UL_OP_READ);
		complete(refusals[i]);
		assert_transfer(IORING_OP_READ, 0);
		assert_int_equal(it.stored, 0);
		complete(LENGTH);
		assert_int_equal(it.stored, 1);
		assert_int_equal(it.result, 0);
		assert_int_equal(it.fetched, 0);
	}
	/* Once: of the buffer it is the host's word. */
	set_up(NULL);
	start_in_pages(UL_OP_READ);
	complete(-EINVAL);
	complete(-EINVAL);
	assert_int_equal(it.result, -EINVAL);
	assert_int_equal(it.stored, 0);
}

static void what_the_driver_does_not_move_is_an_error(void **state)
{
	start_in_pages(UL_OP_WRITE);
	it.serves = -ENOMEM;
	complete(-EFAULT);
	assert_int_equal(it.result, -ENOMEM);
	assert_int_equal(it.asked, 1);

	set_up(NULL);
	start_in_pages(UL_OP_READ);
	complete(-EFAULT);
	it.serves = -ENOMEM;
	complete(LENGTH);
	assert_int_equal(it.result, -ENOMEM);
}

/* The ring takes nothing just now. */
static void pages_that_cannot_be_asked_for_are_asked_for_again(void **state)
{
	it.refuse = -ENOMEM;
	start_in_pages(UL_OP_WRITE);
	assert_int_equal(it.asked, 0);
	complete(-EINTR);
	assert_int_equal(it.again, 2);
	it.refuse = 0;
	complete(-EINTR);
	assert_int_equal(it.again, 2);
	assert_int_equal(it.asked, 1);
	assert_int_equal(it.sqe.opcode, IORING_OP_WRITE_FIXED);
	complete(LENGTH);
	assert_int_equal(it.result, 0);
	assert_int_equal(it.fetched, 0);
}

#define start_test(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		start_test(a_transfer_is_one_operation),
		start_test(a_short_one_goes_on_where_it_stopped),
		start_test(the_end_of_the_file_is_an_error),
		start_test(the_hosts_errno_is_the_requests),
		start_test(what_was_interrupted_is_asked_for_again),
		start_test(what_is_only_read_is_not_changed),
		start_test(fua_is_for_writes_that_have_it),
		start_test(a_flush_is_fdatasync),
		start_test(a_range_of_a_file_is_cleared_by_a_hole),
		start_test(what_must_be_durable_is_flushed_before_its_end),
		start_test(a_block_device_has_a_discard_of_its_own),
		start_test(what_the_ring_cannot_is_done_by_system_calls),
		start_test(pages_that_cannot_be_asked_for_are_asked_for_again),
		start_test(only_what_is_aligned_goes_past_the_page_cache),
		start_test(data_of_the_driver_is_moved_in_its_pages),
		start_test(where_the_pages_do_not_do_the_buffer_does),
		start_test(what_the_driver_does_not_move_is_an_error),
	};

	return cmocka_run_group_tests_name("file_start", tests, NULL, NULL);
}
