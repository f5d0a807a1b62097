/* SPDX-License-Identifier: MIT */
/*
 * core/queue.c against a driver made of this file: the ring is real, but what
 * the program submits is taken out of it here, byte by byte as the kernel's
 * structures lie, and completions are put in. The descriptors are a temporary
 * file. Linked with --wrap, see WRAP_queue in tests.mk.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lane.h"
#include "queue.h"
#include "uapi.h"

enum {
	DEPTH = 4,
	MAX_IO = 8192,
	QUEUE = 2,
	DESC = 24,
	FETCH = 0x7520,
	COMMIT = 0x7521,
	REGISTER = 0x7523,
	UNREGISTER = 0x7524
};

/* A command as the driver would read it out of an SQE. */
struct command {
	uint8_t opcode;
	uint32_t cmd_op;
	uint64_t user_data;
	uint16_t q_id;
	uint16_t tag;
	int32_t result;
	uint64_t addr;
	uint64_t sqe_addr; /* beside the command */
};

static struct {
	int char_fd;
	int wake_fd; /* -1: none */
	uint64_t epoch;
	uint64_t flags;		  /* of the device */
	unsigned number;	  /* of the queue, to the script, and */
	struct split split;	  /* what it is to the driver */
	uint64_t tag_data[DEPTH]; /* user_data of each tag's last command */
	uint64_t lane_data;	  /* user_data of the last operation of a backend */
	uint64_t wake_data;	  /* user_data of the poll of it, */
	unsigned watches;	  /* which was asked for so often */
	off_t map_offset;
	size_t map_length;
	int map_prot;
	struct command seen[64]; /* since driver_open */
	unsigned seen_count;
	struct io_uring_cqe due[DEPTH]; /* to complete with the next submit that waits */
	unsigned due_count;
	double timeout;	    /* s; of the last wait that had one */
	unsigned polls;	    /* looks for completions without a wait */
	int refuse;	    /* every fetch completes with this at once */
	int busy;	    /* a submit that waits says this, and does nothing */
	bool no_memory;	    /* for buffers */
	bool huge_pages;    /* are wanted, */
	bool no_huge_pages; /* but there are none */
	size_t huge_length; /* of what was asked for */
} driver;

void *__real_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned wait);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
					    unsigned wait, struct __kernel_timespec *timeout,
					    sigset_t *mask);

void *__wrap_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	if (fd < 0 && driver.no_memory) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	if (flags & MAP_HUGETLB) {
		driver.huge_length = length;
		if (driver.no_huge_pages) {
			errno = ENOMEM;
			return MAP_FAILED;
		}
		assert_int_equal((unsigned)flags >> 26, 21); /* MAP_HUGE_2MB */
		flags &= (1 << 26) - 1 - MAP_HUGETLB;
	}
	if (fd >= 0 && fd == driver.char_fd) {
		driver.map_offset = offset;
		driver.map_length = length;
		driver.map_prot = prot;
	}
	return __real_mmap(addr, length, prot, flags, fd, offset);
}

static void complete(struct io_uring *ring, uint64_t user_data, int res, unsigned flags)
{
	unsigned tail = *ring->cq.ktail;
	struct io_uring_cqe *cqe = &ring->cq.cqes[tail & *ring->cq.kring_mask];

	*cqe = (struct io_uring_cqe){ .user_data = user_data, .res = res, .flags = flags };
	io_uring_smp_store_release(ring->cq.ktail, tail + 1);
}

static void take(const uint8_t *sqe)
{
	struct command *cmd = &driver.seen[driver.seen_count];

	if (sqe[0] == IORING_OP_FSYNC) {
		memcpy(&driver.lane_data, sqe + 32, 8);
		assert_int_equal(*(const int *)(sqe + 4), LANE_FIRST_FILE);
		return;
	}
	if (sqe[0] == IORING_OP_POLL_ADD) {
		memcpy(&driver.wake_data, sqe + 32, 8);
		assert_int_equal(*(const int *)(sqe + 4), driver.wake_fd);
		assert_int_equal(sqe[24], IORING_POLL_ADD_MULTI);
		driver.watches++;
		return;
	}
	driver.seen_count++;
	assert_true(driver.seen_count <= ARRAY_SIZE(driver.seen));
	cmd->opcode = sqe[0];
	memcpy(&cmd->cmd_op, sqe + 8, 4);
	memcpy(&cmd->user_data, sqe + 32, 8);
	memcpy(&cmd->q_id, sqe + 48, 2);
	memcpy(&cmd->tag, sqe + 50, 2);
	assert_true(cmd->tag < DEPTH);
	if (cmd->cmd_op < (0xc0100000 | REGISTER))
		driver.tag_data[cmd->tag] = cmd->user_data;
	else
		assert_int_equal(sqe[1], IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS);
	memcpy(&cmd->result, sqe + 52, 4);
	memcpy(&cmd->addr, sqe + 56, 8);
	memcpy(&cmd->sqe_addr, sqe + 16, 8);
}

