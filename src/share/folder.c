/* SPDX-License-Identifier: Apache-2.0 */
/* Folders that the guest has open, and what is in them. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "share/internal.h"

int op_opendir(struct share_request *request)
{
	struct fuse_open_out *out = request->out;
	struct handle *handle;
	int fd, r;

	if (request->room < sizeof *out)
		return -EIO;
	if (!S_ISDIR(request->node->type))
		return -ENOTDIR;
	fd = node_open(request->server, request->node, O_RDONLY);
	if (fd < 0)
		return fd;
	r = handle_make(request, request->node, fd, O_RDONLY, out);
	if (r)
		return r;
	handle = handle_get(request->server, out->fh);
	handle->dir = fdopendir(fd);
	if (!handle->dir) {
		handle_close(request->server, handle);
		return -ENOMEM;
	}
	return sizeof *out;
}

static struct handle *folder_handle(const struct share_request *request, uint64_t id)
{
	struct handle *handle = handle_get(request->server, id);

	return handle && handle->dir && handle->node == request->node ? handle : NULL;
}

int op_releasedir(struct share_request *request)
{
	const struct fuse_release_in *in = request->in;
	struct handle *handle = folder_handle(request, in->fh);

	if (!handle)
		return -EBADF;
	handle_close(request->server, handle);
	return 0;
}

int op_fsyncdir(struct share_request *request)
{
	const struct fuse_fsync_in *in = request->in;
	const struct handle *handle = folder_handle(request, in->fh);

	if (!handle)
		return -EBADF;
	return fsync(handle->fd) ? -errno : 0;
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/*
 * An entry with its attributes, as by a lookup that the guest has not to make then. What is not there any more, or cannot
 * be looked at, has none.
 */
static void entry_plus(struct share_request *request, const struct dirent *entry,
	struct fuse_entry_out *out)
{
	const int folder = node_folder(request->server, request->node);
	struct node *node;
	struct stat st;

	*out = (struct fuse_entry_out){
		.attr = {.ino = entry->d_ino, .mode = DTTOIF(entry->d_type)}};
	if (folder < 0 || is_dots(entry->d_name) || stat_beneath(folder, entry->d_name, &st))
		return;
	if (entry_fill(request, request->node, entry->d_name, &st, out, &node))
		*out = (struct fuse_entry_out){
			.attr = {.ino = entry->d_ino, .mode = DTTOIF(entry->d_type)}};
}

/* What is there, as far as there is room. */
static int list(struct share_request *request, bool plus)
{
	const struct fuse_read_in *in = request->in;
	struct handle *handle = folder_handle(request, in->fh);
	const size_t room = in->size < request->room ? in->size : request->room,
		     before = plus ? sizeof(struct fuse_entry_out) : 0;
	size_t at = 0;

	if (!handle)
		return -EBADF;
	if (in->offset != handle->offset) {
		handle->has_ahead = false;
		seekdir(handle->dir, (long)in->offset);
		handle->offset = in->offset;
	}
	for (;;) {
		struct fuse_dirent *out =
			(struct fuse_dirent *)((char *)request->out + at + before);
		const struct dirent *entry = &handle->ahead;
		size_t len, size;

		if (!handle->has_ahead) {
			errno = 0;
			entry = readdir(handle->dir);
			if (!entry)
				return at || !errno ? (int)at : -errno;
		}
		len = strnlen(entry->d_name, sizeof entry->d_name);
		size = before + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + len);
		if (size > room - at) {
			if (entry != &handle->ahead)
				memcpy(&handle->ahead, entry,
					entry->d_reclen < sizeof handle->ahead
						? entry->d_reclen
						: sizeof handle->ahead);
			handle->has_ahead = true;
			return at ? (int)at : -EINVAL;
		}
		memset((char *)request->out + at, 0, size);
		if (plus)
			entry_plus(request, entry,
				(struct fuse_entry_out *)((char *)request->out + at));
		out->ino = entry->d_ino;
		out->off = (uint64_t)entry->d_off;
		out->namelen = (uint32_t)len;
		out->type = entry->d_type;
		memcpy(out->name, entry->d_name, len);
		handle->offset = out->off;
		handle->has_ahead = false;
		at += size;
	}
}

int op_readdir(struct share_request *request)
{
	return list(request, false);
}

int op_readdirplus(struct share_request *request)
{
	return list(request, true);
}
