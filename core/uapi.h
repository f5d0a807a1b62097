/* SPDX-License-Identifier: MIT */
/*
 * The ublk driver's interface: numbers and layouts as of Linux 7.3
 * (include/uapi/linux/ublk_cmd.h). Restated because a distribution's header is
 * often older than its kernel: Debian 12 ships the one of 6.1. Names are the
 * kernel's own; the asserts at the end hold every layout to it.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define UBLK_CONTROL_PATH "/dev/ublk-control"

/* Control commands: 32 bytes at offset 48 of a 128-byte SQE. */
struct ublksrv_ctrl_cmd {
	uint32_t dev_id;
	uint16_t queue_id; /* (uint16_t)-1: every command of ours speaks to the device */
	uint16_t len;	   /* of the buffer at addr */
	uint64_t addr;
	uint64_t data[1];
	uint16_t dev_path_len;
	uint16_t pad;
	uint32_t reserved;
};

#define UBLK_U_CMD_GET_QUEUE_AFFINITY  _IOR('u', 0x01, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_ADD_DEV	       _IOWR('u', 0x04, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_DEL_DEV	       _IOWR('u', 0x05, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_START_DEV	       _IOWR('u', 0x06, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_STOP_DEV	       _IOWR('u', 0x07, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_SET_PARAMS	       _IOWR('u', 0x08, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_GET_PARAMS	       _IOR('u', 0x09, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_START_USER_RECOVERY _IOWR('u', 0x10, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_END_USER_RECOVERY   _IOWR('u', 0x11, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_GET_DEV_INFO2       _IOR('u', 0x12, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_GET_FEATURES	       _IOR('u', 0x13, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_TRY_STOP_DEV	       _IOWR('u', 0x17, struct ublksrv_ctrl_cmd)

#define UBLK_FEATURES_LEN 8

#define UBLK_F_SUPPORT_ZERO_COPY     (1ULL << 0)
#define UBLK_F_NEED_GET_DATA	     (1ULL << 2)
#define UBLK_F_USER_RECOVERY	     (1ULL << 3)
#define UBLK_F_USER_RECOVERY_REISSUE (1ULL << 4)
#define UBLK_F_USER_COPY	     (1ULL << 7)
#define UBLK_F_ZONED		     (1ULL << 8)
#define UBLK_F_USER_RECOVERY_FAIL_IO (1ULL << 9)
#define UBLK_F_AUTO_BUF_REG	     (1ULL << 11)
#define UBLK_F_PER_IO_DAEMON	     (1ULL << 13)
#define UBLK_F_BATCH_IO		     (1ULL << 15)
#define UBLK_F_INTEGRITY	     (1ULL << 16)
#define UBLK_F_SAFE_STOP_DEV	     (1ULL << 17)
#define UBLK_F_NO_AUTO_PART_SCAN     (1ULL << 18)

#define UBLK_S_DEV_DEAD	    0
#define UBLK_S_DEV_LIVE	    1
#define UBLK_S_DEV_QUIESCED 2
#define UBLK_S_DEV_FAIL_IO  3

struct ublksrv_ctrl_dev_info {
	uint16_t nr_hw_queues;
	uint16_t queue_depth;
	uint16_t state;
	uint16_t io_desc_size;
	uint32_t max_io_buf_bytes;
	uint32_t dev_id;
	int32_t ublksrv_pid;
	uint32_t pad1;
	uint64_t flags;
	uint64_t ublksrv_flags;
	uint32_t owner_uid;
	uint32_t owner_gid;
	uint64_t reserved1;
	uint64_t reserved2;
};

/* I/O commands: 16 bytes in a plain 64-byte SQE. */
struct ublksrv_io_cmd {
	uint16_t q_id;
	uint16_t tag;
	int32_t result;
	uint64_t addr; /* COMMIT of a zone append: its sector */
};

