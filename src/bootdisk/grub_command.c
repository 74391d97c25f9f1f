/* SPDX-License-Identifier: Apache-2.0 */
/* GRUB's commands, as far as they have to do with which kernel is started. */
#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bootdisk/grub.h"

/* What a pattern may be: more makes the C library take memory and time without end. */
#define PATTERN_MAX 64u
#define PATTERN_REPEATS_MAX 6u
#define PATTERN_GROUPS 10u
#define SUBJECT_MAX 256u
/* Steps */
#define COST_PATTERN 200u
#define COST_SEARCH 500u

struct grub_call {
	struct grub *grub;
	const struct grub_words *words;
	unsigned line;
};

/* Variables */

/* NAME=VALUE in word; no =: nothing. */
static int set_from(struct grub *grub, const char *word)
{
	const char *equals = strchr(word, '=');
	char name[GRUB_NAME_MAX];

	if (!equals || !grub_is_name(word, (size_t)(equals - word)))
		return 0;
	memcpy(name, word, (size_t)(equals - word));
	name[equals - word] = 0;
	return grub_set(grub, name, equals + 1);
}

static int do_set(const struct grub_call *call)
{
	return call->words->count > 1 ? set_from(call->grub, call->words->word[1]) : 0;
}

static int do_unset(const struct grub_call *call)
{
	int r = 0;

	for (unsigned i = 1; !r && i < call->words->count; i++)
		if (grub_is_name(call->words->word[i], strlen(call->words->word[i])))
			r = grub_set(call->grub, call->words->word[i], "");
	return r;
}

/* increment NAME, decrement NAME */
static int do_count(const struct grub_call *call)
{
	const char *name = call->words->count > 1 ? call->words->word[1] : "";
	char text[24];
	long value;

	if (!grub_is_name(name, strlen(name)))
		return 0;
	value = strtol(grub_value(call->grub, name), NULL, 10);
	if (value > -1000000 && value < 1000000)
		value += call->words->word[0][0] == 'i' ? 1 : -1;
	snprintf(text, sizeof text, "%ld", value);
	return grub_set(call->grub, name, text);
}

/* load_env [-f FILE] [-s] [NAMES], save_env [-f FILE] NAMES */
static int do_env(const struct grub_call *call)
{
	const struct grub_words *words = call->words;
	char path[MENU_DEVICE_MAX + 1024];
	unsigned i = 1;

	snprintf(path, sizeof path, "%s/grubenv", grub_value(call->grub, "prefix"));
	for (; i < words->count && words->word[i][0] == '-'; i++) {
		const char *file = NULL;

		if (!strncmp(words->word[i], "--file=", 7))
			file = words->word[i] + 7;
		else if (!strcmp(words->word[i], "-f") || !strcmp(words->word[i], "--file"))
			file = i + 1 < words->count ? words->word[++i] : "";
		if (file)
			snprintf(path, sizeof path, "%s", file);
	}
	return words->word[0][0] == 'l' ? grub_load_env(call->grub, path, words, i)
					: grub_save_env(call->grub, path, words, i);
}

/* Devices */

/* search --fs-uuid|--label|--file [--set[=NAME]] WHAT, and search.fs_uuid WHAT NAME and its like */
static int do_search(const struct grub_call *call)
{
	static const struct {
		const char *option, *letter, *command;
		enum menu_by by;
	} kinds[] = {
		{"--fs-uuid", "-u", "search.fs_uuid", MENU_BY_UUID},
		{"--label", "-l", "search.fs_label", MENU_BY_LABEL},
		{"--file", "-f", "search.file", MENU_BY_FILE},
	};
	const struct grub_words *words = call->words;
	const struct menu_disk *disk = call->grub->disk;
	const char *what = NULL, *second = NULL, *name = NULL, *behind_set = NULL;
	unsigned set = 0;
	enum menu_by by = MENU_BY_FILE;
	char device[MENU_DEVICE_MAX];
	int r;

	for (unsigned k = 0; k < 3; k++)
		if (!strcmp(words->word[0], kinds[k].command))
			by = kinds[k].by;
	for (unsigned i = 1; i < words->count; i++) {
		const char *word = words->word[i];

		for (unsigned k = 0; k < 3; k++)
			if (!strcmp(word, kinds[k].option) || !strcmp(word, kinds[k].letter))
				by = kinds[k].by;
		if (!strncmp(word, "--set=", 6))
			name = word + 6;
		else if (!strcmp(word, "--set") || !strcmp(word, "-s"))
			set = i + 1;
		else if (!strcmp(word, "--hint"))
			i++;
		else if (*word != '-' && i == set)
			behind_set = word;
		else if (*word != '-' && !what)
			what = word;
		else if (*word != '-' && !second)
			second = word;
	}
	/* A word behind --set is a name if there is another. */
	if (!what)
		what = behind_set;
	else if (!name)
		name = behind_set;
	call->grub->status = false;
	r = grub_step(call->grub, call->line, COST_SEARCH);
	if (!what || r)
		return r;
	name = name ? name : second ? second : "root";
	if (!disk->find(disk->data, by, what, device) || !grub_is_name(name, strlen(name)))
		return 0;
	call->grub->status = true;
	return grub_set(call->grub, name, device);
}

