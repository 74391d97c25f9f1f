/* SPDX-License-Identifier: Apache-2.0 */
/* Names in folders: found, made, changed, taken away. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "share/internal.h"

const char *request_name(const struct share_request *request, size_t *offset)
{
	const char *name = (const char *)request->in + *offset;
	const size_t left = *offset < request->in_size ? request->in_size - *offset : 0,
		     len = strnlen(name, left);

	if (len == left)
		return NULL;
	*offset += len + 1;
	if (!len || len > NAME_MAX || memchr(name, '/', len) || !strcmp(name, ".") ||
		!strcmp(name, ".."))
		return NULL;
	return name;
}

int entry_fill(struct share_request *request, struct node *folder, const char *name,
	const struct stat *st, struct fuse_entry_out *out, struct node **node)
{
	*node = node_see(request->server, folder, name, st);
	if (!*node)
		return -ENFILE;
	(*node)->lookups++;
	*out = (struct fuse_entry_out){.nodeid = (*node)->id, .entry_valid = 1, .attr_valid = 1};
	attr_fill(request->server, &out->attr, st);
	return 0;
}

/* What has just been made, or is there. */
static int entry_answer(struct share_request *request, int folder, const char *name)
{
	struct fuse_entry_out *out = request->out;
	struct node *node;
	struct stat st;
	int r;

	if (request->room < sizeof *out)
		return -EIO;
	r = stat_beneath(folder, name, &st);
	if (r) {
		if (r != -ENOENT)
			return r;
		/* That it is not there is to be known for a while, too. */
		*out = (struct fuse_entry_out){.entry_valid = 1};
		return sizeof *out;
	}
	r = entry_fill(request, request->node, name, &st, out, &node);
	return r ? r : (int)sizeof *out;
}

/* The request's folder, and the name that stands at the offset. -errno. */
static int folder_and_name(struct share_request *request, size_t offset, const char **name)
{
	*name = request_name(request, &offset);
	return *name ? node_folder(request->server, request->node) : -EINVAL;
}

int op_lookup(struct share_request *request)
{
	const char *name;
	int folder = folder_and_name(request, 0, &name);

	return folder < 0 ? folder : entry_answer(request, folder, name);
}

int op_mkdir(struct share_request *request)
{
	const struct fuse_mkdir_in *in = request->in;
	const char *name;
	int folder = folder_and_name(request, sizeof *in, &name);

	if (folder < 0)
		return folder;
	if (mkdirat(folder, name, attr_mode(in->mode)))
		return -errno;
	return entry_answer(request, folder, name);
}

/* Pipes and sockets are names alone; devices would be the host's. */
int op_mknod(struct share_request *request)
{
	const struct fuse_mknod_in *in = request->in;
	const mode_t type = in->mode & S_IFMT;
	const char *name;
	int folder = folder_and_name(request, sizeof *in, &name);

	if (folder < 0)
		return folder;
	if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK)
		return -EPERM;
	if (mknodat(folder, name, type | attr_mode(in->mode), 0))
		return -errno;
	return entry_answer(request, folder, name);
}

int op_symlink(struct share_request *request)
{
	size_t offset = 0;
	const char *name = request_name(request, &offset), *target;
	int folder;

	if (!name)
		return -EINVAL;
	/* Where it leads is for the guest to follow. */
	target = (const char *)request->in + offset;
	if (strnlen(target, request->in_size - offset) == request->in_size - offset)
		return -EINVAL;
	folder = node_folder(request->server, request->node);
	if (folder < 0)
		return folder;
	if (symlinkat(target, folder, name))
		return -errno;
	return entry_answer(request, folder, name);
}

int op_link(struct share_request *request)
{
	const struct fuse_link_in *in = request->in;
	struct node *node = slots_get(&request->server->nodes, in->oldnodeid);
	const char *name, *old;
	struct stat st;
	int folder = folder_and_name(request, sizeof *in, &name), from;

	if (folder < 0)
		return folder;
	if (!node)
		return -ESTALE;
	from = node_at(request->server, node, &old);
	if (from < 0)
		return from;
	if (linkat(from, old, folder, name, 0))
		return -errno;
	/* Somebody outside was faster: it is not what was meant. */
	if (stat_beneath(folder, name, &st) || !node_is(node, &st)) {
		unlinkat(folder, name, 0);
		return -ESTALE;
	}
	return entry_answer(request, folder, name);
}

