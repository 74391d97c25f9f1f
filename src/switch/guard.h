/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest may send to a switch: as its own card, and as nobody who gives addresses or ways out. What a guest, or a monitor that
 * one has taken over, sends comes here first.
 */
#ifndef DACH_SWITCH_GUARD_H
#define DACH_SWITCH_GUARD_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/network.h"

/*
 * May it pass, from the card of that MAC? The header is put right: what is left of it is true of the frame. The
 * addresses of IPv4 that the network itself has, 10.0.2.2 and 10.0.2.3, are no guest's.
 */
bool guard_admit(const uint8_t mac[NET_MAC_LEN], struct virtio_net_hdr_v1 *header,
	const uint8_t *frame, size_t len);

#endif
