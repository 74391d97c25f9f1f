/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the host's processors a guest's virtual processors run on. */
#ifndef DACH_DAEMON_AFFINITY_H
#define DACH_DAEMON_AFFINITY_H

#include <stddef.h>

#include "daemon/guest.h"
#include "host/cpuset.h"

/* Sets the monitor's threads as the configuration says, as far as they are known and exist. */
void affinity_apply(const struct guest *guest);
/*
 * Changes the configuration's list (hard or soft) for one virtual processor, or all (vcpu < 0).
 * *old gets the list as it was, for affinity_put_back() or affinity_drop().
 */
struct affinity_list {
	char **text;
	unsigned count;
};
int affinity_set(struct guest *guest, bool soft, int vcpu, const char *text,
	struct affinity_list *old, struct error *err);
void affinity_put_back(struct guest *guest, bool soft, struct affinity_list *old);
void affinity_drop(struct affinity_list *old);
/* "all", "0-1": as it is in effect. Returns buf. */
const char *affinity_text(const struct guest *guest, bool soft, unsigned vcpu, char *buf,
	size_t size);

#endif
