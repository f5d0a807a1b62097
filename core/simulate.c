/* SPDX-License-Identifier: MIT */
#include "simulate.h"

#include <errno.h>

int simulate_open(struct simulation *s, const struct ul_device *dev, struct script *script,
		  struct backend *backend, struct stats *stats, const struct sim_config *config)
{
	int ret = sim_open(&s->transport, config);

	if (ret == 0 && s->debug) {
		s->guard = guard_open(s->transport);
		ret = s->guard ? 0 : -ENOMEM;
	}
	if (ret == 0 && script)
		ret = script_attach(script, &s->transport->shared);
	if (ret)
		return ret;
	return dispatch_open(&s->dispatch, &(struct dispatch_config){
						   .transport = s->transport,
						   .script = script,
						   .backend = backend,
						   .guard = s->guard,
						   .stats = stats,
						   .device = dev,
						   .stage = &s->stage,
					   });
}

int simulate_round(struct simulation *s)
{
	int count = s->transport->ops->reap(s->transport, dispatch_deadline(&s->dispatch));

	if (count >= 0)
		dispatch_round(&s->dispatch, (unsigned)count);
	return count;
}

unsigned simulate_faults(const struct simulation *s)
{
	return sim_faults(s->transport);
}

unsigned simulate_misuses(const struct simulation *s)
{
	return s->guard ? guard_check(s->guard) : 0;
}

void simulate_close(struct simulation *s)
{
	dispatch_close(&s->dispatch);
	guard_close(s->guard);
	s->guard = NULL;
	if (s->transport)
		s->transport->ops->close(s->transport);
	s->transport = NULL;
}
