/* SPDX-License-Identifier: Apache-2.0 */
/* A disk of a guest that runs is copied: into its top, into its base, into a file of its own. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/create.h"
#include "daemon/claims.h"
#include "daemon/commit.h"
#include "daemon/copy.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/layer.h"
#include "daemon/monitor.h"
#include "daemon/op.h"
#include "daemon/spec.h"

#define SUFFIX ".new"

static const char *const formats[] = {"raw", "qcow2", NULL};

struct copy_operation {
	struct daemon *daemon;
	char uuid[DOMAIN_UUID_LEN + 1];
	void (*done)(void *ctx, int r, const char *text);
	void *ctx;
	const struct operation_arguments *arguments; /* while it begins */
	struct caller caller;                        /* whose rights the files are opened with */
	unsigned disk;                               /* of the configuration */
	int fd;                                      /* what goes to the monitor */
	struct monitor_request request;
	char *temp, *path; /* backup: the file, and its name once it is whole */
	char *base;        /* commit: what the disk is then */
	char *merges;      /* merge: into which image */
	enum domain_format format;
};

static void copy_free(struct copy_operation *copy)
{
	if (copy->fd >= 0)
		close(copy->fd);
	caller_free(&copy->caller);
	free(copy->temp);
	free(copy->path);
	free(copy->base);
	free(copy->merges);
	free(copy);
}

static int remove_it(void *ctx)
{
	return unlink(ctx) ? -errno : 0;
}

/* The end */

static int name_it(void *ctx)
{
	const struct copy_operation *copy = ctx;

	return renameat2(AT_FDCWD, copy->temp, AT_FDCWD, copy->path, RENAME_NOREPLACE) ? -errno : 0;
}

/* The monitor writes to this one no more. */
static void lower(const struct guest *guest, const struct copy_operation *copy, const char *path)
{
	int fd;

	if (caller_open(&copy->caller, path, O_RDONLY, 0, &fd, NULL))
		return;
	claims_lower(guest, fd);
	close(fd);
}

static void copied(void *ctx, int r, json_t *answer, const char *text)
{
	struct copy_operation *copy = ctx;
	struct guest *guest = guest_by_uuid(copy->daemon, copy->uuid);
	struct error err = {0};

	if (guest && (copy->base || copy->merges))
		guest->committing--;
	if (!r && copy->path) {
		r = caller_act(&copy->caller, name_it, copy);
		if (r)
			error_set(&err, -r, "%s: %s", copy->path, strerror(-r));
	}
	if (!r && copy->base && guest)
		r = commit_take(guest, copy->disk, copy->base, copy->format, &err);
	/* This daemon ends, or the monitor has: what became of it is still to be found out. */
	if (guest && copy->base && r != -ECANCELED && r != -EPIPE)
		commit_forget(guest);
	if (err.text[0])
		text = err.text;
	if (r && copy->temp)
		caller_act(&copy->caller, remove_it, copy->temp);
	if (r && copy->base && guest && guest->monitor)
		lower(guest, copy, copy->base);
	if (copy->merges && guest && guest->monitor)
		lower(guest, copy, copy->merges);
	if (!r && guest)
		guest_log(guest, request_word(REQUEST_DISK_COPY), "done");
	copy->done(copy->ctx, r, r ? text : "");
	copy_free(copy);
}

/* The beginning */

static int find_disk(const struct guest *guest, const char *vdev, unsigned *config,
	unsigned *of_monitor, struct error *err)
{
	unsigned number = 0;

	for (unsigned i = 0; i < guest->config.disks; i++) {
		const struct domain_disk *disk = &guest->config.disk[i];

		if (!domain_disk_has_medium(disk))
			continue;
		if (disk->vdev && !strcmp(disk->vdev, vdev)) {
			*config = i;
			*of_monitor = number;
			return 0;
		}
		number++;
	}
	return error_set(err, EINVAL, "the guest has no disk '%.32s'", vdev);
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino &&
		x.st_rdev == y.st_rdev;
}

/*
 * What the image says it stands on may be a monitor's word that is no longer itself: it is written to if this life of
 * the guest has written to it before, or if who asks has named it.
 */
