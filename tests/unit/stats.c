/* SPDX-License-Identifier: MIT */
/*
 * core/stats*.c: the JSON that --stats writes, parsed again, and the table that
 * people read. Sums over queues are right and what did not happen is left out.
 */
#include "support.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

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

/* The member at a path such as "total/ops/read/bytes"; NULL when it is not there. */
static json_t *member(json_t *node, const char *path)
{
	char name[64];
	size_t length;

	for (; *path; path += length + (path[length] == '/')) {
		length = strcspn(path, "/");
		snprintf(name, sizeof(name), "%.*s", (int)length, path);
		node = json_is_array(node) ? json_array_get(node, strtoul(name, NULL, 10))
					   : json_object_get(node, name);
	}
	return node;
}

static json_int_t number(json_t *root, const char *path)
{
	if (!json_is_integer(member(root, path)))
		print_error("no whole number at %s\n", path);
	assert_true(json_is_integer(member(root, path)));
	return json_integer_value(member(root, path));
}

static void json_says_which_device_it_was(void **state)
{
	json_t *root = written_report();

	assert_string_equal(json_string_value(json_object_get(root, "device")), "/dev/ublkb3");
	assert_string_equal(json_string_value(json_object_get(root, "script")), "a/faulty.lua");
	assert_int_equal(number(root, "seed"), 1ULL << 53);
	json_decref(root);
}

static void json_has_each_queue(void **state)
{
	json_t *root = written_report();
	json_t *list = json_object_get(root, "queues");

	assert_int_equal(json_array_size(list), 2);
	assert_int_equal(number(root, "queues/0/id"), 0);
	assert_int_equal(number(root, "queues/0/rounds"), 7);
	assert_int_equal(number(root, "queues/0/ops/write/scripted"), 5);
	assert_int_equal(number(root, "queues/1/id"), 1);
	assert_int_equal(number(root, "queues/1/rounds"), 9);
	assert_int_equal(number(root, "queues/1/ops/read/bytes"), 1ULL << 52);
	json_decref(root);
}

static void totals_are_sums_over_queues(void **state)
{
	json_t *root = written_report();

	assert_int_equal(number(root, "total/ops/read/requests"), (1ULL << 40) + 10);
	assert_int_equal(number(root, "total/ops/read/bytes"), (1ULL << 52) + 40960);
	assert_int_equal(number(root, "total/ops/read/errors"), 1);
	assert_int_equal(number(root, "total/ops/write/injected"), 2);
	assert_int_equal(number(root, "total/ops/write_zeroes/bytes"), 512);
	json_decref(root);
}

static void ops_without_requests_are_left_out(void **state)
{
	json_t *root = written_report();

	assert_int_equal(json_object_size(member(root, "total/ops")), 3);
	assert_null(member(root, "total/ops/flush"));
	json_decref(root);
}

static struct stats scripted_0, scripted_1; /* 400 KB each */

static void named_counter(struct stats *s, const char *name, double value)
{
	struct ul_counter *counter = &s->script.counter[s->script.counters++];

	strncpy(counter->name, name, UL_NAME);
	counter->value = value;
}

static void named_layer(struct stats *s, const char *name, double seen, double hit)
{
	struct ul_layer_stats *layer = &s->script.layer[s->script.layers++];

	strncpy(layer->name, name, UL_NAME);
	layer->seen = seen;
	layer->hit = hit;
}

static struct ul_histogram *named_histogram(struct stats *s, const char *name, int32_t unit)
{
	struct ul_histogram *h = &s->script.histogram[s->script.histograms++];

	strncpy(h->name, name, UL_NAME);
	h->unit = unit;
	return h;
}

/* Two queues whose scripts named the same things in another order. */
static int begin_scripted(void **state)
{
	scripted_0 = scripted_1 = (struct stats){ 0 };
	scripted_0.op[UL_OP_READ].requests = scripted_1.op[UL_OP_READ].requests = 2;
	ul_histogram_add(&scripted_0.latency[UL_OP_READ], 10, 2);
	ul_histogram_add(&scripted_1.latency[UL_OP_READ], 4e6, 1);
	ul_histogram_add(&scripted_1.latency[UL_OP_READ], 30, 1);
	named_layer(&scripted_0, "bad spot", 100, 7);
	named_layer(&scripted_0, "device", 93, 1);
	named_layer(&scripted_1, "device", 10, 2);
	named_layer(&scripted_1, "bad spot", 20, 3);
	named_counter(&scripted_0, "torn", 5);
	named_counter(&scripted_0, "share", 0.5);
	named_counter(&scripted_1, "only here", -4);
	named_counter(&scripted_1, "torn", 0x1p40);
	ul_histogram_add(named_histogram(&scripted_0, "gap", UL_UNIT_NS), 2500, 3);
	ul_histogram_add(named_histogram(&scripted_0, "request", UL_UNIT_BYTES), 65536, 2);
	ul_histogram_add(named_histogram(&scripted_1, "request", UL_UNIT_BYTES), 512, 1);
	named_histogram(&scripted_1, "nothing", UL_UNIT_COUNT);
	return 0;
}

