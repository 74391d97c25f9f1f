/* SPDX-License-Identifier: Apache-2.0 */
#include "block/create.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "block/block.h"
#include "chain/qcow2_header.h"

#define CLUSTER_BITS 16u
#define REFCOUNT_ORDER 4u
#define HEADER_LENGTH 112u /* with the compression's type and its padding */
#define EXTENSION_BACKING_FORMAT 0xe2792acau

/* The file: header, table of reference counts, a block of them, L1 table; a cluster each, the last maybe more. */
#define CLUSTER (1u << CLUSTER_BITS)
enum { HEADER, REFTABLE, REFCOUNTS, L1 };

static void put_backing(uint8_t *header, const char *name, const char *format)
{
	const size_t length = strlen(format);
	uint8_t *at = header + HEADER_LENGTH;

	qcow2_put(at, 4, EXTENSION_BACKING_FORMAT);
	qcow2_put(at + 4, 4, length);
	memcpy(at + 8, format, length);
	at += 8 + ((length + 7) & ~(size_t)7) + 8; /* and the end of extensions */
	qcow2_put(header + 8, 8, (uint64_t)(at - header));
	qcow2_put(header + 16, 4, strlen(name));
	memcpy(at, name, strlen(name));
}

static void put_header(uint8_t *header, uint64_t size, uint32_t l1_entries)
{
	qcow2_put(header, 4, QCOW2_MAGIC);
	qcow2_put(header + 4, 4, 3);
	qcow2_put(header + 20, 4, CLUSTER_BITS);
	qcow2_put(header + QCOW2_AT_SIZE, 8, size);
	qcow2_put(header + QCOW2_AT_L1, 4, l1_entries);
	qcow2_put(header + QCOW2_AT_L1 + 4, 8, (uint64_t)L1 * CLUSTER);
	qcow2_put(header + QCOW2_AT_REFTABLE, 8, (uint64_t)REFTABLE * CLUSTER);
	qcow2_put(header + QCOW2_AT_REFTABLE + 8, 4, 1);
	qcow2_put(header + 96, 4, REFCOUNT_ORDER);
	qcow2_put(header + 100, 4, HEADER_LENGTH);
}

static uint64_t l1_entries(uint64_t size)
{
	const uint64_t per_table = (uint64_t)CLUSTER * (CLUSTER / 8);

	return (size + per_table - 1) / per_table;
}

static uint64_t clusters(uint64_t size)
{
	return L1 + (l1_entries(size) * 8 + CLUSTER - 1) / CLUSTER;
}

uint64_t qcow2_new_size(uint64_t size)
{
	return clusters(size) * CLUSTER;
}

int qcow2_create(int fd, const char *name, const struct qcow2_make *make, struct error *err)
{
	const uint64_t entries = l1_entries(make->size), count = clusters(make->size);
	uint8_t *bytes;
	int r;

	if (!make->size || make->size % BLOCK_SECTOR || entries > QCOW2_L1_MAX / 8)
		return error_set(err, EINVAL,
			"%s: a disk's size is a multiple of %u bytes, up to 2 PiB", name,
			BLOCK_SECTOR);
	if (make->backing && strlen(make->backing) > QCOW2_BACKING_MAX)
		return error_set(err, ENAMETOOLONG, "%s: its backing file's name is too long",
			name);
	bytes = calloc(L1, CLUSTER);
	if (!bytes)
		return error_nomem(err);
	put_header(bytes, make->size, (uint32_t)entries);
	if (make->backing)
		put_backing(bytes, make->backing, make->backing_format);
	qcow2_put(bytes + REFTABLE * CLUSTER, 8, (uint64_t)REFCOUNTS * CLUSTER);
	for (uint64_t i = 0; i < count; i++)
		qcow2_put(bytes + REFCOUNTS * CLUSTER + 2 * i, 2, 1);
	r = ftruncate(fd, (off_t)(count * CLUSTER)) ? -errno : 0;
	if (!r)
		r = io_pwrite_all(fd, bytes, (size_t)L1 * CLUSTER, 0);
	free(bytes);
	return r ? error_set(err, -r, "%s: cannot be written: %s", name, strerror(-r)) : 0;
}
