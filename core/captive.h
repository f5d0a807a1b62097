/* SPDX-License-Identifier: MIT */
/*
 * The command of `ublk-lua run SCRIPT -- COMMAND`: a child with the device's
 * node in $DEV. Main thread.
 */
#pragma once

#include <sys/types.h>

/* Start `command` (NULL-terminated). 0 or -errno, logged. */
int captive_start(char *const *command, const char *node, pid_t *pid);

/*
 * Has the child ended? 1 and its exit status as a shell tells it (128 + signal
 * for a killed one), or 0. Call after SIGCHLD.
 */
int captive_ended(pid_t pid, int *status);

/*
 * Pass `signal` on to the child; one that has not ended after `grace_ms` is
 * killed. Returns its exit status; at the latest after twice that time.
 */
int captive_end(pid_t pid, int signal, int grace_ms);
