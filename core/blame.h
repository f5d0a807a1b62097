/* SPDX-License-Identifier: MIT */
/*
 * Which request a queue's script is at, for messages about one that does not
 * come back, or that has crashed the process: any thread may ask, and a signal
 * handler does.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "api.h"

/* "a write of 4096 bytes at sector 8", "a task", … in `text`. It may be over by then. */
void blame_text(const struct ul_queue *queue, char *text, size_t size);

/*
 * A signal by which a fault of the calling thread ends the process (SIGSEGV, say) is logged from
 * here on, with the request of `queue`; NULL: not any more. The thread needs a stack for that, of
 * BLAME_STACK bytes at `stack`, until its end.
 */
enum { BLAME_STACK = 64 << 10 };
void blame_crashes(const struct ul_queue *queue, void *stack);