/* Whether the C library may be asked to look for it. */
static bool is_tame(const char *pattern, const char *subject)
{
	unsigned repeats = 0;

	if (strlen(pattern) > PATTERN_MAX || strlen(subject) > SUBJECT_MAX)
		return false;
	for (; *pattern; pattern++) {
		repeats += *pattern == '*' || *pattern == '+' || *pattern == '?';
		if (*pattern == '{' || (*pattern == '\\' && isdigit((unsigned char)pattern[1])))
			return false;
	}
	return repeats <= PATTERN_REPEATS_MAX;
}

/* --set [NUMBER:]NAME */
static int set_group(struct grub *grub, const char *to, const char *subject,
	const regmatch_t group[PATTERN_GROUPS])
{
	char value[SUBJECT_MAX + 1];
	unsigned number = 1;

	if (isdigit((unsigned char)*to) && to[1] == ':') {
		number = (unsigned)(*to - '0');
		to += 2;
	}
	if (!grub_is_name(to, strlen(to)) || group[number].rm_so < 0)
		return 0;
	snprintf(value, sizeof value, "%.*s", (int)(group[number].rm_eo - group[number].rm_so),
		subject + group[number].rm_so);
	return grub_set(grub, to, value);
}

/* regexp [--set [NUMBER:]NAME]... PATTERN STRING */
static int do_regexp(const struct grub_call *call)
{
	const struct grub_words *words = call->words;
	const char *to[PATTERN_GROUPS], *pattern = NULL, *subject = NULL;
	regmatch_t group[PATTERN_GROUPS];
	unsigned count = 0;
	regex_t compiled;
	int r;

	for (unsigned i = 1; i < words->count; i++) {
		const char *word = words->word[i], *name = NULL;

		if (!strncmp(word, "--set=", 6))
			name = word + 6;
		else if (!strcmp(word, "--set") || !strcmp(word, "-s"))
			name = i + 1 < words->count ? words->word[++i] : "";
		else if (!pattern)
			pattern = word;
		else if (!subject)
			subject = word;
		if (name && count < PATTERN_GROUPS)
			to[count++] = name;
	}
	call->grub->status = false;
	r = grub_step(call->grub, call->line, COST_PATTERN);
	if (r || !subject || !is_tame(pattern, subject) ||
		regcomp(&compiled, pattern, REG_EXTENDED))
		return r;
	call->grub->status = !regexec(&compiled, subject, PATTERN_GROUPS, group, 0);
	for (unsigned i = 0; !r && call->grub->status && i < count; i++)
		r = set_group(call->grub, to[i], subject, group);
	regfree(&compiled);
	return r;
}

/* Other files */

static int run_file(const struct grub_call *call)
{
	struct grub *grub = call->grub;
	char *text;
	size_t size;
	int r;

	grub->status = false;
	if (call->words->count < 2)
		return 0;
	if (grub->calls == GRUB_CALLS_MAX)
		return grub_bad(grub, call->line, "nested too deep");
	if (grub_read(grub, call->words->word[1], &text, &size))
		return 0;
	grub->calls++;
	r = grub_run_text(grub, text, size);
	grub->calls--;
	return r;
}

/* Another menu, which takes the place of this one. */
static int do_configfile(const struct grub_call *call)
{
	struct grub *grub = call->grub;
	struct menu *menu = grub->menu;
	char device[MENU_DEVICE_MAX];
	const char *path = call->words->count > 1 ? call->words->word[1] : "";
	int r;

	grub->status = false;
	if (!grub_split(grub, path, device, &path) ||
		grub->disk->look(grub->disk->data, device, path, NULL) != MENU_FILE)
		return 0;
	if (grub->item >= 0)
		menu->item[grub->item].submenu = true;
	else
		for (unsigned i = 0; i < menu->items; i++)
			if (menu->item[i].parent == MENU_TOP)
				menu->item[i].parent = MENU_HIDDEN;
	r = run_file(call);
	grub->leave = GRUB_END;
	return r;
}

static int do_blscfg(const struct grub_call *call)
{
	const char *folder = call->words->count > 1 ? call->words->word[1] : "";

	return bls_add(call->grub, *folder == '/' ? folder : NULL, call->line);
}

/* Kernels */

/* The words from first on, as one line; what was quoted stays one word for the kernel. */
static int join(const struct grub_call *call, unsigned first, char **to)
{
	const struct grub_words *words = call->words;
	char *line = malloc(words->used + 4 * SCRIPT_WORDS_MAX);
	size_t len = 0;
	int r;

	if (!line)
		return error_nomem(call->grub->err);
	for (unsigned i = first; i < words->count; i++) {
		bool quote = words->quoted[i] && strpbrk(words->word[i], " \t");

		/* Nothing in quotes is nothing for the kernel. */
		if (!*words->word[i])
			continue;
		if (len)
			line[len++] = ' ';
		if (quote)
			line[len++] = '"';
		memcpy(line + len, words->word[i], strlen(words->word[i]));
		len += strlen(words->word[i]);
		if (quote)
			line[len++] = '"';
	}
	line[len] = 0;
	r = menu_set(to, line, call->grub->err);
	free(line);
	return r;
}

