/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A qcow2 image that is open. Source: QEMU's docs/interop/qcow2.
 *
 * Locks. `lock` is held while tables are looked at or changed, never while the guest's data moves. What keeps
 * a cluster from being given to somebody else meanwhile are spans (span.c): a read, and a write to what is
 * there, share their clusters with others; who changes tables has his alone. `flushing` makes those who write
 * tables to the file wait for each other; it is taken before `lock`.
 *
 * What is stable when. Tables change in memory (slices.h) and go to the file in flush.c: data and reference
 * counts, then a flush, then what refers to them (L2, L1), then a flush; only then is what is not referred to
 * any more counted down and may be used again. So a crash leaves at most clusters that nobody uses.
 */
#ifndef DACH_BLOCK_QCOW2_INTERNAL_H
#define DACH_BLOCK_QCOW2_INTERNAL_H

#include "base/thread.h"
#include "block/dirty.h"
#include "block/driver.h"
#include "block/file.h"
#include "block/qcow2/slices.h"
#include "block/qcow2/set.h"
#include "chain/qcow2_header.h"

/* Of entries of L1 and L2 tables. */
#define ENTRY_COPIED (1ull << 63) /* nobody else refers to it */
#define ENTRY_PACKED (1ull << 62) /* compressed */
#define ENTRY_ZERO 1ull
#define ENTRY_OFFSET 0x00fffffffffffe00ull

/* Clusters of the guest's disk that somebody is at. */
struct cluster_span {
	uint64_t first, last;
	bool alone;
	unsigned place; /* span.c's */
};
#define SPANS_MAX 16u /* at a time; more wait */
struct span_place {
	struct cluster_span span;
	bool taken; /* set under the lock, cleared without */
};

/* What is not referred to any more, until that is stable. */
struct freed {
	uint64_t *cluster; /* of the file; one entry for each reference */
	size_t count, room;
};

struct packed; /* packed.c */

struct qcow2 {
	struct block_image image;
	struct block_image *backing; /* NULL: none */
	struct file file;
	enum disk_cache cache;
	char *name;
	struct qcow2_header header;
	uint64_t cluster_size,
		unit; /* unit: a subcluster with extended L2 entries, else a cluster */
	unsigned cluster_bits, table_bits; /* table_bits: entries of an L2 table */
	bool extended;
	struct packed *packed;
	uint8_t *directory; /* of bitmaps, as it was when the image was opened; NULL: none */

	struct mutex lock;
	/* The rest: GUARDED_BY(lock) */
	uint64_t *l1;
	uint32_t l1_dirty_first, l1_dirty_end; /* entries; equal: none */
	uint64_t *reftable;                    /* of refcount blocks, by index */
	uint64_t reftable_entries;
	struct slices l2, refcounts;
	struct set
		tables; /* clusters that hold what the image stands on: nothing else may be put there */
	uint64_t search; /* cluster; none below it is free */
	uint64_t unused; /* clusters from here on have never been used: the file is empty there */
	struct freed freed;
	struct span_place spans[SPANS_MAX];
	unsigned span_waiters; /* read without the lock */
	pthread_cond_t span_ended;

	struct mutex flushing;
};

#define FREED_MAX 4096u /* so many are reason enough to write the tables */

static inline uint64_t cluster_of(const struct qcow2 *q, uint64_t offset)
{
	return offset >> q->cluster_bits;
}

/* span.c: waits until nobody is in the way. */
void span_enter(struct qcow2 *q, struct cluster_span *span) REQUIRES(q->lock);
bool span_try(struct qcow2 *q, struct cluster_span *span) REQUIRES(q->lock);
void span_leave(struct qcow2 *q, struct cluster_span *span) EXCLUDES(q->lock);
void span_leave_locked(struct qcow2 *q, struct cluster_span *span) REQUIRES(q->lock);
struct cluster_span span_of(const struct qcow2 *q, uint64_t offset, uint64_t length, bool alone);

/* refcount.c */
int refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *count) REQUIRES(q->lock);
/* The cluster's block exists, or count is 0. */
int refcount_set(struct qcow2 *q, uint64_t cluster, uint64_t count) REQUIRES(q->lock);
/* The block that counts this cluster, out of the cluster, which is free. */
int refcount_block_make(struct qcow2 *q, uint64_t cluster) REQUIRES(q->lock);
uint64_t refcount_max(const struct qcow2 *q);
uint64_t refcount_entry(const void *block, unsigned order, uint64_t n);
void refcount_put(void *block, unsigned order, uint64_t n, uint64_t value);
/* Up to `want` clusters in a row, at least one, each counted once from now on. */
int clusters_take(struct qcow2 *q, uint64_t want, uint64_t *first, uint64_t *got) REQUIRES(q->lock);
/* All of them in a row. */
int clusters_take_row(struct qcow2 *q, uint64_t count, uint64_t *first) REQUIRES(q->lock);
/* Of those that nothing has ever referred to: at once. */
void clusters_give_back(struct qcow2 *q, uint64_t first, uint64_t count) REQUIRES(q->lock);
/* Bytes into clusters of their own; no bytes are at 0. */
int clusters_write(struct qcow2 *q, const void *bytes, size_t size, uint64_t *offset)
	EXCLUDES(q->lock);
