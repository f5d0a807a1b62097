/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <stdio.h>
#include <string.h>

enum { MOST_HOLDS = 4 }; /* names that are shown */

static const json_t *get(const json_t *object, const char *key)
{
	return json_object_get(object, key);
}

static long long number(const json_t *object, const char *key)
{
	return (long long)json_integer_value(get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(get(object, key));

	return value ? value : "";
}

static const char *plural(long long count)
{
	return count == 1 ? "" : "s";
}

static void format_size(double bytes, char *out, size_t size)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB" };
	unsigned unit = 0;

	while (bytes >= 1024 && unit < 5) {
		bytes /= 1024;
		unit++;
	}
	snprintf(out, size, "%.4g %s", bytes, units[unit]);
}

static long long problems(const json_t *root)
{
	long long wrong_data =
		number(root, "wrong_data") && json_is_true(get(root, "expect_clean"));

	return (long long)json_array_size(get(root, "mistakes")) +
	       (number(root, "more_mistakes") > 0) + (number(root, "unanswered") > 0) +
	       (number(root, "bugs") > 0) + (number(root, "wrong_results") > 0) +
	       (number(root, "misuses") > 0) + json_is_true(get(root, "out_of_memory")) +
	       wrong_data;
}

static void print_headline(const json_t *root)
{
	long long count = problems(root);

	if (count)
		printf("%s: %lld problem%s\n", text(root, "script"), count, plural(count));
	else if (!json_is_true(get(root, "ok")))
		printf("%s: it did not come to its end\n", text(root, "script"));
	else
		printf("%s: %s\n", text(root, "script"),
		       number(root, "wrong_data") ? "fine, if its data is meant to be wrong"
						  : "fine");
}

static void print_head(const json_t *root)
{
	const json_t *device = get(root, "device");
	long long queues = number(device, "queues") * number(device, "threads");
	char size[32];

	format_size((double)number(device, "size"), size, sizeof(size));
	print_headline(root);
	printf("  %s%s, %lld request%s in batches of %lld; --workload %lld --seed %lld\n", size,
	       json_is_true(get(device, "read_only")) ? ", read-only" : "",
	       number(root, "requests"), plural(number(root, "requests")), number(root, "batch"),
	       number(root, "workload"), number(root, "seed"));
	if (queues > 1)
		printf("  one queue of its %lld was tried: each runs the script for itself\n",
		       queues);
	if (*text(device, "file"))
		printf("  %s %s\n", text(device, "file"),
		       number(device, "files") > 1
			       ? "were left alone: memory of their sizes took their place"
			       : "was left alone: memory of its size took its place");
}

/* The names that they hold or wait for come with them, the commonest first. */
static void print_unanswered(const json_t *root)
{
	const long long count = number(root, "unanswered");
	const json_t *holds = get(root, "holds"), *hold;
	size_t i;

	if (!count)
		return;
	printf("  problem: %lld request%s got no answer%s\n", count, plural(count),
	       json_is_true(get(root, "gave_up"))
		       ? " in 100 years of simulated time, while tasks went on"
		       : ", and nothing is left that would bring one");
	json_array_foreach(holds, i, hold) {
		if (i == MOST_HOLDS) {
			printf("    and %zu names more\n", json_array_size(holds) - i);
			break;
		}
		printf("    %lld in ublk.%s \"%s\", which was never %s\n", number(hold, "count"),
		       text(hold, "kind"), text(hold, "name"),
		       strcmp(text(hold, "kind"), "hold") == 0 ? "released" : "signalled");
	}
}

static void print_mistakes(const json_t *root, bool verbose)
{
	const json_t *mistake;
	size_t i;

	json_array_foreach(get(root, "mistakes"), i, mistake) {
		printf("  problem: %s%s", text(mistake, "message"),
		       number(mistake, "count") > 1 ? "" : "\n");
		if (number(mistake, "count") > 1)
			printf(" (%lld times)\n", number(mistake, "count"));
		if (verbose && *text(mistake, "trace"))
			printf("%s\n", text(mistake, "trace"));
	}
	if (number(root, "more_mistakes"))
		printf("  problem: %lld mistakes of further kinds\n",
		       number(root, "more_mistakes"));
	if (json_is_true(get(root, "out_of_memory")))
		puts("  problem: it held more than --memory allows, and was not asked any more");
	print_unanswered(root);
	if (number(root, "bugs"))
		printf("  problem: %lld error%s of ublk-lua itself, told above as \"bug in\"\n",
		       number(root, "bugs"), plural(number(root, "bugs")));
	if (number(root, "wrong_results"))
		printf("  problem: %lld answers are neither success nor an errno\n",
		       number(root, "wrong_results"));
	if (number(root, "misuses"))
		printf("  problem: %lld misuse%s of a request's buffer, told above\n",
		       number(root, "misuses"), plural(number(root, "misuses")));
}

