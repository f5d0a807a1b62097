/* SPDX-License-Identifier: MIT */
#include "recovery.h"

#include <errno.h>
#include <string.h>

#include "log.h"
#include "uapi.h"

static const struct way {
	const char *name;
	uint64_t flags;	     /* that it needs of the driver */
	const char *feature; /* the one that came last, */
	const char *since;   /* with this kernel */
} ways[UL_RECOVER_COUNT] = {
	[UL_RECOVER_NONE] = { .name = "none" },
	[UL_RECOVER_FAIL] = { "fail", UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_FAIL_IO,
			      "USER_RECOVERY_FAIL_IO", "6.13" },
	[UL_RECOVER_REQUEUE] = { "requeue", UBLK_F_USER_RECOVERY, "USER_RECOVERY", "6.1" },
	[UL_RECOVER_REISSUE] = { "reissue", UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE,
				 "USER_RECOVERY_REISSUE", "6.1" },
};

const char *recovery_name(int32_t way)
{
	return way >= 0 && way < UL_RECOVER_COUNT ? ways[way].name : NULL;
}

int32_t recovery_of(const char *name)
{
	for (int32_t way = 0; way < UL_RECOVER_COUNT; way++)
		if (strcmp(ways[way].name, name) == 0)
			return way;
	return -1;
}

int recovery_flags(const struct ul_device *dev, uint64_t offered, const char *name, uint64_t *flags)
{
	const struct way *way = &ways[dev->recover];

	if (!offered) /* it is older than the question; these it has had before */
		offered = UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE;
	*flags = way->flags;
	if (!(way->flags & ~offered))
		return 0;
	log_error("%s: recover = \"%s\": this kernel's ublk driver does not have it (no %s, see "
		  "`ublk-lua features`; Linux %s has)",
		  name, way->name, way->feature, way->since);
	return -EOPNOTSUPP;
}
