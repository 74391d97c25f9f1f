/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/script.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

#define ARGUMENTS_MAX (64u << 10)

static bool is_shell(const char *name)
{
	static const char *const shells[] = {"sh", "ash", "bash", "dash", "ksh", "mksh", "zsh"};
	const char *slash = strrchr(name, '/');

	name = slash ? slash + 1 : name;
	name += *name == '-'; /* a login shell */
	for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
		if (!strcmp(name, shells[i]))
			return true;
	return false;
}

/* Its script is in no file that it names, nor in an argument of -c; behind -s come the script's words. */
bool script_shell_reads(const char *arguments, size_t len)
{
	const char *at = arguments, *end = arguments + len;

	if (!len || end[-1] || !is_shell(at))
		return false;
	for (at += strlen(at) + 1; at < end; at += strlen(at) + 1) {
		if (*at != '-' && *at != '+')
			return false;
		if (at[0] == '-' && at[1] != '-' && strchr(at, 'c'))
			return false;
		if (!strcmp(at, "-s"))
			return true;
	}
	return true;
}

bool script_is_input(void)
{
	char name[64], *arguments = NULL;
	struct stat own, shells;
	size_t len = 0;
	bool reads;
	int fd;

	if (fstat(STDIN_FILENO, &own) || !(S_ISFIFO(own.st_mode) || S_ISREG(own.st_mode)))
		return false;
	snprintf(name, sizeof name, "/proc/%d/fd/0", (int)getppid());
	if (stat(name, &shells) || shells.st_dev != own.st_dev || shells.st_ino != own.st_ino)
		return false;
	snprintf(name, sizeof name, "/proc/%d/cmdline", (int)getppid());
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	reads = !io_read_file(fd, ARGUMENTS_MAX, &arguments, &len) &&
		script_shell_reads(arguments, len);
	free(arguments);
	close(fd);
	return reads;
}
