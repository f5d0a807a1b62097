/* SPDX-License-Identifier: MIT */
/*
 * core/backend_file.c on a temporary file, served by system calls and then by a
 * ring: the file holds what the device was given, and what the host cannot do
 * is an error and never a success.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend.h"

enum { BYTES = 256 << 10, MOST = 64 << 10 };

static _Alignas(4096) uint8_t buffer[MOST];

static struct ul_device describe(const char *path, double size)
{
	struct ul_device dev = { .size = size,
				 .backings = 1,
				 .backing = { { .kind = UL_BACKING_FILE } },
				 .volatile_cache = 1 };

	snprintf(dev.backing[0].path, sizeof(dev.backing[0].path), "%s", path);
	return dev;
}

/* A file of `size` bytes, all 0xaa. */
static const char *make_file(size_t size)
{
	const char *path = temp_path("disk.img");
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	memset(buffer, 0xaa, sizeof(buffer));
	for (size_t left = size; left;) {
		size_t n = left < sizeof(buffer) ? left : sizeof(buffer);

		assert_int_equal(fwrite(buffer, 1, n, file), n);
		left -= n;
	}
	fclose(file);
	return path;
}

static struct backend *open_file(void)
{
	struct ul_device dev = describe(make_file(BYTES), BYTES);
	struct backend *backend;

	assert_int_equal(backend_probe(&dev, "test.lua"), 0);
	assert_int_equal(backend_open(&backend, &dev), 0);
	return backend;
}

static bool by_ring;

struct slot {
	struct backend_io io;
	int result;
};

static void keep_result(struct backend_io *io, int result)
{
	((struct slot *)io)->result = result;
}

/* As a queue would serve it: the ring is the queue's, and the result comes in a later round. */
static int serve_by_ring(struct backend *backend, const struct ul_req *req)
{
	const int none = open("/dev/null", O_RDONLY | O_CLOEXEC); /* in the place of the device */
	int files[LANE_FIRST_FILE + LANE_FILES] = { none };
	struct slot slot = { .io.end = keep_result };
	struct io_uring ring;
	struct lane lane = { .ring = &ring };
	struct io_uring_cqe *cqe;

	for (unsigned i = 0; i < backend->file_count; i++)
		files[LANE_FIRST_FILE + i] = backend->files[i];
	assert_int_equal(io_uring_queue_init(4, &ring, 0), 0);
	assert_int_equal(
		io_uring_register_files(&ring, files, LANE_FIRST_FILE + backend->file_count), 0);
	slot.result = backend->ops->start(backend, &lane, req, &slot.io);
	while (lane.flying) {
		assert_int_equal(slot.result, BACKEND_LATER);
		assert_true(io_uring_submit(&ring) >= 0);
		assert_int_equal(io_uring_wait_cqe(&ring, &cqe), 0);
		lane_end(&lane, io_uring_cqe_get_data(cqe), cqe->res);
		io_uring_cqe_seen(&ring, cqe);
		lane_run(&lane);
	}
	io_uring_queue_exit(&ring);
	close(none);
	return slot.result;
}

static int serve(struct backend *backend, uint8_t op, uint64_t offset, uint32_t length,
		 uint32_t flags)
{
	const struct ul_req req = { .op = op,
				    .flags = flags,
				    .sector = (double)(offset / 512),
				    .length = length,
				    .buf = buffer };

	return by_ring ? serve_by_ring(backend, &req) : backend->ops->serve(backend, NULL, &req);
}

static void assert_file_holds(uint64_t offset, uint32_t length, uint8_t fill)
{
	static uint8_t found[MOST];
	int fd = open(temp_path("disk.img"), O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, found, length, (off_t)offset), length);
	close(fd);
	for (uint32_t i = 0; i < length; i++)
		assert_int_equal(found[i], fill);
}

static void reads_give_what_the_file_holds(void **state)
{
	struct backend *backend = open_file();

	memset(buffer, 0, sizeof(buffer));
	assert_int_equal(serve(backend, UL_OP_READ, BYTES - 8192, 8192, 0), 0);
	for (unsigned i = 0; i < 8192; i++)
		assert_int_equal(buffer[i], 0xaa);
	assert_int_equal(buffer[8192], 0);
	backend_close(backend);
}

