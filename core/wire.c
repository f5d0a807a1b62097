/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_ROOM = 4096, READ_AT_ONCE = 64 << 10 };

static size_t used(const struct wire_half *h)
{
	return h->end - h->begin;
}

/* Room for `size` bytes behind what is there. 0, -ENOBUFS or -ENOMEM. */
static int make_room(struct wire_half *h, size_t size)
{
	size_t room = h->room ? h->room : FIRST_ROOM;
	char *data;

	if (size > h->most - used(h))
		return -ENOBUFS;
	if (h->room - h->end >= size)
		return 0;
	if (used(h))
		memmove(h->data, h->data + h->begin, used(h));
	h->end = used(h);
	h->begin = 0;
	if (h->room - h->end >= size)
		return 0;
	while (room - h->end < size)
		room *= 2;
	data = realloc(h->data, room);
	if (!data)
		return -ENOMEM;
	h->data = data;
	h->room = room;
	return 0;
}

void wire_open(struct wire *w, int fd, size_t most_in, size_t most_out)
{
	*w = (struct wire){ .fd = fd, .in.most = most_in, .out.most = most_out };
	if (fd >= 0)
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void wire_close(struct wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	free(w->in.data);
	free(w->out.data);
	w->in = w->out = (struct wire_half){ 0 };
}

int wire_read(struct wire *w)
{
	size_t left = w->in.most - used(&w->in);
	size_t size = left < READ_AT_ONCE ? left : READ_AT_ONCE;
	ssize_t n;
	int ret;

	if (!size)
		return 0;
	ret = make_room(&w->in, size);
	if (ret)
		return ret;
	do
		n = recv(w->fd, w->in.data + w->in.end, size, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -EPIPE;
	w->in.end += (size_t)n;
	return n ? 0 : -EPIPE;
}

bool wire_full(const struct wire *w)
{
	return used(&w->in) == w->in.most;
}

char *wire_line(struct wire *w, size_t *size)
{
	struct wire_half *h = &w->in;
	char *line = h->data ? h->data + h->begin : NULL;
	char *end;

	if (!line || used(h) <= w->searched)
		return NULL;
	end = memchr(line + w->searched, '\n', used(h) - w->searched);
	if (!end) {
		w->searched = used(h);
		return NULL;
	}
	*end = '\0';
	*size = (size_t)(end - line);
	wire_skip(w, *size + 1);
	return line;
}

bool wire_has_line(const struct wire *w)
{
	size_t left = used(&w->in);

	return left > w->searched &&
	       memchr(w->in.data + w->in.begin + w->searched, '\n', left - w->searched);
}

const void *wire_peek(struct wire *w, size_t size)
{
	return used(&w->in) >= size ? w->in.data + w->in.begin : NULL;
}

void wire_skip(struct wire *w, size_t size)
{
	w->in.begin += size;
	w->searched = 0;
}

int wire_put(struct wire *w, const void *data, size_t size)
{
	int ret = make_room(&w->out, size);

	if (ret || !size)
		return ret;
	memcpy(w->out.data + w->out.end, data, size);
	w->out.end += size;
	return 0;
}

int wire_flush(struct wire *w)
{
	while (wire_pending(w)) {
		ssize_t n = send(w->fd, w->out.data + w->out.begin, used(&w->out),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			w->out.begin += (size_t)n;
		else if (errno == EAGAIN)
			return 0;
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

bool wire_pending(const struct wire *w)
{
	return used(&w->out) > 0;
}
