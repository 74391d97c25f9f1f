/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FAT12, FAT16 and FAT32 with long names (Microsoft's FAT specification, 1.03). A node's id is its first
 * cluster; 0 is the root folder of FAT12 and FAT16, and a file without bytes.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bootdisk/fs/fs.h"

#define SECTOR_MIN 512u
#define CLUSTER_SIZE_MAX (1u << 20)
#define CLUSTER_FIRST 2u
#define FAT12_MAX 4085u
#define FAT16_MAX 65525u
#define FAT32_MAX 0x0ffffff7u
#define ENTRY 32u
#define ENTRIES_MAX 65536u /* of a folder: what the specification allows */
#define LONG_CHARS 13u
#define LONG_PARTS 20u
#define IS_LABEL 0x08
#define IS_FOLDER 0x10
#define IS_LONG_NAME 0x0f

struct fat {
	struct fs fs;
	uint32_t cluster_size, clusters; /* bytes; how many, behind CLUSTER_FIRST */
	uint64_t table, root, data;      /* bytes, in the partition */
	uint32_t root_size;              /* FAT12, FAT16 */
	uint32_t root_cluster;           /* FAT32; 0 */
	/* Where the walk of a chain was last, so that reading on does not begin anew. */
	uint32_t first, index, at;
};

static uint32_t get(const uint8_t *from, unsigned bytes)
{
	uint32_t value = 0;

	while (bytes--)
		value = value << 8 | from[bytes];
	return value;
}

static bool is_power(uint32_t value)
{
	return value && !(value & (value - 1));
}

/* false: it is no such file system. */
static bool take_boot(struct fat *fat, const uint8_t *boot, uint64_t size)
{
	const uint32_t sector = get(boot + 11, 2), reserved = get(boot + 14, 2);
	const uint32_t entries = get(boot + 17, 2), tables = boot[16];
	const uint32_t table = get(boot + 22, 2) ? get(boot + 22, 2) : get(boot + 36, 4);
	const uint32_t sectors = get(boot + 19, 2) ? get(boot + 19, 2) : get(boot + 32, 4);
	uint64_t before;

	if (boot[510] != 0x55 || boot[511] != 0xaa || sector < SECTOR_MIN || sector > 4096 ||
		!is_power(sector) || !is_power(boot[13]) || !reserved || !tables || !table)
		return false;
	fat->cluster_size = sector * boot[13];
	fat->table = (uint64_t)reserved * sector;
	fat->root = fat->table + (uint64_t)tables * table * sector;
	fat->root_size = entries * ENTRY;
	before = fat->root + (fat->root_size + sector - 1) / sector * sector;
	if (fat->cluster_size > CLUSTER_SIZE_MAX || before >= (uint64_t)sectors * sector ||
		before >= size)
		return false;
	fat->data = before;
	fat->clusters = (uint32_t)(((uint64_t)sectors * sector - before) / fat->cluster_size);
	if (fat->clusters >= FAT16_MAX)
		fat->root_cluster = get(boot + 44, 4);
	return fat->clusters && fat->clusters < FAT32_MAX && (entries || fat->root_cluster);
}

static int fat_open(const struct disk_bytes *bytes, const struct partition *where, struct fs **out,
	struct error *err)
{
	uint8_t boot[SECTOR_MIN];
	struct fat *fat;

	if (where->size < sizeof boot || !partition_read(bytes, where->offset, boot, sizeof boot) ||
		(memcmp(boot + 54, "FAT1", 4) && memcmp(boot + 82, "FAT32", 5)))
		return -ENODATA;
	fat = calloc(1, sizeof *fat);
	if (!fat)
		return error_nomem(err);
	if (!take_boot(fat, boot, where->size)) {
		free(fat);
		return error_set(err, EINVAL, "its FAT is damaged");
	}
	*out = &fat->fs;
	return 0;
}

static void fat_close(struct fs *fs)
{
	free(fs);
}

/* What follows a cluster; 0: nothing. */
static int next_cluster(struct fat *fat, uint32_t cluster, uint32_t *next)
{
	const unsigned bits = fat->clusters < FAT12_MAX ? 12 : fat->clusters < FAT16_MAX ? 16 : 32;
	uint8_t bytes[4];
	uint32_t value;
	int r = fs_bytes(&fat->fs, fat->table + (uint64_t)cluster * bits / 8, bytes,
		bits == 32 ? 4 : 2);

	if (r)
		return r;
	value = get(bytes, bits == 32 ? 4 : 2);
	if (bits == 12)
		value = cluster % 2 ? value >> 4 : value & 0xfff;
	value &= 0x0fffffff;
	*next = value < CLUSTER_FIRST || value - CLUSTER_FIRST >= fat->clusters ? 0 : value;
	return 0;
}

/* The cluster that is index clusters behind the first of a chain. */
static int find_cluster(struct fat *fat, uint32_t first, uint32_t index, uint32_t *cluster)
{
	int r = 0;

	if (first < CLUSTER_FIRST || first - CLUSTER_FIRST >= fat->clusters)
		return fs_fail(&fat->fs, EIO, "its chain of clusters is damaged");
	if (fat->first != first || fat->index > index) {
		fat->first = first;
		fat->index = 0;
		fat->at = first;
	}
	while (!r && fat->index < index) {
		uint32_t next;

		r = next_cluster(fat, fat->at, &next);
		if (!r && !next)
			r = fs_fail(&fat->fs, ENOENT, "its chain of clusters ends too early");
		if (!r) {
			fat->at = next;
			fat->index++;
		}
	}
	if (r)
		fat->first = 0;
	*cluster = fat->at;
	return r;
}

/* -ENOENT: the chain ends before. */
static int read_chain(struct fat *fat, uint32_t first, uint64_t offset, uint8_t *to, size_t len)
{
	int r = 0;

	while (!r && len) {
		uint32_t within = (uint32_t)(offset % fat->cluster_size), cluster = 0;
		size_t n = fat->cluster_size - within < len ? fat->cluster_size - within : len;

		r = find_cluster(fat, first, (uint32_t)(offset / fat->cluster_size), &cluster);
		if (!r)
			r = fs_bytes(&fat->fs,
				fat->data +
					(uint64_t)(cluster - CLUSTER_FIRST) * fat->cluster_size +
					within,
				to, n);
		to += n;
		offset += n;
		len -= n;
	}
	return r;
}

static int fat_root(struct fs *fs, unsigned n, struct fs_node *node)
{
	*node = (struct fs_node){.id = ((struct fat *)fs)->root_cluster, .kind = FS_FOLDER};
	return n ? -ENOENT : 0;
}

/* Folders */

struct fat_name {
	char text[LONG_CHARS * LONG_PARTS * 3 + 1]; /* UTF-8 */
	uint16_t wide[LONG_CHARS * LONG_PARTS];
	unsigned parts; /* of a long name that are still to come */
	unsigned chars;
	uint8_t sum;
};

static int read_entry(struct fat *fat, uint32_t folder, uint32_t n, uint8_t entry[ENTRY])
{
	if (folder)
		return read_chain(fat, folder, (uint64_t)n * ENTRY, entry, ENTRY);
	if (n >= fat->root_size / ENTRY)
		return -ENOENT;
	return fs_bytes(&fat->fs, fat->root + (uint64_t)n * ENTRY, entry, ENTRY);
}

static void take_long(struct fat_name *name, const uint8_t *entry)
{
	static const uint8_t places[LONG_CHARS] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
	const unsigned part = entry[0] & 0x3f;

	if (entry[0] & 0x40 && part && part <= LONG_PARTS) {
		name->parts = part;
		name->chars = part * LONG_CHARS;
		name->sum = entry[13];
	} else if (!part || part != name->parts || entry[13] != name->sum) {
		name->parts = name->chars = 0;
		return;
	}
	for (unsigned i = 0; i < LONG_CHARS; i++)
		name->wide[(part - 1) * LONG_CHARS + i] = (uint16_t)get(entry + places[i], 2);
	name->parts--;
}

/* As UTF-8. What is beyond the first 65536 characters becomes '?', which no boot loader's file has. */
static void write_long(struct fat_name *name)
{
	char *to = name->text;

	for (unsigned i = 0; i < name->chars && name->wide[i]; i++) {
		const uint16_t c = name->wide[i];

		if (c < 0x80) {
			*to++ = (char)c;
		} else if (c < 0x800) {
			*to++ = (char)(0xc0 | c >> 6);
			*to++ = (char)(0x80 | (c & 0x3f));
		} else if (c >= 0xd800 && c < 0xe000) {
			*to++ = '?';
		} else {
			*to++ = (char)(0xe0 | c >> 12);
			*to++ = (char)(0x80 | (c >> 6 & 0x3f));
			*to++ = (char)(0x80 | (c & 0x3f));
		}
	}
	*to = 0;
}

/* "VMLINUZ    " and "IMG": a bit each says that they are meant in small letters. */
static void write_short(struct fat_name *name, const uint8_t *entry)
{
	char *to = name->text;

	for (unsigned i = 0; i < 11; i++) {
		const bool small = entry[12] & (i < 8 ? 0x08 : 0x10);
		const uint8_t c = i || entry[0] != 0x05 ? entry[i] : 0xe5;

		if (i == 8 && entry[8] != ' ')
			*to++ = '.';
		if (c != ' ')
			*to++ = (char)(small && c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	*to = 0;
}

static uint8_t checksum(const uint8_t *entry)
{
	uint8_t sum = 0;

	for (unsigned i = 0; i < 11; i++)
		sum = (uint8_t)((sum << 7 | sum >> 1) + entry[i]);
	return sum;
}

static void take_node(const struct fat *fat, const uint8_t *entry, struct fs_node *node)
{
	node->id = get(entry + 26, 2);
	if (fat->clusters >= FAT16_MAX)
		node->id |= (uint64_t)get(entry + 20, 2) << 16;
	node->kind = entry[11] & IS_FOLDER ? FS_FOLDER : FS_FILE;
	node->size = node->kind == FS_FILE ? get(entry + 28, 4) : 0;
	/* "..", where it leads to the root */
	if (node->kind == FS_FOLDER && !node->id)
		node->id = fat->root_cluster;
}

/* Calls each for the names of a folder until it says false. */
static int walk(struct fat *fat, uint32_t folder,
	bool (*each)(void *ctx, const char *name, const uint8_t *entry), void *ctx)
{
	struct fat_name name = {.parts = 0};
	uint8_t entry[ENTRY];
	int r = 0;

	for (uint32_t n = 0; n < ENTRIES_MAX; n++) {
		r = read_entry(fat, folder, n, entry);
		if (r || !entry[0])
			break;
		if ((entry[11] & 0x3f) == IS_LONG_NAME && entry[0] != 0xe5) {
			take_long(&name, entry);
			continue;
		}
		if (entry[0] != 0xe5 && !(entry[11] & IS_LABEL)) {
			if (name.chars && !name.parts && name.sum == checksum(entry))
				write_long(&name);
			else
				write_short(&name, entry);
			if (!each(ctx, name.text, entry))
				return 0;
		}
		name.parts = name.chars = 0;
	}
	return r == -ENOENT ? 0 : r;
}

struct fat_search {
	const struct fat *fat;
	const char *name;
	size_t len;
	struct fs_node *node;
	bool found;
};

static bool is_it(void *ctx, const char *name, const uint8_t *entry)
{
	struct fat_search *search = ctx;

	if (strlen(name) != search->len || strncasecmp(name, search->name, search->len) != 0)
		return true;
	take_node(search->fat, entry, search->node);
	search->found = true;
	return false;
}

static int fat_lookup(struct fs *fs, const struct fs_node *folder, const char *name, size_t len,
	struct fs_node *node)
{
	struct fat *fat = (struct fat *)fs;
	struct fat_search search = {.fat = fat, .name = name, .len = len, .node = node};
	int r;

	/* The root has no such entries. */
	if (folder->id == fat->root_cluster &&
		(!strncmp(name, ".", len) || !strncmp(name, "..", len))) {
		*node = *folder;
		return 0;
	}
	r = walk(fat, (uint32_t)folder->id, is_it, &search);
	return r ? r : search.found ? 0 : -ENOENT;
}

static int fat_read(struct fs *fs, const struct fs_node *node, uint64_t offset, void *to,
	size_t len)
{
	int r = read_chain((struct fat *)fs, (uint32_t)node->id, offset, to, len);

	return r == -ENOENT ? -EIO : r;
}

struct fat_listing {
	bool (*each)(void *ctx, const char *name);
	void *ctx;
};

static bool list_entry(void *ctx, const char *name, const uint8_t *entry)
{
	struct fat_listing *listing = ctx;

	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return true;
	return listing->each(listing->ctx, name);
}

static void fat_list(struct fs *fs, const struct fs_node *folder,
	bool (*each)(void *ctx, const char *name), void *ctx)
{
	struct fat_listing listing = {each, ctx};

	walk((struct fat *)fs, (uint32_t)folder->id, list_entry, &listing);
}

const struct fs_ops fs_fat = {
	.open = fat_open,
	.close = fat_close,
	.root = fat_root,
	.lookup = fat_lookup,
	.read = fat_read,
	.list = fat_list,
};
