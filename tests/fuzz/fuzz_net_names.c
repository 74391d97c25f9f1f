/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of DNS from a guest and from a name server, and frames to a network that lets through a list of destinations. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/allow.h"
#include "net/dns.h"
#include "net/gate.h"
#include "net/names.h"
#include "net/net.h"

#define NOW (1000ull * 1000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct frame {
	const uint8_t *data;
	size_t size;
};

static socklen_t no_server(void *ctx, unsigned n, struct sockaddr_storage *to)
{
	return 0;
}

/* It goes back to where the question came from, with nothing that the guest has not said. */
static void take_answer(void *ctx, const uint8_t *frame, size_t len)
{
	const struct frame *in = ctx;

	if (len > in->size + 8 || memcmp(frame, in->data + 6, 6))
		abort();
}

static void learn(void *ctx, const uint8_t *address, bool ipv6, uint32_t ttl)
{
	allow_learn(ctx, address, ipv6, ttl, NOW);
	if (!allow_reach(ctx, address, ipv6, true, NOW))
		abort();
}

static void use_message(struct allow *allow, const uint8_t *data, size_t size)
{
	uint8_t to[DNS_MESSAGE_MAX];
	struct dns_question question, again;
	uint8_t *copy = malloc(size + 1);

	dns_each_address(data, size, learn, allow);
	if (copy) {
		memcpy(copy, data, size);
		if (dns_cut_more(copy, size) > size)
			abort();
		free(copy);
	}
	if (!dns_read_query(data, size, &question))
		return;
	if (question.end > size || strlen(question.name) > NET_NAME_TEXT)
		abort();
	allow_name(allow, question.name);
	size = dns_make_query(data, &question, 7, to);
	if (!dns_read_query(to, size, &again) || strcmp(again.name, question.name) ||
		dns_is_answer(to, size, to, size))
		abort();
	to[2] |= 0x80;
	/* Itself as the answer to itself. */
	dns_is_answer(to, size, data, question.end);
	dns_make_refusal(data, &question, to);
}

static void use_frame(struct allow *allow, struct gate *gate, const uint8_t *data, size_t size)
{
	struct frame in = {data, size};
	const struct names_owner owner = {&in, no_server, take_answer};
	struct name_server *names;

	if (names_create(allow, gate, &owner, &names, NULL))
		return;
	names_take(names, data, size, NOW);
	gate_admit(gate, data, size, (int64_t)NOW);
	names_free(names);
}

/* As a whole datagram to the network's name server. */
static void use_question(struct allow *allow, struct gate *gate, const uint8_t *data, size_t size)
{
	static const uint8_t head[] = {0x52, 0x55, 10, 0, 2, 3, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8,
		0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 2, 15, 10, 0, 2, 3, 0xc0, 1, 0,
		53};
	uint8_t *frame = malloc(sizeof head + 4 + size);

	if (frame && size <= DNS_MESSAGE_MAX) {
		memcpy(frame, head, sizeof head);
		memcpy(frame + sizeof head, (uint8_t[]){(size + 8) >> 8, (size + 8) & 0xff, 0, 0},
			4);
		memcpy(frame + sizeof head + 4, data, size);
		use_frame(allow, gate, frame, sizeof head + 4 + size);
	}
	free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *list[] = {"10.0.0.0/9", "fd00::/20", "example.org", "a"};
	static struct gate gate;
	struct allow *allow;

	if (allow_create(list, 4, &allow, NULL))
		return 0;
	gate_init(&gate, (int64_t)NOW);
	gate.allow = allow;
	gate.ipv6 = true;
	use_message(allow, data, size);
	use_frame(allow, &gate, data, size);
	use_question(allow, &gate, data, size);
	allow_free(allow);
	return 0;
}