static int submit(struct io_uring *ring)
{
	unsigned taken = 0;

	while (ring->sq.sqe_head != ring->sq.sqe_tail) {
		unsigned at = ring->sq.sqe_head++ & *ring->sq.kring_mask;

		take((const uint8_t *)&ring->sq.sqes[at]);
		if (driver.refuse)
			complete(ring, driver.seen[driver.seen_count - 1].user_data, driver.refuse,
				 0);
		taken++;
	}
	io_uring_smp_store_release(ring->sq.khead, ring->sq.sqe_tail);
	*ring->sq.ktail = ring->sq.sqe_tail;
	return (int)taken;
}

static void complete_due(struct io_uring *ring)
{
	for (unsigned i = 0; i < driver.due_count; i++)
		complete(ring, driver.due[i].user_data, driver.due[i].res, driver.due[i].flags);
	driver.due_count = 0;
}

int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned wait)
{
	int taken;

	if (driver.busy)
		return driver.busy;
	taken = submit(ring);
	if (wait)
		complete_due(ring);
	return taken;
}

int __wrap_io_uring_submit_and_get_events(struct io_uring *ring)
{
	int taken = submit(ring);

	driver.polls++;
	complete_due(ring);
	return taken;
}

/* Does not sleep: with nothing due the time is over at once. */
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
					    unsigned wait, struct __kernel_timespec *timeout,
					    sigset_t *mask)
{
	int taken = submit(ring);

	driver.timeout = (double)timeout->tv_sec + (double)timeout->tv_nsec / 1e9;
	if (!driver.due_count)
		return -ETIME;
	complete_due(ring);
	return taken;
}

static size_t queue_offset(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return QUEUE * ((4096 * DESC + page - 1) / page * page);
}

/* The driver writes a request into the descriptor of `tag`; it comes with the next wait. */
static void issue(uint16_t tag, uint32_t op_flags, uint64_t sector, uint32_t sectors)
{
	uint8_t desc[DESC] = { 0 };

	memcpy(desc, &op_flags, 4);
	memcpy(desc + 4, &sectors, 4);
	memcpy(desc + 8, &sector, 8);
	assert_int_equal(pwrite(driver.char_fd, desc, DESC, (off_t)(queue_offset() + tag * DESC)),
			 DESC);
	driver.due[driver.due_count++] = (struct io_uring_cqe){ .user_data = driver.tag_data[tag] };
}

static void abort_tag(uint16_t tag, int res)
{
	driver.due[driver.due_count++] =
		(struct io_uring_cqe){ .user_data = driver.tag_data[tag], .res = res };
}

static int open_queue(struct transport **t)
{
	return queue_open(t, &(struct queue_config){ .char_fd = driver.char_fd,
						     .queue = driver.number,
						     .split = driver.split,
						     .depth = DEPTH,
						     .max_io = MAX_IO,
						     .huge_pages = driver.huge_pages,
						     .wake_fd = driver.wake_fd,
						     .epoch = driver.epoch,
						     .flags = driver.flags });
}

static int driver_open(void **state)
{
	memset(&driver, 0, sizeof(driver));
	driver.wake_fd = -1;
	driver.number = QUEUE;
	driver.split = split_of(QUEUE, 1);
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
	return t;
}

static void descriptors_are_mapped_at_the_queues_own_offset(void **state)
{
	struct transport *t = opened();

	/* By the driver's greatest depth, not by the device's. */
	assert_int_equal(driver.map_offset, queue_offset());
	if (sysconf(_SC_PAGESIZE) == 4096)
		assert_int_equal(driver.map_offset, 2 * 98304);
	assert_in_range(driver.map_length, DEPTH * DESC, sysconf(_SC_PAGESIZE));
	assert_int_equal(driver.map_prot, PROT_READ);
	t->ops->close(t);
}

