/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/agent_port.h"

#include <errno.h>
#include <stdlib.h>

#include "base/thread.h"
#include "virtio/port.h"

struct agent_port {
	struct agent_port_owner owner;
	struct loop *loop;
	struct loop_work arrived, send_more;
	struct virtio_port *device;
	/* The loop's thread: */
	struct bytes out;
	struct bytes taken; /* what came, taken over */
	bool mute;

	struct mutex lock;
	struct bytes in GUARDED_BY(lock);
	bool closed GUARDED_BY(lock); /* the port was, before what is in in */
	bool opened GUARDED_BY(lock); /* and was opened then */
	bool flood GUARDED_BY(lock);  /* more came than may be on the way */
};

/* From the guest */

static void output(void *ctx, const uint8_t *data, size_t len)
{
	struct agent_port *port = ctx;

	mutex_lock(&port->lock);
	if (!port->flood && !bytes_add(&port->in, data, len, port->owner.in_max))
		port->flood = true;
	mutex_unlock(&port->lock);
	loop_post(port->loop, &port->arrived);
}

static void opened(void *ctx, bool open)
{
	struct agent_port *port = ctx;

	mutex_lock(&port->lock);
	bytes_free(&port->in);
	port->flood = false;
	port->closed |= !open;
	port->opened = open;
	mutex_unlock(&port->lock);
	loop_post(port->loop, &port->arrived);
}

static void arrived(void *ctx)
{
	struct agent_port *port = ctx;
	bool closed, begins, flood, good;
	struct bytes in;

	mutex_lock(&port->lock);
	in = port->in;
	port->in = (struct bytes){NULL, 0, 0, 0};
	closed = port->closed;
	begins = port->opened;
	flood = port->flood;
	port->closed = port->opened = port->flood = false;
	mutex_unlock(&port->lock);
	if (closed) {
		bytes_free(&port->taken);
		bytes_free(&port->out);
		port->mute = false;
		port->owner.opened(port->owner.ctx, false);
	}
	if (begins)
		port->owner.opened(port->owner.ctx, true);
	good = !in.end ||
		bytes_add(&port->taken, in.at + in.start, in.end - in.start, port->owner.in_max);
	bytes_free(&in);
	if (!port->mute && (flood || !good)) {
		agent_port_mute(port);
		port->owner.flooded(port->owner.ctx);
	}
	if (port->mute)
		bytes_free(&port->taken);
	else
		port->owner.arrived(port->owner.ctx, &port->taken);
}

void agent_port_mute(struct agent_port *port)
{
	port->mute = true;
	bytes_free(&port->out);
}

/* To it */

static void send_more(void *ctx)
{
	struct agent_port *port = ctx;
	struct bytes *out = &port->out;

	if (out->end > out->start)
		bytes_drop(out,
			virtio_port_input(port->device, out->at + out->start, bytes_size(out)));
}

static void room(void *ctx)
{
	struct agent_port *port = ctx;

	loop_post(port->loop, &port->send_more);
}

int agent_port_reserve(const struct agent_port *port, size_t size)
{
	return port->mute || bytes_size(&port->out) + size > port->owner.out_max ? -ENOBUFS : 0;
}

int agent_port_send(struct agent_port *port, const void *bytes, size_t size)
{
	if (agent_port_reserve(port, size) ||
		!bytes_add(&port->out, bytes, size, port->owner.out_max))
		return -ENOBUFS;
	send_more(port);
	return 0;
}

/* Life */

int agent_port_create(struct pci_bus *bus, struct memory *memory, struct loop *loop,
	const struct agent_port_owner *owner, struct agent_port **out, struct error *err)
{
	struct agent_port *port = calloc(1, sizeof *port);
	const struct virtio_port_owner device = {.ctx = port,
		.name = owner->name,
		.stays = owner->stays,
		.output = output,
		.room = room,
		.opened = opened};
	int r;

	if (!port)
		return error_nomem(err);
	port->owner = *owner;
	port->loop = loop;
	port->arrived = (struct loop_work){.run = arrived, .ctx = port};
	port->send_more = (struct loop_work){.run = send_more, .ctx = port};
	mutex_init(&port->lock);
	r = virtio_port_create(bus, memory, &device, &port->device, err);
	if (r) {
		agent_port_destroy(port);
		return r;
	}
	*out = port;
	return 0;
}

void agent_port_destroy(struct agent_port *port)
{
	if (!port)
		return;
	virtio_port_destroy(port->device);
	loop_unpost(port->loop, &port->arrived);
	loop_unpost(port->loop, &port->send_more);
	bytes_free(&port->in);
	bytes_free(&port->taken);
	bytes_free(&port->out);
	mutex_destroy(&port->lock);
	free(port);
}
