/* SPDX-License-Identifier: MIT */
#include "workload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WINDOW = 64 << 20, /* bytes that are used: half at the device's start, half at its end */
	SECTOR = 512,
	WORDS = SECTOR / 8,
	SMALL_IO = 16 << 10,
	MAX_ERRNO = 4095,
	TRIES = 8, /* to find a place that no other request is at */
};

/* What a sector holds: the number of a write, from which its data follows, or one of these. */
enum { ZEROS = 0, UNKNOWN = UINT32_MAX };

struct workload {
	struct workload_config config;
	struct workload_result result;
	struct ul_rng rng;
	uint64_t window;       /* bytes; the whole device when it is small */
	uint64_t half;	       /* from here on the window lies at the device's end */
	uint32_t *stamps;      /* of each sector of the window */
	uint32_t *number;      /* of the request in each tag, from 1; 0: none */
	struct ul_req *flying; /* the request in each tag, as it was issued */
};

static uint64_t below(struct workload *w, uint64_t limit)
{
	return (uint64_t)(ul_rng_next(&w->rng) * (double)limit);
}

static uint64_t mix(uint64_t h, uint64_t value)
{
	h = (h ^ value) * 0xff51afd7ed558ccd;
	return h ^ h >> 32;
}

static uint64_t window_to_device(const struct workload *w, uint64_t offset)
{
	return offset < w->half ? offset : offset + w->config.size - w->window;
}

static uint32_t *stamp_of(const struct workload *w, const struct ul_req *req)
{
	uint64_t offset = (uint64_t)req->sector * SECTOR;

	if (offset >= w->half)
		offset -= w->config.size - w->window;
	return &w->stamps[offset / SECTOR];
}

/* The data of a sector as a write leaves it: tells its place and its write, then noise. */
static void make_sector(uint64_t sector, uint32_t stamp, uint64_t words[WORDS])
{
	uint64_t word = mix(sector + 1, stamp);

	if (stamp == ZEROS) {
		memset(words, 0, SECTOR);
		return;
	}
	words[0] = sector;
	words[1] = stamp;
	for (unsigned i = 2; i < WORDS; i++)
		words[i] = word += 0x9e3779b97f4a7c15;
}

/* No order is promised between requests in flight, so what overlaps says nothing. */
static bool overlaps_flying(const struct workload *w, const struct ul_req *req)
{
	for (unsigned tag = 0; tag < w->config.depth; tag++) {
		const struct ul_req *other = &w->flying[tag];

		if (w->number[tag] && req->sector < other->sector + other->length / SECTOR &&
		    other->sector < req->sector + req->length / SECTOR)
			return true;
	}
	return false;
}

/* The largest request of `op` in bytes; 0: the device does not have it. */
static uint32_t most_of(const struct workload *w, uint8_t op)
{
	const struct workload_config *c = &w->config;
	uint32_t most;

	switch (op) {
	case UL_OP_FLUSH:
		return 0;
	case UL_OP_DISCARD:
		most = c->max_discard;
		break;
	case UL_OP_WRITE_ZEROES:
		most = c->max_write_zeroes;
		break;
	default:
		most = c->max_io;
	}
	return most < c->max_io ? most : c->max_io;
}

static uint8_t choose_op(struct workload *w)
{
	static const uint8_t ops[16] = {
		UL_OP_READ,  UL_OP_READ,  UL_OP_READ,	 UL_OP_READ,
		UL_OP_READ,  UL_OP_READ,  UL_OP_READ,	 UL_OP_WRITE,
		UL_OP_WRITE, UL_OP_WRITE, UL_OP_WRITE,	 UL_OP_WRITE,
		UL_OP_WRITE, UL_OP_FLUSH, UL_OP_DISCARD, UL_OP_WRITE_ZEROES,
	};
	uint8_t op = ops[below(w, 16)];
	bool there = op == UL_OP_FLUSH ? w->config.flush : most_of(w, op) > 0;

	return w->config.read_only || !there ? UL_OP_READ : op;
}

