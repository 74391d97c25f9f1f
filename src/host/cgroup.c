/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cgroup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/cgroup_find.h"
#include "host/cgroup_tree.h"

#define PERIOD 100000ull /* microseconds; the kernel's own */
#define WEIGHT_EVEN 256
#define KILL_PASSES 8  /* over a group, while there are processes in it */
#define KILL_LIST 4096 /* bytes of a list of them that one pass goes through */

struct cgroup {
	struct cgroup_place place[CGROUP_CONTROLLERS];
};

static const char *const names[] = {"cpu", "cpuacct", "memory", "pids", "io"};

const char *cgroup_controller_name(enum cgroup_controller controller)
{
	return names[controller];
}

static bool good_name(const char *name)
{
	if (!*name || *name == '.' || strlen(name) > 128)
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("-_.", *name))
			return false;
	return true;
}

static int check_name(const char *name, struct error *err)
{
	return good_name(name) ? 0 : error_set(err, EINVAL, "'%s' is not a group name", name);
}

int cgroup_open(const char *proc, const char *name, struct cgroup **cgroup, struct error *err)
{
	int r = check_name(name, err);

	*cgroup = NULL;
	if (r)
		return r;
	*cgroup = calloc(1, sizeof **cgroup);
	if (!*cgroup)
		return error_nomem(err);
	cgroup_find(proc, name, (*cgroup)->place);
	return 0;
}

void cgroup_close(struct cgroup *cgroup)
{
	for (unsigned n = 0; cgroup && n < CGROUP_CONTROLLERS; n++) {
		if (cgroup->place[n].path)
			rmdir(cgroup->place[n].path);
		free(cgroup->place[n].path);
	}
	free(cgroup);
}

const char *cgroup_version(const struct cgroup *cgroup)
{
	static const char *const versions[] = {"none", "v1", "v2", "v1+v2"};
	unsigned seen = 0;

	for (unsigned n = 0; n < CGROUP_CONTROLLERS; n++)
		if (cgroup->place[n].path)
			seen |= cgroup->place[n].version;
	return versions[seen];
}

unsigned cgroup_controllers(const struct cgroup *cgroup)
{
	unsigned bits = 0;

	for (unsigned n = 0; n < CGROUP_CONTROLLERS; n++)
		if (cgroup->place[n].path)
			bits |= 1u << n;
	return bits;
}

/* Two controllers may be mounted as one, and are one in version 2. */
static bool seen_before(const struct cgroup *cgroup, unsigned n)
{
	for (unsigned k = 0; k < n; k++)
		if (cgroup->place[k].path && !strcmp(cgroup->place[k].path, cgroup->place[n].path))
			return true;
	return false;
}

static int make_path(char **path, const struct cgroup_place *place, const char *guest,
	const char *file, struct error *err)
{
	if (asprintf(path, "%s/%s%s%s", place->path, guest, *file ? "/" : "", file) >= 0)
		return 0;
	*path = NULL;
	return error_nomem(err);
}

/* -ENOENT says nothing: whoever wants the file knows what that means. */
static int write_file(const struct cgroup_place *place, const char *guest, const char *file,
	const char *text, struct error *err)
{
	char *path;
	int fd, r = make_path(&path, place, guest, file, err);

	if (r)
		return r;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		r = errno == ENOENT ? -ENOENT
				    : error_set(err, errno, "%s: %s", path, strerror(errno));
	else if (write(fd, text, strlen(text)) < 0)
		r = error_set(err, errno, "%s: cannot be set to '%s': %s", path, text,
			strerror(errno));
	if (fd >= 0)
		close(fd);
	free(path);
	return r;
}

static bool read_file(const struct cgroup_place *place, const char *guest, const char *file,
	char *text, size_t size)
{
	ssize_t got = -1;
	char *path;
	int fd;

	if (!place->path || make_path(&path, place, guest, file, NULL))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	free(path);
	if (fd >= 0) {
		got = read(fd, text, size - 1);
		close(fd);
	}
	text[got > 0 ? got : 0] = 0;
	return got > 0;
}

static int make_group(const struct cgroup_place *place, const char *guest, struct error *err)
{
	char *path;
	int r = make_path(&path, place, guest, "", err);
	bool made = !r && (!mkdir(path, 0755) || errno == EEXIST);

	if (!r && !made && errno == ENOENT) {
		cgroup_make_again(place);
		made = !mkdir(path, 0755) || errno == EEXIST;
	}
	if (!r && !made)
		r = error_set(err, errno, "%s: no group can be made: %s", path, strerror(errno));
	free(path);
	return r;
}

static int create(const struct cgroup *cgroup, const char *group, struct error *err)
{
	int r = 0;

	for (unsigned n = 0; !r && n < CGROUP_CONTROLLERS; n++)
		if (cgroup->place[n].path && !seen_before(cgroup, n))
			r = make_group(&cgroup->place[n], group, err);
	return r;
}

