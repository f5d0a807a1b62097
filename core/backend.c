/* SPDX-License-Identifier: MIT */
#include "backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

static const struct backend_ops *const backends[] = {
	[UL_BACKING_NULL] = &backend_null_ops,	   [UL_BACKING_MEM] = &backend_mem_ops,
	[UL_BACKING_FILE] = &backend_file_ops,	   [UL_BACKING_STRIPE] = &backend_stripe_ops,
	[UL_BACKING_MIRROR] = &backend_mirror_ops, [UL_BACKING_COW] = &backend_cow_ops,
	[UL_BACKING_ZONED] = &backend_zoned_ops,
};

static int probe(struct ul_device *dev, struct ul_backing_spec *spec)
{
	const struct backend_ops *ops = backends[spec->kind];

	if (ops->probe)
		return ops->probe(dev, spec);
	return spec->size != 0 ? 0 : -ENODATA; /* who says it knows the script's name */
}

int backend_probe_child(struct ul_device *dev, const struct ul_backing_spec *spec, uint32_t which,
			double size)
{
	struct ul_backing_spec *child = &dev->backing[spec->child + which];

	if (child->size == 0)
		child->size = size;
	child->read_only |= spec->read_only;
	child->create |= spec->create;
	return probe(dev, child);
}

int backend_probe_below(struct ul_device *dev, const struct ul_backing_spec *spec, double size)
{
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < spec->children; i++)
		ret = backend_probe_child(dev, spec, i, size);
	return ret;
}

int backend_probe(struct ul_device *dev, const char *name)
{
	struct ul_backing_spec *root = &dev->backing[0];
	int ret;

	if (root->size == 0)
		root->size = dev->size;
	root->read_only = dev->read_only;
	ret = probe(dev, root);
	if (ret == -ENODATA) {
		log_error("%s: the device needs a size, as in size = \"1G\"", name);
		return -EINVAL;
	}
	if (ret)
		return ret;
	if (dev->size == 0)
		dev->size = root->size;
	if (root->size >= dev->size)
		return 0;
	log_error("%s: size = %.0f bytes: its backing has %.0f", name, dev->size, root->size);
	return -EINVAL;
}

bool backend_discards(const struct ul_device *dev)
{
	return backends[dev->backing[0].kind]->discard;
}

bool backend_has(const struct ul_device *dev, int kind)
{
	for (uint32_t i = 0; i < dev->backings; i++)
		if (dev->backing[i].kind == kind)
			return true;
	return false;
}

void backend_text(const struct ul_device *dev, const struct ul_backing_spec *spec, char *text,
		  size_t size)
{
	bool file = spec->kind == UL_BACKING_FILE;
	size_t used;

	snprintf(text, size, "%s%s%s%s", backends[spec->kind]->name, file ? " " : "",
		 file ? spec->path : "", spec->children ? "(" : "");
	for (uint32_t i = 0; i < spec->children; i++) {
		used = strlen(text);
		backend_text(dev, &dev->backing[spec->child + i], text + used, size - used);
		used = strlen(text);
		snprintf(text + used, size - used, i + 1 < spec->children ? ", " : ")");
	}
}

/* The files of the host that were opened so far, for the root. */
struct opening {
	const struct ul_device *dev;
	int files[LANE_FILES];
	unsigned file_count;
};

static void adopt(struct opening *opening, struct backend *b, struct backend *const *children,
		  unsigned count)
{
	b->children = count;
	for (unsigned i = 0; i < count; i++) {
		b->child[i] = children[i];
		b->prompt = (i == 0 || b->prompt) && !backend_waits(children[i]);
	}
	b->first_file = opening->file_count;
	for (unsigned i = 0; i < b->file_count; i++)
		opening->files[opening->file_count++] = b->files[i];
}

static int open_tree(struct opening *opening, const struct ul_backing_spec *spec,
		     struct backend **backend)
{
	struct backend *children[UL_BACKINGS] = { 0 };
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < spec->children; i++)
		ret = open_tree(opening, &opening->dev->backing[spec->child + i], &children[i]);
	if (ret == 0)
		ret = backends[spec->kind]->open(backend, opening->dev, spec, children);
	if (ret == 0)
		adopt(opening, *backend, children, spec->children);
	for (uint32_t i = 0; ret && i < spec->children; i++)
		backend_close(children[i]);
	return ret;
}

size_t backend_most_memory(struct backend *const *list, unsigned count)
{
	size_t most = 0;

	for (unsigned i = 0; i < count; i++)
		most = list[i]->io_size > most ? list[i]->io_size : most;
	return most;
}

/* What keeps the metadata of a device that has any becomes the root. */
static int cover(struct opening *opening, struct backend **backend)
{
	struct backend *below = *backend;
	int ret = backend_integrity_open(backend, opening->dev, below);

	if (ret == 0)
		adopt(opening, *backend, &below, 1);
	else
		backend_close(below);
	return ret;
}

int backend_open(struct backend **backend, const struct ul_device *dev)
{
	struct opening opening = { .dev = dev };
	int ret = open_tree(&opening, &dev->backing[0], backend);

	if (ret == 0 && dev->integrity.wanted)
		ret = cover(&opening, backend);
	if (ret)
		return ret;
	memcpy((*backend)->files, opening.files, sizeof(opening.files));
	(*backend)->file_count = opening.file_count;
	return 0;
}

void backend_close(struct backend *backend)
{
	struct backend *child[UL_BACKINGS];
	unsigned children;

	if (!backend)
		return;
	children = backend->children;
	memcpy(child, backend->child, sizeof(child));
	backend->ops->close(backend);
	for (unsigned i = 0; i < children; i++)
		backend_close(child[i]);
}
