/* SPDX-License-Identifier: MIT */
#include "cow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lasting.h"

enum { PAGE_BITS = COW_PAGE * 8, PAGE_WORDS = COW_PAGE / 8 };

int cow_map_open(struct cow *cow)
{
	uint64_t bytes = cow_map_bytes(cow->blocks);

	cow->pages = bytes / COW_PAGE;
	cow->map = lasting_open(bytes, &cow->taken_over);
	cow->copy = aligned_alloc(COW_PAGE, bytes);
	cow->dirty = calloc(cow->pages, sizeof(*cow->dirty));
	cow->changed = calloc(cow->pages, sizeof(*cow->changed));
	if (!cow->map || !cow->copy || !cow->dirty || !cow->changed)
		return -ENOMEM;
	memset(cow->copy, 0, bytes);
	return 0;
}

void cow_map_load(struct cow *cow)
{
	const uint8_t *map = (const uint8_t *)cow->map;

	if (!cow->taken_over) {
		memcpy(cow->map, cow->copy, cow_map_bytes(cow->blocks));
		return;
	}
	for (uint64_t page = 0; page < cow->pages; page++) {
		uint64_t start = page * COW_PAGE;

		if (memcmp(map + start, cow->copy + start, COW_PAGE) == 0)
			continue;
		atomic_store(&cow->dirty[page], 1);
		atomic_store(&cow->added, 1);
	}
}

void cow_map_close(struct cow *cow)
{
	if (cow->map)
		lasting_close(cow->map, cow_map_bytes(cow->blocks));
	free(cow->copy);
	free(cow->dirty);
	free(cow->changed);
}

void cow_map_add(struct cow *cow, uint64_t first, uint64_t count)
{
	for (uint64_t block = first; block < first + count; block++) {
		atomic_fetch_or(&cow->map[block / 64], 1ULL << block % 64);
		atomic_store(&cow->dirty[block / PAGE_BITS], 1);
	}
	atomic_fetch_add(&cow->added, 1);
}

uint64_t cow_map_copy(struct cow *cow)
{
	uint64_t added = atomic_load(&cow->added); /* before we look: all that it counts is seen */

	for (uint64_t page = 0; page < cow->pages; page++) {
		uint8_t *to = cow->copy + page * COW_PAGE;

		if (!atomic_exchange(&cow->dirty[page], 0))
			continue;
		cow->changed[page] = true;
		for (unsigned i = 0; i < PAGE_WORDS; i++) {
			uint64_t word = atomic_load(&cow->map[page * PAGE_WORDS + i]);

			memcpy(to + i * sizeof(word), &word, sizeof(word));
		}
	}
	return added;
}

uint64_t cow_map_changed(const struct cow *cow, uint64_t *first)
{
	const uint64_t most = 256;
	uint64_t end;

	while (*first < cow->pages && !cow->changed[*first])
		++*first;
	end = *first;
	while (end < cow->pages && cow->changed[end] && end - *first < most)
		end++;
	return end - *first;
}

void cow_map_kept(struct cow *cow, uint64_t added)
{
	memset(cow->changed, 0, cow->pages * sizeof(*cow->changed));
	atomic_store(&cow->kept, added);
}