static void every_tag_is_fetched_when_the_queue_opens(void **state)
{
	struct transport *t = opened();

	assert_int_equal(driver.seen_count, DEPTH);
	for (unsigned tag = 0; tag < DEPTH; tag++) {
		const struct command *cmd = &driver.seen[tag];

		assert_int_equal(cmd->opcode, 46);
		assert_int_equal(cmd->cmd_op, 0xc0100000 | FETCH);
		assert_int_equal(cmd->q_id, QUEUE);
		assert_int_equal(cmd->tag, tag);
		assert_ptr_equal((void *)(uintptr_t)cmd->addr, t->shared.buffers + tag * MAX_IO);
		assert_int_equal(cmd->addr % (uint64_t)sysconf(_SC_PAGESIZE), 0);
	}
	t->ops->close(t);
}

static void a_descriptor_becomes_a_request(void **state)
{
	struct transport *t = opened();
	const struct ul_req *req = &t->shared.reqs[3];

	issue(3, UL_OP_WRITE | UL_FLAG_FUA | UL_FLAG_META, (1ULL << 44) + 8, 16);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 1);
	assert_int_equal(t->shared.batch[0], 3);
	assert_int_equal(req->op, UL_OP_WRITE);
	assert_int_equal(req->flags, UL_FLAG_FUA | UL_FLAG_META);
	assert_true(req->sector == (double)((1ULL << 44) + 8));
	assert_int_equal(req->length, 8192);
	assert_int_equal(req->tag, 3);
	assert_int_equal(req->queue, QUEUE);
	assert_ptr_equal(req->buf, t->shared.buffers + 3 * MAX_IO);
	t->ops->close(t);
}

static void a_discard_has_a_length_and_no_data(void **state)
{
	struct transport *t = opened();

	issue(0, UL_OP_DISCARD, 0, 1 << 21);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 1);
	assert_null(t->shared.reqs[0].buf);
	assert_int_equal(t->shared.reqs[0].length, 1 << 30);
	t->ops->close(t);
}

/* The block layer gives a flush the sector (sector_t)-1, which lies beyond every device. */
static void a_flush_has_no_place(void **state)
{
	struct transport *t = opened();

	issue(0, UL_OP_FLUSH, (uint64_t)-1, 0);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 1);
	assert_true(t->shared.reqs[0].sector == 0);
	assert_int_equal(t->shared.reqs[0].length, 0);
	assert_null(t->shared.reqs[0].buf);
	t->ops->close(t);
}

static void an_answer_commits_its_tag_with_the_next_wait(void **state)
{
	struct transport *t = opened();
	const struct command *cmd = &driver.seen[DEPTH];

	issue(1, UL_OP_READ, 0, 8);
	issue(2, UL_OP_READ, 8, 8);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 2);
	t->ops->answer(t, 2, -EIO);
	t->ops->answer(t, 1, 4096);
	assert_int_equal(driver.seen_count, DEPTH); /* no system call for each answer */
	issue(0, UL_OP_FLUSH, 0, 0);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 1);
	assert_int_equal(driver.seen_count, DEPTH + 2);
	assert_int_equal(cmd[0].cmd_op, 0xc0100000 | COMMIT);
	assert_int_equal(cmd[0].tag, 2);
	assert_int_equal(cmd[0].result, -EIO);
	assert_int_equal(cmd[1].tag, 1);
	assert_int_equal(cmd[1].result, 4096);
	assert_int_equal(cmd[1].q_id, QUEUE);
	assert_ptr_equal((void *)(uintptr_t)cmd[1].addr, t->shared.buffers + MAX_IO);
	t->ops->close(t);
}

static void a_second_answer_is_not_sent(void **state)
{
	struct transport *t = opened();

	issue(1, UL_OP_READ, 0, 8);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 1);
	t->ops->answer(t, 1, 4096);
	log_begin();
	t->ops->answer(t, 1, 4096);
	t->ops->answer(t, 0, 0); /* the driver has that tag */
	assert_has(log_end(), "tag 1 answered twice");
	(void)t->ops->reap(t, UINT64_MAX);
	assert_int_equal(driver.seen_count, DEPTH + 1);
	t->ops->close(t);
}

