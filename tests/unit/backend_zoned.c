/* SPDX-License-Identifier: MIT */
/*
 * core/backend_zoned.c and its steps over memory and files, served at once and
 * then with all that is below slow: data is where the zones say, zeros are
 * where nothing was written, and the state that is kept outlives its server.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../slow.h"
#include "../trees.h"
#include "zones.h"

enum { ZONE = 64 << 10, ZONES = 16, SECTORS = ZONE / 512, PART = 4096, THREADS = 4 };

static bool slow;
static struct backend *root;
static struct tree_lane lane;

static struct ul_device device(int kind, bool state)
{
	struct ul_device dev = tree_device(UL_BACKING_ZONED);
	uint32_t first = tree_grow(&dev, 0, 1 + state, kind);

	dev.size = (double)ZONE * ZONES;
	dev.backing[0].block = ZONE;
	dev.zones = (struct ul_zones){ .size = ZONE, .capacity = ZONE, .conventional = 1 };
	if (kind == UL_BACKING_FILE) {
		tree_file(&dev.backing[first], "zoned.img", (uint64_t)ZONE * ZONES, 0);
		(void)unlink(temp_path("zoned.state"));
		if (state)
			snprintf(dev.backing[first + 1].path, sizeof(dev.backing[0].path), "%s",
				 temp_path("zoned.state"));
	}
	return dev;
}

static void open_device(struct ul_device dev)
{
	root = tree_open(&dev);
	if (slow)
		tree_slow(root);
	tree_lane_open(&lane, root);
}

static void close_device(void)
{
	tree_lane_close(&lane);
	backend_close(root);
}

struct flight {
	struct backend_io io; /* the first: `end` gets it */
	struct ul_req req;
	double placed;
	uint8_t data[PART];
	int result; /* BACKEND_LATER: not yet */
};

static void ended(struct backend_io *io, int result)
{
	((struct flight *)io)->result = result;
}

/* Ask for it, and do not wait. */
static void start(struct flight *f, uint8_t op, uint64_t sector, uint32_t length)
{
	f->placed = -1;
	f->req = (struct ul_req){ .op = op,
				  .sector = (double)sector,
				  .length = length,
				  .flags = f->req.flags,
				  .placed = &f->placed,
				  .buf = f->data };
	f->io.end = ended;
	if (!f->io.memory)
		f->io.memory = malloc(root->io_size);
	memset(f->io.memory, 0xa5, root->io_size);
	f->result = BACKEND_LATER;
	f->result = backend_ask(root, slow ? &lane.lane : NULL, &f->req, &f->io);
}

static int finish(struct flight *f)
{
	while (f->result == BACKEND_LATER)
		tree_pump(&lane);
	free(f->io.memory);
	f->io.memory = NULL;
	return f->result;
}

static int serve(uint8_t op, uint64_t sector, uint32_t length)
{
	struct flight f = { 0 };

	start(&f, op, sector, length);
	return finish(&f);
}

static int write_part(uint64_t sector, uint8_t fill)
{
	struct flight f = { 0 };

	memset(f.data, fill, PART);
	start(&f, UL_OP_WRITE, sector, PART);
	return finish(&f);
}

/* Where it went; or -errno. */
static double append(uint32_t zone, uint8_t fill)
{
	struct flight f = { 0 };

	memset(f.data, fill, PART);
	start(&f, UL_OP_ZONE_APPEND, (uint64_t)zone * SECTORS, PART);
	return finish(&f) ? f.result : f.placed;
}

/* All of PART bytes at `sector` are `first` up to `bytes`, and zero behind. */
static void assert_data(uint64_t sector, uint8_t first, unsigned bytes)
{
	struct flight f = { 0 };

	memset(f.data, 0xee, PART);
	start(&f, UL_OP_READ, sector, PART);
	assert_int_equal(finish(&f), 0);
	for (unsigned i = 0; i < PART; i++)
		assert_int_equal(f.data[i], i < bytes ? first : 0);
}

static struct blk_zone report(uint32_t zone)
{
	struct flight f = { 0 };
	struct blk_zone one;

	start(&f, UL_OP_REPORT_ZONES, (uint64_t)zone * SECTORS, sizeof(one));
	assert_int_equal(finish(&f), 0);
	assert_true(f.placed == 1);
	memcpy(&one, f.data, sizeof(one));
	return one;
}

static void assert_zone(uint32_t zone, unsigned condition, unsigned wp)
{
	assert_int_equal(report(zone).cond, condition);
	assert_int_equal(report(zone).wp, zone * SECTORS + wp);
}

