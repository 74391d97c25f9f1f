/* SPDX-License-Identifier: Apache-2.0 */
/* dach-vmm: one guest's monitor, started by the daemon with all that it needs; see document.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "vmm/document.h"
#include "vmm/vmm.h"

/* All of a file or pipe, up to room bytes; more is as bad as none. */
static int read_document(char *text, size_t room, size_t *len, struct error *err)
{
	struct stat st;
	ssize_t n;

	*len = 0;
	if (fstat(DOCUMENT_FD, &st))
		return error_set(err, EBADF,
			"started by hand? dachd starts it, with a configuration on descriptor %d",
			DOCUMENT_FD);
	/* Who has just written it has left the file's offset at its end. */
	if (S_ISREG(st.st_mode))
		lseek(DOCUMENT_FD, 0, SEEK_SET);
	n = io_read(DOCUMENT_FD, text, room);
	if (n < 0)
		return error_set(err, -n, "configuration: %s", strerror(-n));
	*len = n;
	if (*len < room)
		return 0;
	return error_set(err, E2BIG, "configuration: more than %u bytes", DOCUMENT_MAX);
}

/* Nothing stays open but the first three and what the document names; all of that is open. */
static int keep_descriptors(const struct vmm_document *document, struct error *err)
{
	unsigned next = DOCUMENT_FD;

	for (unsigned i = 0; i < document->fds; i++) {
		unsigned fd = document->fd[i];

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

static int prepare(struct vmm_document *document, struct error *err)
{
	char *text = malloc(DOCUMENT_MAX + 1);
	size_t len;
	int r;

	if (!text)
		return error_set(err, ENOMEM, "out of memory");
	r = read_document(text, DOCUMENT_MAX + 1, &len, err);
	if (!r)
		r = document_parse(text, len, document, err);
	free(text);
	if (r)
		return r;
	r = keep_descriptors(document, err);
	if (!r)
		r = take_lock(document->given.lock, err);
	if (r)
		document_free(document);
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
	struct vmm_document document;
	struct error err = {""};
	struct vmm_end end;

	if (argc > 1 && !strcmp(argv[1], "--version")) {
		printf("dach-vmm %s\n", DACH_VERSION);
		return 0;
	}
	if (argc > 1) {
		printf("usage: dach-vmm\n\nOne guest's monitor. dachd starts it, with a configuration (JSON) on "
		       "descriptor %d.\n",
			DOCUMENT_FD);
		return strcmp(argv[1], "--help") ? END_STATUS_SETUP : 0;
	}
	if (prepare(&document, &err)) {
		fprintf(stderr, "dach-vmm: %s\n", err.text);
		return END_STATUS_SETUP;
	}
	end = vmm_run(&document.config, &err);
	write_status(document.given.status, &end, &err);
	if (err.text[0])
		fprintf(stderr, "dach-vmm: %s\n", err.text);
	document_free(&document);
	return end.status;
}
