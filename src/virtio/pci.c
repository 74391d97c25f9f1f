/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "machine/pci/bus.h"
#include "state/state.h"

/* Capability types (4.1.4) */
enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI };

/* Offsets in a capability */
enum { CAP_LEN = 2, CAP_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_LENGTH = 12, CAP_EXTRA = 16 };

#define ISR_QUEUE 1u
#define ISR_CONFIG 2u

struct virtio_pci {
	struct pci_device pci;
	struct virtio_device *dev;
	bool removed;                 /* from the bus */
	unsigned window;              /* offset of the capability that gives access to the BAR */
	int event[VIRTIO_QUEUES_MAX]; /* the device's eventfds; -1: notify is called */
	uint64_t event_at[VIRTIO_QUEUES_MAX]; /* by the bus lock: where they are signalled */
	/* by the device's lock */
	uint32_t device_select, driver_select;
	uint16_t queue_select;
	uint8_t isr;
};

static void pci_interrupt(struct virtio_device *dev, int queue)
{
	struct virtio_pci *transport = dev->transport;

	if (pci_msix_enabled(&transport->pci)) {
		pci_msix_notify(&transport->pci,
			queue < 0 ? dev->config_vector : dev->queue[queue].vector);
		return;
	}
	transport->isr |= queue < 0 ? ISR_CONFIG : ISR_QUEUE;
	pci_intx_set(&transport->pci, true);
}

static uint32_t feature_word(uint64_t features, uint32_t select)
{
	return select < 2 ? features >> (32 * select) : 0;
}

static uint64_t common_read(struct virtio_pci *transport, unsigned offset, unsigned size)
{
	struct virtio_device *dev = transport->dev;
	struct virtq *queue =
		transport->queue_select < dev->queues ? &dev->queue[transport->queue_select] : NULL;
	uint8_t common[VIRTIO_COMMON_SIZE + 8] = {0};
	uint64_t value = 0;

#define PUT(at, type, what)                                 \
	do {                                                \
		type put_ = (what);                         \
		memcpy(common + (at), &put_, sizeof(put_)); \
	} while (0)
	PUT(VIRTIO_COMMON_DEVICE_FEATURE_SELECT, uint32_t, transport->device_select);
	PUT(VIRTIO_COMMON_DEVICE_FEATURE, uint32_t,
		feature_word(dev->offered, transport->device_select));
	PUT(VIRTIO_COMMON_DRIVER_FEATURE_SELECT, uint32_t, transport->driver_select);
	PUT(VIRTIO_COMMON_DRIVER_FEATURE, uint32_t,
		feature_word(dev->features, transport->driver_select));
	PUT(VIRTIO_COMMON_CONFIG_VECTOR, uint16_t, dev->config_vector);
	PUT(VIRTIO_COMMON_NUM_QUEUES, uint16_t, dev->queues);
	PUT(VIRTIO_COMMON_STATUS, uint8_t, dev->status);
	PUT(VIRTIO_COMMON_GENERATION, uint8_t, dev->generation);
	PUT(VIRTIO_COMMON_QUEUE_SELECT, uint16_t, transport->queue_select);
	if (queue) {
		PUT(VIRTIO_COMMON_QUEUE_SIZE, uint16_t, queue->size);
		PUT(VIRTIO_COMMON_QUEUE_VECTOR, uint16_t, queue->vector);
		PUT(VIRTIO_COMMON_QUEUE_ENABLE, uint16_t, queue->enabled);
		PUT(VIRTIO_COMMON_QUEUE_NOTIFY_OFF, uint16_t, transport->queue_select);
		PUT(VIRTIO_COMMON_QUEUE_DESC, uint64_t, queue->desc_gpa);
		PUT(VIRTIO_COMMON_QUEUE_DRIVER, uint64_t, queue->avail_gpa);
		PUT(VIRTIO_COMMON_QUEUE_DEVICE, uint64_t, queue->used_gpa);
	}
#undef PUT
	if (offset + size <= VIRTIO_COMMON_SIZE)
		memcpy(&value, common + offset, size);
	return value;
}

static void write_half(uint64_t *field, bool high, uint32_t value)
{
	if (high)
		*field = (uint32_t)*field | (uint64_t)value << 32;
	else
		*field = (*field & ~0xffffffffull) | value;
}

/* A vector that the device does not have reads back as none (4.1.5.1.2.1). */
static uint16_t checked_vector(const struct virtio_pci *transport, uint16_t vector)
{
	return vector < transport->pci.msix.vectors ? vector : VIRTIO_NO_VECTOR;
}

