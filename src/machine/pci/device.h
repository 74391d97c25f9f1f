/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PCI function, for who writes one: type-0 configuration space, memory, I/O
 * and ROM BARs, capabilities, INTx and MSI-X (PCI Local Bus 3.0, chapter 6). A
 * device embeds a struct pci_device, fills it in with the functions below and
 * is put on a bus (bus.h), which it may leave again.
 *
 * Locking: the bus lock is held around configuration accesses and hooks. BAR
 * callbacks run under the lock the device gave for the BAR. MSI-X has a lock of
 * its own; pci_msix_notify() and pci_intx_set() may be called by any thread and
 * with a device's lock held. Lock order: bus, device, MSI-X.
 */
#ifndef DACH_MACHINE_PCI_DEVICE_H
#define DACH_MACHINE_PCI_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/thread.h"
#include "base/error.h"
#include "machine/bus.h"

#define PCI_BARS 6
#define PCI_ROM PCI_BARS /* the ROM's place among the BARs */
#define PCI_MSIX_MAX 128
#define PCI_NO_ADDRESS UINT64_MAX

/* Configuration space offsets (PCI 3.0, 6.1) */
#define PCI_COMMAND 0x04
#define PCI_STATUS 0x06
#define PCI_HEADER_TYPE 0x0e
#define PCI_BAR0 0x10
#define PCI_ROM_BAR 0x30
#define PCI_CAPABILITIES 0x34
#define PCI_INTERRUPT_LINE 0x3c
#define PCI_INTERRUPT_PIN 0x3d
#define PCI_COMMAND_IO 0x1u
#define PCI_COMMAND_MEMORY 0x2u
#define PCI_COMMAND_MASTER 0x4u
#define PCI_COMMAND_INTX_OFF 0x400u
#define PCI_STATUS_INTX 0x8u
#define PCI_STATUS_CAPABILITIES 0x10u
#define PCI_HEADER_MULTI 0x80u
#define PCI_ROM_ENABLE 0x1u
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
	/* A BAR lies at addr now, or nowhere (PCI_NO_ADDRESS). Bus lock held. Optional. */
	void (*bar_mapped)(struct pci_device *dev, unsigned bar, uint64_t addr);
	/*
	 * The machine was reset; no vCPU runs. Configuration, BARs and MSI-X are already as they
	 * were after pci_bus_add(). Optional.
	 */
	void (*reset)(struct pci_device *dev);
	/*
	 * Stands still, nothing under way in guest memory, until told otherwise. No vCPU runs.
	 * Optional.
	 */
	void (*quiesce)(struct pci_device *dev, bool quiet);
	/* Whether that would wait for the host: for a disk. No vCPU runs. Optional: it does not. */
	bool (*busy)(struct pci_device *dev);
	/* A section of its own in a saved state, behind the one of its configuration. Optional. */
	void (*describe)(struct pci_device *dev, struct state *s);
};

struct pci_bar {
	uint64_t size;  /* 0: none; else a power of two */
	unsigned flags; /* PCI_BAR_... */
	const struct bus_ops *ops;
	void *ctx;
	struct mutex *lock;
	uint64_t mapped;   /* where on its bus, or PCI_NO_ADDRESS; by the bus lock */
	uint64_t assigned; /* where the firmware puts it, likewise */
};

struct pci_msix_entry {
	uint64_t addr;
	uint32_t data;
	uint32_t control; /* bit 0: masked */
};

struct pci_msix {
	struct mutex lock;
	unsigned vectors;     /* 0: the device has no MSI-X */
	unsigned cap;         /* offset of the capability */
	bool enabled, masked; /* copies of the capability's control bits; by lock */
	struct pci_msix_entry entry[PCI_MSIX_MAX]; /* by lock */
	uint64_t pending[PCI_MSIX_MAX / 64];       /* by lock */
};

#define PCI_CONFIG_SIZE 256

struct pci_device {
	const char *name;
	const struct pci_device_ops *ops; /* may be NULL */
	struct pci_bus *bus;              /* NULL until added; stays when it is removed */
	unsigned slot, function;
	uint8_t config[PCI_CONFIG_SIZE]; /* by the bus lock */
	uint8_t wmask[PCI_CONFIG_SIZE];  /* bits the guest may write */
	uint8_t w1c[PCI_CONFIG_SIZE];    /* bits cleared by writing a one */
	uint8_t initial[PCI_CONFIG_SIZE];
	unsigned cap_end; /* next free byte for a capability */
	struct pci_bar bar[PCI_BARS + 1];
	const uint8_t *rom; /* what lies behind bar[PCI_ROM] */
	struct pci_msix msix;
	bool intx, intx_off; /* asserted, switched off by COMMAND; by the bus's intx_lock */
};

struct pci_ids {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits: class, subclass, programming interface */
	uint8_t revision;
};

/* First; name and ops outlive the device. */
void pci_device_init(struct pci_device *dev, const char *name, const struct pci_ids *ids,
	const struct pci_device_ops *ops);
/* Never on a bus, or removed from it. */
void pci_device_destroy(struct pci_device *dev);

#define PCI_BAR_64 1u       /* takes index and index + 1 */
#define PCI_BAR_PREFETCH 2u /* of memory only */
#define PCI_BAR_IO 4u       /* ports instead of memory: 4 to 256 bytes */
/*
 * size is a power of two, of memory at least 16 bytes and without PCI_BAR_64 at most 256 MiB. -EINVAL
 * for a bad size, index or mixture of flags.
 */
int pci_add_bar(struct pci_device *dev, unsigned index, uint64_t size, unsigned flags,
	const struct bus_ops *ops, void *ctx, struct mutex *lock);
/*
 * A ROM of size bytes at data, which outlives the device: a power of two from 2 KiB to 16 MiB. The
 * guest reads it where it has switched it on.
 */
int pci_add_rom(struct pci_device *dev, const void *data, uint64_t size);
/*
 * Appends a capability of size bytes (id and next link included), linked and
 * zeroed behind them, read-only until the caller sets wmask. Returns its
 * offset, or -ENOSPC.
 */
int pci_add_capability(struct pci_device *dev, uint8_t id, unsigned size);
/* Gives the device MSI-X with its table and PBA in a 32-bit BAR of their own (4 KiB). */
int pci_msix_init(struct pci_device *dev, unsigned bar, unsigned vectors);
/* It has a level-triggered interrupt: INTA#, or that of its function's number. */
void pci_use_intx(struct pci_device *dev);

/* Little-endian access to config[]. */
uint32_t pci_config_get(const struct pci_device *dev, unsigned offset, unsigned size);
void pci_config_set(struct pci_device *dev, unsigned offset, unsigned size, uint32_t value);

/* Tells sections of a saved state apart: the slot, and for functions but the first more. */
unsigned pci_instance(const struct pci_device *dev);

/* Any thread, also after the device was removed from its bus: then nothing happens. */
/* The guest has switched MSI-X on (then it wants no INTx). */
bool pci_msix_enabled(struct pci_device *dev);
/* Sends the vector's message, or leaves it pending while masked. Not if out of range, or MSI-X is off. */
void pci_msix_notify(struct pci_device *dev, unsigned vector);
/* Drives the device's interrupt line (pci_use_intx() first). */
void pci_intx_set(struct pci_device *dev, bool level);

#endif
