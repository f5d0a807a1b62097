/* SPDX-License-Identifier: MIT */
/*
 * core/control.c with core/wire.c and core/rundir.c: clients that send garbage,
 * too much, half a line or nothing, that do not read, go away or are many: each
 * is answered or dropped, the others are served, and the socket's file is there
 * exactly as long as somebody listens.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "rundir.h"

enum { ID = 7, BIG = 1 << 20 };

static struct control *control;
static char dir[] = "/tmp/ublk-control-XXXXXX";
static unsigned handled; /* requests that the handler got */

/* "later" is answered by answer_later, "big" by a megabyte, others by their name. */
static uint64_t kept_client;
static json_t *kept_id;

static void handle(void *arg, const struct control_request *request)
{
	json_t *answer = json_pack("{s:s}", "was", request->cmd);

	handled++;
	if (strcmp(request->cmd, "later") == 0) {
		kept_client = request->client;
		json_decref(kept_id);
		kept_id = json_incref(request->id);
		json_decref(answer);
		return;
	}
	if (strcmp(request->cmd, "big") == 0) {
		char *text = malloc(BIG);

		assert_non_null(text);
		memset(text, 'x', BIG);
		json_object_set_new(answer, "text", json_stringn(text, BIG));
		free(text);
	}
	control_answer(control, request->client, request->id, answer);
}

static void answer_later(void)
{
	control_answer(control, kept_client, kept_id, json_pack("{s:s}", "was", "later"));
	json_decref(kept_id);
	kept_id = NULL;
}

static int set_up(void **state)
{
	handled = 0;
	return control_open(&control, ID, handle, NULL);
}

static int tear_down(void **state)
{
	control_close(control);
	return access(rundir_path(ID), F_OK) == 0 ? -1 : 0;
}

static int new_client(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	control_adopt(control, fds[0]);
	return fds[1];
}

/* Serve until nothing is to be done at once. */
static void run(void)
{
	struct pollfd fd = { .fd = control_fd(control), .events = POLLIN };
	uint64_t deadline = clock_now() + 20ULL * CLOCK_SECOND;

	while (poll(&fd, 1, 0) > 0) {
		control_run(control);
		assert_true(clock_now() < deadline); /* it is never ready for nothing */
	}
}

static void put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What the client has got by now; "(end)" at the end when it was dropped. */
static const char *got(int fd)
{
	static char text[65536];
	size_t size = 0;
	ssize_t n;

	do {
		run();
		n = recv(fd, text + size, sizeof(text) - 8 - size, 0);
		if (n > 0)
			size += (size_t)n;
	} while (n > 0);
	snprintf(text + size, sizeof(text) - size, "%s", n == 0 || errno != EAGAIN ? "(end)" : "");
	return text;
}

/* A client that does it right is served, whatever the others do. */
static void serves(void)
{
	int fd = new_client();

	put(fd, "{\"cmd\":\"info\",\"id\":[1,\"a\"]}\n");
	assert_string_equal(got(fd), "{\"was\":\"info\",\"ok\":true,\"id\":[1,\"a\"]}\n");
	close(fd);
	run();
}

static void lines_are_answered_in_order_with_their_id(void **state)
{
	int fd = new_client();

	put(fd, "{\"id\":1,\"cmd\":\"a\"}\n\n{\"cmd\":\"b\"}\r\n{\"id\":null,\"cmd\":\"c\"}\n");
	assert_string_equal(got(fd), "{\"was\":\"a\",\"ok\":true,\"id\":1}\n"
				     "{\"was\":\"b\",\"ok\":true}\n"
				     "{\"was\":\"c\",\"ok\":true,\"id\":null}\n");
	close(fd);
}

static void a_line_may_come_in_pieces(void **state)
{
	const char *line = "{\"cmd\":\"info\"}\n";
	int fd = new_client();

	for (size_t i = 0; line[i]; i++) {
		assert_string_equal(got(fd), "");
		assert_int_equal(send(fd, line + i, 1, 0), 1);
	}
	assert_string_equal(got(fd), "{\"was\":\"info\",\"ok\":true}\n");
	close(fd);
}

