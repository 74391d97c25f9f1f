/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cpuset.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The kernel's own lists: "0-3,5". An empty one is an empty set. */
static int read_list(const char *path, cpu_set_t *set)
{
	char text[CPUSET_TEXT_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size;

	CPU_ZERO(set);
	if (fd < 0)
		return -errno;
	size = read(fd, text, sizeof text - 1);
	close(fd);
	if (size < 0)
		return -EIO;
	text[size] = 0;
	text[strcspn(text, "\n")] = 0;
	return text[0] ? cpuset_parse(text, NULL, set, NULL) : 0;
}

int cpuset_host_read(const char *sys, struct cpuset_host *host, struct error *err)
{
	char path[4096];
	cpu_set_t set;
	int r;

	memset(host, 0, sizeof *host);
	snprintf(path, sizeof path, "%s/devices/system/cpu/online", sys);
	r = read_list(path, &host->online);
	if (r || !CPU_COUNT(&host->online)) {
		/* No such file in some sandboxes: then whatever this process may use. */
		if (sched_getaffinity(0, sizeof host->online, &host->online))
			return error_set(err, errno, "cannot tell the host's processors: %s",
				strerror(errno));
	}
	for (unsigned n = 0; n < CPUSET_NODES_MAX; n++) {
		snprintf(path, sizeof path, "%s/devices/system/node/node%u/cpulist", sys, n);
		if (read_list(path, &set))
			continue;
		CPU_AND(&host->node[n], &set, &host->online);
		host->nodes = n + 1;
	}
	if (!host->nodes) {
		host->nodes = 1;
		host->node[0] = host->online;
	}
	return 0;
}

static bool number(const char **at, unsigned *value)
{
	const char *start = *at;

	for (*value = 0; isdigit((unsigned char)**at); ++*at) {
		*value = *value * 10 + (**at - '0');
		if (*value >= CPU_SETSIZE)
			return false;
	}
	return *at > start;
}

static bool word(const char **at, const char *what)
{
	size_t size = strlen(what);

	if (strncmp(*at, what, size))
		return false;
	*at += size;
	return true;
}

static void add_nodes(cpu_set_t *to, unsigned first, unsigned last, const struct cpuset_host *host)
{
	for (unsigned n = first; host && n <= last && n < host->nodes; n++)
		CPU_OR(to, to, &host->node[n]);
}

/* One entry without its ^. */
static bool entry(const char **at, const struct cpuset_host *host, cpu_set_t *named)
{
	bool nodes = word(at, "nodes:") || word(at, "node:");
	unsigned first, last;

	CPU_ZERO(named);
	if (word(at, "all")) {
		memset(named, 0xff, sizeof *named);
		return true;
	}
	if (!number(at, &first))
		return false;
	last = first;
	if (**at == '-') {
		++*at;
		if (!number(at, &last) || last < first)
			return false;
	}
	if (nodes)
		add_nodes(named, first, last, host);
	else
		for (unsigned n = first; n <= last; n++)
			CPU_SET(n, named);
	return true;
}

static void blanks(const char **at)
{
	*at += strspn(*at, " \t");
}

int cpuset_parse(const char *text, const struct cpuset_host *host, cpu_set_t *set,
	struct error *err)
{
	const char *at = text;
	bool first = true;

	CPU_ZERO(set);
	for (;; first = false) {
		cpu_set_t named;
		bool without;

		blanks(&at);
		without = *at == '^';
		at += without;
		blanks(&at);
		if (!entry(&at, host, &named) || (blanks(&at), *at && *at != ','))
			return error_set(err, EINVAL,
				"'%.80s' names no processors: like 0-3,5 or all,^1 or nodes:0",
				text);
		if (without) {
			/* "^1" alone is all but that one. */
			if (first)
				memset(set, 0xff, sizeof *set);
			for (unsigned n = 0; n < CPU_SETSIZE; n++)
				if (CPU_ISSET(n, &named))
					CPU_CLR(n, set);
		} else {
			CPU_OR(set, set, &named);
		}
		if (!*at)
			break;
		at++;
	}
	if (!host)
		return 0;
	CPU_AND(set, set, &host->online);
	if (!CPU_COUNT(set))
		return error_set(err, EINVAL, "'%.80s' names no processor that this host has",
			text);
	return 0;
}

char *cpuset_format(const cpu_set_t *set, const struct cpuset_host *host, char *text, size_t size)
{
	cpu_set_t shown;
	size_t used = 0;

	CPU_AND(&shown, set, &host->online);
	if (CPU_EQUAL(&shown, &host->online) || !CPU_COUNT(&shown)) {
		snprintf(text, size, CPU_COUNT(&shown) ? "all" : "none");
		return text;
	}
	text[0] = 0;
	for (unsigned n = 0; n < CPU_SETSIZE && used < size; n++) {
		unsigned last = n;

		if (!CPU_ISSET(n, &shown))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &shown))
			last++;
		used += snprintf(text + used, size - used, last > n ? "%s%u-%u" : "%s%u",
			used ? "," : "", n, last);
		n = last;
	}
	return text;
}

int cpuset_pin(pid_t thread, const cpu_set_t *set, struct error *err)
{
	if (!sched_setaffinity(thread, sizeof *set, set))
		return 0;
	return error_set(err, errno, "thread %d cannot be moved to other processors: %s",
		(int)thread, strerror(errno));
}

int cpuset_of(pid_t thread, cpu_set_t *set, struct error *err)
{
	CPU_ZERO(set);
	if (!sched_getaffinity(thread, sizeof *set, set))
		return 0;
	return error_set(err, errno, "thread %d: %s", (int)thread, strerror(errno));
}
