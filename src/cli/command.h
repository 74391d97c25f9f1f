/* SPDX-License-Identifier: Apache-2.0 */
/* What follows "--" of dach run: a command, for which the guest is there. */
#ifndef DACH_CLI_COMMAND_H
#define DACH_CLI_COMMAND_H

#include <limits.h>

#include "base/error.h"
#include "cli/cli.h"
#include "protocol/image_start.h"
#include "vmm/config.h"

#define COMMAND_ENV_MAX 256

struct command_words {
	struct vmm_command command; /* argv is NULL without one */
	const char *env[COMMAND_ENV_MAX + 1];
	unsigned env_count;
	char *made[COMMAND_ENV_MAX]; /* those of env that are ours */
	bool keep;                   /* what it writes to the disks */
	char program[PATH_MAX];
	char *cmdline; /* the kernel's, with what is added */
};

/* Takes "--" and what follows away from the words that the options are read from. */
void command_take(struct command_words *words, struct cli *cli);
/* What the image says where the words do not: what runs, as whom, with what environment. start outlives the words. */
int command_start(struct command_words *words, const struct image_start *start, struct error *err);
/* --env NAME=VALUE, or NAME for our own value. */
int command_env(struct command_words *words, const char *value, struct error *err);
/*
 * Has config start the agent, and that the command: after kernel, ramdisk and command line are known. What it
 * points to then is the words'.
 */
int command_complete(struct command_words *words, struct vmm_config *config, struct error *err);
void command_free(struct command_words *words);

#endif