static void writes_go_to_their_place_in_the_file(void **state)
{
	struct backend *backend = open_file();

	memset(buffer, 0x42, sizeof(buffer));
	assert_int_equal(serve(backend, UL_OP_WRITE, 4096, 512, 0), 0);
	assert_int_equal(serve(backend, UL_OP_WRITE, BYTES - MOST, MOST, UL_FLAG_FUA), 0);
	assert_file_holds(0, 4096, 0xaa);
	assert_file_holds(4096, 512, 0x42);
	assert_file_holds(4608, 4096, 0xaa);
	assert_file_holds(BYTES - MOST, MOST, 0x42);
	backend_close(backend);
}

static void a_flush_is_done(void **state)
{
	struct backend *backend = open_file();

	assert_int_equal(serve(backend, UL_OP_FLUSH, 0, 0, 0), 0);
	backend_close(backend);
}

static void cleared_ranges_are_zeros_in_the_file(void **state)
{
	static const struct {
		uint8_t op;
		uint32_t flags;
	} ways[] = {
		{ UL_OP_DISCARD, 0 },
		{ UL_OP_WRITE_ZEROES, 0 },
		{ UL_OP_WRITE_ZEROES, UL_FLAG_NOUNMAP },
		{ UL_OP_WRITE_ZEROES, UL_FLAG_FUA },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
		struct backend *backend = open_file();
		int ret = serve(backend, ways[i].op, 3584, 9216, ways[i].flags);

		if (ret == -EOPNOTSUPP) { /* the file system of the temporary files can't */
			print_message("# no holes in files here, not tested\n");
			backend_close(backend);
			return;
		}
		assert_int_equal(ret, 0);
		assert_file_holds(0, 3584, 0xaa);
		assert_file_holds(3584, 9216, 0);
		assert_file_holds(3584 + 9216, 4096, 0xaa);
		backend_close(backend);
	}
}

static void a_discard_gives_blocks_back(void **state)
{
	struct backend *backend = open_file();
	struct stat before, after;

	assert_int_equal(serve(backend, UL_OP_FLUSH, 0, 0, 0), 0);
	assert_int_equal(stat(temp_path("disk.img"), &before), 0);
	if (serve(backend, UL_OP_DISCARD, 0, BYTES, 0) == 0) {
		assert_int_equal(stat(temp_path("disk.img"), &after), 0);
		assert_true(after.st_blocks < before.st_blocks);
		assert_int_equal(after.st_size, BYTES);
	} else {
		print_message("# no holes in files here, not tested\n");
	}
	backend_close(backend);
}

static void a_file_cut_short_under_us_is_an_error(void **state)
{
	struct backend *backend = open_file();

	assert_int_equal(truncate(temp_path("disk.img"), 4096 + 512), 0);
	assert_int_equal(serve(backend, UL_OP_READ, 0, 4096, 0), 0);
	assert_int_equal(serve(backend, UL_OP_READ, 4096, 4096, 0), -EIO); /* 512 bytes are there */
	assert_int_equal(serve(backend, UL_OP_READ, 8192, 512, 0), -EIO);
	backend_close(backend);
}

static void an_op_that_files_do_not_have_is_refused(void **state)
{
	struct backend *backend = open_file();

	assert_int_equal(serve(backend, UL_OP_ZONE_RESET, 0, 0, 0), -EOPNOTSUPP);
	backend_close(backend);
}

static void a_read_only_device_cannot_write(void **state)
{
	struct ul_device dev = describe(make_file(BYTES), BYTES);
	struct backend *backend;

	dev.read_only = 1;
	assert_int_equal(backend_probe(&dev, "test.lua"), 0);
	assert_int_equal(backend_open(&backend, &dev), 0);
	assert_int_equal(serve(backend, UL_OP_READ, 0, 512, 0), 0);
	assert_int_equal(serve(backend, UL_OP_WRITE, 0, 512, 0), -EROFS);
	backend_close(backend);
}

static int open_as(bool read_only, struct backend **backend)
{
	struct ul_device dev = describe(temp_path("disk.img"), BYTES);

	dev.read_only = read_only;
	assert_int_equal(backend_probe(&dev, "test.lua"), 0);
	return backend_open(backend, &dev);
}

