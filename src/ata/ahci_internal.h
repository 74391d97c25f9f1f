/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the AHCI controller. All functions: its lock is held. */
#ifndef DACH_ATA_AHCI_INTERNAL_H
#define DACH_ATA_AHCI_INTERNAL_H

#include "ata/ahci.h"
#include "ata/internal.h"
#include "base/container.h"

#define AHCI_SLOTS 32u

/* Registers of a port (AHCI 1.3, 3.3) */
enum {
	PORT_LIST = 0x00,
	PORT_LIST_HIGH = 0x04,
	PORT_FIS = 0x08,
	PORT_FIS_HIGH = 0x0c,
	PORT_STATUS = 0x10,
	PORT_ENABLE = 0x14,
	PORT_COMMAND = 0x18,
	PORT_TASK_FILE = 0x20,
	PORT_SIGNATURE = 0x24,
	PORT_SATA_STATUS = 0x28,
	PORT_SATA_CONTROL = 0x2c,
	PORT_SATA_ERROR = 0x30,
	PORT_ISSUE = 0x38,
};

/* Interrupts (3.3.5) */
#define PORT_GOT_REGISTERS 0x00000001u
#define PORT_GOT_PIO_SETUP 0x00000002u
#define PORT_PIECE_DONE 0x00000020u
#define PORT_CONNECTED 0x00000040u /* as long as the SATA error has "exchanged" */
#define PORT_OVERFLOW 0x01000000u
#define PORT_FIS_BAD 0x08000000u
#define PORT_BUS_FATAL 0x20000000u
#define PORT_TASK_FILE_ERROR 0x40000000u

/* Command (3.3.7) */
#define PORT_START 0x00000001u
#define PORT_SPIN_UP 0x00000002u
#define PORT_POWER 0x00000004u
#define PORT_RECEIVE 0x00000010u
#define PORT_RECEIVES 0x00004000u
#define PORT_RUNS 0x00008000u

/* What has to wait until the image has no request, so that no vCPU has to. */
#define WAITS_TO_STOP 1u
#define WAITS_FOR_LINE 2u /* the line's reset has begun or ended */
#define WAITS_FOR_RESET 4u

struct ahci_port {
	struct ata_port port;
	struct ahci *ahci;
	/* Registers */
	uint64_t list, fis;
	uint32_t status, enable, command, signature, sata_control, sata_error, issue;
	uint8_t shown_status, shown_error; /* the task file, as the guest sees it */

	/* The command under way is that of `slot`: */
	uint32_t slot;
	bool busy;
	bool stuck;      /* it has failed: no other begins before the guest has stopped the port */
	bool resetting;  /* the last control FIS had SRST */
	bool trying;     /* in try_next(), further up; in no state */
	uint8_t waits;   /* in no state either */
	uint32_t pieces; /* of its table */
	uint64_t table;
	uint32_t piece, piece_at; /* how far it is there: pieces, and bytes of that one */
	uint32_t moved;           /* bytes */
};

struct ahci {
	struct pci_device pci;
	struct memory *memory;
	struct mutex lock;
	pthread_cond_t idle; /* some port's active has become false */
	uint32_t control;    /* GHC, but the bits that are fixed */
	bool quiet;          /* nothing begins */
	struct ahci_port port[AHCI_PORTS];
};

static inline struct ahci_port *ahci_port_of(struct ata_port *p)
{
	return container_of(p, struct ahci_port, port);
}

/* ahci.c: further bits of the port's status, and the interrupt as it then is */
void ahci_raise(struct ahci_port *a, uint32_t bits);

/* ahci.c: ata_port_ops.idle */
void ahci_idle(struct ata_port *p);

/* ahci_command.c */
extern const struct ata_port_ops ahci_port_ops;
/* What the guest has issued begins, if it can. */
void ahci_try(struct ahci_port *a);
/* The drive says who it is: after a reset of it, or of all. Not while the image has a request. */
void ahci_reset_drive(struct ahci_port *a);

#endif
