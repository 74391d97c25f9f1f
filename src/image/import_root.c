/* SPDX-License-Identifier: Apache-2.0 */
#include "image/import_root.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "image/confine.h"
#include "image/flatten.h"
#include "image/import.h"
#include "image/job.h"
#include "image/oci.h"
#include "image/source.h"
#include "protocol/image_start.h"
#include "image/tree.h"

#define FLATTEN_MEMORY (8ull << 30) /* of address space, and */
#define FLATTEN_SECONDS 3600u       /* of processor time, for who reads the archives */

struct import {
	const struct root_request *request;
	struct job job;
	struct image_request as; /* what the job is told */
	struct image kernel;
	struct oci oci;
	const char *layer[FLATTEN_LAYERS_MAX];
	char spooled[PATH_MAX + 16];
};

/* Where the kernel comes from */

static bool has_kernel(const struct image *image)
{
	static const char *const files[] = {"vmlinuz", "initrd.img", "run.img"};
	char path[PATH_MAX + 16];

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(path, sizeof path, "%s/%s", image->path, files[i]);
		if (access(path, R_OK))
			return false;
	}
	return true;
}

static void visit(void *ctx, const struct image *image)
{
	struct import *import = ctx;

	if (!*import->kernel.path && has_kernel(image))
		import->kernel = *image;
}

static int find_kernel(struct import *import, struct error *err)
{
	const char *wanted = import->request->kernel;
	int r = wanted ? image_find(wanted, &import->kernel, err) : image_list(visit, import, err);

	if (r)
		return r;
	if (!wanted && !*import->kernel.path)
		return error_set(err, ENOENT,
			"there is no image whose kernel it could start: 'dach image create NAME' makes one");
	if (wanted && !has_kernel(&import->kernel))
		return error_set(err, ENOENT,
			"--kernel %s: it has no kernel beside its disk, or no run.img; one of 'dach image create' has",
			wanted);
	return 0;
}

static int copy_file(const char *from, const char *to, struct error *err)
{
	char bytes[64 << 10];
	int in = open(from, O_RDONLY | O_CLOEXEC), out = -1, r = 0;
	ssize_t n = 0;

	if (in >= 0)
		out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (in < 0 || out < 0)
		r = error_set(err, errno, "%s: %s", in < 0 ? from : to, strerror(errno));
	while (!r && (n = io_read_all(in, bytes, sizeof bytes)) > 0)
		if (io_write_all(out, bytes, (size_t)n))
			r = error_set(err, errno, "%s: %s", to, strerror(errno));
	if (!r && n < 0)
		r = error_set(err, (int)-n, "%s: %s", from, strerror((int)-n));
	if (!r && fchmod(out, 0644))
		r = error_set(err, errno, "%s: %s", to, strerror(errno));
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return r;
}

static int copy_kernel(const struct import *import, struct error *err)
{
	static const char *const files[] = {"vmlinuz", "initrd.img", "run.img"};
	char from[PATH_MAX + 16], to[PATH_MAX + 16];
	int r = 0;

	for (size_t i = 0; !r && i < sizeof files / sizeof *files; i++) {
		snprintf(from, sizeof from, "%s/%s", import->kernel.path, files[i]);
		snprintf(to, sizeof to, "%s/%s", import->job.work, files[i]);
		r = copy_file(from, to, err);
	}
	return r;
}

/* The root as one archive */

/* Standard input is read twice. */
static int spool(struct import *import, struct error *err)
{
	char bytes[64 << 10];
	int fd, r = 0;
	ssize_t n;

	snprintf(import->spooled, sizeof import->spooled, "%s/input.tar", import->job.work);
	fd = open(import->spooled, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, errno, "%s: %s", import->spooled, strerror(errno));
	while (!r && (n = io_read_all(STDIN_FILENO, bytes, sizeof bytes)) != 0) {
		if (n > 0)
			n = io_write_all(fd, bytes, (size_t)n);
		if (n < 0)
			r = error_set(err, (int)-n, "standard input: %s", strerror((int)-n));
	}
	close(fd);
	return r;
}

