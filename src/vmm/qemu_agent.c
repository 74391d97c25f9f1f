/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/qemu_agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/json.h"
#include "vmm/agent_port.h"
#include "vmm/qemu_words.h"

#define PORT "org.qemu.guest_agent.0"
#define FLUSH '\xff' /* in front of what is to be synchronized: no byte of any JSON */
#define PROGRAM_MAX (4u << 20)
#define OUT_MAX (2 * PROGRAM_MAX)
#define LINE_MAX_BYTES (1u << 20) /* its answers to what it is asked here are some hundred bytes */
#define MS 1000000ull
#define ANSWER_NS (60000 * MS)
#define FIRST_LOOK_NS (20 * MS)
#define LAST_LOOK_NS (500 * MS)

/* How far the bringing of ours is. */
enum step {
	IDLE,
	WANTED,
	STARTED, /* the command runs, and is asked after */
};

/* What the answer that comes next is to. */
enum question { NOTHING, SYNC, EXEC, STATUS, SHUTDOWN };

struct qemu_agent {
	struct qemu_agent_owner owner;
	int program;
	struct loop *loop;
	struct loop_work work;
	struct loop_timer timer;
	struct agent_port *port;
	bool open, ready;
	int64_t sync; /* the number of the last synchronization */
	enum question asked;
	uint64_t deadline; /* of the answer */
	size_t scanned;    /* bytes of what came that have no line's end */
	bool shutdown;     /* is to be asked for */
	enum step step;
	int64_t pid;
	uint64_t look, pause; /* when it is asked after next */
};

static void fail(struct qemu_agent *qemu, const char *what, const char *why)
{
	char text[512];

	if (qemu->step == IDLE)
		return;
	qemu->step = IDLE;
	snprintf(text, sizeof text, "the guest's qemu-guest-agent %s%s", what, why);
	qemu->owner.failed(qemu->owner.ctx, text);
}

/* Nothing it says counts until it is synchronized anew, and what was begun is begun again. */
static void forget(struct qemu_agent *qemu)
{
	qemu->ready = qemu->shutdown = false;
	qemu->asked = NOTHING;
	qemu->scanned = 0;
	if (qemu->step == STARTED)
		qemu->step = WANTED;
}

/* To it */

/* One question at a time. takes arguments. */
static void ask(struct qemu_agent *qemu, enum question question, const char *command,
	json_t *arguments)
{
	char *line = qemu_words_line(command, arguments);
	const bool good = line && !agent_port_send(qemu->port, line, strlen(line));

	free(line);
	qemu->asked = question;
	/* What cannot be sent is not answered either. */
	qemu->deadline = clock_now() + (good ? ANSWER_NS : LAST_LOOK_NS);
}

static void synchronize(struct qemu_agent *qemu)
{
	static const char flush = FLUSH;

	qemu->sync++;
	agent_port_send(qemu->port, &flush, 1);
	ask(qemu, SYNC, "guest-sync-delimited", json_pack("{s:I}", "id", (json_int_t)qemu->sync));
}

static void bring(struct qemu_agent *qemu)
{
	struct stat st;
	uint8_t *bytes = NULL;
	size_t size = 0;
	int r = fstat(qemu->program, &st) ? -errno : 0;

	if (!r && (st.st_size <= 0 || st.st_size > PROGRAM_MAX))
		r = -EFBIG;
	if (!r) {
		size = (size_t)st.st_size;
		bytes = malloc(size);
		r = !bytes                                                             ? -ENOMEM
			: io_pread_all(qemu->program, bytes, size, 0) == (ssize_t)size ? 0
										       : -EIO;
	}
	if (r)
		fail(qemu, "cannot be given dach-agent: ", strerror(-r));
	else
		ask(qemu, EXEC, "guest-exec", qemu_words_bring(bytes, size));
	free(bytes);
}

static void look(struct qemu_agent *qemu)
{
	qemu->pause = qemu->pause * 2 < LAST_LOOK_NS ? qemu->pause * 2 : LAST_LOOK_NS;
	ask(qemu, STATUS, "guest-exec-status", json_pack("{s:I}", "pid", (json_int_t)qemu->pid));
}

static void ask_next(struct qemu_agent *qemu, uint64_t now)
{
	if (qemu->asked != NOTHING || !qemu->open)
		return;
	if (!qemu->ready) {
		synchronize(qemu);
	} else if (qemu->shutdown) {
		qemu->shutdown = false;
		ask(qemu, SHUTDOWN, "guest-shutdown", json_pack("{s:s}", "mode", "powerdown"));
	} else if (qemu->step == WANTED) {
		bring(qemu);
	} else if (qemu->step == STARTED && qemu->look <= now) {
		look(qemu);
	}
}

/* All that there is to do now; and when there will be more. From the loop. */
static void run(void *ctx)
{
	struct qemu_agent *qemu = ctx;
	const uint64_t now = clock_now();
	uint64_t next = 0;

	if (qemu->asked != NOTHING && qemu->deadline <= now) {
		forget(qemu);
		fail(qemu, "does not answer", "");
	}
	ask_next(qemu, now);
	if (qemu->asked != NOTHING)
		next = qemu->deadline;
	else if (qemu->step == STARTED)
		next = qemu->look;
	if (next)
		loop_timer_arm(&qemu->timer, next);
	else
		loop_timer_cancel(&qemu->timer);
}

