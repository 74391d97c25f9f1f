/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user's daemon says to a switch of his guests (dach-switch). Over a socket of packets on which the
 * switch listens, a connection for each: struct switch_port with the guest's end of nothing but a socket of
 * packets, SWITCH_FRAME_MAX at most in each, as ancillary data (SCM_RIGHTS). The answer is one byte, 0.
 */
#ifndef DACH_PROTOCOL_SWITCH_H
#define DACH_PROTOCOL_SWITCH_H

#include <stdint.h>

#include "protocol/network.h"

/* The descriptors that it is started with: the socket it listens on; all else is closed. */
#define SWITCH_FD 3
#define SWITCH_PORTS_MAX 128
#define SWITCH_VERSION 1

/* Each packet of a port: a struct virtio_net_hdr_v1 and a frame. */
struct switch_port {
	uint32_t version;
	uint8_t mac[NET_MAC_LEN]; /* the guest's card; frames of others are dropped */
	uint8_t reserved[2];
};

#endif
