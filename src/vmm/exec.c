/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/exec.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/end.h"
#include "vmm/agent.h"
#include "vmm/bytes.h"
#include "vmm/qemu_agent.h"

#define CALLER 1u /* the session's number on a caller's connection */
#define PATIENCE_NS 60000000000ull
#define IN_MAX (sizeof(struct agent_header) + AGENT_OPEN_MAX)
/* Both streams as far as there is room, and small frames. */
#define OUT_MAX (2 * AGENT_WINDOW + (1u << 20))
#define READ_SIZE (64u << 10)

/* A command, from its caller's connection to its end. */
struct exec_peer {
	struct exec *exec;
	struct exec_peer *next;
	struct loop_fd watch; /* fd -1: the caller has gone */
	struct loop_timer late;
	unsigned session; /* the agent's number; 0: it does not run yet */
	bool over;        /* nothing more is to come but what is in out */
	bool told_end[AGENT_STREAMS];
	struct bytes in, out;
	struct bytes open;                /* what is to run, while it waits */
	uint32_t in_room;                 /* the command takes so much input */
	uint32_t out_room[AGENT_STREAMS]; /* and may send so much */
};

struct exec {
	struct loop *loop;
	struct agent *agent;
	struct qemu_agent *qemu; /* NULL: ours is started with the guest */
	struct exec_peer *peer;
	unsigned peers;
	uint16_t last_session;
	bool there, ready; /* the agent, and the guest's system */
	uint32_t version;  /* that it speaks */
	struct exec_config config;
};

static void peer_free(struct exec_peer *peer)
{
	struct exec *exec = peer->exec;
	struct exec_peer **at = &exec->peer;

	while (*at != peer)
		at = &(*at)->next;
	*at = peer->next;
	exec->peers--;
	loop_timer_cancel(&peer->late);
	if (peer->watch.fd >= 0) {
		loop_fd_remove(exec->loop, &peer->watch);
		close(peer->watch.fd);
	}
	bytes_free(&peer->in);
	bytes_free(&peer->out);
	bytes_free(&peer->open);
	free(peer);
}

/* To the caller */

/* The caller has gone: the command is hung up on, and stays known until it has ended. */
static void peer_leave(struct exec_peer *peer)
{
	struct exec *exec = peer->exec;

	if (peer->over || !peer->session) {
		peer_free(peer);
		return;
	}
	loop_fd_remove(exec->loop, &peer->watch);
	close(peer->watch.fd);
	peer->watch.fd = -1;
	bytes_free(&peer->in);
	bytes_free(&peer->out);
	agent_send(exec->agent, peer->session, AGENT_CLOSE, 0, NULL, 0);
}

/* What it waits for. While it is not read, its end is still noticed. */
static void watch(struct exec_peer *peer)
{
	peer->watch.events = (bytes_size(&peer->open) ? POLLRDHUP : POLLIN) |
		(bytes_size(&peer->out) ? POLLOUT : 0);
}

/* Who has gone is noticed by the loop. */
static void flush(struct exec_peer *peer)
{
	while (bytes_size(&peer->out)) {
		ssize_t n = write(peer->watch.fd, peer->out.at + peer->out.start,
			bytes_size(&peer->out));

		if (n > 0) {
			bytes_drop(&peer->out, (size_t)n);
		} else if (n < 0 && errno == EAGAIN) {
			break;
		} else if (n == 0 || errno != EINTR) {
			bytes_free(&peer->out);
			shutdown(peer->watch.fd, SHUT_RDWR);
		}
	}
	/* The caller closes when he has read it all. */
	if (peer->over && !bytes_size(&peer->out))
		shutdown(peer->watch.fd, SHUT_WR);
	watch(peer);
}

