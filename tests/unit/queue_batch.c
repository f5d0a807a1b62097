/* SPDX-License-Identifier: MIT */
/*
 * core/queue_batch.c against a driver made of this file, as in queue.c: the
 * ring is real, but what is submitted is taken out of it here, byte by byte,
 * and completions are put in. Tags go through the ring of buffers as the
 * kernel's io_uring/kbuf.c does it. Linked with --wrap, see WRAP_queue_batch.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "queue.h"
#include "uapi.h"

static const uint16_t LAST = 7; /* tag */

enum { DEPTH = 8, MAX_IO = 4096, QUEUE = 1, PREP = 0x25, COMMIT = 0x26, FETCH = 0x27 };
enum { MULTISHOT = 2, BUFFERS = 32 };

/* The last command of a kind. */
struct command {
	unsigned count; /* how many there were */
	uint64_t user_data;
	uint16_t q_id, flags, elems;
	uint8_t elem_bytes;
	uint8_t data[DEPTH * 24];
};

static struct {
	int char_fd, wake_fd;
	uint64_t flags; /* of the device */
	uint64_t wake_data;
	unsigned completions; /* room for them in the ring */
	const struct io_uring_buf_ring *buffers;
	uint16_t head; /* the buffer that is lent next */
	struct command prep, fetch, commit;
	int refuse_prep, refuse_fetch, refuse_buffers;
	int commit_result; /* what the next one says; 0: that all was taken */
	int busy;	   /* a submit that waits says this, and does nothing */
	struct io_uring_cqe due[2 * BUFFERS];
	unsigned due_count;
	unsigned wanted; /* completions, of the last wait */
	double timeout;	 /* s, of the last wait; 0: it had none */
	unsigned looks;	 /* at the clock */
} driver;

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
	driver.looks++;
	return __real_clock_gettime(clock, time);
}

int __wrap_io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg,
				      unsigned flags);
int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned wait);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
					    unsigned wait, struct __kernel_timespec *timeout,
					    sigset_t *mask);

int __wrap_io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg,
				      unsigned flags)
{
	assert_int_equal(reg->ring_entries, BUFFERS);
	assert_int_equal(reg->bgid, 0);
	assert_int_equal(reg->ring_addr % (uint64_t)sysconf(_SC_PAGESIZE), 0);
	assert_int_equal(flags, 0);
	driver.buffers = (const void *)(uintptr_t)reg->ring_addr;
	driver.completions = ring->cq.ring_entries;
	return driver.refuse_buffers;
}

static void complete(struct io_uring *ring, const struct io_uring_cqe *what)
{
	unsigned tail = *ring->cq.ktail;

	ring->cq.cqes[tail & *ring->cq.kring_mask] = *what;
	io_uring_smp_store_release(ring->cq.ktail, tail + 1);
}

/* What the kernel would read of the command, now, while it is submitted. */
static int note(struct command *cmd, const uint8_t *sqe)
{
	const void *elements;

	cmd->count++;
	memcpy(&cmd->user_data, sqe + 32, 8);
	memcpy(&cmd->q_id, sqe + 48, 2);
	memcpy(&cmd->flags, sqe + 50, 2);
	memcpy(&cmd->elems, sqe + 52, 2);
	cmd->elem_bytes = sqe[54];
	memcpy(&elements, sqe + 16, 8);
	assert_true(cmd->elems <= DEPTH);
	if (elements)
		memcpy(cmd->data, elements, cmd->elems * (size_t)cmd->elem_bytes);
	return cmd->elems * cmd->elem_bytes;
}

static void take(struct io_uring *ring, const uint8_t *sqe)
{
	struct io_uring_cqe cqe = { 0 };
	uint32_t op, rw_flags;

	memcpy(&op, sqe + 8, 4);
	memcpy(&rw_flags, sqe + 28, 4);
	memcpy(&cqe.user_data, sqe + 32, 8);
	if (sqe[0] == IORING_OP_POLL_ADD) {
		driver.wake_data = cqe.user_data;
		return;
	}
	assert_int_equal(sqe[0], 46);
	assert_int_equal(op & ~0xffU, 0xc0107500);
	switch (op & 0xff) {
	case PREP:
		assert_int_equal(driver.fetch.count, 0); /* the queue is not ready before */
		note(&driver.prep, sqe);
		cqe.res = driver.refuse_prep;
		break;
	case COMMIT:
		cqe.res = note(&driver.commit, sqe);
		if (driver.commit_result)
			cqe.res = driver.commit_result;
		driver.commit_result = 0;
		break;
	default:
		assert_int_equal(op & 0xff, FETCH);
		assert_int_equal(sqe[1], IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT);
		assert_int_equal(rw_flags, MULTISHOT);
		assert_int_equal(sqe[40] | sqe[41], 0); /* buf_group */
		note(&driver.fetch, sqe);
		cqe.res = driver.refuse_fetch;
		if (!cqe.res)
			return;
	}
	complete(ring, &cqe);
}

