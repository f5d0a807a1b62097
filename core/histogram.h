/* SPDX-License-Identifier: MIT */
/*
 * Histograms of struct ul_histogram (api.h): how long, how large, how many.
 * Log-linear like HdrHistogram: exact below 32, and no value further than
 * 1/32 from its bucket's middle. One writer; the reader comes after it.
 */
#pragma once

#include <stdint.h>

#include "api.h"

/* Add the values of `h` to `sum`, which keeps its name and unit. Reads no page it need not. */
void histogram_merge(struct ul_histogram *sum, const struct ul_histogram *h);

/* The value that a share `q` (0 to 1) of all values does not exceed; 0 when there are none. */
double histogram_quantile(const struct ul_histogram *h, double q);

/* The smallest whole value that falls into bucket `index`. */
double histogram_bucket_start(unsigned index);

/* The buckets that may hold something: from *first up to but not *end. */
void histogram_range(const struct ul_histogram *h, unsigned *first, unsigned *end);
