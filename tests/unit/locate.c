/* SPDX-License-Identifier: MIT */
/*
 * core/locate.c: a name is a file where there is one, else an example that
 * comes with the program, which is found from where the program lies.
 */
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "locate.h"

static char path[PATH_MAX];

static int locate(const char *name, const char **log)
{
	int ret;

	memset(path, 0, sizeof(path));
	log_begin();
	ret = locate_script(name, path);
	*log = log_end();
	return ret;
}

static void a_path_is_itself(void **state)
{
	const char *script = temp_file("here.lua", "return {}");
	const char *log;

	assert_int_equal(locate(script, &log), 0);
	assert_string_equal(path, script);
	assert_string_equal(log, "");
}

static void a_name_in_this_directory_comes_first(void **state)
{
	char *before = getcwd(NULL, 0);
	char *folder = strdup(temp_file("null.lua", "return {}"));
	const char *log;
	int ret;

	*strrchr(folder, '/') = '\0';
	assert_int_equal(chdir(folder), 0);
	ret = locate("null.lua", &log);
	assert_int_equal(chdir(before), 0);
	assert_int_equal(ret, 0);
	assert_string_equal(path, "null.lua");
	free(folder);
	free(before);
}

static void a_missing_path_is_named(void **state)
{
	const char *log;

	assert_int_equal(locate("/nonexistent/null.lua", &log), -ENOENT);
	assert_has(log, "/nonexistent/null.lua: No such file or directory");
	assert_one_line(log);
	assert_int_equal(locate("./no-such.lua", &log), -ENOENT);
	assert_has(log, "./no-such.lua: No such file or directory");
}

static void a_missing_name_is_told_where_it_was_looked_for(void **state)
{
	const char *log;

	assert_int_equal(locate("no-such.lua", &log), -ENOENT);
	assert_has(log, "no-such.lua: no such script here or among the examples");
	assert_one_line(log);
}

static void a_path_too_long_is_refused(void **state)
{
	static char name[2 * PATH_MAX];
	const char *log;

	memset(name, '/', sizeof(name) - 1);
	assert_int_equal(locate(name, &log), -ENOENT);
	assert_one_line(log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_is_itself),
		cmocka_unit_test(a_name_in_this_directory_comes_first),
		cmocka_unit_test(a_missing_path_is_named),
		cmocka_unit_test(a_missing_name_is_told_where_it_was_looked_for),
		cmocka_unit_test(a_path_too_long_is_refused),
	};

	return cmocka_run_group_tests_name("locate", tests, NULL, NULL);
}
