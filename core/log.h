/* SPDX-License-Identifier: MIT */
/*
 * The program's messages, one line each on stderr, written whole by one
 * write(2) so that threads do not mix. Any thread; errno is kept.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api.h"

/* Show messages up to this level; UL_LOG_INFO until called. Before any thread starts. */
void log_set_level(int level);

/*
 * From now on show only the first `lines` messages of level UL_LOG_INFO; UINT_MAX: all. Returns how
 * many an earlier limit has kept back. While one thread logs.
 */
unsigned log_set_limit(unsigned lines);

void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* An error of this program itself: told as "bug in …", and counted. */
void log_bug(const char *format, ...) __attribute__((format(printf, 1, 2)));
unsigned log_bugs(void);

#define log_error(...) log_line(UL_LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(UL_LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(UL_LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(UL_LOG_DEBUG, __VA_ARGS__)
