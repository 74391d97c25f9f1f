/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that goes from one process to another, on this host or one that has the same storage, while a guest has it:
 *
 *   the one that gives    block_give(), and block_give_back() should the other not want it after all
 *   the one that takes    block_open() with spec.later: it is only looked at, and has its size; block_lock(), once the
 *                         other has given it; block_take(): it is read anew, and written to from then on
 *
 * Nothing is written to it by who takes it before block_take(): until then the other may have it back as it was. No
 * request comes between the first of these and the last. Any thread but a disk's own; each blocks.
 */
#ifndef DACH_BLOCK_HANDOVER_H
#define DACH_BLOCK_HANDOVER_H

#include "block/block.h"

/* All is stable and all locks are gone; closing it writes nothing any more. Checkpoints are lost with it. Refused while it is copied. */
int block_give(struct block_device *block, struct error *err);
/* It is this process's again: -EBUSY where another has it. Nothing happens to one that was not given. */
int block_give_back(struct block_device *block, struct error *err);
/* Its locks: -EBUSY where another has it. Nothing happens to one that is this process's. */
int block_lock(struct block_device *block, struct error *err);
int block_take(struct block_device *block, struct error *err);

#endif
