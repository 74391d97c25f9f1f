/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a container is to be, in all that passes unchanged from where people say it to the process that starts it: an
 * xl.cfg, the API, the store and the launch description take these fields from the one table, as they do a machine's
 * (machine_spec.h).
 */
#ifndef DACH_PROTOCOL_CONTAINER_SPEC_H
#define DACH_PROTOCOL_CONTAINER_SPEC_H

#include "protocol/fields.h"

#define CONTAINER_INIT_MAX 64 /* words of what it starts */
#define CONTAINER_ENV_MAX 256
#define CONTAINER_DEVICES 32
#define CONTAINER_DEVICE_PATH 200u /* bytes */
#define CONTAINER_LAYERS 32        /* that stand still between its template and what it writes */

struct container_spec {
	char **init; /* its first process and that one's arguments; none: /sbin/init */
	unsigned inits;
	/*
	 * Or a command, below an init of ours, found by the PATH of its environment: with these NAME=VALUE on top of the usual, as
	 * this user (a name or number of the container's, and ":GROUP"; NULL: root), in this folder (NULL: /).
	 */
	char **command;
	unsigned commands;
	char **env;
	unsigned envs;
	char *user, *workdir;
	char **device; /* paths of the host's device nodes that it may use, at the same paths */
	unsigned devices;
	bool privileged; /* its root is the host's root, walled in by less */
	unsigned pids;   /* processes and threads that it may have; 0: CONTAINER_PIDS */
};

#define CONTAINER_PIDS 8192u
/* dach-ct's words: it is to go on as a copy of itself that nobody can change ... */
#define CONTAINER_SEALED "sealed"
/* ... or to remove the folder that follows, in which the containers of the user that it runs as have written. */
#define CONTAINER_REMOVE "remove"

extern const struct field container_spec_fields[];

/*
 * Each container has user and group IDs of its own: so many, from a multiple of that number above the first of them
 * on. Nothing else uses those (systemd's UIDS-GIDS: 0x70000000 to 0x7ffdffff are free but for what limits.h says).
 */
#define CONTAINER_IDS 65536u
#define CONTAINER_IDS_FIRST 0x72000000u
#define CONTAINER_IDS_RANGES 2048u

#endif
