/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "vmm/agent_port.h"

/* All that may be on the way, by the rules of the frames; and some for small ones. */
#define IN_MAX (AGENT_SESSIONS * 2 * AGENT_WINDOW + (1u << 20))
#define OUT_MAX (AGENT_SESSIONS * AGENT_WINDOW + 2 * AGENT_OPEN_MAX)

/* Ours, which speaks these frames itself. */
struct own_agent {
	struct agent agent;
	struct agent_owner owner;
	struct agent_port *port;
	bool deaf; /* it broke a rule */
};

static void hear_no_more(struct own_agent *own, const char *why)
{
	own->deaf = true;
	agent_port_mute(own->port);
	own->owner.gone(own->owner.ctx, why);
}

static void arrived(void *ctx, struct bytes *in)
{
	struct own_agent *own = ctx;
	struct agent_header header;

	while (!own->deaf && bytes_size(in) >= sizeof header) {
		const uint8_t *at = in->at + in->start;

		memcpy(&header, at, sizeof header);
		if (!agent_header_valid(&header, false)) {
			hear_no_more(own, "the guest's agent breaks the rules");
			return;
		}
		if (bytes_size(in) - sizeof header < header.length)
			return;
		own->owner.frame(own->owner.ctx, &header, (const char *)at + sizeof header);
		bytes_drop(in, sizeof header + header.length);
	}
}

static void opened(void *ctx, bool open)
{
	struct own_agent *own = ctx;

	own->deaf = false;
	if (!open)
		own->owner.gone(own->owner.ctx, NULL);
}

static void flooded(void *ctx)
{
	hear_no_more(ctx, "the guest's agent sends more than there is room for");
}

static int send_frame(struct agent *agent, const struct agent_header *header, const void *payload)
{
	struct own_agent *own = container_of(agent, struct own_agent, agent);
	int r = agent_port_reserve(own->port, sizeof *header + header->length);

	if (!r)
		r = agent_port_send(own->port, header, sizeof *header);
	if (!r && header->length)
		r = agent_port_send(own->port, payload, header->length);
	return r;
}

static void destroy(struct agent *agent)
{
	struct own_agent *own = container_of(agent, struct own_agent, agent);

	agent_port_destroy(own->port);
	free(own);
}

int agent_create(struct pci_bus *bus, struct memory *memory, struct loop *loop,
	const struct agent_owner *owner, struct agent **out, struct error *err)
{
	static const struct agent_kind kind = {send_frame, destroy};
	struct own_agent *own = calloc(1, sizeof *own);
	const struct agent_port_owner port = {.ctx = own,
		.name = AGENT_PORT,
		.in_max = IN_MAX,
		.out_max = OUT_MAX,
		.arrived = arrived,
		.opened = opened,
		.flooded = flooded};
	int r;

	if (!own)
		return error_nomem(err);
	own->agent.kind = &kind;
	own->owner = *owner;
	r = agent_port_create(bus, memory, loop, &port, &own->port, err);
	if (r) {
		free(own);
		return r;
	}
	*out = &own->agent;
	return 0;
}

/* Of any kind */

void agent_destroy(struct agent *agent)
{
	if (agent)
		agent->kind->destroy(agent);
}

int agent_send(struct agent *agent, unsigned session, enum agent_frame_type type, unsigned stream,
	const void *payload, size_t size)
{
	const struct agent_header header = {size, session, type, stream};

	return agent->kind->send(agent, &header, payload);
}

int agent_send_mounts(struct agent *agent, const struct share_spec *share, unsigned shares)
{
	int r = 0;

	for (unsigned i = 0; !r && i < shares; i++) {
		char tag[AGENT_TAG_MAX], *payload;
		size_t size;

		if (!share[i].path)
			continue;
		snprintf(tag, sizeof tag, SHARE_TAG, i);
		payload = agent_mount_write(&(struct agent_mount){.read_only = share[i].read_only,
						    .overlay = share[i].overlay,
						    .tag = tag,
						    .path = share[i].path},
			&size);
		r = payload ? agent_send(agent, 0, AGENT_MOUNT, 0, payload, size) : -EINVAL;
		free(payload);
	}
	return r;
}

int agent_send_number(struct agent *agent, unsigned session, enum agent_frame_type type,
	unsigned stream, uint32_t number)
{
	return agent_send(agent, session, type, stream, &number, sizeof number);
}
