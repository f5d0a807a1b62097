/*
 * The one boundary between C and Lua. The C compiler includes this file and
 * ffi.cdef reads the same text, so no #include and no macro may stand here.
 * A struct ul_req belongs to its tag: C fills it, Lua writes `verdict`, C
 * reads that back on the same thread.
 */
#pragma once

/* Operations, numbered as the driver does (UBLK_IO_OP_* in linux/ublk_cmd.h). */
enum ul_op {
	UL_OP_READ = 0,
	UL_OP_WRITE = 1,
	UL_OP_FLUSH = 2,
	UL_OP_DISCARD = 3,
	UL_OP_WRITE_ZEROES = 5,
	UL_OP_ZONE_OPEN = 10,
	UL_OP_ZONE_CLOSE = 11,
	UL_OP_ZONE_FINISH = 12,
	UL_OP_ZONE_APPEND = 13,
	UL_OP_ZONE_RESET_ALL = 14,
	UL_OP_ZONE_RESET = 15,
	UL_OP_REPORT_ZONES = 18,
	UL_OP_COUNT = 19,
};

/* Bits of ul_req.flags, at the driver's positions (UBLK_IO_F_*). */
enum ul_flag {
	UL_FLAG_FAILFAST_DEV = 1 << 8,
	UL_FLAG_FAILFAST_TRANSPORT = 1 << 9,
	UL_FLAG_FAILFAST_DRIVER = 1 << 10,
	UL_FLAG_META = 1 << 11,
	UL_FLAG_FUA = 1 << 13,
	UL_FLAG_NOUNMAP = 1 << 15,
	UL_FLAG_SWAP = 1 << 16,
	UL_FLAG_INTEGRITY = 1 << 18, /* metadata comes, or is wanted, with the data */
};

/* ul_req.verdict: these, or a negative errno. */
enum ul_verdict {
	UL_DONE = 0,   /* served whole by the script */
	UL_PASS = 1,   /* goes on to the backing */
	UL_PARKED = 2, /* its handler waits; the answer comes in a later round */
};

/* Bits of ul_req.marks: what a handler did with a request beside its verdict. */
enum ul_mark {
	UL_MARK_HIT = 1,       /* it waited, or called req:hit() */
	UL_MARK_FORWARDED = 2, /* it called req:forward(); of a slot's io: that is what it is for */
};

struct ul_req {
	double sector;	 /* first sector, 512 B units; a double is exact to 2^53 */
	double time;	 /* seconds on the queue's clock when it came */
	uint8_t *buf;	 /* the request's data; NULL for an op that has none */
	double *placed;	 /* of a zone_append: its sector, once it has one; a report: its zones */
	uint32_t length; /* bytes; below 4 GiB, the block layer's own limit */
	uint32_t flags;	 /* enum ul_flag */
	int32_t verdict; /* out: enum ul_verdict or a negative errno */
	uint16_t tag;
	uint16_t queue;
	uint8_t op;    /* enum ul_op */
	uint8_t marks; /* enum ul_mark; Lua's own */
	uint8_t shown; /* core/dispatch.c's own: its metadata is in the tag's memory */
	uint8_t pad[5];
};

/*
 * What a handler gets: the request above, without what is not its business. The
 * fields lie as those do (core/script.c asserts it).
 */
struct ul_view {
	double sector, time;
	uint64_t _buf;
	const double *_placed;
	uint32_t length, flags;
	int32_t _verdict;
	uint16_t tag, queue;
	uint8_t op, _marks;
	uint8_t _pad[6];
};

/*
 * Something that may wait: the handler of tag N is slot N, tasks have the slots
 * from `depth` on. It waits for one thing at a time.
 */
struct ul_slot {
	struct ul_req
		io;	/* what it asks of the backing; Lua fills op, sector, length, buf, flags */
	uint32_t state; /* core/park.c's own */
	uint32_t pad;
};

