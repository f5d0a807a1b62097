/* SPDX-License-Identifier: MIT */
/*
 * core/stats.c: the JSON that --stats writes, parsed again, and the table that
 * people read. Sums over queues are right and what did not happen is left out.
 */
#include "support.h"

#include <errno.h>
#include <jansson.h>

static const struct stats queue_0 = {
	.op = {
		[UL_OP_READ] = { .requests = 10, .bytes = 40960, .errors = 1 },
		[UL_OP_WRITE] = { .requests = 5, .bytes = 20480, .errors = 3, .scripted = 5,
				  .injected = 2 },
	},
	.rounds = 7,
};

/* Beyond 2^32, and an op that the other queue does not have. */
static const struct stats queue_1 = {
	.op = {
		[UL_OP_READ] = { .requests = 1ULL << 40, .bytes = 1ULL << 52 },
		[UL_OP_WRITE_ZEROES] = { .requests = 1, .bytes = 512 },
	},
	.rounds = 9,
};

static const struct stats *const queues[] = { &queue_0, &queue_1 };

static const struct stats_report report = {
	.node = "/dev/ublkb3",
	.script = "a/faulty.lua",
	.seed = 1ULL << 53,
	.queues = 2,
	.queue = queues,
};

static json_t *written_report(void)
{
	json_error_t error;
	json_t *root;

	assert_int_equal(stats_write(&report, temp_path("stats.json")), 0);
	root = json_load_file(temp_path("stats.json"), 0, &error);
	assert_non_null(root);
	return root;
}

/* The member at a path such as "total", "read", "bytes"; asserts that it is there. */
static json_int_t number(json_t *node, const char *a, const char *b, const char *c)
{
	node = json_object_get(node, a);
	node = b ? json_object_get(node, b) : node;
	node = c ? json_object_get(node, c) : node;
	assert_true(json_is_integer(node));
	return json_integer_value(node);
}

static void json_says_which_device_it_was(void **state)
{
	json_t *root = written_report();

	assert_string_equal(json_string_value(json_object_get(root, "device")), "/dev/ublkb3");
	assert_string_equal(json_string_value(json_object_get(root, "script")), "a/faulty.lua");
	assert_int_equal(number(root, "seed", NULL, NULL), 1ULL << 53);
	json_decref(root);
}

static void json_has_each_queue(void **state)
{
	json_t *root = written_report();
	json_t *list = json_object_get(root, "queues");

	assert_int_equal(json_array_size(list), 2);
	assert_int_equal(number(json_array_get(list, 0), "id", NULL, NULL), 0);
	assert_int_equal(number(json_array_get(list, 0), "rounds", NULL, NULL), 7);
	assert_int_equal(number(json_array_get(list, 0), "ops", "write", "scripted"), 5);
	assert_int_equal(number(json_array_get(list, 1), "id", NULL, NULL), 1);
	assert_int_equal(number(json_array_get(list, 1), "rounds", NULL, NULL), 9);
	assert_int_equal(number(json_array_get(list, 1), "ops", "read", "bytes"), 1ULL << 52);
	json_decref(root);
}

static void totals_are_sums_over_queues(void **state)
{
	json_t *root = written_report();

	assert_int_equal(number(root, "total", "read", "requests"), (1ULL << 40) + 10);
	assert_int_equal(number(root, "total", "read", "bytes"), (1ULL << 52) + 40960);
	assert_int_equal(number(root, "total", "read", "errors"), 1);
	assert_int_equal(number(root, "total", "write", "injected"), 2);
	assert_int_equal(number(root, "total", "write_zeroes", "bytes"), 512);
	json_decref(root);
}

static void ops_without_requests_are_left_out(void **state)
{
	json_t *root = written_report();

	assert_int_equal(json_object_size(json_object_get(root, "total")), 3);
	assert_null(json_object_get(json_object_get(root, "total"), "flush"));
	json_decref(root);
}

static void a_file_that_cannot_be_written_is_named(void **state)
{
	const char *log;
	int ret;

	log_begin();
	ret = stats_write(&report, "/nonexistent/stats.json");
	log = log_end();
	assert_int_equal(ret, -ENOENT);
	assert_has(log, "--stats /nonexistent/stats.json: No such file or directory");
	assert_one_line(log);
}

static void a_full_disk_is_an_error(void **state)
{
	const char *log;
	int ret;

	log_begin();
	ret = stats_write(&report, "/dev/full");
	log = log_end();
	assert_true(ret < 0);
	assert_has(log, "--stats /dev/full: ");
}

static void table_has_a_line_for_each_op(void **state)
{
	const char *log;

	log_begin();
	stats_print(&report);
	log = log_end();
	assert_int_equal(count_lines(log), 4); /* head, read, write, write_zeroes */
	assert_has(log, " 1099511627786 ");
	assert_has(log, "write_zeroes");
	assert_lacks(log, "flush");
}

static void ops_have_the_names_of_handlers(void **state)
{
	assert_string_equal(stats_op_name(UL_OP_READ), "read");
	assert_string_equal(stats_op_name(UL_OP_WRITE_ZEROES), "write_zeroes");
	assert_string_equal(stats_op_name(UL_OP_REPORT_ZONES), "report_zones");
	assert_null(stats_op_name(4));
	assert_null(stats_op_name(UL_OP_COUNT));
	assert_null(stats_op_name(255));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_says_which_device_it_was),
		cmocka_unit_test(json_has_each_queue),
		cmocka_unit_test(totals_are_sums_over_queues),
		cmocka_unit_test(ops_without_requests_are_left_out),
		cmocka_unit_test(a_file_that_cannot_be_written_is_named),
		cmocka_unit_test(a_full_disk_is_an_error),
		cmocka_unit_test(table_has_a_line_for_each_op),
		cmocka_unit_test(ops_have_the_names_of_handlers),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