static void what_was_written_is_read(void **state)
{
	for (int kind = UL_BACKING_MEM; kind <= UL_BACKING_FILE; kind++) {
		open_device(device(kind, false));
		assert_int_equal(write_part(SECTORS, 7), 0);
		assert_int_equal(write_part(SECTORS + 16, 8), -EIO);
		assert_int_equal(write_part(SECTORS + 8, 8), 0);
		assert_zone(1, BLK_ZONE_COND_IMP_OPEN, 16);
		assert_data(SECTORS, 7, PART);
		assert_data(SECTORS + 8, 8, PART);
		assert_data(SECTORS + 12, 8, PART / 2); /* zeros from the write pointer on */
		assert_data(SECTORS + 16, 0, 0);
		assert_int_equal(serve(UL_OP_READ, 2 * SECTORS - 4, PART), -EIO); /* two zones */
		assert_int_equal(serve(UL_OP_ZONE_RESET, SECTORS, ZONE), 0);
		assert_data(SECTORS, 0, 0);
		assert_int_equal(write_part(SECTORS, 9), 0);
		assert_data(SECTORS + 4, 9,
			    PART / 2); /* what was there before does not come back */
		assert_int_equal(write_part(40, 5), 0); /* conventional */
		assert_data(40, 5, PART);
		assert_int_equal(serve(UL_OP_FLUSH, 0, 0), 0);
		assert_int_equal(serve(UL_OP_DISCARD, SECTORS, ZONE), -EOPNOTSUPP);
		close_device();
	}
}

static void appends_to_a_zone_go_together(void **state)
{
	static struct flight f[8];

	open_device(device(UL_BACKING_MEM, false));
	for (unsigned i = 0; i < 8; i++) {
		memset(f[i].data, (int)i + 1, PART);
		start(&f[i], UL_OP_ZONE_APPEND, 3 * SECTORS, PART);
		assert_int_equal(f[i].result, slow ? BACKEND_LATER : 0);
	}
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(finish(&f[i]), 0);
		assert_true(f[i].placed == 3 * SECTORS + i * 8);
	}
	for (unsigned i = 0; i < 8; i++)
		assert_data(3 * SECTORS + i * 8, (uint8_t)(i + 1), PART);
	assert_zone(3, BLK_ZONE_COND_IMP_OPEN, 64);
	for (unsigned i = 8; i < ZONE / PART; i++)
		assert_true(append(3, 1) == 3 * SECTORS + i * 8);
	assert_zone(3, BLK_ZONE_COND_FULL, SECTORS);
	assert_true(append(3, 1) == -EIO);
	close_device();
}

static int fail_writes(const struct ul_req *req)
{
	return req->op == UL_OP_WRITE ? -ENOSPC : 0;
}

static void a_write_that_fails_below_changes_nothing(void **state)
{
	struct ul_device dev = device(UL_BACKING_MEM, false);

	root = tree_open(&dev);
	tree_slow(root);
	tree_lane_open(&lane, root);
	assert_int_equal(write_part(SECTORS, 7), 0);
	slow_fail(root->child[0], fail_writes);
	assert_int_equal(write_part(SECTORS + 8, 8), -ENOSPC);
	assert_true(append(1, 8) == -ENOSPC);
	assert_zone(1, BLK_ZONE_COND_IMP_OPEN, 8);
	slow_fail(root->child[0], NULL);
	assert_true(append(1, 8) == SECTORS + 8);
	assert_data(SECTORS + 8, 8, PART);
	close_device();
}

static void limits_and_broken_zones_hold(void **state)
{
	struct ul_device dev = device(UL_BACKING_MEM, false);

	dev.zones.max_open = 1;
	dev.zones.max_active = 2;
	dev.zones.broken = 2;
	dev.zones.list[0] = (struct ul_broken_zone){ .index = 5 };
	dev.zones.list[1] = (struct ul_broken_zone){ .index = 6, .offline = 1 };
	open_device(dev);
	assert_int_equal(serve(UL_OP_ZONE_OPEN, SECTORS, ZONE), 0);
	assert_int_equal(write_part(2 * SECTORS, 1), -ETOOMANYREFS);
	assert_int_equal(write_part(SECTORS, 1), 0);
	assert_int_equal(serve(UL_OP_ZONE_CLOSE, SECTORS, ZONE), 0);
	assert_int_equal(write_part(2 * SECTORS, 1), 0);
	assert_int_equal(write_part(3 * SECTORS, 1), -EOVERFLOW);
	assert_int_equal(serve(UL_OP_ZONE_RESET_ALL, 0, 0), 0);
	assert_int_equal(write_part(5 * SECTORS, 1), -EIO);
	assert_data(5 * SECTORS, 0, 0);
	assert_int_equal(serve(UL_OP_READ, 6 * SECTORS, PART), -EIO);
	assert_int_equal(report(6).cond, BLK_ZONE_COND_OFFLINE);
	close_device();
}

