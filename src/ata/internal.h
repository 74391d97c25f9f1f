/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of ata/. All functions: the controller's lock is held. */
#ifndef DACH_ATA_INTERNAL_H
#define DACH_ATA_INTERNAL_H

#include "ata/drive.h"
#include "base/thread.h"
#include "block/block.h"
#include "machine/memory.h"
#include "machine/pci/device.h"
#include "state/state.h"

#define ATA_SECTOR 512u
#define CD_BLOCK 2048u
#define ATA_BUFFER 0x20000u /* what is asked of an image at once */

/* Status (ATA/ATAPI-6, 7.15) and error (7.9) */
#define ATA_BUSY 0x80u
#define ATA_READY 0x40u
#define ATA_SEEK_DONE 0x10u /* of a disk; SERV of a CD drive */
#define ATA_DATA 0x08u
#define ATA_FAILED 0x01u
#define ATA_ABORTED 0x04u
#define ATA_NO_SUCH_SECTOR 0x10u
#define ATA_UNCORRECTABLE 0x40u

#define ATA_PACKET_COMMAND 0xa0u
#define ATA_PACKET_SIZE 12u

/* A PACKET's interrupt reason, in the count register */
#define ATAPI_COMMAND 1u
#define ATAPI_TO_HOST 2u

#define SELECT_SECOND 0x10u
#define SELECT_LBA 0x40u

#define ATA_SATA_SPEEDS 0x0006u /* IDENTIFY's word 76: 1.5 and 3 Gbit/s (SATA 2.6, 13.2.1) */

/* What a CD drive has to tell of its medium (MMC-3, 6.6: GET EVENT STATUS NOTIFICATION). */
enum cd_event { CD_NO_EVENT, CD_EJECT_REQUEST, CD_NEW_MEDIUM, CD_MEDIUM_REMOVED, CD_EVENTS };

struct ata_drive {
	struct ata_port *port;
	struct block_device *image;
	bool there, cdrom;
	char serial[21];
	uint64_t sectors; /* of 512 bytes */
	/* The task file; [1] is what was written before the last byte (48-bit addresses). */
	uint8_t feature[2], count[2], low[2], mid[2], high[2];
	uint8_t status, error;
	uint8_t multiple;     /* sectors for each interrupt; 0: READ MULTIPLE is off */
	uint8_t heads, track; /* sectors of one: as INITIALIZE DEVICE PARAMETERS had it */
	bool write_through;   /* a write ends when it is stable; until the machine is reset */
	uint8_t sense, sense_code, sense_more; /* of a CD drive's last command */
	/* Of a CD drive; resets leave all but the lock. */
	bool locked, open; /* the tray */
	bool withdrawn;    /* what lies in it is about to go; in no state */
	bool changed;  /* what lies in it; the next command that asks for it fails with this news */
	uint8_t event; /* enum cd_event: what has not been told */
};

/* What a port is about. */
enum ata_phase {
	ATA_IDLE,
	ATA_PACKET,   /* takes a packet's 12 bytes */
	ATA_TO_HOST,  /* the buffer is read by the guest, a block after the other */
	ATA_TO_DRIVE, /* ... is written */
	ATA_PHASES
};

struct ata_port;

/* What the controller does for its ports. */
struct ata_port_ops {
	bool sata; /* no data port: all data go by the controller's way into guest memory */
	/* The drive wants to be heard: the guest is to read its status. */
	void (*interrupt)(struct ata_port *p);
	/* The command is at its end: the drive's status and error say which. */
	void (*ended)(struct ata_port *p);
	/*
	 * The buffer's `filled` bytes go to the guest, or as many come from it (`writes`). When they have,
	 * now or later, ata_moved() follows; or the command's end.
	 */
	void (*transfer)(struct ata_port *p);
	/* The image has no request any more: what had to wait for that is done. No command begins within. */
	void (*idle)(struct ata_port *p);
};

/* Where one command is under way at a time, of one or two drives: a channel of IDE, a port of AHCI. */
struct ata_port {
	const struct ata_port_ops *ops;
	struct mutex *lock;   /* the controller's */
	pthread_cond_t *idle; /* some port's active has become false */
	struct ata_drive drive[2];
	uint8_t select;

	/* The command under way: sectors (of a CD: blocks) from `at` on. */
	uint8_t current;          /* the drive */
	uint8_t phase;            /* enum ata_phase */
	bool dma, writes, packet; /* dma: as the command has it; but see ata_by_port() */
	uint64_t at;
	uint32_t left, now; /* now: of these in the buffer */
	uint32_t block;     /* bytes for each interrupt */
	uint32_t pos, end,
		filled; /* bytes of the buffer: the next one, where the block ends, where it all does */

	struct block_request request;
	struct iovec iov;
	bool active; /* the request is the image's; nothing else of this changes then */

	uint8_t buffer[ATA_BUFFER];
};

/* Whose command is, or was last, under way: that the guest selects the other one does not change it. */
static inline struct ata_drive *ata_current(struct ata_port *p)
{
	return &p->drive[p->current];
}

static inline struct ata_drive *ata_selected(struct ata_port *p)
{
	return &p->drive[p->select & SELECT_SECOND ? 1 : 0];
}

/* The guest takes the command's data from a data port, block by block. */
static inline bool ata_by_port(const struct ata_port *p)
{
	return !p->dma && !p->ops->sata;
}

/* port.c */
void ata_port_init(struct ata_port *p, const struct ata_port_ops *ops, struct mutex *lock,
	pthread_cond_t *idle);
void ata_put_drive(struct ata_port *p, unsigned n, const struct ata_drive_config *config);
/* Not while the image has a request, for both. A drive keeps what only the machine's reset changes. */
void ata_reset_drive(struct ata_drive *d);
void ata_reset(struct ata_port *p);
/* Until no image has anything to do. */
void ata_wait(struct ata_port *p);
/* A command, but a diagnosis, for the selected drive, which is there; nothing is under way. */
void ata_command(struct ata_port *p, uint8_t command);
/* The command has ended: ready, with this error (0: none). */
void ata_end(struct ata_port *p, uint8_t error);
/* The same of one that has read: by a data port its last interrupt was that of the data. */
void ata_end_read(struct ata_port *p);
/* What has been read is there to be taken. */
void ata_offer(struct ata_port *p);
/* All of the buffer has gone to the guest, or come from it. */
void ata_moved(struct ata_port *p);
/* Part of the current drive's image from or into the buffer; disk_done() or atapi_done() follows, or the command's end. */
void ata_submit(struct ata_port *p, enum block_op op, uint64_t offset, uint32_t length);
void ata_describe_drive(struct ata_drive *d, unsigned n, struct state *s);
/* The command under way; waits is the controller's, and the buffer is another field. */
void ata_describe_command(struct ata_port *p, bool *waits, struct state *s);

/* disk.c */
void disk_command(struct ata_port *p, uint8_t command);
/* The image has done what it was asked, or (negative) not. */
void disk_done(struct ata_port *p, int result);
void disk_moved(struct ata_port *p);
void disk_signature(struct ata_drive *d);
/* IDENTIFY's texts: blanks behind, bytes of a word swapped. */
void disk_put_text(uint16_t *words, const char *text, unsigned count);

/* atapi.c */
void atapi_command(struct ata_port *p, uint8_t command);
/* The packet is in the buffer. */
void atapi_packet(struct ata_port *p);
void atapi_done(struct ata_port *p, int result);
void atapi_moved(struct ata_port *p);

#endif
