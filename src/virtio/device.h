/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every virtio device has, whatever carries it (virtio 1.2, chapter 2):
 * status, features, configuration space, queues. A device embeds a struct
 * virtio_device; virtio/pci.h puts it on the bus.
 *
 * Locking: the lock guards all fields that are marked, the queues and their
 * rings. Lock order: PCI bus, device, MSI-X.
 */
#ifndef DACH_VIRTIO_DEVICE_H
#define DACH_VIRTIO_DEVICE_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/thread.h"
#include "base/error.h"
#include "machine/memory.h"
#include "virtio/queue.h"

#define VIRTIO_QUEUES_MAX 4
#define VIRTIO_CONFIG_MAX 136
#define VIRTIO_NO_VECTOR 0xffffu

/* All bits of the status: others that a driver writes are not kept, or its guest could not be saved and loaded. */
#define VIRTIO_STATUS_KNOWN                                                                 \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK | \
		VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_NEEDS_RESET |                 \
		VIRTIO_CONFIG_S_FAILED)

/* A feature bit as a mask: VIRTIO_F_..., VIRTIO_RING_F_..., VIRTIO_BLK_F_... are numbers. */
#define VIRTIO_FEATURE(bit) (1ull << (bit))

struct state;
struct virtio_device;

struct virtio_device_ops {
	/* The driver is ready: buffers may be there already. Lock held. */
	void (*start)(struct virtio_device *dev);
	/*
	 * New buffers in a queue. On a vCPU's thread, lock not held. Takes at most what is there when it begins
	 * (virtio_arm()), so never more than the queue holds, however fast the guest adds; with the lock it
	 * does no more for each than copying a bounded number of bytes.
	 */
	void (*notify)(struct virtio_device *dev, unsigned queue);
	/*
	 * Starts a thread that serves this queue, and returns the eventfd that wakes it: for transports
	 * that can have the guest's own write signal it. -1: there is none, and notify is called. Once a
	 * queue, while the device is put on its bus. The thread ends before the device is destroyed,
	 * after virtio_pci_remove(). Optional.
	 */
	int (*start_notify_thread)(struct virtio_device *dev, unsigned queue);
	/*
	 * Stops: when this returns the device leaves guest memory alone. Lock held; may wait on a
	 * condition with it, until what is under way has ended: for a disk that is how long the host takes for
	 * what the guest asked of it, at most all of its disk for each of a queue's requests.
	 */
	void (*reset)(struct virtio_device *dev);
	/* The driver wrote config[offset..offset + size). Lock held. NULL: nothing is writable. */
	void (*config_write)(struct virtio_device *dev, unsigned offset, unsigned size,
		uint32_t value);
	/* The driver has read config[offset..offset + size). Lock held. NULL: nobody wants to know. */
	void (*config_seen)(struct virtio_device *dev, unsigned offset, unsigned size);
	/* Waits, with the lock, until what was taken from queues is done. NULL: nothing ever is. */
	void (*drain)(struct virtio_device *dev);
	/* Its own fields in a saved state. Lock held. NULL: there are none. */
	void (*describe)(struct virtio_device *dev, struct state *s);
};

struct virtio_device {
	const struct virtio_device_ops *ops;
	const char *name;
	unsigned id; /* linux/virtio_ids.h */
	struct memory *memory;
	uint64_t offered; /* features */
	unsigned queues;
	unsigned config_size;
	const void *rom; /* that its PCI function has: device.h there; NULL: none */
	size_t rom_size;
	/* The transport's: an interrupt for a queue, or -1 for the configuration. Lock held. */
	void (*interrupt)(struct virtio_device *dev, int queue);
	void *transport;

	struct mutex lock;
	/* by lock */
	uint64_t features; /* what the driver took */
	uint8_t status, generation;
	bool resetting;
	bool quiet;          /* virtio_quiesce() */
	const char *failure; /* why it needs a reset, or NULL */
	uint16_t config_vector;
	uint8_t config[VIRTIO_CONFIG_MAX] __attribute__((aligned(8)));
	struct virtq queue[VIRTIO_QUEUES_MAX];
};

/* Each queue gets size_max. features on top of the reserved ones, which every device has. */
void virtio_device_init(struct virtio_device *dev, const char *name, unsigned id,
	const struct virtio_device_ops *ops, struct memory *memory, uint64_t features,
	unsigned queues, uint16_t size_max);
void virtio_device_destroy(struct virtio_device *dev);

/*
 * Stands still, with nothing under way, for as long as its state is looked at; then goes on with
 * what there is by then. The machine is paused.
 */
void virtio_quiesce(struct virtio_device *dev, bool quiet);
/* It would have to wait for what it has under way. The machine is paused. */
bool virtio_busy(struct virtio_device *dev);

/* All that follows: lock held. */

/* The fields that any device has in a saved state, and its own. It is quiet. */
void virtio_describe(struct virtio_device *dev, struct state *s);

/* The driver writes the status; 0 resets. */
void virtio_set_status(struct virtio_device *dev, uint8_t status);
void virtio_reset(struct virtio_device *dev);
/* The driver writes queue_enable. */
void virtio_queue_enable(struct virtio_device *dev, unsigned queue);
/* The device can be used: the driver is ready, nothing is broken. */
bool virtio_running(const struct virtio_device *dev);
/* The driver did something that cannot be gone on from (2.1.2); why is kept for messages. */
void virtio_fail(struct virtio_device *dev, const char *why);

/*
 * How many chains there are, with the guest bound to notify of the next one after them (unless
 * virtio_ignore() has said otherwise). 0 while the device is not running.
 */
unsigned virtio_arm(struct virtio_device *dev, unsigned queue);
/* Takes the next chain: 1 if there was one, else 0. */
int virtio_pop(struct virtio_device *dev, unsigned queue, struct virtq_chain *chain);
/* Puts the last count chains taken back. */
void virtio_unpop(struct virtio_device *dev, unsigned queue, unsigned count);
/* The guest need not notify of new chains (a hint): the device looks by itself for a while. */
void virtio_ignore(struct virtio_device *dev, unsigned queue);
/* The end of that: true if there are more chains than the `seen` ones already, so look again. */
bool virtio_want_more(struct virtio_device *dev, unsigned queue, unsigned seen);

/*
 * Giving a chain back, and guest memory told of what was written. There are two ways, and no third:
 * the device itself writes by virtq_chain_write(), which tells, and pushes the chain with the number of
 * those bytes; any number of chains may be pushed before they are published together.
 */
void virtio_push(struct virtio_device *dev, unsigned queue, uint16_t head, uint32_t len);
/* Shows the guest all that was pushed, with an interrupt if it wants one. Not while not running. */
void virtio_publish(struct virtio_device *dev, unsigned queue);
/*
 * Or somebody else has written the buffers of a chain that was held: tells of all of them, pushes and
 * publishes. While the device is not running it only tells.
 */
void virtio_complete(struct virtio_device *dev, unsigned queue, const struct virtq_held *held,
	uint32_t len);
/* config[] changed: the driver is told. */
void virtio_config_changed(struct virtio_device *dev);

#endif