#define UBLK_U_IO_FETCH_REQ	       _IOWR('u', 0x20, struct ublksrv_io_cmd)
#define UBLK_U_IO_COMMIT_AND_FETCH_REQ _IOWR('u', 0x21, struct ublksrv_io_cmd)
#define UBLK_U_IO_NEED_GET_DATA	       _IOWR('u', 0x22, struct ublksrv_io_cmd)
/* A request's pages as buffer `addr` of the ring. */
#define UBLK_U_IO_REGISTER_IO_BUF      _IOWR('u', 0x23, struct ublksrv_io_cmd)
#define UBLK_U_IO_UNREGISTER_IO_BUF    _IOWR('u', 0x24, struct ublksrv_io_cmd)

/*
 * With UBLK_F_AUTO_BUF_REG sqe->addr has the index of that buffer, and this: where the driver
 * cannot register it, the request comes all the same, with UBLK_IO_F_NEED_REG_BUF.
 */
#define UBLK_AUTO_BUF_REG_FALLBACK (1U << 16)
#define UBLK_IO_F_NEED_REG_BUF	   (1U << 17)

#define UBLK_IO_RES_OK		  0
#define UBLK_IO_RES_NEED_GET_DATA 1
#define UBLK_IO_RES_ABORT	  (-ENODEV)

/*
 * A device with UBLK_F_BATCH_IO takes these instead. PREP and COMMIT have an
 * array of nr_elem elements of elem_bytes at the SQE's addr; FETCH is multishot
 * and gives tags, u16 each, in provided buffers.
 */
struct ublk_batch_io {
	uint16_t q_id;
	uint16_t flags;
	uint16_t nr_elem;
	uint8_t elem_bytes;
	uint8_t reserved;
	uint64_t reserved2;
};

#define UBLK_BATCH_F_HAS_ZONE_LBA	   (1 << 0)
#define UBLK_BATCH_F_HAS_BUF_ADDR	   (1 << 1)
#define UBLK_BATCH_F_AUTO_BUF_REG_FALLBACK (1 << 2)

/*
 * An element begins with this; with HAS_BUF_ADDR a uint64_t follows, the address, and with
 * HAS_ZONE_LBA one more, the sector at which a zone append is.
 */
struct ublk_elem_header {
	uint16_t tag;
	uint16_t buf_index; /* with UBLK_F_AUTO_BUF_REG */
	int32_t result;	    /* COMMIT: as in ublksrv_io_cmd */
};

#define UBLK_U_IO_PREP_IO_CMDS	 _IOWR('u', 0x25, struct ublk_batch_io)
#define UBLK_U_IO_COMMIT_IO_CMDS _IOWR('u', 0x26, struct ublk_batch_io)
#define UBLK_U_IO_FETCH_IO_CMDS	 _IOWR('u', 0x27, struct ublk_batch_io)

#define UBLK_MAX_BATCH_TAGS 128 /* in one completion of FETCH */

/*
 * With UBLK_F_USER_COPY: a request's data in the char device. A read of it gives what the client
 * writes, and a write gives what it reads.
 */
#define UBLKSRV_IO_BUF_OFFSET 0x80000000ULL
#define UBLK_TAG_OFF	      25
#define UBLK_QID_OFF	      41

/* With UBLK_F_INTEGRITY, likewise: with this bit set in the place, a request's metadata. */
#define UBLKSRV_IO_INTEGRITY_FLAG (1ULL << 62)

/* The driver's limits. A queue's descriptors are spaced by the first, not by the device's depth. */
#define UBLK_MAX_QUEUE_DEPTH 4096
#define UBLK_MAX_NR_QUEUES   4096
#define UBLK_MAX_IO_BYTES    (32U << 20)

struct ublksrv_io_desc {
	uint32_t op_flags;   /* op in bits 0-7, UBLK_IO_F_* above */
	uint32_t nr_sectors; /* of a report of zones: how many zones */
	uint64_t start_sector;
	uint64_t addr;
};

