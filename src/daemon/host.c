/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/host.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "host/cgroup.h"
#include "protocol/walls.h"

/* Files of /proc and /sys: "" where there is none. */
static void read_file(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	size_t len = file ? fread(text, 1, size - 1, file) : 0;

	text[len] = 0;
	if (file)
		fclose(file);
}

static long long read_number(const char *path)
{
	char text[64];

	read_file(path, text, sizeof text);
	return strtoll(text, NULL, 10);
}

static unsigned count_list(const char *text)
{
	unsigned count = 0;

	while (*text) {
		char *end;
		unsigned long from = strtoul(text, &end, 10), to = from;

		if (end == text)
			break;
		if (*end == '-')
			to = strtoul(end + 1, &end, 10);
		count += to - from + 1;
		text = *end == ',' ? end + 1 : end;
	}
	return count;
}

static unsigned count_file(const char *path)
{
	char text[512];
	unsigned count;

	read_file(path, text, sizeof text);
	count = count_list(text);
	return count ? count : 1;
}

static long long meminfo(const char *key)
{
	char text[8192];
	const char *at;

	read_file("/proc/meminfo", text, sizeof text);
	at = strstr(text, key);
	return at ? strtoll(at + strlen(key), NULL, 10) : 0;
}

/* The value of a key of the first processor in /proc/cpuinfo, "" if there is none. */
static void cpuinfo(const char *key, char *value, size_t size)
{
	char line[8192];
	FILE *file = fopen("/proc/cpuinfo", "re");

	*value = 0;
	while (file && fgets(line, sizeof line, file)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, key, strlen(key)) || !colon)
			continue;
		colon++;
		colon += strspn(colon, " ");
		colon[strcspn(colon, "\n")] = 0;
		snprintf(value, size, "%s", colon);
		break;
	}
	if (file)
		fclose(file);
}

/* The eight words of features that xl shows: leaf 1 ECX, EDX, 0x80000001 ECX, EDX, ... */
static void capabilities(char *text, size_t size)
{
	static const struct {
		unsigned leaf, subleaf;
		int reg; /* a b c d */
	} words[] = {{1, 0, 3}, {1, 0, 2}, {0x80000001, 0, 3}, {0x80000001, 0, 2}, {0xd, 1, 0},
		{7, 0, 1}, {7, 0, 2}, {0x80000007, 0, 3}};
	size_t used = 0;

	*text = 0;
	for (unsigned i = 0; i < 8; i++) {
		unsigned reg[4] = {0};

		__asm__("cpuid"
			: "=a"(reg[0]), "=b"(reg[1]), "=c"(reg[2]), "=d"(reg[3])
			: "a"(words[i].leaf), "c"(words[i].subleaf));
		used += snprintf(text + used, used < size ? size - used : 0, "%s%08x", i ? ":" : "",
			reg[words[i].reg]);
	}
}

static unsigned running(const struct daemon *daemon)
{
	unsigned count = 0;

	for (const struct guest *guest = daemon->guests; guest; guest = guest->next)
		count += guest->domid && guest->state != RECORD_SHUTDOWN;
	return count;
}

/* Processors since boot, ns, from /proc/stat: what is neither idle nor waits for a disk. */
static json_int_t busy_time(void)
{
	unsigned long long user = 0, nice = 0, system = 0, idle, wait, irq = 0, soft = 0;
	char text[512];

	read_file("/proc/stat", text, sizeof text);
	if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle,
		    &wait, &irq, &soft) != 7)
		return 0;
	return (user + nice + system + irq + soft) * (1000000000ull / sysconf(_SC_CLK_TCK));
}

static json_t *vcpus(unsigned count)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++) {
		json_array_append_new(list,
			json_pack("{s:i, s:b, s:b, s:b, s:i, s:I, s:s, s:s}", "id", (int)i,
				"online", true, "running", true, "blocked", false, "cpu", (int)i,
				"cpu_time", (json_int_t)(busy_time() / count), "affinity", "all",
				"affinity_soft", "all"));
	}
	return list;
}

json_t *host_domain0(struct daemon *daemon)
{
	unsigned cpus = count_file("/sys/devices/system/cpu/online");
	json_int_t memory = meminfo("MemTotal:");

	for (const struct guest *guest = daemon->guests; guest; guest = guest->next)
		if (guest->monitor)
			memory -= guest->config.memory;
	return json_pack("{s:s, s:i, s:s, s:s, s:I, s:i, s:I, s:I, s:o}", "name", "Domain-0",
		"domid", 0, "state", "running", "flags", "r-----", "memory",
		memory > 0 ? memory : 0, "vcpus", (int)cpus, "cpu_time", busy_time(), "uptime",
		(json_int_t)read_number("/proc/uptime"), "vcpu", vcpus(cpus));
}

static void add_cpu(json_t *host)
{
	char caps[128], value[128], flags[8192];
	unsigned siblings, cores;

	capabilities(caps, sizeof caps);
	cpuinfo("siblings", value, sizeof value);
	siblings = strtoul(value, NULL, 10);
	cpuinfo("cpu cores", value, sizeof value);
	cores = strtoul(value, NULL, 10);
	cpuinfo("cpu MHz", value, sizeof value);
	cpuinfo("flags", flags, sizeof flags);
	cores = cores ? cores : 1;
	json_object_set_new(host, "cores_per_socket", json_integer(cores));
	json_object_set_new(host, "threads_per_core",
		json_integer(siblings > cores ? siblings / cores : 1));
	json_object_set_new(host, "cpu_mhz", json_real(strtod(value, NULL)));
	json_object_set_new(host, "hw_caps", json_string(caps));
	json_object_set_new(host, "virt_caps",
		json_string(strstr(flags, " vmx") || strstr(flags, " svm") ? "hvm" : ""));
}

json_t *host_describe(struct daemon *daemon, bool manager)
{
	struct utsname name;
	json_t *host;

	uname(&name);
	host = json_pack(
		"{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:I, s:I, s:I, s:s, s:i, s:i, s:s, s:s,"
		" s:s, s:i, s:i, s:b, s:o, s:o}",
		"host", name.nodename, "release", name.release, "version", name.version, "machine",
		name.machine, "nr_cpus", (int)count_file("/sys/devices/system/cpu/online"),
		"max_cpu_id", (int)count_file("/sys/devices/system/cpu/possible") - 1, "nr_nodes",
		(int)count_file("/sys/devices/system/node/online"), "total_memory",
		(json_int_t)meminfo("MemTotal:"), "free_memory",
		(json_int_t)meminfo("MemAvailable:"), "uptime",
		(json_int_t)read_number("/proc/uptime"), "dach_version", DACH_VERSION, "dach_pid",
		(int)getpid(), "dach_user", (int)geteuid(), "run", daemon->run, "state",
		daemon->state, "cgroup", daemon->cgroup ? cgroup_version(daemon->cgroup) : "none",
		"guests", (int)running(daemon), "next_domid", (int)store_next_domid(daemon->store),
		"manager", manager, "engines", engines_describe(&daemon->engines), "walls",
		walls_to_json(daemon->walls));
	if (host)
		add_cpu(host);
	return host;
}
