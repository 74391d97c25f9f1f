/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "virtio/port.h"
#include "vmm/bytes.h"

/* All that may be on the way, by the rules of the frames; and some for small ones. */
#define IN_MAX (AGENT_SESSIONS * 2 * AGENT_WINDOW + (1u << 20))
#define OUT_MAX (AGENT_SESSIONS * AGENT_WINDOW + 2 * AGENT_OPEN_MAX)

struct agent {
	struct agent_owner owner;
	struct loop *loop;
	struct loop_work arrived, send_more;
	struct virtio_port *port;
	struct bytes out;    /* the loop's thread */
	struct bytes parsed; /* likewise: what came, taken over */
	bool deaf; /* likewise: the agent broke a rule, and is heard no more until it opens the port anew */

	struct mutex lock;
	struct bytes in GUARDED_BY(lock);
	bool closed GUARDED_BY(lock); /* the port was, before what is in in */
	bool flood GUARDED_BY(lock);  /* more came than may be on the way */
};

/* From the guest */

static void output(void *ctx, const uint8_t *data, size_t len)
{
	struct agent *agent = ctx;

	mutex_lock(&agent->lock);
	if (!agent->flood && !bytes_add(&agent->in, data, len, IN_MAX))
		agent->flood = true;
	mutex_unlock(&agent->lock);
	loop_post(agent->loop, &agent->arrived);
}

static void opened(void *ctx, bool open)
{
	struct agent *agent = ctx;

	if (open)
		return;
	mutex_lock(&agent->lock);
	bytes_free(&agent->in);
	agent->closed = true;
	agent->flood = false;
	mutex_unlock(&agent->lock);
	loop_post(agent->loop, &agent->arrived);
}

/* The agent is not to be understood: nothing it says counts any more. */
static void hear_no_more(struct agent *agent, const char *why)
{
	agent->deaf = true;
	bytes_free(&agent->parsed);
	bytes_free(&agent->out);
	agent->owner.gone(agent->owner.ctx, why);
}

static void take_frames(struct agent *agent)
{
	struct bytes *bytes = &agent->parsed;
	struct agent_header header;

	while (!agent->deaf && bytes->end - bytes->start >= sizeof header) {
		const uint8_t *at = bytes->at + bytes->start;

		memcpy(&header, at, sizeof header);
		if (!agent_header_valid(&header, false)) {
			hear_no_more(agent, "the guest's agent breaks the rules");
			return;
		}
		if (bytes->end - bytes->start - sizeof header < header.length)
			return;
		agent->owner.frame(agent->owner.ctx, &header, (const char *)at + sizeof header);
		bytes_drop(bytes, sizeof header + header.length);
	}
}

static void arrived(void *ctx)
{
	struct agent *agent = ctx;
	struct bytes in;
	bool closed, flood, good;

	mutex_lock(&agent->lock);
	in = agent->in;
	agent->in = (struct bytes){NULL, 0, 0, 0};
	closed = agent->closed;
	flood = agent->flood;
	agent->closed = agent->flood = false;
	mutex_unlock(&agent->lock);
	if (closed) {
		bytes_free(&agent->parsed);
		bytes_free(&agent->out);
		agent->deaf = false;
		agent->owner.gone(agent->owner.ctx, NULL);
	}
	/* One frame is what may be left over from before. */
	good = !in.end || bytes_add(&agent->parsed, in.at + in.start, in.end - in.start, IN_MAX);
	bytes_free(&in);
	if (agent->deaf)
		bytes_free(&agent->parsed);
	else if (flood || !good)
		hear_no_more(agent, "the guest's agent sends more than there is room for");
	else
		take_frames(agent);
}

/* To it */

static void send_more(void *ctx)
{
	struct agent *agent = ctx;
	struct bytes *out = &agent->out;

	if (out->end > out->start)
		bytes_drop(out,
			virtio_port_input(agent->port, out->at + out->start,
				out->end - out->start));
}

static void room(void *ctx)
{
	struct agent *agent = ctx;

	loop_post(agent->loop, &agent->send_more);
}

int agent_send(struct agent *agent, unsigned session, enum agent_frame_type type, unsigned stream,
	const void *payload, size_t size)
{
	const struct agent_header header = {size, session, type, stream};

	if (agent->deaf || agent->out.end - agent->out.start + sizeof header + size > OUT_MAX ||
		!bytes_add(&agent->out, &header, sizeof header, OUT_MAX) ||
		(size && !bytes_add(&agent->out, payload, size, OUT_MAX)))
		return -ENOBUFS;
	send_more(agent);
	return 0;
}

int agent_send_number(struct agent *agent, unsigned session, enum agent_frame_type type,
	unsigned stream, uint32_t number)
{
	return agent_send(agent, session, type, stream, &number, sizeof number);
}

/* Life */

int agent_create(struct pci_bus *bus, struct memory *memory, struct loop *loop,
	const struct agent_owner *owner, struct agent **out, struct error *err)
{
	struct agent *agent = calloc(1, sizeof *agent);
	const struct virtio_port_owner port = {agent, AGENT_PORT, output, room, opened};
	int r;

	if (!agent)
		return error_nomem(err);
	agent->owner = *owner;
	agent->loop = loop;
	agent->arrived = (struct loop_work){.run = arrived, .ctx = agent};
	agent->send_more = (struct loop_work){.run = send_more, .ctx = agent};
	mutex_init(&agent->lock);
	r = virtio_port_create(bus, memory, &port, &agent->port, err);
	if (r) {
		agent_destroy(agent);
		return r;
	}
	*out = agent;
	return 0;
}

void agent_destroy(struct agent *agent)
{
	if (!agent)
		return;
	virtio_port_destroy(agent->port);
	loop_unpost(agent->loop, &agent->arrived);
	loop_unpost(agent->loop, &agent->send_more);
	bytes_free(&agent->in);
	bytes_free(&agent->parsed);
	bytes_free(&agent->out);
	mutex_destroy(&agent->lock);
	free(agent);
}