#define UBLK_ATTR_READ_ONLY	 (1U << 0)
#define UBLK_ATTR_ROTATIONAL	 (1U << 1)
#define UBLK_ATTR_VOLATILE_CACHE (1U << 2)
#define UBLK_ATTR_FUA		 (1U << 3)

struct ublk_param_basic {
	uint32_t attrs;
	uint8_t logical_bs_shift;
	uint8_t physical_bs_shift;
	uint8_t io_opt_shift;
	uint8_t io_min_shift;
	uint32_t max_sectors;
	uint32_t chunk_sectors;
	uint64_t dev_sectors;
	uint64_t virt_boundary_mask;
};

struct ublk_param_discard {
	uint32_t discard_alignment;
	uint32_t discard_granularity;
	uint32_t max_discard_sectors;
	uint32_t max_write_zeroes_sectors;
	uint16_t max_discard_segments;
	uint16_t reserved0;
};

struct ublk_param_devt { /* written by the kernel alone */
	uint32_t char_major;
	uint32_t char_minor;
	uint32_t disk_major;
	uint32_t disk_minor;
};

struct ublk_param_zoned {
	uint32_t max_open_zones;
	uint32_t max_active_zones;
	uint32_t max_zone_append_sectors;
	uint8_t reserved[20];
};

struct ublk_param_dma_align {
	uint32_t alignment; /* less one: a mask */
	uint8_t pad[4];
};

#define UBLK_MIN_SEGMENT_SIZE 4096

struct ublk_param_segment {
	uint64_t seg_boundary_mask;
	uint32_t max_segment_size;
	uint16_t max_segments;
	uint8_t pad[2];
};

#define LBMD_PI_CAP_INTEGRITY (1U << 0) /* these are linux/fs.h's */
#define LBMD_PI_CAP_REFTAG    (1U << 1)

struct ublk_param_integrity {
	uint32_t flags; /* LBMD_PI_CAP_* */
	uint16_t max_integrity_segments;
	uint8_t interval_exp;
	uint8_t metadata_size;
	uint8_t pi_offset;
	uint8_t csum_type; /* LBMD_PI_CSUM_*, which are those of enum ul_csum */
	uint8_t tag_size;
	uint8_t pad[5];
};

#define UBLK_PARAM_TYPE_BASIC	  (1U << 0)
#define UBLK_PARAM_TYPE_DISCARD	  (1U << 1)
#define UBLK_PARAM_TYPE_ZONED	  (1U << 3)
#define UBLK_PARAM_TYPE_DMA_ALIGN (1U << 4)
#define UBLK_PARAM_TYPE_SEGMENT	  (1U << 5)
#define UBLK_PARAM_TYPE_INTEGRITY (1U << 6)

/* The kernel copies min(len, its own size): one of another length than its own is fine. */
struct ublk_params {
	uint32_t len;
	uint32_t types;
	struct ublk_param_basic basic;
	struct ublk_param_discard discard;
	struct ublk_param_devt devt;
	struct ublk_param_zoned zoned;
	struct ublk_param_dma_align dma;
	struct ublk_param_segment seg;
	struct ublk_param_integrity integrity;
};

