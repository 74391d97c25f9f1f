/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/keys.h"
#include "config/spec.h"
#include "host/cpuset.h"

/* The entries of a list, or the one value that stands for a list of one. */
static unsigned entries(const struct cfg_setting *setting, const struct cfg_value **first)
{
	if (setting->value.kind == CFG_LIST) {
		*first = setting->value.item;
		return setting->value.items;
	}
	*first = &setting->value;
	return 1;
}

/* Only those that hold something: xl's files write disk = [ '' ] for none. */
static int check_entry(const struct cfg_setting *setting, const struct cfg_value *entry,
	const char *like, struct error *err)
{
	if (entry->kind == CFG_STRING || entry->kind == CFG_NUMBER)
		return 0;
	return cfg_error(err, EINVAL, &entry->at, "'%s' is a list of strings, like %s",
		setting->key, like);
}

static int too_many(const struct cfg_setting *setting, unsigned max, struct error *err)
{
	return cfg_error(err, EINVAL, &setting->at, "'%s': %u at most", setting->key, max);
}

int keys_read_disks(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	struct domain_config *config = to->config;
	const struct cfg_value *entry = NULL;
	unsigned count = entries(setting, &entry);
	int r = 0;

	if (count > DOMAIN_DISKS_MAX)
		return too_many(setting, DOMAIN_DISKS_MAX, err);
	config->disk = count ? calloc(count, sizeof *config->disk) : NULL;
	if (count && !config->disk)
		return error_nomem(err);
	for (; !r && count--; entry++) {
		r = check_entry(setting, entry, "[ '/srv/web.img,raw,xvda,rw' ]", err);
		if (!r && entry->text[strspn(entry->text, " \t")])
			r = spec_disk(entry, to->reader, &config->disk[config->disks++], err);
	}
	return r;
}

int keys_read_vifs(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	struct domain_config *config = to->config;
	const struct cfg_value *entry = NULL;
	unsigned count = entries(setting, &entry);
	int r = 0;

	if (count > DOMAIN_VIFS_MAX)
		return too_many(setting, DOMAIN_VIFS_MAX, err);
	config->vif = count ? calloc(count, sizeof *config->vif) : NULL;
	if (count && !config->vif)
		return error_nomem(err);
	for (; !r && count--; entry++) {
		r = check_entry(setting, entry, "[ 'mac=00:16:3e:01:02:03,bridge=br0' ]", err);
		if (!r)
			r = spec_vif(entry, to->reader, &config->vif[config->vifs++], err);
	}
	return r;
}

static int read_share(const struct keys_target *to, const struct cfg_value *entry,
	struct share_spec *share, struct error *err)
{
	struct error why = {""};
	int r = share_spec_parse(entry->text, share, err);

	if (!r)
		r = spec_absolute(to->reader, &share->folder, err);
	if (!r && share_spec_check("share", share, &why))
		r = cfg_error(err, EINVAL, &entry->at, "%s", why.text);
	return r;
}

int keys_read_shares(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	struct domain_config *config = to->config;
	const struct cfg_value *entry = NULL;
	unsigned count = entries(setting, &entry);
	int r = 0;

	if (count > LIMIT_SHARES)
		return too_many(setting, LIMIT_SHARES, err);
	config->share = count ? calloc(count, sizeof *config->share) : NULL;
	if (count && !config->share)
		return error_nomem(err);
	for (; !r && count--; entry++) {
		r = check_entry(setting, entry, "[ '/srv/data:/mnt,ro' ]", err);
		if (!r && entry->text[strspn(entry->text, " \t")])
			r = read_share(to, entry, &config->share[config->shares++], err);
	}
	return r;
}

static int add_string(char ***list, unsigned *count, const char *text, struct error *err)
{
	char **more = realloc(*list, (*count + 1) * sizeof *more), *copy = strdup(text);

	if (more)
		*list = more;
	if (!more || !copy) {
		free(copy);
		return error_nomem(err);
	}
	more[(*count)++] = copy;
	return 0;
}

int keys_read_words(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	void *in = to->config;
	const struct field *field = fields_find(domain_config_fields, setting->key, &in);
	const struct cfg_value *entry = NULL;
	unsigned count = entries(setting, &entry);
	int r = 0;

	if (count > field->max)
		return too_many(setting, (unsigned)field->max, err);
	for (; !r && count--; entry++) {
		r = check_entry(setting, entry, "[ '/sbin/init', '-x' ]", err);
		if (!r)
			r = add_string(field_place(field, in), field_length(field, in), entry->text,
				err);
	}
	return r;
}

int keys_read_serial(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	struct domain_config *config = to->config;
	const struct cfg_value *entry = NULL;
	unsigned count = entries(setting, &entry);
	int r = 0;

	if (count > DOMAIN_SERIALS_MAX)
		return too_many(setting, DOMAIN_SERIALS_MAX, err);
	for (; !r && count--; entry++) {
		r = check_entry(setting, entry, "[ 'pty' ]", err);
		if (!r && entry->text[0])
			r = add_string(&config->serial, &config->serials, entry->text, err);
	}
	return r;
}

/* Those that this host does not have, of what reads well. */
static void warn_processors(const struct config_reader *reader, const struct cfg_value *value)
{
	struct cpuset_host host;
	struct error why = {""};
	cpu_set_t set;

	if (!cpuset_host_read("/sys", &host, NULL) && cpuset_parse(value->text, &host, &set, &why))
		spec_warn(reader, &value->at, "%s; the guest's processor runs anywhere", why.text);
}

/* One string for all vCPUs, or a list with an entry for each. soft: where they may run anyhow. */
static int read_cpus(const struct keys_target *to, bool soft, const struct cfg_setting *setting,
	char ***list, unsigned *count, struct error *err)
{
	const struct domain_config *config = to->config;
	const struct cfg_value *entry;
	unsigned given = entries(setting, &entry);
	unsigned vcpus = config->maxvcpus > config->vcpus ? config->maxvcpus : config->vcpus;
	bool each = setting->value.kind == CFG_LIST;
	int r = 0;

	if (given > DOMAIN_VCPUS_MAX)
		return too_many(setting, DOMAIN_VCPUS_MAX, err);
	if (!each && setting->value.kind == CFG_STRING && !setting->value.text[0])
		return 0;
	for (unsigned n = 0; !r && given && n < (each ? given : vcpus); n++) {
		const struct cfg_value *one = &entry[each ? n : 0];
		struct error why = {""};
		cpu_set_t set;

		r = check_entry(setting, one, "[ '0', '2-3' ]", err);
		if (!r && cpuset_parse(one->text, NULL, &set, &why))
			r = cfg_error(err, EINVAL, &one->at, "%s", why.text);
		if (!r && !soft && (each || !n))
			warn_processors(to->reader, one);
		if (!r)
			r = add_string(list, count, one->text, err);
	}
	return r;
}

int keys_read_cpus(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	return read_cpus(to, false, setting, &to->config->cpus, &to->config->cpus_count, err);
}

int keys_read_cpus_soft(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	return read_cpus(to, true, setting, &to->config->cpus_soft, &to->config->cpus_soft_count,
		err);
}
