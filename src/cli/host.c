/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host goes down, and comes up: what that does to guests. host-stop saves or shuts down each, the last
 * started first, and leaves a list of those that are to go on; host-start lets them.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/loop.h"
#include "cli/call.h"
#include "cli/cli.h"
#include "cli/create.h"
#include "cli/format.h"
#include "cli/wait.h"
#include "cli/watch.h"
#include "cli/xendomains.h"
#include "client/client.h"

enum { SETTINGS = 1 };

static const struct option_spec options[] = {
	{"settings", SETTINGS, "FILE", "whose words say what to do (" XENDOMAINS_FILE ")"},
	{NULL, 0, NULL, NULL},
};

struct host {
	struct cli *cli;
	struct xendomains settings;
	char state[PATH_MAX], list[PATH_MAX]; /* the daemon's folder, and the list in it */
	uint64_t deadline;                    /* clock_now() */
	json_t *saved;    /* of host-stop: {"uuid": ..., "file": ...}, as they are to go on */
	json_t *shutting; /* guests that were asked to end */
	struct client_events *events;
};

/* 0, or an exit status and it has been said why; OVER: help was asked for, or the words were wrong. */
#define OVER (-1)
static int begin(struct cli *cli, struct host *host)
{
	const char *path = XENDOMAINS_FILE;
	struct error err = {""};
	int id, r;

	*host = (struct host){.cli = cli};
	while ((id = cli_option(cli)) > 0)
		path = cli->value;
	if (id == CLI_END)
		return OVER;
	r = folder_state(host->state, sizeof host->state - 16, &err);
	if (!r)
		r = xendomains_read(path, &host->settings, &err);
	if (r)
		return cli_fail(cli, &err);
	snprintf(host->list, sizeof host->list, "%.*s/host-stopped", PATH_MAX - 16, host->state);
	host->deadline = clock_now() + host->settings.maxwait * 1000000000ull;
	return 0;
}

static void end(struct host *host)
{
	xendomains_free(&host->settings);
	client_events_close(host->events);
	json_decref(host->saved);
	json_decref(host->shutting);
}

/* Down */

/* What its configuration says, or the host's settings. */
static const char *wish(const struct host *host, const json_t *guest)
{
	const json_t *config = json_object_get(guest, "config");
	const char *own = json_get_text(config, "on_host_shutdown");

	/* What a container was doing is kept nowhere. */
	const bool keeps = strcmp(json_get_text(guest, "kind"), "container");

	if (*own && strcmp(own, "default"))
		return !keeps && !strcmp(own, "suspend") ? "shutdown" : own;
	if (host->settings.auto_only && !json_get_true(guest, "autostart"))
		return "ignore";
	return host->settings.save && keeps ? "suspend" : "shutdown";
}

/* The file must not take the last of the disk. */
static bool has_room(const char *folder, const json_t *guest)
{
	struct statvfs fs;

	return !statvfs(folder, &fs) &&
		fs.f_bavail * fs.f_frsize > (uint64_t)json_get_number(guest, "memory_max") * 1024 +
			fs.f_blocks * fs.f_frsize / 10;
}

/* To a file in the folder for it: its path, or NULL, and it has been said why not. */
static char *save_file(struct host *host, const json_t *guest)
{
	const char *uuid = json_get_text(guest, "uuid");
	char own[PATH_MAX + 8], *path = NULL;
	const char *folder = host->settings.save;
	struct error err = {""};
	json_t *body;

	snprintf(own, sizeof own, "%s/host", host->state);
	if (!folder)
		folder = own;
	if (folder_make(folder, 0700, &err)) {
		cli_fail(host->cli, &err);
		return NULL;
	}
	if (!has_room(folder, guest)) {
		cli_say(host->cli, "%s: no room for %s with a tenth of the file system left free",
			folder, format_name(guest));
		return NULL;
	}
	if (asprintf(&path, "%s/%s", folder, uuid) < 0)
		return NULL;
	body = json_pack("{s:s}", "path", path);
	if (!watch_until(host->cli, "Saving", uuid, "/save", body, host->deadline))
		return path;
	free(path);
	return NULL;
}

/* True: it is to go on when the host is up again. */
static bool save(struct host *host, const json_t *guest)
{
	const char *uuid = json_get_text(guest, "uuid");
	char *file = NULL;
	bool done;

	fprintf(stderr, "Saving domain %s\n", format_name(guest));
	if (json_get_true(guest, "managed")) {
		done = !watch_until(host->cli, "Suspending", uuid, "/suspend", NULL,
			host->deadline);
	} else {
		file = save_file(host, guest);
		done = file;
	}
	if (done)
		json_array_insert_new(host->saved, 0,
			json_pack("{s:s, s:s*}", "uuid", uuid, "file", file));
	free(file);
	return done;
}

static void shut_down(struct host *host, json_t *guest)
{
	fprintf(stderr, "Shutting down domain %s\n", format_name(guest));
	/* One that stands cannot end by itself. */
	if (!strcmp(json_get_text(guest, "state"), "paused"))
		call_act(host->cli, "POST", json_get_text(guest, "uuid"), "/unpause", NULL);
	if (!call_act(host->cli, "POST", json_get_text(guest, "uuid"), "/shutdown", NULL))
		json_array_append(host->shutting, guest);
}

