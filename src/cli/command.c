/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/folder.h"
#include "protocol/agent.h"

void command_take(struct command_words *words, struct cli *cli)
{
	struct option_scan *scan = &cli->scan;

	for (int i = scan->next; i < scan->argc; i++) {
		if (strcmp(scan->argv[i], "--"))
			continue;
		words->command.argv = (const char *const *)scan->argv + i + 1;
		scan->argc = i;
		return;
	}
}

static int add_env(struct command_words *words, const char *text, struct error *err)
{
	if (words->env_count == COMMAND_ENV_MAX)
		return error_set(err, E2BIG, "--env: %u at most", COMMAND_ENV_MAX);
	words->env[words->env_count++] = text;
	words->env[words->env_count] = NULL;
	return 0;
}

int command_env(struct command_words *words, const char *value, struct error *err)
{
	const char *own = NULL;
	char *text;
	int r;

	if (!*value || *value == '=')
		return error_set(err, EINVAL, "--env '%s': NAME=VALUE, or NAME to pass it on",
			value);
	if (strchr(value, '='))
		return add_env(words, value, err);
	own = getenv(value);
	if (!own)
		return 0; /* as it is here: not set */
	if (asprintf(&text, "%s=%s", value, own) < 0)
		return error_nomem(err);
	r = add_env(words, text, err);
	if (r)
		free(text);
	else
		words->made[words->env_count - 1] = text;
	return r;
}

int command_start(struct command_words *words, const struct image_start *start, struct error *err)
{
	struct vmm_command *command = &words->command;
	unsigned count = 0;

	if (!command->argv[0])
		command->argv = start->argv;
	if (!command->user && *start->user)
		command->user = start->user;
	if (!command->folder && *start->folder)
		command->folder = start->folder;
	while (start->env[count])
		count++;
	if (words->env_count + count > COMMAND_ENV_MAX)
		return error_set(err, E2BIG, "--env: %u at most, with those of the image",
			COMMAND_ENV_MAX);
	/* Before our own, which replace them. */
	memmove(words->env + count, words->env, (words->env_count + 1) * sizeof *words->env);
	memmove(words->made + count, words->made, words->env_count * sizeof *words->made);
	memcpy(words->env, start->env, count * sizeof *words->env);
	memset(words->made, 0, count * sizeof *words->made);
	words->env_count += count;
	return 0;
}

int command_complete(struct command_words *words, struct vmm_config *config, struct error *err)
{
	struct vmm_command *command = &words->command;

	if (!command->argv[0])
		return error_set(err, EINVAL,
			"-- needs a command behind it: the image does not say what runs in it");
	if (!config->kernel)
		return error_set(err, EINVAL, "a command needs an image, or --kernel and a disk");
	if (config->console)
		return error_set(err, EINVAL,
			"--console: with a command, --verbose shows what the guest says");
	if (folder_program("dach-agent", "../libexec/dach/dach-agent", words->program,
		    sizeof words->program))
		return error_set(err, ENOENT,
			"dach-agent, which runs a command in the guest, is neither beside this program nor in ../libexec/dach");
	command->program = words->program;
	command->env = words->env;
	command->keeps = words->keep;
	command->quiet = config->quiet;
	command->share = config->share;
	command->shares = config->shares;
	config->quiet |= !config->verbose; /* standard error is the command's */
	command->terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	if (command->terminal && getenv("TERM") && command_env(words, "TERM", err))
		return -E2BIG;
	/* A guest that panics is to end, and to say so; that its ciphers are right is no news of each start. */
	if (asprintf(&words->cmdline, "%s%s rdinit=" AGENT_ALONE " panic=-1 cryptomgr.notests%s",
		    strstr(config->cmdline, "console=") ? "" : "console=ttyS0 ", config->cmdline,
		    config->verbose ? "" : " quiet") < 0) {
		words->cmdline = NULL;
		return error_nomem(err);
	}
	config->cmdline = words->cmdline;
	config->command = command;
	config->no_reboot = true;
	config->own_kernel = false;
	return 0;
}

void command_free(struct command_words *words)
{
	for (unsigned i = 0; i < words->env_count; i++)
		free(words->made[i]);
	free(words->cmdline);
}
