/* SPDX-License-Identifier: MIT */
#include "guard.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "log.h"

enum {
	RED_ZONE = 4096, /* bytes; a page, so that the data is aligned as the transport's is */
	MOST_TOLD = 20,
};

struct guard {
	struct transport *transport;
	uint8_t *memory; /* for each tag: red zone, data, red zone */
	size_t stride;
	struct ul_req *last; /* by tag: the request that had the buffer last */
	bool *lent;
	unsigned misuses;
};

static uint8_t *zone(const struct guard *g, unsigned tag)
{
	return g->memory + tag * g->stride;
}

static void discard(struct guard *g)
{
	if (g->memory != MAP_FAILED)
		munmap(g->memory, g->stride * g->transport->shared.depth);
	free(g->lent);
	free(g->last);
	free(g);
}

struct guard *guard_open(struct transport *t)
{
	struct guard *g = calloc(1, sizeof(*g));
	size_t size;

	if (!g)
		return NULL;
	g->transport = t;
	g->stride = (size_t)t->shared.max_io + 2 * (size_t)RED_ZONE;
	size = g->stride * t->shared.depth;
	g->last = calloc(t->shared.depth, sizeof(*g->last));
	g->lent = calloc(t->shared.depth, sizeof(*g->lent));
	g->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!g->last || !g->lent || g->memory == MAP_FAILED) {
		discard(g);
		return NULL;
	}
	memset(g->memory, GUARD_PATTERN, size);
	t->shared.buffers = g->memory + RED_ZONE;
	t->shared.stride = (uint32_t)g->stride;
	return g;
}

/* The first byte of `size` at `from` that is not the pattern, or -1. */
static ptrdiff_t find_write(const uint8_t *from, size_t size)
{
	if (!size || (from[0] == GUARD_PATTERN && memcmp(from, from + 1, size - 1) == 0))
		return -1;
	for (size_t i = 0;; i++)
		if (from[i] != GUARD_PATTERN)
			return (ptrdiff_t)i;
}

static void tell(struct guard *g, const struct ul_req *req, ptrdiff_t at, const char *when)
{
	static const char *const names[] = { "read", "write" };

	if (++g->misuses > MOST_TOLD)
		return;
	log_error("--debug: the buffer of a %s (sector %.0f, %u bytes) was written %s, at byte %td",
		  names[transport_op_brings_data(req->op)], req->sector, req->length, when, at);
}

/* Nobody has the buffer of `tag`: it must be as it was left. */
static void check_idle(struct guard *g, unsigned tag)
{
	ptrdiff_t at = find_write(zone(g, tag), g->stride);

	if (at < 0)
		return;
	if (g->last[tag].length)
		tell(g, &g->last[tag], at - RED_ZONE, "after its request was answered");
	else if (++g->misuses <= MOST_TOLD)
		log_error(
			"--debug: the buffer of tag %u, which has had no request yet, was written, "
			"at byte %td",
			tag, at - RED_ZONE);
	memset(zone(g, tag), GUARD_PATTERN, g->stride);
}

void guard_lend(struct guard *g, struct ul_req *req)
{
	uint8_t *copy = zone(g, req->tag) + RED_ZONE;

	if (!req->buf)
		return;
	check_idle(g, req->tag);
	if (transport_op_brings_data(req->op))
		memcpy(copy, req->buf, req->length);
	req->buf = copy;
	g->last[req->tag] = *req;
	g->lent[req->tag] = true;
}

void guard_return(struct guard *g, struct ul_req *req)
{
	uint8_t *before = zone(g, req->tag), *copy = before + RED_ZONE;
	uint8_t *behind = copy + req->length;
	ptrdiff_t at;

	if (!g->lent[req->tag])
		return;
	g->lent[req->tag] = false;
	at = find_write(before, RED_ZONE);
	if (at >= 0)
		tell(g, req, at - RED_ZONE, "before its beginning");
	at = find_write(behind, (size_t)(before + g->stride - behind));
	if (at >= 0)
		tell(g, req, at + (ptrdiff_t)req->length, "beyond its end");
	req->buf = transport_buffer(g->transport, req->tag);
	if (transport_op_takes_data(req->op))
		memcpy(req->buf, copy, req->length);
	memset(before, GUARD_PATTERN, g->stride);
}

unsigned guard_check(struct guard *g)
{
	for (unsigned tag = 0; tag < g->transport->shared.depth; tag++)
		if (!g->lent[tag])
			check_idle(g, tag);
	return g->misuses;
}

void guard_close(struct guard *g)
{
	if (!g)
		return;
	if (guard_check(g) > MOST_TOLD)
		log_error("--debug: %u misuses of buffers in all", g->misuses);
	discard(g);
}
