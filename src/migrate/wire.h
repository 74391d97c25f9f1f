/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What two monitors say to each other while a guest moves from one to the other: frames over one connection in both
 * directions, which may come from anywhere. doc/migration.md has their order, and who runs the guest when.
 *
 * A frame is its type (4 bytes), its length (4 bytes) and that many bytes, at most WIRE_PIECE, or of a DISK so many behind its
 * head. Little-endian.
 *
 *   HELLO    "dachmove" and the version of all this (4 bytes). The source says it first; the destination, once it has
 *            read what the machine must be and has one like it
 *   STATE    a piece of the guest's state (state/state.h), which ends where that says
 *   DISK     a piece of a disk that goes along: struct wire_disk, and of WIRE_DISK_DATA its bytes. Only between pieces of the state
 *   MARK     all before it has been taken: the source says it between pieces of the state, and the destination gives it back
 *   READY    the destination has all of it, and the locks of its disks
 *   GO       the guest is the destination's, and the source's no more
 *   RUNNING  it runs there
 *   FAILED   a sentence for people, at most WIRE_TEXT bytes: what has gone wrong on that side
 */
#ifndef DACH_MIGRATE_WIRE_H
#define DACH_MIGRATE_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define WIRE_VERSION 2u
#define WIRE_PIECE (256u << 10)
#define WIRE_TEXT 480u

enum wire_type {
	WIRE_HELLO = 1,
	WIRE_STATE,
	WIRE_READY,
	WIRE_GO,
	WIRE_RUNNING,
	WIRE_FAILED,
	WIRE_DISK,
	WIRE_MARK,
};

enum wire_disk_what {
	WIRE_DISK_DATA = 1,
	WIRE_DISK_ZEROES, /* it reads so there */
	WIRE_DISK_STABLE, /* what has come is to be so */
	WIRE_DISK_WHOLE,  /* nothing more comes: its length is the disk's */
};

struct wire_disk {
	uint32_t disk; /* its number in the machine */
	uint32_t what;
	uint64_t offset, length; /* bytes */
} __attribute__((packed));

struct wire_io {
	/* All of len bytes; 0, or a negative errno. */
	int (*write)(void *ctx, const void *data, size_t len);
	/* Up to len bytes; how many, 0 at the end, or a negative errno: -ETIMEDOUT, nothing came for too long. */
	long (*read)(void *ctx, void *data, size_t len);
	void *ctx;
};

/* One side's end. Not for two threads at once. */
struct wire {
	struct wire_io io;
	uint32_t left;       /* of a STATE frame that is being read */
	uint64_t sent;       /* bytes */
	struct error failed; /* what the other side has said, if it has failed */
	/*
	 * What is done with a piece of a disk; NULL: none may come. Its numbers are as they came, but data has length bytes,
	 * at most WIRE_PIECE. 0 or a negative errno, which wire_read_state() returns.
	 */
	int (*disk)(void *ctx, const struct wire_disk *piece, void *data);
	void *disk_ctx;
	size_t used;
	uint8_t piece[8 + WIRE_PIECE]; /* a STATE frame that is being filled */
};

void wire_init(struct wire *wire, const struct wire_io *io);
/* A frame at once, behind the state that was written before it. 0 or a negative errno. */
int wire_send(struct wire *wire, enum wire_type type, const void *data, size_t len);
int wire_send_hello(struct wire *wire);
/* The sentence is cut off where it is too long. */
int wire_send_failed(struct wire *wire, const char *text);
/*
 * Waits for a frame of this type, and nothing else: 0; -EREMOTEIO, the other side has failed, and its sentence is the
 * error; -ECONNRESET, it has gone; -ETIMEDOUT; -EPROTO, it says something else.
 */
int wire_expect(struct wire *wire, enum wire_type type, struct error *err);

int wire_send_disk(struct wire *wire, const struct wire_disk *piece, const void *data);

/* The guest's state: as state_io.write and .read, with the wire as ctx. What was written goes when there is a piece of it ... */
int wire_write_state(void *wire, const void *data, size_t len);
long wire_read_state(void *wire, void *data, size_t len);
/* ... or now. */
int wire_flush(struct wire *wire);

#endif
