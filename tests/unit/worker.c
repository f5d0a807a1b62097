/* SPDX-License-Identifier: MIT */
/*
 * core/worker.c: where a queue's thread is when it takes its memory, which is
 * to be near the CPUs of its requests; and that those are not held up by clients
 * who ask the script. Linked with --wrap, see WRAP_worker.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dispatch.h"
#include "queue.h"
#include "script.h"
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

static struct stats stats;

static void memory_is_taken_on_the_queues_thread_and_cpus(void **state)
{
	struct backend backend = { 0 };
	struct worker_config config = {
		.queue = { .char_fd = -1,
			   .split.step = 1,
			   .depth = 1,
			   .max_io = 4096,
			   .wake_fd = -1 },
		.cpus = one_cpu(),
		.backend = &backend,
		.stats = &stats,
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

/* A queue that is this test's: rounds while it is woken; what happened, a letter each. */
static struct transport fake;
static bool is_fake;
static int wake_fd;
static char order[32];

static int fake_reap(struct transport *t, uint64_t deadline)
{
	eventfd_t count;

	return eventfd_read(wake_fd, &count) ? -ENODEV : 0;
}

static void fake_close(struct transport *t)
{
}

int __real_queue_open(struct transport **transport, const struct queue_config *config);
int __wrap_queue_open(struct transport **transport, const struct queue_config *config);
int __wrap_queue_open(struct transport **transport, const struct queue_config *config)
{
	static const struct transport_ops ops = { .reap = fake_reap, .close = fake_close };

	if (!is_fake)
		return __real_queue_open(transport, config);
	fake.ops = &ops;
	*transport = &fake;
	return 0;
}

int __wrap_dispatch_open(struct dispatch *dispatch, const struct dispatch_config *config);
int __wrap_dispatch_open(struct dispatch *dispatch, const struct dispatch_config *config)
{
	return 0;
}

void __wrap_dispatch_close(struct dispatch *dispatch);
void __wrap_dispatch_close(struct dispatch *dispatch)
{
}

static void note(const char *what)
{
	size_t used = strlen(order);

	snprintf(order + used, sizeof(order) - used, "%s", what);
}

uint64_t __wrap_dispatch_deadline(const struct dispatch *dispatch);
uint64_t __wrap_dispatch_deadline(const struct dispatch *dispatch)
{
	return 0;
}

void __wrap_dispatch_round(struct dispatch *dispatch, unsigned count);
void __wrap_dispatch_round(struct dispatch *dispatch, unsigned count)
{
	note(atomic_load(&stats.busy) ? "r" : "-");
}

int __wrap_script_attach(struct script *script, struct ul_queue *queue);
int __wrap_script_attach(struct script *script, struct ul_queue *queue)
{
	return 0;
}

int __wrap_script_command(struct script *script, const char *request, size_t size, char **answer);
int __wrap_script_command(struct script *script, const char *request, size_t size, char **answer)
{
	note(request);
	*answer = strdup("{}");
	return 0;
}

static void clients_are_answered_one_in_a_round(void **state)
{
	struct backend backend = { 0 };
	struct mailbox requests, answers;
	atomic_int stage = STAGE_RUN;
	struct worker_config config = {
		.queue = { .depth = 1, .wake_fd = -1 },
		.cpus = one_cpu(),
		.backend = &backend,
		.stage = &stage,
		.stats = &stats,
		.stop_fd = -1,
		.ended_fd = -1,
		.requests = &requests,
		.answers = &answers,
	};
	struct worker worker;
	struct letter *letter;
	unsigned count = 0;

	is_fake = true;
	wake_fd = eventfd(0, EFD_NONBLOCK);
	mailbox_open(&requests, wake_fd, 8);
	mailbox_open(&answers, -1, 8);
	for (const char *name = "123"; *name; name++)
		assert_int_equal(mailbox_put(&requests, letter_new(1, 0, name, 1)), 0);
	assert_int_equal(worker_start(&worker, &config), 0);
	assert_int_equal(worker_wait_ready(&worker), 0);
	worker_join(&worker);
	assert_string_equal(order, "r1r2r3");
	assert_false(atomic_load(&stats.busy));
	for (; (letter = mailbox_take(&answers)); count++)
		free(letter);
	assert_int_equal(count, 3);
	mailbox_close(&requests);
	mailbox_close(&answers);
	close(wake_fd);
	is_fake = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_taken_on_the_queues_thread_and_cpus),
		cmocka_unit_test(clients_are_answered_one_in_a_round),
	};

	return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
