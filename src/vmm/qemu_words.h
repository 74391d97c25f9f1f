/* SPDX-License-Identifier: Apache-2.0 */
/* What qemu-guest-agent is asked, and what it answers, as JSON (QEMU's qga/qapi-schema.json). */
#ifndef DACH_VMM_QEMU_WORDS_H
#define DACH_VMM_QEMU_WORDS_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/agent.h"
#include "vmm/bytes.h"

/*
 * A line, its end included, the caller's to free(); takes arguments (NULL: none). NULL: out of memory, or arguments that were
 * none.
 */
char *qemu_words_line(const char *command, json_t *arguments);
/* The arguments of guest-exec for a command; -EINVAL: it has what is no UTF-8, or cannot be. */
int qemu_words_exec(const struct agent_open *open, json_t **arguments, struct error *err);
/* And its input. -ENOMEM. */
int qemu_words_input(json_t *arguments, const struct bytes *input);
/* For a signal to a command that qemu_words_exec() began, and what it has begun. */
json_t *qemu_words_kill(int64_t pid, unsigned signal);

/* A line that it says; NULL: no JSON, or of so many values that it answers nothing that is asked. */
json_t *qemu_words_answer(const char *line, size_t size);

/* How a command stands, as guest-exec-status answers. */
struct qemu_status {
	bool ended;
	unsigned status; /* 128 and the signal that ended it */
	bool truncated;  /* there was more output than it keeps */
	struct bytes out[AGENT_STREAMS];
};
/* terminal: lines end as one wants them. -EINVAL: it is none; nothing is to be freed then. */
int qemu_words_status(const json_t *answer, bool terminal, struct qemu_status *status);

#endif
