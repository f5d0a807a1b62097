/* SPDX-License-Identifier: MIT */
/*
 * A stream socket that nobody ever waits for: what comes is kept until a line
 * or a number of bytes is whole, what goes until the other side takes it, and
 * both have a bound. Any thread, one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct wire_half {
	char *data;
	size_t begin, end; /* what is in it */
	size_t room, most; /* allocated; at most */
};

struct wire {
	int fd;
	struct wire_half in, out;
	size_t searched; /* of `in`, from its beginning: no end of a line is there */
};

/* `fd` becomes non-blocking, and the wire's own; -1: closed. Nothing is allocated yet. */
void wire_open(struct wire *wire, int fd, size_t most_in, size_t most_out);
void wire_close(struct wire *wire);

/*
 * Take some of what has come. 0, -EPIPE: the other side sends no more, -ENOMEM.
 * When all room is taken nothing more is read: see wire_full.
 */
int wire_read(struct wire *wire);

/* Is there as much as may be, not yet used? */
bool wire_full(const struct wire *wire);

/* The next whole line of `size` bytes and a zero; it lives until the next wire_read. NULL: none. */
char *wire_line(struct wire *wire, size_t *size);

bool wire_has_line(const struct wire *wire);

/* The next `size` bytes if they have come, as long as wire_line's; NULL: not yet. */
const void *wire_peek(struct wire *wire, size_t size);
void wire_skip(struct wire *wire, size_t size);

/* To be sent by wire_flush. 0, -ENOBUFS: the other side is to take some before, -ENOMEM. */
int wire_put(struct wire *wire, const void *data, size_t size);

/* Send what is taken at once. 0, or -errno: the other side is gone. */
int wire_flush(struct wire *wire);

/* Is there something to send? */
bool wire_pending(const struct wire *wire);
