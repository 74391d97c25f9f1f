/* SPDX-License-Identifier: Apache-2.0 */
/* A network namespace of the test's own, and programs that change it. Behind cmocka.h. */
#ifndef DACH_TESTS_UNIT_LINKS_RIG_H
#define DACH_TESTS_UNIT_LINKS_RIG_H

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "links/program.h"

static inline int rig_run(const char *const *argv)
{
	struct error err = {""};
	int r = program_run(argv, NULL, NULL, &err);

	if (r)
		print_message("%s\n", err.text);
	return r;
}
#define RUN(...) assert_int_equal(rig_run((const char *const[]){__VA_ARGS__, NULL}), 0)

/* free() it. */
static inline char *rig_rules(void)
{
	static const char *const list[] = {"nft", "list", "ruleset", NULL};
	struct error err = {""};
	char *text = NULL;

	if (program_run(list, NULL, &text, &err))
		fail_msg("%s", err.text);
	return text ? text : strdup("");
}

/* False: nothing here gives us one with taps and nft. From then on all that is ours is in it. */
static inline bool rig_own_network(void)
{
	static const char *const nft[] = {"nft", "--version", NULL};
	const uid_t uid = geteuid();
	int fd;

	if (unshare(CLONE_NEWNET | (uid ? CLONE_NEWUSER : 0)))
		return false;
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd >= 0 && !program_run(nft, NULL, NULL, NULL);
}

#endif
