/* SPDX-License-Identifier: Apache-2.0 */
#include "net/dns.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/big_endian.h"

/* The header: number, flags, then how many questions, answers, authorities and more there are. */
#define FLAGS 2u
#define QUESTIONS 4u
#define ANSWERS 6u
#define AUTHORITIES 8u
#define MORE 10u
#define FLAG_ANSWER 0x8000u
#define FLAG_OPCODE 0x7800u
#define FLAG_RECURSE 0x0100u
#define FLAG_CAN_RECURSE 0x0080u

#define LABEL_MAX 63u
#define QUESTION_TAIL 4u /* type, class */
#define RECORD_TAIL 10u  /* type, class, TTL, length */
#define TYPE_A 1u
#define TYPE_OPT 41u
#define TYPE_AAAA 28u
#define CLASS_INTERNET 1u

static bool is_plain(unsigned char c)
{
	return isalnum(c) || c == '-' || c == '_';
}

/* A name that points nowhere: where it ends, or 0. */
static size_t read_name(const uint8_t *message, size_t len, size_t at, char name[NET_NAME_TEXT + 1])
{
	size_t size = 0;
	bool plain = true;

	for (;;) {
		unsigned label;

		if (at >= len)
			return 0;
		label = message[at++];
		if (!label)
			break;
		if (label > LABEL_MAX || label > len - at || size + label + 1 > NET_NAME_TEXT)
			return 0;
		if (size)
			name[size++] = '.';
		for (unsigned i = 0; i < label; i++, at++) {
			plain = plain && is_plain(message[at]);
			name[size++] = (char)message[at];
		}
	}
	name[plain ? size : 0] = 0;
	return at;
}

static bool read_question(const uint8_t *message, size_t len, struct dns_question *question)
{
	const size_t end = read_name(message, len, DNS_HEADER, question->name);

	if (!end || len - end < QUESTION_TAIL)
		return false;
	question->end = end + QUESTION_TAIL;
	question->extended = get16(message + MORE) == 1;
	return true;
}

bool dns_read_query(const uint8_t *message, size_t len, struct dns_question *question)
{
	return len >= DNS_HEADER && !(get16(message + FLAGS) & (FLAG_ANSWER | FLAG_OPCODE)) &&
		get16(message + QUESTIONS) == 1 && !get16(message + ANSWERS) &&
		read_question(message, len, question);
}

bool dns_is_answer(const uint8_t *message, size_t len, const uint8_t *query, size_t query_len)
{
	struct dns_question asked, answered;

	return len >= DNS_HEADER && get16(message) == get16(query) &&
		(get16(message + FLAGS) & (FLAG_ANSWER | FLAG_OPCODE)) == FLAG_ANSWER &&
		get16(message + QUESTIONS) == 1 && read_question(message, len, &answered) &&
		dns_read_query(query, query_len, &asked) && answered.end == asked.end &&
		!strcasecmp(answered.name, asked.name) &&
		!memcmp(message + asked.end - QUESTION_TAIL, query + asked.end - QUESTION_TAIL,
			QUESTION_TAIL);
}

/* Whose it is does not count, and it may point anywhere. Where it ends, or 0. */
static size_t skip_name(const uint8_t *message, size_t len, size_t at)
{
	while (at < len) {
		const unsigned label = message[at];

		if (label > LABEL_MAX)
			return label >> 6 == 3 && len - at >= 2 ? at + 2 : 0;
		at += 1 + label;
		if (!label)
			return at;
	}
	return 0;
}

void dns_each_address(const uint8_t *message, size_t len,
	void (*each)(void *ctx, const uint8_t *address, bool ipv6, uint32_t ttl), void *ctx)
{
	struct dns_question question;
	size_t at;

	if (len < DNS_HEADER || !read_question(message, len, &question))
		return;
	at = question.end;
	for (unsigned left = get16(message + ANSWERS); left; left--) {
		const uint8_t *record;
		unsigned type, size;

		at = skip_name(message, len, at);
		if (!at || len - at < RECORD_TAIL)
			return;
		record = message + at;
		type = get16(record);
		size = get16(record + 8);
		at += RECORD_TAIL;
		if (size > len - at)
			return;
		if (get16(record + 2) == CLASS_INTERNET &&
			((type == TYPE_A && size == 4) || (type == TYPE_AAAA && size == 16)))
			each(ctx, message + at, type == TYPE_AAAA, get32(record + 4));
		at += size;
	}
}

size_t dns_cut_more(uint8_t *message, size_t len)
{
	struct dns_question question;
	size_t at;

	if (len < DNS_HEADER || !read_question(message, len, &question))
		return len;
	at = question.end;
	for (unsigned left = get16(message + ANSWERS) + get16(message + AUTHORITIES); left;
		left--) {
		at = skip_name(message, len, at);
		if (!at || len - at < RECORD_TAIL ||
			get16(message + at + 8) > len - at - RECORD_TAIL)
			return len;
		at += RECORD_TAIL + get16(message + at + 8);
	}
	put16(message + MORE, 0);
	return at;
}

/* Header and question; the header has one question and no more. */
static void begin(const uint8_t *message, const struct dns_question *question, unsigned flags,
	uint8_t *to)
{
	memcpy(to, message, question->end);
	put16(to + FLAGS, flags);
	memset(to + ANSWERS, 0, DNS_HEADER - ANSWERS);
}

size_t dns_make_query(const uint8_t *message, const struct dns_question *question, uint16_t number,
	uint8_t *to)
{
	/* The root's name, its type, how large an answer may be, no flags, no data. */
	static const uint8_t extended[] = {0, 0, TYPE_OPT, DNS_PAYLOAD >> 8, DNS_PAYLOAD & 255, 0,
		0, 0, 0, 0, 0};
	size_t len = question->end;

	begin(message, question, get16(message + FLAGS) & FLAG_RECURSE, to);
	put16(to, number);
	put16(to + MORE, 1);
	memcpy(to + len, extended, sizeof extended);
	return len + sizeof extended;
}

size_t dns_make_refusal(const uint8_t *message, const struct dns_question *question, uint8_t *to)
{
	begin(message, question,
		FLAG_ANSWER | FLAG_CAN_RECURSE | (get16(message + FLAGS) & FLAG_RECURSE) |
			DNS_NO_SUCH_NAME,
		to);
	return question->end;
}
