/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dispatch.h"
#include "sim.h"
#include "slow.h"

bool rig_slow;
bool rig_lazy;

static int log_memory = -1;
static int real_stderr = -1;

/* What must hold for any test to make sense. */
static void need(int holds, const char *what)
{
	if (holds)
		return;
	if (real_stderr >= 0)
		dup2(real_stderr, STDERR_FILENO);
	perror(what);
	abort();
}

void log_begin(void)
{
	if (log_memory < 0) {
		log_memory = memfd_create("log", MFD_CLOEXEC);
		real_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	}
	need(ftruncate(log_memory, 0) == 0 && lseek(log_memory, 0, SEEK_SET) == 0, "log");
	fflush(stderr);
	dup2(log_memory, STDERR_FILENO);
}

const char *log_end(void)
{
	static char text[1 << 18];
	ssize_t n;

	fflush(stderr);
	dup2(real_stderr, STDERR_FILENO);
	n = pread(log_memory, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

enum { MOST_TEMPS = 64 };
static char temp_dir[32]; /* empty until the first file */
static char temp_paths[MOST_TEMPS][PATH_MAX];
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
		need(mkdtemp(temp_dir) != NULL, temp_dir);
		atexit(remove_temp);
	}
	for (unsigned i = 0; i < temp_count; i++)
		if (strcmp(strrchr(temp_paths[i], '/') + 1, name) == 0)
			return temp_paths[i];
	need(temp_count < MOST_TEMPS, "temp_path");
	path = temp_paths[temp_count++];
	snprintf(path, PATH_MAX, "%s/%s", temp_dir, name);
	return path;
}

const char *temp_file(const char *name, const char *text)
{
	const char *path = temp_path(name);
	FILE *file = fopen(path, "w");

	need(file && fputs(text, file) >= 0 && fclose(file) == 0, path);
	return path;
}

struct run {
	struct rig *rig;
	struct transport *transport;
	struct lane lane; /* of a slow backing, or a lazy driver */
	const struct transport_ops *sim;
	struct rig_answer *answers;
	atomic_int stage;
	unsigned issued, answered;
	unsigned index[UINT16_MAX + 1]; /* which request is in a tag */
};

static bool next_request(void *arg, struct ul_req *req, uint8_t *data)
{
	struct run *run = arg;
	const struct rig *rig = run->rig;
	const struct rig_request *wanted;

	if (run->issued == rig->count * (rig->rounds ? rig->rounds : 1))
		return false;
	run->index[req->tag] = run->issued++ % rig->count;
	if (run->issued == rig->stop_at)
		run->stage = STAGE_STOPPING;
	if (run->issued == rig->fail_at)
		run->stage = STAGE_FAIL;
	wanted = &rig->requests[run->index[req->tag]];
	req->op = wanted->op;
	req->flags = wanted->flags;
	req->sector = wanted->sector;
	req->length = wanted->length;
	if (wanted->length <= RIG_MAX_IO && (!rig->rounds || transport_op_brings_data(wanted->op)))
		memset(data, transport_op_brings_data(wanted->op) ? wanted->fill : 0xee,
		       wanted->length);
	return true;
}

static void request_done(void *arg, const struct ul_req *req, const uint8_t *data, int32_t result)
{
	struct run *run = arg;
	struct rig_answer *answer = &run->answers[run->index[req->tag]];
	uint32_t length = run->rig->requests[run->index[req->tag]].length;

	answer->result = result;
	answer->time = ul_now(&run->transport->shared);
	answer->order = run->answered++;
	if (length && length <= RIG_MAX_IO) {
		answer->first = data[0];
		answer->last = data[length - 1];
	}
}

enum { UNTOUCHED = 0x5c }; /* what is in a tag's buffer while the driver has the data */

static off_t driver_offset(const struct ul_req *req)
{
	return (off_t)(0x80000000 + ((uint64_t)RIG_QUEUE << 41) + ((uint64_t)req->tag << 25));
}

