/* SPDX-License-Identifier: MIT */
/*
 * Parts of the report of core/stats.h as JSON, by name, for who makes another
 * report of them. Each is the caller's; NULL: no memory.
 */
#pragma once

#include <jansson.h>

#include "stats.h"

/* All of it: the object that stats_write writes. */
json_t *stats_report_json(const struct stats_report *report);

/* {OP: [[L, N]]}: how long requests took, over all queues, in ns; as "buckets" of stats.h. */
json_t *stats_latencies_json(const struct stats_report *report);

json_t *stats_layers_json(const struct ul_script_stats *script);
json_t *stats_counters_json(const struct ul_script_stats *script);
json_t *stats_histograms_json(const struct ul_script_stats *script);
