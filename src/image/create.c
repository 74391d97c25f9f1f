/* SPDX-License-Identifier: Apache-2.0 */
#include "image/create.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "image/job.h"
#include "image/process.h"
#include "image/tree.h"
#include "image/work.h"

static int run_logged(struct job *job, const char *const *argv, int log,
	void (*line)(void *ctx, const char *line), void *ctx, struct error *err)
{
	const struct process process = {
		.argv = argv,
		.dir = job->work,
		.log = log,
		.signals = job->signals,
		.line = line,
		.ctx = ctx,
	};

	for (int i = 0; argv[i]; i++)
		dprintf(job->log, "%s%s", i ? " " : "+ ", argv[i]);
	dprintf(job->log, "\n");
	return process_run(&process, err);
}

int job_read(struct job *job, const char *const *argv, void (*line)(void *ctx, const char *line),
	void *ctx, struct error *err)
{
	return run_logged(job, argv, job->log, line, ctx, err);
}

int job_read_private(struct job *job, const char *const *argv,
	void (*line)(void *ctx, const char *line), void *ctx, struct error *err)
{
	return run_logged(job, argv, -1, line, ctx, err);
}

int job_run(struct job *job, const char *const *argv, struct error *err)
{
	return job_read(job, argv, NULL, NULL, err);
}

static void tell(const struct job *job, const char *line)
{
	dprintf(job->log, "# %s\n", line);
	job->request->progress(job->request->ctx, line);
}

static int check_packages(const char *list, struct error *err)
{
	for (const char *c = list; *c; c++)
		if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) &&
			!strchr("+-.,", *c))
			return error_set(err, EINVAL,
				"--include '%s': names of Debian packages, separated by commas",
				list);
	if (list[0] == ',' || (list[0] && list[strlen(list) - 1] == ',') || strstr(list, ",,"))
		return error_set(err, EINVAL, "--include '%s': an empty package name", list);
	return 0;
}

static int check_hostname(const char *name, struct error *err)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && (name[i] != '-' || !i || i == len - 1))
			len = 0;
	if (!len || len > 63)
		return error_set(err, EINVAL,
			"host name '%s': up to 63 letters, digits and '-' (--hostname gives another)",
			name);
	return 0;
}

/*
 * Debian's releases by name (https://www.debian.org/releases/). Another distribution's would come as
 * far as its archive's keys, which this host does not have, and be told so in apt's words.
 */
static int check_dist(const char *dist, struct error *err)
{
	static const char *const known[] = {"bullseye", "bookworm", "trixie", "forky", "duke",
		"sid", "oldoldstable", "oldstable", "stable", "testing", "unstable"};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcmp(dist, known[i]))
			return 0;
	return error_set(err, EINVAL,
		"--dist '%s': no release of Debian, of which images are made: bullseye, bookworm, trixie, forky, sid; or stable, testing, unstable",
		dist);
}

static int check(const struct image_request *request, struct error *err)
{
	const char *c = request->password;
	int r = image_check_name("image", request->name, err);

	if (!r)
		r = check_dist(request->dist, err);
	if (!r)
		r = check_packages(request->include, err);
	if (!r)
		r = check_hostname(request->hostname ? request->hostname : request->name, err);
	if (r)
		return r;
	if (request->size < IMAGE_SIZE_MIN || request->size > IMAGE_SIZE_MAX)
		return error_set(err, EINVAL, "--size: from 1G to 64T");
	for (; c && *c; c++)
		if ((unsigned char)*c < ' ')
			return error_set(err, EINVAL, "--password: no control characters");
	if (c && (c == request->password || c - request->password > 100))
		return error_set(err, EINVAL, "--password: from 1 to 100 characters");
	return 0;
}

/* One line that looks like a public key; a private one is refused by the same test. */
static int read_key(const char *path, char *key, size_t size, struct error *err)
{
	FILE *file = fopen(path, "re");
	char *ok;

	if (!file)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	ok = fgets(key, size, file);
	fclose(file);
	if (!ok ||
		(strncmp(key, "ssh-", 4) && strncmp(key, "ecdsa-", 6) && strncmp(key, "sk-", 3)) ||
		!strchr(key, '\n'))
		return error_set(err, EINVAL, "%s: not a public SSH key", path);
	key[strcspn(key, "\r\n")] = 0;
	return 0;
}

static int make_random(uint8_t *bytes, size_t size, struct error *err)
{
	if (getrandom(bytes, size, 0) != (ssize_t)size)
		return error_set(err, EIO, "the host gives no random numbers");
	return 0;
}

int job_make_uuid(char uuid[37], struct error *err)
{
	uint8_t b[16];
	int r = make_random(b, sizeof b, err);
	char *at = uuid;

	if (r)
		return r;
	b[6] = (b[6] & 0x0f) | 0x40; /* version 4, RFC 4122 */
	b[8] = (b[8] & 0x3f) | 0x80;
	for (int i = 0; i < 16; i++)
		at += sprintf(at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
	return 0;
}

/* 32 characters that nobody mistakes for each other, 16 of them: 80 bits. */
static int make_password(char *password, struct error *err)
{
	static const char set[] = "abcdefghijkmnpqrstuvwxyz23456789";
	uint8_t b[16];
	int r = make_random(b, sizeof b, err);

	for (int i = 0; !r && i < 16; i++)
		password[i] = set[b[i] % 32];
	password[16] = 0;
	return r;
}

/* What stays beside disk, kernel and initrd. */
static int describe(struct job *job, const char *hostname, const char *password, struct error *err)
{
	time_t now = time(NULL);
	char created[32];
	struct tm tm;
	int r;

	strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	r = tree_write(job->work, "image.conf", 0644, err,
		"dist %s\nhostname %s\ncreated %s\ncmdline root=/dev/vda rw console=ttyS0\n",
		job->request->dist, hostname, created);
	if (!r && !job->request->password)
		r = tree_write(job->work, "password", 0600, err, "%s\n", password);
	return r;
}

static int tidy(struct job *job, struct error *err)
{
	static const char *const left[] = {"early", "late", "early.tar", "late.tar", JOB_APT_CONF,
		JOB_APT_SOURCES};
	char path[PATH_MAX + 16];

	for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
		snprintf(path, sizeof path, "%s/%s", job->work, left[i]);
		if (tree_remove(path))
			return error_set(err, EIO, "%s: cannot be removed", path);
	}
	return 0;
}

