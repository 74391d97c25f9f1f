/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files as xl and xm take them (dach.cfg(5)), read into a struct domain_config. */
#ifndef DACH_CONFIG_CONFIG_H
#define DACH_CONFIG_CONFIG_H

#include <stddef.h>

#include "base/error.h"
#include "domain/config.h"

#define CONFIG_FILE_MAX (1u << 20) /* bytes */

struct config_reader {
	/* Each warning, one sentence with its place. NULL: nobody listens. */
	void (*warn)(void *ctx, const char *sentence);
	void *ctx;
	/* Where relative paths begin; NULL: the process's current folder, as with xl. */
	const char *folder;
};

/*
 * Reads the file (NULL: none) and then the overrides, each KEY=VALUE or KEY+=VALUE as a line of the
 * file has it; quotes around a plain word may be missing. config is complete but for what
 * domain_config_complete() chooses, and sound. On failure config is all zero and the error names
 * file, line and column ("command line:2:8" is the second override), or only the file.
 */
int config_load(const char *path, const char *const *overrides, unsigned count,
	const struct config_reader *reader, struct domain_config *config, struct error *err);
/* The same for a text that somebody has read. file is its name for messages. */
int config_read(const char *file, const char *text, size_t size, const char *const *overrides,
	unsigned count, const struct config_reader *reader, struct domain_config *config,
	struct error *err);

/*
 * One disk, as xl's block-attach takes it in words that together are what the list "disk" has, and as the API takes it.
 * Places in errors are in "disk", the words with commas between them. *disk is the caller's to json_decref().
 */
int config_disk(const char *const *words, unsigned count, const struct config_reader *reader,
	json_t **disk, struct error *err);
/* The same of a network, xl's network-attach and the list "vif". No words: one as the host has it. */
int config_vif(const char *const *words, unsigned count, const struct config_reader *reader,
	json_t **vif, struct error *err);
/* And of a folder, one word of the list "share". */
int config_share(const char *word, json_t **share, struct error *err);

#endif