static void print_wrong_data(const json_t *root)
{
	long long wrong = number(root, "wrong_data");
	long long shown = (long long)json_array_size(get(root, "wrong_sectors"));
	const json_t *sector;
	size_t i;

	if (!wrong)
		return;
	printf("  %s: %lld of %lld sectors that were read are wrong\n",
	       json_is_true(get(root, "expect_clean")) ? "problem" : "data", wrong,
	       number(root, "sectors_read"));
	json_array_foreach(get(root, "wrong_sectors"), i, sector) {
		printf("    sector %lld, read by request %lld: %s; expected %s\n",
		       number(sector, "sector"), number(sector, "request"), text(sector, "found"),
		       text(sector, "expected"));
	}
	if (wrong > shown)
		printf("    and %lld more\n", wrong - shown);
}

/* "373 EIO, 2 ENOSPC" */
static void format_errnos(const json_t *errnos, char *out, size_t size)
{
	const json_t *count;
	const char *name;
	size_t used = 0;

	snprintf(out, size, "-");
	json_object_foreach((json_t *)errnos, name, count) {
		if (used < size)
			used += (size_t)snprintf(out + used, size - used, "%s%lld %s",
						 used ? ", " : "",
						 (long long)json_integer_value(count), name);
	}
}

static void print_count(long long count, int width)
{
	if (count)
		printf(" %*lld", width, count);
	else
		printf(" %*s", width, "-");
}

static void print_ns(const json_t *ns, int width)
{
	if (json_is_real(ns))
		printf(" %*.0f", width, json_real_value(ns));
	else
		printf(" %*s", width, "-");
}

static void print_ops(const json_t *root)
{
	const json_t *op;
	const char *name;

	printf("\n  %-12s %9s %8s %8s %8s %8s %8s   %s\n", "op", "requests", "in Lua", "passed",
	       "done", "ns", "C alone", "failed");
	json_object_foreach((json_t *)get(root, "ops"), name, op) {
		char failed[256];

		format_errnos(get(op, "errnos"), failed, sizeof(failed));
		printf("  %-12s", name);
		print_count(number(op, "requests"), 9);
		print_count(number(op, "scripted"), 8);
		print_count(number(op, "passed"), 8);
		print_count(number(op, "done"), 8);
		print_ns(get(op, "ns"), 8);
		print_ns(get(op, "c_ns"), 8);
		printf("   %s\n", failed);
	}
}

static void print_beyond(const json_t *handler)
{
	long long ranges = number(handler, "ranges"), beyond = number(handler, "ranges_beyond_end");

	if (beyond && beyond < ranges)
		printf(" (%lld of %lld beyond the device's end)", beyond, ranges);
	else if (beyond)
		printf(" beyond the device's end: asked about %s",
		       strcmp(text(handler, "op"), "any") == 0 ? "flushes only" : "nothing");
}

static void print_handlers(const json_t *root)
{
	const json_t *handlers = get(root, "handlers"), *handler;
	size_t i;

	putchar('\n');
	if (!json_array_size(handlers))
		puts("  handlers   none: no request reaches Lua");
	json_array_foreach(handlers, i, handler) {
		const char *layer = text(handler, "layer");

		printf("  %-10s %-12s %s%s%s%s%s", i ? "" : "handlers",
		       strcmp(text(handler, "op"), "any") == 0 ? "every op" : text(handler, "op"),
		       text(handler, "place"), strcmp(layer, "device") == 0 ? "" : ", layer ",
		       strcmp(layer, "device") == 0 ? "" : layer,
		       *text(handler, "range") ? ", range " : "", text(handler, "range"));
		print_beyond(handler);
		putchar('\n');
	}
}

static void print_abort(const json_t *a)
{
	bool library = json_is_true(get(a, "library"));
	const char *who = *text(a, "handler") ? text(a, "handler")
			  : library	      ? "the batch loop"
					      : "";

	printf("  %-10s %s%s%s%s%s%s\n", "", who, *who ? ": " : "", text(a, "reason"),
	       *text(a, "place") ? " at " : "", text(a, "place"), *text(a, "hint") ? ":" : "");
	if (*text(a, "hint"))
		printf("  %-10s   %s\n", "", text(a, "hint"));
}

/* Are calls that leave the machine code and come back all that there is to tell? */
static bool only_calls(const json_t *aborts)
{
	const json_t *a;
	size_t i;

	json_array_foreach(aborts, i, a) {
		if (!json_is_true(get(a, "call")))
			return false;
	}
	return true;
}