static void garbage_is_answered_and_the_client_kept(void **state)
{
	static const char *const bad[][2] = {
		{ "}{\n", "no JSON: " },
		{ "\xff\xfe\n", "no JSON: " },
		{ "[]\n", "a request is an object" },
		{ "{}\n", "a request needs \\\"cmd\\\", a text" },
		{ "{\"cmd\":5}\n", "a request needs \\\"cmd\\\", a text" },
		{ "{\"cmd\":\"x\"\n", "no JSON: " },
	};
	int fd = new_client();

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *text;

		put(fd, bad[i][0]);
		text = got(fd);
		assert_has(text, bad[i][1]);
		assert_has(text, "\"ok\":false");
		assert_one_line(text);
		assert_lacks(text, "(end)");
	}
	assert_int_equal(handled, 0);
	put(fd, "{\"cmd\":\"info\"}\n");
	assert_has(got(fd), "\"was\":\"info\"");
	close(fd);
}

static void a_zero_is_no_end_of_a_line(void **state)
{
	static const char bad[] =
		"{\"cmd\":\"info\"}\0\n\0\n{\"cmd\":\0\"info\"}\n{\"cmd\":\"a\"}\n";
	int fd = new_client();
	const char *text;
	unsigned lines = 0;

	assert_int_equal(send(fd, bad, sizeof(bad) - 1, 0), sizeof(bad) - 1);
	text = got(fd);
	for (const char *at = text; (at = strstr(at, "no JSON: ")); at++)
		lines++;
	assert_int_equal(lines, 3);
	assert_has(text, "\"was\":\"a\"");
	assert_int_equal(handled, 1);
	close(fd);
}

static void a_long_error_is_cut_between_two_characters(void **state)
{
	char text[2001] = "";

	for (int i = 0; i < 1000; i++)
		memcpy(text + 2 * (size_t)i, "\xc3\xa4", 3);
	for (int more = 0; more < 2; more++) {
		json_t *error = control_error("%s%s", more ? "x" : "", text);

		assert_in_range(json_string_length(json_object_get(error, "error")), 1020, 1023);
		json_decref(error);
	}
}

static void a_line_without_end_is_told_and_dropped(void **state)
{
	static char part[65536];
	int fd = new_client();
	size_t sent = 0;

	memset(part, 'x', sizeof(part));
	while (sent < 10 << 20) {
		ssize_t n = send(fd, part, sizeof(part), MSG_NOSIGNAL);

		if (n < 0)
			break;
		sent += (size_t)n;
		run();
	}
	assert_in_range(sent, CONTROL_LINE, CONTROL_LINE + (1 << 20));
	serves();
	assert_has(got(fd), "a line of more than 1048576 bytes");
	assert_has(got(fd), "(end)");
	close(fd);
}

static void half_a_line_and_gone_leaves_nothing(void **state)
{
	for (int i = 0; i < 3 * CONTROL_CLIENTS; i++) {
		int fd = new_client();

		put(fd, "{\"cmd\":\"info\"");
		if (i % 2)
			run();
		close(fd);
		run();
	}
	assert_int_equal(handled, 0);
	serves();
}

/* As `echo … | nc -U`: its end of writing comes before our answer. */
static void who_has_ended_writing_gets_its_answers(void **state)
{
	int fd = new_client();

	put(fd, "{\"cmd\":\"later\",\"id\":3}\n{\"cmd\":\"info\"}\n");
	shutdown(fd, SHUT_WR);
	assert_string_equal(got(fd), "{\"was\":\"info\",\"ok\":true}\n");
	answer_later();
	assert_string_equal(got(fd), "{\"was\":\"later\",\"ok\":true,\"id\":3}\n(end)");
	close(fd);
}

static void a_request_of_one_that_leaves_at_once_is_heard(void **state)
{
	int fd = new_client();

	put(fd, "{\"cmd\":\"mark\"}\n");
	close(fd);
	run();
	assert_int_equal(handled, 1);
	serves();
}

static void a_late_answer_for_one_that_is_gone_goes_to_nobody(void **state)
{
	int fd = new_client(), other;

	put(fd, "{\"cmd\":\"later\",\"id\":1}\n");
	run();
	close(fd);
	run();
	other = new_client(); /* in the same place */
	answer_later();
	assert_string_equal(got(other), "");
	close(other);
}

static void who_does_not_read_is_dropped(void **state)
{
	int fd = new_client();

	for (int i = 0; i < 3 * CONTROL_KEPT / BIG; i++)
		if (send(fd, "{\"cmd\":\"big\"}\n", 14, MSG_NOSIGNAL) < 0)
			break;
	run();
	assert_in_range(handled, CONTROL_KEPT / BIG - 1, CONTROL_KEPT / BIG + 2);
	serves();
	close(fd);
}

