/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "protocol/fields.h"
#include "protocol/limits.h"
#include "protocol/peer.h"
#include "protocol/walls.h"

#define MANAGERS "dach"
#define LIMIT_MAX (1 << 24)

static int bad(struct error *err, const char *name, const char *who, const char *key,
	const char *what)
{
	return error_set(err, EINVAL, "%s: %s%s%s: %s", name, who, *key ? ": " : "", key, what);
}

/* What a user or a group is given. Only to check it: who asks looks it up by its key. */
struct rule {
	uint64_t guests, memory, vcpus, cpu_weight, io_weight;
	char **path;
	unsigned paths;
	char **bridge;
	unsigned bridges;
	bool addresses, low_ports, affinity;
};

static const struct field rule_fields[] = {
	FIELD_ROW(NUMBER, rule, guests, .max = LIMIT_MAX),
	FIELD_ROW(NUMBER, rule, memory, .max = LIMIT_MAX),
	FIELD_ROW(NUMBER, rule, vcpus, .max = LIMIT_MAX),
	FIELD_ROW(NUMBER, rule, cpu_weight, .max = 65535),
	FIELD_ROW(NUMBER, rule, io_weight, .max = 10000),
	FIELD_STRINGS_ROW("paths", rule, path, paths, LIMIT_STRING, POLICY_MAX),
	FIELD_STRINGS_ROW("bridges", rule, bridge, bridges, LIMIT_NAME, POLICY_MAX),
	FIELD_ROW(BOOL, rule, addresses),
	FIELD_ROW(BOOL, rule, low_ports),
	FIELD_ROW(BOOL, rule, affinity),
	{.key = NULL},
};

static int check_rule(json_t *json, const char *name, const char *who, struct error *err)
{
	struct rule rule = {0};
	char where[FIELD_WHERE_MAX];
	int r;

	if (!json_is_object(json))
		return bad(err, name, who, "", "not an object");
	snprintf(where, sizeof where, "%s: %s: ", name, who);
	r = fields_read(rule_fields, json, &rule, where, err);
	for (unsigned n = 0; !r && n < rule.paths; n++) {
		const char *path = rule.path[n];

		if (path[0] != '/' || path[strlen(path) - 1] != '/')
			r = bad(err, name, who, "paths", "not folders that begin and end with /");
	}
	fields_free(rule_fields, &rule);
	return r;
}

/* What of the policy is everybody's. */
static const struct field host_fields[] = {
	FIELD_ROW(SET, policy, walls, .max = WALLS_ALL, .names = wall_words),
	{.key = NULL},
};

static int read_walls(json_t *walls, const char *name, struct policy *policy, struct error *err)
{
	json_t *json = json_pack("{s:O}", "walls", walls);
	char where[FIELD_WHERE_MAX];
	int r;

	snprintf(where, sizeof where, "%s: ", name);
	r = json ? fields_read(host_fields, json, policy, where, err) : error_nomem(err);
	json_decref(json);
	return r;
}

/* Where other hosts' daemons may call: peers.c. */
static int check_listen(const json_t *listen, const char *name, struct error *err)
{
	char host[PEER_HOST_MAX + 1];
	unsigned char address[sizeof(struct in6_addr)];
	unsigned port;

	if (json_is_string(listen) &&
		!peer_address_read(json_string_value(listen), host, &port, NULL) &&
		(inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1))
		return 0;
	return bad(err, name, "listen", "",
		"not an address of this host with or without a port, as 192.0.2.1:7420 or [::]:7420");
}

