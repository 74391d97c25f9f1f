/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file or a folder's tree as a stream of bytes, from one machine to another: records, each a header and its
 * payload, numbers little-endian.
 *
 *   FILE, FOLDER, LINK   struct pack_entry, then its path beneath the whole ("" for that itself), a zero, and a
 *                        link's target with a zero
 *   DATA                 u64: where in the file that came last, then bytes; what no record fills is a hole
 *   LEAVE                as FOLDER: all that is in it has come
 *   END                  all has come
 *
 * Devices, sockets and pipes are in no stream. What reads one trusts nothing in it: no path leaves the folder, none
 * goes through a link, everything is bounded; a file has its name when all of it is there.
 */
#ifndef DACH_PACK_PACK_H
#define DACH_PACK_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACK_PATH_MAX 4095u /* bytes, without the end */
#define PACK_DATA_MAX (32u << 10)
#define PACK_WHY 5000 /* bytes for a sentence about what went wrong, with a path */

enum pack_kind { PACK_FILE = 1, PACK_FOLDER, PACK_LINK, PACK_DATA, PACK_LEAVE, PACK_END };

struct pack_header {
	uint32_t kind, length; /* bytes of payload that follow */
};

struct pack_entry {
	uint32_t mode, uid, gid, nsec; /* mode: the low 12 bits */
	int64_t mtime;
	uint64_t size; /* of a file; PACK_UNKNOWN: it ends where its data end */
};
#define PACK_UNKNOWN UINT64_MAX

/* All return 0, or -1 with a sentence in why; an empty one where the other side has told why it ended. */

/*
 * What is at path, links as links, into fd. What is left out is told, a line each, on tell (-1: not), and is no
 * failure.
 */
int pack_write(const char *path, int fd, int tell, char why[PACK_WHY]);
/* What from has to say, as one file. */
int pack_write_stream(int from, int fd, char why[PACK_WHY]);

/*
 * Puts it where to says: into that folder as name, or, where there is no such folder, as to itself. owners: files
 * get the owners and the set-user-ID bits that the stream has; else they are ours, without.
 */
int pack_read(int fd, const char *to, const char *name, bool owners, char why[PACK_WHY]);
/* The bytes of one file; a folder is refused. */
int pack_read_stream(int fd, int to, char why[PACK_WHY]);

#endif
