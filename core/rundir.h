/* SPDX-License-Identifier: MIT */
/*
 * /run/ublk-lua, where each device has its socket, ID.sock: made, found and
 * cleared away. Used by the supervisor of a device, and by the verbs that look
 * for devices. Functions return 0 or -errno and log nothing. One thread.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#define RUNDIR "/run/ublk-lua"

/* Another folder, for tests; the text is the caller's. */
void rundir_set(const char *dir);

/* "/run/ublk-lua/0.sock", in memory that the next call writes over. */
const char *rundir_path(uint32_t id);

/* A socket file and which one of that name. */
struct rundir_socket {
	int fd; /* -1: none */
	uint32_t id;
	dev_t dev;
	ino_t ino;
};

/*
 * Listen for the clients of device `id`. The number is the device's alone, so what has its name
 * already was left by a supervisor that was killed, and is replaced.
 */
int rundir_listen(struct rundir_socket *socket, uint32_t id);

/* Close it, and take its file away if that is still its own. */
void rundir_unlisten(struct rundir_socket *socket);

/*
 * Connect to device `id`: a descriptor, or -ENOENT: there is no socket, -ECONNREFUSED: nobody
 * listens any more, -EAGAIN: so many wait already, another -errno.
 */
int rundir_connect(uint32_t id);

/* Take the socket file of `id` away if nobody listens there: 1; 0: somebody does, or it is gone. */
int rundir_clean(uint32_t id);

/* The numbers that have a socket file, for the caller to free(); -errno or how many. */
int rundir_scan(uint32_t **ids);
