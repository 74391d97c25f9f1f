/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest's processes may use of this host, through control groups: version 1
 * (Documentation/admin-guide/cgroup-v1) or 2 (cgroup-v2.rst), each controller where it is mounted.
 *
 * All guests' groups lie in one group, as far up as this process may make one: below the root of
 * the hierarchy for root, so that neither a service's end nor its limits reach the guests; in what
 * systemd has delegated to a user otherwise. Where a controller cannot be had, its limits are
 * skipped and cgroup_set() says which.
 */
#ifndef DACH_HOST_CGROUP_H
#define DACH_HOST_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

enum cgroup_controller { CGROUP_CPU, CGROUP_CPUACCT, CGROUP_MEMORY, CGROUP_PIDS, CGROUP_IO };
#define CGROUP_CONTROLLERS 5

struct cgroup_limits {
	unsigned weight;    /* share of processors, 1 to 65535; 256 is everybody's */
	unsigned cap;       /* percent of one processor; 0: none */
	uint64_t memory;    /* bytes; 0: no limit */
	unsigned pids;      /* processes and threads; 0: no limit */
	unsigned io_weight; /* share of disks, 1 to 10000, 100 is everybody's; 0: as it is */
	/* Groups that may be made below it, and how many below each other; 0: no limit. Version 1 has none. */
	unsigned groups, depth;
};

struct cgroup_usage {
	uint64_t cpu;    /* nanoseconds */
	uint64_t memory; /* bytes, the page cache's too */
	unsigned pids;
	uint64_t throttled; /* how often the cap stopped it */
};

/* Of one thing that is limited; 0 of what the kernel does not tell. failures: how often more was wanted. */
struct cgroup_count {
	uint64_t held, peak, limit, failures; /* limit UINT64_MAX: none */
};

struct cgroup;

/*
 * Finds or makes the group called name for all guests. proc is "/proc", but in tests. Without any
 * controller it succeeds, and every limit is skipped. -ENOMEM, -EINVAL (the name).
 */
int cgroup_open(const char *proc, const char *name, struct cgroup **cgroup, struct error *err);
/* The groups stay, but that of all guests when it is empty. NULL is allowed. */
void cgroup_close(struct cgroup *cgroup);

/* "v1", "v2", "v1+v2" or "none": for people. */
const char *cgroup_version(const struct cgroup *cgroup);
/* Bit n: enum cgroup_controller n can be had. */
unsigned cgroup_controllers(const struct cgroup *cgroup);
const char *cgroup_controller_name(enum cgroup_controller controller);

/*
 * Makes a guest's group, or takes the one that is there. guest: letters, digits, '-', '_', '.'; not
 * with a dot in front.
 */
int cgroup_create(struct cgroup *cgroup, const char *guest, struct error *err);
/* Moves a process with all of its threads, and so its future children, into the group. */
int cgroup_add(struct cgroup *cgroup, const char *guest, pid_t pid, struct error *err);
/*
 * The same into a group that is made below it. In version 2 a group has processes, or groups that have limits of their own
 * (cgroup-v2.rst, "No Internal Process Constraint"): where others are to make some below a guest's, nobody may be in that itself.
 */
int cgroup_add_below(struct cgroup *cgroup, const char *guest, const char *below, pid_t pid,
	struct error *err);
/*
 * Sets all limits. *skipped (may be NULL) gets a bit for each controller whose limit was wanted and
 * cannot be had. A limit that the kernel refuses is an error; those before it hold.
 */
int cgroup_set(struct cgroup *cgroup, const char *guest, const struct cgroup_limits *limits,
	unsigned *skipped, struct error *err);
/* What cannot be read is 0. */
void cgroup_read(struct cgroup *cgroup, const char *guest, struct cgroup_usage *usage);
/* Memory, in bytes, of the guest's group; and processes and threads of the one of that name below it. */
void cgroup_count(struct cgroup *cgroup, const char *guest, const char *below,
	struct cgroup_count *memory, struct cgroup_count *pids);
/*
 * Kills every process in the guest's group, also those that are forked meanwhile; they may take a moment
 * to end. Returns whether there was one.
 */
bool cgroup_kill(struct cgroup *cgroup, const char *guest);
/* Takes the group away with those below it; -EBUSY while there are processes in one. One that is not there is fine. */
int cgroup_remove(struct cgroup *cgroup, const char *guest, struct error *err);
/*
 * Takes groups that others have made for a guest, below one of that name at the roots, out of every hierarchy that is
 * mounted: those without a controller of ours, too. What is still in use stays.
 */
void cgroup_sweep(const char *proc, const char *name, const char *guest);

#endif
