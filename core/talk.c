/* SPDX-License-Identifier: MIT */
#include "talk.h"

#include <errno.h>
#include <string.h>

struct head {
	uint64_t number;
	uint32_t queue, size;
};

void talk_open(struct wire *wire, int fd)
{
	wire_open(wire, fd, sizeof(struct head) + TALK_LETTER, TALK_KEPT);
}

int talk_put(struct wire *wire, uint64_t number, uint32_t queue, const char *text, size_t size)
{
	struct head head = { number, queue, (uint32_t)size };
	size_t before = wire->out.end - wire->out.begin;
	int ret;

	if (size > TALK_LETTER || before + sizeof(head) + size > TALK_KEPT)
		return -ENOBUFS;
	ret = wire_put(wire, &head, sizeof(head));
	if (ret)
		return ret;
	ret = wire_put(wire, text, size);
	if (ret) /* no memory: half a letter must not stay */
		wire->out.end -= sizeof(head);
	return ret;
}

struct letter *talk_take(struct wire *wire, int *error)
{
	const char *data = wire_peek(wire, sizeof(struct head));
	struct letter *letter;
	struct head head;

	*error = 0;
	if (!data)
		return NULL;
	memcpy(&head, data, sizeof(head));
	if (head.size > TALK_LETTER) {
		*error = -EPROTO;
		return NULL;
	}
	data = wire_peek(wire, sizeof(head) + head.size);
	if (!data)
		return NULL;
	letter = letter_new(head.number, head.queue, data + sizeof(head), head.size);
	if (!letter)
		*error = -ENOMEM;
	else
		wire_skip(wire, sizeof(head) + head.size);
	return letter;
}