static void the_queue_ends_when_every_tag_is_aborted(void **state)
{
	struct transport *t = opened();

	issue(0, UL_OP_FLUSH, 0, 0);
	abort_tag(1, -ENODEV);
	abort_tag(2, -ENODEV);
	abort_tag(3, -ENODEV);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 1);
	t->ops->answer(t, 0, 0);
	abort_tag(0, -ENODEV);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0); /* commits the answer, takes the abort */
	assert_int_equal(driver.seen_count, DEPTH + 1);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), -ENODEV);
	t->ops->close(t);
}

static void a_refused_command_breaks_the_queue(void **state)
{
	struct transport *t = opened();
	const char *log;
	int ret;

	log_begin();
	abort_tag(1, -EINVAL);
	ret = t->ops->reap(t, UINT64_MAX);
	log = log_end();
	assert_int_equal(ret, 0);
	assert_has(log, "queue 2: the driver refused tag 1: Invalid argument");
	assert_int_equal(t->ops->reap(t, UINT64_MAX), -EIO);
	t->ops->close(t);
}

static void a_refused_fetch_fails_the_open(void **state)
{
	struct transport *t = NULL;
	const char *log;
	int ret;

	driver.refuse = -EBUSY;
	log_begin();
	ret = open_queue(&t);
	log = log_end();
	assert_int_equal(ret, -EBUSY);
	assert_has(log, "queue 2: cannot set up: Device or resource busy");
	assert_one_line(log);
}

static void buffers_that_do_not_fit_are_told_by_their_size(void **state)
{
	struct transport *t = NULL;
	const char *log;
	int ret;

	driver.no_memory = true;
	log_begin();
	ret = open_queue(&t);
	log = log_end();
	assert_int_equal(ret, -ENOMEM);
	assert_has(log, "4 requests (depth) of 8192 bytes (max_io)");
	assert_one_line(log);
}

static void huge_pages_hold_the_buffers_where_there_are_some(void **state)
{
	struct transport *t = opened();

	assert_int_equal(driver.huge_length, 0);
	t->ops->close(t);
	driver.huge_pages = true;
	log_begin();
	t = opened();
	assert_string_equal(log_end(), "");
	assert_int_equal(driver.huge_length, 2 << 20); /* whole pages */
	t->ops->close(t);
}

static void without_huge_pages_there_is_a_warning_and_a_device(void **state)
{
	struct transport *t;
	const char *log;

	driver.huge_pages = driver.no_huge_pages = true;
	log_begin();
	t = opened();
	log = log_end();
	assert_has(log, "queue 2: huge_pages: the host has not set aside 1 pages of 2 MiB");
	assert_one_line(log);
	t->shared.buffers[DEPTH * MAX_IO - 1] = 1;
	t->ops->close(t);
}

enum { NS_PER_S = 1000000000 };

static void a_wait_with_a_deadline_ends_with_it(void **state)
{
	struct transport *t = opened();

	assert_int_equal(t->ops->reap(t, t->ops->now(t) + 90 * (uint64_t)NS_PER_S), 0);
	assert_true(driver.timeout > 80 && driver.timeout <= 90);
	assert_int_equal(t->ops->reap(t, t->ops->now(t) + NS_PER_S / 4), 0);
	assert_true(driver.timeout > 0 && driver.timeout <= 0.25);
	issue(1, UL_OP_READ, 0, 8);
	assert_int_equal(t->ops->reap(t, t->ops->now(t) + NS_PER_S), 1);
	assert_int_equal(driver.polls, 1); /* that of the open */
	t->ops->close(t);
}

static void a_deadline_that_is_past_is_no_wait(void **state)
{
	struct transport *t = opened();

	assert_int_equal(t->ops->reap(t, 0), 0);
	assert_int_equal(t->ops->reap(t, t->ops->now(t) - 1), 0);
	assert_int_equal(driver.polls, 3); /* and that of the open */
	issue(1, UL_OP_READ, 0, 8);
	assert_int_equal(t->ops->reap(t, 0), 1);
	t->ops->answer(t, 1, 4096);
	assert_int_equal(t->ops->reap(t, 0), 0); /* and the answer is submitted */
	assert_int_equal(driver.seen_count, DEPTH + 1);
	assert_true(driver.timeout == 0);
	t->ops->close(t);
}

