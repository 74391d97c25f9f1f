/* SPDX-License-Identifier: Apache-2.0 */
/* The stream: header, sections, errors. */
#include "state/state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "state/file.h"
#include "state/internal.h"

/* What is read at once, and room for a section's fields before it has to grow. */
#define ROOM_FIRST (64u << 10)

/* Errors */

static void fail(struct state *s, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The sentence begins with the state's name. */
static void fail(struct state *s, int code, const char *fmt, ...)
{
	char text[400];
	va_list args;

	if (s->rc)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	s->rc = error_set(s->err, code, "%s: %s", s->name, text);
}

void state_fail(struct state *s, int code, const char *fmt, ...)
{
	char text[320];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (s->inside)
		fail(s, code, "section %s: %s", s->section.name, text);
	else
		fail(s, code, "%s", text);
}

void state_require(struct state *s, bool holds, const char *what)
{
	if (s->loading && !holds)
		state_fail(s, EINVAL, "%s", what);
}

bool state_loading(const struct state *s)
{
	return s->loading;
}

bool state_ok(const struct state *s)
{
	return !s->rc;
}

/* Bytes */

static void put(struct state *s, const void *data, size_t len)
{
	int r = s->rc ? s->rc : s->io.write(s->io.ctx, data, len);

	if (r < 0)
		fail(s, -r, "cannot be written: %s", strerror(-r));
}

void state_seen(struct state *s, uint64_t bytes)
{
	int r = s->rc || !s->io.seen ? s->rc : s->io.seen(s->io.ctx, bytes);

	if (r < 0)
		fail(s, -r, "cannot be written: %s", strerror(-r));
}

void state_beside(struct state *s, const struct state_pages *pages)
{
	s->pages = pages;
}

const struct state_pages *state_pages(const struct state *s)
{
	return s->pages;
}

void state_write_pages(struct state *s, uint64_t gpa, const void *data, size_t len)
{
	int r = s->rc ? s->rc : s->pages->write(s->pages->ctx, gpa, data, len);

	if (r < 0)
		fail(s, -r, "cannot be written: %s", strerror(-r));
}

static void get(struct state *s, void *data, size_t len)
{
	uint8_t *to = data;

	while (len && !s->rc) {
		long n = s->io.read(s->io.ctx, to, len);

		if (n < 0) {
			fail(s, -n, "cannot be read: %s", strerror(-n));
		} else if (n == 0) {
			fail(s, EINVAL, "not whole: it ends too early");
		} else {
			to += n;
			len -= n;
		}
	}
}

static int fd_write(void *ctx, const void *data, size_t len)
{
	const struct state *s = ctx;

	return io_write_all(s->fd, data, len);
}

static long fd_read(void *ctx, void *data, size_t len)
{
	const struct state *s = ctx;

	return io_read_all(s->fd, data, len);
}

/* Beginning and end */

static struct state *make(const struct state_io *io, const char *name, bool loading,
	struct error *err)
{
	struct state *s = calloc(1, sizeof *s);

	if (s)
		s->data = malloc(ROOM_FIRST);
	if (!s || !s->data) {
		free(s);
		error_set(err, ENOMEM, "%s: out of memory", name);
		return NULL;
	}
	s->room = ROOM_FIRST;
	s->io = *io;
	s->name = name;
	s->err = err;
	s->loading = loading;
	return s;
}

static void read_header(struct state *s)
{
	struct state_header header = {{0}, 0, 0};

	get(s, &header, sizeof header);
	if (s->rc)
		return;
	if (memcmp(header.magic, STATE_MAGIC, sizeof header.magic))
		fail(s, EINVAL, "not a saved guest");
	else if (header.format == STATE_FILE_FORMAT)
		fail(s, EINVAL, "saved as a file; as a stream it cannot be read");
	else if (header.format > STATE_FORMAT || header.flags)
		fail(s, ENOTSUP,
			"saved by a newer dach: format %u, and this one reads up to format %u",
			header.format, STATE_FILE_FORMAT);
	else if (header.format != STATE_FORMAT)
		fail(s, EINVAL, "damaged: there is no format %u", header.format);
}

static int start(struct state *s, struct state **state)
{
	struct state_header header = {.magic = STATE_MAGIC, .format = STATE_FORMAT};
	int r;

	if (s->loading)
		read_header(s);
	else
		put(s, &header, sizeof header);
	r = s->rc;
	if (r) {
		state_destroy(s);
		return r;
	}
	*state = s;
	return 0;
}

int state_save(const struct state_io *io, const char *name, struct state **state, struct error *err)
{
	struct state *s = make(io, name, false, err);

	*state = NULL;
	return s ? start(s, state) : -ENOMEM;
}

int state_load(const struct state_io *io, const char *name, struct state **state, struct error *err)
{
	struct state *s = make(io, name, true, err);

	*state = NULL;
	return s ? start(s, state) : -ENOMEM;
}

static int start_fd(struct state *s, int fd, struct state **state)
{
	*state = NULL;
	if (!s)
		return -ENOMEM;
	s->fd = fd;
	s->io.ctx = s;
	return start(s, state);
}

int state_save_fd(int fd, const char *name, struct state **state, struct error *err)
{
	const struct state_io io = {.write = fd_write};

	return start_fd(make(&io, name, false, err), fd, state);
}

int state_load_fd(int fd, const char *name, struct state **state, struct error *err)
{
	const struct state_io io = {.read = fd_read};

	return start_fd(make(&io, name, true, err), fd, state);
}

int state_finish(struct state *s)
{
	state_begin(s, STATE_LAST, 0, 1);
	state_end(s);
	return s->rc;
}

void state_destroy(struct state *s)
{
	if (!s)
		return;
	free(s->data);
	free(s);
}

/* Sections */

bool state_room(struct state *s, size_t size)
{
	size_t room = s->room;
	uint8_t *data;

	if (size <= room)
		return true;
	while (room < size)
		room *= 2;
	data = realloc(s->data, room);
	if (!data) {
		fail(s, ENOMEM, "out of memory");
		return false;
	}
	s->data = data;
	s->room = room;
	return true;
}

static uint32_t checksum(const struct state *s)
{
	uint32_t crc =
		state_checksum(s->crc, &s->section, sizeof s->section - sizeof s->section.crc);

	return state_checksum(crc, s->data, s->length);
}

static bool name_valid(const char name[STATE_NAME_MAX + 1])
{
	size_t len = strnlen(name, STATE_NAME_MAX + 1);

	if (!len || len > STATE_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	for (size_t i = len; i <= STATE_NAME_MAX; i++)
		if (name[i])
			return false;
	return true;
}

/* The next section whole, so that nothing of a damaged one is believed. */
static void read_ahead(struct state *s)
{
	if (s->ahead || s->rc)
		return;
	get(s, &s->section, sizeof s->section);
	if (s->rc)
		return;
	if (!name_valid(s->section.name) || s->section.length > STATE_SECTION_MAX) {
		fail(s, EINVAL, "damaged: no section where one should be");
		return;
	}
	/* Memory is taken as the bytes come, not as a hostile length says. */
	for (s->length = 0; s->length < s->section.length && !s->rc;) {
		size_t part = s->section.length - s->length;

		if (part > ROOM_FIRST)
			part = ROOM_FIRST;
		if (!state_room(s, s->length + part))
			return;
		get(s, s->data + s->length, part);
		s->length += part;
	}
	if (!s->rc && checksum(s) != s->section.crc)
		fail(s, EINVAL, "damaged: section %s has a wrong checksum", s->section.name);
	if (s->rc)
		return;
	s->crc = s->section.crc;
	s->at = 0;
	s->ahead = true;
}

bool state_next_is(struct state *s, const char *name)
{
	read_ahead(s);
	return !s->rc && !strcmp(s->section.name, name);
}

static void begin_loading(struct state *s, const char *name, uint32_t instance, uint32_t version)
{
	read_ahead(s);
	if (s->rc)
		return;
	if (strcmp(s->section.name, name) || s->section.instance != instance)
		fail(s, EINVAL, "section %s %u where %s %u belongs: not of a guest like this one",
			s->section.name, s->section.instance, name, instance);
	else if (s->section.version > version)
		fail(s, ENOTSUP,
			"saved by a newer dach: section %s of version %u, and this one reads up to "
			"version %u",
			name, s->section.version, version);
	else if (!s->section.version)
		fail(s, EINVAL, "section %s without a version", name);
	s->ahead = false;
	s->inside = !s->rc;
}

void state_begin(struct state *s, const char *name, uint32_t instance, uint32_t version)
{
	if (s->rc)
		return;
	s->group[0] = '\0';
	if (s->loading) {
		begin_loading(s, name, instance, version);
		return;
	}
	s->section = (struct state_section){.instance = instance, .version = version};
	snprintf(s->section.name, sizeof s->section.name, "%s", name);
	s->length = 0;
	s->inside = true;
}

static void put_section(struct state *s)
{
	s->section.length = s->length;
	s->section.crc = s->crc = checksum(s);
	put(s, &s->section, sizeof s->section);
	put(s, s->data, s->length);
}

uint32_t state_version(const struct state *s)
{
	return s->section.version;
}

void state_end(struct state *s)
{
	if (s->rc)
		return;
	if (s->loading && s->at != s->length)
		state_fail(s, EINVAL, "%zu bytes more than there should be", s->length - s->at);
	if (!s->loading)
		put_section(s);
	s->inside = false;
}

void state_splice(struct state *s, const void *sections, size_t len)
{
	const uint8_t *at = sections, *end = at + len;

	while (!s->rc && at < end) {
		if ((size_t)(end - at) < sizeof s->section)
			break;
		memcpy(&s->section, at, sizeof s->section);
		at += sizeof s->section;
		if (s->section.length > (size_t)(end - at) || !state_room(s, s->section.length))
			break;
		s->length = s->section.length;
		memcpy(s->data, at, s->length);
		at += s->length;
		put_section(s);
	}
	if (at < end)
		fail(s, EINVAL, "no whole sections");
}
