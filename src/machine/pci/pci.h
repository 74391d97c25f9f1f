/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI: one bus behind configuration mechanism 1 (ports 0xcf8 and 0xcfc), type-0
 * devices with memory BARs, capabilities and MSI-X (PCI Local Bus 3.0, chapter
 * 6). A device embeds a struct pci_device, fills it in with the functions below
 * and is added once, before the machine starts.
 *
 * Locking: the bus lock is held around configuration accesses and hooks. BAR
 * callbacks run under the lock the device gave for the BAR. MSI-X has a lock of
 * its own; pci_msix_notify() and pci_intx_set() may be called by any thread and
 * with a device's lock held. Lock order: bus, device, MSI-X.
 */
#ifndef DACH_MACHINE_PCI_PCI_H
#define DACH_MACHINE_PCI_PCI_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "machine/bus.h"

/* Where BARs lie, 64-bit ones too; the DSDT's _CRS says the same. */
#define PCI_WINDOW_START 0xc0000000ull
#define PCI_WINDOW_END 0xfeb00000ull

#define PCI_BARS 6
#define PCI_SLOTS 32
#define PCI_MSIX_MAX 128
#define PCI_NO_ADDRESS UINT64_MAX

/* Configuration space offsets (PCI 3.0, 6.1) */
#define PCI_COMMAND 0x04
#define PCI_STATUS 0x06
#define PCI_BAR0 0x10
#define PCI_CAPABILITIES 0x34
#define PCI_INTERRUPT_LINE 0x3c
#define PCI_INTERRUPT_PIN 0x3d
#define PCI_COMMAND_MEMORY 0x2u
#define PCI_COMMAND_MASTER 0x4u
#define PCI_COMMAND_INTX_OFF 0x400u
#define PCI_STATUS_INTX 0x8u
#define PCI_STATUS_CAPABILITIES 0x10u
#define PCI_CAP_VENDOR 0x09
#define PCI_CAP_MSIX 0x11

struct pci_bus;
struct pci_device;
struct state;

struct pci_device_ops {
	/*
	 * Before configuration bytes are read: the device may refresh config[]. Optional.
	 */
	void (*config_read)(struct pci_device *dev, unsigned offset, unsigned size);
	/* After configuration bytes were written (masks applied). Optional. */
	void (*config_write)(struct pci_device *dev, unsigned offset, unsigned size);
	/* A BAR lies at gpa now, or nowhere (PCI_NO_ADDRESS). Bus lock held. Optional. */
	void (*moved)(struct pci_device *dev, unsigned bar, uint64_t gpa);
	/*
	 * The machine was reset; no vCPU runs. Configuration, BARs and MSI-X are already as they
	 * were after pci_bus_add(). Optional.
	 */
	void (*reset)(struct pci_device *dev);
	/*
	 * Stands still, nothing under way in guest memory, until told otherwise. No vCPU runs.
	 * Optional.
	 */
	void (*quiet)(struct pci_device *dev, bool quiet);
	/* A section of its own in a saved state, behind the one of its configuration. Optional. */
	void (*describe)(struct pci_device *dev, struct state *s);
};

struct pci_bar {
	uint64_t size; /* 0: none; else a power of two, at least 16 */
	bool is64, prefetch;
	const struct bus_ops *ops;
	void *ctx;
	pthread_mutex_t *lock;
	uint64_t mapped;  /* where on the memory bus, or PCI_NO_ADDRESS */
	uint64_t initial; /* what the firmware programs */
};

struct pci_msix_entry {
	uint64_t addr;
	uint32_t data;
	uint32_t control; /* bit 0: masked */
};

struct pci_msix {
	pthread_mutex_t lock;
	unsigned vectors;     /* 0: the device has no MSI-X */
	unsigned cap;         /* offset of the capability */
	bool enabled, masked; /* copies of the capability's control bits; by lock */
	struct pci_msix_entry entry[PCI_MSIX_MAX]; /* by lock */
	uint64_t pending[PCI_MSIX_MAX / 64];       /* by lock */
};

struct pci_device {
	const char *name;
	const struct pci_device_ops *ops; /* may be NULL */
	struct pci_bus *bus;              /* NULL until added */
	unsigned slot;
	uint8_t config[256]; /* by the bus lock */
	uint8_t wmask[256];  /* bits the guest may write */
	uint8_t w1c[256];    /* bits cleared by writing a one */
	uint8_t initial[256];
	unsigned cap_end; /* next free byte for a capability */
	struct pci_bar bar[PCI_BARS];
	struct pci_msix msix;
	bool intx, intx_off; /* asserted, switched off by COMMAND; by the bus's intx_lock */
};

