/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/container_start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/guest.h"
#include "protocol/image_start.h"

/* In front of those that are in the list. */
static int insert(const char *const *words, char ***list, unsigned *count, unsigned most,
	struct error *err)
{
	unsigned n = 0;
	char **all;

	while (words[n])
		n++;
	if (n > most - *count)
		return error_set(err, E2BIG,
			"the image has %u words or variables, and %u is the most", n,
			most - *count);
	all = realloc(*list, (*count + n + 1) * sizeof *all);
	if (!all)
		return error_nomem(err);
	memmove(all + n, all, *count * sizeof *all);
	*list = all;
	*count += n;
	for (unsigned i = 0; i < n; i++)
		all[i] = strdup(words[i]);
	for (unsigned i = 0; i < n; i++)
		if (!all[i])
			return error_nomem(err);
	return 0;
}

/* A system's own, which wants to be the first process. */
static bool is_init(const char *program)
{
	const char *name = strrchr(program, '/');

	return *program == '/' && (!strcmp(name, "/init") || !strcmp(name, "/systemd"));
}

static int fill(char **to, const char *text, struct error *err)
{
	if (*to || !*text)
		return 0;
	*to = strdup(text);
	return *to ? 0 : error_nomem(err);
}

static int take(const struct image_start *start, struct container_spec *spec, struct error *err)
{
	int r = 0;

	if (!spec->commands && start->argv[0] && is_init(start->argv[0]))
		return insert(start->argv, &spec->init, &spec->inits, CONTAINER_INIT_MAX, err);
	if (!spec->commands)
		r = insert(start->argv, &spec->command, &spec->commands, CONTAINER_INIT_MAX, err);
	/* The image's variables come first, so that the configuration's count. */
	if (!r)
		r = insert(start->env, &spec->env, &spec->envs, CONTAINER_ENV_MAX, err);
	if (!r)
		r = fill(&spec->user, start->user, err);
	return r ? r : fill(&spec->workdir, start->folder, err);
}

int container_take_start(const struct guest *guest, const struct launch_file *root,
	struct container_spec *spec, struct error *err)
{
	char name[LIMIT_STRING + sizeof "/../" IMAGE_START];
	struct image_start start;
	struct stat st;
	int fd, r = 0;

	if (spec->inits)
		return 0;
	fd = openat(root->fd, "../" IMAGE_START,
		O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
	snprintf(name, sizeof name, "%s/../" IMAGE_START, root->name);
	if (fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == EACCES
			? 0
			: error_set(err, errno, "%s: %s", name, strerror(errno));
	/* Anybody may leave a file beside a folder in /tmp. */
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && (!st.st_uid || st.st_uid == guest->owner)) {
		r = image_start_read_file(fd, name, &start, err);
		if (!r) {
			r = take(&start, spec, err);
			image_start_free(&start);
		}
	}
	close(fd);
	return r;
}
