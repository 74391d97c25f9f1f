/* SPDX-License-Identifier: Apache-2.0 */
/* passwd(5) and group(5) of the guest, read here: a static program has no name service. */
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"

#define FIELDS 7

/* Cuts a line into its fields; returns how many. */
static unsigned cut(char *line, char *field[FIELDS])
{
	unsigned count = 0;

	line[strcspn(line, "\n")] = 0;
	while (count < FIELDS && line) {
		field[count++] = line;
		line = strchr(line, ':');
		if (line)
			*line++ = 0;
	}
	return count;
}

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text) && strlen(text) < 10;
}

/* Calls take for each line that has as many fields. */
static void each(const char *path, unsigned fields, void (*take)(void *ctx, char **field),
	void *ctx)
{
	FILE *file = fopen(path, "re");
	char *line = NULL, *field[FIELDS];
	size_t room = 0;

	while (file && getline(&line, &room, file) > 0)
		if (cut(line, field) >= fields)
			take(ctx, field);
	free(line);
	if (file)
		fclose(file);
}

struct user_search {
	const char *wanted, *group;
	struct user *user;
	bool found, group_found;
};

static void take_user(void *ctx, char **field)
{
	struct user_search *search = ctx;
	struct user *user = search->user;

	if (search->found || (strcmp(field[0], search->wanted) && strcmp(field[2], search->wanted)))
		return;
	search->found = true;
	user->uid = strtoul(field[2], NULL, 10);
	user->gid = strtoul(field[3], NULL, 10);
	snprintf(user->name, sizeof user->name, "%s", field[0]);
	snprintf(user->home, sizeof user->home, "%s", field[5]);
	snprintf(user->shell, sizeof user->shell, "%s", field[6]);
}

static bool is_member(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (; list && *list; list = strchr(list, ',')) {
		list += *list == ',';
		if (!strncmp(list, name, len) && (!list[len] || list[len] == ','))
			return true;
	}
	return false;
}

static void take_group(void *ctx, char **field)
{
	struct user_search *search = ctx;
	struct user *user = search->user;
	const gid_t gid = strtoul(field[2], NULL, 10);

	if (search->group && !search->group_found &&
		(!strcmp(field[0], search->group) || !strcmp(field[2], search->group))) {
		search->group_found = true;
		user->gid = gid;
	}
	if (*user->name && user->group_count < 64 && is_member(field[3], user->name))
		user->groups[user->group_count++] = gid;
}

bool user_find(const char *name, struct user *user)
{
	char wanted[64];
	const char *colon = strchr(name, ':');
	struct user_search search = {wanted, colon ? colon + 1 : NULL, user, false, false};

	*user = (struct user){.home = "/"};
	snprintf(wanted, sizeof wanted, "%.*s", (int)(colon ? colon - name : (long)strlen(name)),
		name);
	if (!*wanted)
		strcpy(wanted, "0");
	each("/etc/passwd", 7, take_user, &search);
	if (!search.found) { /* a number needs no name */
		if (!is_number(wanted))
			return false;
		user->uid = user->gid = strtoul(wanted, NULL, 10);
		if (!user->uid)
			strcpy(user->home, "/root");
	}
	each("/etc/group", 4, take_group, &search);
	if (search.group && !search.group_found) {
		if (!is_number(search.group))
			return false;
		user->gid = strtoul(search.group, NULL, 10);
	}
	return true;
}

static _Noreturn void not_run(const char *what, unsigned status)
{
	dprintf(STDERR_FILENO, "dach: %s: %s\n", what, strerror(errno));
	_exit((int)status);
}

void user_become(const struct user *user, const char *folder)
{
	const char *place = *folder ? folder : user->home;
	char who[32];

	snprintf(who, sizeof who, "cannot become user %u", user->uid);
	if (setgroups(user->group_count, user->groups) || setgid(user->gid) || setuid(user->uid))
		not_run(who, AGENT_STATUS_NOT_RUN);
	if (chdir(place) && (*folder || chdir("/")))
		not_run(place, AGENT_STATUS_NOT_RUN);
}

_Noreturn void user_cannot_run(const char *program)
{
	not_run(program, errno == ENOENT ? AGENT_STATUS_NOT_FOUND : AGENT_STATUS_NOT_RUN);
}
