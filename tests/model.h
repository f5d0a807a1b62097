/* SPDX-License-Identifier: MIT */
/*
 * What a disk should hold, by its sectors, and what was done to each of them
 * last. Several threads may share one when each has sectors of its own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api.h"

enum { MODEL_PAST = 4 };

/* A request that changed a sector: the how manieth of which thread. */
struct model_change {
	uint32_t number;
	uint32_t sector, length;
	uint16_t thread;
	uint8_t op;
	bool failed;
};

struct model {
	uint8_t *data;
	uint8_t *known;				 /* by sector; what was discarded is anything */
	struct model_change (*past)[MODEL_PAST]; /* by sector, the newest first */
	uint64_t size;
};

/* All is known, and as `data` says; NULL: zeros. */
void model_open(struct model *model, uint64_t size, const uint8_t *data);
void model_close(struct model *model);

/* Fill the data of a write: each sector says where it belongs and which request it is. */
void model_fill(const struct ul_req *req, uint32_t number, uint64_t seed);

/*
 * req->queue is its thread. It was answered, well or not: a read is compared, and the others are
 * what the disk holds now.
 */
void model_note(struct model *model, const struct ul_req *req, uint32_t number, bool failed);

/*
 * Fails the process when what was read is not as it should be, and says where, what was expected
 * and found, and what was done there.
 */
void model_compare(const struct model *model, const struct ul_req *req);