static const struct stats_report scripted_report = {
	.node = "/dev/ublkb3",
	.script = "s.lua",
	.queues = 2,
	.queue = (const struct stats *const[]){ &scripted_0, &scripted_1 },
};

static json_t *written_scripted_report(void)
{
	json_t *root;

	assert_int_equal(stats_write(&scripted_report, temp_path("stats.json")), 0);
	root = json_load_file(temp_path("stats.json"), 0, NULL);
	assert_non_null(root);
	return root;
}

static void what_scripts_count_is_added_up_by_name(void **state)
{
	json_t *root = written_scripted_report();

	assert_int_equal(number(root, "total/layers/bad spot/seen"), 120);
	assert_int_equal(number(root, "total/layers/bad spot/hit"), 10);
	assert_int_equal(number(root, "total/layers/device/hit"), 3);
	assert_int_equal(json_object_size(member(root, "total/layers")), 2);
	assert_int_equal(number(root, "total/counters/torn"), (1LL << 40) + 5);
	assert_int_equal(number(root, "total/counters/only here"), -4);
	assert_true(json_real_value(member(root, "total/counters/share")) == 0.5);
	assert_int_equal(number(root, "total/histograms/request/count"), 3);
	assert_int_equal(json_object_size(member(root, "total/histograms")), 3);
	assert_int_equal(number(root, "queues/0/counters/torn"), 5);
	assert_null(member(root, "queues/0/counters/only here"));
	assert_int_equal(number(root, "queues/1/layers/bad spot/seen"), 20);
	assert_int_equal(number(root, "queues/1/histograms/request/max"), 512);
	json_decref(root);
}

static void latencies_are_told_for_each_op_that_was_timed(void **state)
{
	json_t *root = written_scripted_report();

	assert_int_equal(number(root, "total/ops/read/latency_ns/count"), 4);
	assert_int_equal(number(root, "total/ops/read/latency_ns/min"), 10);
	assert_int_equal(number(root, "total/ops/read/latency_ns/p50"), 10);
	assert_int_equal(number(root, "total/ops/read/latency_ns/max"), 4000000);
	assert_true(json_number_value(member(root, "total/ops/read/latency_ns/mean")) ==
		    (20 + 30 + 4e6) / 4);
	assert_in_range(number(root, "total/ops/read/latency_ns/p999"), 3900000, 4000000);
	assert_int_equal(number(root, "queues/0/ops/read/latency_ns/p99"), 10);
	json_decref(root);
	root = written_report();
	assert_non_null(member(root, "total/ops/read"));
	assert_null(member(root, "total/ops/read/latency_ns"));
	json_decref(root);
}

static void histograms_have_a_unit_and_their_buckets(void **state)
{
	json_t *root = written_scripted_report();
	json_t *h = member(root, "total/histograms/request");

	assert_string_equal(json_string_value(member(h, "unit")), "bytes");
	assert_int_equal(json_array_size(member(h, "buckets")), 2);
	assert_int_equal(number(h, "buckets/0/0"), 512);
	assert_int_equal(number(h, "buckets/0/1"), 1);
	assert_int_equal(number(h, "buckets/1/0"), 65536);
	assert_int_equal(number(h, "buckets/1/1"), 2);
	h = member(root, "total/histograms/gap");
	assert_string_equal(json_string_value(member(h, "unit")), "ns");
	assert_int_equal(number(h, "p90"), 2500);
	h = member(root, "total/histograms/nothing");
	assert_string_equal(json_string_value(member(h, "unit")), "count");
	assert_int_equal(number(h, "count"), 0);
	assert_int_equal(json_array_size(member(h, "buckets")), 0);
	assert_null(member(h, "max"));
	json_decref(root);
}

/* Names with any bytes, numbers that JSON has not, and what a crashed server left. */
static void json_is_valid_whatever_a_script_counted(void **state)
{
	struct ul_script_stats *script = &scripted_0.script;
	char name[UL_NAME];
	json_t *root;

	named_counter(&scripted_0, "\xff\xfe", 1);
	named_counter(&scripted_0,
		      "gr\xc3\xb6\xc3\x9f"
		      "e",
		      2);
	named_counter(&scripted_0, "nan", NAN);
	named_counter(&scripted_0, "inf", INFINITY);
	script->histogram[0].unit = -7;
	script->histogram[1].sum = NAN;
	root = written_scripted_report();
	assert_int_equal(number(root, "total/counters/\?\?"), 1);
	assert_int_equal(number(root, "total/counters/gr\xc3\xb6\xc3\x9f"
				      "e"),
			 2);
	assert_true(json_is_null(member(root, "total/counters/nan")));
	assert_true(json_is_null(member(root, "queues/0/counters/inf")));
	json_decref(root);

	memset(script, 0x41, sizeof(*script)); /* counts beyond all bounds, names without end */
	root = written_scripted_report();
	memset(name, 'A', sizeof(name));
	name[UL_NAME - 1] = '\0';
	assert_int_equal(json_object_size(member(root, "queues/0/counters")), 1);
	assert_true(json_is_number(json_object_get(member(root, "total/counters"), name)));
	log_begin();
	stats_print(&scripted_report);
	assert_has(log_end(), name);
	json_decref(root);
}

