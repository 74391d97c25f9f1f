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

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "machine/memory.h"
#include "virtio/queue.h"

#define VIRTIO_QUEUES_MAX 4
#define VIRTIO_CONFIG_MAX 64
#define VIRTIO_NO_VECTOR 0xffffu

/* Device types (chapter 5) */
#define VIRTIO_ID_NET 1
#define VIRTIO_ID_BLOCK 2
#define VIRTIO_ID_CONSOLE 3
#define VIRTIO_ID_ENTROPY 4
#define VIRTIO_ID_BALLOON 5

/* Device status (2.1) */
#define VIRTIO_ACKNOWLEDGE 1u
#define VIRTIO_DRIVER 2u
#define VIRTIO_DRIVER_OK 4u
#define VIRTIO_FEATURES_OK 8u
#define VIRTIO_NEEDS_RESET 64u
#define VIRTIO_FAILED 128u
/* All of them: others that a driver writes are not kept, or its guest could not be saved and loaded. */
#define VIRTIO_STATUS_KNOWN                                                           \
	(VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_DRIVER_OK | VIRTIO_FEATURES_OK | \
		VIRTIO_NEEDS_RESET | VIRTIO_FAILED)

/* Reserved feature bits (chapter 6) */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)

struct state;
struct virtio_device;

struct virtio_device_ops {
	/* The driver is ready: buffers may be there already. Lock held. */
	void (*start)(struct virtio_device *dev);
	/* New buffers in a queue. On a vCPU's thread, lock not held. */
	void (*notify)(struct virtio_device *dev, unsigned queue);
	/*
	 * An eventfd that does as notify when it is signalled, for transports that can have the
	 * guest's own write signal it; -1: there is none. Asked once. Optional.
	 */
	int (*notify_fd)(struct virtio_device *dev, unsigned queue);
	/*
	 * Stops: when this returns the device leaves guest memory alone. Lock held; may wait on a
	 * condition with it, until what is under way has ended.
	 */
	void (*reset)(struct virtio_device *dev);
	/* The driver wrote config[offset..offset + size). Lock held. NULL: nothing is writable. */
	void (*config_write)(struct virtio_device *dev, unsigned offset, unsigned size,
		uint32_t value);
	/* Waits, with the lock, until what was taken from queues is done. NULL: nothing ever is. */
	void (*drain)(struct virtio_device *dev);
	/* Its own fields in a saved state. Lock held. NULL: there are none. */
	void (*describe)(struct virtio_device *dev, struct state *s);
};

struct virtio_device {
	const struct virtio_device_ops *ops;
	const char *name;
	unsigned id; /* VIRTIO_ID_ */
	struct memory *memory;
	uint64_t offered; /* features */
	unsigned queues;
	unsigned config_size;
	/* The transport's: an interrupt for a queue, or -1 for the configuration. Lock held. */
	void (*interrupt)(struct virtio_device *dev, int queue);
	void *transport;

	pthread_mutex_t lock;
	/* by lock */
	uint64_t features; /* what the driver took */
	uint8_t status, generation;
	bool resetting;
	bool quiet;          /* virtio_quiet() */
	const char *failure; /* why it needs a reset, or NULL */
	uint16_t config_vector;
	uint8_t config[VIRTIO_CONFIG_MAX];
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
void virtio_quiet(struct virtio_device *dev, bool quiet);

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
/* virtq_arm() that fails the device with the queue. 0 while the device is not running. */
unsigned virtio_arm(struct virtio_device *dev, unsigned queue);
/* virtq_pop() that fails the device with the queue. 1 or 0. */
int virtio_pop(struct virtio_device *dev, unsigned queue, struct virtq_chain *chain);
/* virtq_publish() with the interrupt. */
void virtio_publish(struct virtio_device *dev, unsigned queue);
/* config[] changed: the driver is told. */
void virtio_config_changed(struct virtio_device *dev);

#endif
