/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: what this host has for guests, what the lack of it costs, and what to do. Asks nobody, changes nothing. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/io.h"
#include "cli/call.h"
#include "cli/cli.h"
#include "cpu/engine.h"
#include "host/walls.h"
#include "image/store.h"
#include "protocol/walls.h"
#include "vmm/allowance.h"

#define MIB ((uint64_t)1 << 20)
#define MAP_COUNT_USUAL 65530ull
#define ADDRESS_ROOM \
	(2ull << 30) /* a translated guest's memory, and what the translator has beside it */
#define IMAGE_ROOM (1ull << 30) /* what making an image takes at its most */

enum verdict { GOOD, WORSE, MISSING, VERDICTS };

static const char *const words[VERDICTS] = {"yes", "limited", "no"};

struct report {
	json_t *rows;
};

__attribute__((format(printf, 4, 5))) static void add(struct report *report, const char *what,
	enum verdict verdict, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	json_array_append_new(report->rows,
		json_pack("{s:s, s:s, s:s}", "what", what, "state", words[verdict], "text", text));
}

/* A small file's text; "" where there is none. */
static void read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : io_read_all(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
}

/* true: a guest can run. */
static bool ask_engines(struct report *report)
{
	const struct engine *engine;
	bool runs = false;

	for (unsigned i = 0; (engine = engine_at(i)); i++) {
		struct error err = {""};
		const bool kvm = !strcmp(engine->name, "kvm");
		int r = engine->probe(&err);

		if (!r)
			add(report, engine->name, GOOD, "%s",
				runs ? "as well, with --engine" : "runs guests");
		else if (kvm && (r == -EACCES || r == -EPERM) && !access("/dev/kvm", F_OK))
			add(report, engine->name, MISSING,
				"/dev/kvm is not yours to open: 'usermod -aG kvm USER' as root, then log in anew");
		else
			add(report, engine->name, MISSING, "%s", err.text);
		runs |= !r;
	}
	return runs;
}

/* Processes in which the translator runs programs as they are. */
static void ask_native(struct report *report)
{
	struct error err = {""};

	if (!engine_translate.probe_processes(&err))
		add(report, "native code", GOOD,
			"programs that compute run as they are (translate)");
	else
		add(report, "native code", WORSE, "all programs are translated: %s", err.text);
}

/* What the translator needs to be fast: huge pages that a memory file can have, and areas. */
static void ask_memory_areas(struct report *report)
{
	static const char path[] = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
	unsigned major = 0, minor = 0;
	struct utsname uts;
	char text[128];
	uint64_t areas;
	bool huge;

	uname(&uts);
	sscanf(uts.release, "%u.%u", &major, &minor);
	read_text(path, text, sizeof text);
	huge = !strstr(text, "[deny]") &&
		((*text && !strstr(text, "[never]")) || major > 6 || (major == 6 && minor >= 1));
	if (huge)
		add(report, "huge pages", GOOD, "for guest memory");
	else
		add(report, "huge pages", WORSE,
			"a translated guest that computes runs at half its speed: 'echo advise >%s' as root, or Linux 6.1",
			path);
	read_text("/proc/sys/vm/max_map_count", text, sizeof text);
	areas = strtoull(text, NULL, 10);
	if (!areas || areas >= MAP_COUNT_USUAL)
		add(report, "memory areas", GOOD, "%s", "as many as usual");
	else
		add(report, "memory areas", WORSE,
			"a translated guest is slower with %" PRIu64
			": 'sysctl vm.max_map_count=%llu' as root",
			areas, MAP_COUNT_USUAL);
}

