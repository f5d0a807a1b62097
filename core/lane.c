/* SPDX-License-Identifier: MIT */
#include "lane.h"

#include <errno.h>
#include <stddef.h>

struct io_uring_sqe *lane_entry(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe && io_uring_submit(ring) >= 0)
		sqe = io_uring_get_sqe(ring);
	return sqe;
}

int lane_start(struct lane *lane, struct lane_op *op, unsigned file, const struct io_uring_sqe *sqe)
{
	struct io_uring_sqe *entry = lane_entry(lane->ring);

	if (!entry)
		return -ENOMEM;
	*entry = *sqe;
	entry->fd = (int)(LANE_FIRST_FILE + file);
	entry->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(entry, op);
	lane->flying++;
	return 0;
}

void lane_end(struct lane *lane, struct lane_op *op, int32_t result)
{
	op->result = result;
	op->next = NULL;
	if (lane->first)
		lane->last->next = op;
	else
		lane->first = op;
	lane->last = op;
}

void lane_run(struct lane *lane)
{
	while (lane->first) {
		struct lane_op *op = lane->first;

		lane->first = op->next;
		lane->flying--; /* who is called may start it again */
		op->done(op, op->result);
	}
}
