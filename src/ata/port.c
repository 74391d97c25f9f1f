/* SPDX-License-Identifier: Apache-2.0 */
/* What drives and their commands have in common, whatever the controller: the beginning and end of a command. */
#include <errno.h>
#include <string.h>

#include "ata/internal.h"
#include "base/container.h"

#define DIAGNOSTIC_PASSED 1
#define TRACK_SECTORS 63
#define HEADS 16
#define DEVICE_RESET 0x08

void ata_port_init(struct ata_port *p, const struct ata_port_ops *ops, struct mutex *lock,
	pthread_cond_t *idle)
{
	p->ops = ops;
	p->lock = lock;
	p->idle = idle;
}

void ata_put_drive(struct ata_port *p, unsigned n, const struct ata_drive_config *config)
{
	struct ata_drive *d = &p->drive[n];

	d->port = p;
	d->image = config->image;
	d->cdrom = config->cdrom;
	d->there = d->image || d->cdrom;
	d->sectors = d->image ? block_size(d->image) / ATA_SECTOR : 0;
	strncpy(d->serial, config->serial ? config->serial : "", sizeof d->serial - 1);
}

/* The lock is held, and no request of the drive's under way. */
static void put_medium(struct ata_drive *d, struct block_device *image)
{
	d->image = image;
	d->sectors = image ? block_size(image) / ATA_SECTOR : 0;
	d->open = d->withdrawn = false;
	d->changed = image != NULL;
	d->event = image ? CD_NEW_MEDIUM : CD_MEDIUM_REMOVED;
}

void drive_insert(struct ata_drive *d, struct block_device *image)
{
	mutex_lock(d->port->lock);
	put_medium(d, image);
	mutex_unlock(d->port->lock);
}

void drive_withdraw(struct ata_drive *d, bool goes)
{
	mutex_lock(d->port->lock);
	d->withdrawn = goes;
	if (!goes) {
		d->changed = true;
		d->event = CD_NEW_MEDIUM;
	}
	mutex_unlock(d->port->lock);
}

int drive_remove(struct ata_drive *d)
{
	struct ata_port *p = d->port;
	bool busy;

	mutex_lock(p->lock);
	busy = p->active && ata_current(p) == d; /* not the other drive of the channel */
	if (!busy)
		put_medium(d, NULL);
	mutex_unlock(p->lock);
	return busy ? -EAGAIN : 0;
}

bool drive_lets_go(struct ata_drive *d)
{
	struct ata_port *p = d->port;
	bool lets_go;

	mutex_lock(p->lock);
	lets_go = !d->locked || d->open;
	mutex_unlock(p->lock);
	return lets_go;
}

void drive_press_button(struct ata_drive *d)
{
	struct ata_port *p = d->port;

	mutex_lock(p->lock);
	d->event = CD_EJECT_REQUEST;
	mutex_unlock(p->lock);
}

void ata_reset_drive(struct ata_drive *d)
{
	memset(d->feature, 0, sizeof d->feature);
	memset(d->count, 0, sizeof d->count);
	memset(d->low, 0, sizeof d->low);
	memset(d->mid, 0, sizeof d->mid);
	memset(d->high, 0, sizeof d->high);
	d->multiple = 0;
	d->locked = false;
	d->heads = HEADS;
	d->track = TRACK_SECTORS;
	d->sense = d->sense_code = d->sense_more = 0;
	d->error = DIAGNOSTIC_PASSED;
	d->status = d->there && !d->cdrom ? ATA_READY | ATA_SEEK_DONE : 0;
	if (d->there)
		disk_signature(d);
}

static void forget_command(struct ata_port *p)
{
	p->phase = ATA_IDLE;
	p->dma = p->writes = p->packet = false;
	p->left = 0;
}

void ata_reset(struct ata_port *p)
{
	forget_command(p);
	p->now = p->pos = p->end = p->filled = 0;
	p->select = p->current = 0;
	ata_reset_drive(&p->drive[0]);
	ata_reset_drive(&p->drive[1]);
}

void ata_wait(struct ata_port *p)
{
	mutex_assert_held(p->lock);
	while (p->active)
		mutex_wait(p->lock, p->idle);
}

void ata_command(struct ata_port *p, uint8_t command)
{
	struct ata_drive *d = ata_selected(p);

	if (d->cdrom && command == DEVICE_RESET) {
		p->phase = ATA_IDLE;
		p->left = 0;
		ata_reset_drive(d);
		return;
	}
	p->current = p->select & SELECT_SECOND ? 1 : 0;
	forget_command(p);
	d->error = 0;
	if (d->cdrom)
		atapi_command(p, command);
	else
		disk_command(p, command);
}

void ata_end(struct ata_port *p, uint8_t error)
{
	struct ata_drive *d = ata_current(p);

	p->phase = ATA_IDLE;
	p->left = 0;
	p->pos = p->end = p->filled = 0;
	d->error = error;
	d->status = ATA_READY | ATA_SEEK_DONE | (error ? ATA_FAILED : 0);
	p->ops->ended(p);
}

void ata_end_read(struct ata_port *p)
{
	if (ata_by_port(p))
		ata_current(p)->status = ATA_READY | ATA_SEEK_DONE;
	else
		ata_end(p, 0);
}