static const char *compiled_text(const json_t *root)
{
	const json_t *compiled = get(root, "compiled"), *aborts = get(root, "aborts");

	if (json_array_size(aborts) && !json_is_false(compiled))
		return only_calls(aborts) ? "yes, but for calls that LuaJIT does not compile"
					  : "in part: these paths run interpreted";
	if (!json_array_size(aborts) && number(root, "waits"))
		return "as far as handlers do not wait; what waits runs interpreted, as it must";
	if (!json_is_true(compiled) && json_array_size(get(root, "mistakes")))
		return "not known: handlers that fail leave it to the interpreter";
	if (json_is_null(compiled) || !compiled)
		return *text(root, "compiler") ? "not known"
					       : "not known: too few requests to be worth it";
	if (json_is_true(compiled))
		return "yes: handlers run as machine code";
	return number(root, "batch") == 1 ? "handlers alone: batches of one make no loop"
					  : "no: the batch loop runs interpreted";
}

static void print_compiled(const json_t *root)
{
	const json_t *aborts = get(root, "aborts"), *a;
	size_t i;

	if (!json_array_size(get(root, "handlers")))
		return;
	printf("  %-10s %s\n", "compiled", compiled_text(root));
	json_array_foreach(aborts, i, a) {
		print_abort(a);
	}
	if (json_array_size(aborts) && number(root, "waits"))
		printf("  %-10s what waits runs interpreted, as it must\n", "");
	if (*text(root, "compiler"))
		printf("  %-10s %s\n", "", text(root, "compiler"));
}

static void print_data(const json_t *root)
{
	if (!number(root, "wrong_data") && number(root, "sectors_read"))
		printf("  %-10s right: %lld sectors read as they should be\n", "data",
		       number(root, "sectors_read"));
	else if (!number(root, "wrong_data"))
		printf("  %-10s not looked at: nothing keeps what is written\n", "data");
}

static bool has_handler(const json_t *root, const char *layer)
{
	const json_t *handler;
	size_t i;

	json_array_foreach(get(root, "handlers"), i, handler) {
		if (strcmp(text(handler, "layer"), layer) == 0)
			return true;
	}
	return false;
}

/* Who only counts hits nothing, and is no worse for that. */
static void print_layer(const json_t *layer)
{
	const long long seen = number(layer, "seen"), hit = number(layer, "hit");
	const long long mistakes = number(layer, "mistakes");

	if (!seen)
		printf("saw no request");
	else if (hit || mistakes)
		printf("hit %lld of the %lld request%s that it saw", hit, seen, plural(seen));
	else
		printf("let all %lld request%s that it saw go on", seen, plural(seen));
	if (mistakes)
		printf(", made %lld mistake%s", mistakes, plural(mistakes));
	putchar('\n');
}

/* Did my fault fire? The device's own functions are a layer too, where it has any. */
static void print_layers(const json_t *root)
{
	const json_t *layer;
	const char *name;
	unsigned shown = 0;

	json_object_foreach((json_t *)get(root, "layers"), name, layer) {
		if (strcmp(name, "device") == 0 && !has_handler(root, name))
			continue;
		printf("  %-10s %-12s ", shown++ ? "" : "layers", name);
		print_layer(layer);
	}
}

static void print_counters(const json_t *root)
{
	const json_t *counter;
	const char *name;
	unsigned shown = 0;

	json_object_foreach((json_t *)get(root, "counters"), name, counter) {
		printf("  %-10s %-12s", shown++ ? "" : "counters", name);
		if (json_is_number(counter))
			printf(" %.15g\n", json_number_value(counter));
		else
			puts(" no number, or beyond all numbers");
	}
}

static void print_histograms(const json_t *root)
{
	static const char *const values[] = { "p50", "p99", "max" };
	const json_t *histogram;
	const char *name;
	unsigned shown = 0;

	json_object_foreach((json_t *)get(root, "histograms"), name, histogram) {
		const char *unit = text(histogram, "unit");
		int32_t number_of = strcmp(unit, "ns") == 0	 ? UL_UNIT_NS
				    : strcmp(unit, "bytes") == 0 ? UL_UNIT_BYTES
								 : UL_UNIT_COUNT;
		char value[STATS_TEXT];

		printf("  %-10s %-12s %lld values", shown++ ? "" : "histograms", name,
		       number(histogram, "count"));
		for (unsigned i = 0; number(histogram, "count") && i < 3; i++)
			printf(", %s %s", values[i],
			       stats_value_text(value, json_number_value(get(histogram, values[i])),
						number_of));
		putchar('\n');
	}
}

static void print_stopped(const json_t *root)
{
	if (number(root, "stopped"))
		printf("  %-10s asked for when %lld requests were sent: there a device would have "
		       "ended\n",
		       "stop", number(root, "stopped"));
}

void check_report(const json_t *root, bool verbose)
{
	print_head(root);
	print_mistakes(root, verbose);
	print_wrong_data(root);
	print_ops(root);
	print_handlers(root);
	print_compiled(root);
	print_data(root);
	print_layers(root);
	print_counters(root);
	print_histograms(root);
	print_stopped(root);
}
