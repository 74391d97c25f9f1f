/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/qemu_agent.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/json.h"
#include "protocol/end.h"
#include "vmm/qemu_words.h"
#include "vmm/agent_port.h"

#define PORT "org.qemu.guest_agent.0"
#define FLUSH '\xff' /* in front of what is to be synchronized: no byte of any JSON */
/* A line: two streams of what it keeps, as text. What a guest fills here is of its own group's memory. */
#define LINE_MAX_BYTES (48u << 20)
#define OUT_MAX (4u << 20)
#define MS 1000000ull
#define ANSWER_NS (60000 * MS)
#define FIRST_LOOK_NS (20 * MS)
#define LAST_LOOK_NS (500 * MS)
#define KILL_NS (2000 * MS) /* between a hang-up and the end, of a command that nobody waits for */
#define HANGUP 1u
#define KILL 9u

enum step {
	FREE,
	INPUT,   /* it waits for the end of its input */
	START,   /* for its turn to be started */
	RUN,     /* it is asked after */
	OUTPUT,  /* has ended; what it said is handed on as far as there is room */
	REFUSED, /* its sentence is */
};

struct qemu_session {
	enum step step;
	unsigned number;
	json_t *words; /* of guest-exec, without the input */
	struct bytes input;
	uint32_t credit;     /* input that was taken and is not told of yet */
	bool terminal, left; /* left: nobody waits for it */
	int64_t pid;
	uint64_t look, pause; /* when it is asked after next */
	unsigned signal;      /* it is to get; 0: none */
	uint64_t kill;        /* when it is to be killed; 0: not */
	struct bytes out[AGENT_STREAMS];
	uint32_t room[AGENT_STREAMS];
	unsigned status;
	struct error why;
};

/* What the answer that comes next is to. */
enum question { NOTHING, SYNC, EXEC, STATUS, SIGNAL, SIGNALLED, SHUTDOWN };

struct qemu_agent {
	struct agent agent;
	struct agent_owner owner;
	struct loop *loop;
	struct loop_work work;
	struct loop_timer timer;
	struct agent_port *port;
	bool open, ready;
	int64_t sync; /* the number of the last synchronization */
	enum question asked;
	struct qemu_session *about; /* NULL: it has gone meanwhile */
	uint64_t deadline;          /* of the answer */
	size_t scanned;             /* bytes of what came that have no line's end */
	int64_t signalled; /* a process that sends a signal, still to be asked after; 0: none */
	bool shutdown;     /* is to be asked for */
	struct qemu_session session[AGENT_SESSIONS];
};

/* To the owner */

static void tell(struct qemu_agent *qemu, unsigned session, enum agent_frame_type type,
	unsigned stream, const void *payload, size_t size)
{
	const struct agent_header header = {size, session, type, stream};

	qemu->owner.frame(qemu->owner.ctx, &header, payload);
}

static void tell_number(struct qemu_agent *qemu, unsigned session, enum agent_frame_type type,
	unsigned stream, uint32_t number)
{
	tell(qemu, session, type, stream, &number, sizeof number);
}

static void session_free(struct qemu_agent *qemu, struct qemu_session *session)
{
	json_decref(session->words);
	bytes_free(&session->input);
	for (unsigned i = 0; i < AGENT_STREAMS; i++)
		bytes_free(&session->out[i]);
	if (qemu->about == session)
		qemu->about = NULL;
	*session = (struct qemu_session){.step = FREE};
}

static void free_all(struct qemu_agent *qemu)
{
	for (unsigned i = 0; i < AGENT_SESSIONS; i++)
		session_free(qemu, &qemu->session[i]);
	qemu->ready = qemu->shutdown = false;
	qemu->asked = NOTHING;
	qemu->signalled = 0;
	qemu->scanned = 0;
}

/* Nothing it says counts until it is synchronized anew. */
static void lose(struct qemu_agent *qemu, const char *why)
{
	free_all(qemu);
	qemu->owner.gone(qemu->owner.ctx, why);
}

static void tell_refusal(struct qemu_agent *qemu, struct qemu_session *session)
{
	const unsigned number = session->number;
	struct {
		uint32_t status;
		char text[512];
	} payload = {session->status, ""};

	snprintf(payload.text, sizeof payload.text, "%s", session->why.text);
	session_free(qemu, session);
	tell(qemu, number, AGENT_FAILED, 0, &payload, sizeof payload.status + strlen(payload.text));
}

