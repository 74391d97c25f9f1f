/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's console on a Unix socket: bytes as they are, both ways, for several
 * readers at once. Each newcomer gets the last 64 KiB first. The guest waits for
 * a reader that is slow, but not for one that stopped reading: that one
 * loses what does not fit.
 */
#ifndef DACH_MONITOR_CONSOLE_H
#define DACH_MONITOR_CONSOLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"

#define CONSOLE_HISTORY (64u << 10)
#define CONSOLE_READERS 16

struct console;

/*
 * listen_fd is a listening socket and stays the caller's; -1: history only. send gives input to the
 * guest and returns how much it took; it runs on the loop's thread.
 */
int console_create(struct loop *loop, int listen_fd,
	size_t (*send)(void *ctx, const uint8_t *data, size_t len), void *ctx,
	struct console **console, struct error *err);
/* Shows the readers what is left, for up to a second, and sends them away. NULL is allowed. */
void console_destroy(struct console *console);

/* What the guest says. Any thread. */
void console_output(struct console *console, const uint8_t *data, size_t len);
/* The guest may take input again. Any thread. */
void console_room(struct console *console);

#endif
