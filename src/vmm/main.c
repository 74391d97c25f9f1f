/* SPDX-License-Identifier: Apache-2.0 */
/* dach-vmm: one guest's monitor, started by the daemon with all that it needs; see launch.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "vmm/launch.h"
#include "vmm/vmm.h"

/* All of a file or pipe, up to room bytes; more is as bad as none. */
static int read_description(char *text, size_t room, size_t *len, struct error *err)
{
	struct stat st;
	ssize_t n;

	*len = 0;
	if (fstat(LAUNCH_FD, &st))
		return error_set(err, EBADF,
			"started by hand? dachd starts it, with a configuration on descriptor %d",
			LAUNCH_FD);
	/* Who has just written it has left the file's offset at its end. */
	if (S_ISREG(st.st_mode))
		lseek(LAUNCH_FD, 0, SEEK_SET);
	n = io_read_all(LAUNCH_FD, text, room);
	if (n < 0)
		return error_set(err, -n, "configuration: %s", strerror(-n));
	*len = n;
	if (*len < room)
		return 0;
	return error_set(err, E2BIG, "configuration: more than %u bytes", LAUNCH_MAX);
}

/* Nothing stays open but the first three and what the description names; all of that is open. */
static int keep_descriptors(const struct vmm_launch *launch, struct error *err)
{
	unsigned next = LAUNCH_FD;

	for (unsigned i = 0; i < launch->fds; i++) {
		unsigned fd = launch->fd[i];

		if (fcntl(fd, F_GETFD) < 0)
			return error_set(err, EBADF, "configuration: descriptor %u is not open",
				fd);
		if (fd > next)
			close_range(next, fd - 1, 0);
		next = fd + 1;
	}
	close_range(next, ~0u, 0);
	return 0;
}

static int take_lock(int fd, struct error *err)
{
	if (fd < 0 || !flock(fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK)
		return error_set(err, EBUSY, "the guest runs already: its lock is held");
	return error_set(err, errno, "the guest's lock: %s", strerror(errno));
}

static int prepare(struct vmm_launch *launch, struct error *err)
{
	char *text = malloc(LAUNCH_MAX + 1);
	size_t len;
	int r;

	if (!text)
		return error_set(err, ENOMEM, "out of memory");
	r = read_description(text, LAUNCH_MAX + 1, &len, err);
	if (!r)
		r = vmm_launch_read(text, len, launch, err);
	free(text);
	if (r)
		return r;
	r = keep_descriptors(launch, err);
	if (!r)
		r = take_lock(launch->spec.lock, err);
	if (r)
		vmm_launch_free(launch);
	return r;
}

/* One write, so that nobody reads a half. fd -1: nothing. */
static void write_status(int fd, const struct vmm_end *end, const struct error *err)
{
	const struct end_report report = {end->reason, end->status, *err};
	char *line = fd < 0 ? NULL : end_report_write(&report);

	/* Nobody is left to be told if it fails; the exit status says most of it. */
	if (line && pwrite(fd, line, strlen(line), 0) < 0)
		fputs("dach-vmm: the reason of the end cannot be written\n", stderr);
	free(line);
}

int main(int argc, char **argv)
{
	struct vmm_launch launch;
	struct error err = {""};
	struct vmm_end end;

	if (argc > 1 && !strcmp(argv[1], "--version")) {
		printf("dach-vmm %s\n", DACH_VERSION);
		return 0;
	}
	if (argc > 1) {
		printf("usage: dach-vmm\n\nOne guest's monitor. dachd starts it, with a configuration (JSON) on "
		       "descriptor %d.\n",
			LAUNCH_FD);
		return strcmp(argv[1], "--help") ? END_STATUS_SETUP : 0;
	}
	if (prepare(&launch, &err)) {
		fprintf(stderr, "dach-vmm: %s\n", err.text);
		return END_STATUS_SETUP;
	}
	end = vmm_run(&launch.config, &err);
	write_status(launch.spec.status, &end, &err);
	if (err.text[0])
		fprintf(stderr, "dach-vmm: %s\n", err.text);
	vmm_launch_free(&launch);
	return end.status;
}
