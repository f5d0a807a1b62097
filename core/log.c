/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int log_level = UL_LOG_INFO;
static unsigned info_left = UINT_MAX, info_lost;
static atomic_uint bugs;

void log_set_level(int level)
{
	log_level = level;
}

unsigned log_set_limit(unsigned lines)
{
	unsigned lost = info_lost;

	info_left = lines;
	info_lost = 0;
	return lost;
}

static void write_line(int level, const char *prefix, const char *format, va_list args)
{
	char line[4096]; /* PIPE_BUF */
	int saved = errno;
	size_t len = strlen(prefix);
	int n;

	if (level > log_level)
		return;
	if (level == UL_LOG_INFO && info_left != UINT_MAX) {
		if (!info_left) {
			info_lost++;
			return;
		}
		info_left--;
	}

	memcpy(line, prefix, len);
	n = vsnprintf(line + len, sizeof(line) - len - 1, format, args);
	if (n > 0)
		len += (size_t)n;
	if (len > sizeof(line) - 2) /* a longer message was cut by vsnprintf */
		len = sizeof(line) - 2;
	line[len++] = '\n';

	/*
	 * Requests must not wait for whoever reads our messages: what a full
	 * pipe or a stopped terminal does not take at once is lost. A pipe that
	 * is ready takes PIPE_BUF bytes, and a line is no longer than that.
	 */
	if (poll(&(struct pollfd){ .fd = STDERR_FILENO, .events = POLLOUT }, 1, 0) == 1)
		while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
			;
	errno = saved;
}

void log_line(int level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(level, "ublk-lua: ", format, args);
	va_end(args);
}

void log_bug(const char *format, ...)
{
	va_list args;

	atomic_fetch_add(&bugs, 1);
	va_start(args, format);
	write_line(UL_LOG_ERROR, "ublk-lua: bug in ", format, args);
	va_end(args);
}

unsigned log_bugs(void)
{
	return atomic_load(&bugs);
}
