/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indirect branches to what is no address. Processors of both makers raise #GP(0) at the branch and
 * leave RSP alone (SDM 2A CALL, JMP, 2B RET; seen of AMD family 1Ah). Translated code finds no block for
 * such a target and leaves to have it looked up, with RSP moved; the branch is found again by its block.
 * CALL has stored its return address by then: eight bytes below RSP that a processor would not write.
 */
#include "cpu/translate/cold.h"
#include "cpu/translate/decode/insn.h"
#include "cpu/translate/memory/mmu.h"
#include "cpu/translate/vm.h"

/* Code of the block from byte `at` on, as far as the pages reach that the block lies in. */
static unsigned code_bytes(struct vcpu *v, const struct tblock *b, unsigned at, uint8_t bytes[15])
{
	unsigned n;

	for (n = 0; n < 15; n++) {
		unsigned offset = (unsigned)(b->gpa & 4095) + at + n;
		uint64_t gpa = (b->gpa & ~4095ull) + offset;
		struct region *r;

		if (offset > 4095 && !b->crosses)
			break;
		if (offset > 4095)
			gpa = block_gpa2(b) + (offset - 4096);
		r = vm_region(v->vm, gpa);
		/* The block may be older than the memory that its page has become (machine/memory_base.h). */
		if (!r || !mmu_bring(v, r, gpa))
			break;
		bytes[n] = r->host[gpa - r->gpa];
	}
	return n;
}

bool branch_astray(struct vcpu *v, uint32_t number, uint64_t *rip, int64_t *rsp)
{
	const struct tblock *b = &v->vm->cache.block[number];
	unsigned at = 0, length = 0;
	struct insn i = {.class = INSN_UNDEFINED};

	if (!number)
		return false;
	for (unsigned k = 0; k < b->insns; k++, at += length) {
		uint8_t bytes[15];
		unsigned size = code_bytes(v, b, at, bytes);

		if (insn_decode(&i, bytes, size, 64, vcpu_cpuid(v)))
			return false;
		length = i.length;
	}
	*rip = block_base(v, b) + (b->gpa & 4095) + at - length;
	/* how much too low it is */
	*rsp = i.class == INSN_CALL_IND ? 8 : i.class == INSN_RET ? -8 - (i.imm & 0xffff) : 0;
	return i.class == INSN_CALL_IND || i.class == INSN_RET || i.class == INSN_JMP_IND;
}
