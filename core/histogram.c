/* SPDX-License-Identifier: MIT */
#include "histogram.h"

/* 16 whole values, then each power of two in 16 parts. */
enum { PART_BITS = 4, PARTS = 1 << PART_BITS };

static unsigned bucket_of(uint64_t value)
{
	unsigned exponent;

	if (value < PARTS)
		return (unsigned)value;
	exponent = 63U - (unsigned)__builtin_clzll(value);
	return (exponent - PART_BITS + 1) * PARTS +
	       (unsigned)(value >> (exponent - PART_BITS) & (PARTS - 1));
}

static unsigned bucket_of_double(double value)
{
	return value < 0x1p64 ? bucket_of((uint64_t)value) : UL_BUCKETS - 1;
}

double histogram_bucket_start(unsigned index)
{
	unsigned exponent;

	if (index < PARTS)
		return index;
	exponent = index / PARTS + PART_BITS - 1;
	return (double)((uint64_t)(PARTS + index % PARTS) << (exponent - PART_BITS));
}

/* The middle one of its whole values. */
static double bucket_middle(unsigned index)
{
	uint64_t width = index < PARTS ? 1 : 1ULL << (index / PARTS - 1);

	return histogram_bucket_start(index) + (double)(width / 2);
}

void ul_histogram_add(struct ul_histogram *h, double value, double n)
{
	/* Scripts bring anything. Written so that NaN fails the comparison. */
	if (!(value > 0))
		value = 0;
	if (value > 0x1p64)
		value = 0x1p64;
	if (!(n >= 1 && n < 0x1p53))
		return;
	if (h->count == 0 || value < h->min)
		h->min = value;
	if (h->count == 0 || value > h->max)
		h->max = value;
	h->count += n;
	h->sum += value * n;
	h->bucket[bucket_of_double(value)] += (uint64_t)n;
}

void histogram_range(const struct ul_histogram *h, unsigned *first, unsigned *end)
{
	*first = *end = 0;
	if (h->count > 0) {
		*first = bucket_of_double(h->min > 0 ? h->min : 0);
		*end = bucket_of_double(h->max > 0 ? h->max : 0) + 1;
	}
}

void histogram_merge(struct ul_histogram *sum, const struct ul_histogram *h)
{
	unsigned first, end;

	if (!(h->count > 0))
		return;
	if (sum->count == 0 || h->min < sum->min)
		sum->min = h->min;
	if (sum->count == 0 || h->max > sum->max)
		sum->max = h->max;
	sum->count += h->count;
	sum->sum += h->sum;
	histogram_range(h, &first, &end);
	for (unsigned i = first; i < end; i++)
		sum->bucket[i] += h->bucket[i];
}

static double clamp(double value, double min, double max)
{
	return value < min ? min : value > max ? max : value;
}

double histogram_quantile(const struct ul_histogram *h, double q)
{
	double rank = q * h->count, below = 0;
	unsigned first, end;

	histogram_range(h, &first, &end);
	for (unsigned i = first; i < end; i++) {
		below += (double)h->bucket[i];
		if (below > 0 && below >= rank)
			return clamp(bucket_middle(i), h->min, h->max);
	}
	return h->max;
}