/* Of a write, into the driver's memory; of a read, what is in there is none. */
static void put_metadata(struct run *run, const struct ul_req *req)
{
	uint32_t length = lane_metadata_length(&run->lane, req);
	uint8_t *memory = lane_metadata(&run->lane, req);
	off_t offset = driver_offset(req) | 1LL << 62;

	memset(memory, req->op == UL_OP_WRITE ? req->buf[0] : UNTOUCHED, length);
	need(pwrite(run->lane.char_fd, memory, length, offset) == (ssize_t)length, "metadata");
	memset(memory, UNTOUCHED, length);
}

static void get_metadata(struct run *run, const struct ul_req *req)
{
	struct rig_answer *answer = &run->answers[run->index[req->tag]];
	uint32_t length = lane_metadata_length(&run->lane, req);
	off_t offset = driver_offset(req) | 1LL << 62;

	(void)!pread(run->lane.char_fd, &answer->metadata[0], 1, offset);
	(void)!pread(run->lane.char_fd, &answer->metadata[1], 1, offset + length - 1);
}

/* What came goes into the driver's memory, a file, and its buffer is spoilt. */
static int lazy_reap(struct transport *t, uint64_t deadline)
{
	struct run *run = (struct run *)((char *)t->lane - offsetof(struct run, lane));
	int count = run->sim->reap(t, deadline);

	for (int i = 0; i < count; i++) {
		struct ul_req *req = &t->shared.reqs[t->shared.batch[i]];

		if (!req->buf || req->length > RIG_MAX_IO)
			continue;
		need(pwrite(run->lane.char_fd, req->buf, req->length, driver_offset(req)) ==
			     (ssize_t)req->length,
		     "lazy_reap");
		if (req->flags & UL_FLAG_INTEGRITY)
			put_metadata(run, req);
		memset(req->buf, UNTOUCHED, req->length);
		req->buf = NULL;
	}
	if (run->rig->deaf) /* for good: what it is asked for fails */
		run->lane.char_fd = -1;
	return count;
}

/* The answer's data is what the driver got. */
static void lazy_answer(struct transport *t, uint16_t tag, int32_t result)
{
	struct run *run = (struct run *)((char *)t->lane - offsetof(struct run, lane));
	const struct ul_req *req = &t->shared.reqs[tag];
	uint8_t *data = transport_buffer(t, tag);

	if (transport_op_has_data(req->op) && req->length <= RIG_MAX_IO) {
		run->rig->fetched += req->length && data[0] != UNTOUCHED;
		(void)!pread(run->lane.char_fd, data, req->length, driver_offset(req));
		if (req->flags & UL_FLAG_INTEGRITY)
			get_metadata(run, req);
	}
	run->sim->answer(t, tag, result);
}

static void make_lazy(struct run *run, struct transport *t)
{
	static struct transport_ops lazy;

	lazy = *t->ops;
	lazy.reap = lazy_reap;
	lazy.answer = lazy_answer;
	run->sim = t->ops;
	run->lane = (struct lane){ .lazy = true,
				   .char_fd = memfd_create("driver", MFD_CLOEXEC),
				   .split = { .queue = RIG_QUEUE, .step = 1 },
				   .buffers = t->data,
				   .stride = RIG_MAX_IO,
				   .shared = &t->shared };
	need(run->lane.char_fd >= 0, "memfd_create");
	t->ops = &lazy;
	t->lane = &run->lane;
}

static struct transport *open_transport(struct run *run)
{
	const struct rig *rig = run->rig;
	unsigned depth = rig->depth ? rig->depth : RIG_DEPTH;
	unsigned batch = rig->batch && rig->batch < depth ? rig->batch : depth;
	struct transport *transport = NULL;

	need(sim_open(&transport, &(struct sim_config){ .queue = RIG_QUEUE,
							.depth = depth,
							.max_io = RIG_MAX_IO,
							.batch = batch,
							.next = next_request,
							.done = request_done,
							.arg = run }) == 0,
	     "sim_open");
	return transport;
}

