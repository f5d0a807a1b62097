/* SPDX-License-Identifier: MIT */
/*
 * core/lasting.c: what a server has left is what the next one finds, in the
 * order of asking, and what was given back is zeros; alone, without a file,
 * each begins with zeros. A server is a call of lasting_use here.
 */
#include "support.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lasting.h"

enum { PAGE = 4096 };

static struct lasting_share share;
static int fd;

static int begin(void **state)
{
	memset(&share, 0, sizeof(share));
	fd = memfd_create("test", 0);
	lasting_use(&share, fd);
	return fd < 0;
}

static int end(void **state)
{
	lasting_use(NULL, -1);
	return close(fd);
}

static void the_next_server_finds_what_the_last_has_left(void **state)
{
	bool old;
	char *first = lasting_open(100, &old), *second;

	assert_non_null(first);
	assert_false(old);
	second = lasting_open((size_t)3 * PAGE, &old);
	assert_non_null(second);
	assert_false(old);
	memcpy(first, "first", 6);
	memcpy(second + (ptrdiff_t)2 * PAGE, "second", 7);
	lasting_close(first, 100);
	lasting_close(second, (size_t)3 * PAGE);

	lasting_use(&share, fd);
	first = lasting_open(100, &old);
	assert_true(old);
	second = lasting_open((size_t)3 * PAGE, &old);
	assert_true(old);
	assert_string_equal(first, "first");
	assert_string_equal(second + (ptrdiff_t)2 * PAGE, "second");
	assert_int_equal(second[0], 0);
	lasting_close(first, 100);
	lasting_close(second, (size_t)3 * PAGE);
}

static void another_size_is_refused(void **state)
{
	bool old;
	void *memory = lasting_open(PAGE, &old);

	lasting_close(memory, PAGE);
	lasting_use(&share, fd);
	assert_null(lasting_open((size_t)2 * PAGE, &old));
	assert_int_equal(errno, EPERM);
}

static void pages_given_back_are_zeros_for_all(void **state)
{
	bool old;
	char *memory = lasting_open((size_t)3 * PAGE, &old);

	memset(memory, 'x', (size_t)3 * PAGE);
	assert_int_equal(lasting_clear(memory + PAGE, PAGE), 0);
	assert_int_equal(memory[PAGE - 1], 'x');
	assert_int_equal(memory[PAGE], 0);
	assert_int_equal(memory[2 * PAGE - 1], 0);
	assert_int_equal(memory[2 * PAGE], 'x');
	lasting_close(memory, (size_t)3 * PAGE);
	lasting_use(&share, fd);
	memory = lasting_open((size_t)3 * PAGE, &old);
	assert_int_equal(memory[PAGE], 0);
	assert_int_equal(memory[2 * PAGE], 'x');
	lasting_close(memory, (size_t)3 * PAGE);
}

static void there_is_an_end_of_areas(void **state)
{
	void *memory[LASTING_AREAS];
	bool old;

	for (unsigned i = 0; i < LASTING_AREAS; i++) {
		memory[i] = lasting_open(1, &old);
		assert_non_null(memory[i]);
	}
	assert_null(lasting_open(1, &old));
	for (unsigned i = 0; i < LASTING_AREAS; i++)
		lasting_close(memory[i], 1);
}

static void without_a_file_nothing_lasts(void **state)
{
	bool old = true;
	char *memory;

	lasting_use(NULL, -1);
	memory = lasting_open((size_t)2 * PAGE, &old);
	assert_false(old);
	memcpy(memory, "mine", 5);
	assert_int_equal(lasting_clear(memory, PAGE), 0);
	assert_int_equal(memory[0], 0);
	lasting_close(memory, (size_t)2 * PAGE);
	assert_int_equal(share.areas, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_next_server_finds_what_the_last_has_left, begin,
						end),
		cmocka_unit_test_setup_teardown(another_size_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(pages_given_back_are_zeros_for_all, begin, end),
		cmocka_unit_test_setup_teardown(there_is_an_end_of_areas, begin, end),
		cmocka_unit_test_setup_teardown(without_a_file_nothing_lasts, begin, end),
	};

	return cmocka_run_group_tests_name("lasting", tests, NULL, NULL);
}