static void choose_range(struct workload *w, struct ul_req *req)
{
	uint32_t block = w->config.block, max_io = most_of(w, req->op);
	uint32_t most = below(w, 16) && max_io > SMALL_IO ? SMALL_IO : max_io;
	uint64_t start = below(w, w->window / block) * block;
	uint64_t left = (start < w->half ? w->half : w->window) - start;
	uint64_t length;

	if (most < block)
		most = block;
	length = (1 + below(w, most / block)) * block;
	req->length = (uint32_t)(length < left ? length : left);
	req->sector = (double)(window_to_device(w, start) / SECTOR);
}

bool workload_next(struct workload *w, struct ul_req *req, uint8_t *data)
{
	uint32_t number;

	if (w->result.issued == w->config.requests)
		return false;
	number = ++w->result.issued;
	req->op = choose_op(w);
	req->flags = req->op == UL_OP_WRITE && w->config.fua && below(w, 16) == 0 ? UL_FLAG_FUA : 0;
	req->sector = 0;
	req->length = 0;
	for (int tries = 0; req->op != UL_OP_FLUSH; tries++) {
		choose_range(w, req);
		if (!overlaps_flying(w, req))
			break;
		/* A small device may be busy all over, but a flush has no place. */
		if (tries == TRIES) {
			req->op = UL_OP_FLUSH;
			req->flags = 0;
			req->sector = 0;
			req->length = 0;
		}
	}
	w->number[req->tag] = number;
	w->flying[req->tag] = *req;
	if (req->op == UL_OP_WRITE)
		for (uint32_t at = 0; at < req->length; at += SECTOR)
			make_sector((uint64_t)req->sector + at / SECTOR, number,
				    (uint64_t *)(data + at));
	return true;
}

static void tell_expected(uint32_t stamp, char *text, size_t size)
{
	if (stamp == ZEROS)
		snprintf(text, size, "zeros");
	else
		snprintf(text, size, "what request %u wrote", stamp);
}

/* Is it what some write has put somewhere? `words` is the data, `made` room for another. */
static bool is_written(const struct workload *w, const uint64_t *words, uint64_t *made)
{
	if (!words[1] || words[1] > w->result.issued || words[0] >= w->config.size / SECTOR)
		return false;
	make_sector(words[0], (uint32_t)words[1], made);
	return memcmp(words, made, SECTOR) == 0;
}

static void tell_found(const struct workload *w, uint64_t sector, const uint64_t *words,
		       const uint64_t *expected, char *text, size_t size)
{
	const uint8_t *has = (const uint8_t *)words, *wants = (const uint8_t *)expected;
	uint64_t made[WORDS];
	unsigned wrong = 0, first = 0;

	make_sector(sector, ZEROS, made);
	if (memcmp(words, made, SECTOR) == 0) {
		snprintf(text, size, "zeros");
	} else if (is_written(w, words, made) && words[0] == sector) {
		snprintf(text, size, "what request %" PRIu64 " wrote", words[1]);
	} else if (is_written(w, words, made)) {
		snprintf(text, size, "what request %" PRIu64 " wrote to sector %" PRIu64, words[1],
			 words[0]);
	} else {
		for (unsigned i = SECTOR; i-- > 0;)
			if (has[i] != wants[i]) {
				wrong++;
				first = i;
			}
		snprintf(text, size, "%u wrong byte%s, %s at %u: 0x%02x, not 0x%02x", wrong,
			 wrong == 1 ? "" : "s", wrong == 1 ? "it is" : "the first", first,
			 has[first], wants[first]);
	}
}

static void note_wrong(struct workload *w, uint32_t number, uint64_t sector, uint32_t stamp,
		       const uint64_t *words, const uint64_t *expected)
{
	struct workload_result *r = &w->result;
	struct workload_wrong *wrong;

	if (r->wrong_data++ >= WORKLOAD_WRONG)
		return;
	wrong = &r->wrong[r->wrong_data - 1];
	wrong->sector = sector;
	wrong->request = number;
	tell_expected(stamp, wrong->expected, sizeof(wrong->expected));
	tell_found(w, sector, words, expected, wrong->found, sizeof(wrong->found));
}

