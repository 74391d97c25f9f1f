/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of ata/. All functions: the controller's lock is held. */
#ifndef DACH_ATA_INTERNAL_H
#define DACH_ATA_INTERNAL_H

#include "ata/ide.h"
#include "base/thread.h"
#include "machine/pci/device.h"
#include "state/state.h"

#define ATA_SECTOR 512u
#define CD_BLOCK 2048u
#define IDE_BUFFER 0x20000u /* what is asked of an image at once */

/* Status (ATA/ATAPI-6, 7.15) and error (7.9) */
#define ATA_BUSY 0x80u
#define ATA_READY 0x40u
#define ATA_SEEK_DONE 0x10u /* of a disk; SERV of a CD drive */
#define ATA_DATA 0x08u
#define ATA_FAILED 0x01u
#define ATA_ABORTED 0x04u
#define ATA_NO_SUCH_SECTOR 0x10u
#define ATA_UNCORRECTABLE 0x40u

/* A PACKET's interrupt reason, in the count register */
#define ATAPI_COMMAND 1u
#define ATAPI_TO_HOST 2u

#define SELECT_SECOND 0x10u
#define SELECT_LBA 0x40u

struct ide_drive {
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
};

/* What a channel is about. */
enum ide_phase {
	IDE_IDLE,
	IDE_PACKET,   /* takes a packet's 12 bytes */
	IDE_TO_HOST,  /* the buffer is read by the guest, a block after the other */
	IDE_TO_DRIVE, /* ... is written */
	IDE_PHASES
};

struct ide_channel {
	struct ide *ide;
	unsigned irq;
	bool line;
	struct ide_drive drive[2];
	uint8_t select, control;

	/* The command under way: sectors (of a CD: blocks) from `at` on. */
	uint8_t current;                 /* the drive */
	uint8_t phase;                   /* enum ide_phase */
	bool dma, writes, packet, waits; /* waits: for the bus master to be started */
	uint64_t at;
	uint32_t left, now; /* now: of these in the buffer */
	uint32_t block;     /* bytes for each interrupt */
	uint32_t pos, end,
		filled; /* bytes of the buffer: the next one, where the block ends, where it all does */

	struct block_request request;
	struct iovec iov;
	bool active; /* the request is the image's; nothing else of this changes then */

	/* The bus master's registers, and where in the guest's table it is. */
	uint8_t bm_command, bm_status;
	uint32_t bm_table, bm_entry;
	uint32_t bm_address, bm_left;
	bool bm_last;

	uint8_t buffer[IDE_BUFFER];
};

struct ide {
	struct pci_device pci;
	struct bus *io;
	struct memory *memory;
	struct ide_owner owner;
	struct mutex lock;
	pthread_cond_t idle; /* some channel's active has become false */
	struct ide_channel channel[2];
};

/* Whose command is, or was last, under way: that the guest selects the other one does not change it. */
static inline struct ide_drive *ide_current(struct ide_channel *c)
{
	return &c->drive[c->current];
}

/* ide.c */
void ide_interrupt(struct ide_channel *c);
/* The command has ended: ready, with this error (0: none), and an interrupt. */
void ide_end(struct ide_channel *c, uint8_t error);
/* Part of the current drive's image from or into the buffer; disk_done() or atapi_done() follows, or the command's end. */
void ide_submit(struct ide_channel *c, enum block_op op, uint64_t offset, uint32_t length);

/* ide_transfer.c: the buffer's `filled` bytes to the guest, or as many from it */
void transfer_begin(struct ide_channel *c);
/* The data port. size is 1, 2 or 4. */
uint32_t transfer_read(struct ide_channel *c, unsigned size);
void transfer_write(struct ide_channel *c, unsigned size, uint32_t value);
/* The bus master may have been started. */
void transfer_go(struct ide_channel *c);
uint8_t transfer_bm_read(struct ide_channel *c, unsigned reg);
void transfer_bm_write(struct ide_channel *c, unsigned reg, uint8_t value);
void transfer_bm_write_table(struct ide_channel *c, uint32_t value);

/* ide_disk.c */
void disk_command(struct ide_channel *c, uint8_t command);
/* The image has done what it was asked, or (negative) not. */
void disk_done(struct ide_channel *c, int result);
/* All of the buffer has gone to the guest, or come from it. */
void disk_moved(struct ide_channel *c);
void disk_signature(struct ide_drive *d);
/* IDENTIFY's texts: blanks behind, bytes of a word swapped. */
void disk_put_text(uint16_t *words, const char *text, unsigned count);

/* atapi.c */
void atapi_command(struct ide_channel *c, uint8_t command);
/* The packet is in the buffer. */
void atapi_packet(struct ide_channel *c);
void atapi_done(struct ide_channel *c, int result);
void atapi_moved(struct ide_channel *c);

#endif
