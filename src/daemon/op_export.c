/* SPDX-License-Identifier: Apache-2.0 */
/* A disk of a guest that runs, as it is at this moment, for NBD clients: the socket is made here, its monitor serves it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/layer.h"
#include "daemon/monitor.h"
#include "daemon/op.h"
#include "daemon/plug.h"

#define BACKLOG 16
#define PORT_FREE 1024 /* ports below are managers' */

struct export_operation {
	struct operation *op;
	struct caller caller; /* whose socket it is */
	char *path;           /* of the socket, once it is there; else NULL */
	int listener, scratch;
	struct monitor_request request;
	char name[REQUEST_NAME_MAX + 1]; /* of the scratch file, for messages */
};

static int remove_it(void *ctx)
{
	return unlink(ctx) ? -errno : 0;
}

static void export_free(struct export_operation *export)
{
	if (export->path)
		caller_act(&export->caller, remove_it, export->path);
	if (export->listener >= 0)
		close(export->listener);
	if (export->scratch >= 0)
		close(export->scratch);
	caller_free(&export->caller);
	free(export->path);
	free(export);
}

/* What the guest writes over is kept in a file without a name */

struct scratch {
	char path[PATH_MAX];
	int fd;
};

/* Where a file system knows of none without a name, it has one for a moment. */
static int open_scratch(void *ctx)
{
	struct scratch *scratch = ctx;
	char *folder_end = strrchr(scratch->path, '/');

	*folder_end = 0;
	scratch->fd =
		open(*scratch->path ? scratch->path : "/", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	*folder_end = '/';
	if (scratch->fd >= 0)
		return 0;
	scratch->fd = open(scratch->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (scratch->fd < 0)
		return -errno;
	unlink(scratch->path);
	return 0;
}

static int make_scratch(struct guest *guest, struct export_operation *export,
	const struct domain_disk *disk, struct error *err)
{
	const char *folder = export->op->arguments.folder;
	const char *slash = strrchr(disk->target, '/');
	struct scratch scratch = {.fd = -1};
	struct caller owner;
	uint64_t size;
	int fd, r = layer_measure(guest, disk, &size, err);

	if (r)
		return r;
	if (!folder && !strncmp(disk->target, "/dev/", 5))
		return error_set(err, EINVAL,
			"%s: a device: say in which folder what the guest writes over may be kept (--folder)",
			disk->target);
	if (folder && folder[0] != '/')
		return error_set(err, EINVAL, "folder: does not begin with /");
	if (snprintf(scratch.path, sizeof scratch.path, "%.*s/.%s.export",
		    folder ? (int)strlen(folder) : (int)(slash - disk->target),
		    folder ? folder : disk->target, guest->config.uuid) >= (int)sizeof scratch.path)
		return error_set(err, ENAMETOOLONG, "%s: the name is too long", disk->target);
	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	/* The folder is one in which the owner may have files at all. */
	*strrchr(scratch.path, '/') = 0;
	r = caller_open(&owner, *scratch.path ? scratch.path : "/", O_RDONLY | O_DIRECTORY, 0, &fd,
		err);
	scratch.path[strlen(scratch.path)] = '/';
	if (!r) {
		close(fd);
		r = caller_act(&owner, open_scratch, &scratch);
		if (r)
			error_set(err, -r, "%s: %s", scratch.path, strerror(-r));
	}
	caller_free(&owner);
	if (!r && ftruncate(scratch.fd, (off_t)size))
		r = error_set(err, errno, "%s: %s", scratch.path, strerror(errno));
	export->scratch = scratch.fd;
	snprintf(export->name, sizeof export->name, "%.1000s", scratch.path);
	return r;
}

/* The socket */

struct binding {
	int fd;
	struct sockaddr_un at;
};

static int bind_it(void *ctx)
{
	struct binding *binding = ctx;
	const mode_t mask = umask(0177);
	int r = bind(binding->fd, (struct sockaddr *)&binding->at, sizeof binding->at) ? -errno : 0;

	umask(mask);
	return r;
}

/* An address has 108 bytes: so through the folder's descriptor. */
static int listen_at_path(struct export_operation *export, const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	struct binding binding = {.at = {.sun_family = AF_UNIX}};
	char *folder;
	int fd, r;

	if (path[0] != '/' || !slash[1])
		return error_set(err, EINVAL, "socket: '%s' is no absolute path of a file", path);
	folder = slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
	if (!folder)
		return error_nomem(err);
	r = caller_open(&export->caller, folder, O_RDONLY | O_DIRECTORY, 0, &fd, err);
	free(folder);
	if (r)
		return r;
	if (snprintf(binding.at.sun_path, sizeof binding.at.sun_path, "/proc/self/fd/%d/%s", fd,
		    slash + 1) >= (int)sizeof binding.at.sun_path)
		r = error_set(err, ENAMETOOLONG, "socket: '%s' is too long a name", slash + 1);
	export->listener = r ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	binding.fd = export->listener;
	if (!r && binding.fd < 0)
		r = -errno;
	if (!r)
		r = caller_act(&export->caller, bind_it, &binding);
	close(fd);
	if (!r && !(export->path = strdup(path)))
		r = -ENOMEM;
	return r ? error_set(err, -r, "%s: %s", path, strerror(-r)) : 0;
}

/* ADDR:PORT, or [ADDR]:PORT of IPv6. */
static int listen_at_address(struct export_operation *export, const char *text, struct error *err)
{
	const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM};
	const char *colon = strrchr(text, ':');
	struct addrinfo *found = NULL;
	char host[64] = "";
	const int on = 1;
	int r = 0;

	if (colon && text[0] == '[' && colon[-1] == ']')
		snprintf(host, sizeof host, "%.*s", (int)(colon - text) - 2, text + 1);
	else if (colon)
		snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
	if (!*host || !colon[1] || getaddrinfo(host, colon + 1, &hints, &found))
		return error_set(err, EINVAL, "listen: '%s' is not like 127.0.0.1:10809", text);
	if (!export->caller.manager && atoi(colon + 1) < PORT_FREE)
		r = error_set(err, EACCES, "listen: ports below %d are for managers", PORT_FREE);
	if (!r) {
		export->listener =
			socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (export->listener < 0 ||
			setsockopt(export->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
			bind(export->listener, found->ai_addr, found->ai_addrlen))
			r = error_set(err, errno, "%s: %s", text, strerror(errno));
	}
	freeaddrinfo(found);
	return r;
}

static int make_listener(struct export_operation *export, struct error *err)
{
	const struct operation_arguments *arguments = &export->op->arguments;
	int r;

	if (!arguments->path == !arguments->listen)
		return error_set(err, EINVAL, "either socket or listen is needed");
	r = arguments->path ? listen_at_path(export, arguments->path, err)
			    : listen_at_address(export, arguments->listen, err);
	if (!r && listen(export->listener, BACKLOG))
		r = error_set(err, errno, "cannot listen: %s", strerror(errno));
	return r;
}

/* The monitor */

static void exported(void *ctx, int r, json_t *answer, const char *text)
{
	struct export_operation *export = ctx;
	struct operation *op = export->op;
	struct guest *guest;

	export_free(export);
	if (r)
		op_refuse(op, r, text);
	else if ((guest = op_guest(op)))
		op_finish_guest(op, guest);
}

static void handed_over(void *ctx, int r, json_t *answer, const char *text)
{
	struct export_operation *export = ctx;
	struct guest *guest = guest_by_uuid(export->op->daemon, export->op->uuid);

	/* What is asked of the monitor from here on comes to it later. */
	if (guest)
		guest->plugging = false;
	if (r || !guest || !guest->monitor) {
		exported(export, r ? r : -EPIPE, NULL, r ? text : "the guest has ended meanwhile");
		return;
	}
	guest_log(guest, "a disk is exported", export->op->arguments.disk);
	monitor_call(guest->monitor, &export->request, export->listener, 0, exported, export);
}

static int prepare(struct guest *guest, struct export_operation *export, struct error *err)
{
	const char *vdev = export->op->arguments.disk;
	const struct domain_disk *disk = plug_find(&guest->config, vdev);
	int r = layer_may_begin(guest, err);

	if (r)
		return r;
	if (!disk || !domain_disk_has_medium(disk))
		return error_set(err, EINVAL, "the guest has no disk '%.32s'", vdev);
	export->request.disk = plug_number(&guest->config, disk);
	r = make_scratch(guest, export, disk, err);
	return r ? r : make_listener(export, err);
}

static void begin(struct operation *op)
{
	struct guest *guest = op_running_guest(op);
	struct monitor_request open = {.verb = REQUEST_DISK_OPEN, .first = true};
	struct export_operation *export;
	struct error err = {0};
	int r;

	if (!guest)
		return;
	export = calloc(1, sizeof *export);
	if (!export) {
		op_refuse(op, -ENOMEM, "out of memory");
		return;
	}
	*export = (struct export_operation){.op = op,
		.listener = -1,
		.scratch = -1,
		.request = {.verb = REQUEST_DISK_EXPORT, .persistent = op->arguments.persistent}};
	if (op->arguments.since)
		snprintf(export->request.since, sizeof export->request.since, "%s",
			op->arguments.since);
	if (op->arguments.checkpoint)
		snprintf(export->request.checkpoint, sizeof export->request.checkpoint, "%s",
			op->arguments.checkpoint);
	caller_copy(op->caller, &export->caller);
	r = prepare(guest, export, &err);
	if (r) {
		export_free(export);
		op_refuse_error(op, r, &err);
		return;
	}
	snprintf(open.name, sizeof open.name, "%s", export->name);
	/* The monitor keeps one disk's files at a time for what follows. */
	guest->plugging = true;
	monitor_call(guest->monitor, &open, export->scratch, OP_VERB_TIMEOUT_MS, handed_over,
		export);
}

static const struct field export_arguments[] = {
	{.key = "disk",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, disk),
		.needed = true,
		.max = LIMIT_VDEV},
	{.key = "socket",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, path),
		.min = 1,
		.max = DOMAIN_STRING_MAX},
	FIELD_ROW(STRING, operation_arguments, listen, .min = 1, .max = 63),
	FIELD_ROW(STRING, operation_arguments, folder, .min = 1, .max = DOMAIN_STRING_MAX),
	FIELD_ROW(BOOL, operation_arguments, persistent),
	FIELD_ROW(STRING, operation_arguments, since, .min = 1, .max = LIMIT_CHECKPOINT),
	FIELD_ROW(STRING, operation_arguments, checkpoint, .min = 1, .max = LIMIT_CHECKPOINT),
	{.key = NULL},
};

const struct operation_kind operation_disk_export = {"guest_disk_export", "Guest", .guest = true,
	.machine = OP_NO_DISKS, .arguments = export_arguments, .run = begin};
