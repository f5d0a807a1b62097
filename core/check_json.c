/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend.h"
#include "log.h"
#include "stats_json.h"

static json_t *cost_json(double ns)
{
	return ns < 0 ? json_null() : json_real((double)(int64_t)(ns * 10 + 0.5) / 10);
}

static json_t *errnos_json(const struct check_op *op)
{
	json_t *errnos = json_object();

	for (int e = 0; e < (int)(sizeof(op->failed) / sizeof(op->failed[0])); e++) {
		const char *name = ul_errno_name(e);

		if (op->failed[e])
			json_object_set_new(errnos, e && name ? name : "?",
					    json_integer((json_int_t)op->failed[e]));
	}
	return errnos;
}

static json_t *op_json(const struct stats_op *c, const struct check_op *op)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "requests",
			 (json_int_t)c->requests, "scripted", (json_int_t)c->scripted, "passed",
			 (json_int_t)op->passed, "done", (json_int_t)op->done, "errors",
			 (json_int_t)c->errors, "injected", (json_int_t)c->injected, "errnos",
			 errnos_json(op), "ns", cost_json(op->cost.script), "c_ns",
			 cost_json(op->cost.c));
}

static json_t *ops_json(const struct check *c)
{
	json_t *ops = json_object();

	for (unsigned op = 0; op < UL_OP_COUNT; op++)
		if (c->counted->op[op].requests && stats_op_name(op))
			json_object_set_new(ops, stats_op_name(op),
					    op_json(&c->counted->op[op], &c->op[op]));
	return ops;
}

static json_t *wrong_json(const struct workload_result *result)
{
	json_t *list = json_array();

	for (uint64_t i = 0; i < result->wrong_data && i < WORKLOAD_WRONG; i++) {
		const struct workload_wrong *w = &result->wrong[i];

		json_array_append_new(list, json_pack("{s:I, s:I, s:s, s:s}", "sector",
						      (json_int_t)w->sector, "request",
						      (json_int_t)w->request, "expected",
						      w->expected, "found", w->found));
	}
	return list;
}

/* The paths of its backings, as in `a.img, b.img`: how many there are. */
static int list_files(const struct ul_device *dev, char *text, size_t size)
{
	int count = 0;

	*text = '\0';
	for (uint32_t i = 0; i < dev->backings; i++) {
		size_t used = strlen(text);

		if (dev->backing[i].kind == UL_BACKING_FILE)
			snprintf(text + used, size - used, "%s%s", count++ ? ", " : "",
				 dev->backing[i].path);
	}
	return count;
}

static json_t *device_json(const struct check *c)
{
	char backing[256], files[1024];
	int count = list_files(&c->dev, files, sizeof(files));

	backend_text(&c->run, c->run.backing, backing, sizeof(backing));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:s, s:s?, s:i, s:b}", "size",
			 (json_int_t)c->dev.size, "block_size",
			 (json_int_t)c->dev.logical_block_size, "depth", (json_int_t)c->dev.depth,
			 "queues", (json_int_t)c->dev.queues, "threads", (json_int_t)c->dev.threads,
			 "backing", backing, "file", count ? files : NULL, "files", count,
			 "read_only", c->dev.read_only);
}

/* What a layer did, and the mistakes of its functions. */
static json_t *layers_json(const struct check *c)
{
	json_t *layers = stats_layers_json(&c->counted->script), *layer;
	const json_t *mistakes = json_object_get(c->findings, "layer_mistakes");
	const char *name;

	json_object_foreach(layers, name, layer) {
		json_t *count = json_object_get(mistakes, name);

		json_object_set_new(layer, "mistakes", json_integer(json_integer_value(count)));
	}
	return layers;
}

/* How many of a handler's ranges begin beyond the device's end; only the script knows no size. */
static void mark_beyond(json_t *handlers, double size)
{
	json_t *handler, *start;
	size_t i, j;

	json_array_foreach(handlers, i, handler) {
		json_t *starts = json_object_get(handler, "starts");
		json_int_t beyond = 0;

		if (!starts)
			continue;
		json_array_foreach(starts, j, start) {
			beyond += json_number_value(start) >= size;
		}
		json_object_set_new(handler, "ranges",
				    json_integer((json_int_t)json_array_size(starts)));
		json_object_set_new(handler, "ranges_beyond_end", json_integer(beyond));
		json_object_del(handler, "starts");
	}
}

json_t *check_json(const struct check *c)
{
	const struct workload_result *result = workload_result(c->workload);
	char digest[17];
	json_t *root;

	snprintf(digest, sizeof(digest), "%016" PRIx64, result->digest);
	root = json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "script", c->name, "seed",
			 (json_int_t)c->cli->seed, "workload", (json_int_t)c->cli->workload,
			 "requests", (json_int_t)result->issued, "batch", (json_int_t)c->batch,
			 "device", device_json(c), "ops", ops_json(c));
	if (!root)
		return NULL;
	json_object_update_missing(root, c->findings);
	json_object_del(root, "layer_mistakes");
	mark_beyond(json_object_get(root, "handlers"), c->dev.size);
	json_object_set_new(root, "queues_tried", json_integer(1));
	json_object_set_new(root, "layers", layers_json(c));
	json_object_set_new(root, "counters", stats_counters_json(&c->counted->script));
	json_object_set_new(root, "histograms", stats_histograms_json(&c->counted->script));
	if (c->stopped)
		json_object_set_new(root, "stopped", json_integer(c->stopped));
	json_object_set_new(root, "sectors_read", json_integer((json_int_t)result->sectors_read));
	json_object_set_new(root, "wrong_data", json_integer((json_int_t)result->wrong_data));
	json_object_set_new(root, "wrong_sectors", wrong_json(result));
	json_object_set_new(root, "expect_clean", json_boolean(c->cli->expect_clean));
	json_object_set_new(root, "wrong_results", json_integer((json_int_t)result->wrong_results));
	json_object_set_new(root, "out_of_memory", json_boolean(c->full));
	json_object_set_new(root, "unanswered", json_integer(c->unanswered));
	json_object_set_new(root, "gave_up", json_boolean(c->gave_up));
	json_object_set_new(root, "bugs", json_integer(log_bugs()));
	json_object_set_new(root, "misuses", json_integer(c->misuses));
	json_object_set_new(root, "ended", json_boolean(c->ended));
	json_object_set_new(root, "digest", json_string(digest));
	json_object_set_new(root, "ok", json_boolean(check_good(root)));
	return root;
}

static json_int_t number(const json_t *root, const char *key)
{
	return json_integer_value(json_object_get(root, key));
}

bool check_good(const json_t *root)
{
	bool any_data = !json_is_true(json_object_get(root, "expect_clean"));

	return json_is_true(json_object_get(root, "ended")) && !number(root, "unanswered") &&
	       !number(root, "bugs") && !number(root, "wrong_results") &&
	       !number(root, "misuses") && !json_is_true(json_object_get(root, "out_of_memory")) &&
	       (any_data || !number(root, "wrong_data")) &&
	       !json_array_size(json_object_get(root, "mistakes"));
}
