/* SPDX-License-Identifier: Apache-2.0 */
#include "bootdisk/grub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COST_FILE 100u /* steps */

int grub_bad(struct grub *grub, unsigned line, const char *what)
{
	return error_set(grub->err, EINVAL, "line %u: %s", line, what);
}

int grub_step(struct grub *grub, unsigned line, unsigned steps)
{
	grub->steps += steps;
	return grub->steps > GRUB_STEPS_MAX ? grub_bad(grub, line, "it runs for too long") : 0;
}

/* Files */

bool grub_split(const struct grub *grub, const char *path, char *device, const char **rest)
{
	const char *end = *path == '(' ? strchr(path, ')') : NULL;
	const char *name = grub_value(grub, "root");
	size_t len = strlen(name);

	if (end) {
		name = path + 1;
		len = (size_t)(end - name);
	} else if (len > 1 && *name == '(') {
		name++; /* root was set with its brackets */
		len -= 2;
	}
	*rest = end ? end + 1 : path;
	if (len >= MENU_DEVICE_MAX || **rest != '/')
		return false;
	memcpy(device, name, len);
	device[len] = 0;
	return true;
}

int grub_read(struct grub *grub, const char *path, char **bytes, size_t *size)
{
	char device[MENU_DEVICE_MAX];
	const char *rest;
	int r;

	*bytes = NULL;
	if (grub->texts == GRUB_TEXTS_MAX || !grub_split(grub, path, device, &rest) ||
		grub_step(grub, grub->line, COST_FILE))
		return -ENOENT;
	r = grub->disk->read(grub->disk->data, device, rest, bytes, size);
	if (r)
		return r;
	/* It counts, whatever is done with it. */
	grub->text_bytes += *size;
	if (grub->text_bytes <= MENU_TEXT_MAX)
		return 0;
	free(*bytes);
	*bytes = NULL;
	return -EFBIG;
}

int grub_run_text(struct grub *grub, char *text, size_t size)
{
	struct script_node *list;
	int r;

	if (grub->texts == GRUB_TEXTS_MAX) {
		free(text);
		return error_set(grub->err, E2BIG, "more than %u files", GRUB_TEXTS_MAX);
	}
	grub->text[grub->texts++] = text;
	r = script_parse(&grub->pool, text, size, &list, grub->err);
	if (!r)
		r = grub_run(grub, list);
	if (grub->leave == GRUB_RETURN)
		grub->leave = GRUB_STAY;
	return r;
}

/* Commands */

/* menuentry TITLE OPTIONS {, submenu */
static int add_item(struct grub *grub, const struct script_node *node,
	const struct grub_words *words)
{
	static const char *const valued[] = {"--class", "--users", "--hotkey", "--source", NULL};
	const char *title = NULL, *id = NULL;
	struct menu_item *item;
	int r = 0;

	if (grub->item >= 0 && !grub->menu->item[grub->item].submenu)
		return grub_bad(grub, node->line, "an entry within an entry");
	for (unsigned i = 1; i < words->count; i++) {
		const char *word = words->word[i];
		bool skip = false;

		for (unsigned k = 0; valued[k]; k++)
			skip |= !strcmp(word, valued[k]);
		if (!strncmp(word, "--id=", 5))
			id = word + 5;
		else if (!strcmp(word, "--id") && i + 1 < words->count)
			id = words->word[++i];
		else if (skip) /* its value, which a variable without one is not */
			i += i + 1 < words->count && strncmp(words->word[i + 1], "--", 2);
		else if (strncmp(word, "--", 2) && !title)
			title = word;
	}
	item = menu_add(grub->menu, grub->parent, title ? title : "", node->line, grub->err);
	if (!item)
		return -EINVAL;
	item->submenu = !strcmp(words->word[0], "submenu");
	item->body = node->body;
	if (id)
		r = menu_set(&item->id, id, grub->err);
	return r;
}

/* NAME=VALUE, as a command of its own */
static bool assign(struct grub *grub, const struct grub_words *words, int *r)
{
	const char *equals = strchr(words->word[0], '=');
	char name[GRUB_NAME_MAX];

	if (!equals || !grub_is_name(words->word[0], (size_t)(equals - words->word[0])))
		return false;
	memcpy(name, words->word[0], (size_t)(equals - words->word[0]));
	name[equals - words->word[0]] = 0;
	*r = grub_set(grub, name, equals + 1);
	return true;
}

