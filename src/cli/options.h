/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what people type: options, sizes, numbers. */
#ifndef DACH_CLI_OPTIONS_H
#define DACH_CLI_OPTIONS_H

#include <stdint.h>

#include "base/error.h"

/*
 * An option of a verb. Each is written --name VALUE or --name=VALUE, or --name if it has none. A
 * name of one letter is written -n VALUE or -nVALUE; letters without values may stand together.
 * Two entries with one id are two ways to write the same.
 */
struct option_spec {
	const char *name; /* without the dashes */
	int id;
	const char *value; /* what its value is called in the help; NULL: it has none */
	const char *help;  /* NULL: another way to write one that is told, or for tests */
};

/* Where we are in the words. Starts as {argc, argv, 1, NULL, NULL}. */
struct option_scan {
	int argc;
	char **argv;
	int next;
	const char *value;   /* of the option or word that was found last */
	const char *letters; /* what is left of letters that stand together, or NULL */
};

#define OPTION_END (-1000)
#define OPTION_WORD (-1001) /* no option: the word is in value. After "--" all are words. */

/*
 * The next option's id, OPTION_WORD or OPTION_END; -EINVAL and a sentence for an unknown option,
 * a missing or a superfluous value. specs ends with a NULL name.
 */
int option_next(struct option_scan *scan, const struct option_spec *specs, struct error *err);

/* Prints the options with their help texts, aligned. */
void option_help(const struct option_spec *specs);

/*
 * "512", "512M", "2G", "1T": bytes; a plain number counts units. -EINVAL and a sentence that
 * begins with what.
 */
int option_size(const char *what, const char *text, uint64_t unit, uint64_t *bytes,
	struct error *err);

/* A decimal number from min to max. */
int option_number(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *number,
	struct error *err);

#endif
