/* SPDX-License-Identifier: MIT */
#include "split.h"

struct split split_of(unsigned number, unsigned threads)
{
	return (struct split){
		.queue = (uint16_t)(number / threads),
		.first = (uint16_t)(number % threads),
		.step = (uint16_t)threads,
	};
}

unsigned split_depth(const struct split *split, unsigned depth)
{
	return (depth - split->first + split->step - 1) / split->step;
}

/*
 * Neighbours stay together, for they are likely to share a cache or a node. Where there are fewer
 * CPUs than threads each thread has one of them.
 */
cpu_set_t split_cpus(const struct split *split, const cpu_set_t *cpus)
{
	unsigned count = (unsigned)CPU_COUNT(cpus), place = 0;
	cpu_set_t part;

	CPU_ZERO(&part);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, cpus))
			continue;
		if (count < split->step ? split->first % count == place
					: place * split->step / count == split->first)
			CPU_SET(cpu, &part);
		place++;
	}
	return part;
}