static bool call(struct grub *grub, const struct grub_words *words, unsigned line, int *r)
{
	const struct grub_words *before = grub->arguments;
	const struct grub_function *function = NULL;

	for (unsigned i = 0; i < grub->functions; i++) {
		const struct script_word *name = grub->function[i].name;

		/* The last of a name is the one. */
		if (strlen(words->word[0]) == name->len &&
			!memcmp(words->word[0], name->at, name->len))
			function = &grub->function[i];
	}
	if (!function)
		return false;
	if (grub->calls == GRUB_CALLS_MAX) {
		*r = grub_bad(grub, line, "nested too deep");
		return true;
	}
	grub->calls++;
	grub->arguments = words;
	*r = grub_run(grub, function->body);
	if (grub->leave == GRUB_RETURN)
		grub->leave = GRUB_STAY;
	grub->arguments = before;
	grub->calls--;
	return true;
}

static int not_understood(struct grub *grub, const char *name)
{
	char **other = grub->item >= 0 ? &grub->menu->item[grub->item].other : &grub->menu->other;

	grub->status = true;
	return *other ? 0 : menu_set(other, name, grub->err);
}

static int run_words(struct grub *grub, const struct script_node *node,
	const struct grub_words *words)
{
	const char *name = words->word[0];
	int r = 0;

	if (node->block && (!strcmp(name, "menuentry") || !strcmp(name, "submenu"))) {
		grub->status = true;
		return add_item(grub, node, words);
	}
	if (assign(grub, words, &r)) {
		grub->status = true;
		return r;
	}
	if (call(grub, words, node->line, &r) || grub_command(grub, words, node->line, &r))
		return r;
	return not_understood(grub, name);
}

static int run_command(struct grub *grub, const struct script_node *node)
{
	struct grub_words *words = malloc(sizeof *words);
	int r;

	if (!words)
		return error_nomem(grub->err);
	r = grub_expand(grub, node, words);
	if (!r && words->count)
		r = run_words(grub, node, words);
	free(words);
	return r;
}

/* A turn of a loop; whether another may follow. */
static int run_turn(struct grub *grub, const struct script_node *body, bool *more)
{
	int r = grub_run(grub, body);

	*more = grub->leave == GRUB_STAY || grub->leave == GRUB_CONTINUE;
	if (grub->leave == GRUB_CONTINUE || grub->leave == GRUB_BREAK)
		grub->leave = GRUB_STAY;
	return r;
}

static int run_loop(struct grub *grub, const struct script_node *node)
{
	bool more = true;
	int r = 0;

	while (!r && more) {
		r = grub_run(grub, node->condition);
		if (r || grub->leave || grub->status != (node->kind == SCRIPT_WHILE))
			break;
		r = run_turn(grub, node->body, &more);
	}
	grub->status = true;
	return r;
}

static int run_for(struct grub *grub, const struct script_node *node)
{
	struct grub_words *words = malloc(sizeof *words);
	int r = words ? grub_expand(grub, node, words) : error_nomem(grub->err);
	bool more = true;

	if (!r && (!words->count || !grub_is_name(words->word[0], strlen(words->word[0]))))
		r = grub_bad(grub, node->line, "for: no name of a variable");
	for (unsigned i = 1; !r && more && i < words->count; i++) {
		r = grub_set(grub, words->word[0], words->word[i]);
		if (!r)
			r = run_turn(grub, node->body, &more);
	}
	free(words);
	return r;
}

/* With all its elifs. */
static int run_if(struct grub *grub, const struct script_node *node)
{
	for (;;) {
		int r = grub_run(grub, node->condition);

		if (r || grub->leave)
			return r;
		if (grub->status)
			return grub_run(grub, node->body);
		if (!node->other || node->other->kind != SCRIPT_IF || node->other->next) {
			grub->status = true;
			return grub_run(grub, node->other);
		}
		node = node->other;
	}
}

