/* SPDX-License-Identifier: MIT */
#include "locate.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

/* Beside the program, installed (bin/ublk-lua) or built (build/ublk-lua, build/SAN/ublk-lua). */
static const char *const places[] = {
	"../share/ublk-lua/examples",
	"../examples",
	"../../examples",
};

/* Each queue reads its script, and help reads it twice: what is read but once will not do. */
static bool is_stream(const char *name)
{
	struct stat st;

	if (strcmp(name, "-") == 0)
		return true;
	return stat(name, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

int locate_script(const char *name, char path[PATH_MAX])
{
	char program[PATH_MAX];
	ssize_t len;

	if (is_stream(name)) {
		log_error("%s: a script is a file, and no pipe or device; for the text on stdin "
			  "write -e \"$(cat)\"",
			  name);
		return -ENOENT;
	}
	if (strchr(name, '/') || access(name, F_OK) == 0) {
		if (snprintf(path, PATH_MAX, "%s", name) < PATH_MAX && access(path, F_OK) == 0)
			return 0;
		log_error("%s: %s", name, strerror(errno));
		return -ENOENT;
	}
	len = readlink("/proc/self/exe", program, sizeof(program) - 1);
	program[len > 0 ? len : 0] = '\0';
	*(strrchr(program, '/') ? strrchr(program, '/') : program) = '\0';
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (snprintf(path, PATH_MAX, "%s/%s/%s", program, places[i], name) < PATH_MAX &&
		    access(path, F_OK) == 0)
			return 0;
	if (errno == EACCES)
		log_error("%s: cannot look among the examples of ublk-lua: %s", name,
			  strerror(errno));
	else
		log_error("%s: no such script here or among the examples that come with ublk-lua",
			  name);
	return -ENOENT;
}
