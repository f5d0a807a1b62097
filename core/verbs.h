/* SPDX-License-Identifier: MIT */
/*
 * The verbs that operate running devices: one table of them, their words and
 * options, and what each is called with. Main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Bits of verb_call.options. */
enum verb_option {
	VERB_JSON = 1,
	VERB_ALL = 2,
	VERB_IF_UNUSED = 4,
	VERB_QUEUE = 8,	   /* takes an argument, as the next does */
	VERB_TIMEOUT = 16, /* s */
	VERB_WATCH = 32,
	VERB_PROMETHEUS = 64,
	VERB_COUNT = 128, /* takes an argument */
};

struct verb_call {
	uint32_t id;	     /* of the device; of a verb without one 0 */
	char **words;	     /* after the ID */
	unsigned count;	     /* of them */
	unsigned options;    /* enum verb_option */
	const char *queue;   /* "all" or a number, or NULL */
	const char *timeout; /* or NULL */
	const char *frames;  /* of --count, or NULL */
};

/* Is there such a verb? */
bool verbs_known(const char *name);

/* Run verb `argv[0]`, with what follows it; `json` was said before it. The exit status. */
int verbs_run(int argc, char **argv, bool json);

/* The verbs, a line each, for --help. */
void verbs_print(void);

/* The device's number in "0", "ublkb0" or "/dev/ublkb0"; 0 or -EINVAL, logged. */
int verbs_parse_id(const char *text, uint32_t *id);

/* The verbs themselves: each an exit status. */
int verb_list(const struct verb_call *call);
int verb_info(const struct verb_call *call);
int verb_stats(const struct verb_call *call);
int verb_attach(const struct verb_call *call);
int verb_watch(const struct verb_call *call);
int verb_stop(const struct verb_call *call);
int verb_clean(const struct verb_call *call);
int verb_eval(const struct verb_call *call);
int verb_set(const struct verb_call *call);
int verb_hold(const struct verb_call *call);
int verb_release(const struct verb_call *call);
int verb_mark(const struct verb_call *call);