static int submit(struct io_uring *ring, bool wait)
{
	int taken = 0;

	if (wait && driver.busy)
		return driver.busy;
	for (; ring->sq.sqe_head != ring->sq.sqe_tail; taken++)
		take(ring,
		     (const uint8_t *)&ring->sq.sqes[ring->sq.sqe_head++ & *ring->sq.kring_mask]);
	io_uring_smp_store_release(ring->sq.khead, ring->sq.sqe_tail);
	*ring->sq.ktail = ring->sq.sqe_tail;
	for (unsigned i = 0; wait && i < driver.due_count; i++)
		complete(ring, &driver.due[i]);
	driver.due_count = wait ? 0 : driver.due_count;
	return taken;
}

int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned wait)
{
	driver.wanted = wait;
	driver.timeout = 0;
	return submit(ring, true);
}

int __wrap_io_uring_submit_and_get_events(struct io_uring *ring)
{
	return submit(ring, false);
}

int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
					    unsigned wait, struct __kernel_timespec *timeout,
					    sigset_t *mask)
{
	driver.wanted = wait;
	driver.timeout = (double)timeout->tv_sec + (double)timeout->tv_nsec / 1e9;
	return submit(ring, true);
}

static struct io_uring_cqe *due(uint64_t user_data, int res, unsigned flags)
{
	struct io_uring_cqe *cqe = &driver.due[driver.due_count++];

	assert_true(driver.due_count <= ARRAY_SIZE(driver.due));
	*cqe = (struct io_uring_cqe){ .user_data = user_data, .res = res, .flags = flags };
	return cqe;
}

/* FETCH ends with this. */
static void end_fetch(int res)
{
	due(driver.fetch.user_data, res, 0);
}

/* The buffer that the kernel takes from the ring, which must have one. */
static const struct io_uring_buf *lent(void)
{
	assert_true(driver.head != driver.buffers->tail);
	return (const struct io_uring_buf *)driver.buffers + driver.head++ % BUFFERS;
}

/* Requests of these tags come with one completion, with the next wait. */
static void issue(const uint16_t *tags, unsigned count)
{
	const struct io_uring_buf *buffer = lent();

	assert_int_equal(buffer->len, 256);
	memcpy((void *)(uintptr_t)buffer->addr, tags, count * sizeof(*tags));
	due(driver.fetch.user_data, (int)(count * sizeof(*tags)),
	    IORING_CQE_F_MORE | IORING_CQE_F_BUFFER | (unsigned)buffer->bid << 16);
}

#define ISSUE(...)                                                                                 \
	issue((const uint16_t[]){ __VA_ARGS__ },                                                   \
	      sizeof((const uint16_t[]){ __VA_ARGS__ }) / sizeof(uint16_t))

static size_t queue_offset(void)
{
	return QUEUE * 98304; /* the driver's greatest depth × 24, pages of 4 KiB */
}

static int open_queue(struct transport **t)
{
	return queue_open(t, &(struct queue_config){ .char_fd = driver.char_fd,
						     .queue = QUEUE,
						     .split = { .queue = QUEUE, .step = 1 },
						     .depth = DEPTH,
						     .max_io = MAX_IO,
						     .flags = driver.flags,
						     .wake_fd = driver.wake_fd });
}

static int driver_open(void **state)
{
	memset(&driver, 0, sizeof(driver));
	driver.wake_fd = -1;
	driver.flags = UBLK_F_BATCH_IO;
	driver.char_fd = open(temp_file("ublkc", ""), O_RDWR | O_CLOEXEC);
	assert_true(driver.char_fd >= 0);
	assert_int_equal(ftruncate(driver.char_fd, (off_t)queue_offset() * 2), 0);
	return 0;
}

static int driver_close(void **state)
{
	return close(driver.char_fd);
}

static struct transport *opened(void)
{
	struct transport *t;

	assert_int_equal(open_queue(&t), 0);
	assert_int_equal(t->ops->reap(t, 0), 0);
	return t;
}

