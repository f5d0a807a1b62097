/* SPDX-License-Identifier: MIT */
/*
 * The data and metadata of requests between the driver and the memory of their
 * tags, where they do not come and go by themselves. For dispatch.c, of its
 * queue's thread.
 */
#pragma once

#include "dispatch.h"

/* EAGAIN and EREMCHG of a host's file are no errors to the block layer, see errno.lua. */
int dispatch_error(int ret);

/*
 * Whoever wants to see the data of `req` finds it in the tag's buffer: what a write brings now,
 * what a read is to get when it is answered. 0 or -errno.
 */
int dispatch_bring(struct dispatch *dispatch, struct ul_req *req);

/*
 * The script may look at a request's metadata, too: in the memory of the tag, and there it stays.
 * What a read is to get says at first that there is nothing to check. 0 or -errno.
 */
int dispatch_bring_metadata(struct dispatch *dispatch, struct ul_req *req);

/* What is in the tag's memory and not with the driver yet. `ret`: what came of it so far. */
int dispatch_give(struct dispatch *dispatch, struct ul_req *req, int ret);
