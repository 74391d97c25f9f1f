/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "config/keys.h"
#include "config/spec.h"
#include "config/value.h"

#define COMMAND_LINE "command line"

/* Whether a key that stands more than once on the command line means all of them, as xm took it. */
static bool adds_up(const char *key, size_t size)
{
	static const char *const keys[] = {"disk", "vif", "vfb", "pci", NULL};

	for (unsigned n = 0; keys[n]; n++)
		if (strlen(keys[n]) == size && !memcmp(keys[n], key, size))
			return true;
	return false;
}

/*
 * A shell has taken the quotes away from name='web' and extra='console=ttyS0': whatever does not
 * read as a line of the file, and has no quote or bracket in front, is the text itself.
 */
static int read_override(struct cfg *cfg, const char *word, unsigned n, struct error *err)
{
	size_t key =
		strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.0123456789");
	size_t sign = key + strspn(word + key, " \t");
	bool add = !strncmp(word + sign, "+=", 2);
	const char *text = word + sign + (add ? 2 : 1);
	struct cfg_place at = {COMMAND_LINE, n, 1};
	struct cfg_value value = {.kind = CFG_STRING, .at = at, .exact = true};
	char *name;
	int r;

	if (!key || isdigit((unsigned char)*word) || (!add && word[sign] != '='))
		return cfg_error(err, EINVAL, &at, "'%.80s' is not KEY=VALUE", word);
	sign = strspn(text, " \t");
	if (add || (text[sign] && strchr("'\"[", text[sign])))
		return cfg_parse(cfg, COMMAND_LINE, n, word, strlen(word), true, err);
	if (!cfg_parse(cfg, COMMAND_LINE, n, word, strlen(word), true, NULL))
		return 0;
	value.at.column += text - word;
	name = strndup(word, key);
	value.text = strdup(text);
	if (name && value.text)
		r = cfg_set(cfg, name, &at, &value, err);
	else
		r = error_nomem(err);
	free(value.text);
	free(name);
	return r;
}

/* The setting that the command line has made already of this word's key; NULL: none. */
static struct cfg_setting *earlier(struct cfg *cfg, const char *word)
{
	size_t size = strcspn(word, " \t=+");

	for (unsigned n = 0; n < cfg->settings; n++)
		if (strlen(cfg->setting[n].key) == size &&
			!memcmp(cfg->setting[n].key, word, size) &&
			!strcmp(cfg->setting[n].at.file, COMMAND_LINE))
			return &cfg->setting[n];
	return NULL;
}

/* KEY=VALUE (not +=) of a key that adds up, and was there. */
static bool is_further(struct cfg *cfg, const char *word)
{
	size_t size = strcspn(word, " \t=+");

	return adds_up(word, size) && word[size + strspn(word + size, " \t")] == '=' &&
		earlier(cfg, word);
}

/* Moves a list's items, or the one that the value is, behind those of all. */
static int move_items(struct cfg *cfg, struct cfg_value *all, struct cfg_value *value,
	struct error *err)
{
	int r = 0;

	if (value->kind != CFG_LIST) {
		r = value_append(cfg, all, value, err);
		memset(value, 0, sizeof *value);
		return r;
	}
	for (unsigned n = 0; !r && n < value->items; n++) {
		r = value_append(cfg, all, &value->item[n], err);
		memset(&value->item[n], 0, sizeof value->item[n]);
	}
	value_free(value);
	return r;
}

/* A second disk= does not replace the first, though both replace the file's. */
static int read_further_override(struct cfg *cfg, const char *word, unsigned n, struct error *err)
{
	struct cfg_setting *setting = earlier(cfg, word);
	struct cfg_value all = {.kind = CFG_LIST, .at = setting->value.at};
	int r = move_items(cfg, &all, &setting->value, err);

	if (!r)
		r = read_override(cfg, word, n, err);
	setting = earlier(cfg, word);
	if (!r)
		r = move_items(cfg, &all, &setting->value, err);
	if (r)
		value_free(&all);
	else
		setting->value = all;
	return r;
}

int config_read(const char *file, const char *text, size_t size, const char *const *overrides,
	unsigned count, const struct config_reader *reader, struct domain_config *config,
	struct error *err)
{
	struct cfg cfg = {0};
	int r = cfg_parse(&cfg, file, 1, text, size, false, err);

	memset(config, 0, sizeof *config);
	for (unsigned n = 0; !r && n < count; n++)
		r = is_further(&cfg, overrides[n])
			? read_further_override(&cfg, overrides[n], n + 1, err)
			: read_override(&cfg, overrides[n], n + 1, err);
	if (!r && domain_config_init(config))
		r = error_nomem(err);
	if (!r)
		r = keys_apply(&cfg, file, reader, config, err);
	if (r)
		domain_config_free(config);
	cfg_free(&cfg);
	return r;
}

static int read_whole(const char *path, char **text, size_t *size, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), r;

	if (fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	r = io_read_file(fd, CONFIG_FILE_MAX, text, size);
	close(fd);
	if (r == -EFBIG)
		return error_set(err, EFBIG, "%s: more than %u bytes; is this a configuration?",
			path, CONFIG_FILE_MAX);
	return r ? error_set(err, -r, "%s: cannot be read: %s", path, strerror(-r)) : 0;
}

int config_load(const char *path, const char *const *overrides, unsigned count,
	const struct config_reader *reader, struct domain_config *config, struct error *err)
{
	char *text = NULL;
	size_t size = 0;
	int r = path ? read_whole(path, &text, &size, err) : 0;

	if (r)
		memset(config, 0, sizeof *config);
	else
		r = config_read(path ? path : COMMAND_LINE, text ? text : "", size, overrides,
			count, reader, config, err);
	free(text);
	return r;
}
