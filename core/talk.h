/* SPDX-License-Identifier: MIT */
/*
 * Letters on the stream socket between supervisor and server: a head and the
 * text. The supervisor asks, a server may have gone mad: sizes are checked.
 */
#pragma once

#include "mailbox.h"
#include "wire.h"

enum {
	TALK_LETTER = 2 << 20, /* bytes of a text, at most */
	TALK_KEPT = 32 << 20,  /* bytes on their way */
};

void talk_open(struct wire *wire, int fd);

/* 0 or -errno: it was not sent. */
int talk_put(struct wire *wire, uint64_t number, uint32_t queue, const char *text, size_t size);

/* A letter that has come whole, for the caller; NULL: none. *error: -EPROTO when it is none. */
struct letter *talk_take(struct wire *wire, int *error);
