/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script= of an interface: what puts its link where it belongs. The usual ones of Xen are done here (vif-bridge, vif-route, and vif-nat by
 * a network in mode nat); others are an administrator's own programs, which find what Xen's toolstack gives them: the
 * word online or offline and "type_if=vif", variables (vif, bridge, mac, ip, script, XENBUS_PATH, ...), and what they ask the xenstore of
 * that path (dist/xen-scripts/xenstore). They run as the daemon does.
 */
#ifndef DACH_DAEMON_SCRIPT_H
#define DACH_DAEMON_SCRIPT_H

#include "base/error.h"

struct guest;
struct domain_vif;

enum script_kind { SCRIPT_BRIDGE, SCRIPT_ROUTE, SCRIPT_NAT, SCRIPT_OWN };

enum script_kind script_kind(const struct domain_vif *vif);

#define SCRIPT_NOTE \
	'!' /* what a line of script_join() begins with; the link's name and a blank follow */
/*
 * A SCRIPT_OWN: writes a line to notes, which script_leave() is for, and runs the file with online to its end, with the link down. The
 * file is root's and nobody else's to write to and, where the guest's owner is not root, in one of the folders for such scripts.
 * -EACCES, -ENOENT, -EINVAL; -EIO: it failed, and the sentence has the first line of what it said.
 */
int script_join(const struct guest *guest, unsigned vif, const char *link, const char *mac,
	int notes, struct error *err);
/* Runs it with offline. The line is changed. */
int script_leave(char *line, struct error *err);

#endif
