/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of places in the generated code at which it may fault: struct fixup. */
#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen_internal.h"

static void add_fixup(struct codegen *g, struct fixup s)
{
	s.guest = (uint16_t)g->guest;
	s.carry = g->carry == CARRY_SLOT;
	s.length = g->insn->length;
	if (s.code >= g->cache->cold_start) {
		if (g->cold_fixups < GEN_FIXUPS_MAX / 2)
			g->cold_fixup[g->cold_fixups++] = s;
	} else if (g->hot_fixups < GEN_FIXUPS_MAX / 2) {
		g->hot_fixup[g->hot_fixups++] = s;
	}
}

void gen_fixup(struct codegen *g, const uint8_t *at, unsigned spilled, bool poll)
{
	add_fixup(g,
		(struct fixup){.code = offset_of(g, at),
			.spilled = (uint8_t)spilled,
			.poll = poll});
}

void gen_fixup_slow(struct codegen *g, const uint8_t *at, unsigned spilled)
{
	add_fixup(g,
		(struct fixup){.code = offset_of(g, at),
			.slow = g->slow,
			.spilled = (uint8_t)spilled});
}
