/* SPDX-License-Identifier: Apache-2.0 */
/* How an init is told to shut its system down: each has a signal of its own, so who it is is seen from what it listens to. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "container/internal.h"

/* What a line of /proc/PID/status says, such as "SigCgt:\t0000000000014a07"; bit n is signal n + 1. */
static uint64_t mask(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 16) : 0;
}

static bool listens(uint64_t heard, int number)
{
	return heard >> (number - 1) & 1;
}

static bool is_busybox(pid_t init)
{
	char path[32], name[256];
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%d/exe", (int)init);
	n = readlink(path, name, sizeof name - 1);
	name[n > 0 ? n : 0] = 0;
	return strstr(name, "/busybox") != NULL;
}

int stop_signal(pid_t init)
{
	const int systemd = SIGRTMIN +
		3; /* systemd(1); it takes its signals by descriptor, so they are blocked */
	char path[32], text[4096];
	uint64_t heard;
	size_t n;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/status", (int)init);
	file = fopen(path, "re");
	if (!file)
		return 0;
	n = fread(text, 1, sizeof text - 1, file);
	fclose(file);
	text[n] = 0;
	heard = mask(text, "\nSigBlk:\t") | mask(text, "\nSigCgt:\t");
	/* Its init waits for signals by sigtimedwait(2), and then none is to be seen in its masks. */
	if (is_busybox(init))
		return SIGUSR2;
	if (listens(heard, systemd))
		return systemd;
	return listens(heard, SIGPWR) ? SIGPWR : SIGTERM; /* init(8) of System V; whatever else */
}
