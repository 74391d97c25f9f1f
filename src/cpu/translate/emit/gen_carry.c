/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flags between instructions. Whatever leaves translated code (a fault, a branch, a store that changes
 * code) finds the guest's flags exactly. Checks of addresses use up CF alone (ADCX), so CF has to be kept
 * in vcpu.carry behind a check for which it counts: if it is read, or goes out of the block, or another
 * access may still fault, before an instruction overwrites it. Behind most checks it does not, since the
 * instruction itself or the next one overwrites it.
 */
#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen_internal.h"

#define CARRY_VALUE gs_slot(offsetof(struct vcpu, carry))

static bool reads_carry(const struct insn *i)
{
	return (i->flags_read | i->flags_maybe) & FL_CF;
}

/* May it fault once its memory has been found? */
static bool faults_late(const struct insn *i)
{
	if (i->class == INSN_COPY)
		return i->may_fault || i->mem_aligned;
	return i->class == INSN_PUSH && i->has_mem; /* two accesses */
}

/* May it leave translated code before it writes flags? */
static bool exposes(uint32_t mode, const struct insn *i)
{
	if (!insn_is(i, CLASS_PLAIN) || !gen_native(mode, i))
		return true;
	if (i->class == INSN_COPY)
		return i->has_mem || i->may_fault;
	return !insn_is(i, CLASS_PURE);
}

static bool counts(const struct insn *i, bool after)
{
	return reads_carry(i) || faults_late(i) || (after && !(i->flags_written & FL_CF));
}

void gen_flow(uint32_t mode, const struct insn *insns, unsigned count, bool *found)
{
	bool after = true;

	for (unsigned k = count; k-- > 0; after = found[k] || exposes(mode, &insns[k]))
		found[k] = !insn_is(&insns[k], CLASS_PLAIN) || counts(&insns[k], after);
}

void gen_carry_load(struct codegen *g, struct emit *e, unsigned scratch)
{
	if (g->carry == CARRY_SLOT)
		emit_carry_load(e, scratch, CARRY_VALUE);
	g->carry = CARRY_HOST;
}

void gen_carry_for(struct codegen *g, struct emit *e, const struct insn *i, unsigned scratch)
{
	if (reads_carry(i))
		gen_carry_load(g, e, scratch);
}

void gen_carry_after(struct codegen *g, const struct insn *i)
{
	if (i->flags_written & FL_CF)
		g->carry = CARRY_HOST;
}
