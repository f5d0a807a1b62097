/* SPDX-License-Identifier: MIT */
/*
 * What the unit tests share: cmocka with what it needs, the rig, and what they
 * say of texts. One thread.
 */
#pragma once

/* cmocka.h needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>

#include "../rig.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Fail with the whole text when it does not have `part` (or, for lacks, when it has). */
#define assert_has(text, part)	 check_has(text, part, 1, __FILE__, __LINE__)
#define assert_lacks(text, part) check_has(text, part, 0, __FILE__, __LINE__)
void check_has(const char *text, const char *part, int wanted, const char *file, int line);

#define assert_one_line(text) assert_int_equal(count_lines(text), 1)
unsigned count_lines(const char *text);

/* Run all `tests`, which have no setup, and then all again while `*mode` is true. */
int run_in_both_modes(const char *name, const struct CMUnitTest *tests, size_t count, bool *mode);
