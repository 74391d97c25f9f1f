/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_seed.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "seed/seed.h"

bool run_seed_has(int id)
{
	return id >= RUN_SEED_FIRST && id <= NETWORK;
}

static int read_text(const char *option, const char *path, char **text, size_t *size,
	struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : io_read_file(fd, SEED_TEXT_MAX, text, size);

	if (fd >= 0)
		close(fd);
	return r ? error_set(err, -r, "%s: %s: %s", option, path, strerror(-r)) : 0;
}

/* Behind those that are there. */
static int add_keys(struct run_seed *seed, const char *path, struct error *err)
{
	char *keys, *all;
	size_t size;
	int r = read_text("--ssh-key", path, &keys, &size, err);

	if (r)
		return r;
	r = seed_check_keys(path, keys, err);
	all = r ? NULL : realloc(seed->keys, seed->keys_size + size + 2);
	if (all) {
		memcpy(all + seed->keys_size, keys, size);
		seed->keys = all;
		seed->keys_size += size;
		all[seed->keys_size++] = '\n';
		all[seed->keys_size] = 0;
	} else if (!r) {
		r = error_nomem(err);
	}
	free(keys);
	return r;
}

static int take_text(const char *option, const char *path, char **to, size_t *size,
	struct error *err)
{
	char *text;
	int r = read_text(option, path, &text, size, err);

	if (r)
		return r;
	free(*to);
	*to = text;
	return 0;
}

/* cloud-init takes anything else for nothing, without a word. */
static int check_user_data(const struct run_seed *seed, const char *path, struct error *err)
{
	static const char *const heads[] = {"#", "Content-Type:", "MIME-Version:", "From ",
		"\x1f\x8b"};

	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
		if (!strncasecmp(seed->user_data, heads[i], strlen(heads[i])))
			return 0;
	return error_set(err, EINVAL,
		"--user-data: %s: begins neither with #cloud-config nor with #! (a script), so cloud-init would not use it",
		path);
}

static int check_password(const char *password, struct error *err)
{
	for (const char *c = password; *c; c++)
		if (iscntrl((unsigned char)*c))
			return error_set(err, EINVAL, "--password: has a control character in it");
	return *password ? 0 : error_set(err, EINVAL, "--password: is empty");
}

int run_seed_take(struct run_seed *seed, int id, const char *value, struct error *err)
{
	int r;

	seed->wanted = true;
	switch (id) {
	case SSH_KEY:
		return add_keys(seed, value, err);
	case HOSTNAME:
		seed->hostname = value;
		return seed_check_hostname(value, err);
	case PASSWORD:
		seed->password = value;
		return check_password(value, err);
	case USER_DATA:
		r = take_text("--user-data", value, &seed->user_data, &seed->user_data_size, err);
		return r ? r : check_user_data(seed, value, err);
	case NETWORK:
		return take_text("--network-config", value, &seed->network, &seed->network_size,
			err);
	}
	return id;
}

/* The same guest for as long as the file that it writes to is the same. */
static int instance_of(const struct vmm_config *config, char instance[37], struct error *err)
{
	struct stat st;

	for (unsigned i = 0; i < config->disks && i < 1; i++) {
		const struct disk_spec *disk = &config->disk[i];

		if (disk->file[0].fd < 0 && !disk->readonly && !stat(disk->file[0].name, &st)) {
			snprintf(instance, 37, "dach-%jx-%jx", (uintmax_t)st.st_dev,
				(uintmax_t)st.st_ino);
			return 0;
		}
	}
	return seed_new_instance(instance, err);
}

int run_seed_complete(struct run_seed *seed, struct vmm_config *config, struct error *err)
{
	int r = 0;

	if (!seed->wanted)
		return 0;
	if (!*seed->instance)
		r = instance_of(config, seed->instance, err);
	config->seed = (struct seed){.instance = seed->instance,
		.hostname = seed->hostname,
		.ssh_keys = seed->keys,
		.password = seed->password,
		.user_data = seed->user_data,
		.network = seed->network,
		.user_data_size = seed->user_data_size,
		.network_size = seed->network_size};
	return r;
}

void run_seed_free(struct run_seed *seed)
{
	free(seed->keys);
	free(seed->user_data);
	free(seed->network);
}
