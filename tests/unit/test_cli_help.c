/* SPDX-License-Identifier: Apache-2.0 */
/* What there is to read and to complete of each verb: its help, the manual, bash's completion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "cli_rig.h"
#include "protocol/fields.h"
#include "protocol/request.h"

static struct rig rig;

/* Nothing is asked of it. */
static int start(void **state)
{
	static const struct rig_answer answers[] = {{NULL, NULL, 0, NULL}};

	rig_start(&rig, answers, "");
	return 0;
}

static int stop(void **state)
{
	rig_stop(&rig);
	return 0;
}

/* Each verb with its words; of those that have verbs of their own, these. */
static void each_verb(const struct cli_verb *verbs, void (*check)(const struct cli_verb *verb))
{
	for (const struct cli_verb *verb = verbs; verb->name; verb++) {
		check(verb);
		if (verb->verbs)
			each_verb(verb->verbs, check);
	}
}

static void check_help(const struct cli_verb *verb)
{
	char name[64], *own = NULL, *argv[] = {name, "--help", "--help", NULL};
	struct cli cli = {.dry = false};

	snprintf(name, sizeof name, "%s", verb->name);
	own = strchr(name, ' ');
	if (own) {
		*own = 0;
		argv[1] = own + 1;
	}
	assert_ptr_equal(cli_verb_find(verb->name), verb);
	assert_int_equal(rig_run(&rig, &cli, own ? 3 : 2, argv), 0);
	assert_int_equal(strncmp(rig.out, "usage: dach ", 12), 0);
	assert_int_equal(strncmp(rig.out + 12, verb->name, strlen(verb->name)), 0);
	assert_non_null(strstr(rig.out, verb->help));
	assert_true(verb->min <= verb->max || verb->verbs);
	/* One way to perform it. */
	assert_int_equal(!!verb->run + !!verb->asks + !!verb->method + !!verb->verbs, 1);
	if (verb->asks)
		assert_true(request_is_passed(request_find(verb->asks)));
	for (const struct option_spec *a = verb->options; a && a->name; a++) {
		const struct option_spec *b = a + 1;

		for (; b->name; b++)
			assert_string_not_equal(a->name, b->name);
		assert_true(a->id > 0 && a->id < 1000);
	}
}

/* Every verb tells about itself, and no option's letter stands for two. */
static void helps(void **state)
{
	for (const struct cli_verb *const *table = cli_verbs; *table; table++)
		each_verb(*table, check_help);
	assert_int_equal(RUN("run", "--help"), 0);
	assert_non_null(strstr(rig.out, "--code-cache"));
	assert_non_null(strstr(rig.out, "Exit status: "));
	assert_null(strstr(rig.out, "--json"));
	/* 2 is a guest's that was ended from outside. */
	assert_int_equal(RUN("run", "--nonsense"), 1);
	assert_int_equal(RUN("run"), 1);
	assert_int_equal(RUN("image"), 1);
	assert_int_equal(RUN("image", "burn"), 1);
	assert_int_equal(RUN("image", "delete"), 1);
	assert_int_equal(RUN("list", "--nonsense"), 2);
}

static char *manual(const char *name)
{
	char path[4096], *text = calloc(1, 1 << 18);
	FILE *file;

	snprintf(path, sizeof path, "%s/../../doc/man/%s", TEST_SOURCE_DIR, name);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_true(fread(text, 1, (1 << 18) - 1, file) > 0);
	fclose(file);
	return text;
}

static char *manuals[3];

/* As ".Cm name" or "Cm name" in a list's head. */
static void check_manual(const struct cli_verb *verb)
{
	const char *own = strchr(verb->name, ' ');
	const char *name = own ? own + 1 : verb->name;
	char head[64];
	size_t len = snprintf(head, sizeof head, "Cm %s", name);

	for (unsigned i = 0; i < 3; i++)
		for (const char *at = strstr(manuals[i], head); at; at = strstr(at + 1, head))
			if (strchr(" \n", at[len]))
				return;
	fail_msg("%s is in no manual", verb->name);
}

