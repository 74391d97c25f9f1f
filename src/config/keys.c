/* SPDX-License-Identifier: Apache-2.0 */
#include "config/keys.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/spec.h"

enum key_kind { KEY_TEXT, KEY_PATH, KEY_COUNT, KEY_MIB, KEY_ACTION };

struct key {
	const char *name;
	enum key_kind kind;
	size_t offset;
	unsigned min, max;
};

#define AT(member) offsetof(struct domain_config, member)
#define MIB_MAX (LIMIT_MEMORY_MAX >> 10)

static const struct key keys[] = {
	{"name", KEY_TEXT, AT(name), 0, 0},
	{"memory", KEY_MIB, AT(memory), 1, MIB_MAX},
	{"maxmem", KEY_MIB, AT(maxmem), 1, MIB_MAX},
	{"vcpus", KEY_COUNT, AT(vcpus), 1, LIMIT_VCPUS},
	{"maxvcpus", KEY_COUNT, AT(maxvcpus), 1, DOMAIN_VCPUS_MAX},
	{"cpu_weight", KEY_COUNT, AT(cpu_weight), 1, 65535},
	{"cpu_cap", KEY_COUNT, AT(cap), 0, DOMAIN_VCPUS_MAX * 100}, /* xm's */
	{"cap", KEY_COUNT, AT(cap), 0, DOMAIN_VCPUS_MAX * 100},
	{"io_weight", KEY_COUNT, AT(io_weight), 1, 10000},
	{"kernel", KEY_PATH, AT(kernel), 0, 0},
	{"ramdisk", KEY_PATH, AT(ramdisk), 0, 0},
	{"bootloader", KEY_TEXT, AT(bootloader), 0, 0},
	{"boot", KEY_TEXT, AT(boot), 0, 0},
	{"firmware", KEY_TEXT, AT(firmware), 0, 0},
	{"bios", KEY_TEXT, AT(firmware), 0, 0},
	{"engine", KEY_TEXT, AT(engine), 0, 0},
	{"cpu_model", KEY_TEXT, AT(cpu_model), 0, 0},
	{"on_poweroff", KEY_ACTION, AT(on_poweroff), 0, DOMAIN_COREDUMP_RESTART},
	{"on_reboot", KEY_ACTION, AT(on_reboot), 0, DOMAIN_COREDUMP_RESTART},
	{"on_crash", KEY_ACTION, AT(on_crash), 0, DOMAIN_COREDUMP_RESTART},
	{"on_watchdog", KEY_ACTION, AT(on_watchdog), 0, DOMAIN_COREDUMP_RESTART},
	{"on_soft_reset", KEY_ACTION, AT(on_soft_reset), 0, DOMAIN_SOFT_RESET},
};

/* Those with readers of their own: take_type() and the others below, and keys_lists.c. */
static const char *const special[] = {"type", "builder", "uuid", "cmdline", "root", "extra", "disk",
	"vif", "serial", "cpus", "cpus_soft"};

const char *keys_taken(unsigned n)
{
	const unsigned plain = sizeof keys / sizeof *keys;

	if (n < plain)
		return keys[n].name;
	n -= plain;
	return n < sizeof special / sizeof *special ? special[n] : NULL;
}

int keys_text(const struct cfg_setting *setting, const char **text, struct error *err)
{
	*text = setting->value.text;
	if (setting->value.kind == CFG_LIST)
		return cfg_error(err, EINVAL, &setting->value.at,
			"'%s' takes one value, not a list", setting->key);
	return 0;
}

