/* SPDX-License-Identifier: MIT */
#include "phrase.h"

#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 5000 };

/* What a request takes: words in this order. */
static const struct kind {
	const char *cmd;
	const char *word[2]; /* members of the request, texts; the second may be missing */
	bool set;	     /* "options", an object, instead */
	bool every;	     /* for all queues, if the request does not say which */
} kinds[] = {
	{ "eval", { "code" }, .every = false }, { "complete", { "word" }, .every = false },
	{ "hold", { NULL }, .every = true },	{ "release", { "name", "verdict" }, .every = true },
	{ "mark", { "text" }, .every = true },	{ "set", { NULL }, .set = true, .every = true },
};

enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

static const struct kind *find(const char *cmd)
{
	for (unsigned i = 0; i < KIND_COUNT; i++)
		if (strcmp(kinds[i].cmd, cmd) == 0)
			return &kinds[i];
	return NULL;
}

bool phrase_known(const char *cmd)
{
	return find(cmd);
}

const char *phrase_names(void)
{
	return "eval, set, hold, release, mark, complete";
}

static bool add(struct phrase *p, const char *text, size_t size)
{
	char *longer = realloc(p->text, p->size + size);

	if (!longer)
		return false;
	memcpy(longer + p->size, text, size);
	p->text = longer;
	p->size += size;
	return true;
}

static bool add_word(struct phrase *p, const char *word)
{
	return add(p, word, strlen(word) + 1);
}

/* "NAME=VALUE", as on the command line; a number or a truth value is its text. */
static bool add_option(struct phrase *p, const char *name, const json_t *value)
{
	char *text = json_is_string(value)
			     ? strdup(json_string_value(value))
			     : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
	bool ok = text && add(p, name, strlen(name)) && add(p, "=", 1) && add_word(p, text);

	free(text);
	return ok;
}

static json_t *add_options(struct phrase *p, const json_t *options)
{
	const char *name;
	json_t *value;

	if (!json_is_object(options))
		return control_error("set needs \"options\", as in {\"rate\": \"1%%\"}");
	json_object_foreach((json_t *)options, name, value) {
		if (json_is_object(value) || json_is_array(value) || json_is_null(value))
			return control_error("set: an option is a text, a number, true or false");
		if (!add_option(p, name, value))
			return control_error("out of memory");
	}
	return NULL;
}

static json_t *add_words(struct phrase *p, const struct kind *kind, const json_t *body)
{
	for (unsigned i = 0; i < 2 && kind->word[i]; i++) {
		const json_t *word = json_object_get(body, kind->word[i]);

		if (i == 1 && (!word || json_is_null(word)))
			continue;
		if (!json_is_string(word))
			return control_error("%s needs \"%s\", a text", kind->cmd, kind->word[i]);
		if (!add_word(p, json_string_value(word)))
			return control_error("out of memory");
	}
	return NULL;
}

static json_t *choose_queues(struct phrase *p, const struct kind *kind, const json_t *body,
			     unsigned queues)
{
	const json_t *queue = json_object_get(body, "queue");
	json_int_t n = json_integer_value(queue);

	p->first = 0;
	p->end = kind->every ? queues : 1;
	if (!queue)
		return NULL;
	if (json_is_string(queue) && strcmp(json_string_value(queue), "all") == 0) {
		p->end = queues;
		return NULL;
	}
	if (!json_is_integer(queue) || n < 0 || n >= queues)
		return control_error("\"queue\" is a number from 0 to %u, or \"all\"", queues - 1);
	p->first = (unsigned)n;
	p->end = p->first + 1;
	return NULL;
}

static json_t *choose_wait(struct phrase *p, const json_t *body)
{
	const json_t *timeout = json_object_get(body, "timeout");
	double seconds = json_number_value(timeout);

	p->wait_ms = WAIT_MS;
	if (!timeout)
		return NULL;
	if (!json_is_number(timeout) || !(seconds > 0 && seconds <= 3600))
		return control_error("\"timeout\" is a number of seconds, up to 3600");
	p->wait_ms = (int)(seconds * 1000) + 1;
	return NULL;
}

json_t *phrase_make(struct phrase *p, const struct control_request *request, unsigned queues)
{
	const struct kind *kind = find(request->cmd);
	json_t *error;

	*p = (struct phrase){ 0 };
	error = add_word(p, kind->cmd) ? NULL : control_error("out of memory");
	if (!error)
		error = choose_queues(p, kind, request->body, queues);
	if (!error)
		error = choose_wait(p, request->body);
	if (!error)
		error = kind->set ? add_options(p, json_object_get(request->body, "options"))
				  : add_words(p, kind, request->body);
	if (error) {
		free(p->text);
		p->text = NULL;
	}
	return error;
}
