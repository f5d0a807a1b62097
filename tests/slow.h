/* SPDX-License-Identifier: MIT */
/*
 * A backend that must be waited for, over one that need not be: what it is
 * asked for is done in a later round, and the newest of it first. One thread.
 */
#pragma once

#include "backend.h"

/* Over `real`, which it closes. */
struct backend *slow_open(struct backend *real);

/* From now on a request fails with what `fails` says of it, if that is not 0. */
void slow_fail(struct backend *slow, int (*fails)(const struct ul_req *req));

/* Do what it was asked for before now. */
void slow_tick(struct backend *slow);