/* Element `i` of a command is `tag` with this answer, and where it has an address, its buffer's. */
static void check_element(const struct command *cmd, unsigned i, uint16_t tag, int32_t result,
			  const struct transport *t)
{
	const uint8_t *at = cmd->data + i * (size_t)cmd->elem_bytes;

	assert_memory_equal(at, &tag, 2);
	assert_memory_equal(at + 2, &tag, 2); /* index of its registered buffer */
	assert_memory_equal(at + 4, &result, 4);
	if (cmd->elem_bytes == 16) {
		uint64_t addr = (uint64_t)(uintptr_t)t->shared.buffers + tag * MAX_IO;

		assert_memory_equal(at + 8, &addr, 8);
	}
}

static void reap_tags(struct transport *t, unsigned count, const uint16_t *tags)
{
	assert_int_equal(t->ops->reap(t, UINT64_MAX), count);
	assert_memory_equal(t->shared.batch, tags, count * sizeof(*tags));
}

#define REAP(t, ...)                                                                               \
	reap_tags(t, sizeof((const uint16_t[]){ __VA_ARGS__ }) / sizeof(uint16_t),                 \
		  (const uint16_t[]){ __VA_ARGS__ })

static void all_tags_are_given_at_once_and_then_fetched(void **state)
{
	struct transport *t = opened();

	assert_int_equal(driver.prep.count, 1);
	assert_int_equal(driver.prep.q_id, QUEUE);
	assert_int_equal(driver.prep.flags, 2); /* with addresses */
	assert_int_equal(driver.prep.elems, DEPTH);
	assert_int_equal(driver.prep.elem_bytes, 16);
	for (uint16_t tag = 0; tag <= LAST; tag++)
		check_element(&driver.prep, tag, tag, 0, t);
	assert_int_equal(driver.fetch.count, 1);
	assert_int_equal(driver.fetch.q_id, QUEUE);
	assert_int_equal(driver.fetch.flags, 0);
	assert_int_equal(driver.fetch.elem_bytes, 2);
	assert_int_equal(driver.commit.count, 0);
	assert_true(driver.completions >= 2 * (DEPTH + 1) + 2 * DEPTH);
	t->ops->close(t);
}

static void a_refusal_fails_the_open(void **state)
{
	int *const refusals[] = { &driver.refuse_prep, &driver.refuse_fetch,
				  &driver.refuse_buffers };

	for (unsigned i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct transport *t = NULL;
		const char *log;
		int ret;

		driver.fetch.count = 0;
		*refusals[i] = -EBUSY;
		log_begin();
		ret = open_queue(&t);
		log = log_end();
		assert_int_equal(ret, -EBUSY);
		assert_has(log, "queue 1: cannot set up: Device or resource busy");
		assert_one_line(log);
		*refusals[i] = 0;
	}
}

