/* SPDX-License-Identifier: Apache-2.0 */
/* The server of a shared folder from inside. One thread. */
#ifndef DACH_SHARE_INTERNAL_H
#define DACH_SHARE_INTERNAL_H

#include <dirent.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "share/server.h"

#define NOBODY 65534u /* as Linux shows who has no number (user_namespaces(7)) */

/*
 * A file that the guest knows of: what it was when it was last seen, and where. No descriptor is kept but of folders:
 * others are found again by their folder and their name, and are still the same if device and number are.
 */
struct node {
	uint64_t id; /* the guest's name for it: its place in the table, from 1 */
	dev_t dev;
	ino_t ino;
	mode_t type;
	struct node *parent; /* NULL: the root, or it has lost its name */
	char *name;
	uint64_t lookups;       /* how often the guest was told of it */
	unsigned children;      /* nodes whose parent it is */
	unsigned busy;          /* what goes on needs it */
	struct handle *handles; /* open */
	struct node *next;      /* of its place in the hash table */
	int fd;                 /* of a folder, by O_PATH; -1: not open */
	struct node *newer,
		*older; /* of those whose fd is open, but the root: when they were used */
	/* The file's state when the guest last opened it: what it has in memory is still true then. */
	struct timespec modified, changed;
	off_t size;
};

/* What the guest has open. */
struct handle {
	uint64_t id;
	struct node *node;
	struct handle *next; /* of the node's */
	int fd;
	bool reads, writes;
	DIR *dir; /* of a folder: has the fd */
	/* The entry that comes next, where it was read already; and the offset that asks for it. */
	struct dirent ahead;
	bool has_ahead;
	uint64_t offset;
};

/* Things with numbers from 1 on. */
struct slots {
	void **at;
	uint64_t size, used, hint; /* no free place is below hint */
	uint64_t max;
};

struct share_server {
	struct share_options options;
	uid_t uid;
	gid_t gid;
	struct slots nodes, handles;
	struct node *root;
	struct node **hash;
	uint64_t hash_size; /* a power of two */
	struct node *newest, *oldest;
	unsigned open_folders;
	bool begun; /* FUSE_INIT was there */
};

/* A request on its way: what an operation has to answer. */
struct share_request {
	struct share_server *server;
	struct node *node; /* that the header names */
	const void *in;    /* behind the header */
	size_t in_size;
	void *out;
	size_t room;
};

/*
 * An operation: the bytes that it put into out (never more than room), or a negative errno. in_size is at least what its row in
 * server.c says.
 */
typedef int share_op(struct share_request *request);

/* slots.c */
uint64_t slots_add(struct slots *slots, void *what); /* its number; 0: no room */
void *slots_get(const struct slots *slots, uint64_t id);
void slots_remove(struct slots *slots, uint64_t id);

/* node.c */
int nodes_begin(struct share_server *server, int root);
void nodes_end(struct share_server *server);
/* Closes folders that were not used for long, down to what may be open. Between requests. */
void nodes_trim(struct share_server *server);
/* The node of a file that was just seen there, whether it is new or not. NULL: out of memory, or too many. */
struct node *node_see(struct share_server *server, struct node *parent, const char *name,
	const struct stat *st);
struct node *node_find(const struct share_server *server, const struct stat *st); /* or NULL */
bool node_is(const struct node *node, const struct stat *st);
/* The guest forgets count of its lookups; the node may be gone then. */
void node_forget(struct share_server *server, struct node *node, uint64_t count);
/* It has this name no more: by its handles alone it is still to be had. */
void node_lose_name(struct share_server *server, struct node *node);
/* It stays, whatever is forgotten meanwhile; and may go again, now or later. */
void node_hold(struct node *node);
void node_let_go(struct share_server *server, struct node *node);
/* A folder's descriptor, for *at() calls; valid for this request. -errno. */
int node_folder(struct share_server *server, struct node *node);
/* Its folder and its name there, for *at() calls that follow no link; it is what was there a moment ago. -errno. */
int node_at(struct share_server *server, struct node *node, const char **name);
/* Opened anew. A file of any other kind than regular ones and folders is not opened. -errno. */
int node_open(struct share_server *server, struct node *node, int flags);
int node_stat(struct share_server *server, struct node *node, struct stat *st);
/* What a name in a folder is, no link followed; -EXDEV where something is mounted there. -errno. */
int stat_beneath(int folder, const char *name, struct stat *st);
/* openat2() for a name in a folder, by which nothing else is reached. -errno. */
int open_beneath(int folder, const char *name, int flags, mode_t mode);

/* attr.c */
void attr_fill(const struct share_server *server, struct fuse_attr *attr, const struct stat *st);
/* The mode that a file of the guest's gets here. */
mode_t attr_mode(uint32_t mode);
share_op op_getattr, op_setattr, op_statfs, op_readlink;

/* name.c */
/* A file in the request's folder as an answer, which counts as a lookup. */
int entry_fill(struct share_request *request, struct node *folder, const char *name,
	const struct stat *st, struct fuse_entry_out *out, struct node **node);
share_op op_lookup, op_create, op_mknod, op_mkdir, op_symlink, op_link, op_unlink, op_rmdir,
	op_rename, op_rename2;
/* A name that the request has at this offset, and the offset behind it. NULL: there is none, or none that may be. */
const char *request_name(const struct share_request *request, size_t *offset);

/* file.c */
share_op op_open, op_read, op_write, op_release, op_fsync, op_fallocate, op_lseek, op_copy;
/* Takes fd; its answer. */
int handle_make(struct share_request *request, struct node *node, int fd, int flags,
	struct fuse_open_out *out);
struct handle *handle_get(const struct share_server *server, uint64_t id); /* NULL: none */
void handle_close(struct share_server *server, struct handle *handle);

/* xattr.c */
share_op op_getxattr, op_setxattr, op_listxattr, op_removexattr;

/* folder.c */
share_op op_opendir, op_readdir, op_readdirplus, op_releasedir, op_fsyncdir;

#endif
