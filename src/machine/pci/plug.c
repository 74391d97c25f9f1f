/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/pci/plug.h"

#include "base/thread.h"
#include "state/state.h"

struct plug {
	struct board *board;
	struct mutex lock;     /* all that follows */
	uint32_t came, leaves; /* a bit for each slot */
	bool line;
};

static void update_line(struct plug *plug) REQUIRES(plug->lock)
{
	const bool line = plug->came || plug->leaves;

	if (line != plug->line)
		board_irq(plug->board, PLUG_IRQ, line);
	plug->line = line;
}

/* A device that goes is not one that came, and the other way round. */
static void set(struct plug *plug, uint32_t came, uint32_t leaves, uint32_t neither)
{
	mutex_lock(&plug->lock);
	plug->came = (plug->came & ~(leaves | neither)) | came;
	plug->leaves = (plug->leaves & ~(came | neither)) | leaves;
	update_line(plug);
	mutex_unlock(&plug->lock);
}

void plug_came(struct plug *plug, unsigned slot)
{
	set(plug, 1u << slot, 0, 0);
}

void plug_leaves(struct plug *plug, unsigned slot)
{
	set(plug, 0, 1u << slot, 0);
}

void plug_stays(struct plug *plug, unsigned slot)
{
	set(plug, 0, 0, 1u << slot);
}

static uint64_t ports_read(void *ctx, uint64_t offset, unsigned size)
{
	struct plug *plug = ctx;
	uint32_t value = 0;

	mutex_assert_held(&plug->lock);
	if (offset == PLUG_CAME) {
		value = plug->came;
		plug->came = 0;
	} else if (offset == PLUG_LEAVES) {
		value = plug->leaves;
		plug->leaves = 0;
	}
	update_line(plug);
	return value;
}

static void ports_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct plug *plug = ctx;
	const struct board_owner *owner = plug->board->owner;

	mutex_assert_held(&plug->lock);
	if (offset == PLUG_EJECT && value && owner->ejected)
		owner->ejected(plug->board->ctx, (uint32_t)value);
}

static const struct bus_ops ports_ops = {ports_read, ports_write, 4, true};

static void plug_reset(void *device)
{
	set(device, 0, 0, UINT32_MAX);
}

/* What few guests have: a state without it is as after a reset. */
static void plug_describe(void *device, struct state *s)
{
	struct plug *plug = device;

	if (state_loading(s) && !state_next_is(s, "pci-plug"))
		return;
	mutex_lock(&plug->lock);
	if (state_loading(s) || plug->line) {
		state_begin(s, "pci-plug", 0, 1);
		state_u32(s, "came", &plug->came);
		state_u32(s, "leaves", &plug->leaves);
		state_end(s);
		/* The line itself is in the I/O APIC's section. */
		plug->line = plug->came || plug->leaves;
	}
	mutex_unlock(&plug->lock);
}

static int plug_init(void *device, struct board *board, struct error *err)
{
	struct plug *plug = device;

	mutex_init(&plug->lock);
	plug->board = board;
	return bus_map(&board->io, PLUG_PORTS, PLUG_SIZE, &ports_ops, plug, &plug->lock);
}

static void plug_destroy(void *device)
{
	struct plug *plug = device;

	mutex_destroy(&plug->lock);
}

const struct board_device plug_device = {
	.name = "PCI hot-plug",
	.size = sizeof(struct plug),
	.init = plug_init,
	.reset = plug_reset,
	.destroy = plug_destroy,
	.describe = plug_describe,
};
