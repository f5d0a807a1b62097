/* SPDX-License-Identifier: MIT */
/*
 * Memory of the backings that outlives their server, where the device is to be
 * recovered: parts of one file without a name that the supervisor has, given
 * out in the order in which they are asked for. The next server asks in the
 * same order, and finds what the last one left. Main thread of the server.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LASTING_AREAS = 64 };

/* What has been given out; in memory that the supervisor shares with each server. */
struct lasting_share {
	uint32_t areas;
	uint64_t size[LASTING_AREAS]; /* bytes */
};

/* From here on areas last, in file `fd`. Without it they are this process's alone. */
void lasting_use(struct lasting_share *share, int fd);

/*
 * `size` bytes; pages come when they are written. `old`: they are as the last server left them,
 * else zeros. NULL: errno says why; EPERM: the last server has asked for another size.
 */
void *lasting_open(size_t size, bool *old);
void lasting_close(void *memory, size_t size);

/* Give whole pages back: they read as zeros. Any thread. 0 or -errno. */
int lasting_clear(void *start, size_t length);