static void check_read(struct workload *w, const struct ul_req *req, uint32_t number,
		       const uint8_t *data)
{
	const uint32_t *stamps = stamp_of(w, req);
	uint64_t expected[WORDS], words[WORDS];

	for (uint32_t i = 0; i < req->length / SECTOR; i++) {
		uint64_t sector = (uint64_t)req->sector + i;

		if (stamps[i] == UNKNOWN)
			continue;
		w->result.sectors_read++;
		make_sector(sector, stamps[i], expected);
		memcpy(words, data + (size_t)i * SECTOR, SECTOR);
		if (memcmp(words, expected, SECTOR) != 0)
			note_wrong(w, number, sector, stamps[i], words, expected);
	}
}

static void note_change(struct workload *w, const struct ul_req *req, uint32_t stamp)
{
	uint32_t *stamps = stamp_of(w, req);

	for (uint32_t i = 0; i < req->length / SECTOR; i++)
		stamps[i] = stamp;
}

static void check_success(struct workload *w, const struct ul_req *req, uint32_t number,
			  const uint8_t *data, enum workload_server server)
{
	bool lost = server == WORKLOAD_NOBODY;

	switch (req->op) {
	case UL_OP_READ:
		if (!lost)
			check_read(w, req, number, data);
		break;
	case UL_OP_WRITE:
		note_change(w, req, lost ? UNKNOWN : number);
		break;
	case UL_OP_DISCARD: /* a disk may answer anything for what was discarded */
		note_change(w, req, server == WORKLOAD_BACKING ? ZEROS : UNKNOWN);
		break;
	case UL_OP_WRITE_ZEROES:
		note_change(w, req, lost ? UNKNOWN : ZEROS);
		break;
	}
}

void workload_done(struct workload *w, uint16_t tag, const uint8_t *data, int32_t result,
		   enum workload_server server)
{
	const struct ul_req *req = &w->flying[tag];
	bool has_length = req->op == UL_OP_READ || req->op == UL_OP_WRITE;
	uint32_t number = w->number[tag];

	w->number[tag] = 0;
	w->result.digest = mix(w->result.digest, (uint64_t)number << 32 | (uint32_t)result);
	if (result == (has_length ? (int32_t)req->length : 0))
		check_success(w, req, number, data, server);
	else if (result >= 0 || result < -MAX_ERRNO)
		w->result.wrong_results++;
	else if (server != WORKLOAD_SCRIPT && req->op != UL_OP_READ && req->op != UL_OP_FLUSH)
		note_change(w, req, UNKNOWN); /* it failed on the way, or after */
}

const struct ul_req *workload_issued(const struct workload *w, uint16_t tag)
{
	return &w->flying[tag];
}

const struct workload_result *workload_result(const struct workload *w)
{
	return &w->result;
}

int workload_open(struct workload **workload, const struct workload_config *config)
{
	struct workload *w = calloc(1, sizeof(*w));
	uint64_t sectors;

	if (!w)
		return -ENOMEM;
	w->config = *config;
	w->window = config->size < WINDOW ? config->size : WINDOW;
	w->half = w->window / 2 / config->block * config->block;
	sectors = w->window / SECTOR;
	w->stamps = calloc(sectors, sizeof(*w->stamps));
	w->number = calloc(config->depth, sizeof(*w->number));
	w->flying = calloc(config->depth, sizeof(*w->flying));
	if (!w->stamps || !w->number || !w->flying) {
		workload_close(w);
		return -ENOMEM;
	}
	for (uint64_t i = 0; !config->zeroed && i < sectors; i++)
		w->stamps[i] = UNKNOWN;
	ul_rng_seed(&w->rng, config->seed, 0);
	*workload = w;
	return 0;
}

void workload_close(struct workload *w)
{
	if (!w)
		return;
	free(w->flying);
	free(w->number);
	free(w->stamps);
	free(w);
}
