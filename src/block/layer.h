/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in use gets a new, empty image on top. What it was until then is the base: it is only read from that
 * moment on, and holds what had been written in it by then; what is written afterwards goes to the new image.
 * Of several disks it is one moment:
 *
 *   block_layer_open()     for each disk, with a new image that its opener has made; nothing changes yet
 *   block_layers_hold()    requests that come wait; those under way end; what they wrote is stable
 *   block_layers_put()     the images change places, and the requests that wait go on there
 *   block_layers_release() or nothing has changed, and they go on as before
 *
 * Between hold and put the files of all these disks are one moment of their guest, if what it sees of ended
 * requests matters: that is told within the hold, before it returns. A device that waits for its requests to end
 * (a machine about to be saved) must not wait for those of a disk that is held, so it does so before.
 *
 * The images' names are the caller's to remember before put(): a new image over its base is right even while
 * the base is still written to, because it is empty; the base without it is not.
 *
 * Any thread but a disk's own; of one disk one at a time.
 */
#ifndef DACH_BLOCK_LAYER_H
#define DACH_BLOCK_LAYER_H

#include "block/block.h"

struct block_layer;

/*
 * The new image: qcow2, empty, of the disk's size, with a backing file of the present image's format. Its
 * descriptor, open for reading and writing, is the layer's from here on, on failure too. Refused for a disk that is
 * read-only, or whose chain would become longer than LIMIT_CHAIN.
 */
int block_layer_open(struct block_device *block, const struct disk_file *file,
	struct block_layer **layer, struct error *err);
/* One that was not put. NULL is allowed. */
void block_layer_close(struct block_layer *layer);

/*
 * 0, or a negative errno and nothing is held. timeout: ns that the guest's requests may have to wait here;
 * -ETIMEDOUT after that.
 */
int block_layers_hold(struct block_layer *const *layer, unsigned count, uint64_t timeout,
	struct error *err);
/* clock_now() when its disk's requests began to wait. */
uint64_t block_layer_since(const struct block_layer *layer);
/* Cannot fail. The layers are gone. */
void block_layers_put(struct block_layer *const *layer, unsigned count);
void block_layers_release(struct block_layer *const *layer, unsigned count);

#endif
