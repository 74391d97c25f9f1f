/* SPDX-License-Identifier: Apache-2.0 */
/* One disk or network, in the words of xl's block-attach and network-attach. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/spec.h"

static char *join(const char *const *words, unsigned count)
{
	size_t size = 1;
	char *text, *end;

	for (unsigned i = 0; i < count; i++)
		size += strlen(words[i]) + 1;
	text = end = malloc(size);
	if (!text)
		return NULL;
	*end = 0;
	for (unsigned i = 0; i < count; i++)
		end += sprintf(end, "%s%s", i ? "," : "", words[i]);
	return text;
}

/* By a configuration that has nothing else. */
static int begin_alone(struct domain_config *config, unsigned disks, unsigned vifs)
{
	if (domain_config_init(config))
		return -ENOMEM;
	free(config->name);
	config->name = strdup("guest");
	config->disk = calloc(disks + !disks, sizeof *config->disk);
	config->vif = calloc(vifs + !vifs, sizeof *config->vif);
	if (!config->name || !config->disk || !config->vif)
		return -ENOMEM;
	config->disks = disks;
	config->vifs = vifs;
	return 0;
}

static int finish_alone(struct domain_config *config, const char *key, json_t **device,
	struct error *err)
{
	json_t *json;
	int r = domain_config_to_json(config, &json, err);

	if (r)
		return r;
	*device = json_incref(json_array_get(json_object_get(json, key), 0));
	json_decref(json);
	return 0;
}

static struct cfg_value value_of(const char *key, char *text)
{
	return (struct cfg_value){.kind = CFG_STRING,
		.at = {key, 1, 1},
		.exact = true,
		.text = text};
}

int config_disk(const char *const *words, unsigned count, const struct config_reader *reader,
	json_t **disk, struct error *err)
{
	struct domain_config config;
	char *text = join(words, count);
	const struct cfg_value value = value_of("disk", text);
	int r = begin_alone(&config, 1, 0);

	if (r || !text)
		r = error_nomem(err);
	if (!r)
		r = spec_disk(&value, reader, config.disk, err);
	if (!r)
		r = finish_alone(&config, "disks", disk, err);
	domain_config_free(&config);
	free(text);
	return r;
}

int config_vif(const char *const *words, unsigned count, const struct config_reader *reader,
	json_t **vif, struct error *err)
{
	struct domain_config config;
	char *text = join(words, count);
	const struct cfg_value value = value_of("vif", text);
	int r = begin_alone(&config, 0, 1);

	if (r || !text)
		r = error_nomem(err);
	if (!r)
		r = spec_vif(&value, reader, config.vif, err);
	if (!r)
		r = finish_alone(&config, "vifs", vif, err);
	domain_config_free(&config);
	free(text);
	return r;
}

int config_share(const char *word, json_t **share, struct error *err)
{
	struct share_spec spec;
	int r = share_spec_parse(word, &spec, err);

	if (r)
		return r;
	r = spec_absolute(NULL, &spec.folder, err);
	if (!r)
		r = share_spec_check("share", &spec, err);
	*share = r ? NULL : fields_write(share_spec_fields, &spec);
	share_spec_free(&spec);
	return r || *share ? r : error_nomem(err);
}
