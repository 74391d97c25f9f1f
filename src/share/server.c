/* SPDX-License-Identifier: Apache-2.0 */
#include "share/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "share/internal.h"
#include "share/message.h"

/* What this server speaks; a guest that knows less cannot have virtio-fs. */
#define MINOR 31u
#define PAGE 4096u
/*
 * FUSE_HANDLE_KILLPRIV_V2: who writes to a file here takes its set-user-ID bits and capabilities away, since this process
 * has no capability; the guest need not ask for them before each write.
 */
#define WANTED                                                                                  \
	(FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA |       \
		FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_MAX_PAGES | \
		FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2)

static void close_handles(struct share_server *server)
{
	for (uint64_t i = 1; i <= server->handles.size; i++)
		if (handle_get(server, i))
			handle_close(server, handle_get(server, i));
}

static void forget_all(struct share_server *server)
{
	close_handles(server);
	for (uint64_t i = 1; i <= server->nodes.size; i++) {
		struct node *node = slots_get(&server->nodes, i);

		if (node && node != server->root)
			node_forget(server, node, UINT64_MAX);
	}
	server->begun = false;
}

/* The guest is through with it. */
static int op_destroy(struct share_request *request)
{
	forget_all(request->server);
	return 0;
}

static int op_init(struct share_request *request)
{
	const struct fuse_init_in *in = request->in;
	struct fuse_init_out *out = request->out;

	if (in->major != FUSE_KERNEL_VERSION || in->minor < MINOR || request->room < sizeof *out)
		return -EPROTO;
	forget_all(request->server); /* that was before a reset */
	request->server->begun = true;
	*out = (struct fuse_init_out){.major = FUSE_KERNEL_VERSION,
		.minor = MINOR,
		.max_readahead = in->max_readahead,
		.flags = in->flags & WANTED,
		.max_write = SHARE_DATA_MAX,
		.max_pages = SHARE_DATA_MAX / PAGE,
		.time_gran = 1};
	return sizeof *out;
}

static int op_forget(struct share_request *request)
{
	const struct fuse_forget_in *in = request->in;

	if (request->node != request->server->root)
		node_forget(request->server, request->node, in->nlookup);
	return 0;
}

static int op_batch_forget(struct share_request *request)
{
	const struct fuse_batch_forget_in *in = request->in;
	const struct fuse_forget_one *one = (const struct fuse_forget_one *)(in + 1);
	const size_t there = (request->in_size - sizeof *in) / sizeof *one;

	for (size_t i = 0; i < in->count && i < there; i++) {
		struct node *node = slots_get(&request->server->nodes, one[i].nodeid);

		if (node && node != request->server->root)
			node_forget(request->server, node, one[i].nlookup);
	}
	return 0;
}

enum op_kind { PLAIN, ANYBODY /* it names no file */, WRITES };

