/* SPDX-License-Identifier: MIT */
#include "operate.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asks.h"
#include "clock.h"
#include "control.h"
#include "features.h"
#include "log.h"
#include "recovery.h"
#include "stats_json.h"

/* Who waits for the device's end. */
struct waiting {
	uint64_t client;
	json_t *id;
	struct waiting *next;
};

struct operate {
	struct device *device;
	struct control *control;
	struct asks asks; /* what the script is asked */
	struct waiting *waiting;
	uint64_t started;
	bool wants_end;
};

/* The answer, or LATER: somebody has taken it upon himself. NULL: no memory for one. */
typedef json_t *command(struct operate *o, const struct control_request *request);

static json_t later;
#define LATER (&later)

/* Of a path or a word, which may be anything; what is no UTF-8 cannot be said in JSON. */
static json_t *text_json(const char *word)
{
	json_t *text = json_string(word);

	return text ? text : json_string("?");
}

static json_t *words_json(char *const *words, unsigned count)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(list, text_json(words[i]));
	return list;
}

static json_t *flags_json(uint64_t flags)
{
	char text[512];
	json_t *list = json_array();
	char *rest = text, *name;

	features_text(flags, text, sizeof(text));
	while ((name = strsep(&rest, " ")))
		if (*name)
			json_array_append_new(list, json_string(name));
	return list;
}

static json_t *info(struct operate *o, const struct control_request *request)
{
	struct device_facts f;
	json_t *root;

	device_facts(o->device, &f);
	root = json_pack("{s:s, s:i, s:o, s:o, s:b, s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:b}",
			 "device", device_node(o->device), "number", (int)f.info->dev_id, "script",
			 text_json(f.config->path), "args",
			 words_json(f.config->args, f.config->arg_count), "chunk",
			 f.config->chunk != NULL, "seed", (json_int_t)f.config->seed, "size",
			 (json_int_t)f.spec->size, "queues", (int)f.info->nr_hw_queues, "threads",
			 (int)f.spec->threads, "depth", (int)f.info->queue_depth, "block_size",
			 (int)f.spec->logical_block_size, "max_io", (int)f.info->max_io_buf_bytes,
			 "read_only", f.spec->read_only);
	if (root)
		json_object_update_new(root,
				       json_pack("{s:i, s:i, s:f, s:s, s:o}", "supervisor",
						 (int)getpid(), "server", (int)f.server, "uptime",
						 (double)(clock_now() - o->started) / CLOCK_SECOND,
						 "version", UBLK_LUA_VERSION, "flags",
						 flags_json(f.info->flags)));
	if (root)
		json_object_update_new(root,
				       json_pack("{s:s, s:i}", "recover", recovery_name(f.recover),
						 "servers", (int)f.servers));
	return root;
}

static json_t *stats(struct operate *o, const struct control_request *request)
{
	struct stats_report report;

	device_report(o->device, &report);
	return json_pack("{s:o, s:o, s:f}", "stats", stats_report_json(&report), "latency",
			 stats_latencies_json(&report), "uptime",
			 (double)(clock_now() - o->started) / CLOCK_SECOND);
}

/* Answered when the device is gone. */
static json_t *stop(struct operate *o, const struct control_request *request)
{
	struct waiting *waiting;

	if (json_is_true(json_object_get(request->body, "if_unused")) && !o->wants_end &&
	    device_try_stop(o->device))
		return control_error("%s is in use", device_node(o->device));
	o->wants_end = true;
	waiting = malloc(sizeof(*waiting));
	if (!waiting)
		return control_error("out of memory");
	*waiting = (struct waiting){ request->client, json_incref(request->id), o->waiting };
	o->waiting = waiting;
	return LATER;
}

static const struct {
	const char *name;
	command *run;
} commands[] = {
	{ "info", info },
	{ "stats", stats },
	{ "stop", stop },
};

enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static json_t *unknown(const char *name)
{
	char known[256] = "";

	for (unsigned i = 0, n = 0; i < COMMAND_COUNT && n < sizeof(known); i++)
		n += (unsigned)snprintf(known + n, sizeof(known) - n, "%s, ", commands[i].name);
	return control_error("unknown command \"%.60s\"; there are %s%s", name, known,
			     phrase_names());
}

/* A mark stands in the log too, whether or not the script does something about it. */
static json_t *ask_script(struct operate *o, const struct control_request *request)
{
	const char *text = json_string_value(json_object_get(request->body, "text"));
	json_t *error = asks_put(&o->asks, request);

	if (!error && strcmp(request->cmd, "mark") == 0)
		log_info("%s: mark: %s", device_node(o->device), text);
	return error ? error : LATER;
}

static void handle(void *arg, const struct control_request *request)
{
	struct operate *o = arg;
	json_t *answer;
	unsigned i = 0;

	while (i < COMMAND_COUNT && strcmp(commands[i].name, request->cmd) != 0)
		i++;
	if (i < COMMAND_COUNT)
		answer = commands[i].run(o, request);
	else
		answer =
			phrase_known(request->cmd) ? ask_script(o, request) : unknown(request->cmd);
	if (answer != LATER)
		control_answer(o->control, request->client, request->id, answer);
}

int operate_open(struct operate **operate, struct device *device)
{
	struct operate *o = calloc(1, sizeof(*o));
	struct device_facts facts;
	int ret;

	if (!o) {
		log_error("out of memory");
		return -ENOMEM;
	}
	o->device = device;
	o->started = clock_now();
	device_facts(device, &facts);
	ret = control_open(&o->control, facts.info->dev_id, handle, o);
	if (ret) {
		free(o);
		return ret;
	}
	asks_open(&o->asks, device_talk_fd(device), facts.queues, o->control);
	*operate = o;
	return 0;
}

void operate_new_server(struct operate *o)
{
	unsigned queues;

	if (!o)
		return;
	queues = o->asks.queues;
	asks_close(&o->asks, "its server died, and has been replaced");
	asks_open(&o->asks, device_talk_fd(o->device), queues, o->control);
}

void operate_poll(const struct operate *o, struct pollfd *fds, int *wait_ms)
{
	fds[0] = (struct pollfd){ .fd = -1 };
	fds[1] = (struct pollfd){ .fd = -1 };
	*wait_ms = -1;
	if (!o)
		return;
	fds[0] = (struct pollfd){ control_fd(o->control), POLLIN, 0 };
	fds[1] = (struct pollfd){ asks_fd(&o->asks), asks_events(&o->asks), 0 };
	*wait_ms = asks_wait_ms(&o->asks);
}

void operate_run(struct operate *o)
{
	asks_run(&o->asks);
	control_run(o->control);
}

bool operate_wants_end(const struct operate *o)
{
	return o && o->wants_end;
}

void operate_close(struct operate *o, bool failed)
{
	if (!o)
		return;
	asks_close(&o->asks, "the device is ending");
	while (o->waiting) {
		struct waiting *w = o->waiting;

		control_answer(o->control, w->client, w->id,
			       failed ? control_error("%s did not end well; its supervisor's "
						      "messages say why",
						      device_node(o->device))
				      : json_object());
		o->waiting = w->next;
		json_decref(w->id);
		free(w);
	}
	control_close(o->control);
	free(o);
}
