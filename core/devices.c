/* SPDX-License-Identifier: MIT */
/*
 * The driver tells a device's state and who serves it while it is live. One
 * that was added and not started looks as one whose server is dead: so who has
 * its /dev/ublkcN open is looked for in /proc, and one that is as new as that
 * somebody may be about to open it is left alone. (To open it for a look would
 * be in that one's way: it can be open but once.)
 */
#include "devices.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "log.h"
#include "rundir.h"

enum { ANSWER_MS = 2000, LAST_MS = 100, STOP_MS = 10000, NEW_S = 2 };

static const uint64_t MS = CLOCK_SECOND / 1000;
static const char class_path[] = "/sys/class/ublk-char";

/* The place of `id`, a new one if need be; NULL: no memory. */
static struct found *place(struct devices *d, uint32_t id)
{
	unsigned at = 0;
	struct found *longer;

	while (at < d->count && d->found[at].id < id)
		at++;
	if (at < d->count && d->found[at].id == id)
		return &d->found[at];
	longer = realloc(d->found, (d->count + 1) * sizeof(*longer));
	if (!longer)
		return NULL;
	d->found = longer;
	memmove(longer + at + 1, longer + at, (d->count - at) * sizeof(*longer));
	longer[at] = (struct found){ .id = id, .kind = DEVICE_SOCKET };
	d->count++;
	return &longer[at];
}