static void hand_on(struct qemu_agent *qemu, struct qemu_session *session, unsigned stream)
{
	struct bytes *out = &session->out[stream];

	while (bytes_size(out) && session->room[stream]) {
		size_t size = bytes_size(out);

		if (size > session->room[stream])
			size = session->room[stream];
		if (size > AGENT_DATA_MAX)
			size = AGENT_DATA_MAX;
		session->room[stream] -= size;
		tell(qemu, session->number, AGENT_DATA, stream, out->at + out->start, size);
		bytes_drop(out, size);
	}
}

static void hand_all_on(struct qemu_agent *qemu, struct qemu_session *session)
{
	const unsigned number = session->number, status = session->status;

	for (unsigned i = AGENT_STDOUT; i <= AGENT_STDERR && !session->left; i++)
		hand_on(qemu, session, i);
	if (!session->left &&
		(bytes_size(&session->out[AGENT_STDOUT]) ||
			bytes_size(&session->out[AGENT_STDERR])))
		return;
	session_free(qemu, session);
	tell(qemu, number, AGENT_EOF, AGENT_STDOUT, NULL, 0);
	tell(qemu, number, AGENT_EOF, AGENT_STDERR, NULL, 0);
	tell_number(qemu, number, AGENT_EXIT, 0, status);
}

__attribute__((format(printf, 3, 4))) static void refuse(struct qemu_session *session,
	unsigned status, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(session->why.text, sizeof session->why.text, fmt, args);
	va_end(args);
	session->step = REFUSED;
	session->status = status;
}

/* To it */

/* One question at a time. takes arguments. */
static void ask(struct qemu_agent *qemu, enum question question, struct qemu_session *about,
	const char *command, json_t *arguments)
{
	char *line = qemu_words_line(command, arguments);
	const bool good = line && !agent_port_send(qemu->port, line, strlen(line));

	free(line);
	qemu->asked = question;
	qemu->about = about;
	/* What cannot be sent is not answered either. */
	qemu->deadline = clock_now() + (good ? ANSWER_NS : LAST_LOOK_NS);
}

static void synchronize(struct qemu_agent *qemu)
{
	static const char flush = FLUSH;

	qemu->sync++;
	agent_port_send(qemu->port, &flush, 1);
	ask(qemu, SYNC, NULL, "guest-sync-delimited",
		json_pack("{s:I}", "id", (json_int_t)qemu->sync));
}

static void start(struct qemu_agent *qemu, struct qemu_session *session)
{
	json_t *words = session->words;

	session->words = NULL;
	bytes_free(&session->input);
	ask(qemu, EXEC, session, "guest-exec", words);
}

static void look(struct qemu_agent *qemu, struct qemu_session *session)
{
	session->pause = session->pause * 2 < LAST_LOOK_NS ? session->pause * 2 : LAST_LOOK_NS;
	ask(qemu, STATUS, session, "guest-exec-status",
		json_pack("{s:I}", "pid", (json_int_t)session->pid));
}

static void send_signal(struct qemu_agent *qemu, struct qemu_session *session)
{
	const unsigned signal = session->signal;

	session->signal = 0;
	ask(qemu, SIGNAL, session, "guest-exec", qemu_words_kill(session->pid, signal));
}

/* What this session wants to be asked now; false: nothing. */
static bool ask_for(struct qemu_agent *qemu, struct qemu_session *session, uint64_t now)
{
	if (session->step == START) {
		start(qemu, session);
	} else if (session->step != RUN) {
		return false;
	} else if (session->signal) {
		send_signal(qemu, session);
	} else if (session->kill && session->kill <= now) {
		session->kill = 0;
		session->signal = KILL;
		send_signal(qemu, session);
	} else if (session->look <= now) {
		look(qemu, session);
	} else {
		return false;
	}
	return true;
}

