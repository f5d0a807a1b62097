/* SPDX-License-Identifier: MIT */
/*
 * The supervisor's device from inside: device.c starts and ends it,
 * device_recover.c gives it a new server.
 */
#pragma once

#include "child.h"
#include "ctrl.h"
#include "device.h"
#include "watchdog.h"

struct device {
	struct server_config config;
	const char *name; /* the script's file name */
	struct link link;
	struct child server;
	struct ctrl *ctrl;
	struct ublksrv_ctrl_dev_info info; /* as the driver gave it back */
	struct ublk_params params;	   /* that it was given */
	int32_t recover;		   /* enum ul_recover */
	unsigned tries;			   /* to recover it, since a server has lived for long */
	bool prepared;			   /* the driver is, for another server */
	bool torn;			   /* the last one died in the midst of its FETCHes */
	uint64_t offered;		   /* by the driver: UBLK_F_* */
	unsigned servers;		   /* that it has had */
	uint64_t started;		   /* the newest server, by the clock */
	bool added;
	char node[32];
	unsigned queues;	    /* to scripts: threads of all hardware queues */
	unsigned threads;	    /* of each */
	const struct stats **stats; /* of each queue, for the report */
	struct watchdog watchdog;
};

/* 0 or -ENOMEM, logged. */
int device_open_watchdog(struct device *device);

/* The parameters of what its server has loaded, as the driver gets them. */
void device_fill_params(const struct device *device, struct ublk_params *params);
