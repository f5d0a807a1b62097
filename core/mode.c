/* SPDX-License-Identifier: MIT */
#include "mode.h"

#include <errno.h>
#include <string.h>

#include "log.h"

/* Zero copy has user copy beside it, for those who look at the data after all. */
static const struct mode {
	const char *name;
	uint64_t flags;	     /* that it needs of the driver */
	const char *feature; /* the one that came last, */
	const char *since;   /* with this kernel */
	bool fixed;	     /* it is of use only to a backing that takes registered pages */
} modes[UL_MODE_COUNT] = {
	[UL_MODE_AUTO] = { .name = "auto" },
	[UL_MODE_COPY] = { .name = "copy" },
	[UL_MODE_GET_DATA] = { "get_data", UBLK_F_NEED_GET_DATA, "NEED_GET_DATA", "6.0", false },
	[UL_MODE_USER_COPY] = { "user_copy", UBLK_F_USER_COPY, "USER_COPY", "6.5", false },
	[UL_MODE_ZERO_COPY] = { "zero_copy", UBLK_F_SUPPORT_ZERO_COPY | UBLK_F_USER_COPY,
				"SUPPORT_ZERO_COPY", "6.15", true },
	[UL_MODE_AUTO_BUF] = { "auto_buf",
			       UBLK_F_AUTO_BUF_REG | UBLK_F_SUPPORT_ZERO_COPY | UBLK_F_USER_COPY,
			       "AUTO_BUF_REG", "6.16", true },
};

const char *mode_name(int32_t mode)
{
	return mode >= 0 && mode < UL_MODE_COUNT ? modes[mode].name : NULL;
}

int32_t mode_of(const char *name)
{
	for (int32_t mode = 0; mode < UL_MODE_COUNT; mode++)
		if (strcmp(modes[mode].name, name) == 0)
			return mode;
	return -1;
}

static bool offers(uint64_t offered, int32_t mode)
{
	return !(modes[mode].flags & ~offered);
}

/* The fastest, as measured; see core/README.md. */
static int32_t best(const struct ul_device *dev, const struct mode_backing *backing,
		    uint64_t offered, const char **why)
{
	if (dev->integrity.wanted) {
		*why = "metadata comes by user copy";
		return UL_MODE_USER_COPY;
	}
	if (dev->look_mask & (1U << UL_OP_READ | 1U << UL_OP_WRITE)) {
		*why = "handlers take the data";
		return dev->zones.size ? UL_MODE_USER_COPY : UL_MODE_COPY;
	}
	if (backing->lazy && offers(offered, UL_MODE_USER_COPY)) {
		*why = "no handler takes the data, and the backing moves it itself";
		return UL_MODE_USER_COPY;
	}
	if (backing->fixed && offers(offered, UL_MODE_ZERO_COPY)) {
		*why = "no handler takes the data, and the host moves it";
		return offers(offered, UL_MODE_AUTO_BUF) ? UL_MODE_AUTO_BUF : UL_MODE_ZERO_COPY;
	}
	if (dev->zones.size) {
		*why = "a zoned device takes no copy";
		return UL_MODE_USER_COPY;
	}
	*why = backing->lazy || backing->fixed ? "this kernel's driver has no better one"
					       : "the backing takes no other";
	return UL_MODE_COPY;
}

static int check(const struct ul_device *dev, const struct mode_backing *backing, uint64_t offered,
		 const char *name)
{
	const int32_t mode = dev->mode;
	const struct mode *m = &modes[mode];

	if (!offers(offered, mode)) {
		log_error("%s: mode = \"%s\": this kernel's ublk driver does not have it (no %s, "
			  "see `ublk-lua features`; Linux %s has)",
			  name, m->name, m->feature, m->since);
		return -EOPNOTSUPP;
	}
	/* The answer to an append says its place where that of a copy has its buffer. */
	if (dev->zones.size && !(m->flags & UBLK_F_USER_COPY)) {
		log_error("%s: mode = \"%s\": not over ublk.zoned, which takes \"user_copy\", "
			  "\"zero_copy\" or \"auto_buf\"",
			  name, m->name);
		return -EOPNOTSUPP;
	}
	if (mode == UL_MODE_GET_DATA && dev->batch == UL_YES) {
		log_error("%s: mode = \"get_data\": it knows no batches; leave out batch = true",
			  name);
		return -EOPNOTSUPP;
	}
	if (dev->integrity.wanted && !(m->flags & UBLK_F_USER_COPY)) {
		log_error("%s: mode = \"%s\": integrity needs \"user_copy\", or \"zero_copy\" or "
			  "\"auto_buf\" where the backing takes these",
			  name, m->name);
		return -EOPNOTSUPP;
	}
	if (m->fixed && !backing->fixed) {
		log_error("%s: mode = \"%s\": it is for backings that leave the data to the host, "
			  "ublk.file(PATH) and ublk.null(); this one takes \"copy\" or "
			  "\"user_copy\"",
			  name, m->name);
		return -EOPNOTSUPP;
	}
	return 0;
}

int mode_choose(const struct ul_device *dev, const struct mode_backing *backing, uint64_t offered,
		const char *name, struct mode_choice *choice)
{
	int ret = 0;

	if (!offered) /* it is older than the question; this it has had from the first */
		offered = UBLK_F_NEED_GET_DATA;
	choice->mode = dev->mode;
	choice->why = "it was asked for";
	if (dev->mode == UL_MODE_AUTO)
		choice->mode = best(dev, backing, offered, &choice->why);
	else
		ret = check(dev, backing, offered, name);
	choice->flags = modes[choice->mode].flags;
	choice->without = choice->mode == UL_MODE_GET_DATA ? UBLK_F_BATCH_IO : 0;
	return ret;
}

int mode_kept(const struct mode_choice *choice, uint64_t kept, const char *name)
{
	if (!(choice->flags & ~kept))
		return 0;
	log_error("%s: mode = \"%s\": the driver has it but does not give it to this device; "
		  "mode = \"copy\" always works",
		  name, modes[choice->mode].name);
	return -EOPNOTSUPP;
}