static void who_reads_slowly_gets_all(void **state)
{
	static char part[100000];
	int fd = new_client();
	size_t size = 0;
	ssize_t n;

	put(fd, "{\"cmd\":\"big\"}\n{\"cmd\":\"big\"}\n{\"cmd\":\"info\"}\n");
	while (size < 2 * BIG + 90) {
		run();
		n = recv(fd, part, sizeof(part) - 1, 0);
		assert_true(n > 0);
		size += (size_t)n;
	}
	part[n] = '\0';
	assert_has(part, "\n{\"was\":\"info\",\"ok\":true}\n");
	close(fd);
}

/* As many as may be under way; the rest is read when one was answered. */
static void many_requests_of_one_wait_their_turn(void **state)
{
	int fd = new_client();

	for (int i = 0; i < CONTROL_OWED + 10; i++)
		put(fd, "{\"cmd\":\"later\"}\n");
	run();
	assert_int_equal(handled, CONTROL_OWED);
	serves();
	answer_later();
	run();
	control_run(control); /* nothing came; its lines had */
	assert_int_equal(handled, CONTROL_OWED + 1 + 1);
	close(fd);
	run();
	serves();
}

/* The answers to all that may be under way come at once, when its end has been seen already. */
static void who_has_ended_writing_gets_those_that_waited_too(void **state)
{
	int fd = new_client();

	for (int i = 0; i < CONTROL_OWED; i++)
		put(fd, "{\"cmd\":\"later\"}\n");
	put(fd, "{\"cmd\":\"a\"}\n{\"cmd\":\"b\"}\n{\"cmd\":\"later\"}\n{\"cmd\":\"c\"}\n");
	shutdown(fd, SHUT_WR);
	run();
	for (int i = 0; i < CONTROL_OWED; i++)
		answer_later();
	control_run(control); /* nothing came; its lines had */
	assert_has(got(fd), "\"was\":\"c\"");
	assert_int_equal(handled, CONTROL_OWED + 4);
	answer_later();
	assert_string_equal(got(fd), "{\"was\":\"later\",\"ok\":true}\n(end)");
	close(fd);
}

/* The device is gone: a request that waited its turn must not be served with it. */
static void the_end_takes_no_request_any_more(void **state)
{
	int fd = new_client();

	for (int i = 0; i < CONTROL_OWED - 1; i++)
		put(fd, "{\"cmd\":\"later\"}\n");
	put(fd, "{\"cmd\":\"big\"}\n{\"cmd\":\"later\"}\n{\"cmd\":\"a\"}\n");
	run();
	assert_int_equal(handled, CONTROL_OWED + 1);
	for (int i = 0; i < CONTROL_OWED; i++)
		answer_later();
	control_close(control);
	control = NULL;
	assert_int_equal(handled, CONTROL_OWED + 1);
	close(fd);
}

static void too_many_clients_are_told(void **state)
{
	int fds[CONTROL_CLIENTS + 5];

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = new_client();
	assert_has(got(fds[CONTROL_CLIENTS]), "too many clients at once");
	assert_has(got(fds[CONTROL_CLIENTS + 4]), "(end)");
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		put(fds[i], "{\"cmd\":\"info\"}\n");
		assert_has(got(fds[i]), "\"ok\":true");
	}
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	run();
	serves();
}

/* Bytes of all kinds, in pieces of all sizes, from clients that come and go. */
static void noise_is_borne(void **state)
{
	static const char *const parts[] = {
		"{\"cmd\":\"info\"}\n",	 "{",	"\"", "\n", "\\u0000", "[[[[[[[[",
		"{\"cmd\":\"later\"}\n", "\xc3"
	};
	unsigned seed = 1;

	for (int round = 0; round < 3000; round++) {
		int fd = new_client();
		char noise[300];

		for (int i = rand_r(&seed) % 8; i > 0; i--) {
			const char *part = parts[(unsigned)rand_r(&seed) % ARRAY_SIZE(parts)];

			for (size_t j = 0; j < sizeof(noise); j++)
				noise[j] = (char)rand_r(&seed);
			(void)!send(fd, part, strlen(part), MSG_NOSIGNAL);
			if (rand_r(&seed) % 3 == 0)
				(void)!send(fd, noise, (unsigned)rand_r(&seed) % sizeof(noise),
					    MSG_NOSIGNAL);
			if (rand_r(&seed) % 2)
				run();
		}
		close(fd);
		if (rand_r(&seed) % 4 == 0)
			answer_later();
		run();
	}
	serves();
}