static int open_base(struct guest *guest, struct copy_operation *copy, struct error *err)
{
	const char *named = copy->arguments->path;
	struct disk_spec spec = {.file = NULL};
	int r = spec_open_disk(guest, &guest->config.disk[copy->disk], &spec, err);
	const char *base;

	if (r)
		return r;
	base = spec.files > 1 ? spec.file[1].name : "";
	if (spec.files < 2)
		r = error_set(err, EINVAL, "%s: stands on no other image", spec.file[0].name);
	else if (named && strcmp(named, base))
		r = error_set(err, EINVAL, "%s: stands on %s, not on %s", spec.file[0].name, base,
			named);
	else if (!named && !claims_is_base(guest, spec.file[1].fd))
		r = error_set(err, EINVAL, "%s: say into which file it is to come (--into %s)",
			spec.file[0].name, base);
	if (!r)
		r = caller_open(&copy->caller, base, O_RDWR, 0, &copy->fd, err);
	if (!r && !same_file(copy->fd, spec.file[1].fd))
		r = error_set(err, EINVAL, "%s: is another file now", base);
	if (!r && snapshot_needs(guest, copy->fd))
		r = error_set(err, EBUSY, "%s: a snapshot of the guest needs it as it is", base);
	if (!r)
		r = claims_raise(guest, copy->fd, base, err);
	if (!r && !(copy->base = strdup(base)))
		r = error_nomem(err);
	if (!r) {
		copy->request.format = spec.file[1].format;
		copy->format = spec.file[1].format == DISK_QCOW2 ? DOMAIN_QCOW2 : DOMAIN_RAW;
		snprintf(copy->request.name, sizeof copy->request.name, "%s", base);
		if (strlen(base) > REQUEST_NAME_MAX)
			r = error_set(err, ENAMETOOLONG, "%s: the name is too long", base);
	}
	for (unsigned i = 0; i < spec.files; i++)
		close(spec.file[i].fd);
	disk_spec_free(&spec);
	return r;
}

/* Its owner is known, and that nothing else stands on what is below it. */
static int open_merged(struct guest *guest, struct copy_operation *copy, struct error *err)
{
	const char *image = copy->arguments->path;
	struct disk_spec spec = {.file = NULL};
	int r = spec_open_disk(guest, &guest->config.disk[copy->disk], &spec, err);
	unsigned at = 1;

	if (r)
		return r;
	while (at < spec.files && strcmp(spec.file[at].name, image))
		at++;
	if (at == spec.files)
		r = error_set(err, EINVAL, "%s: the disk does not stand on it", image);
	if (!r)
		r = caller_open(&copy->caller, image, O_RDWR, 0, &copy->fd, err);
	if (!r && !same_file(copy->fd, spec.file[at].fd))
		r = error_set(err, EINVAL, "%s: is another file now", image);
	if (!r && strlen(image) > REQUEST_NAME_MAX)
		r = error_set(err, ENAMETOOLONG, "%s: the name is too long", image);
	if (!r)
		r = claims_raise(guest, copy->fd, image, err);
	if (!r && !(copy->merges = strdup(image)))
		r = error_nomem(err);
	copy->request.format = DISK_QCOW2;
	if (!r)
		snprintf(copy->request.name, sizeof copy->request.name, "%s", image);
	for (unsigned i = 0; i < spec.files; i++)
		close(spec.file[i].fd);
	disk_spec_free(&spec);
	return r;
}

/* What the file stands on was the disk's backup: it is of its size at most. */
static int check_base(const struct copy_operation *copy, uint64_t size, struct error *err)
{
	const struct operation_arguments *arguments = copy->arguments;
	const char *base = arguments->base;
	const struct domain_disk disk = {.target = (char *)(uintptr_t)base,
		.format = arguments->base_format ? DOMAIN_QCOW2 : DOMAIN_RAW};
	uint64_t own;
	int r;

	if (base[0] != '/')
		return error_set(err, EINVAL, "base: does not begin with /");
	r = layer_measure_as(&copy->caller, &disk, &own, err);
	if (!r && own > size)
		r = error_set(err, EINVAL,
			"%s: has %llu bytes, more than the disk: no backup of it", base,
			(unsigned long long)own);
	return r;
}

