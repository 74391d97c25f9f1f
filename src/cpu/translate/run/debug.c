/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's debug registers (SDM 3B 17.2). While DR7 enables anything, the vCPU
 * runs one instruction a block: what is to trap behind an instruction is looked at
 * between two. Pages with a data breakpoint are never in the TLB, so that each access
 * to them comes to debug_access().
 */
#include "cpu/translate/emulate/event.h"
#include "cpu/translate/hot.h"
#include "cpu/translate/vm.h"

enum { ON_EXECUTE, ON_WRITE, ON_PORT, ON_ACCESS };

static bool enabled(const struct vcpu *v, unsigned k)
{
	return v->cpu.dr7 >> (2 * k) & 3;
}

static unsigned type(const struct vcpu *v, unsigned k)
{
	return v->cpu.dr7 >> (16 + 4 * k) & 3;
}

/* 1, 2, 8 or 4 bytes. */
static unsigned length(const struct vcpu *v, unsigned k)
{
	static const uint8_t bytes[4] = {1, 2, 8, 4};

	return bytes[v->cpu.dr7 >> (18 + 4 * k) & 3];
}

static bool overlaps(const struct vcpu *v, unsigned k, uint64_t start, unsigned size)
{
	uint64_t len = length(v, k), at = v->cpu.dr[k] & ~(len - 1);

	return at - start < size || start - at < len;
}

static bool is_data(const struct vcpu *v, unsigned k)
{
	return enabled(v, k) && (type(v, k) == ON_WRITE || type(v, k) == ON_ACCESS);
}

void debug_update(struct vcpu *v)
{
	struct translate_vcpu *p = v->private_data;
	uint64_t change = v->cpu.dr7 ^ p->breakpoints.seen[4];

	for (unsigned k = 0; k < 4; k++)
		change |= v->cpu.dr[k] ^ p->breakpoints.seen[k];
	if (!change)
		return;
	for (unsigned k = 0; k < 4; k++)
		p->breakpoints.seen[k] = v->cpu.dr[k];
	p->breakpoints.seen[4] = v->cpu.dr7;
	p->breakpoints.enabled = 0;
	for (unsigned k = 0; k < 4; k++)
		if (is_data(v, k))
			p->breakpoints.enabled |= 1u << k;
	if (!p->breakpoints.enabled)
		return;
	for (unsigned n = 0; n < CTX_COUNT; n++)
		for (unsigned k = 0; k < 4; k++)
			if (p->breakpoints.enabled >> k & 1)
				tlb_clear_page(&p->context[n], v->cpu.dr[k]);
}

bool debug_page(const struct vcpu *v, uint64_t linear)
{
	for (unsigned k = 0; k < 4; k++)
		if (is_data(v, k) && !((v->cpu.dr[k] ^ linear) >> 12))
			return true;
	return false;
}

void debug_access(struct vcpu *v, uint64_t linear, unsigned size, bool write)
{
	for (unsigned k = 0; k < 4; k++)
		if (is_data(v, k) && (write || type(v, k) == ON_ACCESS) &&
			overlaps(v, k, linear, size))
			v->private_data->breakpoints.hits |= 1u << k;
}

void debug_port(struct vcpu *v, uint16_t port, unsigned size)
{
	if (!(v->cpu.cr4 & CR4_DE))
		return;
	for (unsigned k = 0; k < 4; k++)
		if (enabled(v, k) && type(v, k) == ON_PORT && overlaps(v, k, port, size))
			v->private_data->breakpoints.hits |= 1u << k;
}

unsigned debug_fetch(const struct vcpu *v, uint64_t linear)
{
	unsigned hits = 0;

	for (unsigned k = 0; k < 4; k++)
		if (enabled(v, k) && type(v, k) == ON_EXECUTE && v->cpu.dr[k] == linear)
			hits |= 1u << k;
	return hits;
}
