/* SPDX-License-Identifier: Apache-2.0 */
/* What is about the host and about time: info, uptime, top. */
#include <stdarg.h>
#include <string.h>

#include "cli/call.h"
#include "cli/format.h"
#include "protocol/walls.h"

#define NS 1e9
/* Whose xl this is like. */
#define XEN_MAJOR 4
#define XEN_MINOR 17

/* "3 days,  4:05:06": with seconds or without. */
static void spell(char *text, size_t size, unsigned long seconds, bool brief)
{
	int day = seconds / 86400, hour = seconds / 3600 % 24, minute = seconds / 60 % 60;
	int n = 0;

	text[0] = 0;
	if (day)
		n = snprintf(text, size, "%d day%s, ", day, day > 1 ? "s" : "");
	n += snprintf(text + n, size - n, "%2d:%02d", hour, minute);
	if (!brief)
		snprintf(text + n, size - n, ":%02d", (int)(seconds % 60));
}

void format_uptime_head(FILE *out)
{
	fprintf(out, "%-33s %4s %s\n", "Name", "ID", "Uptime");
}

void format_uptime_row(FILE *out, const json_t *guest)
{
	char text[64];

	spell(text, sizeof text, json_get_number(guest, "uptime"), false);
	fprintf(out, "%-33s %4d %s\n", format_name(guest), (int)json_get_number(guest, "domid"),
		text);
}

void format_uptime_short(FILE *out, const json_t *guest, const struct tm *now)
{
	char text[64], clock[16];

	strftime(clock, sizeof clock, "%H:%M:%S", now);
	spell(text, sizeof text, json_get_number(guest, "uptime"), true);
	fprintf(out, " %s up %s, %s (%d)\n", clock, text, format_name(guest),
		(int)json_get_number(guest, "domid"));
}

struct info {
	FILE *out;
	const char *only;
};

