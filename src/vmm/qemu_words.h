/* SPDX-License-Identifier: Apache-2.0 */
/* What qemu-guest-agent is asked, and what it answers, as JSON (QEMU's qga/qapi-schema.json). */
#ifndef DACH_VMM_QEMU_WORDS_H
#define DACH_VMM_QEMU_WORDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A line, its end included, the caller's to free(); takes arguments (NULL: none). NULL: out of memory, or arguments that were
 * none.
 */
char *qemu_words_line(const char *command, json_t *arguments);
/* The arguments of guest-exec for this program: it is put into the guest, and runs as AGENT_SENT. NULL: out of memory. */
json_t *qemu_words_bring(const uint8_t *program, size_t size);

/* A line that it says; NULL: no JSON, or of so many values that it answers nothing that is asked. */
json_t *qemu_words_answer(const char *line, size_t size);

/* How a command stands, as guest-exec-status answers. */
struct qemu_status {
	bool ended;
	unsigned status; /* 128 and the signal that ended it */
	char why[256];   /* the first line of its standard error; "" without */
};
/* -EINVAL: it is none. */
int qemu_words_status(const json_t *answer, struct qemu_status *status);

#endif
