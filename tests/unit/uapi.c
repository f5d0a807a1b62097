/* SPDX-License-Identifier: MIT */
/*
 * The driver's numbers, typed here a second time from its own header
 * (include/uapi/linux/ublk_cmd.h) and documentation: a slip in core/uapi.h or
 * core/api.h would speak to the kernel in another tongue.
 */
#include "support.h"

#include <liburing.h>

#include "uapi.h"

static void control_commands_have_the_drivers_numbers(void **state)
{
	assert_int_equal(UBLK_U_CMD_GET_QUEUE_AFFINITY, 0x80207501);
	assert_int_equal(UBLK_U_CMD_ADD_DEV, 0xc0207504);
	assert_int_equal(UBLK_U_CMD_DEL_DEV, 0xc0207505);
	assert_int_equal(UBLK_U_CMD_START_DEV, 0xc0207506);
	assert_int_equal(UBLK_U_CMD_STOP_DEV, 0xc0207507);
	assert_int_equal(UBLK_U_CMD_SET_PARAMS, 0xc0207508);
	assert_int_equal(UBLK_U_CMD_GET_PARAMS, 0x80207509);
	assert_int_equal(UBLK_U_CMD_GET_DEV_INFO2, 0x80207512);
	assert_int_equal(UBLK_U_CMD_GET_FEATURES, 0x80207513);
}

static void io_commands_have_the_drivers_numbers(void **state)
{
	assert_int_equal(UBLK_U_IO_FETCH_REQ, 0xc0107520);
	assert_int_equal(UBLK_U_IO_COMMIT_AND_FETCH_REQ, 0xc0107521);
	assert_int_equal(UBLK_U_IO_PREP_IO_CMDS, 0xc0107525);
	assert_int_equal(UBLK_U_IO_COMMIT_IO_CMDS, 0xc0107526);
	assert_int_equal(UBLK_U_IO_FETCH_IO_CMDS, 0xc0107527);
	assert_int_equal(IORING_OP_URING_CMD, 46);
}

static void ops_and_flags_have_the_drivers_numbers(void **state)
{
	assert_int_equal(UL_OP_READ, 0);
	assert_int_equal(UL_OP_WRITE, 1);
	assert_int_equal(UL_OP_FLUSH, 2);
	assert_int_equal(UL_OP_DISCARD, 3);
	assert_int_equal(UL_OP_WRITE_ZEROES, 5);
	assert_int_equal(UL_OP_ZONE_APPEND, 13);
	assert_int_equal(UL_OP_REPORT_ZONES, 18);
	assert_int_equal(UL_FLAG_FAILFAST_DEV, 1 << 8);
	assert_int_equal(UL_FLAG_META, 1 << 11);
	assert_int_equal(UL_FLAG_FUA, 1 << 13);
	assert_int_equal(UL_FLAG_NOUNMAP, 1 << 15);
	assert_int_equal(UL_FLAG_SWAP, 1 << 16);
	assert_int_equal(UL_FLAG_INTEGRITY, 1 << 18);
}

static void command_payload_lies_at_byte_48_of_an_sqe(void **state)
{
	assert_int_equal(offsetof(struct io_uring_sqe, addr3), 48);
	assert_int_equal(48 + sizeof(struct ublksrv_io_cmd), sizeof(struct io_uring_sqe));
	/* The op of a uring command shares the bytes of `off`. */
	assert_int_equal(offsetof(struct io_uring_sqe, off), 8);
}

static void attributes_have_the_drivers_bits(void **state)
{
	assert_int_equal(UBLK_ATTR_READ_ONLY, 1);
	assert_int_equal(UBLK_ATTR_ROTATIONAL, 2);
	assert_int_equal(UBLK_ATTR_VOLATILE_CACHE, 4);
	assert_int_equal(UBLK_ATTR_FUA, 8);
	assert_int_equal(UBLK_PARAM_TYPE_BASIC, 1);
	assert_int_equal(UBLK_PARAM_TYPE_DISCARD, 2);
	assert_int_equal(UBLK_PARAM_TYPE_DMA_ALIGN, 16);
	assert_int_equal(UBLK_PARAM_TYPE_SEGMENT, 32);
	assert_int_equal(UBLK_F_SUPPORT_ZERO_COPY, 1);
	assert_int_equal(UBLK_F_USER_COPY, 0x80);
	assert_int_equal(UBLK_F_AUTO_BUF_REG, 0x800);
	assert_int_equal(UBLK_F_BATCH_IO, 0x8000);
	assert_int_equal(UBLK_F_NO_AUTO_PART_SCAN, 0x40000);
	assert_int_equal(UBLK_BATCH_F_HAS_BUF_ADDR, 2);
	assert_int_equal(UBLK_BATCH_F_AUTO_BUF_REG_FALLBACK, 4);
}

static void limits_are_the_drivers(void **state)
{
	assert_int_equal(UBLK_MAX_QUEUE_DEPTH, 4096);
	assert_int_equal(UBLK_MAX_NR_QUEUES, 4096);
	assert_int_equal(UBLK_MAX_IO_BYTES, 32 << 20);
	assert_int_equal(UBLK_MIN_SEGMENT_SIZE, 4096);
	assert_int_equal(UBLK_MAX_BATCH_TAGS, 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control_commands_have_the_drivers_numbers),
		cmocka_unit_test(io_commands_have_the_drivers_numbers),
		cmocka_unit_test(ops_and_flags_have_the_drivers_numbers),
		cmocka_unit_test(command_payload_lies_at_byte_48_of_an_sqe),
		cmocka_unit_test(attributes_have_the_drivers_bits),
		cmocka_unit_test(limits_are_the_drivers),
	};

	return cmocka_run_group_tests_name("uapi", tests, NULL, NULL);
}
