/* SPDX-License-Identifier: Apache-2.0 */
#include "block/qcow2/slices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 4096u /* the strictest that a disk wants of memory */

int slices_init(struct slices *cache, struct file *file, size_t size, size_t limit)
{
	size_t buckets = 64;

	while (buckets < limit)
		buckets *= 2;
	*cache = (struct slices){.file = file, .size = size, .limit = limit, .buckets = buckets};
	cache->bucket = calloc(buckets, sizeof *cache->bucket);
	return cache->bucket ? 0 : -ENOMEM;
}

static void slice_free(struct slice *slice)
{
	free(slice->data);
	free(slice);
}

void slices_free(struct slices *cache)
{
	for (struct slice *slice = cache->newest, *next; slice; slice = next) {
		next = slice->older;
		slice_free(slice);
	}
	free(cache->bucket);
	*cache = (struct slices){.file = NULL};
}

static struct slice **bucket_of(struct slices *cache, uint64_t offset)
{
	return &cache->bucket[(offset / cache->size * 0x9e3779b97f4a7c15ull >> 24) &
		(cache->buckets - 1)];
}

static void list_remove(struct slices *cache, struct slice *slice)
{
	*(slice->newer ? &slice->newer->older : &cache->newest) = slice->older;
	*(slice->older ? &slice->older->newer : &cache->oldest) = slice->newer;
}

static void list_put_first(struct slices *cache, struct slice *slice)
{
	slice->newer = NULL;
	slice->older = cache->newest;
	*(cache->newest ? &cache->newest->newer : &cache->oldest) = slice;
	cache->newest = slice;
}

static void forget(struct slices *cache, struct slice *slice)
{
	struct slice **at = bucket_of(cache, slice->offset);

	while (*at != slice)
		at = &(*at)->hashed;
	*at = slice->hashed;
	list_remove(cache, slice);
	cache->dirty -= slice->dirty;
	cache->count--;
	if (cache->last == slice)
		cache->last = NULL;
}

struct slice *slices_find(struct slices *cache, uint64_t offset)
{
	struct slice *slice = cache->last;

	if (slice && slice->offset == offset)
		return slice;
	for (slice = *bucket_of(cache, offset); slice && slice->offset != offset;)
		slice = slice->hashed;
	if (!slice)
		return NULL;
	cache->last = slice;
	slice->used = true;
	return slice;
}

/* One whose place another can have; NULL: none, after a look at each. */
static struct slice *find_unused(struct slices *cache)
{
	for (size_t i = 0; i < 2 * cache->count; i++) {
		struct slice *slice = cache->oldest;

		if (!slice->used && !slice->dirty && !slice->being_written)
			return slice;
		slice->used = false;
		list_remove(cache, slice);
		list_put_first(cache, slice);
	}
	return NULL;
}

/* One that is used again, or a new one; in no list. NULL: out of memory. */
static struct slice *slice_new(struct slices *cache)
{
	struct slice *slice = cache->count < cache->limit ? NULL : find_unused(cache);

	if (slice) {
		forget(cache, slice);
		return slice;
	}
	slice = calloc(1, sizeof *slice);
	if (!slice)
		return NULL;
	slice->data = aligned_alloc(cache->size < ALIGN ? cache->size : ALIGN, cache->size);
	if (slice->data)
		return slice;
	free(slice);
	return NULL;
}

int slices_get(struct slices *cache, uint64_t offset, struct slice **out)
{
	struct slice *slice = slices_find(cache, offset), **bucket;
	int r;

	*out = slice;
	if (slice)
		return 0;
	slice = slice_new(cache);
	if (!slice)
		return -ENOMEM;
	r = file_read(cache->file, slice->data, cache->size, offset);
	if (r) {
		slice_free(slice);
		return r;
	}
	bucket = bucket_of(cache, offset);
	slice->offset = offset;
	slice->used = true;
	slice->hashed = *bucket;
	*bucket = slice;
	list_put_first(cache, slice);
	cache->count++;
	cache->last = *out = slice;
	return 0;
}

void slices_dirty(struct slices *cache, struct slice *slice)
{
	cache->dirty += !slice->dirty;
	slice->dirty = true;
}

void slices_drop(struct slices *cache, uint64_t offset, uint64_t length)
{
	for (uint64_t end = offset + length; offset < end; offset += cache->size) {
		struct slice *slice = slices_find(cache, offset);

		if (!slice)
			continue;
		forget(cache, slice);
		slice_free(slice);
	}
}

int batch_take(struct batch *batch, struct slices *cache)
{
	*batch = (struct batch){.size = cache->size};
	if (!cache->dirty)
		return 0;
	batch->slice = malloc(cache->dirty * sizeof *batch->slice);
	batch->data =
		aligned_alloc(ALIGN, (cache->dirty * cache->size + ALIGN - 1) / ALIGN * ALIGN);
	if (!batch->slice || !batch->data) {
		batch_end(batch, cache, false);
		return -ENOMEM;
	}
	for (struct slice *slice = cache->newest; slice; slice = slice->older) {
		if (!slice->dirty)
			continue;
		memcpy(batch->data + batch->count * cache->size, slice->data, cache->size);
		batch->slice[batch->count++] = slice;
		slice->dirty = false;
		slice->being_written = true;
	}
	cache->dirty = 0;
	return 0;
}

int batch_write(const struct batch *batch, struct file *file)
{
	int r = 0;

	for (size_t i = 0; !r && i < batch->count; i++)
		r = file_write(file, batch->data + i * batch->size, batch->size,
			batch->slice[i]->offset);
	return r;
}

void batch_end(struct batch *batch, struct slices *cache, bool written)
{
	for (size_t i = 0; i < batch->count; i++) {
		batch->slice[i]->being_written = false;
		if (!written)
			slices_dirty(cache, batch->slice[i]);
	}
	free(batch->slice);
	free(batch->data);
	*batch = (struct batch){.count = 0};
}
