/* SPDX-License-Identifier: Apache-2.0 */
/* Files that the guest knows of, and how they are found again. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "share/internal.h"

#define NODES_MAX (2u << 20)
#define HASH_FIRST 256u
#define DEPTH_MAX 1024u /* folders in folders */

int open_beneath(int folder, const char *name, int flags, mode_t mode)
{
	/* Non-blocking, and no terminal of ours: should it be a pipe or a device after all. */
	const struct open_how how = {
		.flags = (uint64_t)flags | O_CLOEXEC | O_NOFOLLOW |
			(flags & O_PATH ? 0 : O_NONBLOCK | O_NOCTTY),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			RESOLVE_NO_XDEV,
	};
	int fd;

	do
		fd = (int)syscall(SYS_openat2, folder, name, &how, sizeof how);
	while (fd < 0 && (errno == EAGAIN || errno == EINTR)); /* somebody renames meanwhile */
	return fd < 0 ? -errno : fd;
}

int stat_beneath(int folder, const char *name, struct stat *st)
{
	struct statx found;

	if (statx(folder, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &found))
		return -errno;
	/* By name it would be reached all the same. Kernels before 5.8 do not tell. */
	if (found.stx_attributes & STATX_ATTR_MOUNT_ROOT)
		return -EXDEV;
	*st = (struct stat){
		.st_dev = makedev(found.stx_dev_major, found.stx_dev_minor),
		.st_ino = found.stx_ino,
		.st_mode = found.stx_mode,
		.st_nlink = found.stx_nlink,
		.st_uid = found.stx_uid,
		.st_gid = found.stx_gid,
		.st_size = (off_t)found.stx_size,
		.st_blocks = (blkcnt_t)found.stx_blocks,
		.st_atim = {found.stx_atime.tv_sec, found.stx_atime.tv_nsec},
		.st_mtim = {found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec},
		.st_ctim = {found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec},
	};
	return 0;
}

bool node_is(const struct node *node, const struct stat *st)
{
	return node->dev == st->st_dev && node->ino == st->st_ino &&
		node->type == (st->st_mode & S_IFMT);
}

/* By device and number */

static uint64_t hash_of(const struct share_server *server, dev_t dev, ino_t ino)
{
	const uint64_t mixed = (ino ^ dev << 40) * 0x9e3779b97f4a7c15ull;

	return mixed >> 32 & (server->hash_size - 1);
}

struct node *node_find(const struct share_server *server, const struct stat *st)
{
	struct node *node = server->hash[hash_of(server, st->st_dev, st->st_ino)];

	while (node && !node_is(node, st))
		node = node->next;
	return node;
}

static void hash_add(struct share_server *server, struct node *node)
{
	struct node **place = &server->hash[hash_of(server, node->dev, node->ino)];

	node->next = *place;
	*place = node;
}

static void hash_remove(struct share_server *server, struct node *node)
{
	struct node **place = &server->hash[hash_of(server, node->dev, node->ino)];

	while (*place != node)
		place = &(*place)->next;
	*place = node->next;
}

/* Where there is no memory for a larger one, the old one goes on. */
static void hash_grow(struct share_server *server)
{
	struct node **larger;

	if (server->nodes.used < server->hash_size)
		return;
	larger = calloc(2 * server->hash_size, sizeof *larger);
	if (!larger)
		return;
	free(server->hash);
	server->hash = larger;
	server->hash_size *= 2;
	for (uint64_t i = 0; i < server->nodes.size; i++)
		if (server->nodes.at[i])
			hash_add(server, server->nodes.at[i]);
}

/* Folders that are open */

static void recent_remove(struct share_server *server, struct node *node)
{
	*(node->newer ? &node->newer->older : &server->newest) = node->older;
	*(node->older ? &node->older->newer : &server->oldest) = node->newer;
	node->newer = node->older = NULL;
}

static void recent_add(struct share_server *server, struct node *node)
{
	node->older = server->newest;
	*(server->newest ? &server->newest->newer : &server->oldest) = node;
	server->newest = node;
}

static void close_folder(struct share_server *server, struct node *node)
{
	if (node->fd < 0 || node == server->root)
		return;
	recent_remove(server, node);
	server->open_folders--;
	close(node->fd);
	node->fd = -1;
}

void nodes_trim(struct share_server *server)
{
	while (server->open_folders > server->options.files / 4)
		close_folder(server, server->oldest);
}

/* Life */

static void drop(struct share_server *server, struct node *node);

static void set_parent(struct share_server *server, struct node *node, struct node *parent)
{
	struct node *old = node->parent;

	node->parent = parent;
	if (parent)
		parent->children++;
	if (old) {
		old->children--;
		drop(server, old);
	}
}

/* If nobody knows of it. */
static void drop(struct share_server *server, struct node *node)
{
	if (node->lookups || node->children || node->handles || node->busy || node == server->root)
		return;
	close_folder(server, node);
	hash_remove(server, node);
	slots_remove(&server->nodes, node->id);
	set_parent(server, node, NULL);
	free(node->name);
	free(node);
}

/*
 * What is above a folder was true once. Where somebody outside has moved folders since, it may be below its own child by
 * now: then what that one was below is known to be wrong.
 */
static void break_circle(struct share_server *server, struct node *node, struct node *parent)
{
	for (; parent; parent = parent->parent)
		if (parent->parent == node) {
			set_parent(server, parent, NULL);
			return;
		}
}

static bool place(struct share_server *server, struct node *node, struct node *parent,
	const char *name)
{
	char *copy;

	if (node == server->root || node == parent)
		return true; /* a folder within itself: never so for long */
	if (node->parent == parent && node->name && !strcmp(node->name, name))
		return true;
	copy = strdup(name);
	if (!copy)
		return false;
	free(node->name);
	node->name = copy;
	if (S_ISDIR(node->type))
		break_circle(server, node, parent);
	set_parent(server, node, parent);
	return true;
}

