/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the IDE controller. All functions: its lock is held. */
#ifndef DACH_ATA_IDE_INTERNAL_H
#define DACH_ATA_IDE_INTERNAL_H

#include "ata/ide.h"
#include "ata/internal.h"
#include "base/container.h"

struct ide_channel {
	struct ata_port port;
	struct ide *ide;
	unsigned irq;
	bool line;
	uint8_t control;
	bool waits;     /* for the bus master to be started */
	bool resetting; /* when the image has done what it was asked; in no state */

	/* The bus master's registers, and where in the guest's table it is. */
	uint8_t bm_command, bm_status;
	uint32_t bm_table, bm_entry;
	uint32_t bm_address, bm_left;
	bool bm_last;
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

static inline struct ide_channel *ide_channel_of(struct ata_port *p)
{
	return container_of(p, struct ide_channel, port);
}

/* ide_transfer.c: ata_port_ops.transfer, by the data port or by the bus master */
void transfer_begin(struct ata_port *p);
/* The data port. size is 1, 2 or 4. */
uint32_t transfer_read(struct ata_port *p, unsigned size);
void transfer_write(struct ata_port *p, unsigned size, uint32_t value);
/* The bus master may have been started. */
void transfer_go(struct ide_channel *c);
uint8_t transfer_bm_read(struct ide_channel *c, unsigned reg);
void transfer_bm_write(struct ide_channel *c, unsigned reg, uint8_t value);
void transfer_bm_write_table(struct ide_channel *c, uint32_t value);

#endif
