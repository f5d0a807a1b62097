/* SPDX-License-Identifier: MIT */
/*
 * Whether somebody has a block device in exclusive use, who has mounted it say.
 * One thread.
 */
#pragma once

#include <stdbool.h>

/* One that cannot be looked at within `wait_ms` is: somebody's I/O on it is under way. */
bool in_use(const char *node, int wait_ms);
