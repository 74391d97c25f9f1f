/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/spelling.h"
#include "config/keys.h"
#include "config/spec.h"

static void warn_unknown(const struct cfg_setting *setting, const struct config_reader *reader)
{
	struct spelling spelling;
	const struct key *row;

	spelling_begin(&spelling, setting->key, strlen(setting->key));
	for (unsigned n = 0; (row = keys_row(n)); n++)
		if (row->effect == KEY_FIELD)
			spelling_offer(&spelling, row->name);
	spec_warn(reader, &setting->at, "unknown key '%.80s' is ignored%s", setting->key,
		spelling_question(&spelling, ""));
}

static json_t *as_json(const struct cfg_value *value)
{
	json_t *list;

	if (value->kind == CFG_NUMBER)
		return json_integer(value->number);
	if (value->kind == CFG_STRING)
		return json_string(value->text); /* NULL if it is not UTF-8 */
	list = json_array();
	for (unsigned n = 0; list && n < value->items; n++) {
		json_t *item =
			value->item[n].kind == CFG_NONE ? json_null() : as_json(&value->item[n]);

		if (!item || json_array_append_new(list, item)) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static int keep(const struct cfg_setting *setting, struct domain_config *config, struct error *err)
{
	json_t *value = as_json(&setting->value);

	if (!value)
		return cfg_error(err, EINVAL, &setting->value.at, "'%s' is not valid UTF-8",
			setting->key);
	if (!config->kept)
		config->kept = json_object();
	if (!config->kept || json_object_set_new(config->kept, setting->key, value))
		return error_nomem(err);
	return 0;
}

/* Not when it says no: 0, '' or []. */
static void warn_missing(const struct cfg_setting *setting, const struct config_reader *reader)
{
	const struct cfg_value *value = &setting->value;
	bool wanted = value->kind == CFG_LIST ? value->items
		: value->kind == CFG_NUMBER   ? value->number
					      : value->text[0] && strcmp(value->text, "0");

	if (wanted)
		spec_warn(reader, &setting->at, "'%s' has no effect yet", setting->key);
}

int keys_keep(const struct keys_target *to, struct error *err)
{
	struct cfg *cfg = to->cfg;
	int r = 0;

	for (unsigned n = 0; !r && n < cfg->settings; n++) {
		struct cfg_setting *setting = &cfg->setting[n];
		const struct key *found = keys_find(setting->key);

		if (setting->used || setting->value.kind == CFG_NONE)
			continue;
		if (found) {
			r = keep(setting, to->config, err);
			if (found->effect == KEY_MISSING)
				warn_missing(setting, to->reader);
			continue;
		}
		warn_unknown(setting, to->reader);
	}
	return r;
}
