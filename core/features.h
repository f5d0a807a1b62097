/* SPDX-License-Identifier: MIT */
/*
 * The driver's feature bits by name, and the `features` verb. What a device
 * uses is decided by these bits and never by a kernel's version, because
 * distributions carry features back. Main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Print what this kernel's driver offers on stdout, a line each, or as JSON:
 * {"mask": N, "features": {"NAME": true|false, …}, "unknown": [bit, …]}.
 * Returns 0 or -errno, the reason logged.
 */
int features_print(bool json);

/* "NAME NAME …" of the bits in `mask`, into `text`; bits without a name as "bitN". */
void features_text(uint64_t mask, char *text, unsigned size);
