/* SPDX-License-Identifier: MIT */
/*
 * core/watch.c and core/prometheus.c: what people and Prometheus see of two
 * answers of a device, to the digit.
 */
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "prometheus.h"
#include "watch.h"

static const char first[] =
	"{'uptime': 10, 'latency': {'read': [[1000, 5]]}, 'stats': {'device': '/dev/ublkb3',"
	" 'script': 'a/b.lua', 'total': {'ops': {'read': {'requests': 5, 'bytes': 20480,"
	" 'errors': 1, 'injected': 1}}, 'layers': {'bad': {'seen': 5, 'hit': 1}}}}}";

/* Two seconds later: 100 reads more, 90 at 1 us, 9 at 16 us, 1 at 1 ms; and the first writes. */
static const char second[] =
	"{'uptime': 12, 'latency': {'read': [[1000, 95], [16384, 9], [1000000, 1]],"
	" 'write': [[2048, 4]]}, 'stats': {'device': '/dev/ublkb3', 'script': 'a/b.lua',"
	" 'total': {'ops': {'read': {'requests': 105, 'bytes': 430080, 'errors': 3, 'injected': 2,"
	" 'scripted': 105, 'latency_ns': {'mean': 2000, 'count': 105}}, 'write': {'requests': 4,"
	" 'bytes': 4096, 'errors': 0, 'injected': 0, 'scripted': 0}},"
	" 'layers': {'bad': {'seen': 105, 'hit': 3}}, 'counters': {'a\\'b': 7}}}}";

static json_t *answer(const char *text)
{
	char *copy = strdup(text);
	json_t *json;

	for (char *c = copy; *c; c++)
		if (*c == '\'')
			*c = '"';
	json = json_loads(copy, 0, NULL);
	assert_non_null(json);
	free(copy);
	return json;
}

static void a_frame_shows_what_lies_between(void **state)
{
	json_t *before = answer(first), *now = answer(second);
	struct watch w = { .before = before, .now = now, .in_flight = 7, .held = -1 };
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	watch_print(to, &w);
	fclose(to);
	assert_has(text, "/dev/ublkb3  b.lua  up 12 s   in flight 7   held ?\n");
	assert_has(text, "read                   50       200K         3         2    1.00us "
			 "   16.4us    1.00ms\n");
	assert_has(text, "write                   2         2K         0         0    2.05us");
	assert_has(text, "bad                    50          1         3\n");
	/* From 512 ns to 1 ms, each column twice the one before: 90 reads, 4 writes, 9, and 1. */
	assert_has(text, "\n  ███     ▃▃▃         ▅▅▅                 ▁▁▁ \n");
	assert_has(text, "  512ns .. 1.05ms, each column");
	free(text);
	json_decref(before);
	json_decref(now);
}

static void a_device_at_rest_has_no_latencies(void **state)
{
	json_t *now = answer(second);
	struct watch w = { .before = now, .now = now };
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	watch_print(to, &w);
	fclose(to);
	assert_has(text, "read                    0          0         3         2         -");
	assert_lacks(text, "latency, all ops");
	free(text);
	json_decref(now);
}

static void prometheus_reads_it(void **state)
{
	static char text[8192];
	json_t *now = answer(second);
	int kept = dup(STDOUT_FILENO), pipe_fds[2];
	ssize_t size;

	assert_int_equal(pipe(pipe_fds), 0);
	fflush(stdout);
	dup2(pipe_fds[1], STDOUT_FILENO);
	assert_int_equal(prometheus_print(now), 0);
	fflush(stdout);
	dup2(kept, STDOUT_FILENO);
	size = read(pipe_fds[0], text, sizeof(text) - 1);
	assert_true(size > 0);
	text[size] = '\0';
	assert_has(text, "# TYPE ublk_lua_requests_total counter\n");
	assert_has(text, "ublk_lua_requests_total{device=\"/dev/ublkb3\",op=\"read\"} 105\n");
	assert_has(text, "_bucket{device=\"/dev/ublkb3\",op=\"read\",le=\"1.6384e-05\"} 95\n");
	assert_has(text, "_bucket{device=\"/dev/ublkb3\",op=\"read\",le=\"0.001\"} 104\n");
	assert_has(text, "_bucket{device=\"/dev/ublkb3\",op=\"read\",le=\"+Inf\"} 105\n");
	assert_has(text, "_sum{device=\"/dev/ublkb3\",op=\"read\"} 0.00021\n");
	assert_has(text, "_hit_total{device=\"/dev/ublkb3\",layer=\"bad\"} 3\n");
	assert_has(text, "ublk_lua_counter{device=\"/dev/ublkb3\",name=\"a\\\"b\"} 7\n");
	json_decref(now);
	close(kept);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_shows_what_lies_between),
		cmocka_unit_test(a_device_at_rest_has_no_latencies),
		cmocka_unit_test(prometheus_reads_it),
	};

	return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
