/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of this host for a guest: answers the requests of FUSE (linux/fuse.h, protocol 7.31), which
 * virtio-fs carries (virtio 1.2, 5.11). They are the guest's, and may say anything: all that is reached are the folder's
 * own files, by one name at a time below a descriptor of a folder, never through a link, over a mount or
 * upwards; and no device, pipe or socket is ever opened.
 *
 * All is done as the user of this process. What is his is the guest's root's, what is others' is nobody's (65534);
 * owners cannot be changed, nor are there set-user-ID bits and access lists; of extended attributes there are the user's (xattr(7)). Locks are
 * the guest's kernel's own affair. What changes outside is seen within a second.
 */
#ifndef DACH_SHARE_SERVER_H
#define DACH_SHARE_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct share_server;

struct share_options {
	bool read_only; /* nothing is written: EROFS */
	bool rooted;    /* the folder is this process's root: no link leads out of it in any case */
	unsigned files; /* descriptors that it may have at once: at least 64 */
};

/* root: the folder, open by O_PATH or to be read; stays the caller's. */
int share_server_create(int root, const struct share_options *options, struct share_server **server,
	struct error *err);
/* NULL is allowed. */
void share_server_destroy(struct share_server *server);

/*
 * One request, and its answer: the bytes of that, 0 for none. request is aligned to 8 bytes, as is answer; room is
 * 0, or at least what a struct fuse_out_header takes.
 */
size_t share_server_answer(struct share_server *server, const void *request, size_t size,
	void *answer, size_t room);

/* Answers what comes over a socket (share/message.h) until its other end is gone, or makes no sense. */
void share_serve(struct share_server *server, int socket);

#endif
