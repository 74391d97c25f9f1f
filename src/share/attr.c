/* SPDX-License-Identifier: Apache-2.0 */
/* What a file is, but for its bytes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "share/internal.h"

#define FCHMODAT2 452 /* Linux 6.6: by AT_SYMLINK_NOFOLLOW */
#define KEPT_BITS (S_ISVTX | 0777)

mode_t attr_mode(uint32_t mode)
{
	return mode & KEPT_BITS;
}

/* Numbers of another file system beneath must not be those of this one. */
static uint64_t ino_of(const struct share_server *server, const struct stat *st)
{
	return st->st_dev == server->root->dev ? st->st_ino
					       : st->st_ino ^ st->st_dev * 0x9e3779b97f4a7c15ull;
}

void attr_fill(const struct share_server *server, struct fuse_attr *attr, const struct stat *st)
{
	*attr = (struct fuse_attr){
		.ino = ino_of(server, st),
		.size = (uint64_t)st->st_size,
		.blocks = (uint64_t)st->st_blocks,
		.atime = (uint64_t)st->st_atim.tv_sec,
		.mtime = (uint64_t)st->st_mtim.tv_sec,
		.ctime = (uint64_t)st->st_ctim.tv_sec,
		.atimensec = (uint32_t)st->st_atim.tv_nsec,
		.mtimensec = (uint32_t)st->st_mtim.tv_nsec,
		.ctimensec = (uint32_t)st->st_ctim.tv_nsec,
		.mode = st->st_mode,
		.nlink = (uint32_t)st->st_nlink,
		.uid = st->st_uid == server->uid ? 0 : NOBODY,
		.gid = st->st_gid == server->gid ? 0 : NOBODY,
		.blksize = 4096,
	};
}

static int attr_answer(struct share_request *request, const struct stat *st)
{
	struct fuse_attr_out *out = request->out;

	if (request->room < sizeof *out)
		return -EIO;
	*out = (struct fuse_attr_out){.attr_valid = 1};
	attr_fill(request->server, &out->attr, st);
	return sizeof *out;
}

int op_getattr(struct share_request *request)
{
	struct stat st;
	int r = node_stat(request->server, request->node, &st);

	return r ? r : attr_answer(request, &st);
}

/* fchmodat2() is not in each kernel: then the file is opened, if it can be. */
static int set_mode(struct share_server *server, struct node *node, mode_t mode)
{
	const char *name;
	int folder, fd, r;

	if (S_ISLNK(node->type))
		return -EOPNOTSUPP;
	if (node->handles)
		return fchmod(node->handles->fd, mode) ? -errno : 0;
	folder = node_at(server, node, &name);
	if (folder < 0)
		return folder;
	if (!syscall(FCHMODAT2, folder, name, mode, AT_SYMLINK_NOFOLLOW))
		return 0;
	if (errno != ENOSYS)
		return -errno;
	fd = node_open(server, node, O_RDONLY);
	if (fd == -EACCES && !S_ISDIR(node->type))
		fd = node_open(server, node, O_WRONLY);
	if (fd < 0) /* a link that took its place would not lead out of our root */
		return server->options.rooted && fchmodat(folder, name, mode, 0) == 0 ? 0 : fd;
	r = fchmod(fd, mode) ? -errno : 0;
	close(fd);
	return r;
}

/* Files are all the caller's own: nothing to do, or nothing that may be done. */
static int set_owner(struct share_server *server, struct node *node,
	const struct fuse_setattr_in *in)
{
	struct fuse_attr attr;
	struct stat st;
	int r = node_stat(server, node, &st);

	if (r)
		return r;
	attr_fill(server, &attr, &st);
	if (((in->valid & FATTR_UID) && in->uid != attr.uid) ||
		((in->valid & FATTR_GID) && in->gid != attr.gid))
		return -EPERM;
	return 0;
}

static int set_size(struct share_server *server, struct node *node,
	const struct fuse_setattr_in *in)
{
	const struct handle *handle =
		in->valid & FATTR_FH ? handle_get(server, in->fh) : node->handles;
	int fd, r;

	if (in->size > INT64_MAX)
		return -EFBIG;
	while (handle && !handle->writes && !(in->valid & FATTR_FH))
		handle = handle->next;
	if (handle && handle->writes && handle->node == node)
		return ftruncate(handle->fd, (off_t)in->size) ? -errno : 0;
	fd = node_open(server, node, O_WRONLY);
	if (fd < 0)
		return fd;
	r = ftruncate(fd, (off_t)in->size) ? -errno : 0;
	close(fd);
	return r;
}

static struct timespec time_of(const struct fuse_setattr_in *in, uint32_t set, uint32_t now,
	uint64_t seconds, uint32_t nanoseconds)
{
	if (in->valid & now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	if (!(in->valid & set) || nanoseconds > 999999999)
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	return (struct timespec){(time_t)seconds, nanoseconds};
}

static int set_times(struct share_server *server, struct node *node,
	const struct fuse_setattr_in *in)
{
	const struct timespec times[2] = {time_of(in, FATTR_ATIME, FATTR_ATIME_NOW, in->atime,
						  in->atimensec),
		time_of(in, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec)};
	const char *name;
	int folder;

	if (node->handles)
		return futimens(node->handles->fd, times) ? -errno : 0;
	folder = node_at(server, node, &name);
	if (folder < 0)
		return folder;
	return utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

int op_setattr(struct share_request *request)
{
	const struct fuse_setattr_in *in = request->in;
	int r = 0;

	if (in->valid & (FATTR_UID | FATTR_GID))
		r = set_owner(request->server, request->node, in);
	if (!r && (in->valid & FATTR_MODE))
		r = set_mode(request->server, request->node, attr_mode(in->mode));
	if (!r && (in->valid & FATTR_SIZE))
		r = set_size(request->server, request->node, in);
	if (!r && (in->valid & (FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW)))
		r = set_times(request->server, request->node, in);
	return r ? r : op_getattr(request);
}

int op_statfs(struct share_request *request)
{
	struct fuse_statfs_out *out = request->out;
	struct statfs fs;

	if (request->room < sizeof *out)
		return -EIO;
	if (fstatfs(request->server->root->fd, &fs))
		return -errno;
	*out = (struct fuse_statfs_out){.st = {.blocks = fs.f_blocks,
						.bfree = fs.f_bfree,
						.bavail = fs.f_bavail,
						.files = fs.f_files,
						.ffree = fs.f_ffree,
						.bsize = (uint32_t)fs.f_bsize,
						.namelen = (uint32_t)fs.f_namelen,
						.frsize = (uint32_t)fs.f_frsize}};
	return sizeof *out;
}

int op_readlink(struct share_request *request)
{
	const char *name;
	int folder;
	ssize_t n;

	if (!S_ISLNK(request->node->type))
		return -EINVAL;
	folder = node_at(request->server, request->node, &name);
	if (folder < 0)
		return folder;
	n = readlinkat(folder, name, request->out, request->room);
	return n < 0 ? -errno : (int)n;
}
