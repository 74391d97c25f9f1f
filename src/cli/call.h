/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the daemon, with the sentences on standard error that an administrator of Xen knows. All
 * return 0, or have said what is wrong and return an exit status.
 */
#ifndef DACH_CLI_CALL_H
#define DACH_CLI_CALL_H

#include "base/json.h"
#include "cli/cli.h"

struct client_events;

int call_connect(struct cli *cli);

/*
 * One request. body is taken over (NULL: none); *answer is the caller's to json_decref(), and may
 * be NULL for who does not want it. Under -N only GET is sent; everything else is printed, one JSON
 * object a line, and *answer is NULL.
 */
int call_api(struct cli *cli, const char *method, const char *path, json_t *body, json_t **answer);

/* The same for a guest: suffix as "" or "/pause". One that does not exist gets xl's sentence. */
int call_guest(struct cli *cli, const char *method, const char *ref, const char *suffix,
	json_t *body, json_t **answer);

/* A guest by name, ID or UUID. CALL_NOT_FOUND, with nothing said, if there is none. */
#define CALL_NOT_FOUND (-1)
int call_find(struct cli *cli, const char *ref, json_t **guest);

/* Whether the daemon knows another host of that name (dach host). Nothing is said. */
bool call_knows_host(struct cli *cli, const char *name);

/* All guests: {"guests": [...], "domain0": {...}}. */
int call_guests(struct cli *cli, json_t **list);

/*
 * The same request to each of these guests, which were there a moment ago. One that has ended meanwhile,
 * by itself, is as it should be: it is taken out of targets, and nothing is said.
 */
int call_post_all(struct cli *cli, json_t *targets, const char *suffix, json_t *body);

/*
 * For verbs that change one guest: sends it and, with --json, prints the answer.
 */
int call_act(struct cli *cli, const char *method, const char *ref, const char *suffix,
	json_t *body);

/* The same, and call_warn() of the guest that it answers with. */
int call_act_warn(struct cli *cli, const char *method, const char *ref, const char *suffix,
	json_t *body, const char *const *fields);

/*
 * Says on standard error of what a guest asks for and this host does not do: of these fields (NULL at
 * the end), or all (NULL).
 */
void call_warn(const json_t *guest, const char *const *fields);

/* Prints a value as JSON for --json. Returns 0. */
int call_print(const json_t *value);
/* The same, indented as xl does: some scripts go by that. */
int call_print_xl(const json_t *value);

#endif
