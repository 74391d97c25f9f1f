/* SPDX-License-Identifier: Apache-2.0 */
/* main() of a guest's monitor that the daemon starts with all that it needs; see protocol/launch.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "monitor/internal.h"

/* *text is the caller's to free(). */
static int read_description(char **text, size_t *len, struct error *err)
{
	struct stat st;
	int r;

	*text = NULL;
	if (fstat(LAUNCH_FD, &st))
		return error_set(err, EBADF,
			"started by hand? dachd starts it, with a configuration on descriptor %d",
			LAUNCH_FD);
	/* Who has just written it has left the file's offset at its end. */
	if (S_ISREG(st.st_mode))
		lseek(LAUNCH_FD, 0, SEEK_SET);
	r = io_read_file(LAUNCH_FD, LAUNCH_MAX, text, len);
	if (r == -EFBIG)
		return error_set(err, E2BIG, "configuration: more than %u bytes", LAUNCH_MAX);
	return r ? error_set(err, -r, "configuration: %s", strerror(-r)) : 0;
}

/* Nothing stays open but the first three and what the description names; all of that is open. */
static int keep_descriptors(const struct launch_spec *spec, struct error *err)
{
	int named[LAUNCH_FDS_MAX];
	unsigned next = LAUNCH_FD, count = launch_fds(spec, named);

	for (unsigned i = 0; i < count; i++) {
		unsigned fd = named[i];

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

static int prepare(struct launch_spec *spec, struct error *err)
{
	char *text;
	size_t len;
	int r = read_description(&text, &len, err);

	if (!r)
		r = launch_read(text, len, spec, err);
	free(text);
	if (r)
		return r;
	r = keep_descriptors(spec, err);
	if (!r)
		r = take_lock(spec->lock, err);
	if (r)
		launch_free(spec);
	return r;
}

void program_write_status(int fd, const struct end_report *end)
{
	char *line = fd < 0 ? NULL : end_report_write(end);

	/* Nobody is left to be told if it fails; the exit status says most of it. */
	if (line && pwrite(fd, line, strlen(line), 0) < 0)
		fputs("the reason of the monitor's end cannot be written\n", stderr);
	free(line);
}

static int usage(const struct monitor_program *program, const char *word)
{
	if (!strcmp(word, "--version")) {
		printf("%s %s\n", program->name, DACH_VERSION);
		return 0;
	}
	printf("usage: %s\n\n%s dachd starts it, with a configuration (JSON) on descriptor %d.\n",
		program->name, program->help, LAUNCH_FD);
	return strcmp(word, "--help") ? END_STATUS_SETUP : 0;
}

int monitor_main(int argc, char **argv, const struct monitor_program *program)
{
	struct launch_spec spec;
	struct end_report end = {.status = END_STATUS_SETUP};

	if (argc > 1)
		return usage(program, argv[1]);
	if (!prepare(&spec, &end.error)) {
		program->run(&spec, &end);
		program_write_status(spec.status, &end);
		launch_free(&spec);
	}
	if (end.error.text[0])
		fprintf(stderr, "%s: %s\n", program->name, end.error.text);
	return end.status;
}