static void are_in_the_manual(void **state)
{
	manuals[0] = manual("dach-guest.1");
	manuals[1] = manual("dach-image.1");
	manuals[2] = manual("dach.1");
	for (const struct cli_verb *const *table = cli_verbs; *table; table++)
		each_verb(*table, check_manual);
	for (unsigned i = 0; i < 3; i++)
		free(manuals[i]);
}

/* A folder with a program dach that knows nothing but the verbs' help, one file each. */
static char folder[64];

static FILE *in_folder(const char *name, const char *mode)
{
	char path[192];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	for (char *c = path; *c; c++)
		if (*c == ' ')
			*c = '_';
	file = fopen(path, mode);
	assert_non_null(file);
	return file;
}

static void keep_help(const struct cli_verb *verb)
{
	FILE *file = in_folder(verb->name, "we");

	check_help(verb);
	fputs(rig.out, file);
	fclose(file);
}

/* What bash offers behind "dach WORDS" and what is typed of the next, each with blanks around it. */
static void complete(const char *words, char *offered, size_t size)
{
	char command[512];
	size_t used = 1;
	FILE *bash;
	int c;

	snprintf(command, sizeof command,
		"bash -c '. %s/../../doc/completion/dach; COMP_WORDS=(%s/dach %s);"
		" COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _dach; printf \"%%s \" ${COMPREPLY[*]}'",
		TEST_SOURCE_DIR, folder, words);
	bash = popen(command, "re");
	assert_non_null(bash);
	offered[0] = ' ';
	while ((c = getc(bash)) != EOF && used + 2 < size)
		offered[used++] = c == '\n' ? ' ' : c;
	offered[used] = 0;
	assert_int_equal(pclose(bash), 0);
}

static void expect_offer(const struct cli_verb *verb, const char *offered, const char *before,
	const char *word)
{
	char with_blanks[64];

	snprintf(with_blanks, sizeof with_blanks, " %s%s ", before, word);
	if (!strstr(offered, with_blanks))
		fail_msg("%s: '%s%s' is not offered, but%s", verb->name, before, word, offered);
}

/* Words of a monitor's verb that are one of a list are offered as the protocol has them. */
static void check_choices(const struct cli_verb *verb)
{
	const struct field *field = request_arguments(request_find(verb->asks));
	char words[64], offered[1024];

	snprintf(words, sizeof words, "%s x", verb->name);
	for (; field->key; field++) {
		unsigned count = 0, blanks = 0;

		strcat(words, field[0].kind == FIELD_ENUM ? " \"\"" : " y");
		if (field->kind != FIELD_ENUM)
			continue;
		complete(words, offered, sizeof offered);
		for (; field->names[count]; count++)
			expect_offer(verb, offered, "", field->names[count]);
		for (const char *c = offered; *c; c++)
			blanks += *c == ' ';
		assert_int_equal(blanks, count + 1);
	}
}

static void check_completion(const struct cli_verb *verb)
{
	char words[64], offered[2048];

	if (verb->verbs)
		return;
	snprintf(words, sizeof words, "%s -", verb->name);
	complete(words, offered, sizeof offered);
	expect_offer(verb, offered, "--", "help");
	for (const struct option_spec *option = verb->options; option && option->name; option++)
		if (option->help)
			expect_offer(verb, offered, option->name[1] ? "--" : "-", option->name);
	if (verb->asks)
		check_choices(verb);
}

static void are_completed(void **state)
{
	char command[128];
	FILE *program;

	snprintf(folder, sizeof folder, "/tmp/dach-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	program = in_folder("dach", "we");
	fputs("#!/bin/sh\n"
	      "for word; do case $word in -*) ;; *) name=$name${name:+_}$word ;; esac; done\n"
	      "cat \"${0%/*}/$name\"\n",
		program);
	fchmod(fileno(program), 0755);
	fclose(program);
	for (const struct cli_verb *const *table = cli_verbs; *table; table++)
		each_verb(*table, keep_help);
	for (const struct cli_verb *const *table = cli_verbs; *table; table++)
		each_verb(*table, check_completion);
	snprintf(command, sizeof command, "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(helps, start, stop),
		cmocka_unit_test(are_in_the_manual),
		cmocka_unit_test_setup_teardown(are_completed, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
