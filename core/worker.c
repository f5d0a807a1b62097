/* SPDX-License-Identifier: MIT */
#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#include "blame.h"
#include "dispatch.h"
#include "log.h"

#ifndef PR_SET_IO_FLUSHER /* Linux 5.6 */
#define PR_SET_IO_FLUSHER 57
#define PR_GET_IO_FLUSHER 58
#endif

/*
 * Memory that this thread asks for must not be gained by writing to a disk,
 * which may be the one that it serves. Read back, because servers have set it
 * wrongly for years without a sign.
 */
static void become_io_flusher(unsigned queue)
{
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) || prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) != 1)
		log_warn("queue %u: PR_SET_IO_FLUSHER: %s; under memory pressure the device may "
			 "wait for itself",
			 queue, strerror(errno));
}

static void set_up_thread(const struct worker *w)
{
	unsigned queue = w->config.queue.queue;
	char name[16];
	int ret;

	snprintf(name, sizeof(name), "queue/%u", queue);
	pthread_setname_np(pthread_self(), name);
	prctl(PR_SET_TIMERSLACK, 1); /* ns; by default a sleep may take 50 us longer */
	ret = pthread_setaffinity_np(pthread_self(), sizeof(w->config.cpus), &w->config.cpus);
	if (ret) /* a cpuset may forbid it: slower, not wrong */
		log_warn("queue %u: cannot run on the CPUs of its requests: %s", queue,
			 strerror(ret));
}

static int open_dispatch(struct worker *w, struct dispatch *dispatch, struct transport *transport,
			 struct guard **guard)
{
	if (w->config.debug)
		*guard = guard_open(transport);
	if (w->config.debug && !*guard) {
		log_error("queue %u: --debug: out of memory for copies of the data; lower depth "
			  "or max_io",
			  w->config.queue.queue);
		return -ENOMEM;
	}
	return dispatch_open(dispatch, &(struct dispatch_config){
					       .transport = transport,
					       .script = w->config.script,
					       .backend = w->config.backend,
					       .guard = *guard,
					       .stats = w->config.stats,
					       .device = w->config.device,
					       .stage = w->config.stage,
				       });
}

static void answer_client(struct worker *w, const struct letter *request)
{
	static const char ending[] = "{\"ok\":false,\"error\":\"the device is ending\"}";
	static const char bad[] = "{\"ok\":false,\"error\":\"its script cannot answer\"}";
	const char *text = ending;
	char *answer = NULL;
	struct letter *letter;

	if (atomic_load(w->config.stage) != STAGE_FAIL)
		text = script_command(w->config.script, request->text, request->size, &answer)
			       ? bad
			       : answer;
	letter = letter_new(request->number, request->queue, text, strlen(text));
	if (letter && mailbox_put(w->config.answers, letter))
		free(letter); /* thousands lie there; the client is told that none has come */
	free(answer);
}

/* One in a round: however many ask, and whatever it costs, requests come in between. */
static void answer_next(struct worker *w)
{
	struct mailbox *requests = w->config.requests;
	struct letter *request = mailbox_take(requests);

	if (!request)
		return;
	answer_client(w, request);
	free(request);
	if (atomic_load(&requests->count))
		(void)eventfd_write(requests->fd, 1); /* the next round comes at once */
}

static int serve(struct worker *w, struct transport *transport, struct dispatch *dispatch)
{
	atomic_bool *busy = &w->config.stats->busy;
	int count;

	while ((count = transport->ops->reap(transport, dispatch_deadline(dispatch))) >= 0) {
		atomic_store_explicit(busy, true, memory_order_relaxed);
		dispatch_round(dispatch, (unsigned)count);
		answer_next(w);
		atomic_store_explicit(busy, false, memory_order_relaxed);
		if (transport->shared.stop) {
			transport->shared.stop = 0;
			(void)eventfd_write(w->config.stop_fd, 1);
		}
	}
	return count == -ENODEV ? 0 : count;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct transport *transport = NULL;
	struct guard *guard = NULL;
	struct dispatch dispatch = { 0 };
	struct queue_config queue = w->config.queue;
	uint8_t stack[BLAME_STACK];
	int ret;

	set_up_thread(w);
	become_io_flusher(queue.queue);
	queue.files = w->config.backend->files;
	queue.file_count = w->config.backend->file_count;
	ret = queue_open(&transport, &queue);
	if (ret == 0)
		ret = open_dispatch(w, &dispatch, transport, &guard);
	if (ret == 0)
		ret = script_attach(w->config.script, &transport->shared);
	if (ret == 0) {
		atomic_store(&w->shared, &transport->shared);
		blame_crashes(&transport->shared, stack);
	}
	w->error = ret;
	sem_post(&w->ready);
	if (ret == 0)
		ret = serve(w, transport, &dispatch);

	blame_crashes(NULL, NULL);
	atomic_store(&w->shared, NULL);
	dispatch_close(&dispatch);
	guard_close(guard);
	if (transport)
		transport->ops->close(transport);
	atomic_store(&w->broken, ret != 0);
	(void)eventfd_write(w->config.ended_fd, 1);
	return NULL;
}

static int start_thread(struct worker *w)
{
	pthread_attr_t attr;
	int ret = pthread_attr_init(&attr);

	if (ret)
		return ret;
	ret = pthread_attr_setstacksize(&attr, SCRIPT_STACK);
	if (ret == 0)
		ret = pthread_create(&w->thread, &attr, worker_main, w);
	pthread_attr_destroy(&attr);
	return ret;
}

int worker_start(struct worker *w, const struct worker_config *config)
{
	int ret;

	memset(w, 0, sizeof(*w));
	w->config = *config;
	atomic_store(&config->stats->busy, false); /* a server that hung has left it so */
	sem_init(&w->ready, 0, 0);
	ret = start_thread(w);
	if (ret) {
		log_error("cannot start a thread for queue %u: %s", config->queue.queue,
			  strerror(ret));
		sem_destroy(&w->ready);
	}
	return -ret;
}

int worker_wait_ready(struct worker *w)
{
	while (sem_wait(&w->ready) < 0 && errno == EINTR)
		;
	return w->error;
}

bool worker_broken(const struct worker *w)
{
	return atomic_load(&w->broken);
}

void worker_blame(const struct worker *w, char *text, size_t size)
{
	const struct ul_queue *shared = atomic_load(&w->shared);

	if (shared)
		blame_text(shared, text, size);
	else
		snprintf(text, size, "its end");
}

void worker_join(struct worker *w)
{
	pthread_join(w->thread, NULL);
	sem_destroy(&w->ready);
}
