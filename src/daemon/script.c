/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/script.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/links.h"
#include "links/program.h"
#include "links/tap.h"

/* One that was found, and of what it is to know; texts are others'. "" is none. */
struct script {
	char path[PATH_MAX];
	const char *link, *bus; /* bus: XENBUS_PATH */
	const char *mac, *bridge, *ip, *gateway, *guest, *uuid;
	unsigned mtu; /* 0: none is said */
};

static const char *const folders[] = {"/etc/dach/scripts/", "/etc/xen/scripts/"};
#define FOLDERS (sizeof folders / sizeof *folders)

enum script_kind script_kind(const struct domain_vif *vif)
{
	static const char *const known[] = {[SCRIPT_BRIDGE] = "vif-bridge",
		[SCRIPT_ROUTE] = "vif-route",
		[SCRIPT_NAT] = "vif-nat"};
	const char *name = vif->script;

	if (!name)
		return SCRIPT_BRIDGE;
	if (!strncmp(name, folders[1], strlen(folders[1])))
		name += strlen(folders[1]);
	for (unsigned kind = 0; kind < SCRIPT_OWN; kind++)
		if (!strcmp(name, known[kind]))
			return kind;
	return SCRIPT_OWN;
}

static int check_file(const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st))
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || !(st.st_mode & S_IXUSR))
		return error_set(err, EACCES, "%s: not a program", path);
	if (st.st_uid || st.st_mode & (S_IWGRP | S_IWOTH))
		return error_set(err, EACCES, "%s: others than root may write to it: it is not run",
			path);
	return 0;
}

static bool in_folder(const char *path)
{
	for (unsigned i = 0; i < FOLDERS; i++)
		if (!strncmp(path, folders[i], strlen(folders[i])) &&
			!strchr(path + strlen(folders[i]), '/'))
			return true;
	return false;
}

static int find(const struct guest *guest, unsigned vif, char path[PATH_MAX], struct error *err)
{
	const char *name = guest->config.vif[vif].script;

	if (*name == '/') {
		if (guest->owner && !in_folder(name))
			return error_set(err, EACCES, "script: %s is neither in %s nor in %s", name,
				folders[0], folders[1]);
		snprintf(path, PATH_MAX, "%s", name);
		return check_file(path, err);
	}
	if (strchr(name, '/'))
		return error_set(err, EINVAL, "script: %s: a name, or a path from / on", name);
	for (unsigned i = 0; i < FOLDERS; i++) {
		snprintf(path, PATH_MAX, "%s%s", folders[i], name);
		if (!access(path, F_OK))
			return check_file(path, err);
	}
	return error_set(err, ENOENT, "script: there is no %s in %s or %s", name, folders[0],
		folders[1]);
}

/* Running */

#define VARIABLES 24

struct variables {
	const char *text[VARIABLES + 1];
	unsigned count;
	bool failed; /* no memory */
};

#define ADD(to, ...)                                                               \
	do {                                                                       \
		char *text_;                                                       \
		if ((to)->count < VARIABLES && asprintf(&text_, __VA_ARGS__) >= 0) \
			(to)->text[(to)->count++] = text_;                         \
		else                                                               \
			(to)->failed = true;                                       \
	} while (0)

/*
 * Instead of the xenstore's programs: in front in PATH, and as functions of bash's, which is what Xen's own scripts are for, since
 * they put the system's folders first.
 */