/* text comes with its leading blank, since one line has none when it is empty. */
static void line(const struct info *info, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void line(const struct info *info, const char *key, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (!info->only)
		fprintf(info->out, "%-23s:%s\n", key, text);
	else if (!strncmp(key, info->only, strlen(info->only)) && text[0] == ' ')
		fprintf(info->out, "%s\n", text + 1);
}

static void engines(const struct info *info, const json_t *host)
{
	char text[256] = "";
	json_t *engine;
	size_t i, n = 0;

	json_array_foreach(json_object_get(host, "engines"), i,
		engine) if (json_get_true(engine, "available") && n < sizeof text) n +=
		snprintf(text + n, sizeof text - n, " %s", json_get_text(engine, "name"));
	line(info, "engines", "%s", text);
}

/* "namespaces (not: landlock)" */
static void walls(const struct info *info, const json_t *host)
{
	char has[128] = "", lacks[128] = "";

	for (unsigned wall = 0; wall < WALLS; wall++) {
		bool there = false;
		json_t *word;
		size_t i;

		json_array_foreach(json_object_get(host, "walls"), i, word) there |=
			json_is_string(word) && !strcmp(json_string_value(word), wall_words[wall]);
		strncat(there ? has : lacks, " ", 2);
		strncat(there ? has : lacks, wall_words[wall], 60);
	}
	line(info, "walls", "%s%s%s%s", has, *lacks ? " (not:" : "", lacks, *lacks ? ")" : "");
}

/* What xl tells of the hypervisor: of that whose tools these are the words of, and of ourselves. */
static void add_xen(const struct info *info, const json_t *host)
{
	const char *extra = json_get_text(host, "dach_version");

	line(info, "xen_major", " %d", XEN_MAJOR);
	line(info, "xen_minor", " %d", XEN_MINOR);
	line(info, "xen_extra", " -dach-%s", extra);
	line(info, "xen_version", " %d.%d-dach-%s", XEN_MAJOR, XEN_MINOR, extra);
	line(info, "xen_caps", " xen-3.0-%s", json_get_text(host, "machine"));
	line(info, "xen_scheduler", " credit");
	line(info, "xen_pagesize", " 4096");
	line(info, "platform_params", " virt_start=0xffff800000000000");
	line(info, "xen_changeset", " ");
	line(info, "xen_commandline", " ");
	line(info, "cc_compiler", " ");
	line(info, "cc_compile_by", " ");
	line(info, "cc_compile_domain", " ");
	line(info, "cc_compile_date", " ");
	line(info, "build_id", " ");
}

void format_info(FILE *out, const json_t *host, const char *only)
{
	static const char *const names[] = {"host", "release", "version", "machine"};
	static const char *const numbers[] = {"nr_cpus", "max_cpu_id", "nr_nodes",
		"cores_per_socket", "threads_per_core"};
	const struct info info = {out, only};
	long long khz = json_get_float(host, "cpu_mhz") * 1000 + 0.5;
	const char *caps = json_get_text(host, "virt_caps");

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		line(&info, names[i], " %s", json_get_text(host, names[i]));
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		line(&info, numbers[i], " %d", (int)json_get_number(host, numbers[i]));
	line(&info, "cpu_mhz", " %lld.%03lld", khz / 1000, khz % 1000);
	line(&info, "hw_caps", " %s", json_get_text(host, "hw_caps"));
	line(&info, "virt_caps", "%s%s", *caps ? " " : "", caps);
	line(&info, "total_memory", " %lld", json_get_number(host, "total_memory") / 1024);
	line(&info, "free_memory", " %lld", json_get_number(host, "free_memory") / 1024);
	line(&info, "sharing_freed_memory", " 0");
	line(&info, "sharing_used_memory", " 0");
	line(&info, "outstanding_claims", " 0");
	line(&info, "free_cpus", " 0");
	add_xen(&info, host);
	line(&info, "xend_config_format", " 4");
	line(&info, "dach_version", " %s", json_get_text(host, "dach_version"));
	engines(&info, host);
	line(&info, "cgroup", " %s", json_get_text(host, "cgroup"));
	walls(&info, host);
}

/* The API tells counts and no topology: one node with all the memory is what is shown. */
void format_info_numa(FILE *out, const json_t *host)
{
	long long cpus = json_get_number(host, "nr_cpus"), threads, cores;

	threads = json_get_number(host, "threads_per_core");
	cores = json_get_number(host, "cores_per_socket");
	threads = threads > 0 ? threads : 1;
	cores = cores > 0 ? cores : 1;
	fputs("cpu_topology           :\ncpu:    core    socket     node\n", out);
	for (long long i = 0; i < cpus; i++)
		fprintf(out, "%3lld:    %4lld     %4lld     %4d\n", i, i / threads % cores,
			i / threads / cores, 0);
	fputs("device topology        :\ndevice           node\n"
	      "No device topology data available\n",
		out);
	fprintf(out,
		"numa_info              :\nnode:    memsize    memfree    distances\n"
		"%4d:    %6lld     %6lld      %d\n",
		0, json_get_number(host, "total_memory") / 1024,
		json_get_number(host, "free_memory") / 1024, 10);
}

void format_top_head(FILE *out)
{
	fputs("      NAME  STATE   CPU(sec) CPU(%)     MEM(k) MEM(%)  MAXMEM(k) MAXMEM(%) VCPUS NETS "
	      "NETTX(k) NETRX(k) VBDS   VBD_OO   VBD_RD   VBD_WR  VBD_RSECT  VBD_WSECT SSID\n",
		out);
}

static long long sum(const json_t *guest, const char *list, const char *key)
{
	long long total = 0;
	json_t *device;
	size_t i;

	json_array_foreach(json_object_get(guest, list), i, device) total +=
		json_get_number(device, key);
	return total;
}

/* xentop's letters are list's in another order: dying, shut down, blocked, crashed, paused, running. */
static void top_state(char state[7], const json_t *guest)
{
	const char *flags = json_get_text(guest, "flags");

	strcpy(state, "------");
	if (strlen(flags) != 6)
		return;
	state[0] = flags[5];
	state[1] = flags[3];
	state[2] = flags[1];
	state[3] = flags[4] == 'c' ? 'c' : '-';
	state[4] = flags[2];
	state[5] = flags[0];
}

void format_top_row(FILE *out, const struct format_top_row *row)
{
	const json_t *guest = row->guest;
	bool host = json_is_integer(json_object_get(guest, "domid")) &&
		!json_get_number(guest, "domid");
	double memory = json_get_number(guest, "memory"),
	       max = json_get_number(guest, "memory_max");
	double all = row->host_memory > 0 ? row->host_memory : 1;
	char state[7];

	top_state(state, guest);
	fprintf(out, "%10s %6s %10llu %6.1f %10.0f %6.1f", format_name(guest), state,
		(unsigned long long)(json_get_number(guest, "cpu_time") / NS), row->cpu_percent,
		memory, memory / all * 100);
	if (host)
		fprintf(out, " %10s %9s", "no limit", "n/a");
	else
		fprintf(out, " %10.0f %9.1f", max, max / all * 100);
	fprintf(out, " %5lld %4zu %8lld %8lld %4zu %8d %8lld %8lld %10lld %10lld %4d\n",
		json_get_number(guest, "vcpus"),
		json_array_size(json_object_get(guest, "networks")),
		sum(guest, "networks", "tx_bytes") / 1024,
		sum(guest, "networks", "rx_bytes") / 1024,
		json_array_size(json_object_get(guest, "disks")), 0, sum(guest, "disks", "rd_ops"),
		sum(guest, "disks", "wr_ops"), sum(guest, "disks", "rd_bytes") / 512,
		sum(guest, "disks", "wr_bytes") / 512, 0);
}
