/* SPDX-License-Identifier: MIT */
#include "dispatch_data.h"

#include <errno.h>
#include <string.h>

#include "lane.h"

int dispatch_error(int ret)
{
	return ret == -EAGAIN || ret == -EREMCHG ? -EIO : ret;
}

int dispatch_bring(struct dispatch *d, struct ul_req *req)
{
	const struct transport *t = d->config.transport;
	uint8_t *buf = transport_buffer(t, req->tag);
	int ret = 0;

	if (!d->lazy || req->buf || !transport_op_has_data(req->op))
		return 0;
	if (transport_op_brings_data(req->op))
		ret = dispatch_error(lane_fetch(t->lane, req, 0, buf, req->length));
	if (ret == 0) /* or who asks again would get what the buffer held before */
		req->buf = buf;
	return ret;
}

int dispatch_bring_metadata(struct dispatch *d, struct ul_req *req)
{
	const struct lane *lane = d->config.transport->lane;
	int ret = 0;

	if (!(req->flags & UL_FLAG_INTEGRITY))
		return 0;
	if (req->op == UL_OP_WRITE)
		ret = dispatch_error(lane_fetch_metadata(lane, req));
	else
		memset(lane_metadata(lane, req), 0xff, lane_metadata_length(lane, req));
	req->shown = ret == 0;
	return ret;
}

int dispatch_give(struct dispatch *d, struct ul_req *req, int ret)
{
	const struct lane *lane = d->config.transport->lane;
	bool shown = req->shown;

	req->shown = 0;
	if (ret || !transport_op_takes_data(req->op))
		return ret;
	if (req->buf)
		ret = lane_store(lane, req, 0, req->buf, req->length);
	if (ret == 0 && shown)
		ret = lane_store_metadata(lane, req);
	return dispatch_error(ret);
}
