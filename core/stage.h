/* SPDX-License-Identifier: MIT */
/*
 * How far the end of a device has come. The supervisor moves it on, in the
 * memory that it shares with the server; each queue looks at it once a round.
 */
#pragma once

enum stage {
	STAGE_RUN = 0,
	STAGE_STOPPING, /* the script is to let go of what it holds */
	STAGE_FAIL,	/* answer everything with EIO, run no script */
};
