/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/agent_port.h"

/* All that may be on the way, by the rules of the frames; and some for small ones. */
#define IN_MAX (AGENT_SESSIONS * 2 * AGENT_WINDOW + (1u << 20))
#define OUT_MAX (AGENT_SESSIONS * AGENT_WINDOW + 2 * AGENT_OPEN_MAX)

struct agent {
	struct agent_owner owner;
	struct agent_port *port;
	bool deaf; /* it broke a rule */
};

static void hear_no_more(struct agent *agent, const char *why)
{
	agent->deaf = true;
	agent_port_mute(agent->port);
	agent->owner.gone(agent->owner.ctx, why);
}

static void arrived(void *ctx, struct bytes *in)
{
	struct agent *agent = ctx;
	struct agent_header header;

	while (!agent->deaf && bytes_size(in) >= sizeof header) {
		const uint8_t *at = in->at + in->start;

		memcpy(&header, at, sizeof header);
		if (!agent_header_valid(&header, false)) {
			hear_no_more(agent, "the guest's agent breaks the rules");
			return;
		}
		if (bytes_size(in) - sizeof header < header.length)
			return;
		agent->owner.frame(agent->owner.ctx, &header, (const char *)at + sizeof header);
		bytes_drop(in, sizeof header + header.length);
	}
}

static void opened(void *ctx, bool open)
{
	struct agent *agent = ctx;

	agent->deaf = false;
	if (!open)
		agent->owner.gone(agent->owner.ctx, NULL);
}

static void flooded(void *ctx)
{
	hear_no_more(ctx, "the guest's agent sends more than there is room for");
}

int agent_create(struct pci_bus *bus, struct memory *memory, struct loop *loop,
	const struct agent_owner *owner, struct agent **out, struct error *err)
{
	struct agent *agent = calloc(1, sizeof *agent);
	const struct agent_port_owner port = {.ctx = agent,
		.name = AGENT_PORT,
		.in_max = IN_MAX,
		.out_max = OUT_MAX,
		.arrived = arrived,
		.opened = opened,
		.flooded = flooded};
	int r;

	if (!agent)
		return error_nomem(err);
	agent->owner = *owner;
	r = agent_port_create(bus, memory, loop, &port, &agent->port, err);
	if (r) {
		free(agent);
		return r;
	}
	*out = agent;
	return 0;
}

void agent_destroy(struct agent *agent)
{
	if (!agent)
		return;
	agent_port_destroy(agent->port);
	free(agent);
}

int agent_send(struct agent *agent, unsigned session, enum agent_frame_type type, unsigned stream,
	const void *payload, size_t size)
{
	const struct agent_header header = {size, session, type, stream};
	int r = agent_port_reserve(agent->port, sizeof header + size);

	if (!r)
		r = agent_port_send(agent->port, &header, sizeof header);
	if (!r && size)
		r = agent_port_send(agent->port, payload, size);
	return r;
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
