/* SPDX-License-Identifier: MIT */
/*
 * core/worker.c: where a queue's thread is when it takes its memory, which is
 * to be near the CPUs of its requests. Linked with --wrap, see WRAP_worker.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>

#include "transport.h"
#include "worker.h"

static struct {
	pthread_t thread;
	cpu_set_t cpus;
	unsigned calls;
} seen;

int __wrap_transport_alloc(struct transport *t, unsigned queue, unsigned depth, uint32_t max_io,
			   bool huge_pages);

int __wrap_transport_alloc(struct transport *t, unsigned queue, unsigned depth, uint32_t max_io,
			   bool huge_pages)
{
	seen.calls++;
	seen.thread = pthread_self();
	pthread_getaffinity_np(pthread_self(), sizeof(seen.cpus), &seen.cpus);
	return -ENOMEM;
}

/* The last of those that this process may use, so that it is not where the thread is anyway. */
static cpu_set_t one_cpu(void)
{
	cpu_set_t all, one;

	pthread_getaffinity_np(pthread_self(), sizeof(all), &all);
	for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		return one;
	}
	fail();
	return all;
}

static void memory_is_taken_on_the_queues_thread_and_cpus(void **state)
{
	struct backend backend = { 0 };
	struct worker_config config = {
		.queue = { .char_fd = -1, .depth = 1, .max_io = 4096, .wake_fd = -1 },
		.cpus = one_cpu(),
		.backend = &backend,
		.stop_fd = -1,
		.ended_fd = -1,
	};
	struct worker worker;

	log_begin();
	assert_int_equal(worker_start(&worker, &config), 0);
	assert_int_equal(worker_wait_ready(&worker), -ENOMEM);
	worker_join(&worker);
	assert_has(log_end(), "queue 0: out of memory");
	assert_int_equal(seen.calls, 1);
	assert_false(pthread_equal(seen.thread, pthread_self()));
	assert_true(CPU_EQUAL(&seen.cpus, &config.cpus));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_taken_on_the_queues_thread_and_cpus),
	};

	return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