/* As it is to stand in the new image: files of one folder can be moved together. */
static const char *name_base(const struct operation_arguments *arguments)
{
	const char *base = arguments->base, *name = strrchr(base, '/') + 1;
	const char *end = strrchr(arguments->path, '/') + 1;

	return name - base == end - arguments->path &&
			!strncmp(base, arguments->path, (size_t)(name - base))
		? name
		: base;
}

static int check_points(struct copy_operation *copy, struct error *err)
{
	const struct operation_arguments *arguments = copy->arguments;

	if (arguments->since && !arguments->format)
		return error_set(err, EINVAL,
			"format: only a qcow2 file can have what has changed since a checkpoint and nothing else");
	if (arguments->base && !arguments->since)
		return error_set(err, EINVAL,
			"base: a whole backup stands on nothing; say since which checkpoint it is to be");
	if (arguments->since)
		snprintf(copy->request.since, sizeof copy->request.since, "%s", arguments->since);
	if (arguments->checkpoint)
		snprintf(copy->request.checkpoint, sizeof copy->request.checkpoint, "%s",
			arguments->checkpoint);
	return 0;
}

static int make_backup(struct guest *guest, struct copy_operation *copy, struct error *err)
{
	const struct operation_arguments *arguments = copy->arguments;
	const struct domain_disk *disk = &guest->config.disk[copy->disk];
	struct qcow2_make make = {.size = 0};
	struct stat st;
	int r;

	if (arguments->path[0] != '/')
		return error_set(err, EINVAL, "path: does not begin with /");
	if (strlen(arguments->path) + strlen(SUFFIX) > REQUEST_NAME_MAX)
		return error_set(err, ENAMETOOLONG, "%s: the name is too long", arguments->path);
	if (!lstat(arguments->path, &st))
		return error_set(err, EEXIST, "%s: is there already", arguments->path);
	r = check_points(copy, err);
	if (!r)
		r = layer_measure(guest, disk, &make.size, err);
	if (!r && arguments->base) {
		r = check_base(copy, make.size, err);
		make.backing = r ? NULL : name_base(arguments);
		make.backing_format = formats[arguments->base_format];
	}
	copy->path = strdup(arguments->path);
	snprintf(copy->request.name, sizeof copy->request.name, "%s" SUFFIX, arguments->path);
	if (!r && !copy->path)
		r = error_nomem(err);
	if (!r)
		r = caller_open(&copy->caller, copy->request.name,
			O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, &copy->fd, err);
	if (r)
		return r;
	copy->temp = strdup(copy->request.name);
	copy->request.format = arguments->format ? DISK_QCOW2 : DISK_RAW;
	if (arguments->format)
		return qcow2_create(copy->fd, copy->request.name, &make, err);
	return ftruncate(copy->fd, (off_t)make.size)
		? error_set(err, errno, "%s: %s", copy->request.name, strerror(errno))
		: 0;
}

static int prepare(struct guest *guest, struct copy_operation *copy, struct error *err)
{
	int r = find_disk(guest, copy->arguments->disk, &copy->disk, &copy->request.disk, err);

	if (!r)
		r = layer_may_begin(guest, err);
	if (!r && copy->request.kind == DISK_COPY_COMMIT)
		r = open_base(guest, copy, err);
	if (!r && copy->request.kind == DISK_COPY_MERGE)
		r = open_merged(guest, copy, err);
	if (!r && copy->request.kind == DISK_COPY_BACKUP)
		r = make_backup(guest, copy, err);
	return r;
}

/* caller: whose rights the files are opened with; taken. */
static int start(struct guest *guest, const struct copy_operation *like, struct error *err)
{
	struct copy_operation *copy = malloc(sizeof *copy);
	int r;

	if (!copy) {
		struct caller caller = like->caller;

		caller_free(&caller);
		return error_nomem(err);
	}
	*copy = *like;
	copy->daemon = guest->daemon;
	snprintf(copy->uuid, sizeof copy->uuid, "%s", guest->config.uuid);
	r = prepare(guest, copy, err);
	if (!r && copy->base)
		r = commit_note(guest, copy->disk, copy->base, copy->format, err);
	copy->arguments = NULL;
	if (r) {
		if (copy->temp)
			caller_act(&copy->caller, remove_it, copy->temp);
		copy_free(copy);
		return r;
	}
	guest->committing += copy->base || copy->merges;
	monitor_call(guest->monitor, &copy->request, copy->fd, 0, copied, copy);
	if (copy->fd >= 0)
		close(copy->fd);
	copy->fd = -1;
	return 0;
}

