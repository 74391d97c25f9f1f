/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of a port: from the list in guest memory to the drive, their data, and what the drive says back (FISes). */
#include <string.h>

#include "ata/ahci_internal.h"

#define HEADER_SIZE 32u
#define HEADER_COUNT 4 /* where it has how many bytes were moved */
#define HEADER_WRITE 0x40u
#define TABLE_PACKET 0x40u
#define TABLE_PIECES 0x80u
#define PIECE_SIZE 16u
#define PIECE_TOLD 0x80000000u

/* FISes (SATA 2.6, 10.3), and where those to the host lie (AHCI 1.3, 4.2.1) */
#define FIS_TO_DRIVE 0x27
#define FIS_IS_COMMAND 0x80u
#define FIS_SRST 0x04u
#define FIS_REGISTERS 0x34
#define FIS_PIO_SETUP 0x5f
#define FIS_TOLD 0x40u
#define FIS_TO_HOST 0x20u
#define AT_PIO_SETUP 0x20u
#define AT_REGISTERS 0x40u
#define FIS_SIZE 20u

/* Commands that reset their drive */
#define DEVICE_RESET 0x08
#define DIAGNOSE 0x90

/* A failure of the controller's own: the port stands still until the guest stops it. */
static void break_off(struct ahci_port *a, uint32_t why)
{
	a->busy = false;
	a->stuck = true;
	a->shown_status = ATA_READY | ATA_FAILED;
	a->shown_error = ATA_ABORTED;
	ahci_raise(a, why);
}

/* The task file into a FIS, and where the guest sees it. */
static void say(struct ahci_port *a, uint8_t type, uint8_t flags, uint32_t at, uint16_t count)
{
	const struct ata_drive *d = &a->port.drive[0];
	const uint8_t fis[FIS_SIZE] = {type, flags, d->status, d->error, d->low[0], d->mid[0],
		d->high[0], a->port.select, d->low[1], d->mid[1], d->high[1], 0, d->count[0],
		d->count[1], 0, type == FIS_PIO_SETUP ? ATA_READY | ATA_SEEK_DONE : 0, count & 0xff,
		count >> 8};

	a->shown_status = d->status;
	a->shown_error = d->error;
	/* One that lies nowhere is lost. */
	if (a->command & PORT_RECEIVE)
		memory_write(a->ahci->memory, a->fis + at, fis, sizeof fis);
}

static void say_registers(struct ahci_port *a, bool told)
{
	say(a, FIS_REGISTERS, told ? FIS_TOLD : 0, AT_REGISTERS, 0);
	if (told)
		ahci_raise(a, PORT_GOT_REGISTERS);
}

void ahci_reset_drive(struct ahci_port *a)
{
	struct ata_drive *d = &a->port.drive[0];

	ata_reset(&a->port);
	a->busy = false;
	if (!d->there) {
		a->signature = UINT32_MAX;
		a->shown_status = 0x7f;
		a->shown_error = 0;
		return;
	}
	a->signature = d->count[0] | d->low[0] << 8 | d->mid[0] << 16 | (uint32_t)d->high[0] << 24;
	say_registers(a, false);
}

/* --- a command's data ------------------------------------------------------------------------------- */

/* The next bytes of guest memory that the table has, at most len: how many; 0: it is at its end. Negative: it is nowhere. */
static int64_t next_bytes(struct ahci_port *a, uint32_t len, uint64_t *at)
{
	uint32_t entry[4], size;

	if (a->piece >= a->pieces)
		return 0;
	if (memory_read(a->ahci->memory, a->table + TABLE_PIECES + (uint64_t)a->piece * PIECE_SIZE,
		    entry, sizeof entry))
		return -1;
	size = (entry[3] & 0x3fffff) + 1;
	/* The guest may have made it smaller meanwhile. */
	if (a->piece_at > size)
		a->piece_at = size;
	*at = (entry[0] | (uint64_t)entry[1] << 32) + a->piece_at;
	if (len > size - a->piece_at)
		len = size - a->piece_at;
	a->piece_at += len;
	if (a->piece_at == size) {
		a->piece++;
		a->piece_at = 0;
		if (entry[3] & PIECE_TOLD)
			a->status |= PORT_PIECE_DONE;
	}
	return len;
}

/* All of the buffer. What a drive has more than the guest wants is lost; false: anything else that goes wrong. */
static bool move_by_table(struct ahci_port *a)
{
	struct ata_port *p = &a->port;
	struct memory *memory = a->ahci->memory;

	while (p->pos < p->filled) {
		uint64_t at;
		const uint32_t pieces = a->piece;
		int64_t n = next_bytes(a, p->filled - p->pos, &at);

		if (n < 0)
			return false;
		if (!n && a->piece > pieces)
			continue;
		if (!n) {
			a->status |= PORT_OVERFLOW;
			return !p->writes;
		}
		if (p->writes ? memory_read(memory, at, p->buffer + p->pos, n)
			      : memory_write(memory, at, p->buffer + p->pos, n))
			return false;
		p->pos += n;
		a->moved += n;
	}
	return true;
}

