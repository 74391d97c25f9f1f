/* SPDX-License-Identifier: Apache-2.0 */
/* A state from inside, and its layout; for the files of state/. */
#ifndef DACH_STATE_INTERNAL_H
#define DACH_STATE_INTERNAL_H

#include "state/state.h"

/* The stream begins with this. */
struct state_header {
	char magic[8];
	uint32_t format; /* STATE_FORMAT */
	uint32_t flags;  /* 0; a reader refuses bits that it does not know */
} __attribute__((packed));
#define STATE_MAGIC "dachsave"

/* Before each section's fields. */
struct state_section {
	char name[STATE_NAME_MAX + 1]; /* zeros behind it */
	uint32_t instance, version;
	uint32_t length; /* of the fields, bytes */
	uint32_t crc; /* CRC-32C of the above and the fields, going on from the sections before */
} __attribute__((packed));
#define STATE_LAST "end"

/*
 * A field: the length of its name (1 byte), the name, the width of its values (1 byte: 1, 2, 4 or
 * 8), how many they are (4 bytes), the values.
 */
#define STATE_FIELD_OVERHEAD 6u

struct state {
	struct state_io io;
	const struct state_pages *pages; /* NULL: memory is in the stream */
	int fd;                          /* of state_save_fd() and state_load_fd() */
	const char *name;
	struct error *err;
	int rc; /* the first error */
	bool loading;

	bool inside; /* a section is open */
	bool ahead;  /* section is read, but not begun */
	struct state_section section;
	char group[STATE_NAME_MAX + 1];
	uint32_t crc; /* of all sections so far */
	uint8_t *data;
	size_t length, at, room; /* of data */

	struct state_moment moment;
	uint64_t elapsed;
};

/* Makes data have room for size bytes; false and the error set if there is no memory. */
bool state_room(struct state *s, size_t size);

/* field.c: count values of width bytes, in or out. */
void state_values(struct state *s, const char *name, void *values, unsigned width, size_t count);

#endif
