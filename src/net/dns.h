/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of DNS (RFC 1035, 4), as a guest or a name server may have made them up. */
#ifndef DACH_NET_DNS_H
#define DACH_NET_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/network.h"

#define DNS_HEADER 12u
#define DNS_PORT 53
#define DNS_MESSAGE_MAX 4096u /* over UDP, as we take it */
#define DNS_PAYLOAD 1232u     /* that fits everywhere (RFC 9715) */
#define DNS_NO_SUCH_NAME 3u

/* The one question of a message. */
struct dns_question {
	char name[NET_NAME_TEXT +
		1]; /* as it was written; "": the root, or of other characters than net_is_name()'s */
	size_t end;    /* where it ends in the message */
	bool extended; /* there is something behind: EDNS (RFC 6891) */
};

/* false: it is none, or not one alone. */
bool dns_read_query(const uint8_t *message, size_t len, struct dns_question *question);
/* Is this the answer to a query of that number with this question? */
bool dns_is_answer(const uint8_t *message, size_t len, const uint8_t *query, size_t query_len);
/* Calls each for the addresses of an answer, as far as it is whole. */
void dns_each_address(const uint8_t *message, size_t len,
	void (*each)(void *ctx, const uint8_t *address, bool ipv6, uint32_t ttl), void *ctx);

/* The bare question of that number, by somebody who takes answers of up to DNS_PAYLOAD bytes. to has DNS_MESSAGE_MAX; how many it is. */
size_t dns_make_query(const uint8_t *message, const struct dns_question *question, uint16_t number,
	uint8_t *to);
/* An answer's length without what is beside it, for who has not said that he knows of EDNS. */
size_t dns_cut_more(uint8_t *message, size_t len);
/* The answer that there is no such name. */
size_t dns_make_refusal(const uint8_t *message, const struct dns_question *question, uint8_t *to);

#endif
