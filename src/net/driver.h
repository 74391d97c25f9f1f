/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kind of network gives to net.c, and what it has of it: a thread that is woken by kicks. A kind is
 * a file with one of these and a row in net.c. Private to net/.
 */
#ifndef DACH_NET_DRIVER_H
#define DACH_NET_DRIVER_H

#include <pthread.h>

#include "base/thread.h"
#include "net/net.h"

/* What another thread wants the endpoint's to do. */
struct net_order {
	const struct net_forward *forward;
	bool remove, done;
	int r;
	struct error *err;
};

/* The first member of a kind's own structure. */
struct net {
	const struct net_driver *driver;
	struct net_client client; /* once it is started */
	int event;                /* readable: it was kicked */
	bool kicked;              /* any thread: the event is on its way */
	bool stop;                /* any thread */
	bool away;                /* any thread: net_set_away() */
	bool started;
	unsigned mtu; /* 0: not known */
	/* Bytes a second, or 0; how many may be sent now (fewer than none: more than that were), and at most. */
	int64_t rate, credit, burst;
	uint64_t credited; /* when, in ns */
	bool held;         /* the client waits for more */
	pthread_t thread;
	struct mutex lock; /* of the next two */
	pthread_cond_t ordered;
	struct net_order *order; /* NULL: none */
};

struct net_driver {
	/* Makes a structure of zeros, calls net_begin() on its struct net, and opens what the spec says. */
	int (*open)(const struct net_spec *spec, struct net **net, struct error *err);
	/* The thread: moves frames, also at once after each kick, until net_stopping(). */
	void (*run)(struct net *net);
	/* On that thread. The length is checked. */
	void (*send)(struct net *net, const uint8_t *frame, size_t len);
	/* Likewise; both or neither (net_is_offloaded()). */
	void (*send_unfinished)(struct net *net, const struct virtio_net_hdr_v1 *header,
		const uint8_t *frame, size_t len);
	void (*set_offloads)(struct net *net, unsigned offloads);
	/* On that thread; NULL: it forwards none. */
	int (*forward)(struct net *net, const struct net_forward *forward, bool remove,
		struct error *err);
	/* Of a kind whose end to the world another process can have, too; or NULL. */
	int (*descriptor)(const struct net *net);
	/* The thread has ended. Closes what is open to the world; again does nothing. May still kick. */
	void (*cut)(struct net *net);
	/* After that. Frees all but the struct net's own, and the structure. */
	void (*close)(struct net *net);
};

/* Afterwards, and also when this fails, net_close() is for it. */
int net_begin(struct net *net, const struct net_driver *driver, struct error *err);
bool net_stopping(const struct net *net);
bool net_is_away(const struct net *net);
/* The event is readable: makes it unreadable, and does what is ordered. What a kick is for must be looked at after this. */
void net_take_kick(struct net *net);

/* ms until a client that is held may go on, at least 1; -1: none is. */
int net_held_ms(struct net *net);

extern const struct net_driver net_user_driver, net_tap_driver;

#endif