/* Those that end by themselves begin first: saving takes its time meanwhile. */
static void stop_all(struct host *host, const json_t *guests)
{
	for (unsigned pass = 0; pass < 2; pass++)
		for (size_t i = json_array_size(guests); i-- > 0;) {
			json_t *guest = json_array_get(guests, i);
			const char *what = wish(host, guest);
			bool saves = !strcmp(what, "suspend");

			if (!json_is_integer(json_object_get(guest, "domid")) ||
				!strcmp(what, "ignore") || saves != (pass == 1))
				continue;
			if (!strcmp(what, "destroy"))
				call_act(host->cli, "POST", json_get_text(guest, "uuid"),
					"/destroy", NULL);
			else if (!saves || clock_now() > host->deadline || !save(host, guest))
				shut_down(host, guest);
		}
}

/* Whole or not at all. */
static int write_list(struct host *host)
{
	char temp[PATH_MAX + 8];

	if (!json_array_size(host->saved))
		return unlink(host->list) && errno != ENOENT ? -errno : 0;
	snprintf(temp, sizeof temp, "%s.new", host->list);
	if (json_dump_file(host->saved, temp, JSON_COMPACT) || rename(temp, host->list))
		return cli_say(host->cli, "%s: %s", host->list, strerror(errno));
	return 0;
}

static int wait_for_ends(struct host *host)
{
	uint64_t now = clock_now();
	int left = now < host->deadline ? (int)((host->deadline - now) / 1000000000) + 1 : 1;

	return json_array_size(host->shutting)
		? wait_ends(host->cli, host->events, host->shutting, left)
		: 0;
}

static int host_stop(struct cli *cli)
{
	struct error err = {""};
	json_t *list = NULL;
	struct host host;
	int status = begin(cli, &host);

	if (!status)
		status = call_guests(cli, &list);
	if (!status && !cli->dry && client_events_open(cli->client, &host.events, &err))
		status = cli_fail(cli, &err);
	if (!status) {
		host.saved = json_array();
		host.shutting = json_array();
		stop_all(&host, json_object_get(list, "guests"));
	}
	if (!status && !cli->dry) {
		status = write_list(&host);
		if (wait_for_ends(&host))
			status = CLI_FAILURE;
	}
	json_decref(list);
	end(&host);
	return status == OVER ? cli->status : status;
}

/* Up */

/* Those that go on: what fails stays where it is. */
static int go_on(struct host *host, const json_t *saved)
{
	const char *uuid = json_get_text(saved, "uuid"), *file = json_get_text(saved, "file");
	json_t *guest = NULL;
	int status = 0;

	if (*file) {
		status = call_api(host->cli, "POST", "/v1/restore",
			json_pack("{s:s}", "path", file), NULL);
		if (!status && !host->cli->dry)
			unlink(file);
		return status;
	}
	/* The daemon has let those go on that start with it. */
	if (!call_find(host->cli, uuid, &guest) &&
		!strcmp(json_get_text(guest, "state"), "suspended"))
		status = call_act(host->cli, "POST", uuid, "/resume", NULL);
	json_decref(guest);
	return status;
}

static int is_config(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && !strchr(entry->d_name, '~');
}

/* One of that name that is another user's does not count. */
static const char *own_guest(const json_t *config, char *ref, size_t size)
{
	snprintf(ref, size, "%u/%s", geteuid(), json_get_text(config, "name"));
	return ref;
}

/* By name, those whose guest is not there yet. */
static int start_autos(struct host *host)
{
	struct dirent **names = NULL;
	int count = scandir(host->settings.autos, &names, is_config, alphasort), status = 0;

	if (count < 0 && errno != ENOENT)
		return cli_say(host->cli, "%s: %s", host->settings.autos, strerror(errno));
	for (int i = 0; i < count; i++) {
		char path[PATH_MAX], own[512];
		json_t *config, *guest = NULL;

		snprintf(path, sizeof path, "%s/%s", host->settings.autos, names[i]->d_name);
		free(names[i]);
		config = create_load(host->cli, path);
		if (!config)
			status = CLI_FAILURE;
		else if (call_find(host->cli, own_guest(config, own, sizeof own), &guest) ==
				CALL_NOT_FOUND &&
			call_api(host->cli, "POST", "/v1/guests",
				json_pack("{s:O}", "config", config), NULL))
			status = CLI_FAILURE;
		json_decref(guest);
		json_decref(config);
	}
	free(names);
	return status;
}

static int host_start(struct cli *cli)
{
	json_t *list, *saved;
	struct host host;
	int status = begin(cli, &host);
	size_t i;

	if (status) {
		end(&host);
		return status == OVER ? cli->status : status;
	}
	list = host.settings.restore ? json_load_file(host.list, 0, NULL) : NULL;
	json_array_foreach(list, i, saved) if (go_on(&host, saved)) status = CLI_FAILURE;
	if (list && !cli->dry)
		unlink(host.list);
	json_decref(list);
	if (host.settings.autos && start_autos(&host))
		status = CLI_FAILURE;
	end(&host);
	return status;
}

const struct cli_verb cli_host_verbs[] = {
	{"host-stop", "", "Save or shut down guests, since the host goes down", 0, 0,
		.options = options, .run = host_stop, .plain = true},
	{"host-start", "", "Let guests go on, since the host is up again", 0, 0, .options = options,
		.run = host_start, .plain = true},
	{.name = NULL},
};