/* One queue as its Lua state sees it; the memory is fixed once the queue is open. */
struct ul_queue {
	struct ul_req *reqs; /* one for each tag, `depth` of them */
	uint16_t *batch;   /* tags: from the transport those that came in, to Lua those to serve */
	uint8_t *buffers;  /* a tag's data at tag × stride */
	uint8_t *metadata; /* its metadata at tag × metadata_stride; NULL: the device has none */
	struct ul_slot *slots; /* `depth` + `tasks` of them */
	int32_t *results;      /* by slot: what the backing said last, 0 or a negative errno */
	int32_t *forwarded;    /* by tag: what the last req:forward() came to, likewise */
	void *park;	       /* core/park.c's own */
	uint32_t depth;
	uint32_t tasks;
	uint32_t queue;
	uint32_t max_io;  /* bytes, the largest request */
	uint32_t stride;  /* bytes from one tag's data to the next's */
	uint32_t parking; /* Lua → C: the slot of a coroutine that stops to wait */
	uint32_t rest; /* Lua → C, with that: there is more of the batch, for another coroutine */
	uint32_t stopping; /* C → Lua: the device is about to end, nobody will release anything */
	uint32_t stop;	   /* Lua → C: the script wants its device to end */
	uint32_t at;	   /* the slot that the script works for, or UL_NO_SLOT */
	uint32_t metadata_stride;
	uint32_t interval, metadata_size; /* bytes of data, and of metadata for so many */
};

enum { UL_NO_SLOT = -1 };

enum ul_limit {
	UL_NAME = 48, /* bytes of a name, its zero included */
	UL_LAYERS = 32,
	UL_RANGES = 16,	 /* of an op */
	UL_TASKS = 1024, /* of a queue, at one time */
	UL_COUNTERS = 128,
	UL_HISTOGRAMS = 32,
	UL_SHARED = 256,	  /* cells of ublk.shared */
	UL_MAX_DISCARD = 1 << 30, /* bytes; a longer result could overflow the driver's s32 */
	UL_BACKINGS = 32,	  /* of a device, one over another */
	UL_MAX_ZONES = 1 << 20,	  /* of a device, */
	UL_BROKEN_ZONES = 256,	  /* and of these */
	UL_BUCKETS = 976, /* of a histogram: 16 to 31 whole, then 16 for each power of two */
};

/* "Did my fault fire?": one for each layer, by name. Doubles count exactly to 2^53. */
struct ul_layer_stats {
	double seen; /* requests that reached it */
	double hit;  /* of these, those that it answered, held up or marked with req:hit() */
	char name[UL_NAME];
};

struct ul_counter {
	double value;
	char name[UL_NAME];
};

/* What the numbers of a histogram are, for who prints them. */
enum ul_unit { UL_UNIT_COUNT = 0, UL_UNIT_NS = 1, UL_UNIT_BYTES = 2 };

struct ul_histogram {
	double count, sum, min, max;
	uint64_t bucket[UL_BUCKETS];
	int32_t unit; /* enum ul_unit */
	char name[UL_NAME];
};

/* What the script of one queue counts; in memory that outlives the server. One writer. */
struct ul_script_stats {
	uint32_t layers, counters, histograms; /* how many of each are in use */
	struct ul_layer_stats layer[UL_LAYERS];
	struct ul_counter counter[UL_COUNTERS];
	struct ul_histogram histogram[UL_HISTOGRAMS];
};

enum ul_backing {
	UL_BACKING_NULL = 0,
	UL_BACKING_MEM = 1,
	UL_BACKING_FILE = 2,
	UL_BACKING_STRIPE = 3,
	UL_BACKING_MIRROR = 4,
	UL_BACKING_COW = 5,
	UL_BACKING_ZONED = 6,
};

/* A backing of a device. Those below it stand one after the other in ul_device.backing. */
struct ul_backing_spec {
	double size;		  /* bytes; 0: what its parent wants of it, or all that it has */
	uint32_t block;		  /* bytes: of a stripe's chunk, a cow's block, a zone */
	uint32_t child, children; /* the first of those below it, and how many */
	int32_t kind;		  /* enum ul_backing */
	uint8_t direct;		  /* UL_BACKING_FILE: past the host's page cache */
	uint8_t read_only;	  /* core/backend.c's own: nothing is written to it, */
	uint8_t create;		  /* and a file is made, or made longer, as is needed */
	char path[4096];	  /* UL_BACKING_FILE */
};

