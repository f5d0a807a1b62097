/* SPDX-License-Identifier: MIT */
/*
 * A zoned device over a backing that is none: backend_zoned.c opens it,
 * zoned_steps.c serves requests by the rules of zones.c, zoned_keep.c brings the
 * state of the zones to the second backing, if there is one.
 *
 * What is kept: a header of one page, and a zone_record for each zone. Of a
 * zone it tells only what was durable before: so whatever part of it a crash
 * leaves there is right.
 */
#pragma once

#include "backend.h"
#include "zones.h"

enum {
	ZONED_PAGE = 4096, /* what the records are padded to, and the header */
	ZONED_DATA = 0,	   /* of backend.child */
	ZONED_STATE = 1,
};

struct zoned {
	struct backend base;
	struct zones zones;
	bool durable; /* no cache to flush: what is answered must be kept */

	/* Of the one that keeps: the records as they go to the state. NULL: it is not kept. */
	struct zone_record *records;
	uint32_t records_size; /* bytes, whole pages */

	pthread_mutex_t lock; /* of what follows; held for no I/O */
	pthread_cond_t released;
	bool keeping;
	uint64_t kept;			  /* zones.changes that the state knows of */
	struct zoned_io *waiting, **last; /* to be the one that keeps, the longest first */
};

/* A request on its way: io.memory; what the backings below need follows. */
struct zoned_io {
	struct backend_io child; /* the first: its `end` gets it */
	struct ul_req req;	 /* of the child */
	struct zoned *zoned;
	const struct ul_req *whole;
	struct lane *lane;
	struct backend_io *io;		 /* NULL: its thread waits, for it is served */
	int (*step)(struct zoned_io *z); /* what comes next; NULL: nothing */
	struct zone_write write;
	uint32_t written;      /* bytes: of a read, that are not zeros */
	uint64_t needed;       /* zones.changes that must be kept before it ends, */
	uint64_t saved;	       /* and those that it keeps */
	bool writes;	       /* zones_end_write is owed */
	bool keeps;	       /* it is the one that does */
	struct zoned_io *next; /* in waiting */
};

static inline uint32_t zoned_records_size(uint64_t zones)
{
	uint64_t bytes = zones * sizeof(struct zone_record);

	return (uint32_t)((bytes + ZONED_PAGE - 1) / ZONED_PAGE * ZONED_PAGE);
}

/* -- zoned_keep.c ---------------------------------------------------------- */

/* A step: all changes of the zones up to z->needed are on the state when the request ends. */
int zoned_keep(struct zoned_io *z);

/* After a step that failed: another may keep. */
void zoned_let_go(struct zoned_io *z);

/* -- zoned_steps.c --------------------------------------------------------- */

/* Have a backing below do z->req, and go on with `then`: as a step. */
int zoned_ask(struct zoned_io *z, int which, int (*then)(struct zoned_io *z));

/* As backend_ops. */
int zoned_serve(struct backend *backend, struct lane *lane, const struct ul_req *req);
int zoned_start(struct backend *backend, struct lane *lane, const struct ul_req *req,
		struct backend_io *io);
