/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's screen: vnc's further keys, and vfb, in which paravirtual guests have the same. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/keys.h"
#include "config/spec.h"

#define DISPLAYS 100u

/* Takes made, NULL if there was no memory for it. */
static int set(char **to, char *made, struct error *err)
{
	if (!made)
		return error_nomem(err);
	free(*to);
	*to = made;
	return 0;
}

/* An address that has a display already keeps it: as xl has it, that of vnclisten counts. */
static int set_listen(struct domain_config *config, const char *address, const char *display,
	struct error *err)
{
	const char *colon = strrchr(address, ':');
	bool bare = *address != '[' && colon && strchr(address, ':') != colon; /* IPv6 */
	bool has = !bare && colon && (*address != '[' || strchr(address, ']') < colon);
	char *made;

	if (!*display || has)
		return set(&config->machine.vnc_listen, strdup(*address ? address : "127.0.0.1"),
			err);
	if (asprintf(&made, bare ? "[%s]:%s" : "%s:%s", *address ? address : "127.0.0.1", display) <
		0)
		made = NULL;
	return set(&config->machine.vnc_listen, made, err);
}

static int set_password(const struct keys_target *to, const struct cfg_place *at,
	const char *password, struct error *err)
{
	if (!*password)
		return 0;
	if (strlen(password) > LIMIT_VNC_PASSWORD)
		spec_warn(to->reader, at,
			"VNC's passwords have %d characters: what is behind them does not count",
			LIMIT_VNC_PASSWORD);
	return set(&to->config->machine.vnc_password, strndup(password, LIMIT_VNC_PASSWORD), err);
}

static int check_display(const struct cfg_place *at, const char *display, struct error *err)
{
	char *end;
	unsigned long number = strtoul(display, &end, 10);

	if (*display >= '0' && *display <= '9' && !*end && number < DISPLAYS)
		return 0;
	return cfg_error(err, EINVAL, at, "'%.20s' is no display: a number from 0 to %u", display,
		DISPLAYS - 1);
}

/* Called for each, puts them together both times. */
int keys_read_vnc_listen(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	const struct cfg_setting *listen = cfg_find(to->cfg, "vnclisten");
	const struct cfg_setting *display = cfg_find(to->cfg, "vncdisplay");
	const char *listen_text = "", *display_text = "";
	int r = listen ? keys_text(listen, &listen_text, err) : 0;

	if (!r && display)
		r = keys_text(display, &display_text, err);
	if (!r && display)
		r = check_display(&display->value.at, display_text, err);
	return r ? r : set_listen(to->config, listen_text, display_text, err);
}

int keys_read_vnc_password(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	const char *text;
	int r = keys_text(setting, &text, err);

	return r ? r : set_password(to, &setting->value.at, text, err);
}

/* What an entry of vfb says. */
struct vfb {
	char listen[64], display[16], password[64];
	bool vnc;
};

/* One "key=value"; others of xl's (sdl, opengl, keymap, ...) are about other screens. */
static int read_pair(const struct cfg_value *entry, char *pair, struct vfb *vfb, struct error *err)
{
	static const struct {
		const char *key;
		size_t at, size;
	} texts[] = {{"vnclisten", offsetof(struct vfb, listen), sizeof vfb->listen},
		{"vncdisplay", offsetof(struct vfb, display), sizeof vfb->display},
		{"vncpasswd", offsetof(struct vfb, password), sizeof vfb->password}};
	char *value = strchr(pair, '=');

	if (!value)
		return cfg_error(err, EINVAL, &entry->at,
			"'%.40s' in 'vfb': it is a list like [ 'vnc=1,vncpasswd=secret' ]", pair);
	*value++ = 0;
	if (!strcmp(pair, "vnc"))
		vfb->vnc = strcmp(value, "0");
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (!strcmp(pair, texts[i].key) &&
			snprintf((char *)vfb + texts[i].at, texts[i].size, "%s", value) >=
				(int)texts[i].size)
			return cfg_error(err, EINVAL, &entry->at, "'%s' in 'vfb' is too long",
				pair);
	return 0;
}

static int apply(const struct keys_target *to, const struct cfg_value *entry, const struct vfb *vfb,
	struct error *err)
{
	int r = *vfb->display ? check_display(&entry->at, vfb->display, err) : 0;

	to->config->machine.vnc |= vfb->vnc;
	if (!r && (*vfb->listen || *vfb->display))
		r = set_listen(to->config, vfb->listen, vfb->display, err);
	return r ? r : set_password(to, &entry->at, vfb->password, err);
}

int keys_read_vfb(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err)
{
	const struct cfg_value *entry = &setting->value;
	struct vfb vfb = {.vnc = true}; /* xl's default */
	char *text, *next;
	int r = 0;

	if (entry->kind == CFG_LIST && !entry->items)
		return 0;
	if (entry->kind == CFG_LIST)
		entry = entry->item; /* a guest has one screen: the first */
	if (entry->kind != CFG_STRING)
		return cfg_error(err, EINVAL, &entry->at,
			"'vfb' is a list of strings, like [ 'vnc=1' ]");
	text = strdup(entry->text);
	if (!text)
		return error_nomem(err);
	for (char *pair = strtok_r(text, ",", &next); !r && pair; pair = strtok_r(NULL, ",", &next))
		r = read_pair(entry, pair + strspn(pair, " \t"), &vfb, err);
	free(text);
	return r ? r : apply(to, entry, &vfb, err);
}
