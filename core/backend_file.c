/* SPDX-License-Identifier: MIT */
/*
 * A file or block device of the host as a backing: finds it, checks that it is
 * what the device needs, and opens it. Requests are served by file_start.c
 * and file_serve.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "file.h"
#include "log.h"

/* Is it to be made, or made longer, where it is not as it should be? */
static bool makes(const struct ul_backing_spec *spec)
{
	return spec->create && !spec->read_only;
}

static int open_path(const struct ul_device *dev, const struct ul_backing_spec *spec,
		     int extra_flags, int *fd)
{
	int flags = O_CLOEXEC | (spec->read_only ? O_RDONLY : O_RDWR) | extra_flags;

	/* Without a cache to flush the client counts on every answered write being durable. */
	if (!dev->volatile_cache)
		flags |= O_DSYNC;
	*fd = open(spec->path, flags | (makes(spec) ? O_CREAT : 0), 0666);
	if (*fd >= 0)
		return 0;
	log_error("ublk.file(\"%s\"): %s%s", spec->path, extra_flags ? "direct: " : "",
		  strerror(errno));
	return -errno;
}

static int open_disk(const struct ul_device *dev, const struct ul_backing_spec *spec, int *fd,
		     struct stat *st)
{
	int ret = open_path(dev, spec, 0, fd);

	if (ret)
		return ret;
	if (fstat(*fd, st) == 0 && (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode)))
		return 0;
	log_error("ublk.file(\"%s\"): neither a file nor a block device", spec->path);
	close(*fd);
	return -EINVAL;
}

/*
 * Each of two that write would undo what the other has answered. A lock of the process, whose
 * device may have a file in several places: one of the open file would stay until the kernel has
 * taken the rings apart, some time after their end. A file system without locks is no reason to
 * stop.
 */
static int lock_file(const struct ul_backing_spec *spec, int fd)
{
	struct flock lock = { .l_type = spec->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES))
		return 0;
	log_error(
		"ublk.file(\"%s\"): another device that runs has it; only those that do not write "
		"share a file",
		spec->path);
	return -EBUSY;
}

/* 0 or -errno, logged. */
static int host_size(const struct ul_backing_spec *spec, int fd, const struct stat *st,
		     uint64_t *size)
{
	*size = (uint64_t)st->st_size;
	if (!S_ISBLK(st->st_mode) || ioctl(fd, BLKGETSIZE64, size) == 0)
		return 0;
	log_error("ublk.file(\"%s\"): cannot tell its size: %s", spec->path, strerror(errno));
	return -errno;
}

static int file_probe(struct ul_device *dev, struct ul_backing_spec *spec)
{
	uint32_t block = dev->logical_block_size ? dev->logical_block_size : 512;
	struct stat st = { 0 };
	uint64_t size;
	int fd;
	int ret;

	if (spec->size != 0) /* whether it has as much is seen when it is opened */
		return 0;
	ret = open_disk(dev, spec, &fd, &st);
	if (ret)
		return ret;
	ret = host_size(spec, fd, &st, &size);
	close(fd);
	if (ret)
		return ret;
	spec->size = (double)(size / block * block); /* a last partial block cannot be reached */
	if (spec->size == 0) {
		log_error("ublk.file(\"%s\"): it is empty; make it with `truncate -s SIZE`",
			  spec->path);
		return -EINVAL;
	}
	return 0;
}

/* What O_DIRECT asks for; a file system that does not say takes whole pages at least. */
static void read_alignment(struct file *file)
{
	struct statx stx;

	file->memory_align = file->offset_align = 4096;
	if (statx(file->base.files[FILE_DIRECT], "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    stx.stx_mask & STATX_DIOALIGN && stx.stx_dio_offset_align) {
		file->memory_align = stx.stx_dio_mem_align;
		file->offset_align = stx.stx_dio_offset_align;
	}
}

static int add_direct(struct file *file, const struct ul_device *dev,
		      const struct ul_backing_spec *spec)
{
	int ret = open_path(dev, spec, O_DIRECT, &file->base.files[FILE_DIRECT]);

	if (ret)
		return ret;
	file->base.file_count = FILE_DIRECT + 1;
	read_alignment(file);
	return 0;
}

/* Files in memory do not wait: a copy is done sooner than a thread that makes it is woken. */
static bool in_memory(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* Data goes to and from the driver by one copy then. Without it, by two. */
static void map(struct file *file, const struct ul_backing_spec *spec)
{
	size_t size = (size_t)spec->size;
	int prot = spec->read_only ? PROT_READ : PROT_READ | PROT_WRITE;
	void *mapping = mmap(NULL, size, prot, MAP_SHARED | MAP_NORESERVE,
			     file->base.files[FILE_CACHED], 0);

	if (mapping == MAP_FAILED)
		return;
	file->map = mapping;
	file->map_size = size;
}

static int make_longer(int fd, const struct ul_backing_spec *spec)
{
	if (ftruncate(fd, (off_t)spec->size) == 0)
		return 0;
	log_error("ublk.file(\"%s\"): cannot make it %.0f bytes long: %s", spec->path, spec->size,
		  strerror(errno));
	return -errno;
}

static int set_up(struct file *file, const struct ul_device *dev,
		  const struct ul_backing_spec *spec)
{
	int *fd = &file->base.files[FILE_CACHED];
	struct stat st = { 0 };
	uint64_t size;
	int ret = open_disk(dev, spec, fd, &st);

	if (ret)
		return ret;
	file->base.file_count = FILE_CACHED + 1;
	ret = lock_file(spec, *fd);
	if (ret)
		return ret;
	file->base.prompt = file->base.lazy = S_ISREG(st.st_mode) && in_memory(*fd);
	file->block_device = S_ISBLK(st.st_mode);
	file->read_only = spec->read_only;
	file->durable = !dev->volatile_cache;
	ret = host_size(spec, *fd, &st, &size);
	if (ret == 0 && (double)size < spec->size && makes(spec) && S_ISREG(st.st_mode)) {
		ret = make_longer(*fd, spec);
	} else if (ret == 0 && (double)size < spec->size) {
		log_error("ublk.file(\"%s\"): it has %llu bytes, the device is to have %.0f",
			  spec->path, (unsigned long long)size, spec->size);
		ret = -EINVAL;
	}
	if (ret == 0 && spec->direct)
		ret = add_direct(file, dev, spec);
	if (ret == 0 && file->base.prompt)
		map(file, spec);
	return ret;
}

static void file_close(struct backend *backend)
{
	struct file *file = (struct file *)backend;

	if (file->map)
		munmap(file->map, file->map_size);
	for (unsigned i = 0; i < backend->file_count; i++)
		close(backend->files[i]);
	free(backend);
}

static int file_open(struct backend **backend, const struct ul_device *dev,
		     const struct ul_backing_spec *spec, struct backend *const *children)
{
	struct file *file = calloc(1, sizeof(*file));
	int ret;

	(void)children;
	if (!file) {
		log_error("out of memory");
		return -ENOMEM;
	}
	file->base.ops = &backend_file_ops;
	file->base.fixed = true;
	ret = set_up(file, dev, spec);
	if (ret) {
		file_close(&file->base);
		return ret;
	}
	*backend = &file->base;
	return 0;
}

const struct backend_ops backend_file_ops = {
	.name = "file",
	.probe = file_probe,
	.open = file_open,
	.serve = file_serve,
	.start = file_start,
	.close = file_close,
	.discard = true,
};
