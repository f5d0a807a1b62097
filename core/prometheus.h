/* SPDX-License-Identifier: MIT */
/* The answer to "stats" in Prometheus' text format. Main thread. */
#pragma once

#include <jansson.h>

/* On stdout. 0 or -errno, logged. */
int prometheus_print(const json_t *answer);