/* Rounds until all is served, and until nothing is on its way below. */
static int serve_all(struct run *run, struct dispatch *dispatch, struct backend *slow)
{
	struct transport *t = run->transport;
	int count;

	for (;;) {
		count = t->ops->reap(t, run->lane.flying ? 0 : dispatch_deadline(dispatch));
		if (count < 0 && !run->lane.flying)
			return count;
		if (slow)
			slow_tick(slow);
		dispatch_round(dispatch, count > 0 ? (unsigned)count : 0);
		run->rig->stops += t->shared.stop;
		t->shared.stop = 0;
	}
}

/* One that must be waited for lies below what keeps the metadata. */
static struct backend *open_backing(struct ul_device *device, struct backend **slow)
{
	uint32_t wanted = device->integrity.wanted;
	struct backend *backend;

	need(backend_probe(device, "test.lua") == 0, "backend_probe");
	device->integrity.wanted = wanted && !rig_slow;
	need(backend_open(&backend, device) == 0, "backend_open");
	device->integrity.wanted = wanted;
	if (!rig_slow)
		return backend;
	*slow = backend = slow_open(backend);
	if (!wanted)
		return backend;
	need(backend_integrity_open(&backend, device, *slow) == 0, "backend_integrity_open");
	backend->child[backend->children++] = *slow;
	return backend;
}

static void serve(struct rig *rig, struct script *script, struct stats *stats,
		  struct rig_answer *answers)
{
	static struct run run;
	struct dispatch dispatch;
	struct transport *t;
	struct guard *guard = NULL;
	struct backend *backend, *slow = NULL;

	run = (struct run){ .rig = rig, .answers = answers, .stage = STAGE_RUN };
	t = run.transport = open_transport(&run);
	backend = open_backing(rig->device, &slow);
	if (rig->device->integrity.wanted)
		need(transport_alloc_metadata(t, rig->device->integrity.interval,
					      rig->device->integrity.metadata_size) == 0,
		     "transport_alloc_metadata");
	if (rig_lazy)
		make_lazy(&run, t);
	if (rig_slow)
		t->lane = &run.lane;
	if (rig->debug)
		need((guard = guard_open(t)) != NULL, "guard_open");
	if (script)
		rig->load = script_attach(script, &t->shared);
	need(dispatch_open(&dispatch, &(struct dispatch_config){ .transport = t,
								 .script = script,
								 .backend = backend,
								 .guard = guard,
								 .stats = stats,
								 .device = rig->device,
								 .stage = &run.stage }) == 0,
	     "dispatch_open");
	if (rig->load == 0)
		rig->end = serve_all(&run, &dispatch, slow);
	dispatch_close(&dispatch);
	rig->faults = sim_faults(t);
	rig->misuses = guard ? guard_check(guard) : 0;
	guard_close(guard);
	t->ops->close(t);
	if (rig_lazy)
		close(run.lane.char_fd);
	backend_close(backend);
}

void rig_run(struct rig *rig)
{
	static struct rig_answer answers[RIG_MOST];
	static struct ul_device device;
	static struct stats stats;
	struct script *script = NULL;

	need(rig->count <= RIG_MOST, "rig_run");
	for (unsigned i = 0; i < rig->count; i++)
		answers[i] = (struct rig_answer){ .result = INT32_MAX };
	memset(&stats, 0, sizeof(stats));
	memset(&device, 0, sizeof(device));
	device.backings = 1;
	device.backing[0].kind = UL_BACKING_MEM;
	rig->answers = answers;
	rig->device = &device;
	rig->stats = &stats;

	log_begin();
	if (rig->script)
		rig->load = script_open(&script,
					&(struct script_config){
						.path = temp_file("test.lua", rig->script),
						.seed = rig->seed ? rig->seed : 1,
						.queue = RIG_QUEUE,
						.memory = rig->memory,
						.stats = &stats.script,
					},
					&device);
	device.size = RIG_SIZE;
	if (rig->load == 0)
		serve(rig, script, &stats, answers);
	script_close(script);
	rig->log = log_end();
}
