/* SPDX-License-Identifier: MIT */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"

/*
 * Timers that tick for nobody and tasks that are always ready must not keep a run from its end.
 * So many rounds without a request are as exact as the timers say, and each answer adds some; then
 * time begins to leap, each round by a hundredth of what has passed since the last answer: a
 * century takes some 3000 rounds. A round in which tasks are ready again and again resumes a
 * thousand of them, and weighs and takes as much.
 */
enum { EXACT_ROUNDS = 1000000, ANSWER_ROUNDS = 1000, BUSY_ROUND = 1000, LEAP = 100 };

static const uint64_t BUSY_NS = 100000;
static const uint64_t MOST_NS = 100ULL * 365 * 86400 * 1000000000; /* of a run */

struct sim {
	struct transport base;
	struct sim_config config;
	uint16_t *idle; /* tags that may be issued; the one answered last is issued first */
	unsigned idle_count;
	bool *owed;	    /* issued and not answered yet */
	uint64_t clock;	    /* ns */
	uint64_t answered;  /* when the last answer came */
	bool ready;	    /* in the last of these somebody was ready at once */
	unsigned fruitless; /* reaps that gave nothing, less ANSWER_ROUNDS for each answer */
	unsigned faults;
};

static unsigned issue(struct sim *sim)
{
	const struct sim_config *cfg = &sim->config;
	struct transport *t = &sim->base;
	unsigned count = 0;

	while (count < cfg->batch && sim->idle_count) {
		uint16_t tag = sim->idle[sim->idle_count - 1];
		struct ul_req *req = &t->shared.reqs[tag];
		uint8_t *data = transport_buffer(t, tag);

		if (!cfg->next(cfg->arg, req, data))
			break;
		req->buf = transport_op_has_data(req->op) ? data : NULL;
		sim->idle_count--;
		sim->owed[tag] = true;
		t->shared.batch[count++] = tag;
	}
	return count;
}

/* Nobody can go on before `deadline`; when that is past, somebody has something to do now. */
static int pass_time(struct sim *sim, uint64_t deadline)
{
	bool ready = deadline <= sim->clock, busy = ready && sim->ready;
	uint64_t step = busy ? BUSY_NS : ready ? 0 : deadline - sim->clock;

	sim->ready = ready;
	if (sim->config.real_time)
		return 0;
	if (sim->fruitless < EXACT_ROUNDS) {
		sim->fruitless += busy ? BUSY_ROUND : 1;
	} else {
		uint64_t leap = (sim->clock - sim->answered) / LEAP;

		if (sim->clock > MOST_NS)
			return -ETIME;
		if (step < leap)
			step = leap;
	}
	sim->clock += step;
	return 0;
}

static int sim_reap(struct transport *t, uint64_t deadline)
{
	struct sim *sim = (struct sim *)t;
	unsigned count = issue(sim);

	if (count)
		return (int)count;
	if (sim->idle_count == sim->config.depth)
		return -ENODEV;
	return deadline == UINT64_MAX ? -EPROTO : pass_time(sim, deadline);
}

static uint64_t sim_now(const struct transport *t)
{
	const struct sim *sim = (const struct sim *)t;

	return sim->config.real_time ? clock_now() : sim->clock;
}

static void sim_answer(struct transport *t, uint16_t tag, int32_t result)
{
	struct sim *sim = (struct sim *)t;
	const struct sim_config *cfg = &sim->config;

	if (tag >= cfg->depth || !sim->owed[tag]) {
		log_bug("dispatch: tag %u was answered, but it owed no answer", tag);
		sim->faults++;
		return;
	}
	sim->answered = sim->clock;
	sim->fruitless -= sim->fruitless < ANSWER_ROUNDS ? sim->fruitless : ANSWER_ROUNDS;
	sim->owed[tag] = false;
	sim->idle[sim->idle_count++] = tag;
	if (cfg->done)
		cfg->done(cfg->arg, &t->shared.reqs[tag], transport_buffer(t, tag), result);
}

static void sim_close(struct transport *t)
{
	struct sim *sim = (struct sim *)t;

	transport_free(t);
	free(sim->owed);
	free(sim->idle);
	free(sim);
}

static const struct transport_ops sim_ops = {
	.reap = sim_reap,
	.answer = sim_answer,
	.now = sim_now,
	.close = sim_close,
};

int sim_open(struct transport **transport, const struct sim_config *config)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	if (!sim)
		return -ENOMEM;
	sim->base.ops = &sim_ops;
	sim->config = *config;
	sim->idle = calloc(config->depth, sizeof(*sim->idle));
	sim->owed = calloc(config->depth, sizeof(*sim->owed));
	if (!sim->idle || !sim->owed ||
	    transport_alloc(&sim->base, config->queue, config->depth, config->max_io, false)) {
		sim_close(&sim->base);
		return -ENOMEM;
	}
	/* Tag 0 first, as the block layer tends to do. */
	for (unsigned i = 0; i < config->depth; i++)
		sim->idle[sim->idle_count++] = (uint16_t)(config->depth - 1 - i);
	*transport = &sim->base;
	return 0;
}

unsigned sim_owed(const struct transport *transport)
{
	const struct sim *sim = (const struct sim *)transport;

	return sim->config.depth - sim->idle_count;
}

unsigned sim_faults(const struct transport *transport)
{
	return ((const struct sim *)transport)->faults + sim_owed(transport);
}