struct node *node_see(struct share_server *server, struct node *parent, const char *name,
	const struct stat *st)
{
	struct node *node = node_find(server, st);
	bool good;

	if (!node) {
		hash_grow(server);
		node = calloc(1, sizeof *node);
		if (!node)
			return NULL;
		*node = (struct node){.dev = st->st_dev,
			.ino = st->st_ino,
			.type = st->st_mode & S_IFMT,
			.fd = -1};
		node->id = slots_add(&server->nodes, node);
		if (!node->id) {
			free(node);
			return NULL;
		}
		hash_add(server, node);
	}
	node->busy++;
	good = place(server, node, parent, name);
	node->busy--;
	if (good)
		return node;
	drop(server, node);
	return NULL;
}

void node_forget(struct share_server *server, struct node *node, uint64_t count)
{
	node->lookups -= count < node->lookups ? count : node->lookups;
	drop(server, node);
}

void node_lose_name(struct share_server *server, struct node *node)
{
	if (node == server->root)
		return;
	close_folder(server, node);
	set_parent(server, node, NULL);
}

void node_hold(struct node *node)
{
	node->busy++;
}

void node_let_go(struct share_server *server, struct node *node)
{
	node->busy--;
	drop(server, node);
}

int nodes_begin(struct share_server *server, int root)
{
	struct stat st;
	struct node *node;

	server->nodes.max = NODES_MAX;
	server->hash_size = HASH_FIRST;
	server->hash = calloc(HASH_FIRST, sizeof *server->hash);
	if (!server->hash)
		return -ENOMEM;
	if (fstat(root, &st))
		return -errno;
	node = node_see(server, NULL, "", &st);
	if (!node)
		return -ENOMEM;
	server->root = node;
	node->fd = root;
	return 0;
}

void nodes_end(struct share_server *server)
{
	for (uint64_t i = 0; i < server->nodes.size; i++) {
		struct node *node = server->nodes.at[i];

		if (!node)
			continue;
		if (node->fd >= 0 && node != server->root)
			close(node->fd);
		free(node->name);
		free(node);
	}
	free(server->nodes.at);
	free(server->hash);
}

/* The way back to them */

static int open_folder(struct share_server *server, struct node *node)
{
	struct node *way[DEPTH_MAX];
	unsigned depth = 0;

	/* Up to one that is open, and down again. */
	for (; node->fd < 0; node = node->parent) {
		if (!S_ISDIR(node->type))
			return -ENOTDIR;
		if (!node->parent || depth == DEPTH_MAX)
			return -ESTALE;
		way[depth++] = node;
	}
	for (; depth; node = way[depth]) {
		struct stat st;
		int fd = open_beneath(node->fd, way[--depth]->name, O_PATH | O_DIRECTORY, 0);

		if (fd < 0)
			return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? -ESTALE : fd;
		if (fstat(fd, &st) || !node_is(way[depth], &st)) {
			close(fd);
			return -ESTALE;
		}
		way[depth]->fd = fd;
		recent_add(server, way[depth]);
		server->open_folders++;
	}
	return node->fd;
}

int node_folder(struct share_server *server, struct node *node)
{
	if (node->fd < 0)
		return open_folder(server, node);
	if (node != server->root && node != server->newest) {
		recent_remove(server, node);
		recent_add(server, node);
	}
	return node->fd;
}

int node_at(struct share_server *server, struct node *node, const char **name)
{
	struct stat st;
	int folder, r;

	if (node == server->root) {
		*name = ".";
		return node->fd;
	}
	if (!node->parent)
		return -ESTALE;
	folder = node_folder(server, node->parent);
	if (folder < 0)
		return folder;
	*name = node->name;
	r = stat_beneath(folder, *name, &st);
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	return node_is(node, &st) ? folder : -ESTALE;
}

int node_open(struct share_server *server, struct node *node, int flags)
{
	const char *name;
	struct stat st;
	int folder, fd;

	if (S_ISDIR(node->type)) {
		folder = node_folder(server, node);
		return folder < 0 ? folder : open_beneath(folder, ".", flags | O_DIRECTORY, 0);
	}
	if (!S_ISREG(node->type))
		return S_ISLNK(node->type) ? -ELOOP : -ENXIO;
	folder = node_at(server, node, &name);
	if (folder < 0)
		return folder;
	if ((flags & (O_ACCMODE | O_TRUNC)) == (O_RDONLY | O_TRUNC))
		flags |= O_RDWR;
	/* What is cut off is this file, not one that has its name since a moment ago. */
	fd = open_beneath(folder, name, flags & ~O_TRUNC, 0);
	if (fd < 0)
		return fd == -ENOENT || fd == -ELOOP ? -ESTALE : fd;
	if (fstat(fd, &st) || !node_is(node, &st)) {
		close(fd);
		return -ESTALE;
	}
	if ((flags & O_TRUNC) && ftruncate(fd, 0)) {
		const int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

int node_stat(struct share_server *server, struct node *node, struct stat *st)
{
	int folder, r;

	if (node->fd >= 0)
		return fstat(node->fd, st) ? -errno : 0;
	if (node->handles)
		return fstat(node->handles->fd, st) ? -errno : 0;
	if (!node->parent)
		return -ESTALE;
	folder = node_folder(server, node->parent);
	if (folder < 0)
		return folder;
	r = stat_beneath(folder, node->name, st);
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	return node_is(node, st) ? 0 : -ESTALE;
}