static void the_clock_is_the_devices(void **state)
{
	struct timespec now;
	struct transport *t;

	clock_gettime(CLOCK_MONOTONIC, &now);
	driver.epoch = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec - 5;
	t = opened();
	assert_in_range(t->ops->now(t), 5, 60 * (uint64_t)NS_PER_S);
	assert_true(ul_now(&t->shared) > 0 && ul_now(&t->shared) < 60);
	t->ops->close(t);
}

/* The driver's side of somebody writing to the eventfd. */
static void wake(int res, unsigned flags)
{
	assert_int_equal(eventfd_write(driver.wake_fd, 3), 0);
	driver.due[driver.due_count++] =
		(struct io_uring_cqe){ .user_data = driver.wake_data, .res = res, .flags = flags };
}

static void a_write_to_the_eventfd_ends_a_wait(void **state)
{
	struct transport *t;
	eventfd_t value;

	driver.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t = opened();
	assert_int_equal(driver.watches, 1);
	assert_int_equal(driver.seen_count, DEPTH);
	wake(POLLIN, IORING_CQE_F_MORE);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	assert_int_equal(eventfd_read(driver.wake_fd, &value), -1); /* it has been read */
	issue(1, UL_OP_READ, 0, 8);
	wake(POLLIN, IORING_CQE_F_MORE);
	issue(2, UL_OP_READ, 8, 8);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 2);
	assert_int_equal(t->shared.batch[0], 1);
	assert_int_equal(t->shared.batch[1], 2);
	assert_int_equal(driver.watches, 1);
	t->ops->close(t);
	close(driver.wake_fd);
}

static void a_watch_that_ends_is_begun_again(void **state)
{
	struct transport *t;

	driver.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t = opened();
	wake(POLLIN, 0);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	assert_int_equal(t->ops->reap(t, 0), 0);
	assert_int_equal(driver.watches, 2);
	for (int i = 1; i <= 20; i++) { /* an error now and then is none */
		wake(i % 4 ? -ENOMEM : POLLIN, 0);
		assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
		assert_int_equal(t->ops->reap(t, 0), 0);
		assert_int_equal(driver.watches, 2 + i);
	}
	t->ops->close(t);
	close(driver.wake_fd);
}

/* It would not see the end of its device. */
static void a_queue_that_cannot_be_woken_is_broken(void **state)
{
	struct transport *t;
	const char *log;
	int reaps = 0;

	driver.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t = opened();
	log_begin();
	do
		wake(-ENOMEM, 0);
	while (t->ops->reap(t, UINT64_MAX) == 0 && ++reaps < 100);
	log = log_end();
	assert_int_equal(reaps, 8);
	assert_int_equal(driver.watches, 8);
	assert_has(log, "queue 2: cannot be woken: Cannot allocate memory");
	assert_one_line(log);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), -EIO);
	t->ops->close(t);
	close(driver.wake_fd);
}

/* The kernel has said so and submitted nothing: what is there is taken, the rest goes in later. */
static void what_the_kernel_cannot_take_just_now_goes_in_later(void **state)
{
	static const int refusals[] = { -EINTR, -EAGAIN, -EBUSY };
	struct transport *t = opened();

	for (unsigned i = 0; i < ARRAY_SIZE(refusals); i++) {
		issue(1, UL_OP_READ, 0, 8);
		assert_int_equal(t->ops->reap(t, UINT64_MAX), 1);
		t->ops->answer(t, 1, 4096);
		driver.busy = refusals[i];
		assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
		assert_int_equal(driver.seen_count, DEPTH + i);
		driver.busy = 0;
		assert_int_equal(t->ops->reap(t, 0), 0);
		assert_int_equal(driver.seen_count, DEPTH + i + 1);
	}
	t->ops->close(t);
}

static unsigned ended;

static void count_ended(struct lane_op *op, int32_t result)
{
	(void)op;
	assert_int_equal(result, -EIO);
	ended++;
}