static void the_state_outlives_the_server(void **state)
{
	struct ul_device dev = device(UL_BACKING_FILE, true);

	open_device(dev);
	assert_int_equal(write_part(SECTORS, 7), 0);
	assert_int_equal(write_part(2 * SECTORS, 8), 0);
	assert_int_equal(serve(UL_OP_ZONE_FINISH, 2 * SECTORS, ZONE), 0);
	assert_int_equal(serve(UL_OP_ZONE_OPEN, 3 * SECTORS, ZONE), 0);
	close_device();
	open_device(dev);
	assert_zone(1, BLK_ZONE_COND_CLOSED, 8);
	assert_zone(2, BLK_ZONE_COND_FULL, SECTORS);
	assert_zone(3, BLK_ZONE_COND_EMPTY, 0);
	assert_data(SECTORS + 4, 7, PART / 2);
	assert_data(2 * SECTORS, 8, PART);
	assert_true(append(1, 9) == SECTORS + 8);
	close_device();
}

/* A server that is killed: what of its last requests is there when the next one comes? */
static void crash_after(struct ul_device dev, void (*requests)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		open_device(dev);
		requests();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void write_and_flush(void)
{
	write_part(SECTORS, 1);
	append(2, 2);
	serve(UL_OP_FLUSH, 0, 0);
	write_part(SECTORS + 8, 3);
	append(3, 4);
}

static void reset_one(void)
{
	serve(UL_OP_ZONE_RESET, 2 * SECTORS, ZONE);
}

static void write_durably(void)
{
	struct flight f = { .req.flags = UL_FLAG_FUA };

	start(&f, UL_OP_ZONE_APPEND, 4 * SECTORS, PART);
	finish(&f);
	append(5, 1);
}

static void what_was_flushed_outlives_a_crash(void **state)
{
	struct ul_device dev = device(UL_BACKING_FILE, true);

	crash_after(dev, write_and_flush);
	open_device(dev);
	assert_zone(1, BLK_ZONE_COND_CLOSED, 8);
	assert_zone(2, BLK_ZONE_COND_CLOSED, 8);
	assert_zone(3, BLK_ZONE_COND_EMPTY, 0);
	assert_data(SECTORS, 1, PART);
	assert_data(SECTORS + 8, 0, 0);
	assert_data(2 * SECTORS, 2, PART);
	close_device();
	crash_after(dev, reset_one);
	crash_after(dev, write_durably);
	open_device(dev);
	assert_zone(2, BLK_ZONE_COND_EMPTY, 0);
	assert_zone(4, BLK_ZONE_COND_CLOSED, 8);
	assert_zone(5, BLK_ZONE_COND_EMPTY, 0);
	close_device();
	dev.volatile_cache = 0;
	crash_after(dev, write_and_flush);
	open_device(dev);
	assert_zone(3, BLK_ZONE_COND_CLOSED, 8);
	close_device();
}

static int fail_flushes(const struct ul_req *req)
{
	return req->op == UL_OP_FLUSH ? -EIO : 0;
}

static unsigned kept;

static int count_writes(const struct ul_req *req)
{
	kept += req->op == UL_OP_WRITE;
	return 0;
}

static void a_flush_that_fails_is_told_and_the_next_keeps(void **state)
{
	struct ul_device dev = device(UL_BACKING_MEM, true);
	struct flight f[3] = { 0 };

	root = tree_open(&dev);
	tree_slow(root);
	tree_lane_open(&lane, root);
	assert_int_equal(write_part(SECTORS, 7), 0);
	slow_fail(root->child[0], fail_flushes);
	assert_int_equal(serve(UL_OP_FLUSH, 0, 0), -EIO);
	slow_fail(root->child[0], NULL);
	slow_fail(root->child[1], count_writes);
	kept = 0;
	for (unsigned i = 0; i < 3; i++) /* one keeps, the others wait for it */
		start(&f[i], UL_OP_FLUSH, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(finish(&f[i]), 0);
	assert_int_equal(serve(UL_OP_FLUSH, 0, 0), 0);
	assert_int_equal(kept, 1);
	close_device();
}

static int open_it(struct ul_device dev, const char **log)
{
	int ret;

	log_begin();
	root = NULL;
	ret = backend_probe(&dev, "test.lua");
	if (ret == 0)
		ret = backend_open(&root, &dev);
	backend_close(root);
	*log = log_end();
	return ret;
}

static void assert_refused(struct ul_device dev, const char *words)
{
	const char *log;

	assert_int_equal(open_it(dev, &log), -EINVAL);
	assert_has(log, words);
	assert_one_line(log);
}

static void what_cannot_be_is_refused(void **state)
{
	struct ul_device dev = device(UL_BACKING_FILE, true), other;
	const char *log;

	other = dev;
	other.size += 4096;
	assert_refused(other, "ublk.zoned: a size of 1052672 bytes: 1 to 1048576 whole zones of "
			      "65536 are needed");
	other = dev;
	other.size *= 2;
	assert_refused(other, "zoned.img\"): it has 1048576 bytes, the device is to have 2097152");
	assert_int_equal(open_it(dev, &log), 0);
	other = dev;
	other.zones.conventional = 2;
	assert_refused(other, "zoned.state: the state of 16 zones of 65536 bytes, 1 conventional, "
			      "capacity 65536; the device's are others");
	other = dev;
	tree_file(&other.backing[2], "no.state", 8192, 7);
	assert_refused(other,
		       "no.state holds no state of zones; one begins as zeros, or as no file");
	other = dev;
	other.backing[2] = (struct ul_backing_spec){ .kind = UL_BACKING_MEM, .size = 4096 };
	assert_refused(other, "ublk.zoned: its state has 4096 bytes and needs 8192");
}

static void the_size_is_whole_zones_of_what_is_there(void **state)
{
	struct ul_device dev = device(UL_BACKING_FILE, false);

	dev.size = 0;
	tree_file(&dev.backing[1], "odd.img", 3 * ZONE + 4096, 0);
	assert_int_equal(backend_probe(&dev, "test.lua"), 0);
	assert_true(dev.size == 3 * ZONE);
	tree_file(&dev.backing[1], "small.img", 4096, 0);
	dev.size = dev.backing[0].size = dev.backing[1].size = 0;
	assert_refused(dev, "ublk.zoned: a size of 4096 bytes: 1 to 1048576 whole zones");
}

static atomic_uchar taken[ZONES * ZONE / PART];

/* Append to all zones in turn, flush now and then, until none takes more. */
static void *append_all(void *arg)
{
	struct tree_lane own;
	struct flight f = { 0 };
	unsigned full = 0;

	tree_lane_open(&own, root);
	f.io.memory = malloc(root->io_size);
	for (unsigned i = 0; full < ZONES - 1; i++) {
		uint32_t zone = 1 + i % (ZONES - 1);
		bool flush = i % 7 == 6;

		f.placed = -1;
		memset(f.data, (int)(uintptr_t)arg, PART);
		f.req = (struct ul_req){ .op = flush ? UL_OP_FLUSH : UL_OP_ZONE_APPEND,
					 .sector = flush ? 0 : (double)zone * SECTORS,
					 .length = flush ? 0 : PART,
					 .placed = &f.placed,
					 .buf = f.data };
		f.io.end = ended;
		f.result = BACKEND_LATER;
		f.result = backend_ask(root, slow ? &own.lane : NULL, &f.req, &f.io);
		while (f.result == BACKEND_LATER)
			tree_pump(&own);
		if (f.placed >= 0)
			atomic_fetch_add(&taken[(unsigned)f.placed / (PART / 512)],
					 (unsigned char)(uintptr_t)arg);
		full = f.result == -EIO ? full + 1 : flush ? full : 0;
	}
	free(f.io.memory);
	tree_lane_close(&own);
	return NULL;
}

static void threads_append_to_the_same_zones(void **state)
{
	struct ul_device dev = device(UL_BACKING_FILE, true);
	pthread_t threads[THREADS];

	memset((void *)taken, 0, sizeof(taken));
	open_device(dev);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, append_all, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned part = ZONE / PART; part < ARRAY_SIZE(taken); part++) {
		uint8_t who = atomic_load(&taken[part]); /* one of them, and each place once */

		assert_in_range(who, 1, THREADS);
		assert_data((uint64_t)part * (PART / 512), who, PART);
	}
	close_device();
	open_device(dev);
	assert_zone(ZONES - 1, BLK_ZONE_COND_FULL, SECTORS);
	close_device();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(appends_to_a_zone_go_together),
		cmocka_unit_test(a_write_that_fails_below_changes_nothing),
		cmocka_unit_test(limits_and_broken_zones_hold),
		cmocka_unit_test(the_state_outlives_the_server),
		cmocka_unit_test(what_was_flushed_outlives_a_crash),
		cmocka_unit_test(a_flush_that_fails_is_told_and_the_next_keeps),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(the_size_is_whole_zones_of_what_is_there),
		cmocka_unit_test(threads_append_to_the_same_zones),
	};

	return run_in_both_modes("backend_zoned", tests, ARRAY_SIZE(tests), &slow);
}