/* A frame for the caller; one who does not read is sent away. */
static void tell(struct exec_peer *peer, enum agent_frame_type type, unsigned stream,
	const void *payload, size_t size)
{
	const struct agent_header header = {size, CALLER, type, stream};

	if (peer->watch.fd < 0)
		return;
	if (bytes_add(&peer->out, &header, sizeof header, OUT_MAX) &&
		bytes_add(&peer->out, payload, size, OUT_MAX)) {
		flush(peer);
	} else {
		bytes_free(&peer->out);
		shutdown(peer->watch.fd, SHUT_RDWR);
	}
}

/* Its last frame; the peer is gone, or goes when the caller has read it. */
static void finish(struct exec_peer *peer, enum agent_frame_type type, const void *payload,
	size_t size)
{
	peer->session = 0;
	peer->over = true;
	loop_timer_cancel(&peer->late);
	bytes_free(&peer->open);
	if (peer->watch.fd < 0)
		peer_free(peer);
	else
		tell(peer, type, 0, payload, size);
}

__attribute__((format(printf, 2, 3))) static void fail(struct exec_peer *peer, const char *fmt, ...)
{
	struct {
		uint32_t status;
		char text[512];
	} payload = {END_STATUS_COMMAND, ""};
	va_list args;

	va_start(args, fmt);
	vsnprintf(payload.text, sizeof payload.text, fmt, args);
	va_end(args);
	finish(peer, AGENT_FAILED, &payload, sizeof payload.status + strlen(payload.text));
}

/* The same of a command that runs. */
static void stop(struct exec_peer *peer, const char *why)
{
	if (peer->session)
		agent_send(peer->exec->agent, peer->session, AGENT_CLOSE, 0, NULL, 0);
	fail(peer, "%s", why);
}

static void late(void *ctx)
{
	struct exec_peer *peer = ctx;
	const struct qemu_agent *qemu = peer->exec->qemu;

	fail(peer, "%s",
		peer->exec->there ? "the guest's agent is there, but its system has not come up"
			: qemu && !qemu_agent_ready(qemu)
			? "the guest's qemu-guest-agent has not come up; is the package installed there?"
			: "no agent has come up in the guest; is it Linux with a driver for virtio consoles?");
}

/* From the caller */

static struct exec_peer *find(struct exec *exec, unsigned session)
{
	struct exec_peer *peer = exec->peer;

	while (peer && (!session || peer->session != session))
		peer = peer->next;
	return peer;
}

/* The agent is ready. */
static void begin(struct exec_peer *peer)
{
	struct exec *exec = peer->exec;

	do
		exec->last_session++;
	while (!exec->last_session || find(exec, exec->last_session));
	loop_timer_cancel(&peer->late);
	if (exec->version != AGENT_VERSION) {
		fail(peer,
			"the guest's agent is another version's: it gets the new one at its next start");
		return;
	}
	if (agent_send(exec->agent, exec->last_session, AGENT_OPEN, 0,
		    peer->open.at + peer->open.start, bytes_size(&peer->open))) {
		fail(peer, "the guest takes no more commands for now");
		return;
	}
	peer->session = exec->last_session;
	bytes_free(&peer->open);
	peer->in_room = AGENT_WINDOW;
	peer->out_room[AGENT_STDOUT] = peer->out_room[AGENT_STDERR] = AGENT_WINDOW;
	tell(peer, AGENT_READY, 0, NULL, 0);
}

/* false: it breaks a rule. */
static bool take_open(struct exec_peer *peer, const char *payload, size_t size)
{
	struct agent_open what;
	const char **words;
	bool good = agent_open_read(payload, size, &what, &words);

	free(words);
	if (!good || peer->session || peer->over)
		return false;
	if (!bytes_add(&peer->open, payload, size, AGENT_OPEN_MAX))
		return false;
	if (peer->exec->ready) {
		begin(peer);
		return true;
	}
	loop_timer_arm(&peer->late, clock_now() + PATIENCE_NS);
	if (peer->exec->qemu && !peer->exec->there)
		qemu_agent_bring(peer->exec->qemu);
	return true;
}

