/* SPDX-License-Identifier: MIT */
/*
 * Numbers that all queues of a device share: each has a Lua state of its own,
 * all are threads of one process. A table of cells by name, which only grows;
 * the mutex is for that. What is in a cell is atomic and needs none. Any
 * thread. Doubles are what Lua has; they are whole and exact to 2^53.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "api.h"

struct ul_shared {
	_Atomic int64_t value;
	char name[UL_NAME];
} __attribute__((aligned(64))); /* cells do not share cache lines */

static const int64_t MOST = (int64_t)1 << 53;

static struct ul_shared cells[UL_SHARED];
static unsigned used;
static pthread_mutex_t growing = PTHREAD_MUTEX_INITIALIZER;

static struct ul_shared *find_or_add(const char *name, double initial)
{
	struct ul_shared *cell;

	for (unsigned i = 0; i < used; i++)
		if (strcmp(cells[i].name, name) == 0)
			return &cells[i];
	if (used == UL_SHARED || strlen(name) >= UL_NAME)
		return NULL;
	cell = &cells[used++];
	memcpy(cell->name, name, strlen(name) + 1);
	atomic_store(&cell->value, (int64_t)initial);
	return cell;
}

struct ul_shared *ul_shared_cell(const char *name, double initial)
{
	struct ul_shared *cell;

	pthread_mutex_lock(&growing);
	cell = find_or_add(name, initial);
	pthread_mutex_unlock(&growing);
	return cell;
}

double ul_shared_get(struct ul_shared *cell)
{
	return (double)atomic_load(&cell->value);
}

void ul_shared_set(struct ul_shared *cell, double value)
{
	atomic_store(&cell->value, (int64_t)value);
}

double ul_shared_add(struct ul_shared *cell, double n)
{
	int64_t old = atomic_load(&cell->value), sum;

	do {
		sum = old + (int64_t)n; /* both are within 2^53 */
		if (sum > MOST || sum < -MOST)
			return NAN;
	} while (!atomic_compare_exchange_weak(&cell->value, &old, sum));
	return (double)sum;
}

int32_t ul_shared_cas(struct ul_shared *cell, double expected, double value)
{
	int64_t old = (int64_t)expected;

	return atomic_compare_exchange_strong(&cell->value, &old, (int64_t)value);
}

double ul_shared_max(struct ul_shared *cell, double value)
{
	int64_t old = atomic_load(&cell->value), wanted = (int64_t)value;

	while (old < wanted)
		if (atomic_compare_exchange_weak(&cell->value, &old, wanted))
			return value;
	return (double)old;
}

double ul_shared_min(struct ul_shared *cell, double value)
{
	int64_t old = atomic_load(&cell->value), wanted = (int64_t)value;

	while (old > wanted)
		if (atomic_compare_exchange_weak(&cell->value, &old, wanted))
			return value;
	return (double)old;
}
