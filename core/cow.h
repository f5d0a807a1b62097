/* SPDX-License-Identifier: MIT */
/*
 * Copy on write: a base that is only read, and a store that has the blocks
 * which were written since. backend_cow.c opens the two, cow_map.c knows which
 * blocks the store has, cow_claim.c who is about to add one, and cow_steps.c
 * serves requests.
 *
 * The store: a header of one page, the map (a bit for each block: the store has
 * it), and from data_start on the blocks, each at its own place. Bits are set
 * and never cleared. A bit is on the store only when its block was durable
 * before: so whatever part of the map a crash leaves there is right.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "backend.h"

enum {
	COW_PAGE = 4096, /* of the map, and the header */
	COW_CLAIMS = 32, /* blocks, or runs of them, that are added at one time */
	COW_BASE = 0,	 /* of backend.child */
	COW_STORE = 1,
};

/* Blocks on their way into the store: whoever wants to write to one of them waits. */
struct cow_claim {
	uint64_t first, count; /* 0: free */
	uint8_t *block;	       /* of memory, to put old and new together */
};

struct cow {
	struct backend base;
	uint64_t size, blocks, data_start;
	uint32_t block; /* bytes */
	bool durable;	/* no cache to flush: what is answered must be on the store */

	/* Which blocks the store has. Any thread sets bits. */
	atomic_ullong *map;
	bool taken_over;     /* it is that of a server that died */
	atomic_uchar *dirty; /* by page: it has bits that `copy` lacks */
	uint64_t pages;
	atomic_ullong added; /* how often bits were set, */
	atomic_ullong kept;  /* and how many of these times the store's map knows */

	/* Of the one that flushes: the map as it goes to the store, and the pages to be written. */
	uint8_t *copy;
	bool *changed;

	pthread_mutex_t lock; /* of what follows; held for no I/O */
	pthread_cond_t released;
	struct cow_claim claims[COW_CLAIMS];
	uint8_t *blocks_of_claims;
	bool flushing;
	struct cow_io *waiting, **last; /* for a claim or the flush, the longest first */
};

/* A request on its way: io.memory; what the base and the store need follows. */
struct cow_io {
	struct backend_io child; /* the first: its `end` gets it */
	struct ul_req req;	 /* of the child */
	struct cow *cow;
	const struct ul_req *whole;
	struct backend_io *io;	       /* NULL: its thread waits, for it is served */
	int (*step)(struct cow_io *c); /* what comes next; NULL: nothing */
	uint32_t done, length;	       /* bytes of `whole`: before this part, and of it */
	uint64_t page;		       /* of the map, to be written next */
	uint64_t added;		       /* cow.added, when the map was copied */
	struct cow_claim *claim;
	bool flushes; /* it is the one that does */
	struct cow_io *next;
};

/* -- cow_map.c ------------------------------------------------------------- */

/* Memory for `blocks` bits, none set. 0 or -ENOMEM; cow_map_close is safe after both. */
int cow_map_open(struct cow *cow);
void cow_map_close(struct cow *cow);

/*
 * `copy` is the store's map. It is this one too, unless a server that died has left its own: that
 * knows of blocks which the store's does not, for nobody has flushed them yet.
 */
void cow_map_load(struct cow *cow);

static inline uint64_t cow_map_bytes(uint64_t blocks)
{
	const uint64_t bits = (uint64_t)COW_PAGE * 8; /* of a page */

	return (blocks + bits - 1) / bits * COW_PAGE;
}

static inline bool cow_map_has(const struct cow *cow, uint64_t block)
{
	return atomic_load_explicit(&cow->map[block / 64], memory_order_acquire) >> block % 64 & 1;
}

/* The store has `count` blocks more. */
void cow_map_add(struct cow *cow, uint64_t first, uint64_t count);

/* Does the store's map know of all of them? */
static inline bool cow_map_is_kept(const struct cow *cow)
{
	return atomic_load(&cow->added) == atomic_load(&cow->kept);
}

/* Bring `copy` up to date and mark what has changed in it. Returns cow.added. */
uint64_t cow_map_copy(struct cow *cow);

/* The next run of changed pages from *first on: how many; 0: there is none. */
uint64_t cow_map_changed(const struct cow *cow, uint64_t *first);

/* The store has them, as they were when `added` was cow.added. */
void cow_map_kept(struct cow *cow, uint64_t added);

/* -- cow_claim.c ----------------------------------------------------------- */

/*
 * COW_MINE: c->claim is for up to `count` blocks from `first` on, which the
 * store lacks. COW_THERE: it has got the first meanwhile. COW_WAIT: that one is
 * another's; to be tried again, at once when c is served, for then it has
 * waited, and else when it is stepped on.
 */
enum { COW_MINE = 0, COW_THERE, COW_WAIT };
int cow_claim_take(struct cow_io *c, uint64_t first, uint64_t count);
void cow_claim_release(struct cow_io *c);

/* To be the one that flushes: COW_MINE or COW_WAIT. */
int cow_claim_flush(struct cow_io *c);
void cow_claim_end_flush(struct cow_io *c);

/* -- cow_steps.c ----------------------------------------------------------- */

/* As backend_ops. */
int cow_serve(struct backend *backend, struct lane *lane, const struct ul_req *req);
int cow_start(struct backend *backend, struct lane *lane, const struct ul_req *req,
	      struct backend_io *io);
