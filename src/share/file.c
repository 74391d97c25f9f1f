/* SPDX-License-Identifier: Apache-2.0 */
/* Files that the guest has open, and their bytes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "share/internal.h"
#include "share/message.h"

struct handle *handle_get(const struct share_server *server, uint64_t id)
{
	return slots_get(&server->handles, id);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Whether the file is as the guest last had it open: then what it has of it in memory is good. */
static bool unchanged(struct node *node, int fd)
{
	struct stat st;
	bool same;

	if (fstat(fd, &st))
		return false;
	same = node->size == st.st_size && same_time(&node->modified, &st.st_mtim) &&
		same_time(&node->changed, &st.st_ctim);
	node->size = st.st_size;
	node->modified = st.st_mtim;
	node->changed = st.st_ctim;
	return same;
}

int handle_make(struct share_request *request, struct node *node, int fd, int flags,
	struct fuse_open_out *out)
{
	struct handle *handle = calloc(1, sizeof *handle);

	if (handle)
		handle->id = slots_add(&request->server->handles, handle);
	if (!handle || !handle->id) {
		free(handle);
		close(fd);
		return -EMFILE;
	}
	handle->fd = fd;
	handle->reads = (flags & O_ACCMODE) != O_WRONLY;
	handle->writes = (flags & O_ACCMODE) != O_RDONLY;
	handle->node = node;
	handle->next = node->handles;
	node->handles = handle;
	*out = (struct fuse_open_out){.fh = handle->id};
	if (S_ISREG(node->type) && unchanged(node, fd))
		out->open_flags = FOPEN_KEEP_CACHE;
	return 0;
}

void handle_close(struct share_server *server, struct handle *handle)
{
	struct node *node = handle->node;
	struct handle **place = &node->handles;

	while (*place != handle)
		place = &(*place)->next;
	node_hold(node);
	*place = handle->next;
	slots_remove(&server->handles, handle->id);
	if (handle->dir)
		closedir(handle->dir);
	else
		close(handle->fd);
	free(handle);
	node_let_go(server, node);
}

/*
 * A file that has lost its name is opened again by a descriptor that it is open by for as much (/proc/self/fd in the guest):
 * nothing here depends on a descriptor's own position.
 */
