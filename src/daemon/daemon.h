/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dachd: what it owns. One thread, one event loop; nothing here needs a lock. The parts are in files of
 * their own: guest.h (the list), life.h (starting, ending, finding again), operation.h (what can be asked
 * of it), store.h, events.h, policy.h, log.h. It knows no wire: see api/.
 */
#ifndef DACH_DAEMON_DAEMON_H
#define DACH_DAEMON_DAEMON_H

#include <limits.h>
#include <stdbool.h>

#include "base/loop.h"
#include "daemon/clock_rate.h"
#include "daemon/engines.h"
#include "daemon/events.h"
#include "daemon/log.h"
#include "daemon/policy.h"
#include "daemon/store.h"
#include "host/cpuset.h"

struct cgroup;
struct guest;
struct network;
struct operation;
struct peer_line;
struct peers;

struct daemon {
	struct loop *loop;
	struct store *store;
	struct log log;
	struct policy policy;
	struct events events;
	struct engines engines;
	struct clock_rate clock_rate;
	struct cpuset_host cpus;
	unsigned walls;               /* that this host gives monitors: 1 << WALL_... */
	struct cgroup *cgroup;        /* NULL: this host has none */
	struct operation *operations; /* not yet answered */
	struct network *networks;     /* by name */
	struct peers *peers;          /* other hosts: peers.h */
	struct peer_line *peer_lines; /* connections with them that are not made yet */
	bool peers_crowded;           /* by such as do not say who they are, which is in the log */
	struct loop_fd rules;         /* rules.h's, and the next two */
	struct loop_timer rules_timer;
	bool rules_late;
	struct loop_timer late_timer; /* guests that start with the host, and could not yet */
	unsigned late_tries;
	struct loop_timer names_timer; /* likewise: names of networks' destinations */
	struct guest *guests;          /* running ones first, by domain ID; then by name */
	char run[PATH_MAX], state[PATH_MAX];
	char vmm[PATH_MAX];            /* dach-vmm */
	const char *policy_path;       /* NULL: none */
	char boot[STORE_BOOT_LEN + 1]; /* this boot of the host */
	int lock_fd, run_lock_fd;
	bool root;   /* the host's daemon, not a user's own */
	bool unread; /* the store has guests that this daemon cannot read */
};

struct daemon_options {
	const char *policy; /* NULL: /etc/dach/policy as root, otherwise none */
	const char *log;    /* NULL: standard error */
};

/*
 * Takes the folders (one daemon per folder) and opens the store. On failure nothing was changed and the
 * sentence says why.
 */
int daemon_create(const struct daemon_options *options, struct daemon **daemon, struct error *err);
/* Finds the guests that run; starts those that start with the host, once a boot. */
void daemon_begin(struct daemon *daemon);
/* Serves until loop_stop(daemon->loop). */
void daemon_run(struct daemon *daemon);
/* Guests go on. Whoever asked has gone: see server_destroy(). NULL is allowed. */
void daemon_destroy(struct daemon *daemon);
/* Reads the policy again; a wrong one leaves the old in force and is told in the log. */
void daemon_reload(struct daemon *daemon);

#endif
