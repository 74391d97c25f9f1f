/* SPDX-License-Identifier: Apache-2.0 */
#include "seed/seed.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "seed/fat.h"

#define CLOUD_CONFIG "#cloud-config\n"
#define LABEL_MAX 63u
#define HOSTNAME_MAX 253u

int seed_check_hostname(const char *hostname, struct error *err)
{
	size_t label = 0, len = strlen(hostname);

	for (size_t i = 0; i < len; i++) {
		const bool end = i + 1 == len || hostname[i + 1] == '.';

		label = hostname[i] == '.' ? 0 : label + 1;
		if ((!isalnum((unsigned char)hostname[i]) && hostname[i] != '-' &&
			    hostname[i] != '.') ||
			(hostname[i] == '-' && (label == 1 || end)) || (!label && (end || !i)) ||
			label > LABEL_MAX)
			len = 0;
	}
	if (len && len <= HOSTNAME_MAX)
		return 0;
	return error_set(err, EINVAL,
		"'%.80s' is not a host name: letters, digits and '-', in parts separated by dots",
		hostname);
}

/* The keys' lines, without what is empty or a comment. each: 0 goes on. */
static int each_key(const char *keys, int (*each)(void *ctx, const char *key, size_t len),
	void *ctx)
{
	int r = 0;

	while (!r && *keys) {
		size_t len = strcspn(keys, "\r\n");

		if (len && *keys != '#')
			r = each(ctx, keys, len);
		keys += len;
		keys += strspn(keys, "\r\n");
	}
	return r;
}

static int check_key(void *ctx, const char *key, size_t len)
{
	static const char *const kinds[] = {"ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"};

	++*(unsigned *)ctx;
	for (size_t i = 0; i < len; i++)
		if (iscntrl((unsigned char)key[i]))
			return -EINVAL;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (len > strlen(kinds[i]) && !strncmp(key, kinds[i], strlen(kinds[i])) &&
			memchr(key, ' ', len))
			return 0;
	return -EINVAL;
}

int seed_check_keys(const char *what, const char *keys, struct error *err)
{
	unsigned count = 0;

	if (!each_key(keys, check_key, &count) && count)
		return 0;
	if (strstr(keys, "PRIVATE KEY"))
		return error_set(err, EINVAL,
			"%s: a private key, which stays here; the public one, in a file that ends in .pub, is needed",
			what);
	return error_set(err, EINVAL, "%s: not a public key as ssh-keygen writes it", what);
}

int seed_new_instance(char instance[37], struct error *err)
{
	uint8_t bytes[16];
	char *to = instance;

	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
		return error_set(err, EIO, "no random numbers");
	bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
	bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
	for (unsigned i = 0; i < sizeof bytes; i++)
		to += sprintf(to, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			bytes[i]);
	return 0;
}

static int add_key(void *ctx, const char *key, size_t len)
{
	return json_array_append_new(ctx, json_stringn(key, len));
}

/* JSON is YAML as well, and needs no thought of what is to be quoted. */
static json_t *meta_data(const struct seed *seed)
{
	json_t *meta = json_pack("{s:s}", "instance-id", seed->instance), *keys;

	if (seed->hostname)
		json_object_set_new(meta, "local-hostname", json_string(seed->hostname));
	if (!seed->ssh_keys)
		return meta;
	keys = json_array();
	if (each_key(seed->ssh_keys, add_key, keys)) {
		json_decref(keys);
		keys = NULL;
	}
	if (json_object_set_new(meta, "public-keys", keys)) {
		json_decref(meta);
		meta = NULL;
	}
	return meta;
}

/* chpasswd's list is what old versions know, too. */
static json_t *vendor_data(const struct seed *seed)
{
	char *line = NULL;
	json_t *data;

	if (!seed->password)
		return json_pack("{s:b}", "disable_root", false);
	if (asprintf(&line, "root:%s", seed->password) < 0)
		return NULL;
	data = json_pack("{s:b, s:{s:b, s:[s]}}", "disable_root", false, "chpasswd", "expire",
		false, "list", line);
	free(line);
	return data;
}

static char *text_of(json_t *json, const char *head)
{
	char *body = json ? json_dumps(json, JSON_ENSURE_ASCII | JSON_INDENT(1)) : NULL;
	char *text = NULL;

	json_decref(json);
	if (body && asprintf(&text, "%s%s\n", head, body) < 0)
		text = NULL;
	free(body);
	return text;
}

int seed_write(const struct seed *seed, int fd, struct error *err)
{
	char *meta = text_of(meta_data(seed), ""),
	     *vendor = text_of(vendor_data(seed), CLOUD_CONFIG);
	static const char nothing[] = CLOUD_CONFIG "{}\n";
	struct fat_file file[] = {
		{"meta-data", meta, meta ? strlen(meta) : 0},
		{"user-data", seed->user_data, seed->user_data_size},
		{"vendor-data", vendor, vendor ? strlen(vendor) : 0},
		{"network-config", seed->network, seed->network_size},
	};
	int r = -ENOMEM;

	if (!seed->user_data)
		file[1] = (struct fat_file){"user-data", nothing, sizeof nothing - 1};
	if (meta && vendor)
		r = fat_write(fd, "cidata", file, seed->network ? 4 : 3, err);
	else
		error_nomem(err);
	free(meta);
	free(vendor);
	return r;
}

int seed_make(const struct seed *seed, int *fd, struct error *err)
{
	int r;

	*fd = memfd_create("cidata", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0)
		return error_set(err, errno, "no file in memory: %s", strerror(errno));
	r = seed_write(seed, *fd, err);
	if (!r && fcntl(*fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		r = error_set(err, errno, "a file in memory: %s", strerror(errno));
	if (r) {
		close(*fd);
		*fd = -1;
	}
	return r;
}
