/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of places in the generated code at which it may fault: struct site. */
#include "cpu/translate/cold.h"
#include "cpu/translate/emit/rewrite_internal.h"

static void add_site(struct rewrite *w, struct site s)
{
	s.guest = (uint16_t)w->guest;
	s.carry = w->carry == CARRY_SLOT;
	s.length = w->insn->length;
	if (s.code >= w->cache->cold_start) {
		if (w->cold_sites < REWRITE_SITES_MAX / 2)
			w->cold_site[w->cold_sites++] = s;
	} else if (w->hot_sites < REWRITE_SITES_MAX / 2) {
		w->hot_site[w->hot_sites++] = s;
	}
}

void rewrite_site(struct rewrite *w, const uint8_t *at, unsigned spilled, bool poll)
{
	add_site(w,
		(struct site){.code = offset_of(w, at), .spilled = (uint8_t)spilled, .poll = poll});
}

void rewrite_site_slow(struct rewrite *w, const uint8_t *at, unsigned spilled)
{
	add_site(w,
		(struct site){.code = offset_of(w, at),
			.slow = w->slow,
			.spilled = (uint8_t)spilled});
}
