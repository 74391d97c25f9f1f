/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done to a queue's ring (queue.h), for device.c, saved states and tests. Devices have verbs of
 * the same names in device.h (virtio_pop() for virtq_pop()), which also fail the device where the guest
 * breaks a rule, and are silent while it does not run.
 */
#ifndef DACH_VIRTIO_RING_H
#define DACH_VIRTIO_RING_H

#include "virtio/queue.h"

/* All as before any driver came. */
void virtq_reset(struct virtq *queue);
/* Has the rings of one that is enabled here, which may have gone while its device stood still. */
bool virtq_find(struct virtq *queue);
/* Takes the driver's size and addresses into use. false: they are not possible. */
bool virtq_enable(struct virtq *queue, bool indirect, bool event_idx);

/*
 * Takes the next chain. 1: there it is; 0: there is none; -EPROTO: the queue is broken, or just
 * became it.
 */
int virtq_pop(struct virtq *queue, struct virtq_chain *chain);
/*
 * How many chains there are, with the guest bound to notify us of the next one after them (unless
 * virtq_ignore() has said otherwise): who then takes exactly these misses none, and a guest that
 * adds for ever keeps nobody here. 0 for a broken queue.
 */
unsigned virtq_arm(struct virtq *queue);
/* Puts the last count chains taken back. */
void virtq_unpop(struct virtq *queue, unsigned count);

/* Gives a chain back, with len bytes written to it. The guest sees it with virtq_publish(). */
void virtq_push(struct virtq *queue, uint16_t head, uint32_t len);
/* Shows the guest all that was given back. true: it wants an interrupt for that. */
bool virtq_publish(struct virtq *queue);

/* The guest need not notify us of new chains (a hint): we look by ourselves for a while. */
void virtq_ignore(struct virtq *queue);
/*
 * The guest is to notify us of more chains than the `seen` that are there. True: there are more already,
 * or the queue is broken, so look again. That ends: each time there is at least one more, and there are
 * at most as many as the queue has entries.
 */
bool virtq_want_more(struct virtq *queue, unsigned seen);

#endif
