/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what. Root, the daemon's own user and members of the group dach manage every guest.
 * Users whom the policy file names have guests of their own, within its limits; nobody else is let
 * in. The file (dachd(8) describes it; an API client never sends it, but it is read as if):
 *
 *   {"users": {"ann": {"guests": 4, "memory": 4096, "vcpus": 8, "paths": ["/home/ann/"]}},
 *    "groups": {"students": {"guests": 1, "memory": 512, "vcpus": 1, "paths": ["/srv/images/"]}},
 *    "walls": ["namespaces", "landlock"],
 *    "listen": "192.0.2.1:7420"}
 *
 * memory in MiB, of all the user's guests together, as vcpus. paths: where kernels, disks, core
 * files and saved guests may lie; they are opened with the user's own rights besides. "addresses": true gives the user's
 * forwarded ports every address of the host, not only loopback; "low_ports": true those below 1024.
 * "cpu_weight" and "io_weight" are the most that each of his guests may have (the even share if left out);
 * "bridges": ["br0"] are the host's bridges that his guests may be on, as whoever they like;
 * "affinity": true lets him say on which of the host's processors they run. A user's entry goes before those
 * of groups, of which the first that fits counts.
 *
 * "listen" is where daemons of other hosts that are known may call (peers.h); without it none may.
 *
 * Names are looked up when the file is read: a connection costs no question to the host's directory of users.
 */
#ifndef DACH_DAEMON_POLICY_H
#define DACH_DAEMON_POLICY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "protocol/limits.h"

#define POLICY_MAX (256u << 10)
#define CALLER_GROUPS_MAX LIMIT_GROUPS

/* Who asks, over whatever connection. */
struct caller {
	uid_t uid;
	gid_t gid;
	gid_t group[CALLER_GROUPS_MAX]; /* supplementary */
	unsigned groups;
	bool manager; /* may do everything */
	/* The rest: limits of who is let in and no manager. */
	bool user;
	json_t *rule; /* own reference */
};

/* A user or group whom the file names and the host knows. */
struct policy_entry {
	id_t id;
	json_t *rule; /* of root */
};

struct policy {
	json_t *root;   /* NULL: no file */
	unsigned walls; /* 1 << WALL_... (protocol/walls.h): without them no guest starts */
	struct policy_entry *user, *group;
	unsigned users, groups;
	gid_t managers;
	bool has_managers; /* the group dach exists */
};

/*
 * path NULL or a file that is not there: only managers. A file that is wrong, or that others than root
 * and the daemon's own user may write to: -EINVAL and the place; the policy stays as it was.
 */
int policy_load(struct policy *policy, const char *path, struct error *err);
int policy_parse(struct policy *policy, const char *text, size_t len, const char *name,
	struct error *err);
void policy_free(struct policy *policy);

/* Who is at the socket's other end, and what he may. caller_free() afterwards. */
int caller_get(const struct policy *policy, int fd, struct caller *caller, struct error *err);
/* A user who is not connected, with the groups that the host gives him. */
void caller_of_user(const struct policy *policy, uid_t uid, struct caller *caller);
/* Decides what a caller may whose IDs are set. */
void caller_judge(const struct policy *policy, struct caller *caller);
void caller_copy(const struct caller *from, struct caller *to);
void caller_free(struct caller *caller);

/* Limits of a caller that is no manager. */
int64_t caller_limit(const struct caller *caller,
	const char *key); /* "guests", "memory", "vcpus", "cpu_weight", "io_weight" */
/* "addresses", "low_ports", "affinity" */
bool caller_allows(const struct caller *caller, const char *key);
/* "bridges": this host's bridges and networks that his guests may be on. */
bool caller_may_use_bridge(const struct caller *caller, const char *name);
bool caller_path_allowed(const struct caller *caller, const char *path);
/* The same of a name that is not yet resolved: 0, or -EACCES and the sentence. */
int caller_check_path(const struct caller *caller, const char *path, struct error *err);

/*
 * Opens a file as the caller would: for a manager with the daemon's rights; otherwise with the
 * caller's own, and only below his paths (looked at after it is open; what O_EXCL has made elsewhere is removed). The daemon is one thread.
 */
int caller_open(const struct caller *caller, const char *path, int flags, unsigned mode, int *fd,
	struct error *err);
/*
 * Opens for reading what an open file names: for a manager with no more rights than that file's owner has,
 * who may have written the name; for others as above.
 */
int caller_open_named(const struct policy *policy, const struct caller *caller, int above,
	const char *path, int *fd, struct error *err);

/*
 * Removes what has this name, with the same rights, if it is still that file (st_dev, st_ino): 0; -ESTALE, something else has the name
 * now, and stays; or a negative errno. The place was judged before.
 */
int caller_remove(const struct caller *caller, const char *path, dev_t device, ino_t inode);

/*
 * Does something to files by name, act(ctx), with the rights that caller_open() has; its value, or a negative
 * errno. The place was judged before.
 */
int caller_act(const struct caller *caller, int (*act)(void *ctx), void *ctx);

#endif
