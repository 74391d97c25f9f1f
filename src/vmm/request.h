/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a monitor is asked on its control socket: a line with one JSON object,
 *
 *   {"id": 1, "do": "memory-set", "memory": 131072}
 *
 *   do           with
 *   info                                        what it is and does: see verbs.c
 *   pause, unpause
 *   shutdown                                    presses the power button
 *   reboot                                      the same, and the power-off that follows is told as a
 *                                               reboot: what every guest understands that can be shut
 *                                               down, without an agent in it
 *   destroy                                     ends it now
 *   trigger      "what": "nmi", "reset", "power"; "vcpu" for nmi (0)
 *   sysrq        "key": one letter or digit
 *   memory-set   "memory": KiB
 *   dump-core    "live": true not to pause it meanwhile; the file to write comes with the line
 *                (SCM_RIGHTS). The answer comes when all is written.
 *
 * The answer is a line {"id": 1, "ok": true, ...} or {"id": 1, "error": "sentence", "errno": 22}. id is
 * any integer, 0 if left out.
 */
#ifndef DACH_VMM_REQUEST_H
#define DACH_VMM_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define REQUEST_MAX 4096u /* bytes in a line */

enum request_verb {
	REQUEST_INFO,
	REQUEST_PAUSE,
	REQUEST_UNPAUSE,
	REQUEST_SHUTDOWN,
	REQUEST_REBOOT,
	REQUEST_DESTROY,
	REQUEST_TRIGGER,
	REQUEST_SYSRQ,
	REQUEST_MEMORY_SET,
	REQUEST_DUMP_CORE,
	REQUEST_VERBS,
};

enum request_trigger { TRIGGER_NMI, TRIGGER_RESET, TRIGGER_POWER };

struct request {
	int64_t id; /* also after a failure, as far as it could be read */
	enum request_verb verb;
	enum request_trigger what; /* TRIGGER */
	unsigned vcpu;             /* TRIGGER */
	char key;                  /* SYSRQ */
	uint64_t memory;           /* MEMORY_SET: KiB */
	bool live;                 /* DUMP_CORE */
};

int request_parse(const char *line, size_t len, struct request *request, struct error *err);

#endif
