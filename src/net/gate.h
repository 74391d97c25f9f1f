/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a guest's frames a network over this host's sockets takes. Each connection that a guest begins
 * is a socket of the host: a descriptor, a port, an entry in its tables, of which all guests and the host
 * itself share what there is. So their number and their rate are bounded; and no frame goes to an address
 * that means the host itself, unless that is wanted, or answers who has asked by a forwarded port.
 *
 * One gate for each network, used by its thread alone.
 */
#ifndef DACH_NET_GATE_H
#define DACH_NET_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GATE_OPEN_SOFT 512  /* open sockets from which the guest begins nothing new */
#define GATE_OPEN_HARD 1024 /* and from which it does not go on with what has no connection (UDP) */
#define GATE_RATE 200       /* beginnings a second, in the long run */
#define GATE_BURST 1000     /* at once, after a quiet time */
/* A UDP socket that is idle for longer is gone (libslirp's SO_EXPIRE). */
#define GATE_UDP_NS (240 * 1000000000ll)

/* A bit for each port. */
struct gate_ports {
	uint8_t bit[65536 / 8];
};

/* IPv4 and IPv6 apart: what is a socket of one is none of the other. */
struct gate_family {
	/* Ports of the guest that have sent UDP: in this period of GATE_UDP_NS, and in the one before. */
	struct gate_ports sent[2];
	/* Ports of this host's loopback addresses from which UDP has come, likewise. */
	struct gate_ports came[2];
	/* Ports of the guest to which the host's UDP is forwarded. */
	struct gate_ports forwarded;
};

struct allow;

struct gate {
	struct allow *allow; /* all that the guest reaches outside; NULL: anything; the owner's */
	bool loopback;       /* the guest may begin something with the host's loopback addresses */
	bool ipv6;           /* there is IPv6 */
	unsigned open;       /* the host's sockets; kept by the network */
	int64_t filled_ns;   /* when tokens were last added */
	int64_t tokens;      /* beginnings that may come now, in billionths */
	struct gate_family family[2];
	int64_t period_ns;
	uint64_t refused; /* beginnings that did not get through */
};

/* The addresses that this network is made of: 10.0.2.x and fec0::x. Host and name server of both. */
#define GATE_HOST 2
#define GATE_NAMES 3

void gate_init(struct gate *gate, int64_t now_ns);
/* UDP for this port of the guest's is forwarded: what comes that way may be answered. */
void gate_forward(struct gate *gate, bool ipv6, unsigned guest_port);

/* May something begin now, by which a socket of the host's is opened? */
bool gate_begin(struct gate *gate, int64_t now_ns);
/* Is it a whole datagram of UDP to that port of the network's name server? Its header, and the bytes behind that. */
bool gate_to_names(const uint8_t *frame, size_t len, unsigned port, bool *ipv6, const uint8_t **udp,
	size_t *size);

/* May the network have this frame of the guest's? False: it is to be dropped, as a full line would. */
bool gate_admit(struct gate *gate, const uint8_t *frame, size_t len, int64_t now_ns);
/* The network has this frame for the guest. */
void gate_deliver(struct gate *gate, const uint8_t *frame, size_t len, int64_t now_ns);

#endif
