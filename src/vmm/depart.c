/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that goes on in another monitor, at the other end of a socket (migrate/wire.h): its memory is sent while it
 * runs, round by round; then it stands, the rest follows, its disks are given up, and the other one is told to go.
 * doc/migration.md has the steps, and whose the guest is after each of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/handover.h"
#include "machine/memory_rounds.h"
#include "migrate/wire.h"
#include "vmm/depart_disks.h"
#include "vmm/internal.h"
#include "vmm/line.h"
#include "vmm/slow.h"

#define NAME "migrate"
#define MS 1000000ull
#define ROUNDS 30        /* then it stands, whatever is left */
#define ANSWER_MS 120000 /* until it has made a machine, taken the rest, or loaded all */
#define RUNNING_MS 30000 /* until it has said that it runs, or why not */
#define WHY_MS 5000      /* until it has said why it takes no more */
#define BACK_MS 4000     /* until it has let go of the disks after a failure */
#define LOOK_MS 100
#define DISKS_LITTLE (64u << 20) /* bytes of disks with which memory's rounds begin */

enum stage {
	COPYING, /* it runs here */
	STANDS,  /* it does not, and has its disks */
	GIVEN,   /* its disks are given up */
	GONE,    /* the other side was told to go, or may have been */
};

struct departure {
	struct vmm *vmm;
	struct line line;
	uint64_t budget; /* ns that it may stand */
	bool local;      /* the other monitor is this host's ... */
	bool handed;     /* ... and has memory, too, which is not sent */
	enum stage stage;
	bool keeps; /* what is described is kept, for the loop's thread does not wait */
	struct state *state;
	struct moment_text text;
	struct memory_rounds *rounds;
	struct slow slow;
	struct depart_disks disks;
	uint64_t begun, stopped, pause;       /* ns */
	uint64_t part[MIGRATE_PARTS], parted; /* ns, and when the last of them ended */
	uint64_t total;                       /* bytes to be sent, as far as it is known */
	unsigned round;
	int r; /* of what the loop's thread did, and the next */
	struct error err;
	struct error state_err;
	struct wire wire;
};

/* The state's stream */

static int write_state(void *ctx, const void *data, size_t len)
{
	struct departure *d = ctx;

	return d->keeps ? moment_text_add(&d->text, data, len)
			: wire_write_state(&d->wire, data, len);
}

static int seen(void *ctx, uint64_t bytes)
{
	struct departure *d = ctx;

	job_progress(d->line.job, d->wire.sent, d->total > d->wire.sent ? d->total : d->wire.sent);
	return job_check(d->line.job, NULL);
}

/* Why sending has failed: what the other side said of it, if it did, is better than that nobody reads. */
static int explain(struct departure *d, int r, struct error *err)
{
	struct error said = {""};

	if (job_check(d->line.job, err))
		return -ECANCELED;
	if (d->line.broken == -ETIMEDOUT)
		return error_set(err, ETIMEDOUT, "the other side does not take what it is sent");
	if (d->line.broken == -EPIPE || d->line.broken == -ECONNRESET) {
		line_wait_at_most(&d->line, WHY_MS);
		if (wire_expect(&d->wire, WIRE_READY, &said) == -EREMOTEIO)
			return error_set(err, EREMOTEIO, "%s", said.text);
		return error_set(err, ECONNRESET, "the connection to the other side is lost");
	}
	return error_set(err, -r, "%s", d->state_err.text[0] ? d->state_err.text : strerror(-r));
}

static void end_part(struct departure *d, enum migrate_part part)
{
	const uint64_t now = clock_now();

	d->part[part] = now - d->parted;
	d->parted = now;
}

/* What the loop's thread does */

static void describe_head(void *ctx)
{
	struct departure *d = ctx;

	machine_save_head(d->vmm->machine, d->state);
}

static int is_moving(void *ctx, struct error *err)
{
	return error_set(err, EBUSY, "the guest is being migrated");
}

static void make_rounds(void *ctx)
{
	struct departure *d = ctx;

	d->r = memory_rounds_make(machine_memory(d->vmm->machine), &d->rounds, &d->err);
}

static void begin_rounds(void *ctx)
{
	struct departure *d = ctx;

	slow_begin(&d->slow, d->vmm->monitor, is_moving);
	d->r = memory_rounds_begin(d->rounds, &d->err);
}

static void begin_rounds_now(void *ctx)
{
	struct departure *d = ctx;

	if (!machine_still(d->vmm->machine, begin_rounds, d))
		d->r = error_set(&d->err, EBUSY, "the guest is being saved or reset");
}

static void look_now(void *ctx)
{
	struct departure *d = ctx;

	d->r = memory_rounds_look(d->rounds, &d->err);
}

