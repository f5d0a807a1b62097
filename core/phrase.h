/* SPDX-License-Identifier: MIT */
/*
 * Clients' requests that the script answers, from JSON to the words that
 * lua/ublk/operate.lua takes, and which queues they are for. One thread.
 */
#pragma once

#include <stdbool.h>

#include "control.h"

struct phrase {
	char *text; /* words with a zero behind each; to be freed */
	size_t size;
	unsigned first, end; /* queues, up to but not `end` */
	int wait_ms;	     /* for all of them */
};

/* Is it such a request? */
bool phrase_known(const char *cmd);

/* "eval, set, …", for a message. */
const char *phrase_names(void);

/* NULL, or an answer that says what is wrong; `phrase->text` is set in the first case only. */
json_t *phrase_make(struct phrase *phrase, const struct control_request *request, unsigned queues);