static void transfer(struct ata_port *p)
{
	struct ahci_port *a = ahci_port_of(p);
	struct ata_drive *d = &p->drive[0];
	bool good;

	p->pos = 0;
	p->end = p->filled;
	p->phase = ATA_IDLE;
	d->status = ATA_READY | ATA_SEEK_DONE | ATA_DATA;
	if (!p->dma)
		say(a, FIS_PIO_SETUP, p->writes ? 0 : FIS_TOLD | FIS_TO_HOST, AT_PIO_SETUP,
			p->filled < UINT16_MAX ? p->filled : UINT16_MAX - 1);
	good = move_by_table(a);
	memory_write(a->ahci->memory, a->list + a->slot * HEADER_SIZE + HEADER_COUNT, &a->moved,
		sizeof a->moved);
	if (!good) {
		p->left = 0;
		p->pos = p->end = p->filled = 0;
		break_off(a, PORT_BUS_FATAL);
		return;
	}
	if (!p->dma && !p->writes)
		ahci_raise(a, PORT_GOT_PIO_SETUP);
	ata_moved(p);
}

static void interrupt(struct ata_port *p)
{
}

static void ended(struct ata_port *p)
{
	struct ahci_port *a = ahci_port_of(p);
	const struct ata_drive *d = &p->drive[0];
	const bool failed = d->status & ATA_FAILED;

	a->busy = false;
	if (!failed)
		a->issue &= ~(1u << a->slot);
	/* The last word on data that are read by PIO was the one in front of them. */
	if (!failed && a->moved && !p->dma && !p->writes && !p->packet) {
		a->shown_status = d->status;
		a->shown_error = d->error;
	} else {
		a->stuck = failed;
		say_registers(a, true);
		if (failed)
			ahci_raise(a, PORT_TASK_FILE_ERROR);
	}
	ahci_try(a);
}

const struct ata_port_ops ahci_port_ops = {true, interrupt, ended, transfer, ahci_idle};

/* --- a command's beginning -------------------------------------------------------------------------- */

static void take_task_file(struct ata_port *p, const uint8_t *fis)
{
	struct ata_drive *d = &p->drive[0];

	d->feature[0] = fis[3];
	d->feature[1] = fis[11];
	d->low[0] = fis[4];
	d->mid[0] = fis[5];
	d->high[0] = fis[6];
	d->low[1] = fis[8];
	d->mid[1] = fis[9];
	d->high[1] = fis[10];
	d->count[0] = fis[12];
	d->count[1] = fis[13];
	p->select = fis[7] & ~SELECT_SECOND;
}

/* The drive answers to the end of a reset, not to its beginning, and to neither by an interrupt. */
static void take_control(struct ahci_port *a, uint8_t control)
{
	const bool was = a->resetting;

	a->resetting = control & FIS_SRST;
	if (was && !a->resetting)
		ahci_reset_drive(a);
	a->issue &= ~(1u << a->slot);
}

static void take_packet(struct ahci_port *a)
{
	struct ata_port *p = &a->port;

	p->phase = ATA_IDLE;
	if (memory_read(a->ahci->memory, a->table + TABLE_PACKET, p->buffer, ATA_PACKET_SIZE))
		break_off(a, PORT_BUS_FATAL);
	else
		atapi_packet(p);
}

static void take_command(struct ahci_port *a, const uint8_t *fis)
{
	struct ata_port *p = &a->port;
	const uint8_t command = fis[2];

	take_task_file(p, fis);
	a->busy = true;
	a->shown_status = ATA_BUSY;
	a->piece = a->piece_at = a->moved = 0;
	if (command == DIAGNOSE || command == DEVICE_RESET) {
		ata_reset_drive(&p->drive[0]);
		p->dma = p->packet = p->writes = false;
		ended(p);
		return;
	}
	ata_command(p, command);
	if (p->phase == ATA_PACKET)
		take_packet(a);
}

static void begin(struct ahci_port *a, uint32_t slot)
{
	struct memory *memory = a->ahci->memory;
	const uint64_t at = a->list + slot * HEADER_SIZE;
	uint32_t header[4];
	uint8_t fis[FIS_SIZE];

	a->slot = slot;
	if (memory_read(memory, at, header, sizeof header)) {
		break_off(a, PORT_BUS_FATAL);
		return;
	}
	a->pieces = header[0] >> 16;
	a->table = (header[2] & ~0x7fu) | (uint64_t)header[3] << 32;
	header[1] = 0;
	if (memory_read(memory, a->table, fis, sizeof fis) ||
		memory_write(memory, at + HEADER_COUNT, &header[1], sizeof header[1]))
		break_off(a, PORT_BUS_FATAL);
	else if (fis[0] != FIS_TO_DRIVE)
		break_off(a, PORT_FIS_BAD);
	else if (fis[1] & FIS_IS_COMMAND)
		take_command(a, fis);
	else
		take_control(a, fis[15]);
}

/* The next one behind the last. */
static uint32_t next_slot(const struct ahci_port *a)
{
	uint32_t slot = a->slot;

	do {
		slot = (slot + 1) % AHCI_SLOTS;
	} while (!(a->issue >> slot & 1));
	return slot;
}

void ahci_try(struct ahci_port *a)
{
	/* A command that ends at once comes back to the loop that has begun it. */
	if (a->trying)
		return;
	a->trying = true;
	while (a->issue && !a->busy && !a->stuck && !a->waits && a->command & PORT_START &&
		a->port.drive[0].there && !a->port.active && !a->ahci->quiet)
		begin(a, next_slot(a));
	a->trying = false;
}