int cgroup_create(struct cgroup *cgroup, const char *guest, struct error *err)
{
	int r = check_name(guest, err);

	return r ? r : create(cgroup, guest, err);
}

static int add(const struct cgroup *cgroup, const char *guest, pid_t pid, struct error *err)
{
	char text[16];
	int r = 0;

	snprintf(text, sizeof text, "%d", (int)pid);
	for (unsigned n = 0; !r && n < CGROUP_CONTROLLERS; n++) {
		if (!cgroup->place[n].path || seen_before(cgroup, n))
			continue;
		r = write_file(&cgroup->place[n], guest, "cgroup.procs", text, err);
		if (r == -ENOENT)
			r = error_set(err, ENOENT, "%s/%s: there is no such group",
				cgroup->place[n].path, guest);
	}
	return r;
}

int cgroup_add(struct cgroup *cgroup, const char *guest, pid_t pid, struct error *err)
{
	int r = check_name(guest, err);

	return r ? r : add(cgroup, guest, pid, err);
}

int cgroup_add_below(struct cgroup *cgroup, const char *guest, const char *below, pid_t pid,
	struct error *err)
{
	int r = check_name(guest, err);
	char *group = NULL;

	if (!r)
		r = check_name(below, err);
	if (!r && asprintf(&group, "%s/%s", guest, below) < 0) {
		group = NULL;
		r = error_nomem(err);
	}
	if (!r)
		r = create(cgroup, group, err);
	if (!r)
		r = add(cgroup, group, pid, err);
	free(group);
	return r;
}

static unsigned between(uint64_t value, unsigned min, unsigned max)
{
	return value < min ? min : value > max ? max : value;
}

static int set_cpu(const struct cgroup_place *place, const char *guest,
	const struct cgroup_limits *limits, struct error *err)
{
	unsigned long long quota = limits->cap * PERIOD / 100;
	char text[64];
	int r;

	if (place->version == CGROUP_V2) { /* 100 is everybody's */
		snprintf(text, sizeof text, "%u",
			between((limits->weight * 100ull + WEIGHT_EVEN / 2) / WEIGHT_EVEN, 1,
				10000));
		r = write_file(place, guest, "cpu.weight", text, err);
		if (limits->cap)
			snprintf(text, sizeof text, "%llu %llu", quota, PERIOD);
		else
			snprintf(text, sizeof text, "max %llu", PERIOD);
		return r ? r : write_file(place, guest, "cpu.max", text, err);
	}
	snprintf(text, sizeof text, "%u", between(limits->weight * 4ull, 2, 262144));
	r = write_file(place, guest, "cpu.shares", text, err);
	snprintf(text, sizeof text, "%llu", PERIOD);
	if (!r && limits->cap)
		r = write_file(place, guest, "cpu.cfs_period_us", text, err);
	snprintf(text, sizeof text, "%llu", quota);
	if (!r)
		r = write_file(place, guest, "cpu.cfs_quota_us", limits->cap ? text : "-1", err);
	return r == -ENOENT && !limits->cap ? 0
					    : r; /* a kernel without quotas has no cap to lift */
}

static int set_memory(const struct cgroup_place *place, const char *guest,
	const struct cgroup_limits *limits, struct error *err)
{
	bool new = place->version == CGROUP_V2;
	char text[32];

	snprintf(text, sizeof text, "%llu", (unsigned long long)limits->memory);
	if (!limits->memory)
		snprintf(text, sizeof text, new ? "max" : "-1");
	return write_file(place, guest, new ? "memory.max" : "memory.limit_in_bytes", text, err);
}

static int set_pids(const struct cgroup_place *place, const char *guest,
	const struct cgroup_limits *limits, struct error *err)
{
	char text[16];

	snprintf(text, sizeof text, "%u", limits->pids);
	return write_file(place, guest, "pids.max", limits->pids ? text : "max", err);
}

/* Which file there is depends on the disks' schedulers. */
static int set_io(const struct cgroup_place *place, const char *guest,
	const struct cgroup_limits *limits, struct error *err)
{
	static const struct {
		unsigned version, even, min, max;
		const char *file, *before;
	} files[] = {
		{CGROUP_V2, 100, 1, 10000, "io.weight", "default "},
		{CGROUP_V2, 100, 1, 1000, "io.bfq.weight", ""},
		{CGROUP_V1, 500, 10, 1000, "blkio.weight", ""},
		{CGROUP_V1, 100, 1, 1000, "blkio.bfq.weight", ""},
	};
	char text[32];
	int r = -ENOENT;

	if (!limits->io_weight)
		return 0;
	for (unsigned n = 0; r == -ENOENT && n < sizeof files / sizeof *files; n++) {
		unsigned weight = between(limits->io_weight * (uint64_t)files[n].even / 100,
			files[n].min, files[n].max);

		if (files[n].version != place->version)
			continue;
		snprintf(text, sizeof text, "%s%u", files[n].before, weight);
		r = write_file(place, guest, files[n].file, text, err);
	}
	return r;
}