static void data_that_is_not_copied_has_no_address(void **state)
{
	static const struct {
		uint64_t device;
		uint16_t elements;
	} modes[] = {
		{ UBLK_F_USER_COPY, 0 },
		{ UBLK_F_SUPPORT_ZERO_COPY, 0 },
		{ UBLK_F_SUPPORT_ZERO_COPY | UBLK_F_AUTO_BUF_REG, 4 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		struct transport *t;

		driver.flags = UBLK_F_BATCH_IO | modes[i].device;
		driver.fetch.count = driver.head = 0;
		t = opened();
		assert_int_equal(driver.prep.elem_bytes, 8);
		assert_int_equal(driver.prep.flags, modes[i].elements);
		ISSUE(3, 1);
		REAP(t, 3, 1);
		t->ops->answer(t, 1, -EIO);
		t->ops->answer(t, 3, 4096);
		assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
		assert_int_equal(driver.commit.elem_bytes, 8);
		assert_int_equal(driver.commit.flags, modes[i].elements);
		check_element(&driver.commit, 0, 1, -EIO, t);
		check_element(&driver.commit, 1, 3, 4096, t);
		t->ops->close(t);
	}
}

static void the_answer_to_an_append_has_its_place(void **state)
{
	const uint32_t desc[] = { UL_OP_ZONE_APPEND, 8, 1024, 0 };
	double place = 4096;
	struct transport *t;
	uint64_t lba;

	driver.flags = UBLK_F_BATCH_IO | UBLK_F_USER_COPY | UBLK_F_ZONED | UBLK_F_AUTO_BUF_REG |
		       UBLK_F_SUPPORT_ZERO_COPY;
	t = opened();
	assert_int_equal(driver.prep.elem_bytes, 16);
	assert_int_equal(driver.prep.flags, 1 | 4);
	assert_int_equal(
		pwrite(driver.char_fd, desc, sizeof(desc), (off_t)(queue_offset() + 1 * 24)), 16);
	ISSUE(3, 1);
	REAP(t, 3, 1);
	t->shared.reqs[1].placed = &place;
	t->ops->answer(t, 3, -EIO);
	t->ops->answer(t, 1, 4096);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	assert_int_equal(driver.commit.flags, 1 | 4);
	memcpy(&lba, driver.commit.data + 8, 8);
	assert_int_equal(lba, 0);
	memcpy(&lba, driver.commit.data + 24, 8);
	assert_int_equal(lba, 4096);
	t->ops->close(t);
}

static void tags_of_a_completion_become_requests(void **state)
{
	const uint32_t desc[] = { UL_OP_WRITE, 8, 16, 0 };
	struct transport *t = opened();

	assert_int_equal(
		pwrite(driver.char_fd, desc, sizeof(desc), (off_t)(queue_offset() + 7 * 24)), 16);
	ISSUE(2, 7, 0);
	ISSUE(5);
	REAP(t, 2, 7, 0, 5);
	assert_int_equal(t->shared.reqs[7].op, UL_OP_WRITE);
	assert_int_equal(t->shared.reqs[7].length, 4096);
	assert_true(t->shared.reqs[7].sector == 16);
	assert_ptr_equal(t->shared.reqs[7].buf, t->shared.buffers + 7 * MAX_IO);
	t->ops->close(t);
}

static void the_answers_of_a_round_go_in_one_command(void **state)
{
	struct transport *t = opened();

	ISSUE(4, 2, 6);
	REAP(t, 4, 2, 6);
	assert_int_equal(driver.wanted, 1);
	assert_true(driver.timeout == 0);
	t->ops->answer(t, 6, -ENOSPC);
	t->ops->answer(t, 4, 4096);
	assert_int_equal(driver.commit.count, 0); /* no system call for each */
	ISSUE(1);
	REAP(t, 1);
	assert_int_equal(driver.commit.count, 1);
	assert_int_equal(driver.commit.q_id, QUEUE);
	assert_int_equal(driver.commit.flags, 2);
	assert_int_equal(driver.commit.elems, 2);
	check_element(&driver.commit, 0, 6, -ENOSPC, t);
	check_element(&driver.commit, 1, 4, 4096, t);
	/* That it was taken is no reason to wake, but it is not waited for without end. */
	assert_int_equal(driver.wanted, 2);
	assert_true(driver.timeout > 0 && driver.timeout <= 0.02);
	ISSUE(6);
	REAP(t, 6);
	assert_int_equal(driver.commit.count, 1);
	assert_int_equal(driver.wanted, 1);
	assert_true(driver.timeout == 0);
	t->ops->close(t);
}

/* A look at the clock is half of what a small round costs. */
static void the_clock_is_read_for_a_deadline_alone(void **state)
{
	static const struct {
		double deadline, timeout; /* s */
		unsigned looks;
	} cases[] = { { 0, 0.02, 0 }, { 10, 0.02, 1 }, { 0.01, 0.01, 1 } };
	struct transport *t = opened();

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t deadline = UINT64_MAX;

		ISSUE(1);
		REAP(t, 1);
		t->ops->answer(t, 1, 4096);
		if (cases[i].deadline > 0)
			deadline = t->ops->now(t) + (uint64_t)(cases[i].deadline * 1e9);
		driver.looks = 0;
		assert_int_equal(t->ops->reap(t, deadline), 0);
		assert_int_equal(driver.looks, cases[i].looks);
		assert_true(driver.timeout > 0 && driver.timeout <= cases[i].timeout);
		assert_true(cases[i].looks || driver.timeout == cases[i].timeout);
	}
	t->ops->close(t);
}

static void a_second_answer_is_not_sent(void **state)
{
	struct transport *t = opened();

	ISSUE(1);
	REAP(t, 1);
	t->ops->answer(t, 1, 0);
	log_begin();
	t->ops->answer(t, 1, 0);
	assert_has(log_end(), "tag 1 answered twice");
	assert_int_equal(t->ops->reap(t, 0), 0);
	assert_int_equal(driver.commit.elems, 1);
	t->ops->close(t);
}

