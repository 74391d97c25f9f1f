/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command that takes the agent's way to the monitor (protocol/agent.h) from the guest's first process, and says there what no
 * agent would: agent.sh. What the monitor does is end the guest; until then this waits.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "protocol/agent.h"

static int port = -1;

/* The first process's descriptor that is a virtio port. */
static int take_port(void)
{
	const int first = (int)syscall(SYS_pidfd_open, 1, 0);
	struct stat st;
	char link[64], name[64];

	for (int n = 0; n < 64; n++) {
		int fd = (int)syscall(SYS_pidfd_getfd, first, n, 0);

		if (fd < 0)
			continue;
		snprintf(link, sizeof link, "/sys/dev/char/%u:%u/name",
			fstat(fd, &st) ? 0 : major(st.st_rdev), minor(st.st_rdev));
		if (S_ISCHR(st.st_mode)) {
			int file = open(link, O_RDONLY);
			ssize_t len = file < 0 ? -1 : read(file, name, sizeof name - 1);

			close(file);
			if (len >= (ssize_t)strlen(AGENT_PORT) &&
				!memcmp(name, AGENT_PORT, strlen(AGENT_PORT)))
				return fd;
		}
		close(fd);
	}
	return -1;
}

static void say(const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size) {
		ssize_t n = write(port, at, size);

		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
	}
}

static void frame(uint16_t session, uint8_t type, uint8_t stream, const void *payload,
	uint32_t length)
{
	const struct agent_header header = {length, session, type, stream};

	say(&header, sizeof header);
	say(payload, length);
}

static void garbage(void)
{
	static uint8_t bytes[1 << 16];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)rand();
	bytes[6] = 0xee; /* no type */
	say(bytes, sizeof bytes);
}

static void flood(void)
{
	static char bytes[AGENT_DATA_MAX];

	for (;;)
		frame(1, AGENT_DATA, AGENT_STDOUT, bytes, sizeof bytes);
}

static void endless(void)
{
	const struct agent_header header = {UINT32_MAX, 1, AGENT_DATA, AGENT_STDOUT};

	say(&header, sizeof header);
}

static void escapes(void)
{
	static const char said[] = "\7\0\0\0\033]0;title\007\rroot# \b\x7f";

	frame(1, AGENT_FAILED, 0, said, sizeof said - 1);
}

static void others(void)
{
	const uint32_t status = 9;

	for (unsigned session = 2; session < 40; session++) {
		frame((uint16_t)session, AGENT_DATA, AGENT_STDOUT, "x", 1);
		frame((uint16_t)session, AGENT_EXIT, 0, &status, sizeof status);
	}
	frame(0, AGENT_READY, 0, NULL, 0);
	exit(3); /* which the agent tells as ever */
}

static void status(void)
{
	const uint32_t large = 0x12345607;

	frame(1, AGENT_EXIT, 0, &large, sizeof large);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*tell)(void);
	} lies[] = {{"garbage", garbage}, {"flood", flood}, {"endless", endless},
		{"escapes", escapes}, {"others", others}, {"status", status}};

	port = take_port();
	if (port < 0) {
		fputs("the first process has no port\n", stderr);
		return 2;
	}
	for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
		if (argc > 1 && !strcmp(argv[1], lies[i].name))
			lies[i].tell();
	for (;;)
		pause();
}
