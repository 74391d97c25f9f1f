/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes (xattr(7)): the user's alone, of files and folders, as they are here. What gives a file rights or a
 * label (security, system: access lists among them, trusted) is this host's own: the guest is told that there is none, and can
 * set none.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "share/internal.h"

#define PREFIX "user."

static bool is_users(const char *name)
{
	return !strncmp(name, PREFIX, strlen(PREFIX)) && strlen(name) <= XATTR_NAME_MAX;
}

/* A name, and the offset behind it; NULL: it has no end. */
static const char *take_name(const struct share_request *request, size_t *offset)
{
	const char *name = (const char *)request->in + *offset;
	const size_t left = *offset < request->in_size ? request->in_size - *offset : 0,
		     len = strnlen(name, left);

	*offset += len + 1;
	return len == left ? NULL : name;
}

/* The attribute's name behind in bytes of the request, and the file, open. -errno. */
static int begin(struct share_request *request, size_t in, const char **name, size_t *end)
{
	struct node *node = request->node;

	*end = in;
	*name = take_name(request, end);
	if (!*name)
		return -EINVAL;
	if (!is_users(*name))
		return -EOPNOTSUPP;
	if (!S_ISREG(node->type) && !S_ISDIR(node->type))
		return -EPERM; /* as xattr(7) has it */
	return node_open(request->server, node, O_RDONLY);
}

static int end(int fd, ssize_t n)
{
	const int r = n < 0 ? -errno : (int)n;

	close(fd);
	return r;
}

/* How many bytes it takes, for who has asked for no more. */
static int tell_size(struct share_request *request, int n)
{
	struct fuse_getxattr_out *out = request->out;

	if (n < 0)
		return n;
	if (request->room < sizeof *out)
		return -EIO;
	*out = (struct fuse_getxattr_out){.size = (uint32_t)n};
	return sizeof *out;
}

int op_getxattr(struct share_request *request)
{
	const struct fuse_getxattr_in *in = request->in;
	const size_t room = in->size < request->room ? in->size : request->room;
	const char *name;
	size_t behind;
	int r, fd = begin(request, sizeof *in, &name, &behind);

	if (fd < 0)
		return fd == -EPERM ? -ENODATA : fd;
	if (in->size && !room) {
		close(fd);
		return -ERANGE;
	}
	r = end(fd, fgetxattr(fd, name, request->out, room));
	return in->size ? r : tell_size(request, r);
}

int op_setxattr(struct share_request *request)
{
	const struct fuse_setxattr_in *in =
		request->in; /* its first FUSE_COMPAT_SETXATTR_IN_SIZE bytes */
	const char *name;
	size_t behind;
	int fd;

	fd = begin(request, FUSE_COMPAT_SETXATTR_IN_SIZE, &name, &behind);
	if (fd < 0)
		return fd;
	if (in->size > request->in_size - behind) {
		close(fd);
		return -EINVAL;
	}
	return end(fd,
		fsetxattr(fd, name, (const char *)request->in + behind, in->size, (int)in->flags));
}

int op_removexattr(struct share_request *request)
{
	const char *name;
	size_t behind;
	int fd = begin(request, 0, &name, &behind);

	return fd < 0 ? fd : end(fd, fremovexattr(fd, name));
}

/* Of all names the user's, to the front; their bytes. */
static size_t keep_users(char *names, size_t size)
{
	size_t kept = 0;

	for (size_t at = 0, len; at < size; at += len) {
		len = strnlen(names + at, size - at);
		if (len == size - at)
			break;
		len++;
		if (!is_users(names + at))
			continue;
		memmove(names + kept, names + at, len);
		kept += len;
	}
	return kept;
}

int op_listxattr(struct share_request *request)
{
	const struct fuse_getxattr_in *in = request->in;
	char names[XATTR_LIST_MAX];
	struct node *node = request->node;
	int fd, n;

	if (!S_ISREG(node->type) && !S_ISDIR(node->type))
		return in->size ? 0 : tell_size(request, 0);
	fd = node_open(request->server, node, O_RDONLY);
	if (fd < 0)
		return fd;
	n = end(fd, flistxattr(fd, names, sizeof names));
	if (n < 0)
		return n;
	n = (int)keep_users(names, (size_t)n);
	if (!in->size)
		return tell_size(request, n);
	if ((size_t)n > in->size || (size_t)n > request->room)
		return -ERANGE;
	memcpy(request->out, names, (size_t)n);
	return n;
}
