/* SPDX-License-Identifier: Apache-2.0 */
/* A translated block for a person to read: guest code, and what was made of it. */
#include <stdio.h>
#include <string.h>

#include "cpu/translate/cache/dump.h"
#include "cpu/translate/cold.h"
#include "cpu/translate/decode/insn.h"

/* What generated code finds at %gs, in the order of where; arrays up to what follows. */
static const struct {
	uint32_t at;
	const char *name;
} fields[] = {
#define FIELD(name)                                \
	{                                          \
		offsetof(struct vcpu, name), #name \
	}
	FIELD(cpu),
	FIELD(code_base),
	FIELD(spill),
	FIELD(carry),
	FIELD(sum),
	FIELD(host_rsp),
	FIELD(flags),
	FIELD(page_mask),
	FIELD(limit),
	FIELD(if_mask),
	FIELD(code_flags_mask),
	FIELD(direction_mask),
	FIELD(irq_window_poll),
	FIELD(irq_window_mask),
	FIELD(jump_mask),
	FIELD(poll),
	FIELD(kicked),
	FIELD(ea),
	FIELD(scratch),
	FIELD(self),
	FIELD(stub_leave),
	FIELD(stub_slow),
	FIELD(stub_commit),
	FIELD(resume),
	FIELD(resume_rsp),
#undef FIELD
	{CTX_TAG_READ, "TLB: tag to read"},
	{CTX_TAG_WRITE, "TLB: tag to write"},
	{CTX_DELTA, "TLB: the way to the host"},
	{CTX_JUMP_KEY, "jump cache: key"},
	{CTX_JUMP_TARGET, "jump cache: target"},
	{CTX_HOSTMAP, "direct map: the way to the window"},
};

static const char *field_at(const struct insn *i)
{
	const char *name = NULL;

	if (i->has_mem && i->mem_seg == SEG_GS)
		for (unsigned k = 0; k < sizeof fields / sizeof *fields; k++)
			if ((uint64_t)i->mem_disp >= fields[k].at)
				name = fields[k].name;
	return name;
}

/* `host`: generated code, which names fields by %gs. */
static unsigned line(FILE *out, const uint8_t *bytes, unsigned size, uint64_t address,
	unsigned bits, bool host)
{
	const char *field;
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
	field = host ? field_at(&insn) : NULL;
	fprintf(out, field ? "  %-36s; %s\n" : "  %s\n", text, field);
	return insn.length;
}

static void code(FILE *out, const uint8_t *bytes, unsigned size, uint64_t address, unsigned bits)
{
	for (unsigned at = 0; at < size;)
		at += line(out, bytes + at, size - at, address + at, bits, false);
}

/* Does the instruction lead to stub_slow? What comes behind it is a struct slow_access then. */
static bool leads_to_slow(const uint8_t *bytes, unsigned length)
{
	static const uint8_t jmp[] = {0x65, 0xff, 0x24, 0x25};
	const uint32_t slot = offsetof(struct vcpu, stub_slow);

	return length == sizeof jmp + sizeof slot && !memcmp(bytes, jmp, sizeof jmp) &&
		!memcmp(bytes + sizeof jmp, &slot, sizeof slot);
}

static unsigned slow_access(FILE *out, const uint8_t *bytes, uint64_t address)
{
	struct slow_access d;

	memcpy(&d, bytes, sizeof d);
	fprintf(out,
		"  %12llx  (for C: %s%s of %u bytes by the instruction at offset %#x in its page;",
		(unsigned long long)address, d.flags & SLOW_READ ? "read" : "",
		d.flags & SLOW_WRITE ? "write" : "", d.size, d.guest);
	if (d.retry)
		fprintf(out, " again at %#llx)\n",
			(unsigned long long)(address + (uint64_t)(int64_t)d.retry));
	else
		fprintf(out, " never again)\n");
	return d.flags & SLOW_GROUP ? sizeof(struct slow_group) : sizeof d;
}

/* Host code; addresses are offsets in the cache. */
static void host_code(FILE *out, const struct cache *c, uint32_t from, unsigned size)
{
	for (unsigned at = 0; at < size;) {
		const uint8_t *bytes = c->exec + from + at;
		unsigned length = line(out, bytes, size - at, from + at, 64, true);

		at += length;
		if (leads_to_slow(bytes, length))
			at += slow_access(out, bytes + length, from + at);
	}
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
	fprintf(out, " becomes %u bytes in line, %u exits (offsets in the code cache, at %p)\n",
		b->code_size, b->exits, (const void *)c->exec);
	host_code(out, c, b->code, b->code_size);
	fprintf(out, " and %u bytes out of line\n", b->cold_size);
	host_code(out, c, b->cold, b->cold_size);
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