/* It is called in a round, not while completions are taken; and the queue does not end before. */
static void an_operation_of_the_backend_comes_back_to_it(void **state)
{
	struct transport *t = opened();
	struct lane_op op = { .done = count_ended };
	struct io_uring_sqe sqe = { 0 };

	ended = 0;
	io_uring_prep_fsync(&sqe, 0, 0);
	lane_start(t->lane, &op, 0, &sqe);
	for (unsigned tag = 0; tag < DEPTH; tag++)
		abort_tag((uint16_t)tag, UBLK_IO_RES_ABORT);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	driver.due[driver.due_count++] =
		(struct io_uring_cqe){ .user_data = driver.lane_data, .res = -EIO };
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	assert_int_equal(ended, 0);
	lane_run(t->lane);
	assert_int_equal(ended, 1);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), -ENODEV);
	t->ops->close(t);
}

/* The place of an append goes where else the buffer's address is; of all others there is none. */
static void the_answer_to_an_append_says_its_place(void **state)
{
	double places[] = { 2048, 4096, -1 };
	struct transport *t;

	driver.flags = UBLK_F_USER_COPY | UBLK_F_ZONED;
	t = opened();
	issue(0, UL_OP_ZONE_APPEND, 1024, 8);
	issue(1, UL_OP_WRITE, 1024, 8);
	issue(2, UL_OP_ZONE_APPEND, 1024, 8);
	issue(3, UL_OP_REPORT_ZONES, 1024, 3);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 4);
	assert_int_equal(t->shared.reqs[3].length, 3 * 64);
	for (unsigned i = 0; i < 3; i++)
		t->shared.reqs[i].placed = &places[i];
	for (uint16_t tag = 0; tag < 4; tag++)
		t->ops->answer(t, tag, tag == 2 ? -EIO : 4096);
	(void)t->ops->reap(t, 0);
	assert_int_equal(driver.seen[DEPTH].addr, 2048);
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(driver.seen[DEPTH + i].addr, 0);
	t->ops->close(t);
}

/* With user copy the driver refuses an address, and the data comes when it is asked for. */
static void with_user_copy_the_data_stays_with_the_driver(void **state)
{
	static const uint8_t ops[DEPTH] = { UL_OP_WRITE, UL_OP_READ, UL_OP_DISCARD, UL_OP_FLUSH };
	struct transport *t;

	driver.flags = UBLK_F_USER_COPY;
	t = opened();
	for (unsigned tag = 0; tag < DEPTH; tag++) {
		assert_int_equal(driver.seen[tag].addr, 0);
		issue((uint16_t)tag, ops[tag], 8, 8);
	}
	assert_int_equal(t->ops->reap(t, UINT64_MAX), DEPTH);
	for (unsigned tag = 0; tag < DEPTH; tag++) {
		assert_null(t->shared.reqs[tag].buf);
		t->ops->answer(t, (uint16_t)tag, 0);
	}
	(void)t->ops->reap(t, 0);
	for (unsigned tag = 0; tag < DEPTH; tag++)
		assert_int_equal(driver.seen[DEPTH + tag].addr, 0);
	assert_true(t->lane->lazy);
	assert_int_equal(t->lane->char_fd, driver.char_fd);
	assert_int_equal(t->lane->split.queue, QUEUE);
	for (unsigned tag = 0; tag < DEPTH; tag++)
		assert_ptr_equal(lane_buffer(t->lane, (uint16_t)tag),
				 transport_buffer(t, (uint16_t)tag));
	t->ops->close(t);
}

/* The completion of a write says that its data is to be asked for; the next one is the request. */
static void in_get_data_mode_a_write_is_asked_for_its_data(void **state)
{
	struct transport *t = opened();
	const struct command *cmd = &driver.seen[DEPTH];

	issue(1, UL_OP_WRITE, 0, 8);
	driver.due[0].res = 1;
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	assert_int_equal(t->ops->reap(t, 0), 0);
	assert_int_equal(driver.seen_count, DEPTH + 1);
	assert_int_equal(cmd->cmd_op, 0xc0107522);
	assert_int_equal(cmd->tag, 1);
	assert_int_equal(cmd->q_id, QUEUE);
	assert_ptr_equal((void *)(uintptr_t)cmd->addr, t->shared.buffers + MAX_IO);
	issue(1, UL_OP_WRITE, 0, 8);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 1);
	t->ops->answer(t, 1, 4096);

	/* The driver had to take it back meanwhile: it comes again, or the tag ends. */
	issue(2, UL_OP_WRITE, 0, 8);
	driver.due[0].res = 1;
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	issue(2, UL_OP_WRITE, 0, 8);
	driver.due[0].res = 1;
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	assert_int_equal(t->ops->reap(t, 0), 0);
	for (unsigned tag = 0; tag < DEPTH; tag++)
		abort_tag((uint16_t)tag, -ENODEV);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), -ENODEV);
	t->ops->close(t);
}

