/* SPDX-License-Identifier: Apache-2.0 */
#include "chain/qcow2_header.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define EXTENSION_END 0u
#define EXTENSION_BACKING_FORMAT 0xe2792acau
#define EXTENSION_FEATURES 0x6803f857u
#define FEATURE_SIZE 48u
#define FEATURE_NAME 46u
#define OFFSET_MAX (1ull << 56)

struct parse {
	const uint8_t *bytes;
	size_t size; /* of what is there of the first cluster */
	const char *name;
	struct qcow2_header *header;
	struct error *err;
	const uint8_t *features; /* the table of their names */
	size_t features_size;
};

static int refuse(struct parse *p, const char *says)
{
	return error_set(p->err, EINVAL, "%s: not a sound qcow2 image: %s", p->name, says);
}

static int lacks(struct parse *p, const char *what)
{
	return error_set(p->err, ENOTSUP, "%s: has %s, which dach does not do", p->name, what);
}

/* An unknown feature, by the name that the image itself has for it. */
static int lacks_feature(struct parse *p, uint64_t unknown)
{
	unsigned bit = (unsigned)__builtin_ctzll(unknown);

	for (size_t at = 0; at + FEATURE_SIZE <= p->features_size; at += FEATURE_SIZE) {
		const uint8_t *feature = p->features + at;

		if (feature[0] == 0 && feature[1] == bit)
			return error_set(p->err, ENOTSUP,
				"%s: has the feature '%.*s', which dach does not do", p->name,
				(int)FEATURE_NAME, (const char *)feature + 2);
	}
	return error_set(p->err, ENOTSUP, "%s: has feature %u, which dach does not know", p->name,
		bit);
}

static int take_extension(struct parse *p, uint32_t type, const uint8_t *data, uint32_t length)
{
	struct qcow2_header *h = p->header;

	switch (type) {
	case EXTENSION_BACKING_FORMAT:
		if (length < sizeof h->backing_format) {
			memcpy(h->backing_format, data, length);
			h->backing_format[length] = 0;
		}
		break;
	case EXTENSION_FEATURES:
		p->features = data;
		p->features_size = length;
		break;
	case QCOW2_EXTENSION_BITMAPS:
		if (length != QCOW2_EXTENSION_BITMAPS_SIZE)
			return refuse(p, "its list of bitmaps has another length than 24");
		h->bitmaps = (uint32_t)qcow2_get(data, 4);
		h->bitmaps_size = qcow2_get(data + 8, 8);
		h->bitmaps_offset = qcow2_get(data + 16, 8);
		break;
	}
	return 0;
}

static int take_extensions(struct parse *p, size_t end)
{
	size_t at = p->header->length;

	while (at + 8 <= end) {
		uint32_t type = (uint32_t)qcow2_get(p->bytes + at, 4);
		uint32_t length = (uint32_t)qcow2_get(p->bytes + at + 4, 4);
		int r;

		at += 8;
		if (type == EXTENSION_END)
			break;
		if (length > end - at)
			return refuse(p, "an extension of its header is longer than there is room");
		r = take_extension(p, type, p->bytes + at, length);
		if (r)
			return r;
		at += (length + 7ull) & ~7ull;
	}
	return 0;
}

static int take_backing(struct parse *p, size_t *end)
{
	uint64_t offset = qcow2_get(p->bytes + 8, 8);
	uint32_t length = (uint32_t)qcow2_get(p->bytes + 16, 4);

	*end = p->size;
	if (!offset)
		return 0;
	if (!length || length > QCOW2_BACKING_MAX || offset < p->header->length ||
		offset > p->size || length > p->size - offset)
		return refuse(p, "the name of its backing file lies outside its header");
	memcpy(p->header->backing, p->bytes + offset, length);
	p->header->backing[length] = 0;
	if (strlen(p->header->backing) != length)
		return refuse(p, "the name of its backing file has a zero in it");
	*end = offset;
	return 0;
}