static_assert(sizeof(struct ublksrv_ctrl_cmd) == 32, "ublksrv_ctrl_cmd");
static_assert(offsetof(struct ublksrv_ctrl_cmd, queue_id) == 4, "ctrl_cmd.queue_id");
static_assert(offsetof(struct ublksrv_ctrl_cmd, len) == 6, "ctrl_cmd.len");
static_assert(offsetof(struct ublksrv_ctrl_cmd, addr) == 8, "ctrl_cmd.addr");
static_assert(offsetof(struct ublksrv_ctrl_cmd, data) == 16, "ctrl_cmd.data");
static_assert(offsetof(struct ublksrv_ctrl_cmd, dev_path_len) == 24, "ctrl_cmd.dev_path_len");
static_assert(sizeof(struct ublksrv_ctrl_dev_info) == 64, "ublksrv_ctrl_dev_info");
static_assert(offsetof(struct ublksrv_ctrl_dev_info, state) == 4, "dev_info.state");
static_assert(offsetof(struct ublksrv_ctrl_dev_info, max_io_buf_bytes) == 8, "dev_info.max_io");
static_assert(offsetof(struct ublksrv_ctrl_dev_info, ublksrv_pid) == 16, "dev_info.ublksrv_pid");
static_assert(offsetof(struct ublksrv_ctrl_dev_info, flags) == 24, "dev_info.flags");
static_assert(offsetof(struct ublksrv_ctrl_dev_info, owner_uid) == 40, "dev_info.owner_uid");
static_assert(sizeof(struct ublksrv_io_cmd) == 16, "ublksrv_io_cmd");
static_assert(offsetof(struct ublksrv_io_cmd, result) == 4, "io_cmd.result");
static_assert(offsetof(struct ublksrv_io_cmd, addr) == 8, "io_cmd.addr");
static_assert(sizeof(struct ublk_batch_io) == 16, "ublk_batch_io");
static_assert(offsetof(struct ublk_batch_io, nr_elem) == 4, "batch_io.nr_elem");
static_assert(offsetof(struct ublk_batch_io, elem_bytes) == 6, "batch_io.elem_bytes");
static_assert(sizeof(struct ublk_elem_header) == 8, "ublk_elem_header");
static_assert(offsetof(struct ublk_elem_header, result) == 4, "elem_header.result");
static_assert(sizeof(struct ublksrv_io_desc) == 24, "ublksrv_io_desc");
static_assert(offsetof(struct ublksrv_io_desc, start_sector) == 8, "io_desc.start_sector");
static_assert(sizeof(struct ublk_param_basic) == 32, "ublk_param_basic");
static_assert(offsetof(struct ublk_param_basic, max_sectors) == 8, "basic.max_sectors");
static_assert(offsetof(struct ublk_param_basic, dev_sectors) == 16, "basic.dev_sectors");
static_assert(sizeof(struct ublk_param_discard) == 20, "ublk_param_discard");
static_assert(offsetof(struct ublk_params, basic) == 8, "params.basic");
static_assert(offsetof(struct ublk_params, discard) == 40, "params.discard");
static_assert(offsetof(struct ublk_params, devt) == 60, "params.devt");
static_assert(offsetof(struct ublk_params, zoned) == 76, "params.zoned");
static_assert(sizeof(struct ublk_param_zoned) == 32, "ublk_param_zoned");
static_assert(offsetof(struct ublk_params, dma) == 108, "params.dma");
static_assert(offsetof(struct ublk_params, seg) == 120, "params.seg");
static_assert(sizeof(struct ublk_param_segment) == 16, "ublk_param_segment");
static_assert(offsetof(struct ublk_param_segment, max_segments) == 12, "segment.max_segments");
static_assert(offsetof(struct ublk_params, integrity) == 136, "params.integrity");
static_assert(sizeof(struct ublk_param_integrity) == 16, "ublk_param_integrity");
static_assert(offsetof(struct ublk_param_integrity, pi_offset) == 8, "integrity.pi_offset");
static_assert(UBLK_U_CMD_ADD_DEV == 0xc0207504, "ADD_DEV");
static_assert(UBLK_U_CMD_START_DEV == 0xc0207506, "START_DEV");
static_assert(UBLK_U_CMD_GET_FEATURES == 0x80207513, "GET_FEATURES");
static_assert(UBLK_U_CMD_TRY_STOP_DEV == 0xc0207517, "TRY_STOP_DEV");
static_assert(UBLK_U_IO_FETCH_REQ == 0xc0107520, "FETCH_REQ");
static_assert(UBLK_U_IO_COMMIT_AND_FETCH_REQ == 0xc0107521, "COMMIT_AND_FETCH_REQ");
static_assert(UBLK_U_IO_NEED_GET_DATA == 0xc0107522, "NEED_GET_DATA");
static_assert(UBLK_U_IO_FETCH_IO_CMDS == 0xc0107527, "FETCH_IO_CMDS");