static void assert_command(unsigned i, uint32_t op, uint16_t tag)
{
	assert_int_equal(driver.seen[i].cmd_op, 0xc0100000 | op);
	assert_int_equal(driver.seen[i].tag, tag);
	assert_int_equal(driver.seen[i].q_id, QUEUE);
}

static void pages_are_registered_once_and_let_go_before_the_answer(void **state)
{
	struct transport *t;

	driver.flags = UBLK_F_USER_COPY | UBLK_F_SUPPORT_ZERO_COPY;
	t = opened();
	issue(1, UL_OP_WRITE, 0, 8);
	issue(2, UL_OP_WRITE, 0, 8);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 2);
	assert_int_equal(lane_pages(t->lane, 1), 0);
	assert_int_equal(lane_pages(t->lane, 1), 0);
	t->ops->answer(t, 1, 4096);
	t->ops->answer(t, 2, 4096); /* nobody wanted its pages */
	assert_int_equal(t->ops->reap(t, 0), 0);
	assert_int_equal(driver.seen_count, DEPTH + 4);
	assert_command(DEPTH, REGISTER, 1);
	assert_int_equal(driver.seen[DEPTH].addr, 1);
	assert_command(DEPTH + 1, UNREGISTER, 1);
	assert_int_equal(driver.seen[DEPTH + 1].addr, 1);
	assert_command(DEPTH + 2, COMMIT, 1);
	assert_int_equal(driver.seen[DEPTH + 2].addr, 0);
	assert_command(DEPTH + 3, COMMIT, 2);

	/* The tag's next request has pages of its own; that they are not to be had is no end. */
	issue(1, UL_OP_WRITE, 0, 8);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 1);
	assert_int_equal(lane_pages(t->lane, 1), 0);
	assert_int_equal(t->ops->reap(t, 0), 0);
	assert_command(DEPTH + 4, REGISTER, 1);
	driver.due[driver.due_count++] =
		(struct io_uring_cqe){ .user_data = driver.seen[DEPTH + 4].user_data,
				       .res = -ENOMEM };
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	lane_run(t->lane);
	t->ops->answer(t, 1, 4096);
	t->ops->close(t);
}

static void pages_come_with_the_request_where_the_driver_registers_them(void **state)
{
	struct transport *t;

	driver.flags = UBLK_F_USER_COPY | UBLK_F_SUPPORT_ZERO_COPY | UBLK_F_AUTO_BUF_REG;
	t = opened();
	for (unsigned tag = 0; tag < DEPTH; tag++)
		assert_int_equal(driver.seen[tag].sqe_addr, 1 << 16 | tag);
	issue(1, UL_OP_WRITE, 0, 8);
	issue(2, UL_OP_WRITE | UL_FLAG_FUA | 1 << 17, 0, 8); /* it could not */
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 2);
	assert_int_equal(t->shared.reqs[2].flags, UL_FLAG_FUA);
	assert_int_equal(lane_pages(t->lane, 1), 0);
	assert_int_equal(lane_pages(t->lane, 2), 0);
	t->ops->answer(t, 1, 4096);
	t->ops->answer(t, 2, 4096);
	assert_int_equal(t->ops->reap(t, 0), 0);
	assert_int_equal(driver.seen_count, DEPTH + 4);
	assert_command(DEPTH, REGISTER, 2);
	assert_command(DEPTH + 1, COMMIT, 1);
	assert_int_equal(driver.seen[DEPTH + 1].sqe_addr, 1 << 16 | 1);
	assert_command(DEPTH + 2, UNREGISTER, 2);
	assert_command(DEPTH + 3, COMMIT, 2);
	t->ops->close(t);
}

