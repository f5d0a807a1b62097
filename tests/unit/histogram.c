/* SPDX-License-Identifier: MIT */
/*
 * core/histogram.c: buckets are those of the formula in core/api.h's terms, a
 * quantile is as near to the true one as a bucket is wide, and nothing that a
 * script can bring breaks it.
 */
#include "support.h"

#include <math.h>

#include "histogram.h"

static struct ul_histogram h, other; /* 8 KB each; every test begins with zeroes */

static int zero(void **state)
{
	h = other = (struct ul_histogram){ 0 };
	return 0;
}

/* The one bucket that has something. */
static unsigned only_bucket(void)
{
	unsigned found = UL_BUCKETS;

	for (unsigned i = 0; i < UL_BUCKETS; i++) {
		if (!h.bucket[i])
			continue;
		assert_int_equal(found, UL_BUCKETS);
		found = i;
	}
	return found;
}

static unsigned bucket_for(double value)
{
	zero(NULL);
	ul_histogram_add(&h, value, 1);
	return only_bucket();
}

static void values_fall_into_the_buckets_of_the_formula(void **state)
{
	for (unsigned v = 0; v < 32; v++)
		assert_int_equal(bucket_for(v), v);
	assert_int_equal(bucket_for(32), 32); /* e = 5: (5 - 3) * 16 */
	assert_int_equal(bucket_for(33), 32);
	assert_int_equal(bucket_for(34), 33);
	assert_int_equal(bucket_for(1023), 111); /* e = 9: 6 * 16 + 15 */
	assert_int_equal(bucket_for(1024), 112); /* e = 10: 7 * 16 */
	assert_int_equal(bucket_for(3.9), 3);
	assert_int_equal(bucket_for(0x1p63), 960);
}

static void each_bucket_begins_where_the_one_before_ends(void **state)
{
	for (unsigned i = 0; i < UL_BUCKETS; i++) {
		double start = histogram_bucket_start(i);

		assert_int_equal(bucket_for(start), i);
		if (i)
			assert_int_equal(bucket_for(nextafter(start, 0)), i - 1);
	}
}

static void what_is_no_measure_counts_as_0_or_as_the_most(void **state)
{
	assert_int_equal(bucket_for(-5), 0);
	assert_int_equal(bucket_for(-INFINITY), 0);
	assert_int_equal(bucket_for(NAN), 0);
	assert_true(h.sum == 0 && h.min == 0 && h.max == 0);
	assert_int_equal(bucket_for(INFINITY), UL_BUCKETS - 1);
	assert_true(h.max == 0x1p64 && h.sum == 0x1p64);
	assert_int_equal(bucket_for(1e300), UL_BUCKETS - 1);
	assert_int_equal(bucket_for(0x1p64), UL_BUCKETS - 1);
	assert_int_equal(bucket_for(-0.0), 0);
}

static void a_value_may_count_several_times(void **state)
{
	ul_histogram_add(&h, 7, 3);
	ul_histogram_add(&h, 9, 1);
	assert_true(h.count == 4 && h.sum == 30 && h.min == 7 && h.max == 9);
	assert_int_equal(h.bucket[7], 3);
	ul_histogram_add(&h, 100, 0);
	ul_histogram_add(&h, 100, -1);
	ul_histogram_add(&h, 100, NAN);
	ul_histogram_add(&h, 100, INFINITY);
	assert_true(h.count == 4 && h.max == 9);
}

static void quantiles_of_small_values_are_exact(void **state)
{
	for (unsigned v = 1; v <= 20; v++)
		ul_histogram_add(&h, v, 1);
	assert_true(histogram_quantile(&h, 0) == 1);
	assert_true(histogram_quantile(&h, 0.5) == 10);
	assert_true(histogram_quantile(&h, 0.9) == 18);
	assert_true(histogram_quantile(&h, 1) == 20);
}

static void quantiles_are_a_32nd_off_at_most(void **state)
{
	for (unsigned v = 1; v <= 100000; v++)
		ul_histogram_add(&h, v * 37.0, 1);
	for (unsigned i = 1; i < 1000; i++) {
		double q = i / 1000.0, truth = ceil(q * 100000) * 37;

		assert_true(fabs(histogram_quantile(&h, q) - truth) <= truth / 32 + 37);
	}
}

static void quantiles_stay_between_the_least_and_the_most(void **state)
{
	ul_histogram_add(&h, 1000003, 100);
	assert_true(histogram_quantile(&h, 0.01) == 1000003);
	assert_true(histogram_quantile(&h, 0.999) == 1000003);
	assert_true(histogram_quantile(&other, 0.5) == 0); /* there is none */
}

static void a_merge_is_as_if_one_had_counted_all(void **state)
{
	static struct ul_histogram all;

	for (unsigned v = 0; v < 5000; v++) {
		ul_histogram_add(v % 3 ? &h : &other, v * v, 1);
		ul_histogram_add(&all, v * v, 1);
	}
	histogram_merge(&h, &other);
	assert_memory_equal(&h, &all, sizeof(all));
}

static void a_merge_with_nothing_changes_nothing(void **state)
{
	ul_histogram_add(&h, 5, 1);
	histogram_merge(&h, &other);
	assert_true(h.count == 1 && h.min == 5 && h.max == 5);
	histogram_merge(&other, &h);
	assert_true(other.count == 1 && other.min == 5 && other.max == 5);
	assert_int_equal(other.bucket[5], 1);
}

/* The writer may have been killed halfway, or its script may have used FFI. */
static void nonsense_in_shared_memory_is_survived(void **state)
{
	h = (struct ul_histogram){ .count = 10, .min = NAN, .max = INFINITY };
	histogram_merge(&other, &h);
	(void)histogram_quantile(&h, 0.5);
	h = (struct ul_histogram){ .count = NAN, .min = -1, .max = 1e300 };
	histogram_merge(&other, &h);
	assert_true(isnan(histogram_quantile(&h, 0.5)) || histogram_quantile(&h, 0.5) > 0);
	h = (struct ul_histogram){ .count = 2, .min = 1e300, .max = -1e300 };
	histogram_merge(&other, &h);
	(void)histogram_quantile(&h, 0.5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(values_fall_into_the_buckets_of_the_formula, zero),
		cmocka_unit_test_setup(each_bucket_begins_where_the_one_before_ends, zero),
		cmocka_unit_test_setup(what_is_no_measure_counts_as_0_or_as_the_most, zero),
		cmocka_unit_test_setup(a_value_may_count_several_times, zero),
		cmocka_unit_test_setup(quantiles_of_small_values_are_exact, zero),
		cmocka_unit_test_setup(quantiles_are_a_32nd_off_at_most, zero),
		cmocka_unit_test_setup(quantiles_stay_between_the_least_and_the_most, zero),
		cmocka_unit_test_setup(a_merge_is_as_if_one_had_counted_all, zero),
		cmocka_unit_test_setup(a_merge_with_nothing_changes_nothing, zero),
		cmocka_unit_test_setup(nonsense_in_shared_memory_is_survived, zero),
	};

	return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