/* In a process of its own, with nothing in reach but the archives and what it writes. */
static _Noreturn void flatten_there(const struct import *import, const struct flatten *flatten,
	const char *path, int told)
{
	const char *const write_[] = {path, NULL};
	const struct rlimit seconds = {FLATTEN_SECONDS, FLATTEN_SECONDS};
	struct confine confine = {.write = write_, .memory = FLATTEN_MEMORY};
	const char *read_[FLATTEN_LAYERS_MAX + 1] = {NULL};
	struct error err = {""};
	sigset_t none;
	int r, fd = open(path, O_WRONLY | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (unsigned i = 0; i < flatten->layers; i++)
		read_[i] = flatten->layer[i];
	confine.read = read_;
	r = fd < 0 ? -errno : confine_enter(&confine);
	if (r == -EOPNOTSUPP)
		r = 0; /* a kernel without such walls */
	if (r)
		error_set(&err, -r, "no process to read the archive: %s", strerror(-r));
	if (!r && setrlimit(RLIMIT_CPU, &seconds))
		r = error_set(&err, errno, "no limits: %s", strerror(errno));
	if (!r)
		r = flatten_write(flatten, fd, &err);
	if (r)
		io_write_all(told, err.text, strlen(err.text));
	_exit(r ? 1 : 0);
}

/* What it says at its end; a signal of ours ends it. */
static int wait_for(const struct import *import, pid_t pid, int told, struct error *err)
{
	char text[sizeof err->text] = "";
	bool ended = false;
	size_t len = 0;
	int status = 0;

	for (;;) {
		struct pollfd wait[2] = {{told, POLLIN, 0},
			{ended ? -1 : import->job.signals, POLLIN, 0}};
		ssize_t n;

		if (poll(wait, 2, -1) < 0)
			continue;
		if (wait[1].revents) {
			ended = true;
			kill(pid, SIGKILL);
		}
		if (!wait[0].revents)
			continue;
		n = read(told, text + len, sizeof text - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (ended)
		return error_set(err, EINTR, "interrupted");
	if (*text)
		return error_set(err, EINVAL, "%s", text);
	if (!status)
		return 0;
	return error_set(err, EIO, "reading the archive failed: %s",
		WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "without a word");
}

static int flatten_layers(struct import *import, const struct flatten *flatten, struct error *err)
{
	char path[PATH_MAX + 16];
	int told[2], fd, r;
	pid_t pid;

	snprintf(path, sizeof path, "%s/root.tar", import->job.work);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || pipe2(told, O_CLOEXEC)) {
		r = error_set(err, errno, "%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return r;
	}
	close(fd);
	pid = fork();
	if (!pid)
		flatten_there(import, flatten, path, told[1]);
	close(told[1]);
	r = pid < 0 ? error_set(err, errno, "no process to read the archive: %s", strerror(errno))
		    : wait_for(import, pid, told[0], err);
	close(told[0]);
	return r;
}

/* The caller's own folder: tar is enough, and reads what it can. */
static int pack_folder(struct import *import, struct error *err)
{
	char folder[PATH_MAX];
	const char *const argv[] = {"tar", "--create", "--file", "root.tar", "--one-file-system",
		"--xattrs", "--xattrs-include=security.capability", "--numeric-owner",
		"--directory", folder, ".", NULL};

	if (!realpath(import->request->from, folder))
		return error_set(err, errno, "%s: %s", import->request->from, strerror(errno));
	return job_run(&import->job, argv, err);
}

static int make_root(struct import *import, struct error *err)
{
	const struct root_request *request = import->request;
	struct flatten flatten = {.layer = import->layer,
		.layers = 1,
		.whiteouts = request->kind == ROOT_OCI,
		.most = request->size};
	char from[PATH_MAX];
	int r;

	if (request->kind == ROOT_FOLDER)
		return pack_folder(import, err);
	if (request->kind == ROOT_OCI) {
		flatten.layers = import->oci.layers;
		for (unsigned i = 0; i < import->oci.layers; i++)
			import->layer[i] = import->oci.layer[i];
		return flatten_layers(import, &flatten, err);
	}
	if (strcmp(request->from, "-")) {
		/* One without a name, which /proc/self/fd leads to, has no other. */
		const bool absolute = *request->from == '/';

		if (absolute ? access(request->from, R_OK) : !realpath(request->from, from))
			return error_set(err, errno, "%s: %s", request->from, strerror(errno));
		import->layer[0] = absolute ? request->from : from;
		return flatten_layers(import, &flatten, err);
	}
	r = spool(import, err);
	import->layer[0] = import->spooled;
	if (!r)
		r = flatten_layers(import, &flatten, err);
	unlink(import->spooled);
	return r;
}

/* The whole */

static int describe(struct import *import, struct error *err)
{
	time_t now = time(NULL);
	char created[32];
	json_t *start;
	char *text;
	struct tm tm;
	int r;

	strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	r = tree_write(import->job.work, "image.conf", 0644, err,
		"dist imported\nhostname %s\ncreated %s\ncmdline root=/dev/vda rw console=ttyS0\n",
		import->as.name, created);
	if (r || import->request->kind != ROOT_OCI)
		return r;
	start = image_start_of(import->oci.config);
	text = json_dumps(start, JSON_INDENT(2));
	json_decref(start);
	if (!text)
		return error_nomem(err);
	r = tree_write(import->job.work, IMAGE_START, 0644, err, "%s\n", text);
	free(text);
	return r;
}

static int make(struct import *import, const char *final, struct error *err)
{
	int r;

	import->as.progress(import->as.ctx, "reading the root");
	r = make_root(import, err);
	if (!r) {
		import->as.progress(import->as.ctx, "making the disk (ext4)");
		r = job_make_disk(&import->job, err);
	}
	if (!r)
		r = copy_kernel(import, err);
	if (!r)
		r = describe(import, err);
	return r ? r : job_finish(&import->job, final, err);
}

static int begin(struct import *import, char name[IMAGE_NAME_MAX + 1], struct error *err)
{
	const struct root_request *request = import->request;
	int r;

	if (request->name)
		snprintf(name, IMAGE_NAME_MAX + 1, "%s", request->name);
	else
		import_name(request->from, name);
	import->as = (struct image_request){.name = name,
		.size = request->size,
		.keep_root = request->keep_root,
		.progress = request->progress,
		.ctx = request->ctx};
	r = image_check_name("image", name, err);
	if (!r && (request->size < IMAGE_SIZE_MIN / 16 || request->size > IMAGE_SIZE_MAX))
		r = error_set(err, EINVAL, "--size: from 64M to 64T");
	if (!r)
		r = find_kernel(import, err);
	if (!r && request->kind == ROOT_OCI)
		r = oci_open(request->from, &import->oci, err);
	return r ? r : job_make_uuid(import->job.uuid, err);
}

int import_root(const struct root_request *request, struct image *image, char *log,
	struct error *err)
{
	struct import *import = calloc(1, sizeof *import);
	char name[IMAGE_NAME_MAX + 1], final[PATH_MAX];
	sigset_t old;
	mode_t mask;
	int r;

	*log = 0;
	if (!import)
		return error_nomem(err);
	import->request = request;
	import->job.request = &import->as;
	import->job.log = import->job.signals = import->job.lock = -1;
	sigprocmask(SIG_BLOCK, NULL, &old);
	r = begin(import, name, err);
	if (!r)
		r = import->job.signals = job_catch_signals(&old, err);
	if (r >= 0)
		r = job_prepare(&import->job, final, sizeof final, log, err);
	mask = umask(022);
	if (!r)
		r = make(import, final, err);
	umask(mask);
	if (!r)
		r = image_find(final, image, err);
	if (r && import->job.work[0])
		tree_remove(import->job.work);
	job_end(&import->job, &old, r ? err : NULL);
	oci_free(&import->oci);
	free(import);
	return r;
}
