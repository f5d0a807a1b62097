/* SPDX-License-Identifier: MIT */
/*
 * core/split.c: each tag of a device is one thread's, and the threads of a
 * hardware queue share its CPUs out among themselves.
 */
#include "support.h"

#include <string.h>

#include "split.h"

static void each_tag_is_one_threads(void **state)
{
	static const struct {
		unsigned queues, threads, depth;
	} devices[] = { { 1, 1, 1 }, { 1, 1, 7 }, { 2, 3, 7 }, { 3, 4, 4 }, { 1, 128, 4096 } };

	for (unsigned i = 0; i < ARRAY_SIZE(devices); i++) {
		unsigned depth = devices[i].depth, threads = devices[i].threads;
		uint8_t *seen = calloc(devices[i].queues, depth);

		assert_non_null(seen);
		for (unsigned number = 0; number < devices[i].queues * threads; number++) {
			struct split split = split_of(number, threads);
			unsigned own = split_depth(&split, depth);

			assert_int_equal(split.queue, number / threads);
			assert_in_range(own, depth / threads, (depth + threads - 1) / threads);
			for (unsigned tag = 0; tag < own; tag++) {
				unsigned drivers = split_tag(&split, (uint16_t)tag);

				assert_true(drivers < depth);
				assert_int_equal(seen[split.queue * depth + drivers]++, 0);
			}
		}
		for (unsigned tag = 0; tag < devices[i].queues * depth; tag++)
			assert_int_equal(seen[tag], 1);
		free(seen);
	}
}

static cpu_set_t set_of(const char *cpus)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (; *cpus; cpus++)
		CPU_SET(*cpus - '0', &set);
	return set;
}

static void assert_cpus(const char *cpus, unsigned threads, const char *const *parts)
{
	cpu_set_t all = set_of(cpus);

	for (unsigned number = 0; number < threads; number++) {
		struct split split = split_of(number, threads);
		cpu_set_t expected = set_of(parts[number]), part = split_cpus(&split, &all);

		assert_true(CPU_EQUAL(&part, &expected));
	}
}

static void threads_are_spread_over_the_cpus_of_their_queue(void **state)
{
	assert_cpus("135", 1, (const char *const[]){ "135" });
	assert_cpus("1357", 2, (const char *const[]){ "13", "57" });
	assert_cpus("13579", 2, (const char *const[]){ "135", "79" });
	assert_cpus("28", 2, (const char *const[]){ "2", "8" });
	assert_cpus("28", 5, (const char *const[]){ "2", "8", "2", "8", "2" });
	/* The kernel names no CPU that we know: then the thread stays where it is. */
	assert_cpus("", 2, (const char *const[]){ "", "" });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_tag_is_one_threads),
		cmocka_unit_test(threads_are_spread_over_the_cpus_of_their_queue),
	};

	return cmocka_run_group_tests_name("split", tests, NULL, NULL);
}
