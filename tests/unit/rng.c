/* SPDX-License-Identifier: MIT */
/*
 * core/rng.c against the published algorithms, written down here again from
 * Blackman and Vigna's papers (splitmix64, xoshiro256** 1.0) and held to a
 * vector of their reference code.
 */
#include "support.h"

#include "api.h"

struct reference {
	uint64_t s0, s1, s2, s3;
};

static uint64_t rotl(uint64_t x, unsigned k)
{
	return (x << k) | (x >> (64 - k));
}

/* xoshiro256** 1.0, straight from the paper's listing. */
static uint64_t reference_next(struct reference *r)
{
	uint64_t result = rotl(r->s1 * 5, 7) * 9;
	uint64_t t = r->s1 << 17;

	r->s2 ^= r->s0;
	r->s3 ^= r->s1;
	r->s1 ^= r->s2;
	r->s0 ^= r->s3;
	r->s2 ^= t;
	r->s3 = rotl(r->s3, 45);
	return result;
}

static void state_1_2_3_4_gives_the_published_vector(void **state)
{
	/* The reference code's first outputs from s = {1, 2, 3, 4}. */
	static const uint64_t vector[] = { 11520U, 0U, 1509978240U, 1215971899390074240U };
	struct reference r = { 1, 2, 3, 4 };
	struct ul_rng rng = { .s = { 1, 2, 3, 4 } };

	for (unsigned i = 0; i < ARRAY_SIZE(vector); i++) {
		assert_int_equal(reference_next(&r), vector[i]);
		assert_true(ul_rng_next(&rng) == (double)(vector[i] >> 11) / 9007199254740992.0);
	}
}

static void numbers_are_those_of_the_algorithm(void **state)
{
	struct ul_rng rng;
	struct reference r;

	ul_rng_seed(&rng, 42, 7);
	r = (struct reference){ rng.s[0], rng.s[1], rng.s[2], rng.s[3] };
	for (int i = 0; i < 10000; i++) {
		double n = ul_rng_next(&rng);

		assert_true(n == (double)(reference_next(&r) >> 11) / 9007199254740992.0);
		assert_true(n >= 0 && n < 1);
	}
}

static void a_seed_repeats_its_numbers(void **state)
{
	struct ul_rng a, b;

	ul_rng_seed(&a, 5, 1);
	ul_rng_seed(&b, 5, 1);
	for (int i = 0; i < 1000; i++)
		assert_true(ul_rng_next(&a) == ul_rng_next(&b));
}

/* Nothing in common over 1000 numbers, neither at the same place nor shifted. */
static void assert_unrelated(uint64_t seed_a, uint32_t stream_a, uint64_t seed_b, uint32_t stream_b)
{
	struct ul_rng a, b;
	double first[32];

	ul_rng_seed(&a, seed_a, stream_a);
	ul_rng_seed(&b, seed_b, stream_b);
	for (int i = 0; i < 32; i++)
		first[i] = ul_rng_next(&a);
	for (int i = 0; i < 1000; i++) {
		double n = ul_rng_next(&b);

		for (int k = 0; k < 32; k++)
			assert_true(n != first[k]);
	}
}

static void seeds_and_streams_are_unrelated(void **state)
{
	assert_unrelated(5, 0, 5, 1);
	assert_unrelated(5, 1, 5, 2);
	assert_unrelated(5, 0, 6, 0);
	assert_unrelated(5, 1, 6, 0);
	assert_unrelated(0, 0, UINT64_MAX, UINT32_MAX);
}

static void seed_0_is_as_good_as_any(void **state)
{
	struct ul_rng rng;
	double sum = 0;

	ul_rng_seed(&rng, 0, 0);
	assert_true(rng.s[0] | rng.s[1] | rng.s[2] | rng.s[3]);
	for (int i = 0; i < 100000; i++)
		sum += ul_rng_next(&rng);
	/* Ten standard deviations of the mean of 1e5 even numbers. */
	assert_true(sum / 100000 > 0.49 && sum / 100000 < 0.51);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(state_1_2_3_4_gives_the_published_vector),
		cmocka_unit_test(numbers_are_those_of_the_algorithm),
		cmocka_unit_test(a_seed_repeats_its_numbers),
		cmocka_unit_test(seeds_and_streams_are_unrelated),
		cmocka_unit_test(seed_0_is_as_good_as_any),
	};

	return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