static void queue_write(struct virtio_pci *transport, unsigned offset, unsigned size,
	uint32_t value)
{
	struct virtio_device *dev = transport->dev;
	unsigned index = transport->queue_select;
	unsigned width = offset < VIRTIO_COMMON_QUEUE_DESC ? 2 : 4;
	struct virtq *queue;

	if (index >= dev->queues || size != width)
		return;
	queue = &dev->queue[index];
	if (offset == VIRTIO_COMMON_QUEUE_VECTOR)
		queue->vector = checked_vector(transport, value);
	else if (queue->enabled)
		return;
	else if (offset == VIRTIO_COMMON_QUEUE_SIZE)
		queue->size = value;
	else if (offset == VIRTIO_COMMON_QUEUE_ENABLE && value == 1)
		virtio_queue_enable(dev, index);
	else if ((offset & ~4u) == VIRTIO_COMMON_QUEUE_DESC)
		write_half(&queue->desc_gpa, offset & 4, value);
	else if ((offset & ~4u) == VIRTIO_COMMON_QUEUE_DRIVER)
		write_half(&queue->avail_gpa, offset & 4, value);
	else if ((offset & ~4u) == VIRTIO_COMMON_QUEUE_DEVICE)
		write_half(&queue->used_gpa, offset & 4, value);
}

/* Each field at its own width, 64-bit ones as two halves (4.1.3.1); all else is ignored. */
static void common_write(struct virtio_pci *transport, unsigned offset, unsigned size,
	uint32_t value)
{
	struct virtio_device *dev = transport->dev;

	if (dev->resetting)
		return;
	if (offset == VIRTIO_COMMON_STATUS && size == 1) {
		virtio_set_status(dev, value);
		if (dev->status)
			return;
		transport->device_select = transport->driver_select = 0;
		transport->queue_select = 0;
		transport->isr = 0;
		pci_intx_set(&transport->pci, false);
	} else if (offset == VIRTIO_COMMON_DEVICE_FEATURE_SELECT && size == 4) {
		transport->device_select = value;
	} else if (offset == VIRTIO_COMMON_DRIVER_FEATURE_SELECT && size == 4) {
		transport->driver_select = value;
	} else if (offset == VIRTIO_COMMON_DRIVER_FEATURE && size == 4) {
		if (transport->driver_select < 2 && !(dev->status & VIRTIO_CONFIG_S_FEATURES_OK))
			write_half(&dev->features, transport->driver_select, value);
	} else if (offset == VIRTIO_COMMON_CONFIG_VECTOR && size == 2) {
		dev->config_vector = checked_vector(transport, value);
	} else if (offset == VIRTIO_COMMON_QUEUE_SELECT && size == 2) {
		transport->queue_select = value;
	} else if (offset >= VIRTIO_COMMON_QUEUE_SIZE && offset < VIRTIO_COMMON_SIZE) {
		queue_write(transport, offset, size, value);
	}
}

static uint64_t config_read(struct virtio_device *dev, unsigned offset, unsigned size)
{
	uint64_t value = 0;

	if (offset + size <= dev->config_size)
		memcpy(&value, dev->config + offset, size);
	if (dev->ops->config_seen)
		dev->ops->config_seen(dev, offset, size);
	return value;
}

static uint64_t bar_read(void *ctx, uint64_t offset, unsigned size)
{
	struct virtio_pci *transport = ctx;
	struct virtio_device *dev = transport->dev;
	unsigned at = offset & 0xfff;
	uint64_t value = 0;

	mutex_lock(&dev->lock);
	switch (offset & ~0xfffull) {
	case VIRTIO_PCI_COMMON:
		value = common_read(transport, at, size);
		break;
	case VIRTIO_PCI_ISR:
		if (at == 0) { /* reading acknowledges (4.1.4.5) */
			value = transport->isr;
			transport->isr = 0;
			pci_intx_set(&transport->pci, false);
		}
		break;
	case VIRTIO_PCI_CONFIG:
		value = config_read(dev, at, size);
		break;
	}
	mutex_unlock(&dev->lock);
	return value;
}

static void bar_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct virtio_pci *transport = ctx;
	struct virtio_device *dev = transport->dev;
	unsigned at = offset & 0xfff;

	if (offset >= VIRTIO_PCI_NOTIFY) {
		if (at / VIRTIO_PCI_NOTIFY_STEP < dev->queues)
			dev->ops->notify(dev, at / VIRTIO_PCI_NOTIFY_STEP);
		return;
	}
	mutex_lock(&dev->lock);
	if (offset < VIRTIO_PCI_ISR)
		common_write(transport, at, size, value);
	else if (offset >= VIRTIO_PCI_CONFIG && at + size <= dev->config_size &&
		dev->ops->config_write && !dev->resetting)
		dev->ops->config_write(dev, at, size, value);
	mutex_unlock(&dev->lock);
}

