/* SPDX-License-Identifier: Apache-2.0 */
/* Reading configurations in tests; include cmocka.h before. */
#ifndef DACH_TESTS_CONFIG_RIG_H
#define DACH_TESTS_CONFIG_RIG_H

#include <stdio.h>
#include <string.h>

#include "config/config.h"

struct rig {
	struct domain_config config;
	struct error err;
	char warnings[4096]; /* one a line */
	const char *overrides[8];
	unsigned count;
};

static inline void rig_warn(void *ctx, const char *sentence)
{
	struct rig *rig = ctx;
	size_t used = strlen(rig->warnings);

	snprintf(rig->warnings + used, sizeof rig->warnings - used, "%s\n", sentence);
}

/* As the file "f", in the folder /here. */
static inline int rig_read(struct rig *rig, const char *text)
{
	const struct config_reader reader = {rig_warn, rig, "/here"};

	rig->err.text[0] = 0;
	rig->warnings[0] = 0;
	return config_read("f", text, strlen(text), rig->overrides, rig->count, &reader,
		&rig->config, &rig->err);
}

static inline void rig_good(struct rig *rig, const char *text)
{
	if (rig_read(rig, text))
		fail_msg("refused: %s\n%s", text, rig->err.text);
}

/* Must be refused, with that in the sentence, and must leave nothing. */
static inline void rig_bad(struct rig *rig, const char *text, const char *says)
{
	if (rig_read(rig, text) >= 0)
		fail_msg("taken: %s", text);
	if (!strstr(rig->err.text, says))
		fail_msg("'%s' is not in: %s", says, rig->err.text);
	if (rig->config.name || rig->config.disk || rig->config.kept)
		fail_msg("left something behind: %s", text);
}

#endif
