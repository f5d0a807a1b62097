/* SPDX-License-Identifier: MIT */
/*
 * The life of one device as its supervisor sees it: fork the server, ADD,
 * parameters, START, STOP, DEL, and the unwinding from any point of it. Runs
 * no script and serves no request, so it can always stop a server that hangs
 * and clean up after one that died. Single-threaded.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server.h"
#include "stats.h"

struct device;

/*
 * Fork the server, load the script in it, add the device and have every tag
 * fetched. 0 or -errno, logged, with nothing left behind; -EINVAL where the
 * command line is to blame; -ECANCELED, not logged, when `interrupt_fd` became
 * readable first. `id` -1: the driver chooses.
 */
int device_open(struct device **device, const struct server_config *config, int32_t id,
		int interrupt_fd);

/*
 * Make the block device appear. 0 or -errno, logged; -ECANCELED, not logged,
 * when `interrupt_fd` became readable first. The device must be closed after any of them.
 */
int device_start(struct device *device, int interrupt_fd);

/* Readable when device_hear has something to say. */
int device_fd(const struct device *device);

/*
 * 0: the script asks for the end of its device. -EPIPE: the server has ended,
 * stopped from outside, broken, killed or crashed.
 */
int device_hear(struct device *device);

/* Has it ended? For SIGCHLD: a process that a script forked may keep the descriptor above quiet. */
bool device_has_ended(struct device *device);

/* How long poll may wait before the next device_watch; -1: for ever. */
int device_watch_ms(const struct device *device);

/* End a server whose script does not come back; that is then seen as any other end of it. */
void device_watch(struct device *device);

/*
 * After the server has ended, or device_hear said so: fork another, and go on with it. Tries until
 * `interrupt_fd` becomes readable (-ECANCELED), or some servers in turn have died soon. 0 or
 * -errno, logged: the device must be closed. -EOPNOTSUPP, not logged: it is not to be recovered.
 */
int device_recover(struct device *device, int interrupt_fd);

/* Have the script let go of the requests that it holds; the device is about to be closed. */
void device_let_go(struct device *device);

/*
 * Stop, delete, and see the server end, each with a deadline; a server that
 * does not let go of its requests is killed. After it the counters are final.
 * 0, or -EIO when the server did not end well.
 */
int device_close(struct device *device);

/* `report` points into `device`. */
void device_report(const struct device *device, struct stats_report *report);

/* What others may tell of it; pointers into `device`. */
struct device_facts {
	const struct server_config *config;
	const struct ublksrv_ctrl_dev_info *info; /* as the driver gave it */
	const struct ul_device *spec;		  /* as the script described it, completed */
	unsigned queues;  /* to the script: threads of all hardware queues */
	pid_t server;	  /* 0: has ended */
	unsigned servers; /* that it has had */
	int32_t recover;  /* enum ul_recover */
};

void device_facts(const struct device *device, struct device_facts *facts);

/* The socket to the server's relay, for core/talk.h; it stays the device's. */
int device_talk_fd(const struct device *device);

/* Does somebody use it? A kernel before 7.0 tells of mounts and other exclusive users only. 0 or
 * -EBUSY: then it goes on as before. After 0 nobody can open it any more; it is to be closed.
 */
int device_try_stop(struct device *device);

/* "/dev/ublkb0: faulty.lua, 1 GiB, 1 queue of depth 128, seed 42" */
void device_describe(const struct device *device, char *text, unsigned size);
const char *device_node(const struct device *device);

/* After device_close. NULL is fine. */
void device_free(struct device *device);
