/* SPDX-License-Identifier: Apache-2.0 */
#include "debug/packet.h"

#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static enum packet_event between(struct packet_reader *reader, uint8_t byte)
{
	if (byte == '$') {
		reader->where = CONTENT;
		reader->len = 0;
		reader->sum = 0;
		reader->too_long = false;
	}
	return byte == 3 ? PACKET_INTERRUPT : byte == '-' ? PACKET_NACK : PACKET_NONE;
}

enum packet_event packet_byte(struct packet_reader *reader, uint8_t byte)
{
	int digit = hex_digit(byte);

	switch (reader->where) {
	case BETWEEN:
		return between(reader, byte);
	case CONTENT:
		if (byte == '#') {
			reader->where = SUM_HIGH;
			return PACKET_NONE;
		}
		if (byte == '$') /* the one before was cut off */
			return between(reader, byte);
		reader->sum += byte;
		if (reader->len < PACKET_MAX)
			reader->content[reader->len++] = byte;
		else
			reader->too_long = true;
		return PACKET_NONE;
	case SUM_HIGH:
		reader->where = digit < 0 ? BETWEEN : SUM_LOW;
		if (digit < 0)
			return PACKET_BAD;
		reader->told = digit << 4;
		return PACKET_NONE;
	case SUM_LOW:
		reader->where = BETWEEN;
		if (digit < 0 || (reader->told | digit) != reader->sum || reader->too_long)
			return PACKET_BAD;
		reader->content[reader->len] = '\0';
		return PACKET_OK;
	}
	return PACKET_NONE;
}

static void put(struct packet_writer *writer, char c)
{
	if (writer->len <= PACKET_MAX)
		writer->content[writer->len++] = c;
	else
		writer->too_long = true;
}

void packet_start(struct packet_writer *writer)
{
	writer->len = 0;
	writer->too_long = false;
	put(writer, '$');
}

void packet_text(struct packet_writer *writer, const char *text)
{
	while (*text)
		put(writer, *text++);
}

static const char digits[] = "0123456789abcdef";

void packet_hex(struct packet_writer *writer, const void *data, size_t len)
{
	const uint8_t *byte = data;

	for (size_t i = 0; i < len; i++) {
		put(writer, digits[byte[i] >> 4]);
		put(writer, digits[byte[i] & 15]);
	}
}

void packet_number(struct packet_writer *writer, uint64_t value)
{
	int shift = 60;

	while (shift && !(value >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		put(writer, digits[value >> shift & 15]);
}

void packet_binary(struct packet_writer *writer, const void *data, size_t len)
{
	const char *byte = data;

	for (size_t i = 0; i < len; i++) {
		bool special = byte[i] && strchr("#$}*", byte[i]);

		if (special)
			put(writer, '}');
		put(writer, special ? byte[i] ^ 0x20 : byte[i]);
	}
}

size_t packet_room(const struct packet_writer *writer)
{
	return writer->len < PACKET_MAX ? (PACKET_MAX - writer->len) / 2 : 0;
}

void packet_end(struct packet_writer *writer)
{
	uint8_t sum = 0;

	if (writer->too_long) {
		packet_start(writer);
		packet_text(writer, "E22");
	}
	for (size_t i = 1; i < writer->len; i++)
		sum += writer->content[i];
	writer->content[writer->len++] = '#';
	writer->content[writer->len++] = digits[sum >> 4];
	writer->content[writer->len++] = digits[sum & 15];
}

bool cursor_take(struct cursor *cursor, char c)
{
	if (cursor->at == cursor->end || *cursor->at != c)
		return false;
	cursor->at++;
	return true;
}

bool cursor_word(struct cursor *cursor, const char *text)
{
	size_t len = strlen(text);

	if (cursor_left(cursor) < len || memcmp(cursor->at, text, len))
		return false;
	cursor->at += len;
	return true;
}

bool cursor_number(struct cursor *cursor, uint64_t *value)
{
	int n = 0, digit;

	*value = 0;
	while (cursor->at < cursor->end && (digit = hex_digit(*cursor->at)) >= 0) {
		if (n++ == 16)
			return false;
		*value = *value << 4 | digit;
		cursor->at++;
	}
	return n > 0;
}

bool cursor_pair(struct cursor *cursor, uint64_t *first, uint64_t *second)
{
	return cursor_number(cursor, first) && cursor_take(cursor, ',') &&
		cursor_number(cursor, second);
}

bool cursor_hex(struct cursor *cursor, void *buf, size_t len)
{
	uint8_t *byte = buf;

	if (cursor_left(cursor) / 2 < len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(cursor->at[0]), low = hex_digit(cursor->at[1]);

		if (high < 0 || low < 0)
			return false;
		byte[i] = high << 4 | low;
		cursor->at += 2;
	}
	return true;
}

bool cursor_binary(struct cursor *cursor, void *buf, size_t len)
{
	char *byte = buf;

	for (size_t i = 0; i < len; i++) {
		bool escaped = cursor_take(cursor, '}');

		if (cursor->at == cursor->end)
			return false;
		byte[i] = escaped ? *cursor->at ^ 0x20 : *cursor->at;
		cursor->at++;
	}
	return true;
}