static void the_socket_is_the_owners_alone(void **state)
{
	struct stat st;

	assert_int_equal(stat(rundir_path(ID), &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
}

static void a_client_connects_by_the_socket(void **state)
{
	int fd = rundir_connect(ID);

	assert_true(fd >= 0);
	put(fd, "{\"cmd\":\"info\"}\n");
	assert_has(got(fd), "\"was\":\"info\"");
	close(fd);
	assert_int_equal(rundir_connect(ID + 1), -ENOENT);
}

/* Nobody goes, who could make room for it; but the next one comes. */
static void a_client_for_whom_there_is_no_descriptor_is_taken_later(void **state)
{
	struct rlimit limit, none;
	int first = rundir_connect(ID), second, next = dup(0);

	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	put(first, "{\"cmd\":\"info\"}\n");
	assert_string_equal(got(first), "");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	second = rundir_connect(ID);
	assert_has(got(first), "\"was\":\"info\"");
	put(second, "{\"cmd\":\"a\"}\n");
	assert_has(got(second), "\"was\":\"a\"");
	close(first);
	close(second);
}

/* A supervisor that was killed: the file is there, and nobody listens. */
static void a_stale_socket_is_replaced_or_cleaned(void **state)
{
	struct rundir_socket dead, next;
	uint32_t *ids;

	assert_int_equal(rundir_listen(&dead, 3), 0);
	assert_int_equal(rundir_clean(3), 0); /* somebody listens */
	close(dead.fd);
	assert_int_equal(rundir_connect(3), -ECONNREFUSED);
	assert_int_equal(rundir_scan(&ids), 2);
	assert_int_equal(ids[0] + ids[1], 3 + ID);
	free(ids);
	assert_int_equal(rundir_listen(&next, 3), 0);
	assert_int_equal(rundir_clean(3), 0);
	close(next.fd);
	assert_int_equal(rundir_clean(3), 1);
	assert_int_equal(rundir_clean(3), 0);
	assert_int_equal(access(rundir_path(3), F_OK), -1);
}

/* A supervisor that ends when its device's number has gone to another already. */
static void a_late_end_leaves_the_next_ones_socket(void **state)
{
	struct rundir_socket late, next;

	assert_int_equal(rundir_listen(&late, 3), 0);
	assert_int_equal(rundir_listen(&next, 3), 0);
	rundir_unlisten(&late);
	assert_int_equal(access(rundir_path(3), F_OK), 0);
	rundir_unlisten(&next);
	assert_int_equal(access(rundir_path(3), F_OK), -1);
}

static void another_users_folder_is_refused(void **state)
{
	struct rundir_socket s;

	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(rundir_listen(&s, 4), -EPERM);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(rundir_listen(&s, 4), 0);
	rundir_unlisten(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(lines_are_answered_in_order_with_their_id),
		TEST(a_line_may_come_in_pieces),
		TEST(garbage_is_answered_and_the_client_kept),
		TEST(a_zero_is_no_end_of_a_line),
		TEST(a_long_error_is_cut_between_two_characters),
		TEST(a_line_without_end_is_told_and_dropped),
		TEST(half_a_line_and_gone_leaves_nothing),
		TEST(who_has_ended_writing_gets_its_answers),
		TEST(a_request_of_one_that_leaves_at_once_is_heard),
		TEST(a_late_answer_for_one_that_is_gone_goes_to_nobody),
		TEST(who_does_not_read_is_dropped),
		TEST(who_reads_slowly_gets_all),
		TEST(many_requests_of_one_wait_their_turn),
		TEST(who_has_ended_writing_gets_those_that_waited_too),
		TEST(the_end_takes_no_request_any_more),
		TEST(too_many_clients_are_told),
		TEST(noise_is_borne),
		TEST(the_socket_is_the_owners_alone),
		TEST(a_client_connects_by_the_socket),
		TEST(a_client_for_whom_there_is_no_descriptor_is_taken_later),
		TEST(a_stale_socket_is_replaced_or_cleaned),
		TEST(a_late_end_leaves_the_next_ones_socket),
		TEST(another_users_folder_is_refused),
#undef TEST
	};
	int failed;

	if (!mkdtemp(dir))
		return 1;
	chmod(dir, 0755);
	rundir_set(dir);
	failed = cmocka_run_group_tests_name("control", tests, NULL, NULL);
	rmdir(dir);
	return failed;
}
