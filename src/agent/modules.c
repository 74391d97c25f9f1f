/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel modules, as modprobe loads them: modules.dep (depmod, kmod's manual) names each with what it needs. */
#include <ctype.h>
#include <fcntl.h>
#include <linux/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/agent.h"

#define FOLDER "/lib/modules/%s"
#define NEEDS_MAX 64

static void insert(const char *folder, const char *file)
{
	char path[512];
	const char *dot = strstr(file, ".ko");
	int fd;

	snprintf(path, sizeof path, "%s/%s", folder, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	/* .ko.xz and .ko.zst: some kernels unpack them; it is there already: as good */
	syscall(SYS_finit_module, fd, "", dot && dot[3] ? MODULE_INIT_COMPRESSED_FILE : 0);
	close(fd);
}

/* "kernel/drivers/virtio/virtio_pci.ko" is virtio_pci, and virtio-pci. */
static bool is_module(const char *path, size_t len, const char *name)
{
	const char *base = memrchr(path, '/', len);

	base = base ? base + 1 : path;
	for (; *name; name++, base++)
		if (*base != *name && !(*base == '-' && *name == '_'))
			return false;
	return !strncmp(base, ".ko", 3);
}

/* path: a line of modules.dep; what comes last is needed first. */
static void insert_line(const char *folder, char *line, size_t len)
{
	char *need[NEEDS_MAX], *save = NULL;
	unsigned count = 0;

	for (char *word = strtok_r(line + len + 1, " \n", &save); word && count < NEEDS_MAX;
		word = strtok_r(NULL, " \n", &save))
		need[count++] = word;
	while (count)
		insert(folder, need[--count]);
	line[len] = 0;
	insert(folder, line);
}

void module_load(const char *name)
{
	char folder[256], path[300], *line = NULL;
	struct utsname uts;
	size_t room = 0;
	FILE *file;

	uname(&uts);
	snprintf(folder, sizeof folder, FOLDER, uts.release);
	if (access(folder, F_OK)) /* a ramdisk whose /lib is no link to usr/lib */
		snprintf(folder, sizeof folder, "/usr" FOLDER, uts.release);
	snprintf(path, sizeof path, "%s/modules.dep", folder);
	file = fopen(path, "re");
	if (!file)
		return;
	while (getline(&line, &room, file) > 0) {
		const char *colon = strchr(line, ':');

		if (!colon || !is_module(line, colon - line, name))
			continue;
		insert_line(folder, line, colon - line);
		break;
	}
	free(line);
	fclose(file);
}
