/* SPDX-License-Identifier: Apache-2.0 */
#include "image/flatten.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/tar.h"

#define ENTRIES_MAX (4u << 20)
#define LINKS_MAX 40 /* on the way to one name, as Linux has it */
#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define NONE UINT32_MAX

/* An entry that may come out, by its number in all layers. */
struct root_member {
	char *path;    /* where it really lies: no link on the way; NULL: it does not come out */
	char *target;  /* a symbolic link's */
	uint32_t next; /* of those with the same hash */
	uint32_t file; /* of a hard link: the file that it is; else NONE */
	uint32_t heir; /* of a file that does not come out: the first of its hard links; or NONE */
	uint32_t layer;
	enum tar_kind kind;
	bool alive;
};

struct root {
	const struct flatten *what;
	struct root_member *member; /* of entries, and of folders that none names */
	uint32_t members, room;
	uint32_t *entry; /* which member each is */
	uint32_t entries, entries_room;
	uint32_t *bucket;
	uint32_t buckets;
	uint64_t bytes;
};

/* Names */

static uint32_t hash(const struct root *root, const char *path)
{
	uint64_t h = 14695981039346656037ull; /* FNV-1a */

	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * 1099511628211ull;
	return (uint32_t)(h ^ h >> 32) & (root->buckets - 1);
}

/* What lies there now. NULL: nothing, or a folder that no archive has named. */
static struct root_member *find(const struct root *root, const char *path)
{
	uint32_t at = root->buckets ? root->bucket[hash(root, path)] : NONE;

	while (at != NONE && (!root->member[at].alive || strcmp(root->member[at].path, path)))
		at = root->member[at].next;
	return at == NONE ? NULL : &root->member[at];
}

static int grow(struct root *root, struct error *err)
{
	const uint32_t room = root->room ? 2 * root->room : 1024;
	struct root_member *more;
	uint32_t *bucket;

	if (root->members == ENTRIES_MAX)
		return error_set(err, E2BIG, "more than %u files in the archive", ENTRIES_MAX);
	more = realloc(root->member, room * sizeof *more);
	if (!more)
		return error_nomem(err);
	root->member = more;
	bucket = malloc(room * sizeof *bucket);
	if (!bucket)
		return error_nomem(err);
	free(root->bucket);
	root->bucket = bucket;
	root->room = root->buckets = room;
	memset(bucket, 0xff, room * sizeof *bucket);
	for (uint32_t i = 0; i < root->members; i++) {
		uint32_t *head;

		if (!root->member[i].path)
			continue;
		head = &bucket[hash(root, root->member[i].path)];
		root->member[i].next = *head;
		*head = i;
	}
	return 0;
}

/* -errno: no room for it. path and target are taken. */
static int add_member(struct root *root, struct root_member member, struct error *err)
{
	int r = root->members == root->room ? grow(root, err) : 0;
	uint32_t *head;

	if (r) {
		free(member.path);
		free(member.target);
		return r;
	}
	if (member.path) {
		head = &root->bucket[hash(root, member.path)];
		member.next = *head;
		*head = root->members;
	}
	root->member[root->members++] = member;
	return 0;
}

/* The entry that comes next is the member that has come last. */
static int add_entry(struct root *root, struct error *err)
{
	if (root->entries == root->entries_room) {
		const uint32_t room = root->entries_room ? 2 * root->entries_room : 1024;
		uint32_t *more = realloc(root->entry, room * sizeof *more);

		if (!more)
			return error_nomem(err);
		root->entry = more;
		root->entries_room = room;
	}
	root->entry[root->entries++] = root->members - 1;
	return 0;
}

/* All that lies beneath, up to that layer; folder "" is the root. */
static void remove_beneath(struct root *root, const char *folder, uint32_t layers)
{
	const size_t len = strlen(folder);

	for (uint32_t i = 0; i < root->members; i++) {
		struct root_member *member = &root->member[i];

		if (member->alive && member->layer < layers &&
			(!len || (!strncmp(member->path, folder, len) && member->path[len] == '/')))
			member->alive = false;
	}
}

/* Adds a name, or takes the last one away; "" is the root. */
static int push(char *path, const char *name, size_t len, struct error *err)
{
	const size_t used = strlen(path);

	if (used + 1 + len > TAR_PATH_MAX)
		return error_set(err, ENAMETOOLONG, "%.100s...: a path that is too long", path);
	if (used)
		strcat(path, "/");
	strncat(path, name, len);
	return 0;
}

static void pop(char *path)
{
	char *slash = strrchr(path, '/');

	*(slash ? slash : path) = 0;
}

/* Names in an archive have no use for "..". */
static bool leads_up(const char *name)
{
	for (size_t len; *name; name += len + (name[len] == '/')) {
		len = strcspn(name, "/");
		if (len == 2 && !memcmp(name, "..", 2))
			return true;
	}
	return false;
}

/*
 * Where a name really lies, as a system whose root this is would find it: folders on its way may be symbolic links.
 * The last name itself is not followed. -EINVAL: it leads out, or nowhere.
 */
