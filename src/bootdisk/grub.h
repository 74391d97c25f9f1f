/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRUB 2's configurations are programs, and are run: variables, conditions, loops and functions, with
 * the commands of grub_command.c, whatever else there is doing nothing and being true. Where it asks,
 * it is GRUB 2.06 on a PC's BIOS. A command that is not understood is remembered, and named when in the
 * end there is no kernel.
 *
 * Bounds: what is run, calls within calls, files read, and variables.
 */
#ifndef DACH_BOOTDISK_GRUB_H
#define DACH_BOOTDISK_GRUB_H

#include "bootdisk/menu.h"
#include "bootdisk/script.h"

#define GRUB_STEPS_MAX 100000u /* of grub_step() for one configuration */
#define GRUB_CALLS_MAX 16u     /* functions and files within each other */
#define GRUB_TEXTS_MAX 256u    /* read from the disk, MENU_TEXT_MAX bytes together */
#define GRUB_VARIABLES_MAX 256u
#define GRUB_NAME_MAX 64u      /* bytes, the 0 among them */
#define GRUB_COMMAND_MAX 8192u /* bytes of a command's words */

struct grub_variable {
	char *name, *value;
};

struct grub_function {
	const struct script_word *name;
	const struct script_node *body;
};

/* A command's words, their variables filled in. */
struct grub_words {
	unsigned count;
	char *word[SCRIPT_WORDS_MAX];
	bool quoted[SCRIPT_WORDS_MAX]; /* in part at least */
	size_t used;
	char buffer[GRUB_COMMAND_MAX];
};

/* What is not run any more. */
enum grub_leave {
	GRUB_STAY,
	GRUB_CONTINUE, /* the rest of a loop's turn */
	GRUB_BREAK,    /* of the loop */
	GRUB_RETURN,   /* of the function or file */
	GRUB_END,      /* of everything */
};

struct grub {
	const struct menu_disk *disk;
	struct menu *menu;
	struct error *err;
	struct script_pool pool;
	struct grub_variable variable[GRUB_VARIABLES_MAX];
	unsigned variables;
	struct grub_function function[GRUB_VARIABLES_MAX];
	unsigned functions;
	/* What trees point into. */
	char *text[GRUB_TEXTS_MAX];
	unsigned texts;
	size_t text_bytes;
	unsigned steps, calls;
	unsigned line; /* of the command that is run */
	bool trial;    /* nothing is saved */
	bool status;   /* the last command's answer */
	enum grub_leave leave;
	int parent;                         /* where new items go */
	int item;                           /* which one's commands are run; -1: none */
	const struct grub_words *arguments; /* of the function that is run, $1 is word 1; or NULL */
};

/* Only what is in the item counts. NULL is allowed. */
void grub_free(struct grub *grub);
/*
 * Runs an item's commands, once: it learns its kernel, or a submenu what is in it. trial: it is not known
 * yet whether the item is the one; nothing is saved, and it may be run again.
 */
int grub_run_item(struct grub *grub, struct menu_item *item, bool trial, struct error *err);

/* Between the files of this folder: */

int grub_bad(struct grub *grub, unsigned line, const char *what);
/* Counts what takes time: a command, a variable and 64 bytes are 1. An error when it is too much. */
int grub_step(struct grub *grub, unsigned line, unsigned steps);

/* grub_words.c. "" for those that are not set. */
const char *grub_value(const struct grub *grub, const char *name);
int grub_set(struct grub *grub, const char *name, const char *value);
/* Whether this may be a variable's name: len bytes. */
bool grub_is_name(const char *name, size_t len);
int grub_expand(struct grub *grub, const struct script_node *node, struct grub_words *words);

/* grub.c */
int grub_run(struct grub *grub, const struct script_node *list);
/* Runs a text that the disk has, or that is allocated: it becomes grub's, also after a failure. */
int grub_run_text(struct grub *grub, char *text, size_t size);
/* A file's bytes, as menu_disk's; path as GRUB writes it. -errno without a sentence. */
int grub_read(struct grub *grub, const char *path, char **bytes, size_t *size);
/* Splits such a path; device has MENU_DEVICE_MAX bytes. */
bool grub_split(const struct grub *grub, const char *path, char *device, const char **rest);

/* grub_command.c: what is not a function, an assignment or an item; false: not a command that is known. */
bool grub_command(struct grub *grub, const struct grub_words *words, unsigned line, int *r);

/*
 * grub_env.c. What a file like grubenv has: the variables that are named from first on; none or NULL:
 * all. next_entry, an entry for the next start alone, only where it can be cleared.
 */
int grub_load_env(struct grub *grub, const char *path, const struct grub_words *names,
	unsigned first);
/* Puts the variables that are named from first on into such a file. */
int grub_save_env(struct grub *grub, const char *path, const struct grub_words *names,
	unsigned first);

/* bls.c: adds the entries of a folder, "/loader/entries" and its like, where GRUB looks for them. */
int bls_add(struct grub *grub, const char *folder, unsigned line);

/* grub_test.c: [ or test, words from first to before end. */
bool grub_test(struct grub *grub, const struct grub_words *words, unsigned first, unsigned end);

#endif