static const struct bus_ops bar_ops = {
	.read = bar_read,
	.write = bar_write,
	.sizes = 1 | 2 | 4,
	.aligned = true,
};

/*
 * The window (4.1.4.9): configuration space names a place in the BAR; touching the capability's
 * last four bytes touches that place. Returns its width, or 0 if it names nothing.
 */
static unsigned window_place(struct virtio_pci *transport, unsigned offset, unsigned size,
	uint32_t *place)
{
	unsigned cap = transport->window, data = cap + CAP_EXTRA;
	uint32_t length = pci_config_get(&transport->pci, cap + CAP_LENGTH, 4);

	if (offset + size <= data || offset >= data + 4)
		return 0;
	*place = pci_config_get(&transport->pci, cap + CAP_OFFSET, 4);
	if (transport->pci.config[cap + CAP_BAR] != VIRTIO_PCI_BAR)
		return 0;
	if ((length != 1 && length != 2 && length != 4) || *place % length)
		return 0;
	return *place < VIRTIO_PCI_BAR_SIZE ? length : 0;
}

static void window_read(struct pci_device *pci, unsigned offset, unsigned size)
{
	struct virtio_pci *transport = container_of(pci, struct virtio_pci, pci);
	uint32_t place;
	unsigned length = window_place(transport, offset, size, &place);

	if (length)
		pci_config_set(pci, transport->window + CAP_EXTRA, length,
			bar_read(transport, place, length));
}

static void window_write(struct pci_device *pci, unsigned offset, unsigned size)
{
	struct virtio_pci *transport = container_of(pci, struct virtio_pci, pci);
	uint32_t place;
	unsigned length = window_place(transport, offset, size, &place);

	if (length)
		bar_write(transport, place, length,
			pci_config_get(pci, transport->window + CAP_EXTRA, length));
}

static void machine_was_reset(struct pci_device *pci)
{
	struct virtio_pci *transport = container_of(pci, struct virtio_pci, pci);

	mutex_lock(&transport->dev->lock);
	common_write(transport, VIRTIO_COMMON_STATUS, 1, 0);
	mutex_unlock(&transport->dev->lock);
}

static void describe(struct pci_device *pci, struct state *s)
{
	struct virtio_pci *transport = container_of(pci, struct virtio_pci, pci);
	struct virtio_device *dev = transport->dev;

	mutex_lock(&dev->lock);
	state_begin(s, dev->name, pci_instance(pci), 1);
	state_u32(s, "device_feature_select", &transport->device_select);
	state_u32(s, "driver_feature_select", &transport->driver_select);
	state_u16(s, "queue_select", &transport->queue_select);
	state_u8(s, "isr", &transport->isr);
	virtio_describe(dev, s);
	state_end(s);
	if (state_loading(s)) {
		dev->config_vector = checked_vector(transport, dev->config_vector);
		for (unsigned i = 0; i < dev->queues; i++)
			dev->queue[i].vector = checked_vector(transport, dev->queue[i].vector);
	}
	mutex_unlock(&dev->lock);
}

static void quiesce(struct pci_device *pci, bool quiet)
{
	virtio_quiesce(container_of(pci, struct virtio_pci, pci)->dev, quiet);
}

static bool busy(struct pci_device *pci)
{
	return virtio_busy(container_of(pci, struct virtio_pci, pci)->dev);
}

/* Notifications reach the device without a vCPU's thread, where that can be had. */
static void bar_mapped(struct pci_device *pci, unsigned bar, uint64_t gpa)
{
	struct virtio_pci *transport = container_of(pci, struct virtio_pci, pci);
	const struct pci_owner *owner = &pci->bus->owner;

	if (bar != VIRTIO_PCI_BAR || !owner->notify_fd)
		return;
	for (unsigned i = 0; i < transport->dev->queues; i++) {
		uint64_t *at = &transport->event_at[i], place;

		if (transport->event[i] < 0)
			continue;
		if (*at != PCI_NO_ADDRESS)
			owner->notify_fd(owner->ctx, *at, transport->event[i], false);
		*at = PCI_NO_ADDRESS;
		if (gpa == PCI_NO_ADDRESS)
			continue;
		place = gpa + VIRTIO_PCI_NOTIFY + i * VIRTIO_PCI_NOTIFY_STEP;
		if (!owner->notify_fd(owner->ctx, place, transport->event[i], true))
			*at = place;
	}
}

static const struct pci_device_ops pci_ops = {
	.config_read = window_read,
	.config_write = window_write,
	.bar_mapped = bar_mapped,
	.reset = machine_was_reset,
	.quiesce = quiesce,
	.busy = busy,
	.describe = describe,
};