static int resolve(const struct root *root, const char *name, char path[TAR_PATH_MAX + 1],
	struct error *err)
{
	char rest[2 * TAR_PATH_MAX + 2], more[2 * TAR_PATH_MAX + 2];
	unsigned links = 0;

	if (leads_up(name))
		return error_set(err, EINVAL, "'%s' leads out of the root", name);
	snprintf(rest, sizeof rest, "%s", name);
	*path = 0;
	for (char *at = rest; *at;) {
		const size_t len = strcspn(at, "/");
		const bool last = !at[len + strspn(at + len, "/")];
		const struct root_member *member;
		char word[TAR_PATH_MAX + 1];

		snprintf(word, sizeof word, "%.*s", (int)len, at);
		at += len;
		at += strspn(at, "/");
		if (!len || !strcmp(word, "."))
			continue;
		if (!strcmp(word, "..")) { /* a link's: above the root there is the root */
			pop(path);
			continue;
		}
		if (push(path, word, len, err))
			return -ENAMETOOLONG;
		member = last ? NULL : find(root, path);
		if (!member || member->kind != TAR_SYMLINK)
			continue;
		if (++links > LINKS_MAX || strlen(member->target) + strlen(at) > TAR_PATH_MAX)
			return error_set(err, EINVAL, "'%s' leads through too many links", name);
		snprintf(more, sizeof more, "%s/%s", member->target, at);
		if (member->target[0] == '/')
			*path = 0;
		else
			pop(path);
		strcpy(rest, more);
		at = rest;
	}
	return 0;
}

/* The first pass: what comes out */

static void free_root(struct root *root)
{
	for (uint32_t i = 0; i < root->members; i++) {
		free(root->member[i].path);
		free(root->member[i].target);
	}
	free(root->member);
	free(root->bucket);
	free(root->entry);
}

/* Whether it only says what goes; done then. */
static int take_whiteout(struct root *root, const char *path, uint32_t layer, bool *is,
	struct error *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char gone[TAR_PATH_MAX + 1];
	struct root_member *member;

	*is = root->what->whiteouts && !strncmp(name, WHITEOUT, strlen(WHITEOUT));
	if (!*is)
		return 0;
	snprintf(gone, sizeof gone, "%.*s", slash ? (int)(slash - path) : 0, path);
	if (!strcmp(name, OPAQUE)) {
		remove_beneath(root, gone, layer);
		return 0;
	}
	name += strlen(WHITEOUT);
	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return error_set(err, EINVAL, "'%s' takes nothing away", path);
	if (push(gone, name, strlen(name), err))
		return -ENAMETOOLONG;
	member = find(root, gone);
	if (member && member->kind == TAR_FOLDER)
		remove_beneath(root, gone, layer);
	if (member && member->layer < layer)
		member->alive = false;
	return 0;
}

/* What lay there goes, and what is in its way; folders on the way that nobody has named come to be. */
static int make_way(struct root *root, const char *path, enum tar_kind kind, uint32_t layer,
	struct error *err)
{
	struct root_member *old = find(root, path);
	char above[TAR_PATH_MAX + 1];

	/* A folder stays, with what is in it; one that becomes something else does not. */
	if (old && old->kind == TAR_FOLDER && kind != TAR_FOLDER)
		remove_beneath(root, path, NONE);
	if (old)
		old->alive = false;
	strcpy(above, path);
	for (pop(above); *above; pop(above)) {
		struct root_member folder = {.next = NONE,
			.file = NONE,
			.heir = NONE,
			.layer = layer,
			.kind = TAR_FOLDER,
			.alive = true};

		old = find(root, above);
		if (old && old->kind == TAR_FOLDER)
			break; /* and so are those above it */
		if (old)
			old->alive = false;
		folder.path = strdup(above);
		if (!folder.path)
			return error_nomem(err);
		if (add_member(root, folder, err))
			return -ENOMEM;
	}
	return 0;
}

/* Of a hard link: the file that it is. */
static int find_file(struct root *root, const struct tar_entry *entry, uint32_t *file,
	struct error *err)
{
	char path[TAR_PATH_MAX + 1];
	const struct root_member *member;
	int r = resolve(root, entry->link, path, err);

	if (r)
		return r;
	member = find(root, path);
	if (member && member->kind == TAR_LINK)
		*file = member->file;
	else if (member && member->kind == TAR_FILE)
		*file = (uint32_t)(member - root->member);
	else
		return error_set(err, EINVAL, "'%s' is a hard link to '%s', which is no file there",
			entry->path, entry->link);
	return 0;
}

static int take_entry(struct root *root, const struct tar_entry *entry, uint32_t layer,
	struct error *err)
{
	struct root_member member = {.next = NONE,
		.file = NONE,
		.heir = NONE,
		.layer = layer,
		.kind = entry->kind,
		.alive = true};
	char path[TAR_PATH_MAX + 1];
	bool whiteout;
	int r = resolve(root, entry->path, path, err);