static int check_root(json_t *root, const char *name, struct policy *policy, struct error *err)
{
	const char *part, *who;
	json_t *rules, *rule;

	if (!json_is_object(root))
		return bad(err, name, "the whole", "", "not an object");
	json_object_foreach(root, part, rules)
	{
		if (!strcmp(part, "walls")) {
			int r = read_walls(rules, name, policy, err);

			if (r)
				return r;
			continue;
		}
		if (!strcmp(part, "listen")) {
			int r = check_listen(rules, name, err);

			if (r)
				return r;
			continue;
		}
		if (strcmp(part, "users") && strcmp(part, "groups"))
			return bad(err, name, part, "",
				"unknown; there are users, groups, walls and listen");
		if (!json_is_object(rules))
			return bad(err, name, part, "", "not an object");
		json_object_foreach(rules, who, rule)
		{
			int r = check_rule(rule, name, who, err);

			if (r)
				return r;
		}
	}
	return 0;
}

static bool user_id(const char *name, id_t *id)
{
	struct passwd *user = getpwnam(name);

	*id = user ? user->pw_uid : 0;
	return user;
}

static bool group_id(const char *name, id_t *id)
{
	struct group *group = getgrnam(name);

	*id = group ? group->gr_gid : 0;
	return group;
}

/* Those whom the host does not know have no entry. */
static int look_up(json_t *rules, bool (*find)(const char *name, id_t *id),
	struct policy_entry **entries, unsigned *count, struct error *err)
{
	const char *name;
	json_t *rule;

	*entries = calloc(json_object_size(rules) + 1, sizeof **entries);
	*count = 0;
	if (!*entries)
		return error_nomem(err);
	json_object_foreach(rules, name, rule)
	{
		struct policy_entry *entry = &(*entries)[*count];

		entry->rule = rule;
		*count += find(name, &entry->id);
	}
	return 0;
}

static void drop(struct policy *policy)
{
	json_decref(policy->root);
	free(policy->user);
	free(policy->group);
	policy->root = NULL;
	policy->user = policy->group = NULL;
	policy->users = policy->groups = policy->walls = 0;
}

int policy_parse(struct policy *policy, const char *text, size_t len, const char *name,
	struct error *err)
{
	struct policy new = {.managers = policy->managers, .has_managers = policy->has_managers};
	int r;

	new.root = json_parse(text, len, name, err);
	if (!new.root)
		return -EINVAL;
	r = check_root(new.root, name, &new, err);
	if (!r)
		r = look_up(json_object_get(new.root, "users"), user_id, &new.user, &new.users,
			err);
	if (!r)
		r = look_up(json_object_get(new.root, "groups"), group_id, &new.group, &new.groups,
			err);
	drop(r ? &new : policy);
	if (!r)
		*policy = new;
	return r;
}

static int read_all(int fd, const char *path, char **text, size_t *len, struct error *err)
{
	struct stat st;
	int r;

	if (fstat(fd, &st))
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	if (st.st_uid && st.st_uid != geteuid())
		return error_set(err, EINVAL, "%s: belongs to user %u, not to root", path,
			(unsigned)st.st_uid);
	if (!S_ISREG(st.st_mode) || st.st_mode & 022)
		return error_set(err, EINVAL, "%s: others may write to it (chmod go-w)", path);
	r = io_read_file(fd, POLICY_MAX, text, len);
	if (r == -EFBIG)
		return error_set(err, EINVAL, "%s: longer than %u bytes", path, POLICY_MAX);
	return r ? error_set(err, -r, "%s: %s", path, strerror(-r)) : 0;
}

int policy_load(struct policy *policy, const char *path, struct error *err)
{
	struct group *group = getgrnam(MANAGERS);
	char *text = NULL;
	size_t len = 0;
	int fd, r;

	policy->has_managers = group != NULL;
	policy->managers = group ? group->gr_gid : 0;
	fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	if (fd < 0 && path && errno != ENOENT)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	if (fd < 0) {
		drop(policy);
		return 0;
	}
	r = read_all(fd, path, &text, &len, err);
	close(fd);
	if (r)
		return r;
	r = policy_parse(policy, text, len, path, err);
	free(text);
	return r;
}

void policy_free(struct policy *policy)
{
	drop(policy);
}

/* Callers */

