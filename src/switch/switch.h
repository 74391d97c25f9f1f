/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A switch among guests of one user, without root: each port is a socket of packets to a monitor
 * (protocol/switch.h), one more leads out over this host's sockets (NET_USER). Whose frames go where is known by the
 * ports' MACs, and is not learnt; what is for nobody here goes out. One thread, and the way out's own.
 */
#ifndef DACH_SWITCH_SWITCH_H
#define DACH_SWITCH_SWITCH_H

#include "base/error.h"

struct sw;

int switch_create(int listener, struct sw **sw, struct error *err);
/* The way out; its thread starts. Behind the walls. */
int switch_start(struct sw *sw, struct error *err);
/* Until its last port has gone, and none has come for some seconds. */
void switch_run(struct sw *sw);
void switch_destroy(struct sw *sw);

#endif