/* Its answers */

static void take_status(struct qemu_agent *qemu, const json_t *value)
{
	struct qemu_status status;

	qemu->look = clock_now() + qemu->pause;
	if (qemu_words_status(value, &status))
		fail(qemu, "tells nothing of what it has started that makes sense", "");
	else if (status.ended && status.status)
		fail(qemu, "could not start our agent: ", status.why);
	else if (status.ended)
		qemu->step = IDLE;
}

static void take_answer(struct qemu_agent *qemu, const json_t *answer)
{
	const json_t *value = json_object_get(answer, "return");
	const json_t *error = json_object_get(answer, "error");
	const enum question asked = qemu->asked;

	if (asked == SYNC && (!json_is_integer(value) || json_integer_value(value) != qemu->sync))
		return; /* of a question before */
	qemu->asked = NOTHING;
	if (asked == SYNC) {
		qemu->ready = true;
	} else if (asked != EXEC && asked != STATUS) {
		return;
	} else if (error) {
		fail(qemu, "refuses: ", json_get_text(error, "desc"));
	} else if (asked == STATUS) {
		take_status(qemu, value);
	} else if (json_get_number(value, "pid") > 0) {
		qemu->step = STARTED;
		qemu->pid = json_get_number(value, "pid");
		qemu->pause = FIRST_LOOK_NS;
		qemu->look = clock_now() + qemu->pause;
	} else {
		fail(qemu, "does not say what it has started", "");
	}
}

static void take_line(struct qemu_agent *qemu, const char *line, size_t size)
{
	const char *flushed = memrchr(line, FLUSH, size);
	json_t *answer;

	if (flushed) {
		size -= flushed + 1 - line;
		line = flushed + 1;
	}
	if (qemu->asked == NOTHING || !size)
		return;
	answer = qemu_words_answer(line, size);
	if (answer) {
		take_answer(qemu, answer);
	} else if (qemu->ready) {
		forget(qemu);
		fail(qemu, "says what is no answer", "");
	}
	json_decref(answer);
}

static void arrived(void *ctx, struct bytes *in)
{
	struct qemu_agent *qemu = ctx;
	const uint8_t *at, *end;

	while (bytes_size(in)) {
		at = in->at + in->start;
		if (qemu->scanned > bytes_size(in))
			qemu->scanned = 0;
		end = memchr(at + qemu->scanned, '\n', bytes_size(in) - qemu->scanned);
		if (!end) {
			qemu->scanned = bytes_size(in);
			break;
		}
		qemu->scanned = 0;
		take_line(qemu, (const char *)at, (size_t)(end - at));
		bytes_drop(in, (size_t)(end - at) + 1);
	}
	run(qemu);
}

static void opened(void *ctx, bool open)
{
	struct qemu_agent *qemu = ctx;

	forget(qemu);
	qemu->open = open;
	qemu->sync = 0; /* nothing is on the way */
	loop_post(qemu->loop, &qemu->work);
}

static void flooded(void *ctx)
{
	struct qemu_agent *qemu = ctx;

	qemu->open = false;
	forget(qemu);
	fail(qemu, "sends more than there is room for", "");
}

/* From the owner */

bool qemu_agent_ready(const struct qemu_agent *qemu)
{
	return qemu->ready;
}

void qemu_agent_bring(struct qemu_agent *qemu)
{
	if (qemu->step == IDLE)
		qemu->step = WANTED;
	loop_post(qemu->loop, &qemu->work);
}

int qemu_agent_shutdown(struct qemu_agent *qemu)
{
	if (!qemu->ready)
		return -ENOTCONN;
	qemu->shutdown = true;
	loop_post(qemu->loop, &qemu->work);
	return 0;
}

/* Life */

void qemu_agent_destroy(struct qemu_agent *qemu)
{
	if (!qemu)
		return;
	agent_port_destroy(qemu->port);
	loop_unpost(qemu->loop, &qemu->work);
	loop_timer_cancel(&qemu->timer);
	free(qemu);
}

int qemu_agent_create(struct pci_bus *bus, struct memory *memory, struct loop *loop,
	const struct qemu_agent_owner *owner, int program, struct qemu_agent **out,
	struct error *err)
{
	struct qemu_agent *qemu = calloc(1, sizeof *qemu);
	const struct agent_port_owner port = {.ctx = qemu,
		.name = PORT,
		.stays = true,
		.in_max = LINE_MAX_BYTES,
		.out_max = OUT_MAX,
		.arrived = arrived,
		.opened = opened,
		.flooded = flooded};
	int r;

	if (!qemu)
		return error_nomem(err);
	qemu->owner = *owner;
	qemu->program = program;
	qemu->loop = loop;
	qemu->work = (struct loop_work){.run = run, .ctx = qemu};
	loop_timer_init(&qemu->timer, loop, run, qemu);
	r = agent_port_create(bus, memory, loop, &port, &qemu->port, err);
	if (r) {
		free(qemu);
		return r;
	}
	*out = qemu;
	return 0;
}