static void slow_down(void *ctx)
{
	struct departure *d = ctx;

	slow_more(&d->slow);
}

static void stop_now(void *ctx)
{
	struct departure *d = ctx;

	slow_end(&d->slow);
	d->stopped = d->parted = clock_now();
	monitor_withhold(d->vmm->monitor, is_moving, NULL);
	d->r = machine_save_stop(d->vmm->machine, d->state);
	if (!d->r && d->handed && !memory_is_one_file(machine_memory(d->vmm->machine))) {
		machine_save_end(d->vmm->machine);
		d->r = error_set(&d->err, EAGAIN,
			"what is where in its memory has changed: try again");
	}
	if (d->r) {
		monitor_withhold(d->vmm->monitor, NULL, NULL);
		return;
	}
	d->stage = STANDS;
	/* What comes from now on is for the other one. */
	if (d->local)
		devices_set_away(&d->vmm->devices, true);
}

static void describe_devices(void *ctx)
{
	struct departure *d = ctx;

	machine_save_devices(d->vmm->machine, d->state);
}

/* A step there; what it says is the job's answer. */
static int on_loop(struct departure *d, void (*call)(void *ctx), struct error *err)
{
	int r;

	d->r = 0;
	r = job_call(d->line.job, call, d, err);
	if (r || !d->r)
		return r;
	return error_set(err, -d->r, "%s", d->err.text[0] ? d->err.text : d->state_err.text);
}

/* The job */

/* Who the guest is, and whether the other side can have it. */
static int introduce(struct departure *d, struct error *err)
{
	const struct state_io io = {.write = write_state, .seen = seen, .ctx = d};
	int r;

	line_wait_at_most(&d->line, ANSWER_MS);
	r = wire_send_hello(&d->wire);
	if (!r)
		r = state_save(&io, NAME, &d->state, &d->state_err);
	if (r)
		return explain(d, r, err);
	r = on_loop(d, describe_head, err);
	if (r)
		return r;
	r = wire_flush(&d->wire);
	return r ? explain(d, r, err) : wire_expect(&d->wire, WIRE_HELLO, err);
}

/* What is to be sent next: bytes. */
static int look(struct departure *d, uint64_t *left, struct error *err)
{
	int r = on_loop(d, look_now, err);

	if (!r)
		*left = memory_rounds_count(d->rounds) * REGION_PAGE + depart_disks_left(&d->disks);
	return r;
}

static int send_disks(struct departure *d, uint64_t left, struct error *err)
{
	int r;

	d->total = d->wire.sent + left;
	r = depart_disks_send(&d->disks, &d->wire, seen, d, d->stage != COPYING, &d->state_err);
	return r ? explain(d, r, err) : 0;
}

static int send_round(struct departure *d, uint64_t left, struct error *err)
{
	int r = send_disks(d, left, err);

	if (r)
		return r;
	d->round++;
	memory_rounds_write(d->rounds, d->state);
	r = state_ok(d->state) ? wire_flush(&d->wire) : -EIO;
	return r ? explain(d, r, err) : 0;
}

/* What was sent is also taken: how long that takes counts, and nothing of it is under way when the guest stands. */
static int wait_taken(struct departure *d, struct error *err)
{
	int r;

	line_wait_at_most(&d->line, ANSWER_MS);
	r = wire_send(&d->wire, WIRE_MARK, NULL, 0);
	return r ? explain(d, r, err) : wire_expect(&d->wire, WIRE_MARK, err);
}

/* One that writes nearly as fast as it is sent has no less left for the next round, unless it is slower. */
static bool gets_nowhere(uint64_t left, uint64_t before)
{
	return left * 10 > before * 7;
}

/* Disks are larger than memory, whose rounds begin once little is left of them. */
static int send_all_disks(struct departure *d, struct error *err)
{
	uint64_t left = depart_disks_left(&d->disks), before;
	int r = 0;

	while (!r && left) {
		before = left;
		r = send_disks(d, left, err);
		left = depart_disks_left(&d->disks);
		if (left < DISKS_LITTLE || gets_nowhere(left, before))
			break;
	}
	return r;
}

/* Whether what is left takes no longer than the guest may stand, as fast as the last round was. */
static bool is_little(const struct departure *d, uint64_t left, uint64_t sent, uint64_t took)
{
	return (unsigned __int128)left * took <= (unsigned __int128)d->budget / 2 * (sent + 1);
}