/* Has process `pid` a descriptor of `node`? */
static bool has_open(int pid, const char *node)
{
	char path[300], target[64];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		target[n > 0 ? n : 0] = '\0';
		found = strcmp(target, node) == 0;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* A process that has the device's char device open; 0: none. */
static int opener(uint32_t id)
{
	char node[32];
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	int pid = 0;

	snprintf(node, sizeof(node), "/dev/ublkc%u", id);
	while (proc && !pid && (entry = readdir(proc))) {
		int candidate = atoi(entry->d_name);

		if (candidate > 0 && has_open(candidate, node))
			pid = candidate;
	}
	if (proc)
		closedir(proc);
	return pid;
}

/* Nor may it be told for old before its node is there. */
static bool is_new(uint32_t id)
{
	char node[32];
	struct stat st;

	snprintf(node, sizeof(node), "/dev/ublkc%u", id);
	return stat(node, &st) < 0 || time(NULL) - st.st_ctime <= NEW_S;
}

static bool is_alive(int pid)
{
	return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

/* One that is live without a server is about to wait, if it is to be recovered at all. */
static bool waits(const struct ublksrv_ctrl_dev_info *info)
{
	return info->state == UBLK_S_DEV_QUIESCED || info->state == UBLK_S_DEV_FAIL_IO ||
	       (info->state == UBLK_S_DEV_LIVE && info->flags & UBLK_F_USER_RECOVERY);
}

static void judge_driver(struct found *f)
{
	f->server = f->info.state == UBLK_S_DEV_LIVE && is_alive(f->info.ublksrv_pid)
			    ? f->info.ublksrv_pid
			    : opener(f->id);
	/* One whose I/O waits for its next server, or fails until it comes, is not given up. */
	if (f->server)
		f->kind = DEVICE_OTHER;
	else if (waits(&f->info))
		f->kind = DEVICE_WAITING;
	else
		f->kind = is_new(f->id) ? DEVICE_STARTING : DEVICE_ORPHAN;
}

static int find_in_driver(struct devices *d)
{
	DIR *dir = opendir(class_path);
	struct dirent *entry;
	unsigned id;
	int ret = 0;

	if (!dir)
		return 0; /* no driver, no device */
	while (ret == 0 && (entry = readdir(dir))) {
		struct ublksrv_ctrl_dev_info info;
		struct found *f;

		if (sscanf(entry->d_name, "ublkc%u", &id) != 1)
			continue;
		if (!d->ctrl)
			ret = ctrl_open(&d->ctrl);
		if (ret == 0)
			ret = ctrl_get_info(d->ctrl, id, &info);
		if (ret == -ENODEV) { /* it has just gone */
			ret = 0;
			continue;
		}
		f = ret == 0 ? place(d, id) : NULL;
		if (f) {
			f->info = info;
			judge_driver(f);
		}
	}
	closedir(dir);
	return ret;
}

/* What has come already is to be read all the same. */
static int left_ms(uint64_t deadline)
{
	uint64_t now = clock_now();

	return now + LAST_MS * MS < deadline ? (int)((deadline - now) / MS) : LAST_MS;
}

/* Ask all first, so that those that do not answer are waited for at one time. */
static void ask_sockets(struct devices *d, const uint32_t *ids, unsigned count)
{
	struct client *clients = calloc(count, sizeof(*clients));
	uint64_t deadline = clock_now() + ANSWER_MS * MS;

	for (unsigned i = 0; clients && i < count; i++) {
		int ret = client_open(&clients[i], ids[i]);
		struct found *f = ret == -ENOENT ? NULL : place(d, ids[i]);

		if (f)
			f->ours = true;
		if (f && ret != -ECONNREFUSED)
			f->kind = DEVICE_BUSY;
		if (ret == 0)
			(void)client_send(&clients[i], json_pack("{s:s}", "cmd", "info"));
	}
	for (unsigned i = 0; clients && i < count; i++) {
		struct found *f = clients[i].wire.fd < 0 ? NULL : place(d, ids[i]);

		if (f)
			f->told = client_receive(&clients[i], left_ms(deadline));
		if (f && client_refusal(f->told) == NULL) {
			f->kind = DEVICE_RUNNING;
			f->server = (int)json_integer_value(json_object_get(f->told, "server"));
		}
		client_close(&clients[i]);
	}
	free(clients);
}

int devices_find(struct devices *d)
{
	uint32_t *ids;
	int count, ret;

	*d = (struct devices){ 0 };
	ret = find_in_driver(d);
	if (ret)
		return ret;
	count = rundir_scan(&ids);
	if (count < 0) {
		log_error(RUNDIR ": %s", strerror(-count));
		return count;
	}
	if (count > 0)
		ask_sockets(d, ids, (unsigned)count);
	free(ids);
	return 0;
}

void devices_free(struct devices *d)
{
	for (unsigned i = 0; i < d->count; i++)
		json_decref(d->found[i].told);
	free(d->found);
	ctrl_close(d->ctrl);
}

const char *devices_kind(const struct found *f)
{
	static const char *const names[] = {
		[DEVICE_RUNNING] = "running",	[DEVICE_BUSY] = "busy",
		[DEVICE_STARTING] = "starting", [DEVICE_OTHER] = "other",
		[DEVICE_WAITING] = "waiting",	[DEVICE_ORPHAN] = "orphan",
		[DEVICE_SOCKET] = "socket",
	};

	return names[f->kind];
}

const char *devices_state(const struct found *f)
{
	static const char *const names[] = {
		[UBLK_S_DEV_DEAD] = "dead",
		[UBLK_S_DEV_LIVE] = "live",
		[UBLK_S_DEV_QUIESCED] = "quiesced",
		[UBLK_S_DEV_FAIL_IO] = "fail_io",
	};

	return f->info.state < sizeof(names) / sizeof(names[0]) ? names[f->info.state] : "?";
}

uint64_t devices_size(const struct found *f)
{
	char path[64];
	unsigned long long sectors = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/ublkb%u/size", f->id);
	file = fopen(path, "re");
	if (file && fscanf(file, "%llu", &sectors) != 1)
		sectors = 0;
	if (file)
		fclose(file);
	return sectors * 512;
}

/* Seconds may have gone by since it was found, and its number to another. */
static int look_again(struct devices *d, uint32_t id)
{
	struct found now = { .id = id };
	int ret = ctrl_get_info(d->ctrl, id, &now.info);

	if (ret == 0)
		judge_driver(&now);
	if (ret || now.kind == DEVICE_ORPHAN || now.kind == DEVICE_WAITING)
		return ret;
	log_error("%u: is no orphan any more: another device has the number", id);
	return -EBUSY;
}

int devices_remove(struct devices *d, const struct found *f)
{
	int ret = 0;

	/* First stop, and delete only what has stopped: see ctrl.c. */
	if (f->kind == DEVICE_ORPHAN || f->kind == DEVICE_WAITING) {
		ret = look_again(d, f->id);
		if (ret == 0)
			ret = ctrl_stop(d->ctrl, f->id, STOP_MS);
		if (ret == -ETIMEDOUT)
			log_error("STOP_DEV: the ublk driver does not stop device %u", f->id);
		if (ret == 0)
			ret = ctrl_delete(d->ctrl, f->id);
		if (ret == -ENODEV) /* it has gone by itself */
			ret = 0;
	}
	if (ret == 0 && rundir_clean(f->id) < 0)
		log_warn("%s: cannot be removed", rundir_path(f->id));
	return ret;
}
