/* SPDX-License-Identifier: MIT */
/*
 * A mixed workload that a seed repeats, and a model of what the data should
 * be: every read is held against what an honest disk would have said. Knows
 * neither transport nor script. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api.h"

struct workload;

struct workload_config {
	unsigned requests;
	unsigned depth; /* tags */
	uint64_t seed;
	uint64_t size; /* bytes of the device */
	uint32_t block;
	uint32_t max_io;
	bool read_only;
	uint32_t max_discard;	   /* bytes; 0: none are sent */
	uint32_t max_write_zeroes; /* likewise */
	bool flush;
	bool fua;
	bool zeroed; /* the device is all zeros at first; otherwise what it holds is not known */
};

/* Who has served a request, as far as it shows in what the data is afterwards. */
enum workload_server {
	WORKLOAD_SCRIPT,  /* the script alone: its word is taken */
	WORKLOAD_BACKING, /* a backing whose discard leaves zeros */
	WORKLOAD_FILE,	  /* a backing whose discard may leave anything */
	WORKLOAD_NOBODY,  /* the null backing: writes vanish, reads give anything */
};

enum { WORKLOAD_WRONG = 4 }; /* wrong sectors that are described */

struct workload_wrong {
	uint64_t sector;
	unsigned request;  /* the read that saw it, from 1 */
	char expected[80]; /* "what request 7 wrote" */
	char found[112];
};

struct workload_result {
	unsigned issued;
	uint64_t sectors_read; /* those that the model knew what to expect of */
	uint64_t wrong_data;   /* of these, those that were otherwise */
	struct workload_wrong wrong[WORKLOAD_WRONG];
	uint64_t wrong_results; /* answers that are neither success nor an errno */
	uint64_t digest;	/* over each request's number and result */
};

/* 0 or -ENOMEM. workload_close is safe on NULL. */
int workload_open(struct workload **workload, const struct workload_config *config);
void workload_close(struct workload *workload);

/* The next request, in tag req->tag; a write's data goes to `data`. False: there are no more. */
bool workload_next(struct workload *workload, struct ul_req *req, uint8_t *data);

/* The request in `tag` was answered; `data` is what a read gave. */
void workload_done(struct workload *workload, uint16_t tag, const uint8_t *data, int32_t result,
		   enum workload_server server);

/* The request in `tag` as it was issued. */
const struct ul_req *workload_issued(const struct workload *workload, uint16_t tag);

const struct workload_result *workload_result(const struct workload *workload);