/* The item that is run; commands outside of any are one, if there is no other. */
static struct menu_item *item_of(const struct grub_call *call)
{
	struct grub *grub = call->grub;
	struct menu *menu = grub->menu;

	if (grub->item >= 0)
		return &menu->item[grub->item];
	if (menu->items)
		return menu->item[0].body || menu->item[0].text ? NULL : &menu->item[0];
	return menu_add(menu, grub->parent, "", call->line, NULL);
}

/* The first word that is no option; words->count if there is none. */
static unsigned first_word(const struct grub_words *words)
{
	unsigned first = 1;

	while (first < words->count && !strncmp(words->word[first], "--", 2))
		first++;
	return first;
}

static int do_linux(const struct grub_call *call)
{
	struct menu_item *item = item_of(call);
	unsigned first = first_word(call->words);
	int r;

	if (!item || first == call->words->count)
		return 0;
	r = menu_set_file(&item->kernel, call->words->word[first], grub_value(call->grub, "root"),
		call->grub->err);
	return r ? r : join(call, first + 1, &item->cmdline);
}

static int do_initrd(const struct grub_call *call)
{
	struct menu_item *item = item_of(call);
	int r = 0;

	if (!item)
		return 0;
	menu_drop_ramdisks(item);
	for (unsigned i = first_word(call->words); !r && i < call->words->count; i++) {
		const char *word = call->words->word[i];

		/* newc:NAME:FILE is one file for an archive that GRUB makes. */
		if (*word && strncmp(word, "newc:", 5))
			r = menu_add_ramdisk(item, word, grub_value(call->grub, "root"),
				call->grub->err);
	}
	return r;
}

/* The rest */

static int do_test(const struct grub_call *call)
{
	const struct grub_words *words = call->words;
	unsigned end = words->count;

	if (!strcmp(words->word[0], "[") && !strcmp(words->word[end - 1], "]"))
		end--;
	call->grub->status = grub_test(call->grub, words, 1, end);
	return 0;
}

static int do_leave(const struct grub_call *call)
{
	static const struct {
		const char *name;
		enum grub_leave leave;
	} ways[] = {
		{"break", GRUB_BREAK},
		{"continue", GRUB_CONTINUE},
		{"return", GRUB_RETURN},
	};

	for (unsigned i = 0; i < 3; i++)
		if (!strcmp(call->words->word[0], ways[i].name))
			call->grub->leave = ways[i].leave;
	if (call->words->count > 1)
		call->grub->status = !strcmp(call->words->word[1], "0");
	return 0;
}

static int do_nothing(const struct grub_call *call)
{
	return 0;
}

static int do_fail(const struct grub_call *call)
{
	call->grub->status = false;
	return 0;
}

bool grub_command(struct grub *grub, const struct grub_words *words, unsigned line, int *r)
{
	static const struct {
		const char *name;
		int (*run)(const struct grub_call *call);
	} commands[] = {
		{".", run_file},
		{"[", do_test},
		{"background_color", do_nothing},
		{"background_image", do_fail},
		{"blscfg", do_blscfg},
		{"boot", do_nothing},
		{"break", do_leave},
		{"clear", do_nothing},
		{"configfile", do_configfile},
		{"continue", do_leave},
		{"cpuid", do_nothing},
		{"decrement", do_count},
		{"echo", do_nothing},
		{"export", do_nothing},
		{"false", do_fail},
		{"gfxmode", do_nothing},
		{"increment", do_count},
		{"initrd", do_initrd},
		{"initrd16", do_initrd},
		{"initrdefi", do_initrd},
		{"insmod", do_nothing},
		{"keystatus", do_fail},
		{"linux", do_linux},
		{"linux16", do_linux},
		{"linuxefi", do_linux},
		{"load_env", do_env},
		{"load_video", do_nothing},
		{"loadfont", do_fail},
		{"password", do_nothing},
		{"password_pbkdf2", do_nothing},
		{"play", do_nothing},
		{"recordfail", do_nothing},
		{"regexp", do_regexp},
		{"return", do_leave},
		{"rmmod", do_nothing},
		{"save_env", do_env},
		{"savedefault", do_nothing},
		{"search", do_search},
		{"search.file", do_search},
		{"search.fs_label", do_search},
		{"search.fs_uuid", do_search},
		{"serial", do_nothing},
		{"set", do_set},
		{"sleep", do_nothing},
		{"source", run_file},
		{"terminal_input", do_nothing},
		{"terminal_output", do_nothing},
		{"test", do_test},
		{"true", do_nothing},
		{"unset", do_unset},
	};
	const struct grub_call call = {grub, words, line};

	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (!strcmp(words->word[0], commands[i].name)) {
			grub->status = true;
			*r = commands[i].run(&call);
			return true;
		}
	return false;
}
