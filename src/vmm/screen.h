/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A screen, a keyboard and a mouse for the guest, and a tablet for one that has a driver: a VGA, and a process with walls around it that shows the
 * picture over VNC (vnc/server.h). It has the video memory, to be read, its sockets, and nothing else.
 */
#ifndef DACH_VMM_SCREEN_H
#define DACH_VMM_SCREEN_H

#include "machine/machine.h"
#include "monitor/monitor.h"
#include "vmm/calls.h"

struct screen;

/*
 * Opens what it needs and starts the process, which is walled in from then on: before monitor_restrict() and the
 * first thread. NULL without one (config->vnc, config->screen_fd).
 */
int screen_open(const struct vmm_config *config, struct guest_monitor *monitor,
	struct screen **screen, struct error *err);
/* screen may be NULL in all of these. */
void screen_needs(const struct screen *screen, struct vmm_needs *needs);
/* Puts the VGA into the machine, whose keyboard and mouse are then those of who looks at it. */
int screen_create(struct screen *screen, struct machine *machine, struct error *err);
/* The PCI slots of its devices, in the order in which they are added; how many. */
#define SCREEN_SLOTS 2
unsigned screen_slots(const struct screen *screen, uint8_t slot[SCREEN_SLOTS]);
/* The guest has ended, its machine is still there. */
void screen_destroy(struct screen *screen);

#endif