static int add_xenstore(struct variables *to, struct error *err)
{
	static const char *const names[] = {"xenstore-read", "xenstore-write", "xenstore-exists",
		"xenstore-rm"};
	const char *path = getenv("PATH");
	char program[PATH_MAX];

	if (folder_program("dist/xenstore-read", "../libexec/dach/xen-scripts/xenstore-read",
		    program, sizeof program))
		return error_set(err, ENOENT,
			"xenstore-read, for scripts, is neither in dist/ beside this program nor in ../libexec/dach/xen-scripts");
	*strrchr(program, '/') = 0;
	ADD(to, "PATH=%s:%s", program, path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		ADD(to, "BASH_FUNC_%s%%%%=() { '%s/%s' \"$@\"; }", names[i], program, names[i]);
	return 0;
}

static int add_variables(struct variables *to, const struct script *script, struct error *err)
{
	ADD(to, "vif=%s", script->link);
	ADD(to, "bridge=%s", script->bridge);
	ADD(to, "mac=%s", script->mac);
	ADD(to, "ip=%s", script->ip);
	ADD(to, "script=%s", script->path);
	ADD(to, "netdev=%s", script->gateway);
	ADD(to, "gatewaydev=%s", script->gateway);
	if (script->mtu)
		ADD(to, "mtu=%u", script->mtu);
	ADD(to, "XENBUS_TYPE=vif");
	ADD(to, "XENBUS_BASE_PATH=backend");
	ADD(to, "XENBUS_PATH=%s", script->bus);
	ADD(to, "DACH_NAME=%s", script->guest);
	ADD(to, "DACH_UUID=%s", script->uuid);
	return add_xenstore(to, err);
}

static int run(const struct script *script, bool online, struct error *err)
{
	const char *const argv[] = {script->path, online ? "online" : "offline", "type_if=vif",
		NULL};
	struct variables variables = {.count = 0};
	int r = add_variables(&variables, script, err);

	if (!r)
		r = variables.failed
			? error_nomem(err)
			: program_run_in(argv, variables.text, PROGRAM_SECONDS, NULL, NULL, err);
	for (unsigned i = 0; i < variables.count; i++)
		free((char *)(uintptr_t)variables.text[i]);
	return r;
}

/* As a line: no text of a guest's configuration has control characters. */

#define WORDS 9

static int note(const struct script *script, int fd)
{
	return dprintf(fd, "%c%s %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%u\n", SCRIPT_NOTE, script->link,
		       script->path, script->bus, script->mac, script->bridge, script->ip,
		       script->gateway, script->guest, script->uuid, script->mtu) < 0
		? -errno
		: 0;
}

static int read_note(char *line, struct script *script)
{
	char *word[WORDS], *rest = line + strcspn(line, " ");

	script->link = line + 1;
	if (*rest)
		*rest++ = 0;
	for (unsigned i = 0; i < WORDS; i++) {
		word[i] = strsep(&rest, "\t");
		if (!word[i])
			return -EINVAL;
	}
	snprintf(script->path, sizeof script->path, "%s", word[0]);
	script->bus = word[1];
	script->mac = word[2];
	script->bridge = word[3];
	script->ip = word[4];
	script->gateway = word[5];
	script->guest = word[6];
	script->uuid = word[7];
	script->mtu = (unsigned)strtoul(word[8], NULL, 10);
	return 0;
}

int script_join(const struct guest *guest, unsigned vif, const char *link, const char *mac,
	int notes, struct error *err)
{
	const struct domain_vif *config = &guest->config.vif[vif];
	const struct link_change change = {.mac = tap_mac, .mtu = config->mtu, .no_address = true};
	char bus[64];
	struct script script = {.link = link,
		.bus = bus,
		.mac = mac,
		.bridge = links_bridge(guest, vif),
		.ip = config->ip ? config->ip : "",
		.gateway = config->gatewaydev ? config->gatewaydev : "",
		.guest = guest->config.name,
		.uuid = guest->config.uuid,
		.mtu = config->mtu};
	int r = find(guest, vif, script.path, err);

	snprintf(bus, sizeof bus, "/local/domain/0/backend/vif/%u/%u", guest->domid,
		domain_vif_devid(&guest->config, vif));
	if (!r)
		r = link_change(link, &change, err);
	if (!r) {
		r = note(&script, notes);
		r = r ? error_set(err, -r, "%s: %s", guest->daemon->run, strerror(-r))
		      : run(&script, true, err);
	}
	return r;
}

int script_leave(char *line, struct error *err)
{
	struct script script;

	return read_note(line, &script) ? error_set(err, EINVAL, "its note cannot be read")
					: run(&script, false, err);
}
