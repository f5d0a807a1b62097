/* SPDX-License-Identifier: MIT */
/* How verbs show what they have got. Main thread. */
#pragma once

#include <jansson.h>

/* As JSON on stdout. 0 or -errno, logged. */
int verb_print_json(const json_t *value);

/* An object's members, a line each: "depth     128". */
void verb_print_members(const json_t *object);

/* What a script has returned, a line each: texts as they stand, other values as JSON. */
void verb_print_values(const json_t *list);