static uint32_t number_of(const char *payload)
{
	uint32_t number;

	memcpy(&number, payload, sizeof number);
	return number;
}

/* false: it breaks a rule. */
static bool take_frame(struct exec_peer *peer, const struct agent_header *header,
	const char *payload)
{
	uint32_t *room = &peer->out_room[header->stream];

	if (header->session != CALLER)
		return false;
	if (header->type == AGENT_OPEN)
		return take_open(peer, payload, header->length);
	if (!peer->session)
		return false;
	if (header->type == AGENT_DATA) {
		if (header->length > peer->in_room)
			return false;
		peer->in_room -= header->length;
	} else if (header->type == AGENT_CREDIT) {
		if (number_of(payload) > AGENT_WINDOW - *room)
			return false;
		*room += number_of(payload);
	}
	return !agent_send(peer->exec->agent, peer->session, header->type, header->stream, payload,
		header->length);
}

/* false: it breaks a rule. */
static bool take_frames(struct exec_peer *peer)
{
	struct bytes *in = &peer->in;
	struct agent_header header;

	while (!peer->over && !bytes_size(&peer->open) && bytes_size(in) >= sizeof header) {
		const uint8_t *at = in->at + in->start;

		memcpy(&header, at, sizeof header);
		if (!agent_header_valid(&header, true))
			return false;
		if (bytes_size(in) - sizeof header < header.length)
			break;
		if (!take_frame(peer, &header, (const char *)at + sizeof header))
			return false;
		bytes_drop(in, sizeof header + header.length);
	}
	return true;
}

static void peer_ready(void *ctx, short revents)
{
	struct exec_peer *peer = ctx;
	uint8_t bytes[READ_SIZE];
	ssize_t n;

	if (revents & POLLOUT)
		flush(peer);
	if (!(revents & ~POLLOUT))
		return;
	/* One that waits has nothing more to say. */
	if (bytes_size(&peer->open)) {
		peer_leave(peer);
		return;
	}
	n = read(peer->watch.fd, bytes, sizeof bytes);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0 && peer->over)
		return; /* nobody wants it */
	if (n <= 0 || !bytes_add(&peer->in, bytes, n, IN_MAX + READ_SIZE) || !take_frames(peer))
		peer_leave(peer);
	else
		watch(peer);
}

int exec_take(struct exec *exec, int fd, struct error *err)
{
	struct exec_peer *peer = NULL;
	int r = 0;

	if (fd < 0)
		return error_set(err, EBADF, "exec: no socket came with the request");
	if (!exec)
		r = error_set(err, ENOTSUP,
			"the guest has no agent: with agent = 1 in its configuration it gets one at its next start");
	else if (exec->peers >= AGENT_SESSIONS)
		r = error_set(err, EBUSY, "%u commands run in the guest, and that is the most",
			AGENT_SESSIONS);
	else if (!(peer = calloc(1, sizeof *peer)))
		r = error_nomem(err);
	if (r) {
		close(fd);
		return r;
	}
	peer->exec = exec;
	peer->watch =
		(struct loop_fd){.fd = fd, .events = POLLIN, .ready = peer_ready, .ctx = peer};
	loop_timer_init(&peer->late, exec->loop, late, peer);
	peer->next = exec->peer;
	exec->peer = peer;
	exec->peers++;
	loop_fd_add(exec->loop, &peer->watch);
	return 0;
}

/* From the agent */

static void take_output(struct exec_peer *peer, const struct agent_header *header,
	const char *payload)
{
	uint32_t *room = &peer->out_room[header->stream];

	if (header->length > *room) {
		stop(peer, "the guest's agent sends more than there is room for");
		return;
	}
	*room -= header->length;
	tell(peer, AGENT_DATA, header->stream, payload, header->length);
}

