/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest code is whatever a guest likes: decoding, masks and copies of arbitrary bytes, for guests that
 * are told of either maker.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "cpu/cpuid.h"
#include "cpu/state.h"
#include "cpu/translate/emit/emit.h"
#include "cpu/translate/decode/insn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OPMASK_AT 832u /* in the XSAVE image: AMD's place for it */

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static void check_places(const struct insn *i)
{
	CHECK(i->prefix_count < i->length && i->opcode_offset < i->length);
	CHECK(i->modrm_offset < i->length && i->imm_offset + i->imm_size <= i->length);
	CHECK(i->encoding == ENC_LEGACY || i->vex_offset == i->prefix_count);
	CHECK(!i->modrm_offset || i->modrm == i->bytes[i->modrm_offset]);
	CHECK(i->bytes[i->opcode_offset] == i->opcode);
	CHECK(i->operand_size == 1 || i->operand_size == 2 || i->operand_size == 4 ||
		i->operand_size == 8);
	CHECK(i->address_size == 2 || i->address_size == 4 || i->address_size == 8);
}

static void check_memory(const struct insn *i, unsigned bits)
{
	CHECK(i->mem_seg < SEG_COUNT);
	CHECK(i->has_mem || i->class == INSN_STRING || (!i->mem_read && !i->mem_write));
	if (!i->has_mem)
		return;
	CHECK(i->mem_base == INSN_NO_REG || i->mem_base <= INSN_RIP);
	CHECK(i->mem_index == INSN_NO_REG || i->mem_index < 16);
	CHECK(bits == 64 || i->mem_base != INSN_RIP);
	CHECK(i->mem_base >= 16 || (i->gpr_read >> i->mem_base & 1));
	CHECK(i->mem_index >= 16 || (i->gpr_read >> i->mem_index & 1));
	CHECK(i->class != INSN_COPY || i->mem_vsib == INSN_NO_REG);
	CHECK(i->class != INSN_COPY || (i->mem_size >= 1 && i->mem_size <= 64));
	CHECK(i->class != INSN_COPY || i->mem_read || i->mem_write);
	CHECK(!i->mem_masked ||
		(i->mem_mask != INSN_MASK_NONE && i->mask_step != 0 && i->mem_size <= 64));
}

/* A copy is something generated code may contain, and means the same. */
static void check_copy(const struct insn *i, unsigned bits, const struct cpuid_policy *policy)
{
	uint8_t code[64];
	struct emit e = {code, 0};
	struct insn copy;
	unsigned length;

	emit_copy(&e, i, bits, at_reg(RBX, 0));
	CHECK(insn_host_allowed(code, e.at - code, &length) && length == e.at - code);
	CHECK(insn_decode(&copy, code, length, 64, policy) == 0);
	CHECK(copy.mnemonic == i->mnemonic && copy.gpr_write == i->gpr_write);
	CHECK(copy.has_mem == i->has_mem && copy.mem_size == i->mem_size);
	CHECK(copy.flags_written == i->flags_written && copy.flags_read == i->flags_read);
}

/* Of all inputs: what one left must not change what another is. */
struct reader {
	const struct cpuid_policy *policy;
	struct insn_memo *memo;
};

static void check(const struct reader *reader, const uint8_t *data, size_t size, unsigned bits,
	const uint8_t *xsave)
{
	const struct cpuid_policy *policy = reader->policy;
	struct insn i, again;
	char text[128];
	int rc = insn_decode(&i, data, size, bits, policy);

	CHECK(insn_memo_decode(reader->memo, &again, data, size, bits, policy) == rc);
	CHECK(memcmp(&i, &again, sizeof(i)) == 0);
	CHECK(rc == 0 || rc == -EAGAIN || rc == -EILSEQ);
	CHECK(rc != -EAGAIN || size < 15);
	if (rc == -EAGAIN)
		return;
	CHECK(i.length >= 1 && i.length <= 15 && i.length <= size);
	insn_format(&i, 0x1000, bits, text, sizeof(text));
	CHECK((rc == 0) == (i.class != INSN_UNDEFINED));
	if (rc)
		return;
	CHECK(i.class <= INSN_EMULATE);
	CHECK(!(i.flags_written & i.flags_maybe));
	CHECK(!((i.flags_read | i.flags_written | i.flags_maybe) & ~(FL_STATUS | FL_DF)));
	check_places(&i);
	check_memory(&i, bits);
	if (i.mem_masked && i.mem_size < 64)
		CHECK(!(insn_mask(&i, xsave, OPMASK_AT) >> i.mem_size));
	/* its own bytes are all that it needs */
	CHECK(insn_decode(&again, data, i.length, bits, policy) == 0);
	CHECK(memcmp(&i, &again, sizeof(i)) == 0);
	if (i.class == INSN_COPY)
		check_copy(&i, bits, policy);
}

/* AMD's, with every feature there is. */
static const struct cpuid_policy *amd_policy(void)
{
	static const uint32_t leaf[][2] = {{0, 0}, {1, 0}, {7, 0}, {7, 1}, {13, 1},
		{0x80000001u, 0}};
	static struct cpuid_policy p;

	for (unsigned n = 0; n < sizeof(leaf) / sizeof(*leaf); n++)
		p.leaf[p.count++] =
			(struct cpuid_leaf){leaf[n][0], leaf[n][1], ~0u, ~0u, ~0u, ~0u, true};
	cpuid_policy_vendor(&p, "AuthenticAMD");
	return &p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned bits[] = {16, 32, 64};
	static struct reader intel, amd;
	uint8_t xsave[CPU_XSAVE_SIZE];

	if (!intel.memo) {
		intel.memo = insn_memo_create();
		amd = (struct reader){amd_policy(), insn_memo_create()};
	}
	CHECK(intel.memo && amd.memo);
	memset(xsave, 0xa5, sizeof(xsave));
	for (unsigned n = 0; n < 3; n++) {
		check(&intel, data, size, bits[n], xsave);
		check(&amd, data, size, bits[n], xsave);
	}
	return 0;
}
