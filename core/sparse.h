/* SPDX-License-Identifier: MIT */
/*
 * Sparse memory: zeros at first, pages come when they are written to and go
 * back when they are cleared, so that a terabyte costs what is stored in it.
 * Locks nothing, as a disk would not: any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct sparse {
	uint8_t *data; /* NULL: there is none */
	size_t size;
};

/* 0 or -errno, logged as `what` that needs it. */
int sparse_open(struct sparse *sparse, size_t size, const char *what);

/* Make zeros of a part. 0 or -errno. */
int sparse_clear(const struct sparse *sparse, uint64_t start, uint64_t length);

/* Safe on one that was not opened, and is all zeros. */
void sparse_close(struct sparse *sparse);
