/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon's paths do: doc/openapi.json, route by route. A handler answers its request at
 * once or later (server.h); it has been told who asks and, with {ref}, finds the guest itself.
 */
#ifndef DACH_DAEMON_API_H
#define DACH_DAEMON_API_H

#include "daemon/server.h"

struct route {
	const char *method, *path; /* as in the OpenAPI file */
	void (*handle)(struct request *request);
	bool body; /* needs one */
};

/* Ends with an all-zero entry. */
extern const struct route api_routes[];

/*
 * The route, with the path's variables in request. NULL: none, and *other tells whether the path is
 * there with another method.
 */
const struct route *api_find(struct request *request, const char *method, const char *path,
	bool *other);

/* Fields of the body. A key that is not in the list is refused. */
int body_check(const json_t *body, const char *const *keys, struct error *err);
int body_bool(const json_t *body, const char *key, bool fallback, bool *value, struct error *err);
/* Needed unless fallback >= 0. */
int body_number(const json_t *body, const char *key, int64_t fallback, int64_t min, int64_t max,
	int64_t *value, struct error *err);
/* NULL if it is left out and not needed. */
int body_text(const json_t *body, const char *key, bool needed, const char **text,
	struct error *err);

/* The guest of the request's {ref}; NULL: refused. Also remembers it for api_again(). */
struct guest *api_guest(struct request *request);
/* The same guest after a wait; NULL: it is gone. */
struct guest *api_again(struct request *request);
/* Answers with the guest as it is after its monitor has been asked. */
void api_answer_guest(struct request *request, struct guest *guest, int status);

void api_host(struct request *request);
void api_log(struct request *request);
void api_events(struct request *request);
void api_list(struct request *request);
void api_create(struct request *request);
void api_get(struct request *request);
void api_delete(struct request *request);
void api_console(struct request *request);

void api_start(struct request *request);
/* Asks the monitor: the verb is the last part of the path, its arguments are the body. */
void api_ask(struct request *request);
void api_destroy(struct request *request);
void api_rename(struct request *request);
void api_dump_core(struct request *request);

void api_memory(struct request *request);
void api_memory_max(struct request *request);
void api_scheduler_get(struct request *request);
void api_scheduler(struct request *request);
void api_autostart(struct request *request);
void api_affinity(struct request *request);

#endif