/* Is it refused, in one line that names the file? */
static bool refused_to_another_process(bool read_only)
{
	struct backend *backend = NULL;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int ret;
		const char *log;

		log_begin();
		ret = open_as(read_only, &backend);
		log = log_end();
		if (ret == 0)
			_exit(0);
		_exit(ret == -EBUSY && count_lines(log) == 1 &&
				      strstr(log, "disk.img\"): another device that runs has it")
			      ? 1
			      : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	return WEXITSTATUS(status);
}

static void a_file_is_one_devices_or_read_by_all(void **state)
{
	struct backend *first, *second;

	make_file(BYTES);
	assert_int_equal(open_as(false, &first), 0);
	assert_true(refused_to_another_process(false));
	assert_true(refused_to_another_process(true));
	assert_int_equal(open_as(false, &second), 0); /* in two places of one device */
	backend_close(second);
	backend_close(first);

	assert_int_equal(open_as(true, &first), 0);
	assert_true(refused_to_another_process(false));
	assert_false(refused_to_another_process(true));
	backend_close(first);
	assert_false(refused_to_another_process(false));
}

/* Aligned or not: what goes past the page cache and what does not see the same data. */
static void a_direct_file_takes_every_request(void **state)
{
	struct ul_device dev = describe(make_file(BYTES), BYTES);
	struct backend *backend;

	dev.backing[0].direct = 1;
	assert_int_equal(backend_probe(&dev, "test.lua"), 0);
	assert_int_equal(backend_open(&backend, &dev), 0);
	assert_int_equal(backend->file_count, 2);
	memset(buffer, 0x55, sizeof(buffer));
	assert_int_equal(serve(backend, UL_OP_WRITE, 4096, 8192, 0), 0);
	memset(buffer, 0x66, sizeof(buffer));
	assert_int_equal(serve(backend, UL_OP_WRITE, 4096 + 512, 512, 0), 0);
	assert_int_equal(serve(backend, UL_OP_READ, 4096, 8192, 0), 0);
	assert_int_equal(buffer[0], 0x55);
	assert_int_equal(buffer[512], 0x66);
	assert_int_equal(buffer[1024], 0x55);
	assert_file_holds(4096 + 512, 512, 0x66);
	backend_close(backend);
}

static void the_size_is_the_files_in_whole_blocks(void **state)
{
	struct ul_device dev = describe(make_file(BYTES + 700), 0);

	assert_int_equal(backend_probe(&dev, "test.lua"), 0);
	assert_true(dev.size == BYTES + 512);
	dev = describe(temp_path("disk.img"), 0);
	dev.logical_block_size = 4096;
	assert_int_equal(backend_probe(&dev, "test.lua"), 0);
	assert_true(dev.size == BYTES);
}

static int probe_or_open(struct ul_device *dev, const char **log)
{
	struct backend *backend;
	int ret;

	log_begin();
	ret = backend_probe(dev, "test.lua");
	if (ret == 0)
		ret = backend_open(&backend, dev);
	*log = log_end();
	return ret;
}

static void what_cannot_be_a_disk_is_refused_by_name(void **state)
{
	const struct {
		struct ul_device dev;
		int ret;
		const char *said;
	} cases[] = {
		{ describe("/nonexistent/disk.img", 0), -ENOENT,
		  "ublk.file(\"/nonexistent/disk.img\"): No such file" },
		{ describe("/tmp", 0), -EISDIR, "ublk.file(\"/tmp\"): Is a directory" },
		{ describe("/dev/null", 0), -EINVAL, "neither a file nor a block device" },
		{ describe(temp_file("empty", ""), 0), -EINVAL, "it is empty; make it with" },
		{ describe(make_file(BYTES), BYTES + 512), -EINVAL,
		  "it has 262144 bytes, the device is to have 262656" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ul_device dev = cases[i].dev;
		const char *log;

		assert_int_equal(probe_or_open(&dev, &log), cases[i].ret);
		assert_has(log, cases[i].said);
		assert_one_line(log);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_give_what_the_file_holds),
		cmocka_unit_test(writes_go_to_their_place_in_the_file),
		cmocka_unit_test(a_flush_is_done),
		cmocka_unit_test(cleared_ranges_are_zeros_in_the_file),
		cmocka_unit_test(a_discard_gives_blocks_back),
		cmocka_unit_test(a_file_cut_short_under_us_is_an_error),
		cmocka_unit_test(an_op_that_files_do_not_have_is_refused),
		cmocka_unit_test(a_read_only_device_cannot_write),
		cmocka_unit_test(a_file_is_one_devices_or_read_by_all),
		cmocka_unit_test(a_direct_file_takes_every_request),
		cmocka_unit_test(the_size_is_the_files_in_whole_blocks),
		cmocka_unit_test(what_cannot_be_a_disk_is_refused_by_name),
	};

	return run_in_both_modes("backend_file", tests, ARRAY_SIZE(tests), &by_ring);
}