static void ask_memory(struct report *report)
{
	struct sysinfo info;
	struct rlimit room;
	uint64_t bytes, limit = allowance_memory("/proc/self/cgroup", "/sys/fs/cgroup");

	sysinfo(&info);
	bytes = (uint64_t)info.totalram * info.mem_unit;
	if (limit < bytes)
		add(report, "memory", limit < 512 * MIB ? WORSE : GOOD,
			"%" PRIu64 " MiB, the limit of this control group", limit / MIB);
	else
		add(report, "memory", bytes < 512 * MIB ? WORSE : GOOD, "%" PRIu64 " MiB",
			bytes / MIB);
	if (!getrlimit(RLIMIT_AS, &room) && room.rlim_cur != RLIM_INFINITY)
		add(report, "address space", room.rlim_cur < ADDRESS_ROOM ? WORSE : GOOD,
			"%" PRIu64
			" MiB for a process; a translated guest takes 1.5 GiB beside its memory: 'ulimit -v unlimited'",
			(uint64_t)room.rlim_cur / MIB);
	add(report, "processors", GOOD, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
}

static void ask_walls(struct report *report)
{
	static const char *const lack[WALLS] = {
		[WALL_NAMESPACES] =
			"a monitor sees the host's files, as far as Landlock does not hide them; the host, or the container around us, forbids namespaces",
		[WALL_LANDLOCK] =
			"the host's kernel has no Landlock (Linux 5.13, lsm=landlock): system call filters alone guard the host's files",
	};
	const unsigned walls = host_walls();

	for (unsigned wall = 0; wall < WALLS; wall++)
		add(report, wall_words[wall], walls & 1u << wall ? GOOD : WORSE, "%s",
			walls & 1u << wall ? "around each guest's monitor" : lack[wall]);
}

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	char file[4096];

	for (path = path ? path : "/bin:/usr/bin" /* execvp(3) */; *path; path += *path == ':') {
		const size_t len = strcspn(path, ":");

		snprintf(file, sizeof file, "%.*s/%s", (int)len, path, program);
		if (!access(file, X_OK))
			return true;
		path += len;
	}
	return false;
}

/* dir, of PATH_MAX bytes, becomes the nearest folder above it that is there. */
static int nearest_folder(char *dir, struct statvfs *fs)
{
	int r;

	while ((r = statvfs(dir, fs)) && strcmp(dir, "/") && strcmp(dir, ".")) {
		char *slash = strrchr(dir, '/');

		if (slash)
			slash[slash == dir] = 0;
		else
			strcpy(dir, ".");
	}
	return r;
}

static void ask_images(struct report *report)
{
	static const char *const programs[] = {"mmdebstrap", "tar", "mke2fs"};
	char dir[4096], missing[64] = "";
	struct error err = {""};
	struct statvfs fs;

	for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
		char sbin[64];

		snprintf(sbin, sizeof sbin, "/sbin/%s", programs[i]);
		if (!in_path(programs[i]) && access(sbin, X_OK))
			snprintf(missing + strlen(missing), sizeof missing - strlen(missing), " %s",
				programs[i]);
	}
	if (*missing)
		add(report, "images", WORSE, "making one needs%s", missing);
	else if (image_store_dir(dir, sizeof dir, &err))
		add(report, "images", WORSE, "%s", err.text);
	else {
		/* The folder is made when it is needed. */
		int r = nearest_folder(dir, &fs);

		if (r || access(dir, W_OK))
			add(report, "images", WORSE,
				"none can be made in %s: %s; DACH_IMAGES may name another folder",
				dir, strerror(errno));
		else if ((uint64_t)fs.f_bavail * fs.f_frsize < IMAGE_ROOM)
			add(report, "images", WORSE,
				"%s has %" PRIu64 " MiB left; one takes 1 GiB to make", dir,
				(uint64_t)fs.f_bavail * fs.f_frsize / MIB);
		else
			add(report, "images", GOOD, "can be made; %s has room", dir);
	}
}

static int doctor(struct cli *cli)
{
	struct report report;
	const json_t *row;
	bool runs;
	size_t i;

	if (!cli_words(cli))
		return cli->status;
	report.rows = json_array();
	runs = ask_engines(&report);
	ask_native(&report);
	ask_memory_areas(&report);
	ask_memory(&report);
	ask_walls(&report);
	ask_images(&report);
	if (cli->json)
		call_print(report.rows);
	else
		json_array_foreach(report.rows, i, row)
			printf("%-13s %-8s %s\n", json_get_text(row, "what"),
				json_get_text(row, "state"), json_get_text(row, "text"));
	json_decref(report.rows);
	return runs ? 0 : CLI_FAILURE;
}

const struct cli_verb cli_doctor_verbs[] = {
	{"doctor", "", "Say what this host has for guests, and what to do about the rest", 0, 0,
		.run = doctor},
	{.name = NULL},
};
