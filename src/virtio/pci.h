/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio over PCI, modern only (virtio 1.2, 4.1). One memory BAR holds, a page
 * each, the common configuration, the interrupt status, the device's
 * configuration and the notification addresses, one a queue, 4 bytes apart.
 * MSI-X has a vector for each queue and one for configuration changes; without
 * it, INTA#.
 */
#ifndef DACH_VIRTIO_PCI_H
#define DACH_VIRTIO_PCI_H

#include "machine/pci/device.h"
#include "virtio/device.h"

#define VIRTIO_PCI_VENDOR 0x1af4u
#define VIRTIO_PCI_DEVICE 0x1040u /* plus the device's type */

/* The BAR and where its structures lie */
#define VIRTIO_PCI_BAR 2
#define VIRTIO_PCI_MSIX_BAR 1
#define VIRTIO_PCI_BAR_SIZE 0x4000u
#define VIRTIO_PCI_COMMON 0x0000u
#define VIRTIO_PCI_ISR 0x1000u
#define VIRTIO_PCI_CONFIG 0x2000u
#define VIRTIO_PCI_NOTIFY 0x3000u
#define VIRTIO_PCI_NOTIFY_STEP 4u

/* The common configuration (4.1.4.3) */
#define VIRTIO_COMMON_DEVICE_FEATURE_SELECT 0x00
#define VIRTIO_COMMON_DEVICE_FEATURE 0x04
#define VIRTIO_COMMON_DRIVER_FEATURE_SELECT 0x08
#define VIRTIO_COMMON_DRIVER_FEATURE 0x0c
#define VIRTIO_COMMON_CONFIG_VECTOR 0x10
#define VIRTIO_COMMON_NUM_QUEUES 0x12
#define VIRTIO_COMMON_STATUS 0x14
#define VIRTIO_COMMON_GENERATION 0x15
#define VIRTIO_COMMON_QUEUE_SELECT 0x16
#define VIRTIO_COMMON_QUEUE_SIZE 0x18
#define VIRTIO_COMMON_QUEUE_VECTOR 0x1a
#define VIRTIO_COMMON_QUEUE_ENABLE 0x1c
#define VIRTIO_COMMON_QUEUE_NOTIFY_OFF 0x1e
#define VIRTIO_COMMON_QUEUE_DESC 0x20
#define VIRTIO_COMMON_QUEUE_DRIVER 0x28
#define VIRTIO_COMMON_QUEUE_DEVICE 0x30
#define VIRTIO_COMMON_SIZE 0x38

/* Puts an initialized device on the bus. No vCPU runs. */
int virtio_pci_attach(struct virtio_device *dev, struct pci_bus *bus, uint32_t class_code,
	struct error *err);
/*
 * Takes it off the bus again: the guest reaches it no more, and signals none of its eventfds. No vCPU
 * runs. What it has under way may still end, and asks for interrupts in vain. Nothing happens if it is
 * on no bus.
 */
void virtio_pci_remove(struct virtio_device *dev);
/* That, and frees the transport: nothing is under way. Nothing happens if there is none. */
void virtio_pci_detach(struct virtio_device *dev);
/* The PCI function of an attached device. */
struct pci_device *virtio_pci_function(struct virtio_device *dev);

#endif
