/* SPDX-License-Identifier: MIT */
/*
 * core/workload.c: its requests over the backends, served as by a device whose
 * script handles nothing, and the lies that its model must see. WORKLOAD_SEEDS
 * says how many workloads are sent; `make soak` sends many.
 */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "simulate.h"
#include "workload.h"

enum { DEPTH = 16, MAX_IO = 64 << 10, REQUESTS = 3000, BYTES = 4 << 20 };

static struct workload *workload;
static enum workload_server server;

static struct workload_config config(uint64_t size, uint32_t size_of_block, uint64_t seed)
{
	return (struct workload_config){
		.requests = REQUESTS,
		.depth = DEPTH,
		.seed = seed,
		.size = size,
		.block = size_of_block,
		.max_io = MAX_IO,
		.max_discard = MAX_IO,
		.max_write_zeroes = MAX_IO,
		.flush = true,
		.fua = true,
		.zeroed = true,
	};
}

static uint32_t block;
static struct ul_req open_now[DEPTH]; /* length 0: none */

/* Whole blocks, and at no time two requests at one place: their order would be anybody's. */
static bool next(void *arg, struct ul_req *req, uint8_t *data)
{
	bool more = workload_next(workload, req, data);

	if (!more)
		return false;
	assert_int_equal((uint64_t)req->sector * 512 % block, 0);
	assert_int_equal(req->length % block, 0);
	assert_true(req->length || req->op == UL_OP_FLUSH);
	for (unsigned tag = 0; tag < DEPTH; tag++)
		assert_true(!req->length ||
			    req->sector >= open_now[tag].sector + open_now[tag].length / 512 ||
			    open_now[tag].sector >= req->sector + req->length / 512);
	open_now[req->tag] = *req;
	return true;
}

static void done(void *arg, const struct ul_req *req, const uint8_t *data, int32_t result)
{
	memset(&open_now[req->tag], 0, sizeof(open_now[0]));
	workload_done(workload, req->tag, data, result, server);
}

static struct workload_result run_over(struct ul_device *dev, const struct workload_config *cfg)
{
	struct stats *stats = calloc(1, sizeof(*stats));
	struct simulation sim = { 0 };
	struct workload_result result;
	struct backend *backend;

	assert_non_null(stats);
	block = cfg->block;
	assert_int_equal(workload_open(&workload, cfg), 0);
	assert_int_equal(backend_probe(dev, "test.lua"), 0);
	assert_int_equal(backend_open(&backend, dev), 0);
	assert_int_equal(simulate_open(&sim, dev, NULL, backend, stats,
				       &(struct sim_config){ .depth = DEPTH,
							     .max_io = MAX_IO,
							     .batch = 8,
							     .next = next,
							     .done = done }),
			 0);
	while (simulate_round(&sim) >= 0)
		;
	result = *workload_result(workload);
	assert_int_equal(simulate_faults(&sim), 0);
	assert_int_equal(stats->op[UL_OP_READ].errors + stats->op[UL_OP_WRITE].errors, 0);
	assert_int_equal(stats->op[UL_OP_DISCARD].errors, 0);
	simulate_close(&sim);
	backend_close(backend);
	workload_close(workload);
	free(stats);
	assert_int_equal(result.issued, REQUESTS);
	assert_int_equal(result.wrong_results, 0);
	return result;
}

static struct workload_result over_memory(uint64_t size, uint32_t size_of_block, uint64_t seed)
{
	struct ul_device dev = { .size = (double)size,
				 .backings = 1,
				 .backing = { { .kind = UL_BACKING_MEM } } };
	struct workload_config cfg = config(size, size_of_block, seed);

	server = WORKLOAD_BACKING;
	return run_over(&dev, &cfg);
}

static unsigned seeds(void)
{
	const char *text = getenv("WORKLOAD_SEEDS");

	return text ? (unsigned)atoi(text) : 4;
}

static void memory_keeps_the_data(void **state)
{
	for (unsigned seed = 0; seed < seeds(); seed++) {
		struct workload_result r = over_memory(BYTES, 512, seed);

		assert_int_equal(r.wrong_data, 0);
		assert_true(r.sectors_read > REQUESTS);
	}
}

static void a_file_keeps_the_data(void **state)
{
	struct ul_device dev = { .size = BYTES,
				 .backings = 1,
				 .backing = { { .kind = UL_BACKING_FILE } },
				 .volatile_cache = 1 };
	struct workload_config cfg;

	snprintf(dev.backing[0].path, sizeof(dev.backing[0].path), "%s", temp_path("disk.img"));
	server = WORKLOAD_FILE;
	for (unsigned seed = 0; seed < seeds(); seed++) {
		int fd = open(dev.backing[0].path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		struct workload_result r;

		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, BYTES), 0);
		close(fd);
		cfg = config(BYTES, 512, seed);
		r = run_over(&dev, &cfg);
		assert_int_equal(r.wrong_data, 0);
		assert_true(r.sectors_read > REQUESTS);
	}
}

static void odd_sizes_are_kept_to(void **state)
{
	static const unsigned blocks[] = { 1, 2, 3, 5, 17 };

	for (unsigned i = 0; i < ARRAY_SIZE(blocks); i++) {
		assert_int_equal(over_memory(blocks[i] * 512, 512, 1).wrong_data, 0);
		assert_int_equal(over_memory(blocks[i] * 4096, 4096, 1).wrong_data, 0);
	}
	assert_int_equal(over_memory((1ULL << 40) + 3 * 512, 512, 1).wrong_data, 0);
}

