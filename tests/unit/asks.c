/* SPDX-License-Identifier: MIT */
/*
 * Requests of clients on their way to the queues and back: core/phrase.c,
 * asks.c, talk.c, relay.c and mailbox.c, with this test as client and as the
 * queues' threads. A queue that does not answer is told of, and what it says
 * after that goes to nobody.
 */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "asks.h"
#include "clock.h"
#include "control.h"
#include "relay.h"
#include "rundir.h"
#include "talk.h"

enum { ID = 9, QUEUES = 3 };

static char dir[] = "/tmp/ublk-asks-XXXXXX";
static struct control *control;
static struct asks asks;
static struct relay relay;
static int wake_fds[QUEUES], client;

static void handle(void *arg, const struct control_request *request)
{
	json_t *error = asks_put(&asks, request);

	if (error)
		control_answer(control, request->client, request->id, error);
}

static int set_up(void **state)
{
	int fds[2], talk[2];

	assert_int_equal(control_open(&control, ID, handle, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, talk), 0);
	asks_open(&asks, talk[0], QUEUES, control);
	close(talk[0]);
	for (unsigned q = 0; q < QUEUES; q++)
		wake_fds[q] = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(relay_open(&relay, talk[1], wake_fds, QUEUES), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	control_adopt(control, fds[0]);
	client = fds[1];
	return 0;
}

static int tear_down(void **state)
{
	close(client);
	asks_close(&asks, "the device is ending");
	control_close(control);
	relay_close(&relay);
	for (unsigned q = 0; q < QUEUES; q++)
		close(wake_fds[q]);
	return 0;
}

static void run(void)
{
	for (int i = 0; i < 20; i++) {
		control_run(control);
		asks_run(&asks);
		relay_run(&relay);
	}
}

static void put(const char *text)
{
	assert_int_equal(send(client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	run();
}

static const char *got(void)
{
	static char text[65536];
	ssize_t n;

	run();
	n = recv(client, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* What queue `q` is asked next; spaces for the zeros. NULL: nothing. */
static struct letter *asked(unsigned q, const char *expected)
{
	struct letter *letter = mailbox_take(&relay.requests[q]);
	eventfd_t woken;

	if (!expected) {
		assert_null(letter);
		return NULL;
	}
	assert_non_null(letter);
	(void)eventfd_read(wake_fds[q], &woken);
	for (uint32_t i = 0; i < letter->size; i++)
		if (!letter->text[i])
			letter->text[i] = ' ';
	assert_string_equal(letter->text, expected);
	assert_int_equal(letter->queue, q);
	return letter;
}

static void answer(struct letter *letter, const char *text)
{
	struct letter *reply = letter_new(letter->number, letter->queue, text, strlen(text));

	assert_int_equal(mailbox_put(&relay.answers, reply), 0);
	free(letter);
	run();
}

static void a_request_goes_to_its_queue_and_back(void **state)
{
	eventfd_t woken;

	put("{\"id\":1,\"cmd\":\"eval\",\"code\":\"1 + 1\"}\n");
	assert_int_equal(eventfd_read(wake_fds[0], &woken), 0);
	asked(1, NULL);
	answer(asked(0, "eval 1 + 1 "), "{\"ok\":true,\"values\":[2]}");
	assert_string_equal(got(),
			    "{\"queues\":[{\"values\":[2],\"queue\":0}],\"ok\":true,\"id\":1}\n");
	put("{\"cmd\":\"eval\",\"code\":\"x\",\"queue\":2}\n");
	asked(0, NULL);
	answer(asked(2, "eval x "), "{\"ok\":false,\"error\":\"no\"}");
	assert_string_equal(got(), "{\"ok\":false,\"error\":\"queue 2: no\"}\n");
}

static void all_queues_are_waited_for(void **state)
{
	struct letter *letters[QUEUES];

	put("{\"cmd\":\"release\",\"name\":\"n\",\"verdict\":\"EIO\"}\n");
	for (unsigned q = 0; q < QUEUES; q++)
		letters[q] = asked(q, "release n EIO ");
	answer(letters[2], "{\"ok\":true,\"released\":2}");
	answer(letters[0], "{\"ok\":true,\"released\":0}");
	assert_string_equal(got(), "");
	answer(letters[1], "{\"ok\":true,\"released\":1}");
	assert_string_equal(got(), "{\"queues\":[{\"released\":0,\"queue\":0},"
				   "{\"released\":1,\"queue\":1},{\"released\":2,\"queue\":2}],"
				   "\"ok\":true}\n");
}

static void a_queue_that_hangs_is_named_and_its_late_answer_dropped(void **state)
{
	struct letter *letters[QUEUES];
	uint64_t begin = clock_now();
	const char *text;

	put("{\"id\":1,\"cmd\":\"hold\",\"timeout\":0.2}\n");
	for (unsigned q = 0; q < QUEUES; q++)
		letters[q] = asked(q, "hold ");
	answer(letters[0], "{\"ok\":true}");
	answer(letters[2], "{\"ok\":true}");
	assert_in_range(asks_wait_ms(&asks), 1, 201);
	while (!*(text = got()))
		usleep(1000);
	assert_true(clock_now() - begin >= 200000000);
	assert_has(text, "{\"ok\":false,\"error\":\"queue 1 has not answered for ");
	assert_has(text, " s: its script computes, or hangs\",\"id\":1}\n");
	assert_int_equal(asks_wait_ms(&asks), -1);
	put("{\"id\":2,\"cmd\":\"eval\",\"queue\":1,\"code\":\"x\"}\n");
	answer(letters[1], "{\"ok\":true,\"late\":true}");
	assert_string_equal(got(), "");
	answer(asked(1, "eval x "), "{\"ok\":true}");
	assert_has(got(), "\"id\":2");
}

static void requests_for_a_queue_that_hangs_have_a_bound(void **state)
{
	struct letter *letter;

	for (int i = 0; i < 200; i++) {
		put("{\"cmd\":\"eval\",\"code\":\"x\",\"timeout\":0.001}\n");
		usleep(2000);
		run();
	}
	assert_has(got(), "it takes no more");
	for (int i = 0; i < 64; i++)
		free(asked(0, "eval x "));
	letter = asked(0, NULL);
	assert_null(letter);
}

static void words_are_checked(void **state)
{
	static const char *const bad[][2] = {
		{ "{\"cmd\":\"eval\"}\n", "eval needs \\\"code\\\", a text" },
		{ "{\"cmd\":\"eval\",\"code\":5}\n", "eval needs \\\"code\\\", a text" },
		{ "{\"cmd\":\"release\",\"name\":\"x\",\"verdict\":5}\n", "needs \\\"verdict\\\"" },
		{ "{\"cmd\":\"set\"}\n", "set needs \\\"options\\\"" },
		{ "{\"cmd\":\"set\",\"options\":{\"a\":[]}}\n", "an option is a text" },
		{ "{\"cmd\":\"hold\",\"queue\":3}\n", "a number from 0 to 2, or" },
		{ "{\"cmd\":\"hold\",\"queue\":-1}\n", "a number from 0 to 2, or" },
		{ "{\"cmd\":\"hold\",\"queue\":\"x\"}\n", "a number from 0 to 2, or" },
		{ "{\"cmd\":\"hold\",\"timeout\":0}\n", "\\\"timeout\\\" is a number" },
		{ "{\"cmd\":\"hold\",\"timeout\":\"1\"}\n", "\\\"timeout\\\" is a number" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *text;

		put(bad[i][0]);
		text = got();
		assert_has(text, bad[i][1]);
		assert_one_line(text);
	}
	for (unsigned q = 0; q < QUEUES; q++)
		asked(q, NULL);
}

static void options_are_words(void **state)
{
	put("{\"cmd\":\"set\",\"queue\":1,\"options\":{\"a\":\"x y\",\"b\":1.5,\"c\":true}}\n");
	answer(asked(1, "set a=x y b=1.5 c=true "), "{\"ok\":true}");
	assert_has(got(), "\"ok\":true");
}

/* A client that is gone, a server that is gone, a device that ends: nobody waits for them. */
static void who_is_gone_is_not_waited_for(void **state)
{
	struct letter *letter;

	put("{\"cmd\":\"eval\",\"code\":\"x\"}\n");
	letter = asked(0, "eval x ");
	close(client);
	client = -1;
	run();
	answer(letter, "{\"ok\":true}");
	assert_int_equal(asks_wait_ms(&asks), -1);
}

static void the_end_of_the_device_is_told(void **state)
{
	put("{\"cmd\":\"eval\",\"code\":\"x\"}\n");
	free(asked(0, "eval x "));
	asks_close(&asks, "the device is ending");
	assert_string_equal(got(), "{\"ok\":false,\"error\":\"the device is ending\"}\n");
}

static void a_server_that_talks_nonsense_is_not_listened_to(void **state)
{
	char noise[64];

	memset(noise, 0xff, sizeof(noise));
	assert_int_equal(wire_put(&relay.wire, noise, sizeof(noise)), 0);
	run();
	assert_int_equal(asks_fd(&asks), -1);
	put("{\"cmd\":\"eval\",\"code\":\"x\",\"timeout\":0.01}\n");
	usleep(20000);
	assert_has(got(), "queue 0 has not answered");
}

static void an_answer_that_is_too_long_is_told(void **state)
{
	char *text = malloc(TALK_LETTER + 2);

	assert_non_null(text);
	memset(text, ' ', TALK_LETTER + 1);
	text[TALK_LETTER + 1] = '\0';
	put("{\"cmd\":\"eval\",\"code\":\"x\"}\n");
	answer(asked(0, "eval x "), text);
	assert_string_equal(got(),
			    "{\"ok\":false,\"error\":\"queue 0: its answer is too long\"}\n");
	free(text);
}

static void a_large_request_and_answer_pass(void **state)
{
	enum { LARGE = 900000 };
	char *text = malloc(LARGE + 100), *end = text;
	static char part[65536];
	size_t size = 0;
	struct letter *letter;

	assert_non_null(text);
	end += sprintf(end, "{\"cmd\":\"eval\",\"code\":\"");
	memset(end, 'x', LARGE);
	memcpy(end + LARGE, "\"}\n", 4);
	for (const char *at = text; *at;) {
		ssize_t n = send(client, at, strlen(at), MSG_NOSIGNAL);

		at += n > 0 ? n : 0;
		run();
	}
	for (int i = 0; i < 100; i++)
		run();
	letter = mailbox_take(&relay.requests[0]);
	assert_non_null(letter);
	assert_int_equal(letter->size, LARGE + 6);
	sprintf(text, "{\"ok\":true,\"text\":\"");
	memset(text + strlen(text), 'y', LARGE);
	memcpy(text + 19 + LARGE, "\"}", 3);
	answer(letter, text);
	for (int i = 0; i < 1000 && size < LARGE; i++) {
		ssize_t n;

		run();
		n = recv(client, part, sizeof(part), 0);
		size += n > 0 ? (size_t)n : 0;
	}
	assert_in_range(size, LARGE, LARGE + 200);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_request_goes_to_its_queue_and_back),
		TEST(all_queues_are_waited_for),
		TEST(a_queue_that_hangs_is_named_and_its_late_answer_dropped),
		TEST(requests_for_a_queue_that_hangs_have_a_bound),
		TEST(words_are_checked),
		TEST(options_are_words),
		TEST(who_is_gone_is_not_waited_for),
		TEST(the_end_of_the_device_is_told),
		TEST(a_server_that_talks_nonsense_is_not_listened_to),
		TEST(an_answer_that_is_too_long_is_told),
		TEST(a_large_request_and_answer_pass),
#undef TEST
	};
	int failed;

	if (!mkdtemp(dir))
		return 1;
	rundir_set(dir);
	failed = cmocka_run_group_tests_name("asks", tests, NULL, NULL);
	rmdir(dir);
	return failed;
}
