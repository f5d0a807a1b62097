/* SPDX-License-Identifier: MIT */
#include "sparse.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lasting.h"
#include "log.h"

int sparse_open(struct sparse *sparse, size_t size, const char *what)
{
	bool old;
	void *data = lasting_open(size, &old);

	if (!data) {
		int ret = -errno;

		if (errno == EPERM)
			log_error("%s: the last server's had another size: the script describes "
				  "another device than before",
				  what);
		else
			log_error("cannot reserve %zu bytes of address space for %s: %s", size,
				  what, strerror(errno));
		return ret;
	}
	*sparse = (struct sparse){ .data = data, .size = size };
	return 0;
}

/* Whole pages go back to the system and read as zeros; what hangs over is cleared by hand. */
int sparse_clear(const struct sparse *sparse, uint64_t start, uint64_t length)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t end = start + length;
	uint64_t first = (start + page - 1) / page * page;
	uint64_t last = end / page * page;

	if (first >= last) {
		memset(sparse->data + start, 0, length);
		return 0;
	}
	memset(sparse->data + start, 0, first - start);
	memset(sparse->data + last, 0, end - last);
	return lasting_clear(sparse->data + first, last - first);
}

void sparse_close(struct sparse *sparse)
{
	if (sparse->data)
		lasting_close(sparse->data, sparse->size);
	sparse->data = NULL;
}
