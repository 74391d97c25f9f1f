/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of this host's processors, as xl.cfg's cpus= and vcpu-pin write them: "all", "0-3,5,^1",
 * "nodes:0,^2". A comma adds, ^ takes away, in the order in which they are written.
 */
#ifndef DACH_HOST_CPUSET_H
#define DACH_HOST_CPUSET_H

#include <sched.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

#define CPUSET_NODES_MAX 64
#define CPUSET_TEXT_MAX 4096

struct cpuset_host {
	cpu_set_t online;
	unsigned nodes; /* at least 1 */
	cpu_set_t node[CPUSET_NODES_MAX];
};

/* Reads sys (usually "/sys"). Without nodes there, all processors are node 0. */
int cpuset_host_read(const char *sys, struct cpuset_host *host, struct error *err);

/*
 * The processors that text names, of those that are online. host NULL: only whether text is one;
 * set is then what it names but for nodes. -EINVAL and a sentence that tells what was expected; also
 * when nothing is left.
 */
int cpuset_parse(const char *text, const struct cpuset_host *host, cpu_set_t *set,
	struct error *err);

/* "all", "none" or "0-3,5". Cut to size if it must be. Returns text. */
char *cpuset_format(const cpu_set_t *set, const struct cpuset_host *host, char *text, size_t size);

/* Lets a thread of whatever process run on those only. -ESRCH: it has ended. */
int cpuset_pin(pid_t thread, const cpu_set_t *set, struct error *err);
/* Where it may run now. */
int cpuset_of(pid_t thread, cpu_set_t *set, struct error *err);

#endif