static int take_version3(struct parse *p)
{
	struct qcow2_header *h = p->header;

	if (p->size < QCOW2_HEADER_V3)
		return refuse(p, "its header is cut off");
	h->incompatible = qcow2_get(p->bytes + QCOW2_AT_INCOMPATIBLE, 8);
	h->compatible = qcow2_get(p->bytes + 80, 8);
	h->autoclear = qcow2_get(p->bytes + QCOW2_AT_AUTOCLEAR, 8);
	h->refcount_order = (unsigned)qcow2_get(p->bytes + 96, 4);
	h->length = (unsigned)qcow2_get(p->bytes + 100, 4);
	if (h->length < QCOW2_HEADER_V3 || h->length % 8 || h->length > p->size)
		return refuse(p, "the length of its header");
	if (h->refcount_order > 6)
		return refuse(p, "its reference counts are wider than 64 bits");
	if (h->length > 104)
		h->compression = p->bytes[104];
	return 0;
}

static int check_features(struct parse *p)
{
	const struct qcow2_header *h = p->header;
	uint64_t unknown = h->incompatible & ~QCOW2_INCOMPATIBLE_KNOWN;

	if (unknown)
		return lacks_feature(p, unknown);
	if (h->incompatible & QCOW2_DATA_FILE)
		return lacks(p, "an external data file");
	if ((h->compression != QCOW2_ZLIB) != !!(h->incompatible & QCOW2_COMPRESSION))
		return refuse(p, "it contradicts itself about its compression");
	if (h->compression > QCOW2_ZSTD)
		return lacks(p, "a compression that is neither zlib nor zstd");
	if (h->incompatible & QCOW2_EXTENDED_L2 && h->cluster_bits < QCOW2_EXTENDED_BITS_MIN)
		return refuse(p, "extended L2 entries with clusters of less than 16 KiB");
	return 0;
}

/* A table of size bytes at offset, in clusters. */
static bool table_bad(const struct qcow2_header *h, uint64_t offset, uint64_t size)
{
	return offset & ((1ull << h->cluster_bits) - 1) || offset >= OFFSET_MAX ||
		size > OFFSET_MAX - offset || (size && !offset);
}

static int check_tables(struct parse *p)
{
	const struct qcow2_header *h = p->header;
	const bool extended = h->incompatible & QCOW2_EXTENDED_L2;
	const unsigned table_bits = h->cluster_bits + h->cluster_bits - (extended ? 4 : 3);

	if (!h->size)
		return error_set(p->err, EINVAL, "%s: empty, not a disk image", p->name);
	if (h->size % QCOW2_SECTOR || h->size >= OFFSET_MAX)
		return refuse(p, "its disk's size is no multiple of 512 bytes, or too large");
	if (table_bad(h, h->l1_offset, h->l1_entries * 8ull))
		return refuse(p, "its L1 table does not begin at a cluster");
	if (h->l1_entries > QCOW2_L1_MAX / 8 || h->l1_entries <= (h->size - 1) >> table_bits)
		return refuse(p, "its L1 table does not have the size that its disk needs");
	if (!h->reftable_clusters ||
		(uint64_t)h->reftable_clusters << h->cluster_bits > QCOW2_REFTABLE_MAX ||
		table_bad(h, h->reftable_offset, (uint64_t)h->reftable_clusters << h->cluster_bits))
		return refuse(p, "its table of reference counts");
	if (h->snapshots > QCOW2_SNAPSHOTS_MAX || table_bad(h, h->snapshots_offset, h->snapshots))
		return refuse(p, "its table of snapshots");
	if (h->bitmaps && table_bad(h, h->bitmaps_offset, h->bitmaps_size))
		return refuse(p, "its list of bitmaps");
	return 0;
}

int qcow2_header_parse(const void *bytes, size_t size, const char *name,
	struct qcow2_header *header, struct error *err)
{
	struct parse p = {.bytes = bytes, .size = size, .name = name, .header = header, .err = err};
	size_t end;
	int r = 0;

