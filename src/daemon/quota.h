/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the policy gives a user of the host's, and what his guests take of it already: the one place that
 * every way to a guest, or to a larger one, passes.
 */
#ifndef DACH_DAEMON_QUOTA_H
#define DACH_DAEMON_QUOTA_H

#include "base/error.h"

struct daemon;
struct domain_config;
struct guest;
struct caller;

/*
 * May the caller have a guest like this beside those that he has? `instead` (NULL: none) is the one whose
 * place it takes. A manager may. 0, or -EDQUOT or -EACCES and the sentence.
 */
int quota_check(struct daemon *daemon, const struct caller *caller,
	const struct domain_config *config, const struct guest *instead, struct error *err);
/* The same for a configuration that the daemon makes by itself, for the guests' owner. */
int quota_check_owner(const struct guest *guest, const struct domain_config *config,
	struct error *err);
/* May a guest of the caller's have these shares of processors and disks, and these processors? -EACCES. */
int quota_check_shares(const struct caller *caller, const struct domain_config *config,
	struct error *err);

#endif
