/* SPDX-License-Identifier: MIT */
/*
 * For --debug: handlers work on copies of the data, with a red zone before and
 * behind, and what is not theirs at the moment is filled with a pattern. A
 * write beyond a buffer is told when its request is answered, a write to a
 * buffer whose request has been answered when the tag is used again, or at the
 * end; a read of either gives the pattern. Queue thread.
 */
#pragma once

#include "transport.h"

enum { GUARD_PATTERN = 0xdb };

struct guard;

/* Put copies in the place of the transport's buffers. Before script_attach. NULL: no memory. */
struct guard *guard_open(struct transport *transport);

/* `req` goes to the script: its data is the copy. */
void guard_lend(struct guard *guard, struct ul_req *req);

/* `req` is answered: what a read gave goes to the client. Nothing when it was not lent. */
void guard_return(struct guard *guard, struct ul_req *req);

/* Look at all buffers that nobody has; how many misuses there have been. */
unsigned guard_check(struct guard *guard);

/* Looks once more. NULL is fine. */
void guard_close(struct guard *guard);