static int take_away(struct share_request *request, int flags)
{
	struct node *node = NULL;
	const char *name;
	struct stat st;
	int folder = folder_and_name(request, 0, &name);

	if (folder < 0)
		return folder;
	if (!stat_beneath(folder, name, &st))
		node = node_find(request->server, &st);
	if (unlinkat(folder, name, flags))
		return -errno;
	/* Another name of the file is learned when the guest looks it up. */
	if (node && node->parent == request->node && !strcmp(node->name, name))
		node_lose_name(request->server, node);
	return 0;
}

int op_unlink(struct share_request *request)
{
	return take_away(request, 0);
}

int op_rmdir(struct share_request *request)
{
	return take_away(request, AT_REMOVEDIR);
}

static struct node *known_at(const struct share_server *server, int folder, const char *name)
{
	struct stat st;

	return stat_beneath(folder, name, &st) ? NULL : node_find(server, &st);
}

/* A node that was at a name is elsewhere now. */
static void moved(struct share_server *server, struct node *to, int folder, const char *name)
{
	struct stat st;

	/* Nobody need know of what nobody knew of. */
	if (!stat_beneath(folder, name, &st) && node_find(server, &st))
		node_see(server, to, name, &st);
}

/* Both folders are held. */
static int rename_names(struct share_request *request, struct node *to, const char *name,
	const char *new_name, unsigned flags)
{
	struct share_server *server = request->server;
	const int from_folder = node_folder(server, request->node);
	const int to_folder = from_folder < 0 ? from_folder : node_folder(server, to);
	struct node *replaced;

	if (to_folder < 0)
		return to_folder;
	replaced = known_at(server, to_folder, new_name);
	if (renameat2(from_folder, name, to_folder, new_name, flags))
		return -errno;
	if (replaced && !(flags & RENAME_EXCHANGE) &&
		replaced != known_at(server, to_folder, new_name))
		node_lose_name(server, replaced);
	moved(server, to, to_folder, new_name);
	if (flags & RENAME_EXCHANGE)
		moved(server, request->node, from_folder, name);
	return 0;
}

static int rename_to(struct share_request *request, uint64_t to_id, size_t offset, unsigned flags)
{
	struct node *to = slots_get(&request->server->nodes, to_id);
	const char *name = request_name(request, &offset),
		   *new_name = name ? request_name(request, &offset) : NULL;
	int r;

	if (!name || !new_name || flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if (!to)
		return -ESTALE;
	node_hold(to);
	r = rename_names(request, to, name, new_name, flags);
	node_let_go(request->server, to);
	return r;
}

int op_rename(struct share_request *request)
{
	const struct fuse_rename_in *in = request->in;

	return rename_to(request, in->newdir, sizeof *in, 0);
}

int op_rename2(struct share_request *request)
{
	const struct fuse_rename2_in *in = request->in;

	return rename_to(request, in->newdir, sizeof *in, in->flags);
}

/* Opened if it is there, of the kind that is opened at all. */
static int create_file(int folder, const char *name, const struct fuse_create_in *in)
{
	struct stat st;
	int flags = in->flags & (O_ACCMODE | O_EXCL), fd;

	if (!stat_beneath(folder, name, &st) && !S_ISREG(st.st_mode))
		return -EEXIST;
	fd = open_beneath(folder, name, flags | O_CREAT, attr_mode(in->mode));
	if (fd < 0)
		return fd;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && (!(in->flags & O_TRUNC) || !ftruncate(fd, 0)))
		return fd;
	close(fd);
	return -EIO;
}

int op_create(struct share_request *request)
{
	const struct fuse_create_in *in = request->in;
	struct fuse_entry_out *out = request->out;
	struct node *node;
	const char *name;
	struct stat st;
	int folder = folder_and_name(request, sizeof *in, &name), fd, r;

	if (folder < 0)
		return folder;
	if (request->room < sizeof *out + sizeof(struct fuse_open_out))
		return -EIO;
	fd = create_file(folder, name, in);
	if (fd < 0)
		return fd;
	r = fstat(fd, &st) ? -errno : entry_fill(request, request->node, name, &st, out, &node);
	if (r) {
		close(fd);
		return r;
	}
	r = handle_make(request, node, fd, (int)in->flags, (struct fuse_open_out *)(out + 1));
	if (r) {
		node_forget(request->server, node, 1);
		return r;
	}
	return sizeof *out + sizeof(struct fuse_open_out);
}
