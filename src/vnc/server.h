/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VNC server (RFC 6143, and the RFB protocol's community specification for what came later) for a VGA's
 * picture: in a process of its own that has the listening sockets, the video memory to be read, and a
 * socket to the monitor, to which it says what keys and the mouse do. Clients, and what the guest shows, are
 * not trusted.
 *
 * RFB 3.3, 3.7 and 3.8; encodings raw, hextile and ZRLE; new sizes of the desktop; keys by their codes (QEMU's
 * message); fences and continuous updates. A client that does not read gets no further updates, and is in nobody's way.
 *
 * Each door takes 8 clients. When it is full, who has not said anything that lets it in goes for a newcomer, and after a
 * minute in any case. After a wrong password the next one is looked at a second later, whoever's it is; they come in the
 * order of their connections.
 */
#ifndef DACH_VNC_SERVER_H
#define DACH_VNC_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* What is said over the socket to the monitor: one in each message. */
struct vnc_event {
	enum { VNC_KEY, VNC_POINTER } kind;
	uint8_t key, down;  /* as machine/chipset/ps2.h has keys */
	int32_t dx, dy, dz; /* and motions; */
	uint32_t x, y;      /* also where it is: 0 to VNC_POINTER_MAX from edge to edge */
	uint32_t buttons;
};

#define VNC_POINTER_MAX 32767
#define VNC_DOORS 2

/* A socket (SOCK_STREAM) that listens; -1: none. */
struct vnc_door {
	int fd;
	const char *password; /* which is asked for there; NULL: none is */
};

struct vnc_server {
	struct vnc_door door[VNC_DOORS];
	int monitor;           /* SOCK_SEQPACKET */
	const uint8_t *memory; /* VGA_MEMORY bytes, struct vga_registers behind them */
	const char *name;      /* of the guest, which clients show */
};

/* Until the monitor's end of its socket is closed. A negative errno: it cannot even begin. */
int vnc_serve(const struct vnc_server *server, struct error *err);

/* The key that has this X11 keysym on a keyboard with US layout; 0: there is none. */
uint8_t vnc_key_of(uint32_t keysym);

#endif