static void what_was_not_taken_goes_with_the_next_answers(void **state)
{
	struct transport *t = opened();

	ISSUE(0, 1, 2, 3);
	REAP(t, 0, 1, 2, 3);
	t->ops->answer(t, 3, 3);
	t->ops->answer(t, 1, 1);
	t->ops->answer(t, 2, 2);
	driver.commit_result = 16;
	ISSUE(3); /* which was taken; 1 and 2 were not */
	REAP(t, 3);
	t->ops->answer(t, 0, 0);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	assert_int_equal(driver.commit.count, 2);
	assert_int_equal(driver.commit.elems, 3);
	check_element(&driver.commit, 0, 1, 1, t);
	check_element(&driver.commit, 1, 2, 2, t);
	check_element(&driver.commit, 2, 0, 0, t);
	ISSUE(0, 1, 2);
	REAP(t, 0, 1, 2);
	assert_int_equal(driver.commit.count, 2);
	t->ops->close(t);
}

/* Its elements must stay where they are, and others may be answered meanwhile. */
static void a_commit_that_could_not_be_submitted_goes_in_later(void **state)
{
	struct transport *t = opened();

	ISSUE(0, 1);
	REAP(t, 0, 1);
	t->ops->answer(t, 0, 10);
	driver.busy = -EBUSY;
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	t->ops->answer(t, 1, 11);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	driver.busy = 0;
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	assert_int_equal(driver.commit.count, 1);
	assert_int_equal(driver.commit.elems, 1);
	check_element(&driver.commit, 0, 0, 10, t);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	assert_int_equal(driver.commit.count, 2);
	assert_int_equal(driver.commit.elems, 1);
	check_element(&driver.commit, 0, 1, 11, t);
	t->ops->close(t);
}

/* As often as there are tags, so that nothing else has gone well in between. */
static void memory_may_lack_for_a_moment(void **state)
{
	struct transport *t = opened();

	for (uint16_t tag = 0; tag <= LAST; tag++) {
		ISSUE(tag);
		end_fetch(-ENOMEM);
		REAP(t, tag);
	}
	for (uint16_t tag = 0; tag <= LAST; tag++) {
		t->ops->answer(t, tag, 0);
		driver.commit_result = -ENOMEM;
		assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
		assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
		assert_int_equal(driver.commit.count, 2 * (tag + 1));
		check_element(&driver.commit, 0, tag, 0, t);
	}
	assert_int_equal(driver.fetch.count, 1 + DEPTH);
	t->ops->close(t);
}

static void refused_for_good(const char *what, int errors, int res, void (*once)(int res))
{
	struct transport *t = opened();
	const char *log;
	int reaps = 0;

	ISSUE(0);
	REAP(t, 0);
	t->ops->answer(t, 0, 0);
	log_begin();
	do
		once(res);
	while (t->ops->reap(t, UINT64_MAX) == 0 && ++reaps < 100);
	log = log_end();
	assert_int_equal(reaps, errors);
	assert_has(log, what);
	assert_one_line(log);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), -EIO);
	t->ops->close(t);
	driver.due_count = driver.fetch.count = driver.head = 0;
}

static void refuse_commit(int res)
{
	driver.commit_result = res;
}

static void what_the_driver_refuses_for_good_breaks_the_queue(void **state)
{
	refused_for_good("queue 1: the driver refuses answers: Device or resource busy", 1, -EBUSY,
			 refuse_commit);
	refused_for_good("queue 1: the driver refuses answers: Cannot allocate memory", 8, -ENOMEM,
			 refuse_commit);
	refused_for_good("queue 1: the driver refuses to give requests: Invalid argument", 1,
			 -EINVAL, end_fetch);
	/* The first of them comes with a commit that was taken. */
	refused_for_good("queue 1: the driver refuses to give requests: No buffer", 8, -ENOBUFS,
			 end_fetch);
}

static void a_fetch_that_ends_is_sent_again(void **state)
{
	static const int ends[] = { -ENOBUFS, -ENOMEM, 0 };
	struct transport *t = opened();

	for (unsigned i = 0; i < 30; i++) {
		ISSUE(3);
		end_fetch(ends[i % ARRAY_SIZE(ends)]);
		REAP(t, 3);
		assert_int_equal(driver.fetch.count, 1 + i);
		t->ops->answer(t, 3, 0);
		assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
		assert_int_equal(driver.fetch.count, 2 + i);
	}
	t->ops->close(t);
}