/* A zone that cannot be written, or not even read. */
struct ul_broken_zone {
	uint32_t index;
	uint32_t offline; /* 0: it is read-only */
};

/* What a device over ublk.zoned has of zones. Zero means "not said". */
struct ul_zones {
	uint32_t size; /* bytes; 0: the device has none */
	uint32_t capacity;
	uint32_t max_append;
	uint32_t conventional; /* how many, */
	uint32_t max_open, max_active;
	uint32_t broken; /* and of these */
	struct ul_broken_zone list[UL_BROKEN_ZONES];
};

/* How a request's data comes to the server and back; core/mode.c chooses. */
enum ul_mode {
	UL_MODE_AUTO = 0,
	UL_MODE_COPY = 1,
	UL_MODE_GET_DATA = 2,
	UL_MODE_USER_COPY = 3,
	UL_MODE_ZERO_COPY = 4,
	UL_MODE_AUTO_BUF = 5,
	UL_MODE_COUNT = 6,
};

/* What becomes of the requests of a server that died, and of those that come until there is another
 * one; core/recovery.c. NONE: the device goes.
 */
enum ul_recover {
	UL_RECOVER_NONE = 0,
	UL_RECOVER_FAIL = 1,	/* errors */
	UL_RECOVER_REQUEUE = 2, /* those that it had get errors, the others wait */
	UL_RECOVER_REISSUE = 3, /* all wait, and are given to the next one */
	UL_RECOVER_COUNT = 4,
};

/* What guards the data, numbered as the kernel does (LBMD_PI_CSUM_* in linux/fs.h). */
enum ul_csum { UL_CSUM_NONE = 0, UL_CSUM_IP = 1, UL_CSUM_CRC16 = 2, UL_CSUM_CRC64 = 4 };

/* The metadata that a device has beside its data. Zero: not said. */
struct ul_integrity {
	uint32_t wanted;	/* 0: it has none, and the rest says nothing */
	uint32_t interval;	/* bytes of data that each piece is for */
	uint32_t metadata_size; /* bytes of each piece */
	uint32_t pi_offset;	/* where in it the protection information begins */
	uint32_t tag_size;	/* bytes in it that are the client's */
	uint32_t max_segments;	/* of a request's metadata; 0: any number */
	int32_t csum;		/* enum ul_csum */
	uint32_t ref_tag;	/* enum ul_choice: does the place guard the data, too? */
};

/* A part of the device: sectors from `first` up to, not including, `limit`. */
struct ul_range {
	double first, limit;
};

/* What a script may leave to the program. */
enum ul_choice { UL_AUTO = 0, UL_NO = 1, UL_YES = 2 };

/*
 * The device that a script describes. Lua checks the kinds of its fields,
 * core/params.c their ranges. Zero means "not said" for every number.
 */