/* How many groups there may be below it, and how far: version 2 only. */
static int set_below(const struct cgroup_place *place, const char *guest,
	const struct cgroup_limits *limits, struct error *err)
{
	char text[16];
	int r;

	snprintf(text, sizeof text, "%u", limits->depth);
	r = write_file(place, guest, "cgroup.max.depth", limits->depth ? text : "max", err);
	if (r && r != -ENOENT)
		return r;
	snprintf(text, sizeof text, "%u", limits->groups);
	r = write_file(place, guest, "cgroup.max.descendants", limits->groups ? text : "max", err);
	return r == -ENOENT ? 0 : r;
}

int cgroup_set(struct cgroup *cgroup, const char *guest, const struct cgroup_limits *limits,
	unsigned *skipped, struct error *err)
{
	static int (*const set[])(const struct cgroup_place *, const char *,
		const struct cgroup_limits *, struct error *) = {
		[CGROUP_CPU] = set_cpu,
		[CGROUP_MEMORY] = set_memory,
		[CGROUP_PIDS] = set_pids,
		[CGROUP_IO] = set_io,
	};
	const bool wanted[] = {
		[CGROUP_CPU] = limits->cap || limits->weight != WEIGHT_EVEN,
		[CGROUP_MEMORY] = limits->memory,
		[CGROUP_PIDS] = limits->pids,
		[CGROUP_IO] = limits->io_weight,
	};
	unsigned missing = 0;
	int r = check_name(guest, err);

	if (!r && (!limits->weight || limits->weight > 65535))
		r = error_set(err, EINVAL, "a weight of %u is not from 1 to 65535", limits->weight);
	for (unsigned n = 0; !r && n < CGROUP_CONTROLLERS; n++) {
		if (n == CGROUP_CPUACCT)
			continue;
		if (cgroup->place[n].path)
			r = set[n](&cgroup->place[n], guest, limits, err);
		if (!cgroup->place[n].path || r == -ENOENT) {
			missing |= wanted[n] ? 1u << n : 0;
			r = 0;
		}
		if (!r && cgroup->place[n].path && cgroup->place[n].version == CGROUP_V2 &&
			!seen_before(cgroup, n))
			r = set_below(&cgroup->place[n], guest, limits, err);
	}
	if (skipped)
		*skipped = missing;
	return r;
}

/* The number behind a word in lines of "word number"; 0 if there is none. */
static uint64_t field(const char *text, const char *word)
{
	size_t size = strlen(word);

	for (; text; text = strchr(text, '\n'), text += text ? 1 : 0)
		if (!strncmp(text, word, size) && text[size] == ' ')
			return strtoull(text + size, NULL, 10);
	return 0;
}

void cgroup_read(struct cgroup *cgroup, const char *guest, struct cgroup_usage *usage)
{
	const struct cgroup_place *place = cgroup->place;
	char text[4096];

	memset(usage, 0, sizeof *usage);
	if (!good_name(guest))
		return;
	if (read_file(&place[CGROUP_CPU], guest, "cpu.stat", text, sizeof text)) {
		usage->throttled = field(text, "nr_throttled");
		usage->cpu = field(text, "usage_usec") * 1000;
	}
	if (read_file(&place[CGROUP_CPUACCT], guest, "cpuacct.usage", text, sizeof text))
		usage->cpu = strtoull(text, NULL, 10);
	if (read_file(&place[CGROUP_MEMORY], guest,
		    place[CGROUP_MEMORY].version == CGROUP_V2 ? "memory.current"
							      : "memory.usage_in_bytes",
		    text, sizeof text))
		usage->memory = strtoull(text, NULL, 10);
	if (read_file(&place[CGROUP_PIDS], guest, "pids.current", text, sizeof text))
		usage->pids = strtoul(text, NULL, 10);
}

/* The first number in the file; none: "max", or no file. */
static uint64_t number(const struct cgroup_place *place, const char *guest, const char *file,
	uint64_t none)
{
	char text[4096];

	if (!read_file(place, guest, file, text, sizeof text) || *text < '0' || *text > '9')
		return none;
	return strtoull(text, NULL, 10);
}

static uint64_t word(const struct cgroup_place *place, const char *guest, const char *file,
	const char *name)
{
	char text[4096];

	return read_file(place, guest, file, text, sizeof text) ? field(text, name) : 0;
}