static int begin_own(struct guest *guest, enum request_disk_copy kind, unsigned disk,
	const char *path, void (*done)(void *ctx, int r, const char *text), void *ctx,
	struct error *err)
{
	struct operation_arguments arguments = {.disk = guest->config.disk[disk].vdev,
		.path = (char *)(uintptr_t)path};
	struct copy_operation like = {.fd = -1,
		.done = done,
		.ctx = ctx,
		.arguments = &arguments,
		.request = {.verb = REQUEST_DISK_COPY, .kind = kind}};

	if (!arguments.disk)
		return error_set(err, EINVAL, "a disk without a name");
	caller_of_user(&guest->daemon->policy, guest->owner, &like.caller);
	return start(guest, &like, err);
}

int copy_commit(struct guest *guest, unsigned disk, const char *base,
	void (*done)(void *ctx, int r, const char *text), void *ctx, struct error *err)
{
	return begin_own(guest, DISK_COPY_COMMIT, disk, base, done, ctx, err);
}

int copy_merge(struct guest *guest, unsigned disk, const char *image,
	void (*done)(void *ctx, int r, const char *text), void *ctx, struct error *err)
{
	return begin_own(guest, DISK_COPY_MERGE, disk, image, done, ctx, err);
}

static void op_copied(void *ctx, int r, const char *text)
{
	struct operation *op = ctx;
	struct guest *guest = op_guest_after(op, r, text);

	if (guest)
		op_finish_guest(op, guest);
}

static void begin(struct operation *op, enum request_disk_copy kind)
{
	struct guest *guest = op_running_guest(op);
	struct copy_operation like = {.fd = -1,
		.done = op_copied,
		.ctx = op,
		.arguments = &op->arguments,
		.request = {.verb = REQUEST_DISK_COPY, .kind = kind, .rate = op->arguments.rate}};
	struct error err = {0};
	int r;

	if (!guest)
		return;
	/* What is the guest's is its owner's; a backup is whose who asks for it. */
	if (kind == DISK_COPY_BACKUP)
		caller_copy(op->caller, &like.caller);
	else
		caller_of_user(&guest->daemon->policy, guest->owner, &like.caller);
	r = start(guest, &like, &err);
	if (r)
		op_refuse_error(op, r, &err);
}

static void stream(struct operation *op)
{
	begin(op, DISK_COPY_STREAM);
}

static void commit(struct operation *op)
{
	begin(op, DISK_COPY_COMMIT);
}

static void backup(struct operation *op)
{
	begin(op, DISK_COPY_BACKUP);
}

/* A file of a raw disk is made longer here; a device has been, by whoever keeps it. */
static int lengthen(const struct guest *guest, const struct domain_disk *disk, uint64_t size,
	struct error *err)
{
	struct caller owner;
	uint64_t now;
	struct stat st;
	int fd, r = layer_measure(guest, disk, &now, err);

	if (r)
		return r;
	if (!disk->writable || size < now || size % 512)
		return error_set(err, EINVAL,
			"%s: has %llu bytes, and can have more if the guest may write to it",
			disk->target, (unsigned long long)now);
	if (disk->format != DOMAIN_RAW || size == now)
		return 0;
	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	r = caller_open(&owner, disk->target, O_RDWR, 0, &fd, err);
	caller_free(&owner);
	if (r)
		return r;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		r = error_set(err, EINVAL, "%s: a device: it has to be made larger itself first",
			disk->target);
	else if (ftruncate(fd, (off_t)size))
		r = error_set(err, errno, "%s: %s", disk->target, strerror(errno));
	close(fd);
	return r;
}

