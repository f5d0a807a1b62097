/* SPDX-License-Identifier: MIT */
/*
 * The verb `attach`: lines of Lua into a running device, with editing, history
 * and completion by libedit; from a pipe, lines as they come.
 */
#include <editline/readline.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "exit.h"
#include "log.h"
#include "verb_print.h"
#include "verbs.h"

/* libedit's callbacks have no argument of ours. */
static struct {
	struct client client;
	const struct verb_call *call;
	json_t *names; /* that complete the word at hand */
	size_t next;
	bool lost; /* nobody answers any more */
} session;

static json_t *ask(const char *cmd, const char *member, const char *text)
{
	json_t *request = json_pack("{s:s, s:s}", "cmd", cmd, member, text), *answer;

	if (!request)
		return json_pack("{s:s}", "error", "this is no UTF-8");
	if (session.call->queue)
		json_object_set_new(request, "queue", json_integer(atoi(session.call->queue)));
	if (client_send(&session.client, request))
		return NULL;
	answer = client_receive(&session.client, CLIENT_WAIT_MS);
	return answer;
}

/* The first queue's answer; borrowed. */
static json_t *first(const json_t *answer, const char *member)
{
	return json_object_get(json_array_get(json_object_get(answer, "queues"), 0), member);
}

/* One name a call, each the caller's to free. */
static char *next_name(const char *word, int state)
{
	json_t *answer;
	const char *name;

	if (state == 0) {
		json_decref(session.names);
		answer = ask("complete", "word", word);
		session.names = json_incref(first(answer, "names"));
		session.next = 0;
		json_decref(answer);
	}
	name = json_string_value(json_array_get(session.names, session.next++));
	return name ? strdup(name) : NULL;
}

static char **complete(const char *word, int start, int end)
{
	rl_attempted_completion_over = 1; /* no names of files */
	return rl_completion_matches(word, next_name);
}

/* Without its end; NULL: there is none any more. To be freed. */
static char *read_line(const char *prompt)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (isatty(STDIN_FILENO))
		return readline(prompt);
	n = getline(&line, &size, stdin);
	if (n <= 0) {
		free(line);
		return NULL;
	}
	line[strcspn(line, "\n")] = '\0';
	return line;
}

/* Is what was written the beginning of something? */
static bool goes_on(const char *error)
{
	return error && strstr(error, "near '<eof>'");
}

/* `text` and `line` below it; frees both. */
static char *append(char *text, char *line)
{
	char *both = NULL;

	if (!text)
		return line;
	if (asprintf(&both, "%s\n%s", text, line) < 0)
		both = NULL;
	free(text);
	free(line);
	return both;
}

/* One piece of Lua, which may take several lines. False: there are no more. */
static bool serve_input(const char *prompt)
{
	char *text = NULL, *line;
	const char *error;
	json_t *answer;

	do {
		line = read_line(text ? ">> " : prompt);
		if (!line) {
			free(text);
			return false;
		}
		text = append(text, line);
		if (!text || !*text)
			break;
		answer = ask("eval", "code", text);
		if (!answer) {
			log_error("%u: the device's supervisor does not answer", session.client.id);
			session.lost = true;
			free(text);
			return false;
		}
		error = client_refusal(answer);
		if (!error)
			verb_print_values(first(answer, "values"));
		else if (!goes_on(error))
			printf("%s\n", error);
		line = goes_on(error) ? text : NULL; /* it is not whole */
		json_decref(answer);
	} while (line);
	if (text && *text && isatty(STDIN_FILENO))
		add_history(text);
	free(text);
	(void)fflush(stdout);
	return true;
}

int verb_attach(const struct verb_call *call)
{
	static char breaks[] = " \t\n\"'`@$><=;|&{(+-*/%^#,[";
	char prompt[32];
	int ret;

	if (call->queue && call->queue[strspn(call->queue, "0123456789")]) {
		log_error("--queue %s: needs a number", call->queue);
		return EXIT_USAGE;
	}
	ret = client_open(&session.client, call->id);
	if (ret) {
		client_explain(call->id, ret);
		return EXIT_FAILED;
	}
	session.call = call;
	snprintf(prompt, sizeof(prompt), "ublkb%u> ", call->id);
	rl_readline_name = "ublk-lua";
	rl_attempted_completion_function = complete;
	rl_completer_word_break_characters = breaks;
	rl_completion_append_character = '\0';
	if (isatty(STDIN_FILENO))
		using_history();
	while (serve_input(prompt))
		;
	json_decref(session.names);
	client_close(&session.client);
	return session.lost ? EXIT_FAILED : EXIT_OK;
}
