/* SPDX-License-Identifier: MIT */
/* Exit statuses of the program; a captive command's own goes through. */
#pragma once

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };
