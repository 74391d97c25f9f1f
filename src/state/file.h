/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A saved guest as a file: the stream (state.h), and beside it guest memory, in which each page has one
 * place, so that it can be read in any order, while the guest already runs, and pages of zeros are
 * holes. doc/state.md has the layout. A pipe gets the stream alone, with memory in it.
 *
 * A file is not to be trusted, no more than a stream: its header is checked here, the stream by who reads
 * it, and memory against the checksums that the stream has.
 */
#ifndef DACH_STATE_FILE_H
#define DACH_STATE_FILE_H

#include <stdint.h>

#include "state/state.h"

#define STATE_FILE_FORMAT 2u           /* in the place of STATE_FORMAT */
#define STATE_FILE_MEMORY (2ull << 20) /* where the byte of guest address 0 has its place */
/* Behind the header and before memory there is room for who keeps saved guests. */
#define STATE_FILE_NOTE 4096u
#define STATE_FILE_NOTE_END STATE_FILE_MEMORY

struct state_file {
	int fd; /* the caller's */
	const char *name;
	uint64_t memory;  /* where in the file guest address 0 is */
	uint64_t at, end; /* what is not yet read of the stream */
	struct state_pages pages;
};

/* The file's first bytes. Written last: a file without them is no saved guest. */
struct state_file_header {
	char magic[8]; /* as a stream's */
	uint32_t format, flags;
	uint64_t memory, stream, stream_size; /* places in the file, and bytes */
	uint32_t none, crc;                   /* 0; CRC-32C of all before it */
} __attribute__((packed));

/* For a stream of so many bytes at that place. */
void state_file_header(struct state_file_header *header, uint64_t stream, uint64_t stream_size);

/*
 * 1: fd is such a file; it stays open, and file and name where they are, for as long as anything is read.
 * 0: it is something else, a stream maybe; nothing has been read. Or a negative errno.
 */
int state_file_open(struct state_file *file, int fd, const char *name, struct error *err);
/* state_load() of its stream. */
int state_file_load(struct state_file *file, struct state **state, struct error *err);

#endif
