/* SPDX-License-Identifier: MIT */
/*
 * The exerciser on a block device, whatever it is: threads on several CPUs
 * read, write, discard, zero and flush it past the page cache, beside one
 * model. A round is a number of operations of each, in places that are its own
 * for this round, and then a look at all of the device. Prints its seed; says
 * what is wrong and aborts.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "exercise.h"

enum { MOST_THREADS = 64, ROUND = 100, SMALLEST = 4 << 10 };

static struct {
	uint64_t seed;
	unsigned seconds, operations, threads;
	const char *path; /* of the device */
} options = { .operations = 2000, .threads = 4 };

static struct node {
	struct backend base;
	int fd;
	uint64_t size;
	unsigned cpus;
} node;

static void die(const char *what)
{
	fprintf(stderr, "exercise_device: %s: %s: %s\n", options.path, what, strerror(errno));
	exit(1);
}

static int transfer(const struct ul_req *req)
{
	struct iovec iov = { req->buf, req->length };
	off_t at = (off_t)backend_offset(req);
	ssize_t done;

	if (req->op == UL_OP_READ)
		done = preadv(node.fd, &iov, 1, at);
	else
		done = pwritev2(node.fd, &iov, 1, at, req->flags & UL_FLAG_FUA ? RWF_DSYNC : 0);
	if (done < 0)
		return -errno;
	return done == (ssize_t)req->length ? 0 : -EIO;
}

/* A hole is zeros that need not keep their space. */
static int zero(const struct ul_req *req, uint64_t range[2])
{
	if (req->flags & UL_FLAG_NOUNMAP)
		return ioctl(node.fd, BLKZEROOUT, range);
	return fallocate(node.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)range[0],
			 (off_t)range[1]);
}

static int node_serve(struct backend *backend, struct lane *lane, const struct ul_req *req)
{
	uint64_t range[2] = { backend_offset(req), req->length };
	int ret;

	switch (req->op) {
	case UL_OP_READ:
	case UL_OP_WRITE:
		return transfer(req);
	case UL_OP_DISCARD:
		ret = ioctl(node.fd, BLKDISCARD, range);
		break;
	case UL_OP_WRITE_ZEROES:
		ret = zero(req, range);
		break;
	default:
		ret = fsync(node.fd);
	}
	return ret ? -errno : 0;
}

static const struct backend_ops node_ops = { .name = "node", .serve = node_serve };

/* Nobody else may use it: a mounted one is left alone. */
static void open_node(const char *path)
{
	node.base.ops = &node_ops;
	node.fd = open(path, O_RDWR | O_DIRECT | O_EXCL | O_CLOEXEC);
	if (node.fd < 0 || ioctl(node.fd, BLKGETSIZE64, &node.size))
		die("open");
	if (node.size < (uint64_t)options.threads * SMALLEST) {
		errno = ENOSPC;
		die("each thread needs a place");
	}
	node.cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
}

/* What the device holds at first is right. */
static void read_into(struct model *model)
{
	uint8_t *buf = aligned_alloc(4096, EXERCISE_MOST);

	if (!buf)
		abort();
	model_open(model, node.size, NULL);
	for (uint64_t at = 0; at < node.size; at += EXERCISE_MOST) {
		uint64_t left = node.size - at;
		ssize_t want = left < EXERCISE_MOST ? (ssize_t)left : EXERCISE_MOST;

		if (pread(node.fd, buf, (size_t)want, (off_t)at) != want)
			die("read");
		memcpy(model->data + at, buf, (size_t)want);
	}
	free(buf);
}

/* Each on a CPU, so that all hardware queues get requests. */
static void *run_thread(void *arg)
{
	struct exercise *ex = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(ex->thread % node.cpus, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
	exercise_run(ex);
	return NULL;
}

static void run_round(struct exercise *list)
{
	pthread_t threads[MOST_THREADS];

	for (unsigned i = 0; i < options.threads; i++)
		if (pthread_create(&threads[i], NULL, run_thread, &list[i]))
			abort();
	for (unsigned i = 0; i < options.threads; i++)
		pthread_join(threads[i], NULL);
	exercise_compare(&node.base, list[0].model);
}

/* How large the places are that belong to one thread. */
static unsigned unit_of(unsigned round)
{
	static const unsigned units[] = { SMALLEST, 64 << 10, 512 << 10 };
	unsigned unit = units[round % (sizeof(units) / sizeof(*units))];

	return (uint64_t)unit * options.threads > node.size ? SMALLEST : unit;
}

static bool go_on(time_t begin, unsigned rounds)
{
	if (options.seconds)
		return time(NULL) - begin < (time_t)options.seconds;
	return rounds * ROUND * options.threads < options.operations;
}

static void exercise(void)
{
	struct exercise list[MOST_THREADS] = { 0 };
	time_t begin = time(NULL);
	struct model model;
	unsigned rounds;

	read_into(&model);
	for (rounds = 0; go_on(begin, rounds); rounds++) {
		for (unsigned i = 0; i < options.threads; i++) {
			struct exercise *ex = &list[i];

			ex->backend = &node.base;
			ex->model = &model;
			ex->seed = options.seed + rounds;
			ex->operations = ROUND;
			ex->threads = options.threads;
			ex->thread = i;
			ex->unit = unit_of(rounds);
		}
		run_round(list);
	}
	model_close(&model);
	printf("exercise_device: %u operations in %u rounds, all data right\n",
	       rounds * ROUND * options.threads, rounds);
}

static unsigned number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || !*text || value == 0 || value > 1000000000) {
		fprintf(stderr, "exercise_device: not a number above 0: %s\n", text);
		exit(2);
	}
	return (unsigned)value;
}

static void parse(int argc, char **argv)
{
	int option;

	if (getrandom(&options.seed, sizeof(options.seed), 0) != sizeof(options.seed))
		abort();
	options.seed >>= 32;
	while ((option = getopt(argc, argv, "s:t:n:j:")) >= 0) {
		if (option == 's')
			options.seed = strtoull(optarg, NULL, 10);
		else if (option == 't')
			options.seconds = number(optarg);
		else if (option == 'n')
			options.operations = number(optarg);
		else if (option == 'j')
			options.threads = number(optarg);
		else
			optind = argc;
	}
	if (optind == argc - 1)
		options.path = argv[optind];
	if (!options.path || options.threads > MOST_THREADS) {
		fputs("usage: exercise_device [-s SEED] [-t SECONDS | -n OPERATIONS] [-j THREADS] "
		      "NODE\n",
		      stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	open_node(options.path ? options.path : "");
	printf("exercise_device: %s, %u threads, seed %llu\n", options.path, options.threads,
	       (unsigned long long)options.seed);
	exercise();
	return 0;
}
