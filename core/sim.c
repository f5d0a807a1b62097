/* SPDX-License-Identifier: MIT */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>

#include "log.h"

struct sim {
	struct transport base;
	struct sim_config config;
	uint16_t *idle; /* tags that may be issued; the one answered last is issued first */
	unsigned idle_count;
	bool *owed; /* issued and not answered yet */
	bool exhausted;
	unsigned faults;
};

static int sim_reap(struct transport *t)
{
	struct sim *sim = (struct sim *)t;
	const struct sim_config *cfg = &sim->config;
	unsigned count = 0;

	while (!sim->exhausted && count < cfg->batch && sim->idle_count) {
		uint16_t tag = sim->idle[sim->idle_count - 1];
		struct ul_req *req = &t->shared.reqs[tag];
		uint8_t *data = transport_buffer(t, tag);

		if (!cfg->next(cfg->arg, req, data)) {
			sim->exhausted = true;
			break;
		}
		req->buf = transport_op_has_data(req->op) ? data : NULL;
		sim->idle_count--;
		sim->owed[tag] = true;
		t->shared.batch[count++] = tag;
	}
	if (count)
		return (int)count;
	if (sim->idle_count == cfg->depth)
		return -ENODEV;

	/* Requests are out and no event can bring an answer any more. */
	sim->faults += cfg->depth - sim->idle_count;
	log_error("sim: %u tags were never answered", cfg->depth - sim->idle_count);
	return -EPROTO;
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
