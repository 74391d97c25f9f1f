/* SPDX-License-Identifier: Apache-2.0 */
/* A sequence's items, and the bytes they become. */
#include <string.h>

#include "oracle.h"

struct item *sequence_add(struct sequence *s, const uint8_t *bytes, unsigned length)
{
	struct item *i;

	if (s->count == ITEMS)
		return NULL;
	i = &s->item[s->count++];
	memset(i, 0, sizeof *i);
	memcpy(i->bytes, bytes, length);
	i->length = (uint8_t)length;
	return i;
}

static unsigned item_offset(const struct sequence *s, unsigned item)
{
	unsigned at = s->offset;

	for (unsigned k = 0; k < item && k < s->count; k++)
		at += s->item[k].dropped ? 0 : s->item[k].length;
	return at;
}

uint64_t sequence_address(const struct sequence *s, unsigned item)
{
	return CODE_BASE + item_offset(s, item);
}

unsigned sequence_place(const struct sequence *s, uint8_t *code)
{
	unsigned at = s->offset;

	memset(code, 0xcc, CODE_SIZE);
	for (unsigned k = 0; k < s->count; k++) {
		const struct item *i = &s->item[k];
		uint64_t value, end = CODE_BASE + at + i->length;

		if (i->dropped)
			continue;
		memcpy(code + at, i->bytes, i->length);
		value = i->fix == FIX_DATA ? i->address : sequence_address(s, i->target);
		if (i->fix == FIX_PATCH)
			value = sequence_address(s, i->target + 1u) - 1;
		if (i->fix != FIX_CODE)
			value -= end;
		if (i->fix != FIX_NONE)
			memcpy(code + at + i->fix_at, &value, i->fix_size);
		at += i->length;
	}
	return at;
}

void sequence_patched(const struct sequence *s, uint8_t *code, const uint8_t *after)
{
	for (unsigned k = 0; k < s->count; k++) {
		unsigned at = item_offset(s, s->item[k].target + 1u) - 1;

		if (s->item[k].fix == FIX_PATCH && !s->item[k].dropped)
			code[at] = after[at];
	}
}

void sequence_narrow(const struct sequence *s, uint8_t *code)
{
	for (unsigned k = 0; s->narrow && k < s->count; k++)
		if (!s->item[k].dropped)
			narrow_bytes(&s->item[k], code + item_offset(s, k));
}

void sequence_print(const struct sequence *s)
{
	static uint8_t code[CODE_SIZE];
	unsigned at = s->offset, end = sequence_place(s, code);

	printf("CPL %d, %d-bit code, rflags %llx, fs %llx, gs %llx\n", s->supervisor ? 0 : 3,
		s->narrow ? 32 : 64, (unsigned long long)s->in.rflags, (unsigned long long)s->in.fs,
		(unsigned long long)s->in.gs);
	for (unsigned r = 0; r < 16; r++) {
		static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi",
			"rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};

		printf("%4s %016llx%s", names[r], (unsigned long long)s->in.gpr[r],
			r % 4 == 3 ? "\n" : "");
	}
	while (at < end) {
		struct insn i;
		char text[160];

		insn_decode(&i, code + at, end - at, 64, NULL);
		insn_format(&i, CODE_BASE + at, 64, text, sizeof text);
		printf("  %x: %-50s", CODE_BASE + at, text);
		for (unsigned k = 0; k < i.length; k++)
			printf(" %02x", i.bytes[k]);
		putchar('\n');
		at += i.length;
	}
}