struct ul_device {
	double size;		      /* bytes */
	uint32_t logical_block_size;  /* bytes */
	uint32_t physical_block_size; /* bytes */
	uint32_t io_min;	      /* bytes */
	uint32_t io_opt;	      /* bytes */
	uint32_t max_io;	      /* bytes, the largest single read or write */
	uint32_t chunk;		      /* bytes; no request crosses a multiple of it; 0: none */
	uint32_t virt_boundary;	      /* bytes; 0: none */
	uint32_t dma_alignment;	      /* bytes; 0: the driver's own */
	uint32_t max_segments;	      /* 0: any number */
	uint32_t max_segment_size;    /* bytes; 0: any */
	uint32_t segment_boundary;    /* bytes; 0: none */
	uint32_t max_discard;	      /* bytes; 0: the disk has no discard */
	uint32_t max_write_zeroes;    /* likewise */
	uint32_t discard_granularity; /* bytes */
	uint32_t discard_alignment;   /* bytes */
	uint32_t queues;
	uint32_t threads; /* of each queue */
	uint32_t depth;
	uint32_t op_mask;		   /* bit N: op N goes to the script, */
	uint32_t range_count[UL_OP_COUNT]; /* where it touches one of these; none: everywhere */
	struct ul_range ranges[UL_OP_COUNT][UL_RANGES];
	uint32_t look_mask; /* bit N: of op N it wants to see the data, too */
	int32_t mode;	    /* enum ul_mode */
	int32_t recover;    /* enum ul_recover */
	double watchdog;    /* seconds that a script may take; below 0: for ever */
	struct ul_zones zones;
	struct ul_integrity integrity;
	uint32_t backings;			     /* how many there are */
	struct ul_backing_spec backing[UL_BACKINGS]; /* the first is the device's own */
	uint8_t read_only;
	uint8_t rotational;
	uint8_t volatile_cache;
	uint8_t fua;
	uint8_t partition_scan;
	uint8_t huge_pages;
	uint8_t batch; /* enum ul_choice: many tags in one command */
};

enum ul_log_level {
	UL_LOG_ERROR = 0,
	UL_LOG_WARN = 1,
	UL_LOG_INFO = 2,
	UL_LOG_DEBUG = 3,
};

/* State of one random stream (xoshiro256**, Blackman and Vigna 2018). */
struct ul_rng {
	uint64_t s[4];
};

/* Seconds since the device started; never goes back. The queue's thread. */
double ul_now(const struct ul_queue *queue);

/* Wake `slot` at `time` on that clock; a time that is past is the next round. Queue thread. */
void ul_park_until(struct ul_queue *queue, uint32_t slot, double time);

/* Have the backing serve the slot's `io`, then wake the slot. Queue thread. */
void ul_park_io(struct ul_queue *queue, uint32_t slot);

/* The same for the request of tag `slot` itself, which is marked as forwarded. Queue thread. */
void ul_park_forward(struct ul_queue *queue, uint32_t slot);

/* Wake `slot`; not from the backing, which ends by itself. Twice is once. Queue thread. */
void ul_park_wake(struct ul_queue *queue, uint32_t slot);

/* Clear the timer of `slot`. 0: it had none, or has been woken already; else 1. Queue thread. */
int32_t ul_park_cancel(struct ul_queue *queue, uint32_t slot);

/* One line to the program's log. Any thread. */
void ul_log(int level, const char *message);

/* The name of errno `number` ("EIO"), or NULL where there is none. Any thread. */
const char *ul_errno_name(int number);

/* Start `rng` from `seed`; streams of one seed are independent of each other. */
void ul_rng_seed(struct ul_rng *rng, uint64_t seed, uint32_t stream);

/* The next number of `rng`, in [0, 1), with 53 random bits. */
double ul_rng_next(struct ul_rng *rng);

/*
 * Count `n` (whole, from 1) times `value` in `h`. What is negative or no number counts as 0, what
 * is above 2^64 as 2^64. The histogram's one writer.
 */
void ul_histogram_add(struct ul_histogram *h, double value, double n);

/* A whole number within 2^53 that all queues of a device share. Atomic; any thread. */
struct ul_shared;

/* The cell of this name in the process; a new one begins with `initial`. NULL: no place is left. */
struct ul_shared *ul_shared_cell(const char *name, double initial);
double ul_shared_get(struct ul_shared *cell);
void ul_shared_set(struct ul_shared *cell, double value);

/* These return what is then in the cell. A sum beyond 2^53 is NaN, and the cell stays as it was. */
double ul_shared_add(struct ul_shared *cell, double n);
double ul_shared_max(struct ul_shared *cell, double value);
double ul_shared_min(struct ul_shared *cell, double value);

/* Set to `value` what is `expected`: 1, or 0 when it was something else. */
int32_t ul_shared_cas(struct ul_shared *cell, double expected, double value);