static void resize(struct operation *op)
{
	struct guest *guest = op_running_guest(op);
	struct monitor_request request = {.verb = REQUEST_DISK_RESIZE, .size = op->arguments.size};
	struct error err = {0};
	unsigned disk;
	int r;

	if (!guest)
		return;
	r = find_disk(guest, op->arguments.disk, &disk, &request.disk, &err);
	if (!r)
		r = layer_may_begin(guest, &err);
	if (!r)
		r = lengthen(guest, &guest->config.disk[disk], request.size, &err);
	if (r)
		op_refuse_error(op, r, &err);
	else
		monitor_call(guest->monitor, &request, -1, 0, op_asked, op);
}

#define DISK_ROW                                                                          \
	{                                                                                 \
		.key = "disk", .kind = FIELD_STRING, FIELD_AT(operation_arguments, disk), \
		.needed = true, .max = LIMIT_VDEV,                                        \
	}
#define RATE_ROW FIELD_ROW(NUMBER, operation_arguments, rate, .max = INT64_MAX)

static const struct field stream_arguments[] = {DISK_ROW, RATE_ROW, {.key = NULL}};

static const struct field commit_arguments[] = {
	DISK_ROW,
	RATE_ROW,
	{.key = "into",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, path),
		.max = DOMAIN_STRING_MAX},
	{.key = NULL},
};

static const struct field backup_arguments[] = {
	DISK_ROW,
	RATE_ROW,
	{.key = "path",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, path),
		.needed = true,
		.max = DOMAIN_STRING_MAX},
	{.key = "format",
		.kind = FIELD_ENUM,
		FIELD_AT(operation_arguments, format),
		.names = formats},
	FIELD_ROW(STRING, operation_arguments, since, .min = 1, .max = LIMIT_CHECKPOINT),
	FIELD_ROW(STRING, operation_arguments, checkpoint, .min = 1, .max = LIMIT_CHECKPOINT),
	FIELD_ROW(STRING, operation_arguments, base, .min = 1, .max = DOMAIN_STRING_MAX),
	FIELD_ROW(ENUM, operation_arguments, base_format, .names = formats),
	{.key = NULL},
};

const struct operation_kind operation_disk_stream = {"guest_disk_stream", "Guest", .guest = true,
	.machine = OP_NO_DISKS, .arguments = stream_arguments, .run = stream};
const struct operation_kind operation_disk_commit = {"guest_disk_commit", "Guest", .guest = true,
	.machine = OP_NO_DISKS, .arguments = commit_arguments, .run = commit};
const struct operation_kind operation_disk_backup = {"guest_disk_backup", "Guest", .guest = true,
	.machine = OP_NO_DISKS, .arguments = backup_arguments, .run = backup};

static const struct field resize_arguments[] = {
	DISK_ROW,
	FIELD_ROW(NUMBER, operation_arguments, size, .needed = true, .min = 512, .max = INT64_MAX),
	{.key = NULL},
};

const struct operation_kind operation_disk_resize = {"guest_disk_resize", "Guest", .guest = true,
	.machine = OP_NO_DISKS, .arguments = resize_arguments, .run = resize};

static void checkpoint(struct operation *op)
{
	struct guest *guest = op_running_guest(op);
	struct monitor_request request = {.verb = REQUEST_DISK_CHECKPOINT,
		.remove = op->arguments.remove};
	struct error err = {0};
	unsigned disk;
	int r;

	if (!guest)
		return;
	snprintf(request.checkpoint, sizeof request.checkpoint, "%s", op->arguments.checkpoint);
	r = find_disk(guest, op->arguments.disk, &disk, &request.disk, &err);
	if (!r)
		r = layer_may_begin(guest, &err);
	if (r)
		op_refuse_error(op, r, &err);
	else
		monitor_call(guest->monitor, &request, -1, 0, op_asked, op);
}

static const struct field checkpoint_arguments[] = {
	DISK_ROW,
	FIELD_ROW(STRING, operation_arguments, checkpoint, .needed = true, .min = 1,
		.max = LIMIT_CHECKPOINT),
	FIELD_ROW(BOOL, operation_arguments, remove),
	{.key = NULL},
};

const struct operation_kind operation_disk_checkpoint = {"guest_disk_checkpoint", "Guest",
	.guest = true, .machine = OP_NO_DISKS, .arguments = checkpoint_arguments,
	.run = checkpoint};
