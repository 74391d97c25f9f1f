/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/xendomains.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

#define FILE_MAX (64u << 10)
#define MAXWAIT 90u
#define MAXWAIT_MAX 86400u

static bool is_true(const char *value)
{
	return !strcasecmp(value, "true") || !strcasecmp(value, "yes") || !strcmp(value, "1");
}

/* Up to a comment or the end of the line; quotes go. In place. */
static char *value_of(char *text)
{
	char quote = *text == '"' || *text == '\'' ? *text : 0;
	char *end;

	if (quote) {
		end = strchr(++text, quote);
		if (end)
			*end = 0;
		return text;
	}
	text[strcspn(text, " \t#;")] = 0;
	return text;
}

static int put(char **to, const char *value, struct error *err)
{
	free(*to);
	*to = *value ? strdup(value) : NULL;
	return !*value || *to ? 0 : error_nomem(err);
}

static int take(struct xendomains *settings, const char *name, const char *value, struct error *err)
{
	char *end;
	unsigned long seconds;

	if (!strcmp(name, "XENDOMAINS_SAVE"))
		return put(&settings->save, value, err);
	if (!strcmp(name, "XENDOMAINS_AUTO"))
		return put(&settings->autos, value, err);
	if (!strcmp(name, "XENDOMAINS_RESTORE"))
		settings->restore = is_true(value);
	if (!strcmp(name, "XENDOMAINS_AUTO_ONLY"))
		settings->auto_only = is_true(value);
	if (strcmp(name, "XENDOMAINS_STOP_MAXWAIT") || !*value)
		return 0;
	seconds = strtoul(value, &end, 10);
	if (*end || !isdigit((unsigned char)*value) || seconds > MAXWAIT_MAX)
		return error_set(err, EINVAL, "%s: '%s' is not a number of seconds", name, value);
	settings->maxwait = (unsigned)seconds;
	return 0;
}

static int read_lines(struct xendomains *settings, char *text, struct error *err)
{
	char *line, *rest = text;
	int r = 0;

	while (!r && (line = strsep(&rest, "\n"))) {
		char *equals;

		line += strspn(line, " \t");
		equals = strchr(line, '=');
		if (*line == '#' || !equals)
			continue;
		*equals = 0;
		r = take(settings, line, value_of(equals + 1), err);
	}
	return r;
}

int xendomains_read(const char *path, struct xendomains *settings, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;
	struct error why = {""};
	size_t size;
	char *text;

	*settings = (struct xendomains){.restore = true, .maxwait = MAXWAIT};
	if (fd < 0)
		return errno == ENOENT ? 0 : error_set(err, errno, "%s: %s", path, strerror(errno));
	r = io_read_file(fd, FILE_MAX, &text, &size);
	close(fd);
	if (r)
		return error_set(err, -r, "%s: %s", path, strerror(-r));
	r = read_lines(settings, text, &why);
	free(text);
	if (r) {
		xendomains_free(settings);
		return error_set(err, -r, "%s: %s", path, why.text);
	}
	return 0;
}

void xendomains_free(struct xendomains *settings)
{
	free(settings->save);
	free(settings->autos);
	settings->save = settings->autos = NULL;
}
