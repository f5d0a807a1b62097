/* SPDX-License-Identifier: MIT */
/*
 * Numbers that all queues of a device share: each has a Lua state of its own,
 * all are threads of one process. A table of cells by name, which only grows;
 * the mutex is for that. What is in a cell is atomic and needs none. Any
 * thread. Doubles are what Lua has; they are whole and exact to 2^53.
 */
#include "shared.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

static const int64_t MOST = (int64_t)1 << 53;

static struct shared_table own; /* of a process that is no server */
static struct shared_table *table = &own;
static pthread_mutex_t growing = PTHREAD_MUTEX_INITIALIZER;

static struct ul_shared *find_or_add(const char *name, double initial)
{
	struct ul_shared *cell;

	for (unsigned i = 0; i < table->used; i++)
		if (strcmp(table->cells[i].name, name) == 0)
			return &table->cells[i];
	if (table->used == UL_SHARED || strlen(name) >= UL_NAME)
		return NULL;
	cell = &table->cells[table->used];
	memcpy(cell->name, name, strlen(name) + 1);
	atomic_store(&cell->value, (int64_t)initial);
	table->used++; /* last: a server that is killed leaves no half of one */
	return cell;
}

void shared_use(struct shared_table *other)
{
	table = other;
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