static int open_nameless(const struct node *node, int flags)
{
	const bool reads = (flags & O_ACCMODE) != O_WRONLY,
		   writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
	const struct handle *handle = node->handles;
	int fd;

	while (handle && ((reads && !handle->reads) || (writes && !handle->writes)))
		handle = handle->next;
	if (!handle || flags & O_SYNC)
		return -ESTALE;
	if (flags & O_TRUNC && ftruncate(handle->fd, 0))
		return -errno;
	fd = fcntl(handle->fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int op_open(struct share_request *request)
{
	const struct fuse_open_in *in = request->in;
	struct share_server *server = request->server;
	struct fuse_open_out *out = request->out;
	int fd, flags, r;

	if (request->room < sizeof *out)
		return -EIO;
	if (server->options.read_only &&
		((in->flags & O_ACCMODE) != O_RDONLY || in->flags & O_TRUNC))
		return -EROFS;
	if (!S_ISREG(request->node->type))
		return S_ISDIR(request->node->type) ? -EISDIR : -ENXIO;
	/* The guest says where each write goes, also at a file's end. */
	flags = (int)in->flags & (O_ACCMODE | O_TRUNC | O_SYNC);
	fd = node_open(server, request->node, flags);
	if (fd == -ESTALE)
		fd = open_nameless(request->node, flags);
	if (fd < 0)
		return fd;
	r = handle_make(request, request->node, fd, (int)in->flags, out);
	return r ? r : (int)sizeof *out;
}

int op_release(struct share_request *request)
{
	const struct fuse_release_in *in = request->in;
	struct handle *handle = handle_get(request->server, in->fh);

	if (!handle || handle->dir)
		return -EBADF;
	handle_close(request->server, handle);
	return 0;
}

static struct handle *file_handle(const struct share_request *request, uint64_t id)
{
	struct handle *handle = handle_get(request->server, id);

	return handle && !handle->dir ? handle : NULL;
}

int op_read(struct share_request *request)
{
	const struct fuse_read_in *in = request->in;
	const struct handle *handle = file_handle(request, in->fh);
	size_t size = in->size;
	ssize_t n;

	if (!handle)
		return -EBADF;
	if (in->offset > INT64_MAX)
		return -EINVAL;
	if (size > request->room)
		size = request->room;
	if (size > SHARE_DATA_MAX)
		size = SHARE_DATA_MAX;
	n = pread(handle->fd, request->out, size, (off_t)in->offset);
	return n < 0 ? -errno : (int)n;
}

int op_write(struct share_request *request)
{
	const struct fuse_write_in *in = request->in;
	const struct handle *handle = file_handle(request, in->fh);
	struct fuse_write_out *out = request->out;
	const struct iovec data = {(void *)(in + 1), in->size};
	/* Bytes of a mapping belong where they are; others where the file's end is by now. */
	const bool append = (in->flags & O_APPEND) && !(in->write_flags & FUSE_WRITE_CACHE);
	ssize_t n;

	if (!handle || !handle->writes)
		return -EBADF;
	if (in->size > request->in_size - sizeof *in || in->offset > INT64_MAX ||
		request->room < sizeof *out)
		return -EINVAL;
	n = pwritev2(handle->fd, &data, 1, (off_t)in->offset, append ? RWF_APPEND : 0);
	if (n < 0)
		return -errno;
	*out = (struct fuse_write_out){.size = (uint32_t)n};
	return sizeof *out;
}

int op_fsync(struct share_request *request)
{
	const struct fuse_fsync_in *in = request->in;
	const struct handle *handle = file_handle(request, in->fh);

	if (!handle)
		return -EBADF;
	return (in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(handle->fd) : fsync(handle->fd))
		? -errno
		: 0;
}

int op_fallocate(struct share_request *request)
{
	const struct fuse_fallocate_in *in = request->in;
	const struct handle *handle = file_handle(request, in->fh);

	if (!handle || !handle->writes)
		return -EBADF;
	if (in->mode &
		~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	if (in->offset > INT64_MAX || in->length > INT64_MAX)
		return -EINVAL;
	return fallocate(handle->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) ? -errno
											  : 0;
}

int op_lseek(struct share_request *request)
{
	const struct fuse_lseek_in *in = request->in;
	const struct handle *handle = file_handle(request, in->fh);
	struct fuse_lseek_out *out = request->out;
	off_t at;

	if (!handle)
		return -EBADF;
	if ((in->whence != SEEK_DATA && in->whence != SEEK_HOLE) || in->offset > INT64_MAX ||
		request->room < sizeof *out)
		return -EINVAL;
	at = lseek(handle->fd, (off_t)in->offset, (int)in->whence);
	if (at < 0)
		return -errno;
	*out = (struct fuse_lseek_out){.offset = (uint64_t)at};
	return sizeof *out;
}

/* Of one request not more than another could write: the guest asks again. */
int op_copy(struct share_request *request)
{
	const struct fuse_copy_file_range_in *in = request->in;
	const struct handle *from = file_handle(request, in->fh_in),
			    *to = file_handle(request, in->fh_out);
	off_t from_offset = (off_t)in->off_in, to_offset = (off_t)in->off_out;
	struct fuse_write_out *out = request->out;
	ssize_t n;

	if (!from || !to || !to->writes)
		return -EBADF;
	if (in->off_in > INT64_MAX || in->off_out > INT64_MAX || in->flags ||
		request->room < sizeof *out)
		return -EINVAL;
	n = copy_file_range(from->fd, &from_offset, to->fd, &to_offset,
		in->len < (64u << 20) ? in->len : 64u << 20, 0);
	if (n < 0)
		return -errno;
	*out = (struct fuse_write_out){.size = (uint32_t)n};
	return sizeof *out;
}
