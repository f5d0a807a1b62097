/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <string.h>

void check_has(const char *text, const char *part, int wanted, const char *file, int line)
{
	if ((strstr(text, part) != NULL) == wanted)
		return;
	print_error("%s \"%s\" in: %s\n", wanted ? "no" : "unwanted", part, text);
	_fail(file, line);
}

unsigned count_lines(const char *text)
{
	unsigned lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static bool *other_mode;

static int enter_mode(void **state)
{
	(void)state;
	*other_mode = true;
	return 0;
}

int run_in_both_modes(const char *name, const struct CMUnitTest *tests, size_t count, bool *mode)
{
	struct CMUnitTest both[2 * 64];

	assert_true(count <= 64);
	other_mode = mode;
	for (size_t i = 0; i < count; i++) {
		both[i] = both[count + i] = tests[i];
		both[count + i].setup_func = enter_mode;
	}
	return _cmocka_run_group_tests(name, both, 2 * count, NULL, NULL);
}
