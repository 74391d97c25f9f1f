/* SPDX-License-Identifier: Apache-2.0 */
#include "net/gate.h"

#include <netinet/in.h>
#include <string.h>

#include "net/net.h"

#define TOKEN 1000000000ll /* one beginning */

#define IP_HEADER 20
#define TCP_HEADER 20
#define UDP_HEADER 8
#define TCP_SYN 0x02
#define TCP_ACK 0x10

void gate_init(struct gate *gate, int64_t now_ns)
{
	memset(gate, 0, sizeof *gate);
	gate->filled_ns = gate->period_ns = now_ns;
	gate->tokens = GATE_BURST * TOKEN;
}

/*
 * Is it an address that means the host itself or its own link (RFC 1122 3.2.1.3, RFC 3927)? libslirp
 * would connect to that for the guest: to what trusts the host alone, or to a cloud's metadata.
 */
static bool host_only(const uint8_t *to)
{
	return to[0] == 0 || to[0] == 127 || (to[0] == 169 && to[1] == 254);
}

static bool begin(struct gate *gate, int64_t now_ns)
{
	int64_t past = now_ns - gate->filled_ns;

	if (past > GATE_BURST * TOKEN / GATE_RATE)
		past = GATE_BURST * TOKEN / GATE_RATE;
	if (past > 0) {
		gate->tokens += past * GATE_RATE;
		gate->filled_ns = now_ns;
	}
	if (gate->tokens > GATE_BURST * TOKEN)
		gate->tokens = GATE_BURST * TOKEN;
	if (gate->open >= GATE_OPEN_SOFT || gate->tokens < TOKEN) {
		gate->refused++;
		return false;
	}
	gate->tokens -= TOKEN;
	return true;
}

static bool admit_udp(struct gate *gate, uint16_t port, int64_t now_ns)
{
	uint8_t bit = 1u << port % 8, *now = &gate->udp[0][port / 8],
		*before = &gate->udp[1][port / 8];

	if (now_ns - gate->period_ns > GATE_UDP_NS) {
		bool long_ago = now_ns - gate->period_ns > 2 * GATE_UDP_NS;

		if (long_ago)
			memset(gate->udp[1], 0, sizeof gate->udp[1]);
		else
			memcpy(gate->udp[1], gate->udp[0], sizeof gate->udp[1]);
		memset(gate->udp[0], 0, sizeof gate->udp[0]);
		gate->period_ns = now_ns;
	}
	if (gate->open >= GATE_OPEN_HARD)
		return false;
	if (!((*now | *before) & bit) && !begin(gate, now_ns))
		return false;
	*now |= bit;
	return true;
}

bool gate_admit(struct gate *gate, const uint8_t *frame, size_t len, int64_t now_ns)
{
	const uint8_t *ip = frame + NET_HEADER_LEN, *data;
	unsigned fragment, head;

	if (len < NET_HEADER_LEN || frame[12] != 8 || frame[13] != 0)
		return true; /* no IPv4 */
	len -= NET_HEADER_LEN;
	head = len ? (ip[0] & 15) * 4u : 0;
	if (head < IP_HEADER || head > len)
		return false; /* no header: nobody would take it */
	if (host_only(ip + 16))
		return false;
	fragment = (ip[6] << 8 | ip[7]) & 0x1fff;
	if (fragment)
		return true; /* of no use without the first, which has the ports */
	data = ip + head;
	len -= head;
	switch (ip[9]) {
	case IPPROTO_TCP:
		if (len < TCP_HEADER)
			return false;
		return (data[13] & (TCP_SYN | TCP_ACK)) != TCP_SYN || begin(gate, now_ns);
	case IPPROTO_UDP:
		return len >= UDP_HEADER && admit_udp(gate, data[0] << 8 | data[1], now_ns);
	case IPPROTO_ICMP:
		return begin(gate, now_ns); /* each echo is a socket */
	default:
		return true; /* libslirp knows no others */
	}
}
