/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name server of a network in user mode whose guest may reach some names only (allow.h): it asks one of the host's for those,
 * by a socket that hears nobody else, tells the list what was answered, and then the guest. To other names it says that there are none.
 * What a guest sends reaches the host's server as the bare question that it is.
 *
 * The network's thread alone.
 */
#ifndef DACH_NET_NAMES_H
#define DACH_NET_NAMES_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"

#define NAMES_OPEN 32u /* questions that wait for an answer; of more, they are lost */
#define NAMES_WAIT_NS (5ull * 1000000000)

struct allow;
struct gate;
struct name_server;

struct names_owner {
	void *ctx;
	/* The host's n-th name server: its address's length, 0: it has no more. */
	socklen_t (*server)(void *ctx, unsigned n, struct sockaddr_storage *to);
	/* A frame for the guest. */
	void (*answer)(void *ctx, const uint8_t *frame, size_t len);
};

/* All stay the caller's. */
int names_create(struct allow *allow, struct gate *gate, const struct names_owner *owner,
	struct name_server **names, struct error *err);
/* NULL is allowed. */
void names_free(struct name_server *names);

/* Was this frame of the guest's a question to the network's name server? Then it has been dealt with. */
bool names_take(struct name_server *names, const uint8_t *frame, size_t len, uint64_t now_ns);
/* add() has a socket polled for POLLIN: its index in fds, or -1. */
void names_fill(struct name_server *names, int (*add)(void *ctx, int fd), void *ctx);
void names_poll(struct name_server *names, const struct pollfd *fds, uint64_t now_ns);
/* ms until names_poll() has something to do, whatever is to be read by then; -1: nothing. */
int names_ms(const struct name_server *names, uint64_t now_ns);

#endif
