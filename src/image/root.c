/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/job.h"
#include "image/tree.h"

/*
 * A small Debian in which one can log in, find the network and install more.
 */
#define PACKAGES                                                                           \
	"systemd-sysv,dbus,libpam-systemd,udev,kmod,procps,iproute2,iputils-ping,netbase," \
	"systemd-resolved,openssh-server,ca-certificates,curl,less,nano,e2fsprogs,zstd,"   \
	"linux-image-cloud-amd64,initramfs-tools"

#define ARGS_MAX 16

/* An argument vector that owns its strings. */
struct args {
	char *at[ARGS_MAX + 1];
	int count;
	bool failed;
};

__attribute__((format(printf, 2, 3))) static void add(struct args *args, const char *fmt, ...)
{
	va_list list;

	if (args->count == ARGS_MAX) {
		args->failed = true;
		return;
	}
	va_start(list, fmt);
	if (vasprintf(&args->at[args->count], fmt, list) < 0) {
		args->at[args->count] = NULL;
		args->failed = true;
	} else {
		args->count++;
	}
	va_end(list);
}

static void args_free(struct args *args)
{
	for (int i = 0; i < args->count; i++)
		free(args->at[i]);
}

/* What mmdebstrap is told by files, since these lines may have passwords in them. */
struct apt_lines {
	FILE *file;
	const char *dist;
	unsigned count;
};

/*
 * The host's apt reaches its servers in its own way: through a proxy, from a
 * mirror with a lasting Release file. Ours has to go the same way while the
 * image is made; the image keeps none of it.
 */
static void take_apt_option(void *ctx, const char *line)
{
	static const char *const want[] = {"Acquire::http::", "Acquire::https::", "Acquire::Check-",
		"Acquire::Retries", "Acquire::ForceIPv"};
	struct apt_lines *lines = ctx;

	for (size_t i = 0; i < sizeof want / sizeof *want; i++)
		if (!strncmp(line, want[i], strlen(want[i])))
			lines->count += fprintf(lines->file, "%s\n", line) > 0;
}

/* line: release, address, component, file with the keys (or not). */
static void take_source(void *ctx, const char *line)
{
	struct apt_lines *lines = ctx;
	char release[128], uri[256], component[64], keys[256], option[300] = "";
	size_t len = strlen(lines->dist);

	if (sscanf(line, "%127s %255s %63s %255s", release, uri, component, keys) != 4)
		return;
	if (strncmp(release, lines->dist, len) || (release[len] && release[len] != '-') ||
		strcmp(component, "main") || strstr(release, "backports"))
		return;
	if (keys[0] == '/')
		snprintf(option, sizeof option, "[signed-by=\"%s\"] ", keys);
	lines->count += fprintf(lines->file, "deb %s%s %s main\n", option, uri, release) > 0;
}

/*
 * What a program says of the host's apt, line by line by take into the file name of the work folder,
 * which nobody else may read. Returns how many lines are in it.
 */
static int write_lines(struct job *job, const char *name, const char *const *argv,
	void (*take)(void *ctx, const char *line), struct error *err)
{
	struct apt_lines lines = {.dist = job->request->dist};
	char path[PATH_MAX + 16];
	int r = tree_write(job->work, name, 0600, err, "%s", "");

	if (r)
		return r;
	snprintf(path, sizeof path, "%s/%s", job->work, name);
	lines.file = fopen(path, "we");
	if (!lines.file)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	r = job_read_private(job, argv, take, &lines, err);
	if (fclose(lines.file) && !r)
		r = error_set(err, errno, "%s: %s", path, strerror(errno));
	return r ? r : (int)lines.count;
}

/* What mmdebstrap is asked. Every hook is a constant: nothing of the user's gets into a shell. */
static int make_arguments(struct job *job, struct args *args, struct error *err)
{
	static const char *const config[] = {"apt-config", "dump", NULL};
	static const char *const targets[] = {"apt-get", "indextargets", "--format",
		"$(RELEASE) $(REPO_URI) $(COMPONENT) $(SIGNED_BY)", "Created-By: Packages", NULL};
	int r;

	add(args, "mmdebstrap");
	add(args, "--variant=minbase");
	add(args, "--format=tar");
	add(args, "--include=" PACKAGES "%s%s", job->request->include[0] ? "," : "",
		job->request->include);
	add(args, "--essential-hook=tar-in early.tar /");
	add(args, "--customize-hook=tar-in late.tar /");
	add(args, "--customize-hook=chroot \"$1\" sh " OVERLAY_DIR "/setup");
	add(args, "--customize-hook=download " OVERLAY_DIR "/vmlinuz vmlinuz");
	add(args, "--customize-hook=download " OVERLAY_DIR "/initrd.img initrd.img");
	add(args, "--customize-hook=download " OVERLAY_DIR "/run.img run.img");
	add(args, "--customize-hook=rm -r \"$1" OVERLAY_DIR "\"");
	r = write_lines(job, JOB_APT_CONF, config, take_apt_option, err);
	if (r > 0)
		add(args, "--aptopt=" JOB_APT_CONF);
	if (r < 0)
		return r;
	add(args, "%s", job->request->dist);
	add(args, "root.tar");
	r = write_lines(job, JOB_APT_SOURCES, targets, take_source, err);
	if (r > 0)
		add(args, JOB_APT_SOURCES);
	if (r >= 0 && args->failed)
		r = error_set(err, ENOMEM, "no memory for mmdebstrap's arguments");
	return r < 0 ? r : 0;
}

static int pack(struct job *job, const char *dir, const char *tar, struct error *err)
{
	const char *const argv[] = {"tar", "--create", "--file", tar, "--owner=0", "--group=0",
		"--numeric-owner", "--directory", dir, ".", NULL};

	return job_run(job, argv, err);
}

/* Of what mmdebstrap tells, what a person waits for. */
static void show(void *ctx, const char *line)
{
	static const char *const steps[] = {"running apt-get update", "downloading packages",
		"extracting archives", "installing", "creating tarball"};
	const struct job *job = ctx;

	if (!strncmp(line, "E: ", 3)) {
		char text[120];

		snprintf(text, sizeof text, "%s", line);
		job->request->progress(job->request->ctx, text);
	}
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		if (!strncmp(line, "I: ", 3) && !strncmp(line + 3, steps[i], strlen(steps[i])))
			job->request->progress(job->request->ctx, line + 3);
}

int job_make_root(struct job *job, struct error *err)
{
	struct args args = {.count = 0};
	char early[PATH_MAX + 8], late[PATH_MAX + 8];
	int r;

	snprintf(early, sizeof early, "%s/early", job->work);
	snprintf(late, sizeof late, "%s/late", job->work);
	r = overlay_write_early(early, err);
	if (!r)
		r = overlay_write_late(late, &job->overlay, err);
	if (!r)
		r = pack(job, "early", "early.tar", err);
	if (!r)
		r = pack(job, "late", "late.tar", err);
	if (!r)
		r = make_arguments(job, &args, err);
	if (!r)
		r = job_read(job, (const char *const *)args.at, show, job, err);
	args_free(&args);
	return r;
}