int caller_get(const struct policy *policy, int fd, struct caller *caller, struct error *err)
{
	struct ucred cred;
	socklen_t len = sizeof cred;

	memset(caller, 0, sizeof *caller);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return error_set(err, errno, "cannot tell who asks: %s", strerror(errno));
	caller->uid = cred.uid;
	caller->gid = cred.gid;
	len = sizeof caller->group;
	/* Somebody of very many groups (ERANGE) has to do without them. */
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, caller->group, &len))
		caller->groups = len / sizeof *caller->group;
	caller_judge(policy, caller);
	return 0;
}

void caller_of_user(const struct policy *policy, uid_t uid, struct caller *caller)
{
	struct passwd *user = getpwuid(uid);
	int count = CALLER_GROUPS_MAX;

	memset(caller, 0, sizeof *caller);
	caller->uid = uid;
	caller->gid = user ? user->pw_gid : (gid_t)-1;
	if (user && getgrouplist(user->pw_name, user->pw_gid, caller->group, &count) >= 0)
		caller->groups = count;
	caller_judge(policy, caller);
}

static bool in_group(const struct caller *caller, gid_t gid)
{
	if (caller->gid == gid)
		return true;
	for (unsigned i = 0; i < caller->groups; i++)
		if (caller->group[i] == gid)
			return true;
	return false;
}

static json_t *find_rule(const struct policy *policy, const struct caller *caller)
{
	for (unsigned i = 0; i < policy->users; i++)
		if (policy->user[i].id == caller->uid)
			return policy->user[i].rule;
	for (unsigned i = 0; i < policy->groups; i++)
		if (in_group(caller, policy->group[i].id))
			return policy->group[i].rule;
	return NULL;
}

void caller_judge(const struct policy *policy, struct caller *caller)
{
	caller->manager = !caller->uid || caller->uid == geteuid() ||
		(policy->has_managers && in_group(caller, policy->managers));
	caller->rule =
		caller->manager || !policy->root ? NULL : json_incref(find_rule(policy, caller));
	caller->user = caller->rule != NULL;
}

void caller_copy(const struct caller *from, struct caller *to)
{
	*to = *from;
	json_incref(to->rule);
}

void caller_free(struct caller *caller)
{
	json_decref(caller->rule);
	caller->rule = NULL;
}

int64_t caller_limit(const struct caller *caller, const char *key)
{
	return json_integer_value(json_object_get(caller->rule, key));
}

bool caller_allows(const struct caller *caller, const char *key)
{
	return json_is_true(json_object_get(caller->rule, key));
}

bool caller_path_allowed(const struct caller *caller, const char *path)
{
	json_t *prefix;
	size_t i;

	if (caller->manager)
		return true;
	json_array_foreach(json_object_get(caller->rule, "paths"), i, prefix)
	{
		if (!strncmp(path, json_string_value(prefix), json_string_length(prefix)))
			return true;
	}
	return false;
}

bool caller_may_use_bridge(const struct caller *caller, const char *name)
{
	json_t *bridge;
	size_t i;

	json_array_foreach(json_object_get(caller->rule, "bridges"), i, bridge)
	{
		if (!strcmp(name, json_string_value(bridge)))
			return true;
	}
	return caller->manager;
}

int caller_check_path(const struct caller *caller, const char *path, struct error *err)
{
	if (caller_path_allowed(caller, path) && (caller->manager || !strstr(path, "/../")))
		return 0;
	return error_set(err, EACCES, "%s: the host's policy does not give you this place", path);
}

/* With the caller's IDs for files; the capabilities that ignore permissions go with fsuid 0. */
int caller_act(const struct caller *caller, int (*act)(void *ctx), void *ctx)
{
	gid_t own[CALLER_GROUPS_MAX * 4];
	int count = getgroups(sizeof own / sizeof *own, own), r = -EPERM;

	if (caller->manager || caller->uid == geteuid())
		return act(ctx);
	if (count < 0 || setgroups(caller->groups, caller->group))
		return -errno;
	setfsgid(caller->gid);
	setfsuid(caller->uid);
	/* They say nothing when they fail: ask again. */
	if (setfsuid(-1) == caller->uid && setfsgid(-1) == caller->gid)
		r = act(ctx);
	setfsuid(geteuid());
	setfsgid(getegid());
	/* Groups that it had a moment ago it can have again. */
	if (setgroups(count, own))
		abort();
	return r;
}