static void ask_next(struct qemu_agent *qemu, uint64_t now)
{
	if (qemu->asked != NOTHING || !qemu->open)
		return;
	if (!qemu->ready) {
		synchronize(qemu);
		return;
	}
	if (qemu->shutdown) {
		qemu->shutdown = false;
		ask(qemu, SHUTDOWN, NULL, "guest-shutdown",
			json_pack("{s:s}", "mode", "powerdown"));
		return;
	}
	if (qemu->signalled) {
		/* It keeps what it knows of a process until it is asked. */
		ask(qemu, SIGNALLED, NULL, "guest-exec-status",
			json_pack("{s:I}", "pid", (json_int_t)qemu->signalled));
		qemu->signalled = 0;
		return;
	}
	for (unsigned i = 0; i < AGENT_SESSIONS; i++)
		if (ask_for(qemu, &qemu->session[i], now))
			return;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* All that there is to do now; and when there will be more. The loop's thread, from the loop. */
static void run(void *ctx)
{
	struct qemu_agent *qemu = ctx;
	const uint64_t now = clock_now();
	uint64_t next = 0;

	if (qemu->asked != NOTHING && qemu->deadline <= now)
		lose(qemu, "the guest's qemu-guest-agent does not answer");
	for (unsigned i = 0; i < AGENT_SESSIONS; i++) {
		struct qemu_session *session = &qemu->session[i];
		const uint32_t credit = session->credit;

		session->credit = 0;
		if (credit && session->step == INPUT)
			tell_number(qemu, session->number, AGENT_CREDIT, AGENT_STDIN, credit);
		if (session->step == REFUSED)
			tell_refusal(qemu, session);
		else if (session->step == OUTPUT)
			hand_all_on(qemu, session);
	}
	ask_next(qemu, now);
	if (qemu->asked != NOTHING)
		next = qemu->deadline;
	for (unsigned i = 0; i < AGENT_SESSIONS && qemu->asked == NOTHING; i++)
		if (qemu->session[i].step == RUN)
			next = earlier(next, earlier(qemu->session[i].kill, qemu->session[i].look));
	if (next)
		loop_timer_arm(&qemu->timer, next);
	else
		loop_timer_cancel(&qemu->timer);
}

/* Its answers */

static void take_status(struct qemu_session *session, const json_t *value)
{
	struct qemu_status status;

	session->look = clock_now() + session->pause;
	if (qemu_words_status(value, session->terminal, &status)) {
		refuse(session, END_STATUS_COMMAND,
			"the guest's qemu-guest-agent tells nothing of the command that makes sense");
		return;
	}
	if (!status.ended)
		return;
	for (unsigned i = AGENT_STDOUT; i <= AGENT_STDERR; i++)
		session->out[i] = status.out[i];
	session->status = status.status;
	session->step = OUTPUT;
	if (status.truncated)
		refuse(session, END_STATUS_COMMAND,
			"the command said more than qemu-guest-agent keeps, and some of it is lost; its status was %u",
			status.status);
}

/* Nobody waits for it. */
static void leave(struct qemu_session *session)
{
	session->left = true;
	if (session->step == RUN) {
		session->signal = HANGUP;
		session->kill = clock_now() + KILL_NS;
	} else if (session->step == INPUT || (session->step == START && session->words)) {
		session->step = OUTPUT;
	}
}

static void begun(struct qemu_session *session, int64_t pid)
{
	session->step = RUN;
	session->pid = pid;
	if (session->left)
		leave(session);
	session->pause = FIRST_LOOK_NS;
	session->look = clock_now() + session->pause;
}

static void synchronized(struct qemu_agent *qemu)
{
	qemu->ready = true;
	tell_number(qemu, 0, AGENT_HELLO, 0, AGENT_VERSION);
	tell(qemu, 0, AGENT_READY, 0, NULL, 0);
}

static void take_answer(struct qemu_agent *qemu, const json_t *answer)
{
	const json_t *value = json_object_get(answer, "return");
	const json_t *error = json_object_get(answer, "error");
	struct qemu_session *session = qemu->about;
	const enum question asked = qemu->asked;

	if (asked == SYNC && (!json_is_integer(value) || json_integer_value(value) != qemu->sync))
		return; /* of a question before */
	qemu->asked = NOTHING;
	qemu->about = NULL;
	if (asked == SYNC) {
		synchronized(qemu);
	} else if (asked == SIGNAL) {
		qemu->signalled = json_get_number(value, "pid");
	} else if (!session || (asked != EXEC && asked != STATUS)) {
		return;
	} else if (error) {
		refuse(session, asked == EXEC ? AGENT_STATUS_NOT_RUN : END_STATUS_COMMAND,
			"the guest's qemu-guest-agent: %s", json_get_text(error, "desc"));
	} else if (asked == STATUS) {
		take_status(session, value);
	} else if (json_get_number(value, "pid") > 0) {
		begun(session, json_get_number(value, "pid"));
	} else {
		refuse(session, END_STATUS_COMMAND,
			"the guest's qemu-guest-agent does not say what it has started");
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
	if (answer)
		take_answer(qemu, answer);
	else if (qemu->ready)
		lose(qemu, "the guest's qemu-guest-agent says what is no answer");
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

	if (!open)
		lose(qemu, NULL);
	qemu->open = open;
	qemu->sync = 0; /* nothing is on the way */
	loop_post(qemu->loop, &qemu->work);
}

static void flooded(void *ctx)
{
	struct qemu_agent *qemu = ctx;

	qemu->open = false;
	lose(qemu, "the guest's qemu-guest-agent sends more than there is room for");
}

/* From the owner: nothing is told before the loop runs. */

static struct qemu_session *find(struct qemu_agent *qemu, unsigned number)
{
	for (unsigned i = 0; i < AGENT_SESSIONS; i++)
		if (qemu->session[i].step != FREE && qemu->session[i].number == number)
			return &qemu->session[i];
	return NULL;
}

static int open_session(struct qemu_agent *qemu, unsigned number, const char *payload, size_t size)
{
	struct qemu_session *session = qemu->session;
	struct error err = {""};
	struct agent_open what;
	const char **words;

	while (session->step != FREE)
		if (++session == qemu->session + AGENT_SESSIONS)
			return -ENOBUFS;
	if (!agent_open_read(payload, size, &what, &words))
		return -EINVAL;
	*session = (struct qemu_session){.step = what.terminal ? START : INPUT,
		.number = number,
		.terminal = what.terminal};
	session->room[AGENT_STDOUT] = session->room[AGENT_STDERR] = AGENT_WINDOW;
	if (what.what != AGENT_COMMAND)
		refuse(session, END_STATUS_COMMAND,
			"qemu-guest-agent has neither shells nor copies of files: with agent = 1 the guest gets an agent that has");
	else if (qemu_words_exec(&what, &session->words, &err))
		refuse(session, AGENT_STATUS_NOT_RUN, "%s", err.text);
	free(words);
	return 0;
}

static void take_input(struct qemu_session *session, const void *bytes, size_t size)
{
	if (session->step != INPUT)
		return;
	session->credit += size;
	if (!bytes_add(&session->input, bytes, size, QEMU_AGENT_INPUT))
		refuse(session, END_STATUS_COMMAND,
			"qemu-guest-agent takes no more than %u bytes of input", QEMU_AGENT_INPUT);
}

static void end_input(struct qemu_session *session)
{
	if (session->step != INPUT)
		return;
	session->step = START;
	if (qemu_words_input(session->words, &session->input))
		refuse(session, END_STATUS_COMMAND, "out of memory");
}

static int take_frame(struct agent *agent, const struct agent_header *header, const void *payload)
{
	struct qemu_agent *qemu = container_of(agent, struct qemu_agent, agent);
	struct qemu_session *session = header->session ? find(qemu, header->session) : NULL;
	uint32_t number = 0;

	if (header->length >= sizeof number)
		memcpy(&number, payload, sizeof number);
	loop_post(qemu->loop, &qemu->work);
	if (header->type == AGENT_OPEN)
		return qemu->ready ? open_session(qemu, header->session, payload, header->length)
				   : -ENOBUFS;
	if (!session)
		return 0;
	switch (header->type) {
	case AGENT_DATA:
		take_input(session, payload, header->length);
		break;
	case AGENT_EOF:
		end_input(session);
		break;
	case AGENT_CREDIT:
		session->room[header->stream] += number;
		break;
	case AGENT_SIGNAL:
		session->signal = number & 127;
		break;
	case AGENT_CLOSE:
		leave(session);
		break;
	}
	return 0;
}

int qemu_agent_shutdown(struct agent *agent)
{
	struct qemu_agent *qemu = container_of(agent, struct qemu_agent, agent);

	if (!qemu->ready)
		return -ENOTCONN;
	qemu->shutdown = true;
	loop_post(qemu->loop, &qemu->work);
	return 0;
}

/* Life */

static void destroy(struct agent *agent)
{
	struct qemu_agent *qemu = container_of(agent, struct qemu_agent, agent);

	agent_port_destroy(qemu->port);
	loop_unpost(qemu->loop, &qemu->work);
	loop_timer_cancel(&qemu->timer);
	free_all(qemu);
	free(qemu);
}

int qemu_agent_create(struct pci_bus *bus, struct memory *memory, struct loop *loop,
	const struct agent_owner *owner, struct agent **out, struct error *err)
{
	static const struct agent_kind kind = {take_frame, destroy};
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
	qemu->agent.kind = &kind;
	qemu->owner = *owner;
	qemu->loop = loop;
	qemu->work = (struct loop_work){.run = run, .ctx = qemu};
	loop_timer_init(&qemu->timer, loop, run, qemu);
	r = agent_port_create(bus, memory, loop, &port, &qemu->port, err);
	if (r) {
		free(qemu);
		return r;
	}
	*out = &qemu->agent;
	return 0;
}
