/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All guests that run here go to another host that is known, some at a time, and come back from there. The daemon remembers which are
 * away (GET /v1/hosts/HOST).
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "cli/call.h"
#include "cli/cli.h"
#include "client/client.h"
#include "protocol/peer.h"
#include "protocol/request.h"

#define PARALLEL 2
#define PARALLEL_MAX 16

enum { BACK = 1, COUNT, STORAGE, RATE, PAUSE };

static const struct option_spec options[] = {
	{"back", BACK, NULL, "let those come back that were evacuated to HOST"},
	{"parallel", COUNT, "N", "so many at a time (2)"},
	{"storage", STORAGE, NULL,
		"take what is in their disks along: files of their names are made there"},
	{"rate", RATE, "MIB", "send no more than so many MiB a second of each while it runs"},
	{"pause", PAUSE, "MS", "how long each may stand still (30)"},
	{NULL, 0, NULL, NULL},
};

/* What the threads share. */
struct evacuation {
	struct cli *cli;
	const char *host;
	bool back;
	json_t *words;  /* what each request has */
	json_t *guests; /* {"uuid", "name"} of each */
	struct mutex lock;
	size_t next GUARDED_BY(lock);
	json_t *moved GUARDED_BY(lock), *stayed GUARDED_BY(lock);
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
	interrupted = 1;
}

static json_t *take_next(struct evacuation *all)
{
	json_t *guest;

	mutex_lock(&all->lock);
	guest = interrupted ? NULL : json_array_get(all->guests, all->next);
	all->next += guest != NULL;
	mutex_unlock(&all->lock);
	return guest;
}

static void note(struct evacuation *all, const json_t *guest, const char *why)
{
	const char *name = json_get_text(guest, "name");

	mutex_lock(&all->lock);
	if (!why) {
		json_array_append_new(all->moved, json_string(name));
		if (!all->cli->json)
			printf("%s: %s %s\n", name, all->back ? "is back from" : "is on",
				all->host);
	} else {
		json_array_append_new(all->stayed,
			json_pack("{s:s, s:s}", "name", name, "why", why));
		fprintf(stderr, "%s: stays%s: %s\n", name, all->back ? " there" : "", why);
	}
	fflush(stdout);
	mutex_unlock(&all->lock);
}

/* The request that moves a guest: its body, which shares nothing with others, and its path. */
static json_t *request(const struct evacuation *all, const json_t *guest, char *path, size_t size)
{
	json_t *body = json_deep_copy(all->words);

	if (all->back) {
		snprintf(path, size, "/v1/hosts/%s/fetch", all->host);
		json_object_set_new(body, "guest", json_string(json_get_text(guest, "uuid")));
	} else {
		client_guest_path(path, size, json_get_text(guest, "uuid"), "/migrate");
	}
	return body;
}

static void *worker(void *ctx)
{
	struct evacuation *all = ctx;
	struct client *client = NULL;
	struct error err = {""};
	const int r = client_another(all->cli->client, &client, &err);
	json_t *guest;

	while ((guest = take_next(all))) {
		char path[256];
		json_t *body = request(all, guest, path, sizeof path);
		struct error own = err;
		const int failed = r ? r : client_call(client, "POST", path, body, NULL, &own);

		json_decref(body);
		note(all, guest, !failed ? NULL : *own.text ? own.text : strerror(-failed));
	}
	client_close(client);
	return NULL;
}

static int run_all(struct evacuation *all, unsigned parallel)
{
	struct sigaction act = {.sa_handler = interrupt, .sa_flags = SA_RESETHAND}, before;
	pthread_t threads[PARALLEL_MAX];
	unsigned started = 0;

	if (parallel > json_array_size(all->guests))
		parallel = (unsigned)json_array_size(all->guests);
	sigaction(SIGINT, &act, &before);
	while (started < parallel && !thread_start(&threads[started], 0, worker, all))
		started++;
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	sigaction(SIGINT, &before, NULL);
	return started || !parallel ? 0 : cli_say(all->cli, "no threads: %s", strerror(EAGAIN));
}

static int dry_run(struct evacuation *all)
{
	json_t *guest;
	size_t i;

	json_array_foreach(all->guests, i, guest)
	{
		char path[256];
		json_t *body = request(all, guest, path, sizeof path);

		call_api(all->cli, "POST", path, body, NULL);
	}
	return 0;
}

