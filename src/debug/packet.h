/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of gdb's remote protocol (gdb manual, E.1): $content#checksum, and
 * the hexadecimal inside. Reading never goes beyond the end that it is given.
 */
#ifndef DACH_DEBUG_PACKET_H
#define DACH_DEBUG_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "debug/stub.h"

/* What a byte completed. */
enum packet_event {
	PACKET_NONE,
	PACKET_OK,        /* content[0..len), and a 0 after it */
	PACKET_BAD,       /* checksum, or too long */
	PACKET_INTERRUPT, /* Ctrl-C */
	PACKET_NACK,      /* the peer wants the last one again */
};

struct packet_reader {
	enum { BETWEEN, CONTENT, SUM_HIGH, SUM_LOW } where;
	bool too_long;
	uint8_t sum, told;
	size_t len;
	char content[PACKET_MAX + 1];
};

enum packet_event packet_byte(struct packet_reader *reader, uint8_t byte);

/* An answer under way: "$", content, and room for the checksum. */
struct packet_writer {
	size_t len;
	bool too_long;
	char content[PACKET_MAX + 8];
};

void packet_start(struct packet_writer *writer);
void packet_text(struct packet_writer *writer, const char *text);
void packet_hex(struct packet_writer *writer, const void *data, size_t len);
void packet_number(struct packet_writer *writer, uint64_t value);
/* Escapes what a packet cannot hold as it is. */
void packet_binary(struct packet_writer *writer, const void *data, size_t len);
/* Bytes that packet_binary() can still take, whatever they are. */
size_t packet_room(const struct packet_writer *writer);
/* Adds the checksum. An answer that grew too long becomes an error answer. */
void packet_end(struct packet_writer *writer);

/* What remains to be read of a packet. */
struct cursor {
	const char *at, *end;
};

/* Takes c if it is next. */
bool cursor_take(struct cursor *cursor, char c);
/* Takes text if it is next. */
bool cursor_word(struct cursor *cursor, const char *text);
/* One to 16 hexadecimal digits. */
bool cursor_number(struct cursor *cursor, uint64_t *value);
/* Two such numbers with a comma between. */
bool cursor_pair(struct cursor *cursor, uint64_t *first, uint64_t *second);
/* Exactly len bytes as hexadecimal. */
bool cursor_hex(struct cursor *cursor, void *buf, size_t len);
/* Exactly len bytes, unescaped. */
bool cursor_binary(struct cursor *cursor, void *buf, size_t len);
static inline size_t cursor_left(const struct cursor *cursor)
{
	return cursor->end - cursor->at;
}

#endif
