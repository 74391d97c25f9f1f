/* SPDX-License-Identifier: Apache-2.0 */
#include "config/keys.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/spec.h"
#include "protocol/fields.h"

int keys_text(const struct cfg_setting *setting, const char **text, struct error *err)
{
	*text = setting->value.text;
	if (setting->value.kind == CFG_LIST)
		return cfg_error(err, EINVAL, &setting->value.at,
			"'%s' takes one value, not a list", setting->key);
	return 0;
}

/* A number, quoted or not. */
static int read_number(const struct cfg_setting *setting, unsigned long long min,
	unsigned long long max, const char *unit, unsigned long long *number, struct error *err)
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

static int read_text(const struct cfg_setting *setting, char **to, struct error *err)
{
	const char *text;
	int r = keys_text(setting, &text, err);

	if (r)
		return r;
	if (!*text) /* xl's files write key = "" for none */
		return 0;
	free(*to);
	*to = strdup(text);
	return *to ? 0 : error_nomem(err);
}

/* "destroy, restart or preserve" */
static void list_names(const struct field *field, unsigned max, char *text, size_t size)
{
	size_t used = 0;

	for (unsigned n = 0; n <= max && field->names[n] && used < size; n++) {
		bool last = n == max || !field->names[n + 1];

		used += snprintf(text + used, size - used, "%s%s",
			!n             ? ""
				: last ? " or "
				       : ", ",
			field->names[n]);
	}
}

static int read_name(const struct key *key, const struct field *field,
	const struct cfg_setting *setting, void *at, struct error *err)
{
	unsigned max = key->max ? key->max : UINT32_MAX - 1;
	char names[256];
	const char *text;
	int r = keys_text(setting, &text, err), n;

	if (r)
		return r;
	n = field_find_name(field->names, text);
	if (n < 0 || n > max) {
		list_names(field, max, names, sizeof names);
		return cfg_error(err, EINVAL, &setting->value.at, "'%s' takes %s, not '%.40s'",
			setting->key, names, text);
	}
	field_set_number(field, at, n);
	return 0;
}

/* As the field's kind and the key's form have it. */
static int read_field(const struct key *key, const struct keys_target *to,
	const struct cfg_setting *setting, struct error *err)
{
	void *at = to->config;
	const struct field *field = fields_find(domain_config_fields, key->field, &at);
	bool mib = key->form == KEY_MIB;
	unsigned long long number;
	int r;

	switch (field->kind) {
	case FIELD_STRING:
		r = read_text(setting, field_place(field, at), err);
		return r || key->form != KEY_PATH
			? r
			: spec_absolute(to->reader, field_place(field, at), err);
	case FIELD_COUNT:
	case FIELD_NUMBER:
		r = read_number(setting, key->max ? key->min : field->min,
			key->max ? key->max : field->max, mib ? "MiB" : "", &number, err);
		if (!r)
			field_set_number(field, at, mib ? number << 10 : number);
		return r;
	case FIELD_BOOL: /* as xl's own: 0 or 1 */
		r = read_number(setting, 0, 1, "", &number, err);
		if (!r)
			field_set_number(field, at, number);
		return r;
	case FIELD_ENUM:
		return read_name(key, field, setting, at, err);
	default: /* has a reader of its own */
		return -EINVAL;
	}
}

static int read_type(const struct cfg_setting *setting, const char *const names[][2],
	const char *all, struct domain_config *config, struct error *err)
{
	const char *text;
	int r = keys_text(setting, &text, err);

	if (r)
		return r;
	for (; (*names)[0]; names++) {
		if (strcmp((*names)[0], text))
			continue;
		free(config->type);
		config->type = strdup((*names)[1]);
		return config->type ? 0 : error_nomem(err);
	}
	return cfg_error(err, EINVAL, &setting->value.at, "'%.40s' is not a %s: %s", text,
		setting->key, all);
}

int keys_read_type(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	static const char *const names[][2] = {{"pv", "pv"}, {"pvh", "pvh"}, {"hvm", "hvm"},
		{NULL, NULL}};
	const char *text = setting->value.text;

	if (text && !strcmp(text, domain_kind_name(DOMAIN_CONTAINER))) {
		to->config->kind = DOMAIN_CONTAINER;
		return 0;
	}
	return read_type(setting, names, "pv, pvh, hvm or container", to->config, err);
}