/* Every buffer is lent out, and all are there again in the next round. */
static void buffers_come_back(void **state)
{
	struct transport *t = opened();

	for (unsigned round = 0; round < 50; round++) {
		for (uint16_t tag = 0; tag <= LAST; tag++)
			ISSUE(tag);
		REAP(t, 0, 1, 2, 3, 4, 5, 6, 7);
		for (uint16_t tag = 0; tag <= LAST; tag++)
			t->ops->answer(t, tag, 0);
		assert_int_equal(t->ops->reap(t, 0), 0);
		assert_int_equal((uint16_t)(driver.buffers->tail - driver.head), BUFFERS);
	}
	t->ops->close(t);
}

/* Without room for its completion the kernel forgets a buffer that it has taken. */
static void a_buffer_that_was_forgotten_comes_back(void **state)
{
	struct transport *t = opened();

	for (unsigned round = 0; round < 100; round++) {
		(void)lent();
		end_fetch(-ENOBUFS);
		assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
		ISSUE(5);
		REAP(t, 5);
		t->ops->answer(t, 5, 0);
		assert_int_equal(t->ops->reap(t, 0), 0);
		assert_int_equal((uint16_t)(driver.buffers->tail - driver.head), BUFFERS);
	}
	t->ops->close(t);
}

static void a_tag_that_the_driver_does_not_have_breaks_the_queue(void **state)
{
	static const uint16_t wrong[] = { DEPTH, 1 };

	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct transport *t = opened();
		const char *log;
		int ret;

		ISSUE(1);
		REAP(t, 1);
		ISSUE(0, wrong[i], 2);
		log_begin();
		ret = t->ops->reap(t, UINT64_MAX);
		log = log_end();
		assert_int_equal(ret, 1);
		assert_has(log, "which it does not have");
		assert_one_line(log);
		assert_int_equal(t->ops->reap(t, UINT64_MAX), -EIO);
		t->ops->close(t);
		driver.fetch.count = driver.head = 0;
	}
}

static void the_queue_ends_when_the_last_answer_is_taken(void **state)
{
	struct transport *t = opened();

	ISSUE(1, 2, 3);
	REAP(t, 1, 2, 3);
	t->ops->answer(t, 3, 0);
	end_fetch(-ENODEV);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0); /* two are still owed */
	assert_int_equal(driver.fetch.count, 1);
	t->ops->answer(t, 1, 0);
	t->ops->answer(t, 2, 0);
	driver.commit_result = 16; /* the first alone */
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	assert_int_equal(driver.wanted, 1); /* nothing else can come */
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	assert_int_equal(driver.commit.count, 3);
	assert_int_equal(driver.commit.elems, 1);
	check_element(&driver.commit, 0, 2, 0, t);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), -ENODEV);
	t->ops->close(t);
}

static void a_queue_without_requests_ends_at_once(void **state)
{
	struct transport *t;

	driver.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t = opened();
	assert_int_equal(eventfd_write(driver.wake_fd, 1), 0);
	due(driver.wake_data, POLLIN, IORING_CQE_F_MORE);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	end_fetch(-ENODEV);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), -ENODEV);
	t->ops->close(t);
	close(driver.wake_fd);
}

#define batch_test(name) cmocka_unit_test_setup_teardown(name, driver_open, driver_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		batch_test(all_tags_are_given_at_once_and_then_fetched),
		batch_test(a_refusal_fails_the_open),
		batch_test(data_that_is_not_copied_has_no_address),
		batch_test(the_answer_to_an_append_has_its_place),
		batch_test(tags_of_a_completion_become_requests),
		batch_test(the_answers_of_a_round_go_in_one_command),
		batch_test(the_clock_is_read_for_a_deadline_alone),
		batch_test(a_second_answer_is_not_sent),
		batch_test(what_was_not_taken_goes_with_the_next_answers),
		batch_test(a_commit_that_could_not_be_submitted_goes_in_later),
		batch_test(memory_may_lack_for_a_moment),
		batch_test(what_the_driver_refuses_for_good_breaks_the_queue),
		batch_test(a_fetch_that_ends_is_sent_again),
		batch_test(buffers_come_back),
		batch_test(a_buffer_that_was_forgotten_comes_back),
		batch_test(a_tag_that_the_driver_does_not_have_breaks_the_queue),
		batch_test(the_queue_ends_when_the_last_answer_is_taken),
		batch_test(a_queue_without_requests_ends_at_once),
	};
	struct io_uring ring;

	if (io_uring_queue_init(1, &ring, 0) < 0) {
		puts("1..0 # SKIP no io_uring is to be had here");
		return 0;
	}
	io_uring_queue_exit(&ring);
	return cmocka_run_group_tests_name("queue_batch", tests, NULL, NULL);
}
