/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Switches among the guests of a user's own daemon: one for each name that a bridge= has, a process of its own
 * (protocol/switch.h) that begins with the first guest on it, outlives the daemon as its guests do, and ends soon after
 * the last. RUN/switches/NAME is its socket.
 */
#ifndef DACH_DAEMON_SWITCHES_H
#define DACH_DAEMON_SWITCHES_H

#include "base/error.h"
#include "protocol/network.h"

struct daemon;
struct guest;

/* The switch that the interface is to be on; NULL: none. A container that names none has one of its own for the way out. */
const char *switches_name(const struct guest *guest, unsigned vif);
/* A port of it, into spec. */
int switches_join(const struct guest *guest, unsigned vif, struct net_spec *spec,
	struct error *err);

#endif
