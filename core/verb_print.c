/* SPDX-License-Identifier: MIT */
#include "verb_print.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

int verb_print_json(const json_t *value)
{
	if (!value || json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY) < 0) {
		log_error("the answer cannot be written");
		return -EIO;
	}
	putchar('\n');
	return 0;
}

void verb_print_members(const json_t *object)
{
	const char *name;
	const json_t *value;

	json_object_foreach((json_t *)object, name, value) {
		char *text = json_is_string(value)
				     ? strdup(json_string_value(value))
				     : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));

		printf("%-12s %s\n", name, text ? text : "?");
		free(text);
	}
}

/* A text as it stands, another value as JSON. */
static void print_value(const json_t *value)
{
	char *text;

	if (json_is_string(value)) {
		puts(json_string_value(value));
		return;
	}
	text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
	puts(text ? text : "?");
	free(text);
}

void verb_print_values(const json_t *list)
{
	const json_t *value;
	size_t i;

	json_array_foreach(list, i, value)
		print_value(value);
}
