/* SPDX-License-Identifier: MIT */
/*
 * core/backend_mem.c: gives back what was written, zeros elsewhere, and takes
 * memory for what is stored and no more. Linked with --wrap, see WRAP_backend_mem
 * in tests.mk, to know which pages are its own.
 */
#include "support.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <stdio.h>
#include <unistd.h>

#include "backend.h"

enum { BYTES = 4 << 20, MOST = 1 << 20, MANY = 16 << 20 };

static uint8_t buffer[MOST];

static int serve(struct backend *backend, uint8_t op, uint64_t offset, uint32_t length)
{
	return backend->ops->serve(backend, NULL,
				   &(struct ul_req){ .op = op,
						     .sector = (double)(offset / 512),
						     .length = length,
						     .buf = buffer });
}

static void write_fill(struct backend *backend, uint64_t offset, uint32_t length, uint8_t fill)
{
	memset(buffer, fill, length);
	assert_int_equal(serve(backend, UL_OP_WRITE, offset, length), 0);
}

static void assert_holds(struct backend *backend, uint64_t offset, uint32_t length, uint8_t fill)
{
	memset(buffer, 0xee, sizeof(buffer));
	assert_int_equal(serve(backend, UL_OP_READ, offset, length), 0);
	for (uint32_t i = 0; i < length; i++)
		assert_int_equal(buffer[i], fill);
	if (length < sizeof(buffer))
		assert_int_equal(buffer[length], 0xee);
}

static struct backend *open_mem(double size)
{
	struct ul_device dev = { .size = size,
				 .backings = 1,
				 .backing = { { .kind = UL_BACKING_MEM } } };
	struct backend *backend;

	assert_int_equal(backend_probe(&dev, "test.lua"), 0);
	assert_int_equal(backend_open(&backend, &dev), 0);
	return backend;
}

static uint8_t *mapping; /* the newest one that is as large as a device */

void *__real_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);

void *__wrap_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	void *map = __real_mmap(addr, length, prot, flags, fd, offset);

	if (length == MANY)
		mapping = map;
	return map;
}

/* Pages of the mapping that take memory, of MANY bytes. */
static size_t stored_pages(void)
{
	static unsigned char present[MANY / 4096];
	size_t count = 0;

	assert_int_equal(mincore(mapping, MANY, present), 0);
	for (size_t i = 0; i < MANY / (size_t)sysconf(_SC_PAGESIZE); i++)
		count += present[i] & 1;
	return count;
}

/* Bytes of the process's own memory, from the kernel. */
static size_t resident(void)
{
	unsigned long size, pages;
	FILE *file = fopen("/proc/self/statm", "r");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu %lu", &size, &pages), 2);
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void what_was_written_is_read_back(void **state)
{
	struct backend *backend = open_mem(BYTES);

	write_fill(backend, 8192, 4096, 0x11);
	write_fill(backend, 512, 512, 0x22);
	write_fill(backend, BYTES - 512, 512, 0x33);
	assert_holds(backend, 8192, 4096, 0x11);
	assert_holds(backend, 512, 512, 0x22);
	assert_holds(backend, 1024, 7168, 0);
	assert_holds(backend, 0, 512, 0);
	assert_holds(backend, BYTES - 512, 512, 0x33);
	backend_close(backend);
}

static void a_flush_is_done(void **state)
{
	struct backend *backend = open_mem(512);

	assert_int_equal(serve(backend, UL_OP_FLUSH, 0, 0), 0);
	backend_close(backend);
}

static void cleared_ranges_read_as_zeros_to_the_sector(void **state)
{
	static const uint8_t ops[] = { UL_OP_DISCARD, UL_OP_WRITE_ZEROES };
	static const struct {
		uint64_t start;
		uint32_t length;
	} ranges[] = {
		{ 512, 512 },	      /* within a page */
		{ 3584, 1024 },	      /* over a page's edge, no page whole */
		{ 4096, 4096 },	      /* a page */
		{ 3584, 5120 },	      /* a page and a sector on both sides */
		{ 4096, 8704 },	      /* pages and a tail */
		{ 7680, 512 + 8192 }, /* a head and pages */
	};

	for (unsigned op = 0; op < ARRAY_SIZE(ops); op++) {
		for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++) {
			struct backend *backend = open_mem(BYTES);
			uint64_t end = ranges[i].start + ranges[i].length;

			write_fill(backend, 0, 32768, 0x44);
			assert_int_equal(serve(backend, ops[op], ranges[i].start, ranges[i].length),
					 0);
			assert_holds(backend, 0, (uint32_t)ranges[i].start, 0x44);
			assert_holds(backend, ranges[i].start, ranges[i].length, 0);
			assert_holds(backend, end, (uint32_t)(32768 - end), 0x44);
			backend_close(backend);
		}
	}
}

