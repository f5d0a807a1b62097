/* SPDX-License-Identifier: MIT */
/*
 * The verb `run`: a device from a script, until a signal, the end of the
 * captive command, or the device's own end. Blocks signals, so call it before
 * any thread is started; it does not unblock them.
 */
#pragma once

#include "cli.h"

/* The program's exit status. */
int serve_run(const struct cli *cli);