/* The driver knows its tags 1 and 3 as this queue's 0 and 1. */
static void a_part_of_a_queue_has_tags_of_its_own(void **state)
{
	struct transport *t;

	driver.number = QUEUE * 2 + 1;
	driver.split = split_of(driver.number, 2);
	driver.flags = UBLK_F_USER_COPY | UBLK_F_SUPPORT_ZERO_COPY | UBLK_F_AUTO_BUF_REG;
	t = opened();
	assert_int_equal(t->shared.depth, DEPTH / 2);
	assert_int_equal(driver.map_offset, queue_offset());
	assert_in_range(driver.map_length, DEPTH * DESC, sysconf(_SC_PAGESIZE));
	assert_int_equal(driver.seen_count, DEPTH / 2);
	for (unsigned tag = 0; tag < DEPTH / 2; tag++) {
		assert_command(tag, FETCH, (uint16_t)(1 + 2 * tag));
		assert_int_equal(driver.seen[tag].sqe_addr, 1 << 16 | tag);
	}
	issue(1, UL_OP_WRITE, 16, 8);
	issue(3, UL_OP_WRITE | 1 << 17, 24, 8); /* its pages are still to be registered */
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 2);
	assert_int_equal(t->shared.batch[1], 1);
	assert_true(t->shared.reqs[1].sector == 24);
	assert_int_equal(t->shared.reqs[1].tag, 1);
	assert_int_equal(t->shared.reqs[1].queue, 5);
	assert_int_equal(lane_pages(t->lane, 1), 0);
	t->ops->answer(t, 1, 4096);
	t->ops->answer(t, 0, 4096);
	assert_int_equal(t->ops->reap(t, 0), 0);
	assert_command(2, REGISTER, 3);
	assert_int_equal(driver.seen[2].addr, 1);
	assert_command(3, UNREGISTER, 3);
	assert_int_equal(driver.seen[3].addr, 1);
	assert_command(4, COMMIT, 3);
	assert_int_equal(driver.seen[4].sqe_addr, 1 << 16 | 1);
	assert_command(5, COMMIT, 1);
	abort_tag(1, UBLK_IO_RES_ABORT);
	abort_tag(3, UBLK_IO_RES_ABORT);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), 0);
	assert_int_equal(t->ops->reap(t, UINT64_MAX), -ENODEV);
	t->ops->close(t);
}

static void in_copy_mode_the_data_is_in_the_buffer(void **state)
{
	struct transport *t = opened();

	assert_false(t->lane->lazy);
	t->ops->close(t);
}

#define queue_test(name) cmocka_unit_test_setup_teardown(name, driver_open, driver_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		queue_test(descriptors_are_mapped_at_the_queues_own_offset),
		queue_test(every_tag_is_fetched_when_the_queue_opens),
		queue_test(a_descriptor_becomes_a_request),
		queue_test(a_discard_has_a_length_and_no_data),
		queue_test(a_flush_has_no_place),
		queue_test(an_answer_commits_its_tag_with_the_next_wait),
		queue_test(a_second_answer_is_not_sent),
		queue_test(the_queue_ends_when_every_tag_is_aborted),
		queue_test(a_refused_command_breaks_the_queue),
		queue_test(a_refused_fetch_fails_the_open),
		queue_test(buffers_that_do_not_fit_are_told_by_their_size),
		queue_test(huge_pages_hold_the_buffers_where_there_are_some),
		queue_test(without_huge_pages_there_is_a_warning_and_a_device),
		queue_test(a_wait_with_a_deadline_ends_with_it),
		queue_test(a_deadline_that_is_past_is_no_wait),
		queue_test(the_clock_is_the_devices),
		queue_test(a_write_to_the_eventfd_ends_a_wait),
		queue_test(a_watch_that_ends_is_begun_again),
		queue_test(a_queue_that_cannot_be_woken_is_broken),
		queue_test(what_the_kernel_cannot_take_just_now_goes_in_later),
		queue_test(an_operation_of_the_backend_comes_back_to_it),
		queue_test(the_answer_to_an_append_says_its_place),
		queue_test(with_user_copy_the_data_stays_with_the_driver),
		queue_test(in_get_data_mode_a_write_is_asked_for_its_data),
		queue_test(pages_are_registered_once_and_let_go_before_the_answer),
		queue_test(pages_come_with_the_request_where_the_driver_registers_them),
		queue_test(a_part_of_a_queue_has_tags_of_its_own),
		queue_test(in_copy_mode_the_data_is_in_the_buffer),
	};

	struct io_uring ring;

	if (io_uring_queue_init(1, &ring, 0) < 0) {
		puts("1..0 # SKIP no io_uring is to be had here");
		return 0;
	}
	io_uring_queue_exit(&ring);
	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