/* Does not count beside type. */
int keys_read_builder(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	static const char *const names[][2] = {{"hvm", "hvm"}, {"generic", "pv"}, {"linux", "pv"},
		{"pv", "pv"}, {NULL, NULL}};

	if (cfg_find(to->cfg, "type"))
		return 0;
	return read_type(setting, names, "generic, linux, pv or hvm", to->config, err);
}

int keys_read_uuid(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	const char *text;
	int r = keys_text(setting, &text, err);

	if (r || !*text)
		return r;
	if (domain_uuid_parse(text, to->config->uuid))
		return cfg_error(err, EINVAL, &setting->value.at,
			"'%.60s' is not a UUID: 32 hexadecimal digits, like "
			"01234567-89ab-cdef-0123-456789abcdef",
			text);
	return 0;
}

/* Takes made, NULL if there was no memory for it. */
static int set_cmdline(const struct keys_target *to, char *made, struct error *err)
{
	if (!made)
		return error_nomem(err);
	free(to->config->cmdline);
	to->config->cmdline = made;
	return 0;
}

int keys_read_cmdline(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	const struct cfg_setting *root = cfg_find(to->cfg, "root");
	const struct cfg_setting *extra = cfg_find(to->cfg, "extra");
	const char *text;
	int r = keys_text(setting, &text, err);

	if (root || extra)
		spec_warn(to->reader, &(root ? root : extra)->at,
			"'cmdline' is there too, so '%s' is ignored",
			root && extra ? "root' and 'extra" : (root ? root : extra)->key);
	return r ? r : set_cmdline(to, strdup(text), err);
}

/* Called for each, puts them together both times. */
int keys_read_root_and_extra(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	const struct cfg_setting *root = cfg_find(to->cfg, "root");
	const struct cfg_setting *extra = cfg_find(to->cfg, "extra");
	const char *root_text = "", *extra_text = "";
	char *made;
	int r = root ? keys_text(root, &root_text, err) : 0;

	if (cfg_find(to->cfg, "cmdline"))
		return 0;
	if (!r && extra)
		r = keys_text(extra, &extra_text, err);
	if (r)
		return r;
	if (asprintf(&made, "%s%s%s%s", *root_text ? "root=" : "", root_text,
		    *root_text && *extra_text ? " " : "", extra_text) < 0)
		made = NULL;
	return set_cmdline(to, made, err);
}

/* Of a machine it is a word for its kernel; a container's is a folder. */
int keys_read_root(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	int r;

	if (to->config->kind != DOMAIN_CONTAINER)
		return keys_read_root_and_extra(to, setting, err);
	r = read_text(setting, &to->config->root, err);
	return r ? r : spec_absolute(to->reader, &to->config->root, err);
}

/* The check's sentence begins with the field's name: back to the key and the place of its value. */
static int check(struct cfg *cfg, const char *file, const struct domain_config *config,
	struct error *err)
{
	struct error found = {""};
	char name[32];
	const struct cfg_setting *setting;
	const struct key *key;
	unsigned index = 0;
	int r = domain_config_check(config, &found);

	if (!r)
		r = domain_config_check_limits(config, &found);
	if (!r)
		return 0;
	snprintf(name, sizeof name, "%.*s", (int)strcspn(found.text, ":.["), found.text);
	sscanf(found.text + strlen(name), "[%u]", &index);
	key = keys_find_field(name) ? keys_find_field(name) : keys_find(name);
	setting = key ? cfg_find(cfg, key->name) : NULL;
	if (!setting && !strcmp(name, "cmdline"))
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
	const struct keys_target to = {cfg, reader, config};
	const struct cfg_setting *bootloader;
	struct error found = {""};
	const struct key *key;
	int r = 0;

	for (unsigned n = 0; !r && (key = keys_row(n)); n++) {
		const struct cfg_setting *setting =
			key->effect == KEY_FIELD ? cfg_find(cfg, key->name) : NULL;

		if (setting && key->read)
			r = key->read(&to, setting, err);
		else if (setting)
			r = read_field(key, &to, setting, err);
	}
	if (config->maxmem && !cfg_find(cfg, "memory"))
		config->memory = config->maxmem;
	if (!r)
		r = keys_keep(&to, err);
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