	if (!r)
		r = take_whiteout(root, path, layer, &whiteout, err);
	if (!r && !whiteout && entry->kind == TAR_LINK)
		r = find_file(root, entry, &member.file, err);
	if (r)
		return r;
	/* The root itself is the disk's; devices are the guest's own. */
	if (whiteout || !*path || entry->kind == TAR_OTHER ||
		(entry->kind == TAR_LINK && !strcmp(root->member[member.file].path, path))) {
		member.alive = false;
	} else {
		r = make_way(root, path, entry->kind, layer, err);
		if (r)
			return r;
		member.path = strdup(path);
		member.target = entry->kind == TAR_SYMLINK ? strdup(entry->link) : NULL;
		if (!member.path || (entry->kind == TAR_SYMLINK && !member.target)) {
			free(member.path);
			return error_nomem(err);
		}
	}
	r = add_member(root, member, err);
	return r ? r : add_entry(root, err);
}

/* Calls each for every entry of all layers, in their order. */
static int walk(struct root *root,
	int (*each)(struct root *root, struct tar_input *tar, struct tar_entry *entry,
		uint32_t layer, uint32_t number, void *ctx, struct error *err),
	void *ctx, struct error *err)
{
	struct tar_entry *entry = malloc(sizeof *entry);
	uint32_t number = 0;
	int r = entry ? 0 : error_nomem(err);

	for (uint32_t i = 0; !r && i < root->what->layers; i++) {
		const char *name = root->what->layer[i];
		struct tar_input *tar = NULL;
		int fd = open(name, O_RDONLY | O_CLOEXEC);

		r = fd < 0 ? error_set(err, errno, "%s: %s", name, strerror(errno))
			   : tar_open(fd, name, &tar, err);
		while (!r && (r = tar_next(tar, entry, err)) > 0)
			r = each(root, tar, entry, i, number++, ctx, err);
		tar_close(tar);
	}
	free(entry);
	return r;
}

static int look(struct root *root, struct tar_input *tar, struct tar_entry *entry, uint32_t layer,
	uint32_t number, void *ctx, struct error *err)
{
	if (entry->size > root->what->most - root->bytes)
		return error_set(err, EFBIG,
			"there are more than %llu MiB of files in it, which is what the disk has room for (--size)",
			(unsigned long long)(root->what->most >> 20));
	root->bytes += entry->size;
	return take_entry(root, entry, layer, err);
}

/* A file that is gone lives on as its first hard link. */
static void find_heirs(struct root *root)
{
	for (uint32_t i = 0; i < root->members; i++) {
		const struct root_member *link = &root->member[i];
		struct root_member *file = link->file == NONE ? NULL : &root->member[link->file];

		if (file && link->alive && !file->alive && file->heir == NONE)
			file->heir = i;
	}
}

/* The second pass */

static int copy_data(struct tar_input *tar, int out, uint64_t size, struct error *err)
{
	static char bytes[64 << 10];
	ssize_t n;

	while ((n = tar_read(tar, bytes, sizeof bytes, err)) > 0) {
		int r = tar_write_data(out, bytes, (size_t)n, err);

		if (r)
			return r;
	}
	return n < 0 ? (int)n : tar_write_padding(out, size, err);
}

static int emit(struct root *root, struct tar_input *tar, struct tar_entry *entry, uint32_t layer,
	uint32_t number, void *ctx, struct error *err)
{
	const int out = *(int *)ctx;
	const struct root_member *member, *file;
	uint32_t as;
	int r;

	if (number >= root->entries)
		return error_set(err, EBUSY, "the archive has become another meanwhile");
	as = root->entry[number];
	member = &root->member[as];
	if (entry->kind != member->kind)
		return error_set(err, EBUSY, "the archive has become another meanwhile");
	if (!member->alive && member->kind == TAR_FILE && member->heir != NONE)
		as = member->heir;
	if (!root->member[as].alive)
		return 0;
	if (entry->kind == TAR_LINK) {
		file = &root->member[member->file];
		if (file->heir == as)
			return 0; /* has come out in the file's place */
		if (!file->alive)
			file = &root->member[file->heir];
		snprintf(entry->link, sizeof entry->link, "./%.*s", (int)TAR_PATH_MAX - 2,
			file->path);
	}
	if (snprintf(entry->path, sizeof entry->path, "./%s", root->member[as].path) >=
		(int)sizeof entry->path)
		return error_set(err, ENAMETOOLONG, "%.100s...: a path that is too long",
			root->member[as].path);
	r = tar_write_entry(out, entry, err);
	return r || entry->kind != TAR_FILE ? r : copy_data(tar, out, entry->size, err);
}

int flatten_write(const struct flatten *flatten, int out, struct error *err)
{
	struct root root = {.what = flatten};
	int r = flatten->layers > FLATTEN_LAYERS_MAX
		? error_set(err, E2BIG, "more than %u layers", FLATTEN_LAYERS_MAX)
		: walk(&root, look, NULL, err);

	if (!r) {
		find_heirs(&root);
		r = walk(&root, emit, &out, err);
	}
	if (!r && !root.members)
		r = error_set(err, EINVAL, "%s: there is nothing in it",
			flatten->layers ? flatten->layer[flatten->layers - 1] : "the image");
	if (!r)
		r = tar_write_end(out, err);
	free_root(&root);
	return r;
}
