/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system device (virtio 1.2, 5.11): FUSE's requests, which a process at the other end of a socket answers
 * (share/message.h). That one is not trusted, and neither is the guest: an answer goes where its request has room for
 * it, and no further. Nothing of it is in a saved state.
 */
#ifndef DACH_VIRTIO_FS_H
#define DACH_VIRTIO_FS_H

#include "base/error.h"
#include "machine/memory.h"

#define VIRTIO_FS_TAG 36u /* bytes of the name that a guest mounts it by */

struct pci_bus;
struct virtio_fs;

struct virtio_fs_owner {
	void *ctx;
	/* The process has gone, or makes no sense: every request gets EIO from now on. The device's thread. */
	void (*lost)(void *ctx);
};

/* socket stays the caller's, until the device is gone. A thread of it starts. No vCPU runs. */
int virtio_fs_create(struct pci_bus *bus, struct memory *memory, const char *tag, int socket,
	const struct virtio_fs_owner *owner, struct virtio_fs **fs, struct error *err);
/* No vCPU runs. NULL is allowed. */
void virtio_fs_destroy(struct virtio_fs *fs);

#endif