static int copy(struct departure *d, struct error *err)
{
	uint64_t left = 0;
	int r = look(d, &left, err);

	if (r)
		return r;
	do {
		const uint64_t start = clock_now(), sent = d->wire.sent, before = left;

		r = send_round(d, left, err);
		if (!r)
			r = wait_taken(d, err);
		if (!r)
			r = look(d, &left, err);
		if (r)
			return r;
		if (is_little(d, left, d->wire.sent - sent, clock_now() - start))
			return 0;
		if (d->round > 1 && gets_nowhere(left, before))
			r = on_loop(d, slow_down, err);
	} while (!r && d->round < ROUNDS);
	return r;
}

/* Most of what is to be made stable is while the guest still runs. */
static int flush_disks(struct devices *devices, struct error *err)
{
	int r = 0;

	for (unsigned i = 0; i < devices->disks && !r; i++)
		if (!block_read_only(devices->disk[i]))
			r = block_flush(devices->disk[i]);
	return r ? error_set(err, -r, "the guest's disks: %s", strerror(-r)) : 0;
}

static int give_disks(struct departure *d, struct error *err)
{
	struct devices *devices = &d->vmm->devices;
	int r = 0;

	d->stage = GIVEN;
	for (unsigned i = 0; i < devices->disks && !r; i++)
		if (!d->disks.disk[i])
			r = block_give(devices->disk[i], err);
	return r;
}

/* The guest stands: the last of its memory, its processors and devices, and its disks. */
static int send_rest(struct departure *d, struct error *err)
{
	uint64_t left = 0;
	int r;

	d->line.stands = true;
	end_part(d, MIGRATE_STOP);
	line_wait_at_most(&d->line, ANSWER_MS);
	r = d->handed ? 0 : look(d, &left, err);
	if (!r && !d->handed)
		r = send_round(d, left, err);
	end_part(d, MIGRATE_MEMORY);
	d->keeps = true;
	if (!r)
		r = on_loop(d, describe_devices, err);
	d->keeps = false;
	end_part(d, MIGRATE_DEVICES);
	if (!r)
		r = give_disks(d, err);
	if (r)
		return r;
	end_part(d, MIGRATE_DISKS);
	line_wait_at_most(&d->line, ANSWER_MS);
	r = wire_write_state(&d->wire, d->text.bytes, d->text.size);
	if (!r)
		r = state_finish(d->state);
	if (!r)
		r = wire_flush(&d->wire);
	return r ? explain(d, r, err) : wire_expect(&d->wire, WIRE_READY, err);
}

/* From here on it never runs here again unless somebody says so: the other side may have heard it. */
static int say_go(struct departure *d, struct error *err)
{
	struct error why = {""};
	int r = job_check(d->line.job, err);

	if (r)
		return r;
	end_part(d, MIGRATE_READY);
	d->stage = GONE;
	d->line.decided = true;
	line_wait_at_most(&d->line, RUNNING_MS);
	r = wire_send(&d->wire, WIRE_GO, NULL, 0);
	/* On this host a monitor that has ended before has surely heard nothing. */
	if (d->local && (r == -EPIPE || r == -ECONNRESET)) {
		d->stage = GIVEN;
		d->line.decided = false;
		return error_set(err, -r, "the new monitor has ended before it was told to go");
	}
	r = wire_expect(&d->wire, WIRE_RUNNING, &why);
	if (!r) {
		job_commit(d->line.job);
		end_part(d, MIGRATE_RUNNING);
		d->pause = clock_now() - d->stopped;
		return 0;
	}
	if (d->local)
		return error_set(err, ENOTRECOVERABLE, "%s, after it was told to let the guest run",
			why.text);
	return error_set(err, -r,
		"%s, after it was told to let the guest run: the guest stands here, and may run there. If it runs there, "
		"'destroy' ends it here; if it does not, 'unpause' lets it go on here",
		why.text);
}

static int take_back(struct vmm *vmm, struct error *err)
{
	int r = 0;

	for (unsigned i = 0; i < vmm->devices.disks && !r; i++)
		r = block_give_back(vmm->devices.disk[i], err);
	return r;
}

/* The other side lets go of them when it sees that the connection ends. */
static void retake(struct departure *d)
{
	const uint64_t until = clock_now() + BACK_MS * MS;

	close(d->line.fd);
	d->line.fd = -1;
	while (take_back(d->vmm, NULL) && clock_now() < until)
		line_sleep_until(clock_now() + LOOK_MS * MS);
}

static int send_memory(struct departure *d, struct error *err)
{
	int r = on_loop(d, make_rounds, err);

	if (!r)
		r = memory_rounds_bring(d->rounds, err);
	if (!r)
		r = on_loop(d, begin_rounds_now, err);
	return r ? r : copy(d, err);
}