static int make(struct job *job, const char *final, const char *password, struct error *err)
{
	char line[256];
	int r;

	snprintf(line, sizeof line, "making the root file system of Debian %s (mmdebstrap)",
		job->request->dist);
	tell(job, line);
	r = job_make_root(job, err);
	if (r)
		return r;
	tell(job, "making the disk (ext4)");
	r = job_make_disk(job, err);
	if (!r)
		r = tidy(job, err);
	if (!r)
		r = describe(job, job->overlay.hostname, password, err);
	return r ? r : job_finish(job, final, err);
}

int job_finish(struct job *job, const char *final, struct error *err)
{
	if (chmod(job->work, job->request->keep_root ? 0700 : 0755))
		return error_set(err, errno, "%s: %s", job->work, strerror(errno));
	return rename(job->work, final) ? error_set(err, errno, "%s: %s", final, strerror(errno))
					: 0;
}

/* Names the places and takes them: work folder and log. */
int job_prepare(struct job *job, char *final, size_t size, char *log, struct error *err)
{
	const struct image_request *request = job->request;
	char dir[PATH_MAX];
	int r = 0;

	if (!request->output)
		r = image_store_dir(dir, sizeof dir, err);
	else
		snprintf(dir, sizeof dir, "%s", request->output);
	if (!r)
		r = tree_make(dir, err);
	if (r)
		return r;
	if (!realpath(dir, final))
		return error_set(err, errno, "%s: %s", dir, strerror(errno));
	if (work_sweep(final))
		job->request->progress(job->request->ctx,
			"removed what a killed 'image create' had left");
	job->lock = work_make(final, request->name, job->work, sizeof job->work, err);
	if (job->lock < 0)
		return job->lock;
	strcat(final, "/"); /* work_make() found that it has room for more than the name */
	strcat(final, request->name);
	if (!access(final, F_OK))
		return error_set(err, EEXIST, "there is an image '%s' already (%s)", request->name,
			final);
	snprintf(log, size, "%.*s.log", (int)size - 5, final);
	job->log =
		open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (job->log < 0) {
		r = error_set(err, errno, "%s: %s", log, strerror(errno));
		log[0] = 0;
	}
	return r;
}

int job_catch_signals(sigset_t *old, struct error *err)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, old);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return error_set(err, errno, "no signalfd: %s", strerror(errno));
	return fd;
}

/* What came more than once has done its work. */
static void drop_signals(int fd, const sigset_t *old)
{
	struct signalfd_siginfo info;

	while (fd >= 0 && read(fd, &info, sizeof info) == sizeof info)
		;
	if (fd >= 0)
		close(fd);
	sigprocmask(SIG_SETMASK, old, NULL);
}

void job_end(struct job *job, const sigset_t *old, const struct error *failed)
{
	if (failed && job->log >= 0)
		dprintf(job->log, "# failed: %s\n", failed->text);
	if (job->log >= 0)
		close(job->log);
	if (job->lock >= 0)
		close(job->lock);
	drop_signals(job->signals, old);
}

int image_create(const struct image_request *request, struct image_result *result,
	struct error *err)
{
	struct job *job = calloc(1, sizeof *job);
	char final[PATH_MAX];
	sigset_t old;
	mode_t mask;
	int r;

	if (!job)
		return error_nomem(err);
	job->request = request;
	job->log = job->signals = job->lock = -1;
	memset(result, 0, sizeof *result);
	sigprocmask(SIG_BLOCK, NULL, &old);
	r = check(request, err);
	if (!r && request->ssh_key)
		r = read_key(request->ssh_key, job->ssh_key, sizeof job->ssh_key, err);
	if (!r)
		r = job_make_uuid(job->uuid, err);
	if (!r && !request->password)
		r = make_password(result->password, err);
	else if (!r)
		snprintf(result->password, sizeof result->password, "%s", request->password);
	if (!r)
		r = job->signals = job_catch_signals(&old, err);
	if (r < 0)
		goto out;
	job->overlay = (struct overlay){request->dist,
		request->hostname ? request->hostname : request->name, result->password, job->uuid,
		job->ssh_key};
	r = job_prepare(job, final, sizeof final, result->log, err);
	/* The guest's folders and what tar unpacks are the guest's business, not that of who makes them. */
	mask = umask(022);
	if (!r)
		r = make(job, final, result->password, err);
	umask(mask);
	if (!r)
		r = image_find(final, &result->image, err);
	if (r && job->work[0])
		tree_remove(job->work);
out:
	job_end(job, &old, r < 0 ? err : NULL);
	free(job);
	return r;
}
