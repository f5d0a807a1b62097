/* SPDX-License-Identifier: MIT */
/*
 * One Lua state and the script in it; the only door to Lua. Opened and closed
 * by the main thread, and in between used by the one queue thread that it was
 * attached on. A script error never gets past these functions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api.h"

struct script;

/*
 * Lua ends a recursion when its own stack is full, but functions that call back
 * through C, as string.gsub does, take 8 KB of the thread's for each turn: 50 MB
 * until then. Pages come with their use.
 */
enum { SCRIPT_STACK = 64 << 20 }; /* of a thread that runs a script */

struct script_config {
	const char *path;
	const char *chunk; /* the script itself, and path is but its name; NULL: it is a file */
	char *const *args; /* the key=value words after it */
	unsigned arg_count;
	uint64_t seed;
	uint32_t queue;		       /* which queue this state is for: its random stream */
	size_t memory;		       /* bytes that the state may have; 0: the default, 256 MiB */
	struct ul_script_stats *stats; /* where it counts; must outlive the script */
};

/*
 * Load the script and run its chunk; `dev` gets the device it describes. 0,
 * -ENOENT: no such file, -EINVAL: the key=value words are wrong (usage),
 * -ENOEXEC: the script is. Logged as one line with file and line number.
 */
int script_open(struct script **script, const struct script_config *config, struct ul_device *dev);

/* Print what the script takes, as `ublk-lua SCRIPT --help` shows it. As script_open otherwise. */
int script_help(const struct script_config *config);

/* Tie the script to a queue that is open. 0 or -ENOEXEC, logged. */
int script_attach(struct script *script, struct ul_queue *queue);

/*
 * Have the script serve the first `count` tags of its queue's batch: verdicts
 * in their requests, UL_PARKED where a handler waits. A request that the
 * script could not decide keeps the verdict that it had.
 */
void script_batch(struct script *script, unsigned count);

/*
 * Go on with the handler or task in `slot`, which was parked and is ready.
 * True when it has come to its end: a handler's verdict is in its request.
 */
bool script_resume(struct script *script, uint32_t slot);

/* Clean up a little. For when no request waits: after each round. */
void script_tidy(struct script *script);

/* Has it held more memory than it may, so that it was not asked any more? */
bool script_was_full(const struct script *script);

/* The device is about to end: have the script let go of what it holds. */
void script_stopping(struct script *script);

/*
 * Call engine.<question> and copy the text that it returns, to be freed; `answer` may be NULL.
 * For `check`, which watches a script: "watch" before the first batch, "inspect" after the last.
 * 0, -ENOMEM or -ENOEXEC, logged.
 */
int script_ask(struct script *script, const char *question, char **answer);

/*
 * Have the script serve a client's request (see lua/ublk/operate.lua) between two rounds, of its
 * thread: `answer` gets JSON, to be freed. 0, -ENOMEM or -ENOEXEC, logged.
 */
int script_command(struct script *script, const char *request, size_t size, char **answer);

/* Log what is left to say (how often an error came) and free all. NULL is fine. */
void script_close(struct script *script);