static int add_cap(struct virtio_pci *transport, unsigned type, uint32_t offset, uint32_t length,
	unsigned extra)
{
	int cap = pci_add_capability(&transport->pci, PCI_CAP_VENDOR, CAP_EXTRA + extra);

	if (cap < 0)
		return cap;
	pci_config_set(&transport->pci, cap + CAP_LEN, 1, CAP_EXTRA + extra);
	pci_config_set(&transport->pci, cap + CAP_TYPE, 1, type);
	pci_config_set(&transport->pci, cap + CAP_BAR, 1, type == CAP_PCI ? 0 : VIRTIO_PCI_BAR);
	pci_config_set(&transport->pci, cap + CAP_OFFSET, 4, offset);
	pci_config_set(&transport->pci, cap + CAP_LENGTH, 4, length);
	return cap;
}

static int add_caps(struct virtio_pci *transport)
{
	struct virtio_device *dev = transport->dev;
	uint8_t *wmask = transport->pci.wmask;
	int notify, window;

	if (add_cap(transport, CAP_COMMON, VIRTIO_PCI_COMMON, VIRTIO_COMMON_SIZE, 0) < 0 ||
		add_cap(transport, CAP_ISR, VIRTIO_PCI_ISR, 1, 0) < 0)
		return -ENOSPC;
	if (dev->config_size &&
		add_cap(transport, CAP_DEVICE, VIRTIO_PCI_CONFIG, dev->config_size, 0) < 0)
		return -ENOSPC;
	notify = add_cap(transport, CAP_NOTIFY, VIRTIO_PCI_NOTIFY,
		dev->queues * VIRTIO_PCI_NOTIFY_STEP, 4);
	window = add_cap(transport, CAP_PCI, 0, 0, 4);
	if (notify < 0 || window < 0)
		return -ENOSPC;
	pci_config_set(&transport->pci, notify + CAP_EXTRA, 4, VIRTIO_PCI_NOTIFY_STEP);
	wmask[window + CAP_BAR] = 0xff;
	memset(wmask + window + CAP_OFFSET, 0xff, 12);
	transport->window = window;
	return 0;
}

int virtio_pci_attach(struct virtio_device *dev, struct pci_bus *bus, uint32_t class_code,
	struct error *err)
{
	const struct pci_ids ids = {
		.vendor = VIRTIO_PCI_VENDOR,
		.device = VIRTIO_PCI_DEVICE + dev->id,
		.subsystem_vendor = VIRTIO_PCI_VENDOR,
		.subsystem = VIRTIO_PCI_DEVICE + dev->id,
		.class_code = class_code,
		.revision = 1, /* a non-transitional device's (4.1.2.1) */
	};
	struct virtio_pci *transport = calloc(1, sizeof *transport);
	int r;

	if (!transport)
		return error_nomem(err);
	transport->dev = dev;
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		bool ask = bus->owner.notify_fd && dev->ops->start_notify_thread && i < dev->queues;

		transport->event[i] = ask ? dev->ops->start_notify_thread(dev, i) : -1;
		transport->event_at[i] = PCI_NO_ADDRESS;
	}
	pci_device_init(&transport->pci, dev->name, &ids, &pci_ops);
	pci_use_intx(&transport->pci);
	r = pci_msix_init(&transport->pci, VIRTIO_PCI_MSIX_BAR, dev->queues + 1);
	if (!r)
		r = pci_add_bar(&transport->pci, VIRTIO_PCI_BAR, VIRTIO_PCI_BAR_SIZE, 0, &bar_ops,
			transport, NULL);
	if (!r && dev->rom)
		r = pci_add_rom(&transport->pci, dev->rom, dev->rom_size);
	if (!r)
		r = add_caps(transport);
	if (r)
		error_set(err, -r, "%s: cannot be laid out as a PCI device", dev->name);
	else
		r = pci_bus_add(bus, &transport->pci, err);
	if (r) {
		pci_device_destroy(&transport->pci);
		free(transport);
		return r;
	}
	dev->transport = transport;
	dev->interrupt = pci_interrupt;
	return 0;
}

void virtio_pci_remove(struct virtio_device *dev)
{
	struct virtio_pci *transport = dev->transport;

	/* The only function of its slot: it can go. */
	if (transport && !transport->removed)
		transport->removed = !pci_bus_remove(&transport->pci, NULL);
}

void virtio_pci_detach(struct virtio_device *dev)
{
	struct virtio_pci *transport = dev->transport;

	if (!transport)
		return;
	virtio_pci_remove(dev);
	dev->transport = NULL;
	pci_device_destroy(&transport->pci);
	free(transport);
}

struct pci_device *virtio_pci_function(struct virtio_device *dev)
{
	struct virtio_pci *transport = dev->transport;

	return &transport->pci;
}
