/* SPDX-License-Identifier: MIT */
/*
 * Where the numbers of ublk.shared are. A server has them in memory that the
 * next one of its device gets, too; they are as the last one left them. Main
 * thread, before the first script is loaded.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "api.h"

struct ul_shared {
	_Atomic int64_t value;
	char name[UL_NAME];
} __attribute__((aligned(64))); /* cells do not share cache lines */

struct shared_table {
	unsigned used;
	struct ul_shared cells[UL_SHARED];
};

void shared_use(struct shared_table *table);
