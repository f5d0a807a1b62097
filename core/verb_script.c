/* SPDX-License-Identifier: MIT */
/* The verbs that ask a running device's script: eval, set, hold, release, mark. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "exit.h"
#include "log.h"
#include "verb_print.h"
#include "verbs.h"

/* The request with the options that all of them have; NULL: a mistake in those, logged. */
static json_t *with_options(const struct verb_call *call, json_t *request, int *wait_ms)
{
	char *end = "";
	double seconds = call->timeout ? strtod(call->timeout, &end) : 0;

	*wait_ms = CLIENT_WAIT_MS;
	if (call->timeout && (*end || !(seconds > 0 && seconds <= 3600))) {
		log_error("--timeout %s: needs seconds, more than 0 and up to 3600", call->timeout);
		json_decref(request);
		return NULL;
	}
	if (call->timeout) {
		json_object_set_new(request, "timeout", json_real(seconds));
		*wait_ms += (int)(seconds * 1000);
	}
	if (call->queue && strcmp(call->queue, "all") == 0) {
		json_object_set_new(request, "queue", json_string("all"));
	} else if (call->queue) {
		long n = strtol(call->queue, &end, 10);

		if (end == call->queue || *end) {
			log_error("--queue %s: needs a number, or all", call->queue);
			json_decref(request);
			return NULL;
		}
		json_object_set_new(request, "queue", json_integer(n));
	}
	return request;
}

/* What the queues say, as a list; or NULL, and *status is the exit status. */
static json_t *ask(const struct verb_call *call, json_t *request, int *status)
{
	int wait_ms;
	json_t *answer, *queues;

	*status = EXIT_USAGE;
	if (!request) {
		log_error("a word is no UTF-8");
		return NULL;
	}
	request = with_options(call, request, &wait_ms);
	if (!request)
		return NULL;
	answer = client_request(call->id, request, wait_ms);
	*status = answer ? EXIT_OK : EXIT_FAILED;
	queues = json_incref(json_object_get(answer, "queues"));
	json_decref(answer);
	return queues;
}

static void print_values(const json_t *queue)
{
	verb_print_values(json_object_get(queue, "values"));
}

static void print_options(const json_t *queue)
{
	verb_print_members(json_object_get(queue, "options"));
}

static void print_holds(const json_t *queue)
{
	const json_t *hold;
	size_t i;

	json_array_foreach(json_object_get(queue, "holds"), i, hold)
		printf("%s %s: %d\n", json_string_value(json_object_get(hold, "kind")),
		       json_string_value(json_object_get(hold, "name")),
		       (int)json_integer_value(json_object_get(hold, "count")));
}

static void print_released(const json_t *queue)
{
	printf("%d released\n", (int)json_integer_value(json_object_get(queue, "released")));
}

static void print_nothing(const json_t *queue)
{
}

/* Ask, and print each queue's answer; of several after its number. */
static int show(const struct verb_call *call, json_t *request, void (*print)(const json_t *))
{
	int status;
	json_t *queues = ask(call, request, &status);
	const json_t *queue;
	size_t i;

	if (queues && call->options & VERB_JSON) {
		if (verb_print_json(queues))
			status = EXIT_FAILED;
	} else if (queues) {
		json_array_foreach(queues, i, queue) {
			if (json_array_size(queues) > 1 && print != print_nothing)
				printf("queue %d:\n", (int)i);
			print(queue);
		}
	}
	json_decref(queues);
	return status;
}

int verb_eval(const struct verb_call *call)
{
	return show(call, json_pack("{s:s, s:s}", "cmd", "eval", "code", call->words[0]),
		    print_values);
}

int verb_set(const struct verb_call *call)
{
	json_t *options = json_object();

	for (unsigned i = 0; i < call->count; i++) {
		char *equals = strchr(call->words[i], '=');

		if (!equals || equals == call->words[i]) {
			log_error("set: %s: options are written key=value", call->words[i]);
			json_decref(options);
			return EXIT_USAGE;
		}
		*equals = '\0';
		if (json_object_get(options, call->words[i])) {
			log_error("set: %s is given twice", call->words[i]);
			json_decref(options);
			return EXIT_USAGE;
		}
		if (json_object_set_new(options, call->words[i], json_string(equals + 1))) {
			log_error("set: %s: is no UTF-8", call->words[i]);
			json_decref(options);
			return EXIT_USAGE;
		}
	}
	return show(call, json_pack("{s:s, s:o}", "cmd", "set", "options", options), print_options);
}

int verb_hold(const struct verb_call *call)
{
	return show(call, json_pack("{s:s}", "cmd", "hold"), print_holds);
}

int verb_release(const struct verb_call *call)
{
	/* A verdict that is none must not let them go on with none. */
	json_t *request = json_pack("{s:s, s:s, s:s*}", "cmd", "release", "name", call->words[0],
				    "verdict", call->count > 1 ? call->words[1] : NULL);

	return show(call, request, print_released);
}

int verb_mark(const struct verb_call *call)
{
	return show(call, json_pack("{s:s, s:s}", "cmd", "mark", "text", call->words[0]),
		    print_nothing);
}