static int run_node(struct grub *grub, const struct script_node *node)
{
	int r;

	switch (node->kind) {
	case SCRIPT_COMMAND:
		return run_command(grub, node);
	case SCRIPT_GROUP:
		return grub_run(grub, node->body);
	case SCRIPT_IF:
		return run_if(grub, node);
	case SCRIPT_WHILE:
	case SCRIPT_UNTIL:
		return run_loop(grub, node);
	case SCRIPT_FOR:
		return run_for(grub, node);
	case SCRIPT_NOT:
		r = grub_run(grub, node->body);
		grub->status = !grub->status;
		return r;
	case SCRIPT_FUNCTION:
		if (grub->functions == GRUB_VARIABLES_MAX)
			return grub_bad(grub, node->line, "too many functions");
		grub->function[grub->functions++] = (struct grub_function){node->word, node->body};
		return 0;
	}
	return 0;
}

int grub_run(struct grub *grub, const struct script_node *list)
{
	/* A loop without a command, too, is to end. */
	int r = list ? 0 : grub_step(grub, grub->line, 1);

	for (; !r && list && !grub->leave; list = list->next) {
		grub->line = list->line;
		r = grub_step(grub, list->line, 1);
		if (!r)
			r = run_node(grub, list);
	}
	return r;
}

/* Beginning and end */

static int begin(struct grub *grub)
{
	const struct menu_disk *disk = grub->disk;
	char path[MENU_DEVICE_MAX + 80];
	int r = grub_set(grub, "root", disk->device);

	snprintf(path, sizeof path - sizeof "/grubenv", "(%s)%s", disk->device, disk->folder);
	if (!r)
		r = grub_set(grub, "prefix", path);
	if (!r)
		r = grub_set(grub, "config_directory", path);
	if (!r)
		r = grub_set(grub, "cmdpath", path);
	/* Whether the configuration asks for them or not: some people's does not. */
	strcat(path, "/grubenv");
	return r ? r : grub_load_env(grub, path, NULL, 0);
}

static int take_default(struct grub *grub)
{
	const char *chosen = grub_value(grub, "default");

	return *chosen ? menu_set(&grub->menu->chosen, chosen, grub->err) : 0;
}

int menu_parse_grub(const struct menu_disk *disk, const char *text, size_t size, struct menu *menu,
	struct error *err)
{
	struct grub *grub = calloc(1, sizeof *grub);
	char *copy = malloc(size + 1);
	int r;

	*menu = (struct menu){.grub = grub};
	if (!grub || !copy) {
		free(grub);
		free(copy);
		menu->grub = NULL;
		return error_nomem(err);
	}
	memcpy(copy, text, size);
	grub->disk = disk;
	grub->menu = menu;
	grub->err = err;
	grub->parent = MENU_TOP;
	grub->item = -1;
	r = begin(grub);
	if (r)
		free(copy);
	else
		r = grub_run_text(grub, copy, size);
	if (!r)
		r = take_default(grub);
	if (!r && *grub_value(grub, "fallback"))
		r = menu_set(&menu->fallback, grub_value(grub, "fallback"), err);
	grub->err = NULL;
	if (r)
		menu_free(menu);
	return r;
}

/* What it says, in the one form or the other. */
static int run_item(struct grub *grub, const struct menu_item *item)
{
	char *copy;

	if (item->body)
		return grub_run(grub, item->body);
	copy = strdup(item->text);
	return copy ? grub_run_text(grub, copy, strlen(copy)) : error_nomem(grub->err);
}

int grub_run_item(struct grub *grub, struct menu_item *item, bool trial, struct error *err)
{
	struct menu *menu = grub->menu;
	int r;

	if (!item->body && !item->text)
		return 0;
	grub->err = err;
	grub->trial = trial;
	grub->leave = GRUB_STAY;
	grub->calls = 0;
	grub->item = (int)(item - menu->item);
	grub->parent = grub->item;
	r = grub_set(grub, "chosen", item->id ? item->id : item->title);
	if (!r)
		r = grub_set(grub, "default", "");
	if (!r)
		r = run_item(grub, item);
	if (!r && !trial)
		r = take_default(grub);
	if (!r && !trial) {
		free(item->text);
		item->text = NULL;
		item->body = NULL;
	}
	grub->item = -1;
	grub->err = NULL;
	return r;
}

void grub_free(struct grub *grub)
{
	if (!grub)
		return;
	while (grub->variables--) {
		free(grub->variable[grub->variables].name);
		free(grub->variable[grub->variables].value);
	}
	while (grub->texts)
		free(grub->text[--grub->texts]);
	script_free(&grub->pool);
	free(grub);
}