/* What this server does; of anything else the guest hears that there is no such thing, and does without. */
static const struct {
	share_op *run;
	uint16_t in; /* bytes at least, behind the header */
	enum op_kind kind;
} ops[] = {
	[FUSE_LOOKUP] = {op_lookup, 1, PLAIN},
	[FUSE_FORGET] = {op_forget, sizeof(struct fuse_forget_in), PLAIN},
	[FUSE_GETATTR] = {op_getattr, 0, PLAIN},
	[FUSE_SETATTR] = {op_setattr, sizeof(struct fuse_setattr_in), WRITES},
	[FUSE_READLINK] = {op_readlink, 0, PLAIN},
	[FUSE_SYMLINK] = {op_symlink, 1, WRITES},
	[FUSE_MKNOD] = {op_mknod, sizeof(struct fuse_mknod_in), WRITES},
	[FUSE_MKDIR] = {op_mkdir, sizeof(struct fuse_mkdir_in), WRITES},
	[FUSE_UNLINK] = {op_unlink, 1, WRITES},
	[FUSE_RMDIR] = {op_rmdir, 1, WRITES},
	[FUSE_RENAME] = {op_rename, sizeof(struct fuse_rename_in), WRITES},
	[FUSE_LINK] = {op_link, sizeof(struct fuse_link_in), WRITES},
	[FUSE_OPEN] = {op_open, sizeof(struct fuse_open_in), PLAIN},
	[FUSE_READ] = {op_read, sizeof(struct fuse_read_in), PLAIN},
	[FUSE_WRITE] = {op_write, sizeof(struct fuse_write_in), WRITES},
	[FUSE_STATFS] = {op_statfs, 0, PLAIN},
	[FUSE_RELEASE] = {op_release, sizeof(struct fuse_release_in), PLAIN},
	[FUSE_FSYNC] = {op_fsync, sizeof(struct fuse_fsync_in), PLAIN},
	[FUSE_SETXATTR] = {op_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE + 1, WRITES},
	[FUSE_GETXATTR] = {op_getxattr, sizeof(struct fuse_getxattr_in) + 1, PLAIN},
	[FUSE_LISTXATTR] = {op_listxattr, sizeof(struct fuse_getxattr_in), PLAIN},
	[FUSE_REMOVEXATTR] = {op_removexattr, 1, WRITES},
	[FUSE_INIT] = {op_init, 16, ANYBODY}, /* as much as all versions have */
	[FUSE_OPENDIR] = {op_opendir, sizeof(struct fuse_open_in), PLAIN},
	[FUSE_READDIR] = {op_readdir, sizeof(struct fuse_read_in), PLAIN},
	[FUSE_RELEASEDIR] = {op_releasedir, sizeof(struct fuse_release_in), PLAIN},
	[FUSE_FSYNCDIR] = {op_fsyncdir, sizeof(struct fuse_fsync_in), PLAIN},
	[FUSE_CREATE] = {op_create, sizeof(struct fuse_create_in), WRITES},
	[FUSE_DESTROY] = {op_destroy, 0, ANYBODY},
	[FUSE_BATCH_FORGET] = {op_batch_forget, sizeof(struct fuse_batch_forget_in), ANYBODY},
	[FUSE_FALLOCATE] = {op_fallocate, sizeof(struct fuse_fallocate_in), WRITES},
	[FUSE_READDIRPLUS] = {op_readdirplus, sizeof(struct fuse_read_in), PLAIN},
	[FUSE_RENAME2] = {op_rename2, sizeof(struct fuse_rename2_in), WRITES},
	[FUSE_LSEEK] = {op_lseek, sizeof(struct fuse_lseek_in), PLAIN},
	[FUSE_COPY_FILE_RANGE] = {op_copy, sizeof(struct fuse_copy_file_range_in), WRITES},
};

static int run(struct share_server *server, const struct fuse_in_header *header,
	struct share_request *request)
{
	const uint32_t op = header->opcode;
	int r;

	if (op >= sizeof ops / sizeof *ops || !ops[op].run)
		return -ENOSYS;
	if (request->in_size < ops[op].in)
		return -EINVAL;
	if (!server->begun && op != FUSE_INIT)
		return -EIO;
	if (ops[op].kind != ANYBODY && !request->node)
		return -ESTALE;
	if (ops[op].kind == WRITES && server->options.read_only)
		return -EROFS;
	nodes_trim(server);
	if (!request->node)
		return ops[op].run(request);
	node_hold(request->node);
	r = ops[op].run(request);
	node_let_go(server, request->node);
	return r;
}

size_t share_server_answer(struct share_server *server, const void *request, size_t size,
	void *answer, size_t room)
{
	const struct fuse_in_header *header = request;
	struct fuse_out_header none[2], *out = room ? answer : none;
	struct share_request todo = {.server = server,
		.in = header + 1,
		.in_size = size < sizeof *header ? 0 : size - sizeof *header,
		.out = out + 1,
		.room = room ? room - sizeof *out : 0};
	int r = -EINVAL;

	*out = (struct fuse_out_header){.len = sizeof *out};
	if (size >= sizeof *header && header->len == size) {
		out->unique = header->unique;
		todo.node = slots_get(&server->nodes, header->nodeid);
		r = run(server, header, &todo);
	}
	if (r < 0)
		out->error = r;
	else
		out->len += (uint32_t)r;
	return room ? out->len : 0;
}

int share_server_create(int root, const struct share_options *options, struct share_server **out,
	struct error *err)
{
	const int fd = open_beneath(root, ".", O_PATH | O_DIRECTORY, 0);
	struct share_server *server;
	int r;

	if (fd < 0)
		return error_set(err, -fd, "a shared folder needs openat2(), of Linux 5.6: %s",
			strerror(-fd));
	close(fd);
	server = calloc(1, sizeof *server);
	if (!server)
		return error_nomem(err);
	server->options = *options;
	server->uid = geteuid();
	server->gid = getegid();
	/* The rest is for folders, for what is open during a request, and for what was there before. */
	server->handles.max = options->files / 2;
	r = nodes_begin(server, root);
	if (r) {
		share_server_destroy(server);
		return error_set(err, -r, "the shared folder: %s", strerror(-r));
	}
	*out = server;
	return 0;
}

void share_server_destroy(struct share_server *server)
{
	if (!server)
		return;
	close_handles(server);
	free(server->handles.at);
	nodes_end(server);
	free(server);
}
