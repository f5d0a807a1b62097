/* SPDX-License-Identifier: MIT */
#include "lasting.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static struct lasting_share *share; /* NULL: nothing lasts */
static int file;
static uint32_t next; /* area of this process */
static uint64_t end;  /* of those before it, in the file */

void lasting_use(struct lasting_share *areas, int fd)
{
	share = areas;
	file = fd;
	next = 0;
	end = 0;
}

static void *map(size_t size, int flags, int fd, uint64_t offset)
{
	void *memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, (off_t)offset);

	if (memory == MAP_FAILED)
		return NULL;
	/* A huge page would make 4 KiB cost 2 MiB. A kernel without huge pages refuses: fine. */
	(void)madvise(memory, size, MADV_NOHUGEPAGE);
	(void)madvise(memory, size, MADV_DONTDUMP); /* a core of 1 TiB would take its time */
	return memory;
}

void *lasting_open(size_t size, bool *old)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t start = end;

	*old = false;
	if (!share)
		return map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (next == LASTING_AREAS) {
		errno = ENOMEM;
		return NULL;
	}
	*old = next < share->areas;
	if (*old && share->size[next] != size) {
		errno = EPERM;
		return NULL;
	}
	end += (size + page - 1) / page * page;
	if (!*old && ftruncate(file, (off_t)end) < 0)
		return NULL;
	share->size[next++] = size;
	if (!*old)
		share->areas = next;
	return map(size, MAP_SHARED, file, start);
}

void lasting_close(void *memory, size_t size)
{
	munmap(memory, size);
}

int lasting_clear(void *start, size_t length)
{
	return madvise(start, length, share ? MADV_REMOVE : MADV_DONTNEED) ? -errno : 0;
}
