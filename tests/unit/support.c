/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dispatch.h"
#include "sim.h"

static int log_memory = -1;
static int real_stderr = -1;

void log_begin(void)
{
	if (log_memory < 0) {
		log_memory = memfd_create("log", MFD_CLOEXEC);
		real_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	}
	assert_int_equal(ftruncate(log_memory, 0), 0);
	assert_int_equal(lseek(log_memory, 0, SEEK_SET), 0);
	fflush(stderr);
	dup2(log_memory, STDERR_FILENO);
}

const char *log_end(void)
{
	static char text[1 << 16];
	ssize_t n;

	fflush(stderr);
	dup2(real_stderr, STDERR_FILENO);
	n = pread(log_memory, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

void check_has(const char *text, const char *part, int wanted, const char *file, int line)
{
	if ((strstr(text, part) != NULL) == wanted)
		return;
	print_error("%s \"%s\" in: %s\n", wanted ? "no" : "unwanted", part, text);
	_fail(file, line);
}

unsigned count_lines(const char *text)
{
	unsigned lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static char temp_dir[32]; /* empty until the first file */
static char temp_paths[RIG_MOST][PATH_MAX];
static unsigned temp_count;

static void remove_temp(void)
{
	for (unsigned i = 0; i < temp_count; i++)
		unlink(temp_paths[i]);
	rmdir(temp_dir);
}

const char *temp_path(const char *name)
{
	char *path;

	if (!temp_dir[0]) {
		strcpy(temp_dir, "/tmp/ublk-lua-unit-XXXXXX");
		assert_non_null(mkdtemp(temp_dir));
		atexit(remove_temp);
	}
	for (unsigned i = 0; i < temp_count; i++)
		if (strcmp(strrchr(temp_paths[i], '/') + 1, name) == 0)
			return temp_paths[i];
	assert_true(temp_count < RIG_MOST);
	path = temp_paths[temp_count++];
	snprintf(path, PATH_MAX, "%s/%s", temp_dir, name);
	return path;
}

const char *temp_file(const char *name, const char *text)
{
	const char *path = temp_path(name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	return path;
}

struct rig_run {
	struct rig *rig;
	unsigned issued;
	unsigned index[RIG_MOST]; /* which request is in a tag */
};

static bool next_request(void *arg, struct ul_req *req, uint8_t *data)
{
	struct rig_run *run = arg;
	const struct rig_request *wanted = &run->rig->requests[run->issued];

	if (run->issued == run->rig->count)
		return false;
	run->index[req->tag] = run->issued++;
	req->op = wanted->op;
	req->flags = 0;
	req->sector = wanted->sector;
	req->length = wanted->length;
	if (wanted->length <= RIG_MAX_IO)
		memset(data, wanted->op == UL_OP_WRITE ? wanted->fill : 0xee, wanted->length);
	return true;
}

static void request_done(void *arg, const struct ul_req *req, const uint8_t *data, int32_t result)
{
	struct rig_run *run = arg;
	unsigned i = run->index[req->tag];
	uint32_t length = run->rig->requests[i].length;

	run->rig->result[i] = result;
	if (length && length <= RIG_MAX_IO) {
		run->rig->first[i] = data[0];
		run->rig->last[i] = data[length - 1];
	}
}

static void serve(struct rig *rig, struct script *script, uint32_t op_mask)
{
	atomic_bool fail = rig->fail;
	struct rig_run run = { .rig = rig };
	struct ul_device dev = { .size = RIG_SIZE, .backing = UL_BACKING_MEM };
	struct dispatch dispatch = {
		.script = script,
		.stats = &rig->stats,
		.op_mask = op_mask,
		.size = RIG_SIZE,
		.fail = &fail,
	};
	int count;

	assert_int_equal(backend_open(&dispatch.backend, &dev), 0);
	assert_int_equal(sim_open(&dispatch.transport,
				  &(struct sim_config){
					  .queue = 3,
					  .depth = RIG_MOST,
					  .max_io = RIG_MAX_IO,
					  .batch = rig->batch ? rig->batch : RIG_MOST,
					  .next = next_request,
					  .done = request_done,
					  .arg = &run,
				  }),
			 0);
	if (script)
		assert_int_equal(script_attach(script, &dispatch.transport->shared), 0);
	while ((count = dispatch.transport->ops->reap(dispatch.transport)) >= 0)
		dispatch_batch(&dispatch, (unsigned)count);
	rig->end = count;
	rig->faults = sim_faults(dispatch.transport);
	dispatch.transport->ops->close(dispatch.transport);
	backend_close(dispatch.backend);
}

void rig_run(struct rig *rig)
{
	struct ul_device dev = { 0 };
	struct script *script = NULL;

	assert_true(rig->count <= RIG_MOST);
	for (unsigned i = 0; i < rig->count; i++)
		rig->result[i] = INT32_MAX; /* never answered */
	log_begin();
	if (rig->script)
		rig->load = script_open(&script,
					&(struct script_config){
						.path = temp_file("test.lua", rig->script),
						.seed = 1,
					},
					&dev);
	if (rig->load == 0)
		serve(rig, script, dev.op_mask);
	script_close(script);
	rig->log = log_end();
}
