/* SPDX-License-Identifier: MIT */
/*
 * All ublk devices of the host, whoever made them, from the driver and from
 * the control sockets. For the verbs that look for them. One thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctrl.h"

enum device_kind {
	DEVICE_RUNNING,	 /* of ublk-lua; its supervisor answers */
	DEVICE_BUSY,	 /* of ublk-lua; it does not just now: the device ends, say */
	DEVICE_STARTING, /* new, and nobody has opened it yet */
	DEVICE_OTHER,	 /* another program serves it */
	DEVICE_WAITING,	 /* nobody serves it, but its requests wait for a server that will */
	DEVICE_ORPHAN,	 /* nobody does, or will */
	DEVICE_SOCKET,	 /* there is none, but a socket that a killed supervisor has left */
};

struct found {
	uint32_t id;
	enum device_kind kind;
	int server;			   /* its process, or 0 */
	bool ours;			   /* it has a socket, whoever listens there */
	struct ublksrv_ctrl_dev_info info; /* but for DEVICE_SOCKET */
	json_t *told;			   /* DEVICE_RUNNING: the answer to "info" */
};

struct devices {
	struct found *found; /* by number */
	unsigned count;
	struct ctrl *ctrl; /* NULL: the driver has no device */
};

/* 0 or -errno, logged; devices_free is safe after both. */
int devices_find(struct devices *devices);
void devices_free(struct devices *devices);

/* "running", "orphan", …: as `list` shows it. */
const char *devices_kind(const struct found *found);

/* "live", "dead", "quiesced", "fail_io". */
const char *devices_state(const struct found *found);

/* The device's size in bytes; 0: it has no disk. */
uint64_t devices_size(const struct found *found);

/* Stop and delete an orphan or one that waits, or remove a socket. 0 or -errno, logged. */
int devices_remove(struct devices *devices, const struct found *found);