static void a_seed_repeats_the_requests(void **state)
{
	assert_true(over_memory(BYTES, 512, 7).digest == over_memory(BYTES, 512, 7).digest);
	assert_true(over_memory(BYTES, 512, 7).digest != over_memory(BYTES, 512, 8).digest);
}

/* What a backing that loses all is found out to do, when it is said to keep the data. */
static void lost_writes_are_described(void **state)
{
	struct ul_device dev = { .size = BYTES,
				 .backings = 1,
				 .backing = { { .kind = UL_BACKING_NULL } } };
	struct workload_config cfg = config(BYTES, 512, 1);
	struct workload_result r;

	server = WORKLOAD_SCRIPT;
	r = run_over(&dev, &cfg);
	assert_true(r.wrong_data > WORKLOAD_WRONG);
	assert_true(r.wrong[0].request > 0);
	assert_has(r.wrong[3].found, "request ");
	assert_has(r.wrong[3].found, " wrote");

	server = WORKLOAD_NOBODY; /* and nothing is, when nothing is expected */
	assert_int_equal(run_over(&dev, &cfg).wrong_data, 0);
}

/* One request after the other, up to the first of `op`, which stays open; its buffer is `data`. */
static struct ul_req up_to(uint8_t op, uint8_t *data)
{
	struct ul_req req = { 0 };

	while (workload_next(workload, &req, data)) {
		if (req.op == op)
			return req;
		workload_done(workload, 0, data, req.op == UL_OP_WRITE ? (int32_t)req.length : -5,
			      WORKLOAD_NOBODY);
	}
	fail();
	return req;
}

/* How many requests of each op come; none is larger than its device's limit. */
static void count_ops(const struct workload_config *cfg, unsigned counts[UL_OP_COUNT])
{
	static uint8_t data[MAX_IO];
	struct ul_req req = { 0 };

	memset(counts, 0, UL_OP_COUNT * sizeof(*counts));
	assert_int_equal(workload_open(&workload, cfg), 0);
	while (workload_next(workload, &req, data)) {
		counts[req.op]++;
		assert_false(req.op == UL_OP_DISCARD && req.length > cfg->max_discard);
		assert_false(req.op == UL_OP_WRITE_ZEROES && req.length > cfg->max_write_zeroes);
		workload_done(workload, 0, data, -5, WORKLOAD_NOBODY);
	}
	workload_close(workload);
}

static void what_the_device_lacks_is_not_sent(void **state)
{
	struct workload_config cfg = config(BYTES, 512, 1);
	unsigned counts[UL_OP_COUNT];

	cfg.max_discard = 1024;
	cfg.max_write_zeroes = 0;
	cfg.flush = false;
	count_ops(&cfg, counts);
	assert_true(counts[UL_OP_DISCARD] > 0);
	assert_int_equal(counts[UL_OP_WRITE_ZEROES] + counts[UL_OP_FLUSH], 0);
	cfg.max_discard = 0;
	cfg.max_write_zeroes = 1024;
	cfg.flush = true;
	count_ops(&cfg, counts);
	assert_int_equal(counts[UL_OP_DISCARD], 0);
	assert_true(counts[UL_OP_WRITE_ZEROES] > 0 && counts[UL_OP_FLUSH] > 0);
}

static void a_flipped_bit_is_described(void **state)
{
	static uint8_t data[MAX_IO];
	struct workload_config cfg = config(1 << 30, 512, 1);
	struct ul_req req;

	assert_int_equal(workload_open(&workload, &cfg), 0);
	req = up_to(UL_OP_READ, data);
	memset(data, 0, sizeof(data));
	data[17] = 4;
	workload_done(workload, 0, data, (int32_t)req.length, WORKLOAD_SCRIPT);
	assert_int_equal(workload_result(workload)->wrong_data, 1);
	assert_has(workload_result(workload)->wrong[0].found, "1 wrong byte, it is at 17: 0x04");
	assert_string_equal(workload_result(workload)->wrong[0].expected, "zeros");
	workload_close(workload);
}

static void half_an_answer_is_seen(void **state)
{
	static uint8_t data[MAX_IO];
	struct workload_config cfg = config(BYTES, 512, 1);
	struct ul_req req;

	assert_int_equal(workload_open(&workload, &cfg), 0);
	req = up_to(UL_OP_READ, data);
	workload_done(workload, 0, data, (int32_t)req.length - 1, WORKLOAD_BACKING);
	assert_int_equal(workload_result(workload)->wrong_results, 1);
	workload_close(workload);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_keeps_the_data),
		cmocka_unit_test(a_file_keeps_the_data),
		cmocka_unit_test(odd_sizes_are_kept_to),
		cmocka_unit_test(a_seed_repeats_the_requests),
		cmocka_unit_test(lost_writes_are_described),
		cmocka_unit_test(what_the_device_lacks_is_not_sent),
		cmocka_unit_test(a_flipped_bit_is_described),
		cmocka_unit_test(half_an_answer_is_seen),
	};

	return cmocka_run_group_tests_name("workload", tests, NULL, NULL);
}