/* More names than there is room for: the first ones stay right. */
static void too_many_different_names_do_no_harm(void **state)
{
	char name[UL_NAME];
	json_t *root;

	for (unsigned i = 2; i < UL_COUNTERS; i++) {
		snprintf(name, sizeof(name), "zero %u", i);
		named_counter(&scripted_0, name, 1);
	}
	root = written_scripted_report();
	assert_int_equal(json_object_size(member(root, "total/counters")), UL_COUNTERS);
	assert_int_equal(number(root, "total/counters/torn"), (1LL << 40) + 5);
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

/* The column where `word` ends in the line that begins with `line`. */
static long end_of(const char *text, const char *line, const char *word)
{
	const char *begin = strstr(text, line), *at = begin ? strstr(begin, word) : NULL;

	if (!at)
		print_error("no %s after %s in: %s\n", word, line, text);
	assert_non_null(at);
	return at + strlen(word) - begin;
}

static void table_tells_what_scripts_counted_in_readable_units(void **state)
{
	const char *log;

	log_begin();
	stats_print(&scripted_report);
	log = log_end();
	assert_has(log, "to script   injected       p50       p99       max\n");
	assert_has(log, "      10ns    4.00ms    4.00ms\n");
	assert_has(log, "\n\nlayer ");
	assert_int_equal(end_of(log, "bad spot", " 120"), end_of(log, "layer", "seen"));
	assert_int_equal(end_of(log, "bad spot", " 10\n"), end_of(log, "layer", "hit\n"));
	assert_int_equal(end_of(log, "torn", "1099511627781"), end_of(log, "counter", "value") + 1);
	assert_int_equal(end_of(log, "only here", "-4"), end_of(log, "counter", "value"));
	assert_has(log, " 0.5\n");
	assert_int_equal(end_of(log, "gap", " 2.50us"), end_of(log, "histogram", "p50"));
	assert_int_equal(end_of(log, "request ", " 64K\n"), end_of(log, "histogram", "max\n"));
	assert_int_equal(end_of(log, "nothing", "-\n"), end_of(log, "histogram", "max\n"));
}

static void table_columns_line_up_beside_long_names(void **state)
{
	const char *log;

	named_counter(&scripted_0, "the reads that came too late \xe2\x89\xa5 10 ms", 3);
	log_begin();
	stats_print(&scripted_report);
	log = log_end();
	assert_int_equal(end_of(log, "counter", "value"), end_of(log, "layer", "seen"));
	assert_int_equal(end_of(log, "the reads", " 3\n"), end_of(log, "counter", "value\n") + 2);
	assert_int_equal(end_of(log, "op ", "requests"), end_of(log, "layer", "seen"));
}

static void table_has_no_part_for_what_no_script_counted(void **state)
{
	const char *log;

	log_begin();
	stats_print(&report);
	log = log_end();
	assert_lacks(log, "layer");
	assert_lacks(log, "counter");
	assert_lacks(log, "histogram");
	assert_has(log, "         -         -         -\n"); /* nothing was timed */
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
		cmocka_unit_test_setup(what_scripts_count_is_added_up_by_name, begin_scripted),
		cmocka_unit_test_setup(latencies_are_told_for_each_op_that_was_timed,
				       begin_scripted),
		cmocka_unit_test_setup(histograms_have_a_unit_and_their_buckets, begin_scripted),
		cmocka_unit_test_setup(json_is_valid_whatever_a_script_counted, begin_scripted),
		cmocka_unit_test_setup(too_many_different_names_do_no_harm, begin_scripted),
		cmocka_unit_test(a_file_that_cannot_be_written_is_named),
		cmocka_unit_test(a_full_disk_is_an_error),
		cmocka_unit_test(table_has_a_line_for_each_op),
		cmocka_unit_test_setup(table_tells_what_scripts_counted_in_readable_units,
				       begin_scripted),
		cmocka_unit_test_setup(table_columns_line_up_beside_long_names, begin_scripted),
		cmocka_unit_test(table_has_no_part_for_what_no_script_counted),
		cmocka_unit_test(ops_have_the_names_of_handlers),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
