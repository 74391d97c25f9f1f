/* SPDX-License-Identifier: Apache-2.0 */
#include "state/file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "state/internal.h"

#define PAGE 4096u

static uint32_t header_crc(const struct state_file_header *header)
{
	return state_checksum(0, header, sizeof *header - sizeof header->crc);
}

void state_file_header(struct state_file_header *header, uint64_t stream, uint64_t stream_size)
{
	*header = (struct state_file_header){.magic = STATE_MAGIC,
		.format = STATE_FILE_FORMAT,
		.memory = STATE_FILE_MEMORY,
		.stream = stream,
		.stream_size = stream_size};
	header->crc = header_crc(header);
}

/* Guest memory, on any thread. */
static int read_pages(void *ctx, uint64_t gpa, void *data, size_t len)
{
	const struct state_file *file = ctx;
	ssize_t n;

	if (gpa > INT64_MAX - file->memory - len)
		return -EINVAL;
	n = io_pread_all(file->fd, data, len, file->memory + gpa);
	if (n < 0)
		return (int)n;
	/* The last pages may lie behind the end of a file that was made smaller. */
	return (size_t)n == len ? 0 : -ENODATA;
}

static long read_stream(void *ctx, void *data, size_t len)
{
	struct state_file *file = ctx;
	ssize_t n;

	if (len > file->end - file->at)
		len = file->end - file->at;
	n = io_pread_all(file->fd, data, len, file->at);
	if (n > 0)
		file->at += n;
	return n;
}

static int check(const struct state_file *file, const struct state_file_header *header,
	struct error *err)
{
	struct stat st;

	if (header->flags)
		return error_set(err, ENOTSUP, "%s: saved by a newer dach: flags 0x%x", file->name,
			header->flags);
	if (header->crc != header_crc(header))
		return error_set(err, EINVAL, "%s: damaged: its header has a wrong checksum",
			file->name);
	if (header->memory % PAGE || header->memory < sizeof *header ||
		header->memory > INT64_MAX || header->stream < sizeof *header ||
		header->stream > INT64_MAX || header->stream_size > INT64_MAX - header->stream)
		return error_set(err, EINVAL, "%s: damaged: places that cannot be", file->name);
	if (fstat(file->fd, &st))
		return error_set(err, errno, "%s: %s", file->name, strerror(errno));
	if (S_ISREG(st.st_mode) && header->stream + header->stream_size > (uint64_t)st.st_size)
		return error_set(err, EINVAL, "%s: not whole: it ends too early", file->name);
	return 0;
}

int state_file_open(struct state_file *file, int fd, const char *name, struct error *err)
{
	struct state_file_header header;
	int r;

	*file = (struct state_file){.fd = fd, .name = name};
	if (io_pread_all(fd, &header, sizeof header, 0) != sizeof header ||
		memcmp(header.magic, STATE_MAGIC, sizeof header.magic) ||
		header.format != STATE_FILE_FORMAT)
		return 0;
	r = check(file, &header, err);
	if (r)
		return r;
	file->memory = header.memory;
	file->at = header.stream;
	file->end = header.stream + header.stream_size;
	file->pages = (struct state_pages){.read = read_pages, .ctx = file};
	return 1;
}

int state_file_load(struct state_file *file, struct state **state, struct error *err)
{
	const struct state_io io = {.read = read_stream, .ctx = file};
	int r = state_load(&io, file->name, state, err);

	if (!r)
		state_beside(*state, &file->pages);
	return r;
}
