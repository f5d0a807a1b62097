/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512, SHOWN = 16 };

static void *need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

void model_open(struct model *model, uint64_t size, const uint8_t *data)
{
	model->size = size;
	model->data = need(calloc(1, size));
	model->known = need(malloc(size / SECTOR));
	model->past = need(calloc(size / SECTOR, sizeof(*model->past)));
	memset(model->known, 1, size / SECTOR);
	if (data)
		memcpy(model->data, data, size);
}

void model_close(struct model *model)
{
	free(model->data);
	free(model->known);
	free(model->past);
}

void model_fill(const struct ul_req *req, uint32_t number, uint64_t seed)
{
	for (uint32_t i = 0; i < req->length; i += 8) {
		uint64_t place = ((uint64_t)req->sector + i / SECTOR) << 40 |
				 (uint64_t)req->queue << 32 | number;

		seed = seed * 6364136223846793005 + 1442695040888963407;
		memcpy(req->buf + i, i % SECTOR ? &seed : &place, sizeof(seed));
	}
}

static const char *op_name(unsigned op)
{
	static const char *const names[] = {
		[UL_OP_READ] = "read",
		[UL_OP_WRITE] = "write",
		[UL_OP_FLUSH] = "flush",
		[UL_OP_DISCARD] = "discard",
		[UL_OP_WRITE_ZEROES] = "write_zeroes",
	};

	return names[op];
}

/* What was done to a sector, the newest first. */
static void show_past(const struct model *model, uint64_t sector)
{
	if (sector >= model->size / SECTOR)
		return;
	fprintf(stderr, "  sector %llu:", (unsigned long long)sector);
	for (unsigned i = 0; i < MODEL_PAST; i++) {
		const struct model_change *c = &model->past[sector][i];

		if (c->length)
			fprintf(stderr, "%s %s %u of thread %u at %u, %u bytes%s", i ? "," : "",
				op_name(c->op), c->number, c->thread, c->sector, c->length,
				c->failed ? ", failed" : "");
	}
	fprintf(stderr, "%s\n", model->past[sector][0].length ? "" : " untouched");
}

static void show_bytes(const char *what, const uint8_t *bytes)
{
	fprintf(stderr, "  %-8s", what);
	for (unsigned i = 0; i < SHOWN; i++)
		fprintf(stderr, " %02x", bytes[i]);
	fprintf(stderr, "\n");
}

static void fail(const struct model *model, const struct ul_req *req, uint32_t i)
{
	unsigned long long at = (uint64_t)req->sector * SECTOR + i, sector = at / SECTOR;
	const uint8_t *got = req->buf + i;
	unsigned off = 0;

	while (got[off] == model->data[at + off])
		off++;
	flockfile(stderr); /* for good: of several threads the first one tells */
	fprintf(stderr, "model: a read at sector %.0f, %u bytes, has wrong data at byte %llu\n",
		req->sector, req->length, at + off);
	fprintf(stderr, "  sector %llu begins, if written, with number, thread, sector:\n", sector);
	show_bytes("expected", model->data + at);
	show_bytes("got", got);
	if (sector)
		show_past(model, sector - 1);
	show_past(model, sector);
	show_past(model, sector + 1);
	abort();
}

void model_compare(const struct model *model, const struct ul_req *req)
{
	uint64_t start = (uint64_t)req->sector * SECTOR;

	for (uint32_t i = 0; i < req->length; i += SECTOR)
		if (model->known[(start + i) / SECTOR] &&
		    memcmp(req->buf + i, model->data + start + i, SECTOR) != 0)
			fail(model, req, i);
}

static void remember(struct model *model, const struct ul_req *req, uint32_t number, bool failed)
{
	uint64_t first = (uint64_t)req->sector;

	for (uint64_t sector = first; sector < first + req->length / SECTOR; sector++) {
		struct model_change *past = model->past[sector];

		memmove(past + 1, past, (MODEL_PAST - 1) * sizeof(*past));
		past[0] = (struct model_change){ .number = number,
						 .sector = (uint32_t)first,
						 .length = req->length,
						 .thread = req->queue,
						 .op = req->op,
						 .failed = failed };
	}
}

void model_note(struct model *model, const struct ul_req *req, uint32_t number, bool failed)
{
	uint64_t start = (uint64_t)req->sector * SECTOR;
	bool known = !failed && req->op != UL_OP_DISCARD;

	if (req->op == UL_OP_READ) {
		if (!failed)
			model_compare(model, req);
		return;
	}
	if (req->op == UL_OP_WRITE && known)
		memcpy(model->data + start, req->buf, req->length);
	if (req->op == UL_OP_WRITE_ZEROES && known)
		memset(model->data + start, 0, req->length);
	memset(model->known + start / SECTOR, known, req->length / SECTOR);
	remember(model, req, number, failed);
}
