/* SPDX-License-Identifier: MIT */
/*
 * Which file a script's name means: itself where it exists or has a slash,
 * else one of the scripts that came with the program. Main thread.
 */
#pragma once

#include <limits.h>

/* 0 and the path, or -ENOENT, logged with the places that were tried. */
int locate_script(const char *name, char path[PATH_MAX]);
