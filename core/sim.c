/* SPDX-License-Identifier: MIT */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"

/* A timer that goes off again and again must not hide that the requests wait for nothing. */
enum { MOST_FRUITLESS = 100000 };

struct sim {
	struct transport base;
	struct sim_config config;
	uint16_t *idle; /* tags that may be issued; the one answered last is issued first */
	unsigned idle_count;
	bool *owed;	    /* issued and not answered yet */
	uint64_t clock;	    /* ns */
	unsigned fruitless; /* reaps in a row that gave nothing, and nothing was answered */
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

static int sim_reap(struct transport *t, uint64_t deadline)
{
	struct sim *sim = (struct sim *)t;
	unsigned count = issue(sim);

	if (count)
		return (int)count;
	if (sim->idle_count == sim->config.depth)
		return -ENODEV;
	if (deadline != UINT64_MAX && sim->fruitless++ < MOST_FRUITLESS) {
		if (sim->clock < deadline)
			sim->clock = deadline;
		return 0;
	}

	/* Requests are out and no event can bring an answer any more. */
	sim->faults += sim->config.depth - sim->idle_count;
	log_error("sim: %u tags were never answered", sim->config.depth - sim->idle_count);
	return -EPROTO;
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
		log_error("sim: tag %u was answered, but it owed no answer", tag);
		sim->faults++;
		return;
	}
	sim->fruitless = 0;
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
	    transport_alloc(&sim->base, config->queue, config->depth, config->max_io)) {
		sim_close(&sim->base);
		return -ENOMEM;
	}
	/* Tag 0 first, as the block layer tends to do. */
	for (unsigned i = 0; i < config->depth; i++)
		sim->idle[sim->idle_count++] = (uint16_t)(config->depth - 1 - i);
	*transport = &sim->base;
	return 0;
}

unsigned sim_faults(const struct transport *transport)
{
	return ((const struct sim *)transport)->faults;
}