static int run(void *ctx, struct guest_job *job, struct error *err)
{
	struct departure *d = ctx;
	int r;

	d->line.job = job;
	d->begun = d->line.begun = clock_now();
	r = introduce(d, err);
	if (!r)
		r = depart_disks_begin(&d->disks, err);
	if (!r)
		r = send_all_disks(d, err);
	if (!r && !d->handed)
		r = send_memory(d, err);
	if (!r)
		r = flush_disks(&d->vmm->devices, err);
	if (!r)
		r = on_loop(d, stop_now, err);
	if (!r)
		r = send_rest(d, err);
	if (!r)
		r = say_go(d, err);
	depart_disks_end(&d->disks);
	if (r && d->stage == GIVEN)
		retake(d);
	return r;
}

/* The end, on the loop's thread */

static void end_rounds(void *rounds)
{
	memory_rounds_end(rounds);
}

/* "unpause": somebody says that it does not run there. Its disks' locks say the same, or it stays. */
static int come_back(void *ctx, struct error *err)
{
	struct vmm *vmm = ctx;
	int r = take_back(vmm, err);

	if (r)
		return r;
	vmm->departing = false;
	devices_set_away(&vmm->devices, false);
	machine_save_end(vmm->machine);
	return 0;
}

static void go_on(struct departure *d)
{
	struct vmm *vmm = d->vmm;
	struct error err;

	if (d->stage == GONE || (d->stage == GIVEN && take_back(vmm, &err))) {
		monitor_withhold(vmm->monitor, come_back, vmm);
		monitor_pause(vmm->monitor);
		return;
	}
	devices_set_away(&vmm->devices, false);
	if (d->stage != COPYING)
		machine_save_end(vmm->machine);
	/* Where that is refused it stands, for somebody else: done() ends them. */
	if (d->rounds && machine_still(vmm->machine, end_rounds, d->rounds))
		d->rounds = NULL;
	vmm->departing = false;
	if (d->stage != COPYING)
		monitor_withhold(vmm->monitor, NULL, NULL);
}

static json_t *describe(const struct departure *d)
{
	json_t *parts = json_object();

	for (unsigned i = 0; i < MIGRATE_PARTS; i++)
		json_object_set_new(parts, migrate_part_names[i],
			json_integer((json_int_t)d->part[i]));
	return json_pack("{s:I, s:o, s:I, s:i, s:I}", "pause", (json_int_t)d->pause, "parts", parts,
		"bytes", (json_int_t)d->wire.sent, "rounds", (int)d->round, "time",
		(json_int_t)(clock_now() - d->begun));
}

static json_t *done(void *ctx, int r, const struct error *err)
{
	struct departure *d = ctx;
	struct vmm *vmm = d->vmm;
	json_t *fields = r ? NULL : describe(d);

	slow_end(&d->slow);
	depart_disks_end(&d->disks);
	depart_disks_leave(&d->disks, vmm);
	/* Memory that two have may be newer than what stands here. */
	if (!r || (d->local && d->stage == GONE)) {
		vmm->migrated = true;
		machine_stop(vmm->machine);
	} else {
		go_on(d);
	}
	/* Of one that stands for good nobody writes anything any more. */
	memory_rounds_end(d->rounds);
	machine_memory(vmm->machine)->readers--;
	vmm->layering--;
	state_destroy(d->state);
	moment_text_free(&d->text);
	if (d->line.fd >= 0)
		close(d->line.fd);
	free(d);
	return fields;
}

static int may_go(const struct vmm *vmm, int socket, struct error *err)
{
	if (socket < 0)
		return error_set(err, EBADF, "migrate: no socket came with the request");
	if (vmm->layering || vmm->mirror.copy || vmm->plugging.detaching)
		return error_set(err, EBUSY, "migrate: the guest's disks are being changed");
	return 0;
}

int depart_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, int socket, struct error *err)
{
	const struct wire_io io = {line_put, line_get, NULL};
	struct departure *d;
	struct job_spec spec = {.word = "migrate", .watched = true, .run = run, .done = done};
	int r = may_go(vmm, socket, err);

	d = r ? NULL : calloc(1, sizeof *d);
	if (!d) {
		if (socket >= 0)
			close(socket);
		return r ? r : error_nomem(err);
	}
	d->vmm = vmm;
	d->line.fd = socket;
	d->line.rate = request->rate;
	d->local = request->local;
	d->handed = request->local && request->handed;
	d->budget = (request->pause ? request->pause : MIGRATE_PAUSE) * MS;
	wire_init(&d->wire, &io);
	d->wire.io.ctx = &d->line;
	spec.ctx = d;
	r = request->storage ? depart_disks_use(&d->disks, vmm, err) : 0;
	if (r) {
		close(socket);
		free(d);
		return r;
	}
	vmm->layering++;
	vmm->departing = true;
	machine_memory(vmm->machine)->readers++;
	r = monitor_job(vmm->monitor, &spec, asker, err);
	return r ? r : REQUEST_LATER;
}
