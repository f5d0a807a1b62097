/* SPDX-License-Identifier: MIT */
/* The verbs that look for devices: list and clean. */
#include <inttypes.h>
#include <stdio.h>

#include "devices.h"
#include "exit.h"
#include "log.h"
#include "rundir.h"
#include "verb_print.h"
#include "verbs.h"

static json_t *found_json(const struct found *f)
{
	char node[32];
	json_t *root, *script = json_object_get(f->told, "script");

	snprintf(node, sizeof(node), "/dev/ublkb%u", f->id);
	root = json_pack("{s:i, s:s, s:s, s:I}", "number", (int)f->id, "device", node, "kind",
			 devices_kind(f), "size", (json_int_t)devices_size(f));
	if (f->kind != DEVICE_SOCKET)
		json_object_update_new(root, json_pack("{s:s, s:i, s:i}", "state", devices_state(f),
						       "queues", (int)f->info.nr_hw_queues, "depth",
						       (int)f->info.queue_depth));
	if (f->server)
		json_object_set_new(root, "server", json_integer(f->server));
	if (script) {
		json_object_set(root, "script", script);
		json_object_set(root, "supervisor", json_object_get(f->told, "supervisor"));
	}
	return root;
}

static void print_found(const struct found *f)
{
	const char *script = json_string_value(json_object_get(f->told, "script"));
	char node[32];

	snprintf(node, sizeof(node), "/dev/ublkb%u", f->id);
	printf("%-14s %-9s %-9s %15" PRIu64 " %8d  %s\n", node, devices_kind(f),
	       f->kind == DEVICE_SOCKET ? "-" : devices_state(f), devices_size(f), f->server,
	       script ? script : "-");
}

int verb_list(const struct verb_call *call)
{
	struct devices devices;
	json_t *list = json_array();
	int ret = devices_find(&devices);

	if (ret == 0 && !(call->options & VERB_JSON) && devices.count)
		printf("%-14s %-9s %-9s %15s %8s  %s\n", "DEVICE", "KIND", "STATE", "BYTES",
		       "SERVER", "SCRIPT");
	for (unsigned i = 0; ret == 0 && i < devices.count; i++) {
		if (call->options & VERB_JSON)
			json_array_append_new(list, found_json(&devices.found[i]));
		else
			print_found(&devices.found[i]);
	}
	devices_free(&devices);
	if (ret == 0 && call->options & VERB_JSON)
		ret = verb_print_json(list);
	json_decref(list);
	return ret ? EXIT_FAILED : EXIT_OK;
}

int verb_clean(const struct verb_call *call)
{
	struct devices devices;
	json_t *list = json_array();
	int ret = devices_find(&devices);
	unsigned count = ret ? 0 : devices.count;

	for (unsigned i = 0; i < count; i++) {
		const struct found *f = &devices.found[i];

		if (f->kind != DEVICE_ORPHAN && f->kind != DEVICE_SOCKET)
			continue;
		/* One that is stuck keeps nobody from the others. */
		if (devices_remove(&devices, f))
			ret = -1;
		else if (call->options & VERB_JSON)
			json_array_append_new(list, found_json(f));
		else
			printf("/dev/ublkb%u: %s removed\n", f->id, devices_kind(f));
	}
	devices_free(&devices);
	if (call->options & VERB_JSON && verb_print_json(list))
		ret = -1;
	json_decref(list);
	return ret ? EXIT_FAILED : EXIT_OK;
}