int keys_number(const struct cfg_setting *setting, unsigned long long min, unsigned long long max,
	const char *unit, unsigned long long *number, struct error *err)
{
	const struct cfg_value *value = &setting->value;
	const char *text;
	char *end;
	int r = keys_text(setting, &text, err);

	if (r)
		return r;
	while (isspace((unsigned char)*text))
		text++;
	errno = 0;
	*number = strtoull(text, &end, strncasecmp(text, "0x", 2) ? 10 : 16);
	end += strspn(end, " \t");
	if (!isdigit((unsigned char)*text) || *end || errno)
		return cfg_error(err, EINVAL, &value->at, "'%s' takes a number%s%s, not '%.80s'",
			setting->key, unit[0] ? " of " : "", unit, value->text);
	if (*number < min || *number > max)
		return cfg_error(err, EINVAL, &value->at,
			"'%s' takes a number%s%s from %llu to %llu", setting->key,
			unit[0] ? " of " : "", unit, min, max);
	return 0;
}

static int take_text(const struct cfg_setting *setting, char **to, struct error *err)
{
	const char *text;
	int r = keys_text(setting, &text, err);

	if (r)
		return r;
	if (!*text) /* xl's files write key = "" for none */
		return 0;
	free(*to);
	*to = strdup(text);
	return *to ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int take_action(const struct key *key, const struct cfg_setting *setting,
	enum domain_action *action, struct error *err)
{
	const char *text;
	int r = keys_text(setting, &text, err);

	if (r)
		return r;
	if (domain_action_find(text, action) || *action > key->max)
		return cfg_error(err, EINVAL, &setting->value.at,
			"'%.40s' is nothing to do then: destroy, restart, rename-restart, preserve, "
			"coredump-destroy or coredump-restart%s",
			text, key->max == DOMAIN_SOFT_RESET ? ", soft-reset" : "");
	return 0;
}

static int take_key(const struct key *key, const struct cfg_setting *setting,
	const struct config_reader *reader, struct domain_config *config, struct error *err)
{
	void *to = (char *)config + key->offset;
	unsigned long long number;
	int r;

	switch (key->kind) {
	case KEY_TEXT:
		return take_text(setting, to, err);
	case KEY_PATH:
		r = take_text(setting, to, err);
		return r ? r : spec_absolute(reader, to, err);
	case KEY_COUNT:
		r = keys_number(setting, key->min, key->max, "", &number, err);
		if (!r)
			*(unsigned *)to = number;
		return r;
	case KEY_MIB:
		r = keys_number(setting, key->min, key->max, "MiB", &number, err);
		if (!r)
			*(uint64_t *)to = number << 10;
		return r;
	case KEY_ACTION:
		return take_action(key, setting, to, err);
	}
	return 0;
}

/* type, or builder, its old spelling. */
static int take_type(struct cfg *cfg, struct domain_config *config, struct error *err)
{
	static const char *const names[][2] = {{"pv", "pv"}, {"pvh", "pvh"}, {"hvm", "hvm"},
		{"generic", "pv"}, {"linux", "pv"}};
	const struct cfg_setting *type = cfg_find(cfg, "type"), *old = cfg_find(cfg, "builder");
	const struct cfg_setting *setting = type ? type : old;
	const char *text;
	int r = setting ? keys_text(setting, &text, err) : 0;

	if (r || !setting)
		return r;
	for (unsigned n = type ? 0 : 2; n < (type ? 3 : 5); n++) {
		if (strcmp(names[n][0], text))
			continue;
		config->type = strdup(names[n][1]);
		return config->type ? 0 : error_set(err, ENOMEM, "out of memory");
	}
	return cfg_error(err, EINVAL, &setting->value.at, "'%.40s' is no %s: %s", text,
		setting->key, type ? "pv, pvh or hvm" : "generic, linux or hvm");
}

static int take_uuid(struct cfg *cfg, struct domain_config *config, struct error *err)
{
	const struct cfg_setting *setting = cfg_find(cfg, "uuid");
	const char *text;
	int r = setting ? keys_text(setting, &text, err) : 0;

	if (r || !setting || !*text)
		return r;
	if (domain_uuid_parse(text, config->uuid))
		return cfg_error(err, EINVAL, &setting->value.at,
			"'%.60s' is no UUID: 32 hexadecimal digits, like "
			"01234567-89ab-cdef-0123-456789abcdef",
			text);
	return 0;
}

/* cmdline, or root and extra put together. */
static int take_cmdline(struct cfg *cfg, const struct config_reader *reader,
	struct domain_config *config, struct error *err)
{
	const struct cfg_setting *cmdline = cfg_find(cfg, "cmdline");
	const struct cfg_setting *root = cfg_find(cfg, "root"), *extra = cfg_find(cfg, "extra");
	const char *root_text = "", *extra_text = "", *text;
	char *made;
	int r;

	if (cmdline) {
		if (root || extra)
			spec_warn(reader, &(root ? root : extra)->at,
				"'cmdline' is there too, so '%s' is ignored",
				root && extra ? "root' and 'extra" : (root ? root : extra)->key);
		r = keys_text(cmdline, &text, err);
		made = r ? NULL : strdup(text);
	} else {
		r = root ? keys_text(root, &root_text, err) : 0;
		if (!r && extra)
			r = keys_text(extra, &extra_text, err);
		if (!r &&
			asprintf(&made, "%s%s%s%s", *root_text ? "root=" : "", root_text,
				*root_text && *extra_text ? " " : "", extra_text) < 0)
			made = NULL;
	}
	if (r)
		return r;
	if (!made)
		return error_set(err, ENOMEM, "out of memory");
	free(config->cmdline);
	config->cmdline = made;
	return 0;
}

/* The check's sentence begins with the field's name: back to the key and the place of its value. */
static int check(struct cfg *cfg, const char *file, const struct domain_config *config,
	struct error *err)
{
	static const char *const names[][2] = {{"memory_kib", "memory"}, {"maxmem_kib", "maxmem"},
		{"disks", "disk"}, {"vifs", "vif"}};
	struct error found = {""};
	char key[32];
	const struct cfg_setting *setting;
	unsigned index = 0;
	int r = domain_config_check(config, &found);

	if (!r)
		r = domain_config_check_limits(config, &found);
	if (!r)
		return 0;
	snprintf(key, sizeof key, "%.*s", (int)strcspn(found.text, ":.["), found.text);
	sscanf(found.text + strlen(key), "[%u]", &index);
	for (unsigned n = 0; n < sizeof names / sizeof *names; n++)
		if (!strcmp(key, names[n][0]))
			snprintf(key, sizeof key, "%s", names[n][1]);
	setting = cfg_find(cfg, key);
	if (!setting && !strcmp(key, "cmdline"))
		setting = cfg_find(cfg, cfg_find(cfg, "extra") ? "extra" : "root");
	if (!setting)
		return error_set(err, -r, "%.200s: %s", file, found.text);
	return cfg_error(err, -r,
		index < setting->value.items ? &setting->value.item[index].at : &setting->value.at,
		"%s", found.text);
}

int keys_apply(struct cfg *cfg, const char *file, const struct config_reader *reader,
	struct domain_config *config, struct error *err)
{
	const struct cfg_setting *bootloader;
	struct error found = {""};
	int r = 0;

	for (unsigned n = 0; !r && n < sizeof keys / sizeof *keys; n++) {
		const struct cfg_setting *setting = cfg_find(cfg, keys[n].name);

		if (setting)
			r = take_key(&keys[n], setting, reader, config, err);
	}
	if (config->maxmem && !cfg_find(cfg, "memory"))
		config->memory = config->maxmem;
	if (!r)
		r = take_type(cfg, config, err);
	if (!r)
		r = take_uuid(cfg, config, err);
	if (!r)
		r = take_cmdline(cfg, reader, config, err);
	if (!r)
		r = keys_lists(cfg, reader, config, err);
	if (!r)
		r = keys_keep(cfg, reader, config, err);
	if (!r && !*config->name)
		r = error_set(err, EINVAL,
			"%.200s: the guest has no name: write name = 'web' or so", file);
	if (!r)
		r = check(cfg, file, config, err);
	bootloader = cfg_find(cfg, "bootloader");
	if (!r && bootloader && config->bootloader && domain_config_check_boot(config, &found))
		r = cfg_error(err, EINVAL, &bootloader->value.at, "%s", found.text);
	return r;
}
