/* SPDX-License-Identifier: MIT */
/*
 * What `stats --watch` shows: two answers to "stats" and what lies between
 * them, as lines for a terminal. Main thread.
 */
#pragma once

#include <jansson.h>
#include <stdio.h>

struct watch {
	const json_t *before, *now; /* answers to "stats" */
	long in_flight;		    /* -1: nobody knows; so below */
	long held;
};

void watch_print(FILE *to, const struct watch *watch);
