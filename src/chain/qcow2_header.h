/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first cluster of a qcow2 image, whose bytes nobody trusts. Source: QEMU's docs/interop/qcow2,
 * "Header" to "Bitmaps extension". Sizes and offsets are bytes unless a name says otherwise.
 */
#ifndef DACH_CHAIN_QCOW2_HEADER_H
#define DACH_CHAIN_QCOW2_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define QCOW2_MAGIC 0x514649fbu
#define QCOW2_HEADER_READ (64u << 10) /* of the file's beginning is enough */
#define QCOW2_HEADER_V2 72u
#define QCOW2_HEADER_V3 104u
#define QCOW2_CLUSTER_BITS_MIN 9u
#define QCOW2_CLUSTER_BITS_MAX 21u
#define QCOW2_EXTENDED_BITS_MIN 14u
#define QCOW2_L1_MAX (32u << 20)
#define QCOW2_REFTABLE_MAX (8u << 20)
#define QCOW2_SNAPSHOTS_MAX 65536u
#define QCOW2_BACKING_MAX 1023u

/* Incompatible features. */
#define QCOW2_DIRTY (1ull << 0)
#define QCOW2_CORRUPT (1ull << 1)
#define QCOW2_DATA_FILE (1ull << 2)
#define QCOW2_COMPRESSION (1ull << 3)
#define QCOW2_EXTENDED_L2 (1ull << 4)
#define QCOW2_INCOMPATIBLE_KNOWN 0x1full
#define QCOW2_LAZY_REFCOUNTS (1ull << 0) /* compatible */
#define QCOW2_BITMAPS (1ull << 0)        /* autoclear */

/* A header extension; what it has is in struct qcow2_header. */
#define QCOW2_EXTENSION_BITMAPS 0x23852875u
#define QCOW2_EXTENSION_BITMAPS_SIZE 24u

enum qcow2_compression { QCOW2_ZLIB, QCOW2_ZSTD };

/* Where fields lie that are written again while the image is in use. */
#define QCOW2_AT_BACKING 8u /* offset (8), length (4) */
#define QCOW2_AT_SIZE 24u
#define QCOW2_AT_L1 36u        /* entries (4), offset (8) */
#define QCOW2_AT_REFTABLE 48u  /* offset (8), clusters (4) */
#define QCOW2_AT_SNAPSHOTS 60u /* count (4), offset (8) */
#define QCOW2_AT_INCOMPATIBLE 72u
#define QCOW2_AT_AUTOCLEAR 88u

struct qcow2_header {
	unsigned version, length, cluster_bits, refcount_order;
	uint64_t size; /* of the guest's disk */
	uint64_t l1_offset, reftable_offset, snapshots_offset;
	uint32_t l1_entries, reftable_clusters, snapshots;
	uint64_t incompatible, compatible, autoclear;
	/* A header extension; what it has is in struct qcow2_header. */
#define QCOW2_EXTENSION_BITMAPS 0x23852875u
#define QCOW2_EXTENSION_BITMAPS_SIZE 24u

	enum qcow2_compression compression;
	uint32_t bitmaps; /* 0: no such extension */
	uint64_t bitmaps_offset, bitmaps_size;
	char backing[QCOW2_BACKING_MAX + 1]; /* "": none */
	char backing_format[16];             /* "": not said, or a name that is longer */
};

/*
 * bytes: the file's first, at most QCOW2_HEADER_READ. What cannot be used at all is refused by its name:
 * -EINVAL what breaks the format, -ENOTSUP what it has and we do not. Tables are in range of what a file can
 * be, not of this one.
 */
int qcow2_header_parse(const void *bytes, size_t size, const char *name,
	struct qcow2_header *header, struct error *err);

/*
 * Has a header name another base: *at is where its name then is, beside the old one, and all else that has changed
 * lies in the first QCOW2_SECTOR bytes. bytes: as above, of a header that has been parsed, and that names a base and its format. -ENOSPC:
 * there is no room for the name; -EINVAL: what would have to change lies elsewhere.
 */
#define QCOW2_SECTOR 512u
int qcow2_header_rebase(void *bytes, size_t size, const char *base, const char *format, size_t *at);

/* Big-endian numbers, wherever they lie. */
static inline uint64_t qcow2_get(const void *at, unsigned size)
{
	const uint8_t *byte = at;
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value = value << 8 | byte[i];
	return value;
}

static inline void qcow2_put(void *at, unsigned size, uint64_t value)
{
	uint8_t *byte = at;

	for (unsigned i = size; i-- > 0; value >>= 8)
		byte[i] = (uint8_t)value;
}

#endif
