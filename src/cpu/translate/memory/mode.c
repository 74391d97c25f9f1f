/* SPDX-License-Identifier: Apache-2.0 */
/* Which TLB context and which kind of block the vCPU's state asks for. */
#include "cpu/translate/hot.h"
#include "cpu/translate/vm.h"

static bool segment_open(const struct segment *s)
{
	/* present, data, writable, expands up, no limit */
	return (s->attr & 0x9e) == 0x92 && s->limit == 0xffffffff && !(s->attr & SEG_ATTR_UNUSABLE);
}

static uint32_t segment_modes(const struct cpu_state *s)
{
	const struct segment *seg = s->seg;
	uint32_t mode = seg[SEG_CS].attr & SEG_ATTR_DB ? MODE_32 : MODE_16;

	if (seg[SEG_SS].attr & SEG_ATTR_DB)
		mode |= MODE_SS32;
	if (!(s->cr0 & CR0_PE))
		return mode;
	if (!seg[SEG_CS].base && seg[SEG_CS].limit == 0xffffffff && segment_open(&seg[SEG_DS]) &&
		segment_open(&seg[SEG_ES]) && segment_open(&seg[SEG_SS]) && !seg[SEG_DS].base &&
		!seg[SEG_ES].base && !seg[SEG_SS].base)
		mode |= MODE_FLAT;
	if (segment_open(&seg[SEG_FS]))
		mode |= MODE_FS_OPEN;
	if (segment_open(&seg[SEG_GS]))
		mode |= MODE_GS_OPEN;
	return mode;
}

static uint32_t mode_of(const struct vcpu *v)
{
	const struct cpu_state *s = &v->cpu;
	uint32_t mode;

	if (s->efer & EFER_LMA && s->seg[SEG_CS].attr & SEG_ATTR_L)
		mode = MODE_64;
	else
		mode = segment_modes(s);
	if (s->cpl == 0) {
		mode |= MODE_RING0;
	} else if (s->cpl == 3) {
		mode |= MODE_USER;
		if (s->cr4 & CR4_TSD)
			mode |= MODE_TSD;
		if (s->cr0 & CR0_AM && s->rflags & FL_AC)
			mode |= MODE_ALIGN;
	}
	if (s->cr0 & (CR0_EM | CR0_TS))
		mode |= MODE_FPU_OFF;
	if (s->cr4 & CR4_OSFXSR)
		mode |= MODE_SSE;
	if (s->cr0 & CR0_PE && s->cr4 & CR4_OSXSAVE && (s->xcr0 & 6) == 6)
		mode |= MODE_AVX | ((s->xcr0 & 0xe0) == 0xe0 ? MODE_AVX512 : 0);
	if (s->rflags & FL_TF || v->debug.step || v->debug.breakpoints || s->dr7 & 0xff)
		mode |= MODE_STEP;
	if ((mode & (MODE_USER | MODE_BITS | MODE_STEP | MODE_ALIGN)) == (MODE_USER | MODE_64) &&
		hostmap_on(v->private_data->user->hostmap))
		mode |= MODE_HOSTMAP;
	return mode;
}

void mode_context(struct vcpu *v)
{
	struct translate_vcpu *p = v->private_data;
	struct tlb *t;

	if (v->cpu.cpl == 3)
		t = p->user;
	else if (v->cpu.cr4 & CR4_SMAP && !(v->cpu.rflags & FL_AC))
		t = &p->context[CTX_SUPER];
	else
		t = &p->context[CTX_SUPER_USER];
	if (t == v->tlb)
		return;
	v->count.context_switch++;
	v->count.user_entry += v->cpu.cpl == 3;
	v->tlb = t;
	vcpu_set_gs(v, t->base);
}

void mode_update(struct vcpu *v)
{
	uint32_t mode = mode_of(v);

	v->private_data->mode = mode;
	if (v->cpu.dr7 & 0xff || v->private_data->breakpoints.enabled)
		debug_update(v);
	mode_context(v);
	if (mode & MODE_HOSTMAP)
		hostmap_expected(v);
	/* a jump cache is of one mode; blocks that only step never enter it */
	if (v->tlb->jump_mode != (mode & ~MODE_STEP)) {
		tlb_clear_jumps(v->tlb);
		v->tlb->jump_mode = mode & ~MODE_STEP;
	}
}