struct pci_ids {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits: class, subclass, programming interface */
	uint8_t revision;
};

/* What the bus needs of the machine around it. */
struct pci_host {
	void *ctx;
	void (*msi)(void *ctx, uint64_t addr, uint32_t data);
	void (*intx)(void *ctx, unsigned pin, bool level); /* pin 0-3: INTA#-INTD# of the bus */
	void (*reset_control)(void *ctx, uint8_t value);   /* a byte to port 0xcf9; may be NULL */
	/*
	 * From on to off, writes to gpa signal the eventfd and run no callback. A negative errno
	 * where that cannot be had: then callbacks run. NULL: it never can.
	 */
	int (*notify_fd)(void *ctx, uint64_t gpa, int fd, bool on);
};

struct pci_bus {
	pthread_mutex_t lock;
	struct bus *io, *mmio;
	struct pci_host host;
	uint32_t address; /* 0xcf8; by lock */
	struct pci_device *slot[PCI_SLOTS];
	uint64_t next;             /* where the next BAR goes */
	pthread_mutex_t intx_lock; /* held while host.intx runs */
	struct pci_device bridge;  /* slot 0 */
};

/* Puts the bus with its host bridge at the two ports. */
int pci_bus_init(struct pci_bus *bus, struct bus *io, struct bus *mmio, const struct pci_host *host,
	struct error *err);
void pci_bus_destroy(struct pci_bus *bus);
/* Takes the device into the next free slot and gives its BARs addresses. */
int pci_bus_add(struct pci_bus *bus, struct pci_device *dev, struct error *err);
/* Everything as after pci_bus_add(), then each device's reset. No vCPU runs. */
void pci_bus_reset(struct pci_bus *bus);

/* The bus, configuration space and MSI-X of each device on it; which ones are there must be equal. */
void pci_describe(struct pci_bus *bus, struct state *s);
/* All devices stand still, or go on. No vCPU runs. */
void pci_bus_quiet(struct pci_bus *bus, bool quiet);

/* First; name and ops outlive the device. */
void pci_device_init(struct pci_device *dev, const char *name, const struct pci_ids *ids,
	const struct pci_device_ops *ops);
void pci_device_destroy(struct pci_device *dev);

#define PCI_BAR_64 1u
#define PCI_BAR_PREFETCH 2u
/* Memory only. A 64-bit BAR takes index and index + 1. -EINVAL for a bad size or index. */
int pci_add_bar(struct pci_device *dev, unsigned index, uint64_t size, unsigned flags,
	const struct bus_ops *ops, void *ctx, pthread_mutex_t *lock);
/*
 * Appends a capability of size bytes (id and next link included), linked and
 * zeroed behind them, read-only until the caller sets wmask. Returns its
 * offset, or -ENOSPC.
 */
int pci_add_capability(struct pci_device *dev, uint8_t id, unsigned size);
/* Gives the device MSI-X with its table and PBA in a 32-bit BAR of their own (4 KiB). */
int pci_msix_init(struct pci_device *dev, unsigned bar, unsigned vectors);

/* The guest has switched MSI-X on (then it wants no INTx). Any thread. */
bool pci_msix_enabled(struct pci_device *dev);
/*
 * Sends the vector's message, or leaves it pending while masked. Any thread;
 * does nothing for vectors out of range or when MSI-X is off.
 */
void pci_msix_notify(struct pci_device *dev, unsigned vector);
/* Drives the device's INTA# (pci_use_intx() first); level-triggered. Any thread. */
void pci_intx_set(struct pci_device *dev, bool level);
void pci_use_intx(struct pci_device *dev);

/* Little-endian access to config[]. */
#define PCI_CONFIG_SIZE 256
uint32_t pci_config_get(const struct pci_device *dev, unsigned offset, unsigned size);
void pci_config_set(struct pci_device *dev, unsigned offset, unsigned size, uint32_t value);

/* Between the files of PCI: */
void pci_msix_control(struct pci_device *dev); /* the control word may have changed; bus lock */
void pci_msix_reset(struct pci_device *dev);
void pci_msix_describe(struct pci_device *dev, struct state *s); /* fields; bus lock */

#endif
