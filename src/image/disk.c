/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/job.h"
#include "image/tree.h"

/*
 * mke2fs copies a folder into the file system that it makes, owners included,
 * so no privilege to mount anything is needed. Who is not root cannot give
 * files to others either: fakeroot remembers the owners from one program to
 * the next.
 */
static int run(struct job *job, const char *state_option, const char *const *command,
	struct error *err)
{
	const char *argv[32];
	int n = 0;

	if (geteuid()) {
		argv[n++] = "fakeroot";
		argv[n++] = state_option;
		argv[n++] = "owners";
		argv[n++] = "--";
	}
	for (int i = 0; n < 31 && command[i]; i++)
		argv[n++] = command[i];
	argv[n] = NULL;
	return job_run(job, argv, err);
}

static int make_sparse(const char *path, uint64_t size, struct error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r = 0;

	if (fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	if (ftruncate(fd, size))
		r = error_set(err, errno, "%s: %s", path, strerror(errno));
	close(fd);
	return r;
}

int job_make_disk(struct job *job, struct error *err)
{
	/*
	 * /dev is the guest's own devtmpfs; nobody but root could make its nodes here. fakeroot loses
	 * the type of files with attributes: without them ping, whose capability is one, falls back
	 * on what the kernel lets everybody do.
	 */
	const char *const unpack[] = {"tar", "--extract", "--file", "root.tar", "--directory",
		"root", "--numeric-owner", "--preserve-permissions", "--same-owner",
		"--exclude=./dev/*", geteuid() ? NULL : "--xattrs", "--xattrs-include=*", NULL};
	const char *const format[] = {"/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-d", "root", "-U",
		job->uuid, "-L", "root", "-m", "1", "-E", "root_owner=0:0", "disk.raw", NULL};
	char path[PATH_MAX + 16], name[PATH_MAX + 16];
	int r;

	snprintf(path, sizeof path, "%s/" IMAGE_ROOT, job->work);
	if (mkdir(path, 0755))
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	r = run(job, "-s", unpack, err);
	snprintf(name, sizeof name, "%s/root.tar", job->work);
	unlink(name);
	snprintf(name, sizeof name, "%s/disk.raw", job->work);
	if (!r)
		r = make_sparse(name, job->request->size, err);
	if (!r)
		r = run(job, "-i", format, err);
	if (!r && !job->request->keep_root && tree_remove(path))
		r = error_set(err, EIO, "%s: cannot be removed", path);
	snprintf(name, sizeof name, "%s/owners", job->work);
	unlink(name);
	return r;
}
