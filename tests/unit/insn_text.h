/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions in tests, as text. Include after cmocka.h. */
#ifndef DACH_TESTS_INSN_TEXT_H
#define DACH_TESTS_INSN_TEXT_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cpu/translate/decode/insn.h"

#define BIT(reg) (1u << (reg))

/* "0f a2" and so on; the bytes past them are zero. */
static inline unsigned hex(const char *text, uint8_t bytes[15])
{
	unsigned n = 0, value;
	int used;

	memset(bytes, 0, 15);
	for (; n < 15 && sscanf(text, " %2x%n", &value, &used) == 1; text += used)
		bytes[n++] = value;
	return n;
}

/* Decodes all of it; the class may be INSN_UNDEFINED. */
static inline struct insn decode(const char *text, unsigned bits)
{
	struct insn i;
	uint8_t bytes[15];
	unsigned n = hex(text, bytes);
	int rc = insn_decode(&i, bytes, n, bits, NULL);

	if (rc != 0 && rc != -EILSEQ)
		fail_msg("%s: %d", text, rc);
	if (rc == 0 && i.length != n)
		fail_msg("%s: length %u", text, i.length);
	return i;
}

#endif