/* One reference less to all that a walk comes to, once that is stable. */
struct image_walk;
void clusters_forget(struct qcow2 *q, int (*walk)(struct image_walk *walk)) EXCLUDES(q->lock);
/* One reference less to what an L2 entry or a table's offset points to, once that is stable. */
void cluster_forget(struct qcow2 *q, uint64_t cluster) REQUIRES(q->lock);
void entry_forget(struct qcow2 *q, uint64_t word) REQUIRES(q->lock);
/* What a packed entry covers: bytes of the file, whole sectors. */
void packed_range(const struct qcow2 *q, uint64_t word, uint64_t *offset, uint64_t *size);

/* table.c: the L2 entries of the guest's clusters. */
struct l2_entry {
	uint64_t word, bitmap; /* bitmap: with extended entries */
};
int entry_get(struct qcow2 *q, uint64_t guest, struct l2_entry *entry) REQUIRES(q->lock);
/* -EAGAIN: it would have to be read first. */
int entry_get_now(struct qcow2 *q, uint64_t guest, struct l2_entry *entry) REQUIRES(q->lock);
/* The table that holds it is there and nobody else's: table_own() has been asked for it under this lock. */
int entry_set(struct qcow2 *q, uint64_t guest, const struct l2_entry *entry) REQUIRES(q->lock);
int table_own(struct qcow2 *q, uint64_t guest) REQUIRES(q->lock);
bool table_exists(const struct qcow2 *q, uint64_t guest) REQUIRES(q->lock);
static inline uint64_t table_entries(const struct qcow2 *q)
{
	return 1ull << q->table_bits;
}
/* -EIO unless a cluster of data may be there; exists: and the file is that long. */
int data_check(struct qcow2 *q, uint64_t host, bool exists) REQUIRES(q->lock);

/* map.c: where bytes of the guest's disk lie. */
enum extent_kind { EXTENT_NONE, EXTENT_ZERO, EXTENT_DATA, EXTENT_PACKED };
struct extent {
	enum extent_kind kind;
	bool own;        /* DATA: nobody else's, so it may be written to */
	uint64_t host;   /* DATA: offset in the file */
	uint64_t word;   /* PACKED: the entry */
	uint64_t length; /* at most what was asked for */
};
int map_find(struct qcow2 *q, uint64_t offset, uint64_t length, struct extent *extent)
	REQUIRES(q->lock);
int map_find_now(struct qcow2 *q, uint64_t offset, uint64_t length, struct extent *extent)
	REQUIRES(q->lock);
/* Whether all of it reads as zeroes, as far as the tables tell. */
int map_is_zero(struct qcow2 *q, uint64_t offset, uint64_t length, bool *zero) REQUIRES(q->lock);

/* Buffers of a request, taken off the front piece by piece. */
#define PIECE_IOV 64
struct buffers {
	struct iovec *iov;
	unsigned count;
};
/* The next bytes, at most length of them, into iov (PIECE_IOV); returns how many bytes. */
uint64_t buffers_take(struct buffers *from, uint64_t length, struct iovec *iov, unsigned *count);
void iov_zero(const struct iovec *iov, unsigned count);

/* read.c; the caller has entered a span. Bytes behind the disk's end are zeroes. */
int qcow2_read(struct qcow2 *q, uint64_t offset, uint64_t length, struct buffers *to)
	EXCLUDES(q->lock);
int qcow2_read_bytes(struct qcow2 *q, uint64_t offset, uint64_t length, void *to) EXCLUDES(q->lock);
int qcow2_read_now(struct block_image *image, const struct block_request *request);

/* packed.c */
int packed_create(struct qcow2 *q);
void packed_destroy(struct packed *packed);
int packed_read(struct qcow2 *q, uint64_t word, uint64_t skip, const struct iovec *iov,
	unsigned count);
void packed_forget(struct qcow2 *q);

/* write.c, zero.c: they enter their spans themselves. */
int qcow2_write(struct qcow2 *q, uint64_t offset, uint64_t length, struct buffers *from)
	EXCLUDES(q->lock);
