/* SPDX-License-Identifier: MIT */
/*
 * What the files of the native benchmark share. cases.c owns the subjects, each
 * over core/sim.c at a batch size; figures.c what is made of their times;
 * rounds.c the longest rounds; sim_bench.c the command line and the order of
 * measurements. One thread.
 */
#pragma once

#include <jansson.h>

#include "dispatch.h"
#include "sim.h"

enum { MAX_ROUNDS = 999 };

struct subject {
	const char *name;
	const char *what;
	const char *path;
	char *args[2]; /* its key=value words */
	bool scripted; /* do the reads reach Lua? */
};

/* One subject at one batch size, with all of its own; aligned, to lie alike in the cache. */
struct bench_case {
	_Alignas(4096) const struct subject *subject;
	unsigned batch;
	uint64_t next_sector;
	atomic_int stage;
	struct ul_device device;
	struct script *script;
	struct backend *backend;
	struct transport *transport;
	struct stats stats;
	struct dispatch dispatch;
	unsigned requests;     /* of one sample */
	double ns[MAX_ROUNDS]; /* for a request, by round */
};

extern struct options {
	unsigned rounds;
	unsigned sample_us; /* short against a time slice, so that most are whole */
	int cpu;	    /* -1: the last one that we may use */
	const char *json;
	const char *only; /* one subject: for a profiler */
} options;

/* The first is what the others are compared with. They come subject by subject, batch by batch. */
enum { SUBJECTS = 13, BATCHES = 4, CASES = SUBJECTS * BATCHES };
extern const struct subject subjects[SUBJECTS];
extern const unsigned batches[BATCHES];

bool selected(const struct subject *subject);

/* 0 or -errno, logged; case_close is owed after both. */
int case_open(struct bench_case *c, const struct subject *subject, unsigned batch);
void case_close(struct bench_case *c);

/* Serve about `requests`. Returns ns for each. */
double case_run(struct bench_case *c, unsigned requests);

/* Serve one round. Returns its ns. */
uint64_t case_round(struct bench_case *c);

/* Did it measure what it says? A case that fails its requests would be fast. 0 or -errno, told. */
int case_check(const struct bench_case *c);

/* Times that this thread had to leave the CPU to another one. */
long preemptions(void);

/* What the cases' times say, on stdout and in `root`. */
void figures_print(const struct bench_case *cases);
void figures_json(const struct bench_case *cases, json_t *root);

/* How long rounds take while garbage is collected, on stdout and in `root`. 0 or -errno. */
int rounds_measure(json_t *root);