static void frame_of(struct exec_peer *peer, const struct agent_header *header, const char *payload)
{
	switch (header->type) {
	case AGENT_DATA:
		take_output(peer, header, payload);
		break;
	case AGENT_EOF:
		if (!peer->told_end[header->stream]) {
			peer->told_end[header->stream] = true;
			tell(peer, AGENT_EOF, header->stream, NULL, 0);
		}
		break;
	case AGENT_CREDIT:
		if (!number_of(payload) || number_of(payload) > AGENT_WINDOW - peer->in_room)
			break;
		peer->in_room += number_of(payload);
		tell(peer, AGENT_CREDIT, header->stream, payload, header->length);
		break;
	case AGENT_EXIT:
	case AGENT_FAILED:
		finish(peer, header->type, payload, header->length);
		break;
	}
}

/* Of each the first, until there is none: what is done may end others, too. */
static struct exec_peer *next_waiting(struct exec *exec)
{
	struct exec_peer *peer = exec->peer;

	while (peer && !bytes_size(&peer->open))
		peer = peer->next;
	return peer;
}

static struct exec_peer *next_running(struct exec *exec)
{
	struct exec_peer *peer = exec->peer;

	while (peer && !peer->session)
		peer = peer->next;
	return peer;
}

static void gone(void *ctx, const char *why)
{
	struct exec *exec = ctx;
	struct exec_peer *peer;

	exec->there = exec->ready = false;
	while ((peer = next_running(exec)))
		fail(peer, "%s", why ? why : "the guest's agent has ended before the command did");
}

static void not_brought(void *ctx, const char *why)
{
	struct exec *exec = ctx;
	struct exec_peer *peer;

	while (!exec->there && (peer = next_waiting(exec)))
		fail(peer, "%s", why);
}

/* Those who waited go on, with what they have sent meanwhile. */
static void begin_all(struct exec *exec)
{
	struct exec_peer *peer;

	exec->ready = true;
	while ((peer = next_waiting(exec))) {
		begin(peer);
		if (!peer->session)
			continue;
		if (take_frames(peer))
			watch(peer);
		else
			peer_leave(peer);
	}
}

static void frame(void *ctx, const struct agent_header *header, const char *payload)
{
	struct exec *exec = ctx;
	struct exec_peer *peer = find(exec, header->session);

	if (peer) {
		frame_of(peer, header, payload);
	} else if (!header->session && header->type == AGENT_HELLO) {
		gone(exec, NULL);
		exec->there = true;
		exec->version = number_of(payload);
		agent_send_mounts(exec->agent, exec->config.share, exec->config.shares);
	} else if (!header->session && header->type == AGENT_READY && exec->there) {
		begin_all(exec);
	}
}

/* Life */

int exec_create(struct pci_bus *bus, struct memory *memory, struct loop *loop,
	const struct exec_config *config, struct exec **out, struct error *err)
{
	struct exec *exec = calloc(1, sizeof *exec);
	const struct agent_owner owner = {exec, frame, gone};
	const struct qemu_agent_owner qemu = {exec, not_brought};
	int r = 0;

	if (!exec)
		return error_nomem(err);
	exec->loop = loop;
	exec->config = *config;
	if (config->qemu)
		r = qemu_agent_create(bus, memory, loop, &qemu, config->program, &exec->qemu, err);
	if (!r)
		r = agent_create(bus, memory, loop, &owner, &exec->agent, err);
	if (r) {
		qemu_agent_destroy(exec->qemu);
		free(exec);
		return r;
	}
	*out = exec;
	return 0;
}

int exec_shutdown(struct exec *exec)
{
	return exec && exec->qemu && !qemu_agent_shutdown(exec->qemu) ? 0 : -ENOTSUP;
}

void exec_destroy(struct exec *exec)
{
	if (!exec)
		return;
	gone(exec, "the guest has ended before the command did");
	while (exec->peer)
		peer_free(exec->peer);
	agent_destroy(exec->agent);
	qemu_agent_destroy(exec->qemu);
	free(exec);
}
