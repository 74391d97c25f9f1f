/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's saved state: a stream of named, versioned, checksummed sections,
 * each a list of named fields. doc/state.md has the layout. It is written and
 * read from front to back, never seeking, so that a file, a pipe and a socket
 * do alike. Numbers are little-endian, as the host is.
 *
 * Who owns a part of the guest describes its fields once, for both directions:
 *
 *	state_begin(s, "pit", 0, 1);
 *	state_u8(s, "speaker", &pit->speaker);
 *	state_end(s);
 *
 * While saving, the values are written. While loading, the stream must have
 * this section and this field next, of this width and count, and the value is
 * put there.
 *
 * Errors stick: after the first one all calls do nothing and loaded values stay
 * as they were. So a describing function needs to check nothing but what it
 * computes with, and who called it looks at state_ok() or state_finish().
 *
 * A state that is loaded is not to be trusted: sections and fields are bounded
 * here; what values mean is checked by who knows, with state_require().
 */
#ifndef DACH_STATE_STATE_H
#define DACH_STATE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define STATE_FORMAT 1u              /* the layout of header, sections and fields */
#define STATE_SECTION_MAX (2u << 20) /* bytes of a section's fields */
#define STATE_NAME_MAX 31u           /* of a section or a field, without the end */

/* Where the bytes go to or come from. */
struct state_io {
	/* All of len bytes; 0, or a negative errno. */
	int (*write)(void *ctx, const void *data, size_t len);
	/* Up to len bytes; how many, 0 at the end, or a negative errno. */
	long (*read)(void *ctx, void *data, size_t len);
	/* While saving: so many bytes of the guest are done. 0, or a negative errno to end it. NULL: nobody asks. */
	int (*seen)(void *ctx, uint64_t bytes);
	void *ctx;
};

/*
 * Guest memory that is not in the stream but beside it, each page at a place of its own: the stream then has
 * only which pages there are, and their checksums. ctx is not the state's. 0 or a negative errno.
 */
struct state_pages {
	int (*write)(void *ctx, uint64_t gpa, const void *data, size_t len);
	int (*read)(void *ctx, uint64_t gpa, void *data, size_t len); /* any thread */
	void *ctx;
	bool later; /* read() goes on being there: memory may be read when it is touched */
};

struct state;

/*
 * Begins to save or to load. name is for messages ("web.state"), and outlives the state, as does
 * err, which gets the first error's sentence.
 */
int state_save(const struct state_io *io, const char *name, struct state **state,
	struct error *err);
int state_load(const struct state_io *io, const char *name, struct state **state,
	struct error *err);
/* The same on a file descriptor, which stays the caller's. */
int state_save_fd(int fd, const char *name, struct state **state, struct error *err);
int state_load_fd(int fd, const char *name, struct state **state, struct error *err);
/* The last section: all is there. 0, or the first error. Nothing behind it is read. */
int state_finish(struct state *s);
void state_destroy(struct state *s); /* NULL is allowed */

/* Memory is beside the stream; before anything is saved or loaded. pages outlives the state. */
void state_beside(struct state *s, const struct state_pages *pages);
/* NULL: it is in the stream. */
const struct state_pages *state_pages(const struct state *s);
/* Bytes from that place on. Errors are the state's. */
void state_write_pages(struct state *s, uint64_t gpa, const void *data, size_t len);
/* CRC-32C (Castagnoli, RFC 3720 appendix B.4) over what came before and these bytes; start with 0. */
uint32_t state_checksum(uint32_t crc, const void *data, size_t len);

bool state_loading(const struct state *s);
bool state_ok(const struct state *s);
/* A failure that is not the stream's own. A sentence without the state's name and section. */
void state_fail(struct state *s, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* While loading: what was loaded must be so; what: "a mode beyond 5", "no memory there". */
void state_require(struct state *s, bool holds, const char *what);

/*
 * A section. instance tells several of a name apart. version is what this program writes; while
 * loading it is the newest that it reads, and state_version() is what the stream has (saving, what is
 * written). So a field that came with version 2 is described, for both directions, as
 *
 *	if (state_version(s) >= 2)
 *		state_u8(s, "mode", &pit->mode);
 *
 * and keeps its reset value when an older state is loaded. An older program refuses the newer section.
 */
void state_begin(struct state *s, const char *name, uint32_t instance, uint32_t version);
uint32_t state_version(const struct state *s);
/*
 * For what few guests have: a part that is written only if this one's is not as after a reset. True: describe
 * its fields now. Saving, that is `needed`; loading, whether the stream has the part here. A state without
 * it is as it was before the part was thought of, so an older program reads it; one with it, it refuses.
 */
bool state_optional(struct state *s, const char *name, bool needed);
void state_end(struct state *s);
/* While saving: sections that another state was written as, whole ones, follow here. */
void state_splice(struct state *s, const void *sections, size_t len);
/* While saving: so much of the guest's memory has been looked at since the last time (state_io.seen). */
void state_seen(struct state *s, uint64_t bytes);
/* While loading, between sections: whether the next one is called so. False after an error. */
bool state_next_is(struct state *s, const char *name);

/* Puts NAMEn. before the names of the fields that follow; NULL ends that. */
void state_group(struct state *s, const char *name, unsigned n);

void state_bool(struct state *s, const char *name, bool *value);
void state_u8(struct state *s, const char *name, uint8_t *value);
void state_u16(struct state *s, const char *name, uint16_t *value);
void state_u32(struct state *s, const char *name, uint32_t *value);
void state_u64(struct state *s, const char *name, uint64_t *value);
void state_i64(struct state *s, const char *name, int64_t *value);
/* Exactly count of them. */
void state_bytes(struct state *s, const char *name, void *values, size_t count);
void state_u32s(struct state *s, const char *name, uint32_t *values, size_t count);
void state_u64s(struct state *s, const char *name, uint64_t *values, size_t count);
/* A text for people; loading, size bytes are there for it, its end included. */
void state_text(struct state *s, const char *name, char *text, size_t size);
/*
 * Bytes without a copy: saving, *data and *count say which; loading, they are set to where the
 * section holds them until it ends, (NULL, 0) after an error.
 */
void state_blob(struct state *s, const char *name, const void **data, size_t *count);

/*
 * Time. All moments of a state are told relative to one, when the guest stood still: that of the
 * section "clock" (time.c). While the guest is saved its time goes on, as if its processors just
 * had not run: what was due in between is due at once.
 */
struct state_moment {
	uint64_t real;      /* CLOCK_REALTIME, ns */
	uint64_t monotonic; /* CLOCK_MONOTONIC, ns */
	uint64_t tsc;       /* the host's */
};
/*
 * Saving: takes the moment. Loading: what the saved moment would be on this host's clocks: as long
 * ago as the saving was, by the time of day. Before anything that has a time.
 */
void state_clock(struct state *s);
/* How long ago the moment was: 0 while saving, ns. */
uint64_t state_elapsed(const struct state *s);
const struct state_moment *state_now(const struct state *s);
/*
 * A moment of CLOCK_MONOTONIC, 0 meaning none. Loading, one that would lie before this host's
 * start becomes 1.
 */
void state_time(struct state *s, const char *name, uint64_t *time);

#endif