void cgroup_count(struct cgroup *cgroup, const char *guest, const char *below,
	struct cgroup_count *memory, struct cgroup_count *pids)
{
	const struct cgroup_place *place = &cgroup->place[CGROUP_MEMORY];
	const bool second = place->version == CGROUP_V2;
	char name[512];

	*memory = *pids = (struct cgroup_count){0};
	if (!good_name(guest) || !good_name(below))
		return;
	memory->held = number(place, guest, second ? "memory.current" : "memory.usage_in_bytes", 0);
	memory->peak =
		number(place, guest, second ? "memory.peak" : "memory.max_usage_in_bytes", 0);
	memory->limit =
		number(place, guest, second ? "memory.max" : "memory.limit_in_bytes", UINT64_MAX);
	memory->failures = second ? word(place, guest, "memory.events", "max")
				  : number(place, guest, "memory.failcnt", 0);
	place = &cgroup->place[CGROUP_PIDS];
	snprintf(name, sizeof name, "%s/%s", guest, below);
	pids->held = number(place, name, "pids.current", 0);
	pids->peak = number(place, name, "pids.peak", 0);
	pids->limit = number(place, name, "pids.max", UINT64_MAX);
	pids->failures = word(place, name, "pids.events", "max");
}

/* Processes of the group whose folder that is, whole lines. false: there is none. */
static bool read_processes(int folder, char *text, size_t size)
{
	int fd = openat(folder, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);
	char *last;

	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = 0;
	last = strrchr(text, '\n');
	if (last)
		last[1] = 0;
	return last;
}

/* Is the number on a line of its own? */
static bool listed(const char *text, pid_t pid)
{
	char *end;

	for (; *text; text = end + strspn(end, "\n")) {
		if (strtol(text, &end, 10) == pid)
			return true;
		if (end == text)
			break;
	}
	return false;
}

/*
 * A process that was listed may have ended and its number be somebody else's: one that can be signalled
 * by its descriptor and is still listed afterwards is of the group.
 */
static void kill_listed(int folder, const char *before)
{
	char after[KILL_LIST], *end;

	for (const char *at = before; *at; at = end + strspn(end, "\n")) {
		pid_t pid = strtol(at, &end, 10);
		int fd = end != at && pid > 0 ? pidfd_open(pid, 0) : -1;

		if (fd >= 0 && read_processes(folder, after, sizeof after) && listed(after, pid))
			pidfd_send_signal(fd, SIGKILL, NULL, 0);
		if (fd >= 0)
			close(fd);
		if (end == at)
			break;
	}
}

static void kill_group(void *ctx, int folder)
{
	bool *found = ctx;
	char list[KILL_LIST];

	for (unsigned pass = 0; pass < KILL_PASSES && read_processes(folder, list, sizeof list);
		pass++) {
		*found = true;
		kill_listed(folder, list);
	}
}

/* Its group with all below it: by one word where the kernel knows that (cgroup-v2.rst, cgroup.kill). */
static bool kill_tree(const struct cgroup_place *place, const char *guest)
{
	bool found = false;
	char text[256], *path;

	if (place->version == CGROUP_V2 &&
		read_file(place, guest, "cgroup.events", text, sizeof text) &&
		!write_file(place, guest, "cgroup.kill", "1", NULL))
		return field(text, "populated");
	if (make_path(&path, place, guest, "", NULL))
		return false;
	/* What was not looked at may be where one hides. */
	if (cgroup_tree_each(path, kill_group, &found))
		found = true;
	free(path);
	return found;
}

bool cgroup_kill(struct cgroup *cgroup, const char *guest)
{
	const struct cgroup_place *pids = &cgroup->place[CGROUP_PIDS];
	bool found = false;

	if (!good_name(guest))
		return false;
	/* What cannot fork does not outrun who kills it one by one. */
	if (pids->path)
		write_file(pids, guest, "pids.max", "0", NULL);
	for (unsigned n = 0; n < CGROUP_CONTROLLERS; n++)
		if (cgroup->place[n].path && !seen_before(cgroup, n))
			found |= kill_tree(&cgroup->place[n], guest);
	return found;
}

int cgroup_remove(struct cgroup *cgroup, const char *guest, struct error *err)
{
	int r = check_name(guest, err);

	for (unsigned n = 0; !r && n < CGROUP_CONTROLLERS; n++) {
		char *path;

		if (!cgroup->place[n].path || seen_before(cgroup, n))
			continue;
		r = make_path(&path, &cgroup->place[n], guest, "", err);
		if (!r)
			r = cgroup_tree_remove(path);
		if (r && path)
			error_set(err, -r, "%s: %s", path,
				r == -EBUSY ? "there are processes in it" : strerror(-r));
		free(path);
	}
	return r;
}
