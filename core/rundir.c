/* SPDX-License-Identifier: MIT */
/*
 * A supervisor may end while another takes its device's number: whoever makes
 * or removes a file holds a lock of the folder, and removes only what it made.
 */
#include "rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 32, LOCK_WAIT_MS = 1000 };

static const char *folder = RUNDIR;

void rundir_set(const char *dir)
{
	folder = dir;
}

const char *rundir_path(uint32_t id)
{
	static char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];

	snprintf(path, sizeof(path), "%s/%u.sock", folder, id);
	return path;
}

static struct sockaddr_un address(uint32_t id)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", rundir_path(id));
	return addr;
}

/* A descriptor that holds the lock; who stops while he holds it is not waited for long. */
static int lock(void)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0 && waited < LOCK_WAIT_MS;
	     waited += 10)
		usleep(10000);
	return fd;
}

static int make_folder(void)
{
	struct stat st;

	if (mkdir(folder, 0755) == 0)
		return chmod(folder, 0755) ? -errno : 0; /* whatever the umask is */
	if (errno != EEXIST)
		return -errno;
	if (lstat(folder, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	/* In somebody else's folder he could put another socket in the place of this one. */
	return (st.st_uid == 0 || st.st_uid == geteuid()) && !(st.st_mode & 022) ? 0 : -EPERM;
}

static int bind_and_listen(struct rundir_socket *s)
{
	struct sockaddr_un addr = address(s->id);
	struct stat st;

	/* The file gets the socket's mode, and so is nobody else's at any moment. */
	if (fchmod(s->fd, 0600) || (unlink(addr.sun_path) && errno != ENOENT) ||
	    bind(s->fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(s->fd, BACKLOG) ||
	    stat(addr.sun_path, &st))
		return -errno;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return 0;
}

int rundir_listen(struct rundir_socket *s, uint32_t id)
{
	int ret = make_folder();
	int locked;

	*s = (struct rundir_socket){ .fd = -1, .id = id };
	if (ret)
		return ret;
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return -errno;
	locked = lock();
	ret = locked < 0 ? locked : bind_and_listen(s);
	if (locked >= 0)
		close(locked);
	if (ret) {
		close(s->fd);
		s->fd = -1;
	}
	return ret;
}

void rundir_unlisten(struct rundir_socket *s)
{
	const char *path = rundir_path(s->id);
	struct stat st;
	int locked;

	if (s->fd < 0)
		return;
	locked = lock();
	if (stat(path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
		unlink(path);
	close(s->fd);
	s->fd = -1;
	if (locked >= 0)
		close(locked);
}

int rundir_connect(uint32_t id)
{
	struct sockaddr_un addr = address(id);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

int rundir_clean(uint32_t id)
{
	int locked = lock();
	int fd, ret = 0;

	if (locked < 0)
		return locked == -ENOENT ? 0 : locked;
	fd = rundir_connect(id);
	if (fd >= 0)
		close(fd);
	else if (fd == -ECONNREFUSED)
		ret = unlink(rundir_path(id)) ? -errno : 1;
	close(locked);
	return ret;
}

/* "12.sock" is 12; another name -1. */
static int64_t id_of(const char *name)
{
	char *end;
	long id = strtol(name, &end, 10);

	return *name >= '0' && *name <= '9' && strcmp(end, ".sock") == 0 && id < 1 << 20 ? id : -1;
}

int rundir_scan(uint32_t **ids)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	uint32_t *list = NULL;
	int count = 0;

	*ids = NULL;
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(dir))) {
		int64_t id = id_of(entry->d_name);
		uint32_t *longer;

		if (id < 0)
			continue;
		longer = realloc(list, ((size_t)count + 1) * sizeof(*list));
		if (!longer) {
			free(list);
			closedir(dir);
			return -ENOMEM;
		}
		list = longer;
		list[count++] = (uint32_t)id;
	}
	closedir(dir);
	*ids = list;
	return count;
}
