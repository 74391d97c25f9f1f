/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/thread.h"
#include "cli/call.h"
#include "client/client.h"
#include "protocol/job.h"

#define LOOK_MS 100 /* how often to see whether the answer has come */

/* The request, on a thread of its own with a connection of its own. */
struct request {
	struct client *client;
	const char *path;
	json_t *body, *answer;
	struct error err;
	int r;
	bool over; /* atomic */
};

struct job_watch {
	struct cli *cli;
	const char *says, *uuid;
	long long job;     /* 0: not known yet */
	uint64_t deadline; /* clock_now() */
	bool shown, cancelled;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
	interrupted = 1;
}

static void *perform(void *ctx)
{
	struct request *request = ctx;

	request->r = client_call(request->client, "POST", request->path, request->body,
		&request->answer, &request->err);
	__atomic_store_n(&request->over, true, __ATOMIC_RELEASE);
	return NULL;
}

static void show(struct job_watch *watch, const json_t *job)
{
	long long done = json_get_number(job, "done"), total = json_get_number(job, "total");

	watch->job = json_get_number(job, "id");
	if (!isatty(2) || total <= 0)
		return;
	fprintf(stderr, "\r%s: %lld of %lld MiB\033[K", watch->says, done >> 20, total >> 20);
	watch->shown = true;
}

static void take(struct job_watch *watch, const json_t *event)
{
	if (!strcmp(json_get_text(event, "event"), "job") &&
		!strcmp(json_get_text(event, "uuid"), watch->uuid))
		show(watch, json_object_get(event, "job"));
}

static void cancel(struct job_watch *watch)
{
	char path[256];
	json_t *body = json_pack("{s:I}", "job", (json_int_t)watch->job);

	client_guest_path(path, sizeof path, watch->uuid, "/cancel");
	/* Should it have ended, its answer is on its way. */
	client_call(watch->cli->client, "POST", path, body, NULL, NULL);
	json_decref(body);
	watch->cancelled = true;
}

static void wait_for(struct job_watch *watch, struct request *request, struct client_events *events)
{
	struct sigaction act = {.sa_handler = interrupt}, before;
	struct error err = {""};

	sigaction(SIGINT, &act, &before);
	while (!__atomic_load_n(&request->over, __ATOMIC_ACQUIRE)) {
		json_t *event = NULL;
		int r = client_events_next(events, LOOK_MS, &event, &err);

		if (!r) {
			take(watch, event);
			json_decref(event);
		} else if (r != -ETIMEDOUT) {
			usleep(LOOK_MS * 1000);
		}
		if ((interrupted || clock_now() > watch->deadline) && watch->job &&
			!watch->cancelled)
			cancel(watch);
	}
	sigaction(SIGINT, &before, NULL);
	if (watch->shown)
		fprintf(stderr, "\r\033[K");
}

/* With two connections and the events. */
static int watch_request(struct job_watch *watch, struct request *request)
{
	struct client_events *events = NULL;
	struct error err = {""};
	pthread_t thread;
	int r = client_another(watch->cli->client, &request->client, &err);

	if (!r)
		r = client_events_open(watch->cli->client, &events, &err);
	if (!r)
		r = thread_start(&thread, 0, perform, request);
	if (!r) {
		wait_for(watch, request, events);
		pthread_join(thread, NULL);
		r = request->r;
		err = request->err;
	}
	client_events_close(events);
	client_close(request->client);
	return r ? cli_say(watch->cli, "%s", err.text[0] ? err.text : strerror(-r)) : 0;
}

int watch_act(struct cli *cli, const char *says, const char *ref, const char *suffix, json_t *body)
{
	return watch_until(cli, says, ref, suffix, body, UINT64_MAX);
}

int watch_until(struct cli *cli, const char *says, const char *ref, const char *suffix,
	json_t *body, uint64_t deadline)
{
	struct job_watch watch = {.cli = cli, .says = says, .deadline = deadline};
	struct request request = {.body = body};
	json_t *guest = NULL;
	char path[1024];
	int status;

	if (cli->dry)
		return call_act(cli, "POST", ref, suffix, body);
	status = call_guest(cli, "GET", ref, "", NULL, &guest);
	if (!status) {
		watch.uuid = json_get_text(guest, "uuid");
		client_guest_path(path, sizeof path, watch.uuid, suffix);
		request.path = path;
		status = watch_request(&watch, &request);
	}
	if (!status && cli->json && request.answer)
		call_print(request.answer);
	json_decref(request.answer);
	json_decref(guest);
	json_decref(body);
	return status;
}