void ata_offer(struct ata_port *p)
{
	const bool heard = ata_by_port(p);

	p->ops->transfer(p);
	if (heard)
		p->ops->interrupt(p);
}

void ata_moved(struct ata_port *p)
{
	if (ata_current(p)->cdrom)
		atapi_moved(p);
	else
		disk_moved(p);
}

static void image_done(struct block_request *request, int result)
{
	struct ata_port *p = container_of(request, struct ata_port, request);

	mutex_lock(p->lock);
	p->active = false;
	if (ata_current(p)->cdrom)
		atapi_done(p, result);
	else
		disk_done(p, result);
	if (!p->active) {
		p->ops->idle(p);
		pthread_cond_broadcast(p->idle);
	}
	mutex_unlock(p->lock);
}

void ata_submit(struct ata_port *p, enum block_op op, uint64_t offset, uint32_t length)
{
	struct ata_drive *d = ata_current(p);
	const uint64_t size = d->sectors * ATA_SECTOR;

	/* A saved state may have said anything; and what the image refuses it refuses at once, with the lock held. */
	if (!d->image || offset > size || length > size - offset || length % ATA_SECTOR ||
		(op == BLOCK_WRITE && block_read_only(d->image))) {
		ata_end(p, ATA_ABORTED);
		return;
	}
	p->phase = ATA_IDLE;
	d->status = ATA_BUSY;
	p->iov = (struct iovec){p->buffer, length};
	/* On one of the image's own threads, since the lock is held here. */
	p->request = (struct block_request){.op = op,
		.background = true,
		.offset = offset,
		.length = length,
		.iov = &p->iov,
		.iov_count = length ? 1 : 0,
		.done = image_done};
	p->active = true;
	block_submit(d->image, &p->request);
}

void ata_describe_drive(struct ata_drive *d, unsigned n, struct state *s)
{
	uint8_t kind = !d->there ? 0 : d->cdrom ? 2 : 1, was = kind;
	uint64_t sectors = d->sectors;
	bool changed = d->changed || d->withdrawn; /* who goes on has what was to go, or not */

	state_group(s, "drive", n);
	state_u8(s, "kind", &kind);
	state_u64(s, "sectors", &sectors);
	state_bytes(s, "feature", d->feature, 2);
	state_bytes(s, "count", d->count, 2);
	state_bytes(s, "low", d->low, 2);
	state_bytes(s, "mid", d->mid, 2);
	state_bytes(s, "high", d->high, 2);
	state_u8(s, "status", &d->status);
	state_u8(s, "error", &d->error);
	state_u8(s, "multiple", &d->multiple);
	state_u8(s, "heads", &d->heads);
	state_u8(s, "track", &d->track);
	state_u8(s, "sense", &d->sense);
	state_u8(s, "sense_code", &d->sense_code);
	state_u8(s, "sense_more", &d->sense_more);
	if (state_optional(s, "uncached", d->write_through))
		state_bool(s, "write_through", &d->write_through);
	if (state_optional(s, "tray", d->locked || d->open || changed || d->event)) {
		state_bool(s, "locked", &d->locked);
		state_bool(s, "open", &d->open);
		state_bool(s, "changed", &changed);
		state_u8(s, "event", &d->event);
		state_require(s, d->event < CD_EVENTS, "news that no drive has");
		if (state_loading(s))
			d->changed = changed;
	}
	state_require(s, kind == was && sectors == d->sectors, "another drive than there is here");
	state_require(s, d->heads && d->heads <= HEADS && d->track, "a geometry that cannot be");
	state_require(s, d->multiple <= 16, "a block that is too long");
	state_group(s, NULL, 0);
}

/* The command under way is no write, or one to a disk that can be written. */
static bool may_write(const struct ata_port *p)
{
	const struct ata_drive *d = &p->drive[p->current < 2 ? p->current : 0];

	return !p->writes || !p->left ||
		(d->image && !d->cdrom && !block_read_only(d->image) &&
			p->filled % ATA_SECTOR == 0);
}

void ata_describe_command(struct ata_port *p, bool *waits, struct state *s)
{
	state_u8(s, "current", &p->current);
	state_u8(s, "phase", &p->phase);
	state_bool(s, "dma", &p->dma);
	state_bool(s, "writes", &p->writes);
	state_bool(s, "packet", &p->packet);
	state_bool(s, "waits", waits);
	state_u64(s, "at", &p->at);
	state_u32(s, "left", &p->left);
	state_u32(s, "now", &p->now);
	state_u32(s, "block", &p->block);
	state_u32(s, "pos", &p->pos);
	state_u32(s, "end", &p->end);
	state_u32(s, "filled", &p->filled);
	state_require(s, p->phase < ATA_PHASES && p->current < 2, "an unknown phase");
	state_require(s,
		p->filled <= ATA_BUFFER && p->end <= p->filled && p->pos <= p->end &&
			(p->block || p->phase == ATA_IDLE),
		"a place beyond its buffer");
	/* What it says of the rest is looked at again before the image is asked. */
	state_require(s, p->now <= ATA_BUFFER / ATA_SECTOR && (!p->left || p->now <= p->left),
		"a command that cannot be");
	state_require(s, may_write(p), "a write that the disk does not take");
}
