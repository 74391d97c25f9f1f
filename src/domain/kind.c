/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/kind.h"

#include <errno.h>
#include <string.h>

/* Names that lead nowhere else. */
static int check_layers(const struct domain_config *config, struct error *err)
{
	char uuid[DOMAIN_UUID_LEN + 1];

	if (config->root && (config->layers || *config->upper))
		return error_set(err, EINVAL, "layers: are of a container that has a template");
	for (unsigned i = 0; i < config->layers; i++)
		if (domain_uuid_parse(config->layer[i], uuid) || strcmp(uuid, config->layer[i]))
			return error_set(err, EINVAL, "layers: '%.40s' is no UUID",
				config->layer[i]);
	return 0;
}

/* An init of the container's own knows nothing of what is said for a command. */
static int check_command(const struct container_spec *container, struct error *err)
{
	const char *field = container->commands ? "command"
		: container->envs               ? "env"
		: container->user               ? "user"
		: container->workdir            ? "workdir"
						: NULL;

	if (container->inits && field)
		return error_set(err, EINVAL, "%s: is for a command, and init says what starts",
			field);
	if (container->commands && !*container->command[0])
		return error_set(err, EINVAL, "command: its first word is empty");
	for (unsigned i = 0; i < container->envs; i++)
		if (container->env[i][0] == '=' || !strchr(container->env[i], '='))
			return error_set(err, EINVAL, "env: '%.200s' is not of the form NAME=VALUE",
				container->env[i]);
	if (container->workdir && container->workdir[0] != '/')
		return error_set(err, EINVAL, "workdir: '%.200s' is not an absolute path",
			container->workdir);
	return 0;
}

int domain_config_check_share(const char *what, const struct share_spec *share, struct error *err)
{
	if (share->overlay)
		return error_set(err, EINVAL, "%s: overlay: is for machines", what);
	if (!share->path || strlen(share->path) > DOMAIN_SHARE_PATH)
		return error_set(err, EINVAL,
			"%s: where it is in the container is missing, or longer than %u bytes: DIR:PATH",
			what, DOMAIN_SHARE_PATH);
	return 0;
}

int domain_config_check_kind(const struct domain_config *config, struct error *err)
{
	const struct container_spec *container = &config->container;
	const char *field = config->root ? "root"
		: config->template       ? "template"
		: container->inits       ? "init"
		: container->commands    ? "command"
		: container->envs        ? "env"
		: container->user        ? "user"
		: container->workdir     ? "workdir"
		: container->devices     ? "devices"
		: container->privileged  ? "privileged"
		: container->pids        ? "pids"
		: config->layers         ? "layers"
		: *config->upper         ? "upper"
					 : NULL;
	int r;

	if (config->kind == DOMAIN_MACHINE)
		return field
			? error_set(err, EINVAL, "%s: is a container's (type = 'container')", field)
			: 0;
	field = config->kernel       ? "kernel"
		: config->ramdisk    ? "ramdisk"
		: config->bootloader ? "bootloader"
		: config->disks      ? "disks"
				     : NULL;
	if (field)
		return error_set(err, EINVAL,
			"%s: a container has none: its root is a folder (root or template)", field);
	field = *config->cmdline             ? "cmdline"
		: config->firmware           ? "firmware"
		: config->cpus_count         ? "cpus"
		: config->cpus_soft_count    ? "cpus_soft"
		: config->machine.qemu_agent ? "qemu_agent"
		: config->machine.cpu_model  ? "cpu_model"
		: config->machine.ssh_key    ? "ssh_key"
					     : NULL;
	if (field)
		return error_set(err, EINVAL, "%s: is a machine's, and does nothing to a container",
			field);
	if (!config->root == !config->template)
		return error_set(err, EINVAL, "root: %s",
			config->root ? "a container has one of root and template"
				     : "a container needs a folder: name root, which it writes to, "
				       "or template, which stays as it is");
	if (container->inits && container->init[0][0] != '/')
		return error_set(err, EINVAL, "init: '%s' is not an absolute path",
			container->init[0]);
	for (unsigned i = 0; i < container->devices; i++)
		if (strncmp(container->device[i], "/dev/", 5) ||
			strstr(container->device[i], "/.."))
			return error_set(err, EINVAL, "devices: '%.200s' is no path in /dev",
				container->device[i]);
	r = check_layers(config, err);
	return r ? r : check_command(container, err);
}