int qcow2_discard(struct qcow2 *q, uint64_t offset, uint64_t length) EXCLUDES(q->lock);
int qcow2_write_zeroes(struct qcow2 *q, uint64_t offset, uint64_t length, bool unmap)
	EXCLUDES(q->lock);

/* flush.c */
int qcow2_flush(struct qcow2 *q) EXCLUDES(q->lock);
/* The same, if much has gathered. */
int qcow2_flush_if_full(struct qcow2 *q) EXCLUDES(q->lock);

/* walk.c: each cluster that something refers to, once for each reference, a row at a time. */
struct image_walk {
	int (*visit)(struct image_walk *walk, uint64_t first, uint64_t count);
	struct qcow2 *q;
};
int walk_image(struct image_walk *walk, struct error *err);
/* What an L1 table refers to and its L2 tables do. */
int walk_l1(struct image_walk *walk, const uint64_t *l1, uint32_t entries);
/* A table of that many words, checked against the file's size; the caller's to free(). NULL on failure. */
int walk_read_l1(struct qcow2 *q, uint64_t offset, uint32_t entries, uint64_t **l1);
/* The clusters of size bytes that begin at a cluster; what an entry of a table refers to. */
int walk_bytes(struct image_walk *walk, uint64_t offset, uint64_t size);
int walk_entry(struct image_walk *walk, uint64_t word);
/* The directory of bitmaps, their tables and bits; those that do not count are not there. */
int walk_bitmaps(struct image_walk *walk);

/* repair.c */
/* Counts anew, and, where that is asked for, makes the counts and COPIED flags right. Nobody else uses the image. */
int qcow2_check(struct qcow2 *q, bool repair, struct block_faults *faults, struct error *err)
	EXCLUDES(q->lock);
int qcow2_check_image(struct block_image *image, struct block_faults *faults, struct error *err);
/* The COPIED flags of the active tables follow the counts. Returns how many were wrong in *wrong. */
int copied_flags(struct qcow2 *q, bool repair, uint64_t *wrong) REQUIRES(q->lock);

/* open.c: q->tables anew, out of the tables as they are. */
int tables_gather(struct qcow2 *q, struct error *err) REQUIRES(q->lock);

/* header.c: fields in the file's first cluster. */
int header_write(struct qcow2 *q, unsigned at, const void *bytes, unsigned size);
int header_set_dirty(struct qcow2 *q, bool dirty);
/* The disk's size and where its L1 table is, in one write; stable. */
int header_put_l1(struct qcow2 *q, uint64_t size, uint32_t entries, uint64_t offset);

/* bitmaps.c: q->directory as it is in the file. */
int bitmaps_open(struct qcow2 *q);
/* Nobody relies on those in the file any more. */
int bitmaps_mark_in_use(struct qcow2 *q);
int qcow2_load_dirty(struct block_image *image, struct dirty_set *set);
int qcow2_store_dirty(struct block_image *image, const struct dirty_set *set);

/* open.c: what has to be so before it is written to */
int qcow2_make_writable(struct qcow2 *q, struct error *err);
/* base.c: as driver.h has them */
void qcow2_freeze(struct block_image *image);
int qcow2_thaw(struct block_image *image, int fd, const char *name, struct error *err);
int qcow2_check_base(struct block_image *image, enum disk_format format, uint64_t size,
	struct error *err);
void qcow2_set_base(struct block_image *image, struct block_image *base);
struct block_image *qcow2_base(const struct block_image *image);
int qcow2_find_own(struct block_image *image, uint64_t offset, uint64_t *length, bool *own);
int qcow2_find_zero(struct block_image *image, uint64_t offset, uint64_t *length, bool *zero);
int qcow2_leave_base(struct block_image *image);
int qcow2_skip_base(struct block_image *image);
bool qcow2_may_empty(const struct block_image *image);
int qcow2_empty(struct block_image *image);

/* snapshot.c, resize.c: nobody else uses the image. */
int qcow2_snapshot(struct block_image *image, enum block_snapshot what, const char *name,
	struct error *err);
int qcow2_snapshots(struct block_image *image,
	int (*visit)(void *ctx, const struct block_snapshot_info *info), void *ctx,
	struct error *err);
int qcow2_resize(struct block_image *image, uint64_t size, bool shrink, struct error *err);
/* Each snapshot of the table, for walk.c. */
struct snapshot {
	char id[64], name[256];
	uint64_t l1_offset, state_size, size, seconds;
	uint32_t l1_entries;
};
struct snapshot_table {
	uint8_t *bytes; /* as they stand in the file */
	size_t size;
	struct snapshot *snapshot;
	size_t *at; /* where each begins; one more for the end */
	uint32_t count;
};
int snapshot_table_read(struct qcow2 *q, struct snapshot_table *table, struct error *err);
void snapshot_table_free(struct snapshot_table *table);

#endif