/* Containers and guests that are off are not asked to. */
static void choose(struct evacuation *all, const json_t *list)
{
	json_t *guest;
	size_t i;

	json_array_foreach(json_object_get(list, "guests"), i, guest)
	{
		const char *state = json_get_text(guest, "state");

		if (!strcmp(state, "off") || !strcmp(state, "shutdown"))
			continue;
		if (!strcmp(json_get_text(guest, "kind"), "container"))
			note(all, guest, "it is a container, which cannot be moved");
		else
			json_array_append(all->guests, guest);
	}
}

static int tell(struct evacuation *all)
{
	const size_t moved = json_array_size(all->moved), stayed = json_array_size(all->stayed),
		     left = json_array_size(all->guests) - all->next;

	if (all->cli->json)
		call_print(json_pack("{s:O, s:O}", "moved", all->moved, "stayed", all->stayed));
	else
		printf("%zu of %zu guests %s %s%s\n", moved, moved + stayed + left,
			all->back ? "are back from" : "are on", all->host,
			left ? "; interrupted, so the others were not asked" : "");
	return stayed || left ? CLI_FAILURE : 0;
}

static int move_all(struct evacuation *all, unsigned parallel)
{
	char path[sizeof "/v1/hosts/" + PEER_NAME_MAX];
	struct cli *cli = all->cli;
	json_t *host = NULL, *list = NULL;
	struct error err = {""};
	int status;

	if (peer_name_check(all->host, &err))
		return cli_fail(cli, &err);
	snprintf(path, sizeof path, "/v1/hosts/%s", all->host);
	status = call_api(cli, "GET", path, NULL, &host);
	if (!status && all->back) {
		json_array_extend(all->guests, json_object_get(host, "away"));
	} else if (!status) {
		json_object_set_new(all->words, "host", json_string(all->host));
		json_object_set_new(all->words, "evacuate", json_true());
		status = call_guests(cli, &list);
		if (!status)
			choose(all, list);
	}
	if (!status)
		status = cli->dry ? dry_run(all) : run_all(all, parallel);
	if (!status && !cli->dry)
		status = tell(all);
	json_decref(host);
	json_decref(list);
	return status;
}

static int take_option(struct evacuation *all, int id, uint64_t *parallel)
{
	struct cli *cli = all->cli;
	struct error err = {""};
	uint64_t number = 0;
	int r = 0;

	switch (id) {
	case BACK:
		all->back = true;
		break;
	case COUNT:
		r = option_number("--parallel", cli->value, 1, PARALLEL_MAX, parallel, &err);
		break;
	case STORAGE:
		json_object_set_new(all->words, "storage", json_true());
		break;
	case RATE:
		r = option_number("--rate", cli->value, 1, 1u << 20, &number, &err);
		json_object_set_new(all->words, "rate", json_integer((json_int_t)number << 20));
		break;
	case PAUSE:
		r = option_number("--pause", cli->value, 1, MIGRATE_PAUSE_MAX, &number, &err);
		json_object_set_new(all->words, "pause", json_integer((json_int_t)number));
		break;
	}
	return r ? cli_fail(cli, &err) : 0;
}

static int evacuate(struct cli *cli)
{
	struct evacuation all = {.cli = cli,
		.words = json_object(),
		.guests = json_array(),
		.moved = json_array(),
		.stayed = json_array()};
	uint64_t parallel = PARALLEL;
	int id, status = 0;

	mutex_init(&all.lock);
	while (!status && (id = cli_option(cli)) > 0)
		status = take_option(&all, id, &parallel);
	if (!status && id == CLI_END)
		status = cli->status;
	else if (!status) {
		all.host = cli->words[0];
		status = move_all(&all, (unsigned)parallel);
	}
	json_decref(all.words);
	json_decref(all.guests);
	json_decref(all.moved);
	json_decref(all.stayed);
	return status;
}

static const char more[] =
	"HOST is one that this host knows (dach host add). A line tells of each guest when it is there, or why it stays; status 1\n"
	"if one stays. Ctrl-C begins no further one. With --back those come back that are there still (dach host show HOST).\n";

const struct cli_verb cli_evacuate_verbs[] = {
	{"evacuate", "HOST", "Let all guests that run here go on on another host, or come back", 1,
		1, .options = options, .run = evacuate, .more = more},
	{.name = NULL},
};
