/* SPDX-License-Identifier: MIT */
/*
 * core/shared.c: cells by name, and that threads lose none of each other's
 * numbers. SAN=thread holds it to the memory model too.
 */
#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api.h"

enum { THREADS = 4, ROUNDS = 20000 };

static void a_name_is_one_cell_and_keeps_its_first_value(void **state)
{
	struct ul_shared *a = ul_shared_cell("a", 5), *b = ul_shared_cell("b", -3);

	assert_ptr_not_equal(a, b);
	assert_ptr_equal(ul_shared_cell("a", 99), a);
	assert_true(ul_shared_get(a) == 5);
	assert_true(ul_shared_get(b) == -3);
}

static void operations_return_what_is_then_there(void **state)
{
	struct ul_shared *cell = ul_shared_cell("operations", 0);

	ul_shared_set(cell, 0x1p53);
	assert_true(ul_shared_get(cell) == 0x1p53);
	assert_true(ul_shared_add(cell, -1) == 0x1p53 - 1);
	ul_shared_set(cell, 10);
	assert_true(ul_shared_add(cell, 5) == 15);
	assert_true(ul_shared_max(cell, 12) == 15);
	assert_true(ul_shared_max(cell, 20) == 20);
	assert_true(ul_shared_min(cell, 30) == 20);
	assert_true(ul_shared_min(cell, -4) == -4);
	assert_int_equal(ul_shared_cas(cell, 1, 7), 0);
	assert_true(ul_shared_get(cell) == -4);
	assert_int_equal(ul_shared_cas(cell, -4, 7), 1);
	assert_true(ul_shared_get(cell) == 7);
}

/* Every thread opens the cells itself, as every queue's script does. */
static void *work(void *arg)
{
	struct ul_shared *sum = ul_shared_cell("sum", 0), *most = ul_shared_cell("most", -1);
	struct ul_shared *least = ul_shared_cell("least", 1e9), *lock = ul_shared_cell("lock", 0);
	static unsigned guarded; /* by the cell `lock` */
	double thread = *(int *)arg;

	for (int i = 1; i <= ROUNDS; i++) {
		ul_shared_add(sum, 1);
		ul_shared_max(most, i * THREADS + thread);
		ul_shared_min(least, -i * THREADS - thread);
		if (ul_shared_cas(lock, 0, 1)) {
			guarded++;
			ul_shared_set(lock, 0);
		}
	}
	return NULL;
}

static void threads_lose_nothing(void **state)
{
	pthread_t threads[THREADS];
	int number[THREADS];

	for (int i = 0; i < THREADS; i++) {
		number[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, work, &number[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_true(ul_shared_get(ul_shared_cell("sum", 0)) == THREADS * ROUNDS);
	assert_true(ul_shared_get(ul_shared_cell("most", 0)) == ROUNDS * THREADS + THREADS - 1);
	assert_true(ul_shared_get(ul_shared_cell("least", 0)) == -ROUNDS * THREADS - THREADS + 1);
	assert_true(ul_shared_get(ul_shared_cell("lock", 1)) == 0);
}

/* The last test: nothing has a place after it. */
static void a_full_table_and_a_long_name_are_refused(void **state)
{
	char name[UL_NAME + 1];
	unsigned added = 0;

	memset(name, 'x', sizeof(name));
	name[UL_NAME] = '\0';
	assert_null(ul_shared_cell(name, 0));
	name[UL_NAME - 1] = '\0';
	assert_non_null(ul_shared_cell(name, 0));
	do
		snprintf(name, sizeof(name), "filler %u", added++);
	while (ul_shared_cell(name, added));
	assert_in_range(added, UL_SHARED - 10, UL_SHARED);
	assert_true(ul_shared_get(ul_shared_cell("filler 0", 0)) == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_one_cell_and_keeps_its_first_value),
		cmocka_unit_test(operations_return_what_is_then_there),
		cmocka_unit_test(threads_lose_nothing),
		cmocka_unit_test(a_full_table_and_a_long_name_are_refused),
	};

	return cmocka_run_group_tests_name("shared", tests, NULL, NULL);
}
