/* SPDX-License-Identifier: MIT */
#include "features.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "ctrl.h"
#include "log.h"
#include "mode.h"

/* Indexed by bit; `since` is the kernel that brought it, for people only. */
static const struct feature {
	const char *name;
	const char *since;
	const char *meaning;
} features[] = {
	{ "SUPPORT_ZERO_COPY", "6.15", "request pages as registered buffers" },
	{ "URING_CMD_COMP_IN_TASK", "6.0", "completions in the server's task" },
	{ "NEED_GET_DATA", "6.0", "write data fetched on demand" },
	{ "USER_RECOVERY", "6.1", "a new server can take over a device" },
	{ "USER_RECOVERY_REISSUE", "6.1", "requests of a dead server are issued again" },
	{ "UNPRIVILEGED_DEV", "6.3", "devices for users other than root" },
	{ "CMD_IOCTL_ENCODE", "6.4", "ioctl-encoded commands" },
	{ "USER_COPY", "6.5", "data copied by pread and pwrite" },
	{ "ZONED", "6.6", "zoned devices" },
	{ "USER_RECOVERY_FAIL_IO", "6.13", "I/O fails until a new server has taken over" },
	{ "UPDATE_SIZE", "6.16", "a live device can be resized" },
	{ "AUTO_BUF_REG", "6.16", "zero copy without register commands" },
	{ "QUIESCE", "6.16", "planned change of server" },
	{ "PER_IO_DAEMON", "6.16", "a thread for each tag (threads)" },
	{ "BUF_REG_OFF_DAEMON", "6.17", "buffers registered from any task" },
	{ "BATCH_IO", "7.0", "many tags in one command" },
	{ "INTEGRITY", "7.0", "integrity metadata" },
	{ "SAFE_STOP_DEV", "7.0", "stop refused while the device is open" },
	{ "NO_AUTO_PART_SCAN", "7.0", "no partition scan at start" },
	{ "SHMEM_ZC", "7.1", "zero copy through shared memory" },
	{ "IO_DESC_SIZE", "7.3", "descriptors of the server's size" },
};

enum { FEATURE_COUNT = sizeof(features) / sizeof(features[0]) };

void features_text(uint64_t mask, char *text, unsigned size)
{
	unsigned used = 0;

	text[0] = '\0';
	for (unsigned bit = 0; bit < 64 && used < size; bit++) {
		int n;

		if (!(mask >> bit & 1))
			continue;
		if (bit < FEATURE_COUNT)
			n = snprintf(text + used, size - used, "%s%s", used ? " " : "",
				     features[bit].name);
		else
			n = snprintf(text + used, size - used, "%sbit%u", used ? " " : "", bit);
		used += (unsigned)n;
	}
}

/* What a device of these gets that says nothing, and whose script takes no data. */
static const struct example {
	const char *name, *text;
	struct mode_backing backing;
} examples[] = {
	{ "null", "ublk.null()", { .lazy = true, .fixed = true } },
	{ "mem", "ublk.mem()", { .lazy = true } },
	{ "file", "ublk.file(PATH)", { .fixed = true } },
	{ "tmpfs", "ublk.file(PATH) on tmpfs", { .lazy = true, .fixed = true } },
	{ "script", "a script that takes the data", { .lazy = true } },
};

enum { EXAMPLE_COUNT = sizeof(examples) / sizeof(examples[0]), SCRIPT = EXAMPLE_COUNT - 1 };

static struct mode_choice choice_of(unsigned i, uint64_t mask)
{
	const struct ul_device dev = { .look_mask = i == SCRIPT ? UINT32_MAX : 0 };
	struct mode_choice choice;

	(void)mode_choose(&dev, &examples[i].backing, mask, "", &choice); /* auto is not refused */
	return choice;
}

static void print_modes(uint64_t mask)
{
	puts("\ndata modes, where a device does not say its own:");
	for (unsigned i = 0; i < EXAMPLE_COUNT; i++) {
		struct mode_choice choice = choice_of(i, mask);

		printf("%-28s  %-9s  %s\n", examples[i].text, mode_name(choice.mode), choice.why);
	}
}

static json_t *modes_json(uint64_t mask)
{
	json_t *modes = json_object();

	for (unsigned i = 0; i < EXAMPLE_COUNT; i++) {
		struct mode_choice choice = choice_of(i, mask);

		json_object_set_new(
			modes, examples[i].name,
			json_pack("{s:s, s:s}", "mode", mode_name(choice.mode), "why", choice.why));
	}
	return modes;
}

static void print_lines(uint64_t mask)
{
	for (unsigned bit = 0; bit < FEATURE_COUNT; bit++)
		printf("%-3s  %-22s  %-5s  %s\n", mask >> bit & 1 ? "yes" : "no",
		       features[bit].name, features[bit].since, features[bit].meaning);
	for (unsigned bit = FEATURE_COUNT; bit < 64; bit++)
		if (mask >> bit & 1)
			printf("yes  bit %-18u  newer than this program\n", bit);
	print_modes(mask);
}

static int print_json(uint64_t mask)
{
	json_t *named = json_object();
	json_t *unknown = json_array();
	json_t *root;
	int ret = 0;

	for (unsigned bit = 0; bit < 64; bit++) {
		if (bit < FEATURE_COUNT)
			json_object_set_new(named, features[bit].name,
					    json_boolean(mask >> bit & 1));
		else if (mask >> bit & 1)
			json_array_append_new(unknown, json_integer(bit));
	}
	root = json_pack("{s:I, s:o, s:o, s:o}", "mask", (json_int_t)mask, "features", named,
			 "unknown", unknown, "modes", modes_json(mask));
	if (!root || json_dumpf(root, stdout, JSON_INDENT(2)) < 0)
		ret = -ENOMEM;
	else
		putchar('\n');
	json_decref(root);
	return ret;
}

int features_print(bool json)
{
	struct ctrl *ctrl;
	uint64_t mask;
	int ret = ctrl_open(&ctrl);

	if (ret)
		return ret;
	ret = ctrl_get_features(ctrl, &mask);
	ctrl_close(ctrl);
	if (ret)
		return ret;
	if (json)
		return print_json(mask);
	print_lines(mask);
	return 0;
}