struct opening {
	const char *path;
	int flags;
	unsigned mode;
};

static int open_it(void *ctx)
{
	const struct opening *opening = ctx;
	int fd = open(opening->path, opening->flags, opening->mode);

	return fd < 0 ? -errno : fd;
}

/* Where an open file lies, links resolved: that is what the policy speaks of. */
static int check_place(const struct caller *caller, int fd, const char *path, struct error *err)
{
	char link[64], real[4096];
	ssize_t len;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	len = readlink(link, real, sizeof real - 1);
	if (len < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	real[len] = 0;
	if (caller_path_allowed(caller, real))
		return 0;
	return error_set(err, EACCES, "%s: the host's policy does not give you this place", path);
}

struct removal {
	const char *path;
	dev_t device;
	ino_t inode;
};

/* Looked at and removed in one folder, whatever becomes of the names that lead there. */
static int remove_it(void *ctx)
{
	const struct removal *removal = ctx;
	const char *slash = strrchr(removal->path, '/');
	char folder[PATH_MAX];
	struct stat st;
	int at, r = 0;

	if (!slash || slash - removal->path >= PATH_MAX - 1)
		return -EINVAL;
	snprintf(folder, sizeof folder, "%.*s", (int)(slash - removal->path + 1), removal->path);
	at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return -errno;
	if (fstatat(at, slash + 1, &st, AT_SYMLINK_NOFOLLOW))
		r = -errno;
	else if (st.st_dev != removal->device || st.st_ino != removal->inode)
		r = -ESTALE;
	else if (unlinkat(at, slash + 1, 0))
		r = -errno;
	close(at);
	return r;
}

int caller_remove(const struct caller *caller, const char *path, dev_t device, ino_t inode)
{
	struct removal removal = {path, device, inode};

	return caller_act(caller, remove_it, &removal);
}

/* It was made where this caller may not have it. */
static void unmake(const struct caller *caller, const char *path, int fd)
{
	struct stat st;

	if (!fstat(fd, &st))
		caller_remove(caller, path, st.st_dev, st.st_ino);
}

int caller_open(const struct caller *caller, const char *path, int flags, unsigned mode, int *out,
	struct error *err)
{
	struct opening opening = {path, flags, mode};
	int fd, r;

	*out = -1;
	/* Before anything is made or touched; links are judged below, when it is open. */
	r = caller_check_path(caller, path, err);
	if (r)
		return r;
	opening.flags |= O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	fd = caller_act(caller, open_it, &opening);
	if (fd < 0)
		return error_set(err, -fd, "%s: %s", path, strerror(-fd));
	r = caller->manager ? 0 : check_place(caller, fd, path, err);
	if (r) {
		if (flags & O_EXCL)
			unmake(caller, path, fd);
		close(fd);
		return r;
	}
	*out = fd;
	return 0;
}

int caller_open_named(const struct policy *policy, const struct caller *caller, int above,
	const char *path, int *out, struct error *err)
{
	struct opening opening = {path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0};
	struct caller owner;
	struct stat st;
	int fd;

	*out = -1;
	if (fstat(above, &st))
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	if (!caller->manager || !st.st_uid || st.st_uid == geteuid())
		return caller_open(caller, path, O_RDONLY, 0, out, err);
	caller_of_user(policy, st.st_uid, &owner);
	owner.manager = false;
	fd = caller_act(&owner, open_it, &opening);
	caller_free(&owner);
	if (fd < 0)
		return error_set(err, -fd,
			"%s: not for the owner of the image that stands on it: %s", path,
			strerror(-fd));
	*out = fd;
	return 0;
}
