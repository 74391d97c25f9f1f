/* SPDX-License-Identifier: Apache-2.0 */
/* A translated block for a person to read: guest code, and what was made of it. */
#include <stdio.h>

#include "cpu/translate/cache/dump.h"
#include "cpu/translate/cold.h"
#include "cpu/translate/decode/insn.h"

static unsigned line(FILE *out, const uint8_t *bytes, unsigned size, uint64_t address,
	unsigned bits)
{
	struct insn insn;
	char text[96];

	if (insn_decode(&insn, bytes, size < 15 ? size : 15, bits, NULL) && !insn.length)
		insn.length = 1;
	insn_format(&insn, address, bits, text, sizeof text);
	fprintf(out, "  %12llx  ", (unsigned long long)address);
	for (unsigned i = 0; i < 11; i++)
		if (i < insn.length)
			fprintf(out, "%02x", bytes[i]);
		else
			fprintf(out, "  ");
	fprintf(out, "  %s\n", text);
	return insn.length;
}

static void code(FILE *out, const uint8_t *bytes, unsigned size, uint64_t address, unsigned bits)
{
	for (unsigned at = 0; at < size;)
		at += line(out, bytes + at, size - at, address + at, bits);
}

static void block(struct translate_vm *vm, const struct tblock *b, FILE *out)
{
	static const uint8_t code_bits[] = {16, 32, 64};
	struct cache *c = &vm->cache;
	struct region *r = vm_region(vm, b->gpa);
	unsigned first = b->size, room = 4096 - (b->gpa & 4095);

	fprintf(out, "block at %#llx, mode %#x, %u instructions, %u bytes%s%s\n",
		(unsigned long long)b->gpa, b->mode, b->insns, b->size,
		b->dead ? ", forgotten" : "", b->crosses ? ", in two pages" : "");
	if (first > room)
		first = room;
	if (r)
		code(out, r->host + (b->gpa - r->gpa), first, b->gpa,
			code_bits[b->mode & MODE_BITS]);
	fprintf(out, " becomes %u bytes in line, %u out of line, %u exits\n", b->code_size,
		b->cold_size, b->exits);
	code(out, c->exec + b->code, b->code_size, (uint64_t)(c->exec + b->code), 64);
}

void dump_blocks(struct translate_vm *vm, uint64_t gpa, FILE *out)
{
	struct cache *c = &vm->cache;
	bool any = false;

	for (uint32_t i = cache_next(c, 0); i; i = cache_next(c, i)) {
		const struct tblock *b = &c->block[i];

		if (b->dead || gpa < b->gpa || gpa >= b->gpa + b->size)
			continue;
		block(vm, b, out);
		any = true;
	}
	if (!any)
		fprintf(out, "no translated code at %#llx\n", (unsigned long long)gpa);
}