	memset(header, 0, sizeof *header);
	if (size < QCOW2_HEADER_V2 || qcow2_get(bytes, 4) != QCOW2_MAGIC)
		return error_set(err, EINVAL, "%s: not a qcow2 image (a raw one is format=raw)",
			name);
	header->version = (unsigned)qcow2_get(p.bytes + 4, 4);
	header->cluster_bits = (unsigned)qcow2_get(p.bytes + 20, 4);
	header->size = qcow2_get(p.bytes + QCOW2_AT_SIZE, 8);
	header->l1_entries = (uint32_t)qcow2_get(p.bytes + QCOW2_AT_L1, 4);
	header->l1_offset = qcow2_get(p.bytes + QCOW2_AT_L1 + 4, 8);
	header->reftable_offset = qcow2_get(p.bytes + QCOW2_AT_REFTABLE, 8);
	header->reftable_clusters = (uint32_t)qcow2_get(p.bytes + QCOW2_AT_REFTABLE + 8, 4);
	header->snapshots = (uint32_t)qcow2_get(p.bytes + QCOW2_AT_SNAPSHOTS, 4);
	header->snapshots_offset = qcow2_get(p.bytes + QCOW2_AT_SNAPSHOTS + 4, 8);
	header->length = QCOW2_HEADER_V2;
	header->refcount_order = 4;
	if (header->version != 2 && header->version != 3)
		return error_set(err, ENOTSUP, "%s: qcow2 of version %u; 2 and 3 can be read", name,
			header->version);
	if (header->cluster_bits < QCOW2_CLUSTER_BITS_MIN ||
		header->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
		return refuse(&p, "the size of its clusters");
	if (p.size > 1ull << header->cluster_bits)
		p.size = 1ull << header->cluster_bits;
	if (header->version == 3)
		r = take_version3(&p);
	if (!r && qcow2_get(p.bytes + 32, 4))
		r = lacks(&p,
			qcow2_get(p.bytes + 32, 4) == 1 ? "encryption (AES)" : "encryption (LUKS)");
	if (!r)
		r = take_backing(&p, &end);
	if (!r)
		r = take_extensions(&p, end);
	if (!r)
		r = check_features(&p);
	return r ? r : check_tables(&p);
}

#define FORMAT_MAX 8u /* bytes, of which each extension has a multiple */

/* Where the extension is that names the base's format, and where all of them end; or NULL. */
static uint8_t *find_format(uint8_t *bytes, size_t end, size_t *behind)
{
	size_t at = qcow2_get(bytes + 4, 4) == 3 ? qcow2_get(bytes + 100, 4) : QCOW2_HEADER_V2;
	uint8_t *found = NULL;

	while (at + 8 <= end) {
		const uint32_t type = (uint32_t)qcow2_get(bytes + at, 4);
		const uint64_t length = qcow2_get(bytes + at + 4, 4);

		if (type == EXTENSION_END) {
			*behind = at + 8;
			return found;
		}
		if (type == EXTENSION_BACKING_FORMAT && length && length <= FORMAT_MAX &&
			at + 8 + FORMAT_MAX <= QCOW2_SECTOR)
			found = bytes + at;
		at += 8 + ((length + 7) & ~7ull);
	}
	return NULL;
}

int qcow2_header_rebase(void *header, size_t size, const char *base, const char *format, size_t *at)
{
	uint8_t *bytes = header, *extension;
	const uint64_t offset = qcow2_get(bytes + QCOW2_AT_BACKING, 8);
	const uint64_t former = qcow2_get(bytes + QCOW2_AT_BACKING + 8, 4);
	const size_t length = strlen(base);
	size_t behind;

	if (!offset || offset > size || former > size - offset || !length ||
		length > QCOW2_BACKING_MAX || !*format || strlen(format) > FORMAT_MAX)
		return -EINVAL;
	extension = find_format(bytes, offset, &behind);
	if (!extension)
		return -EINVAL;
	*at = behind + length <= offset ? behind : (offset + former + 7) & ~7ull;
	if (*at + length > size)
		return -ENOSPC;
	qcow2_put(extension + 4, 4, strlen(format));
	memset(extension + 8, 0, FORMAT_MAX);
	memcpy(extension + 8, format, strlen(format));
	memcpy(bytes + *at, base, length);
	qcow2_put(bytes + QCOW2_AT_BACKING, 8, *at);
	qcow2_put(bytes + QCOW2_AT_BACKING + 8, 4, length);
	return 0;
}
