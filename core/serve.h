/* SPDX-License-Identifier: MIT */
/*
 * The verb `run`: a device from a script, until a signal, the end of the
 * captive command, or the device's own end. Main thread, signals blocked.
 */
#pragma once

#include <signal.h>

#include "cli.h"

/* The signals that serve_run waits for; block them before any thread starts. */
void serve_signals(sigset_t *set);

/* The program's exit status. */
int serve_run(const struct cli *cli);
