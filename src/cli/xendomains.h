/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to guests when the host goes down and comes up: a file of lines NAME=VALUE as a shell
 * reads them, with the names that Xen's xendomains script has for it. Others are left to that script.
 */
#ifndef DACH_CLI_XENDOMAINS_H
#define DACH_CLI_XENDOMAINS_H

#include <stdbool.h>

#include "base/error.h"

#define XENDOMAINS_FILE "/etc/default/xendomains"

struct xendomains {
	char *save;     /* XENDOMAINS_SAVE: where guests are saved to; NULL: they are shut down */
	bool restore;   /* XENDOMAINS_RESTORE: what was saved goes on (true) */
	char *autos;    /* XENDOMAINS_AUTO: configuration files of guests that are started; NULL */
	bool auto_only; /* XENDOMAINS_AUTO_ONLY: others are left alone (false) */
	unsigned maxwait; /* XENDOMAINS_STOP_MAXWAIT: seconds for all of it (90) */
};

/* A file that is not there gives the defaults. xendomains_free() afterwards. */
int xendomains_read(const char *path, struct xendomains *settings, struct error *err);
void xendomains_free(struct xendomains *settings);

#endif
