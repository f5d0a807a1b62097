/* SPDX-License-Identifier: MIT */
#include "blame.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "stats.h"

static __thread const struct ul_queue *served;

void blame_text(const struct ul_queue *queue, char *text, size_t size)
{
	uint32_t slot = queue->at;
	const struct ul_req *req;

	if (slot == (uint32_t)UL_NO_SLOT) {
		snprintf(text, size, "no request");
	} else if (slot >= queue->depth) {
		snprintf(text, size, "a task");
	} else {
		const char *op;

		req = &queue->reqs[slot];
		op = stats_op_name(req->op);
		snprintf(text, size, "a %s of %u bytes at sector %.0f", op ? op : "request",
			 req->length, req->sector);
	}
}

/* Not all that is called here is safe in a handler; but the process is at its end anyway. */
static void on_crash(int signal)
{
	char text[128];

	if (served) {
		blame_text(served, text, sizeof(text));
		log_error("queue %u: signal %d (%s) at %s", served->queue, signal,
			  strsignal(signal), text);
	}
	(void)raise(signal); /* by default now: also when nothing faults again */
}

void blame_crashes(const struct ul_queue *queue, void *stack)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	/* After it the signal has its way: a core, and the status. */
	struct sigaction action = { .sa_handler = on_crash, .sa_flags = SA_ONSTACK | SA_RESETHAND };
	const stack_t other = { .ss_sp = stack, .ss_size = BLAME_STACK };

	served = queue;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)action; /* a sanitizer's own report says more */
	(void)other;
	(void)signals;
#else
	if (!queue || sigaltstack(&other, NULL) < 0)
		return;
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
#endif
}