static void clearing_gives_memory_back(void **state)
{
	static const uint8_t ops[] = { UL_OP_DISCARD, UL_OP_WRITE_ZEROES };
	size_t pages = MANY / (size_t)sysconf(_SC_PAGESIZE);

	for (unsigned op = 0; op < ARRAY_SIZE(ops); op++) {
		struct backend *backend = open_mem(MANY);

		assert_int_equal(stored_pages(), 0);
		for (uint64_t at = 0; at < MANY; at += MOST)
			write_fill(backend, at, MOST, 0x55);
		assert_int_equal(stored_pages(), pages);
		/* Off by a sector at both ends: only the pages of these two stay. */
		assert_int_equal(serve(backend, ops[op], 512, MANY - 1024), 0);
		assert_int_equal(stored_pages(), 2);
		backend_close(backend);
	}
}

static void a_terabyte_costs_what_is_stored_in_it(void **state)
{
	const double tebibyte = 1024.0 * 1024 * 1024 * 1024;
	size_t before = resident();
	struct backend *backend = open_mem(tebibyte);

	write_fill(backend, 0, 4096, 0x66);
	write_fill(backend, (uint64_t)tebibyte / 2, 512, 0x77);
	write_fill(backend, (uint64_t)tebibyte - 4096, 4096, 0x88);
	assert_holds(backend, (uint64_t)tebibyte / 2, 512, 0x77);
	assert_holds(backend, (uint64_t)tebibyte - 4096, 4096, 0x88);
	/* Three pages, their page tables, and the test's own buffer. */
	assert_true(resident() < before + (8 << 20));
	backend_close(backend);
}

static void more_than_the_address_space_is_refused(void **state)
{
	struct ul_device dev = { .size = 9007199254740992.0,
				 .backings = 1,
				 .backing = { { .kind = UL_BACKING_MEM } } };
	struct backend *backend;
	const char *log;
	int ret;

	assert_int_equal(backend_probe(&dev, "test.lua"), 0);
	log_begin();
	ret = backend_open(&backend, &dev);
	log = log_end();
	assert_int_equal(ret, -ENOMEM);
	assert_has(log, "cannot reserve 9007199254740992 bytes of address space for ublk.mem()");
	assert_one_line(log);
}

static void a_size_is_needed(void **state)
{
	struct ul_device dev = { .backings = 1, .backing = { { .kind = UL_BACKING_MEM } } };
	const char *log;
	int ret;

	log_begin();
	ret = backend_probe(&dev, "test.lua");
	log = log_end();
	assert_int_equal(ret, -EINVAL);
	assert_has(log, "test.lua: the device needs a size");
	dev.size = 512;
	assert_int_equal(backend_probe(&dev, "test.lua"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read_back),
		cmocka_unit_test(a_flush_is_done),
		cmocka_unit_test(cleared_ranges_read_as_zeros_to_the_sector),
		cmocka_unit_test(clearing_gives_memory_back),
		cmocka_unit_test(a_terabyte_costs_what_is_stored_in_it),
		cmocka_unit_test(more_than_the_address_space_is_refused),
		cmocka_unit_test(a_size_is_needed),
	};

	return cmocka_run_group_tests_name("backend_mem", tests, NULL, NULL);
}
