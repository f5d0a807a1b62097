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
