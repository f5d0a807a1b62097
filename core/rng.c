/* SPDX-License-Identifier: MIT */
/*
 * The random streams of scripts: xoshiro256** 1.0, seeded by splitmix64, both
 * by Blackman and Vigna (prng.di.unimi.it). In C because LuaJIT has no 64-bit
 * integers that cost nothing. Pure functions on the caller's state.
 */
#include <stdint.h>

#include "api.h"

static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint64_t rotate_left(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

void ul_rng_seed(struct ul_rng *rng, uint64_t seed, uint32_t stream)
{
	/* Stream 1 of seed 5 must not be stream 0 of seed 6: mix the seed first. */
	uint64_t state = splitmix64(&seed) ^ stream * 0xd1342543de82ef95;

	for (int i = 0; i < 4; i++)
		rng->s[i] = splitmix64(&state);
}

double ul_rng_next(struct ul_rng *rng)
{
	uint64_t *s = rng->s;
	uint64_t result = rotate_left(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate_left(s[3], 45);
	return (double)(result >> 11) * 0x1.0p-53;
}
