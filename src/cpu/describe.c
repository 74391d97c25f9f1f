/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/describe.h"

#include <stdio.h>
#include <string.h>

static void describe_segment(struct segment *segment, const char *name, struct state *s)
{
	char field[16];

	/* "cs" alone is the selector, as people write it. */
	state_u16(s, name, &segment->selector);
	snprintf(field, sizeof field, "%s.base", name);
	state_u64(s, field, &segment->base);
	snprintf(field, sizeof field, "%s.limit", name);
	state_u32(s, field, &segment->limit);
	snprintf(field, sizeof field, "%s.attr", name);
	state_u16(s, field, &segment->attr);
}

static void describe_segments(struct cpu_state *cpu, struct state *s)
{
	static const char *const name[SEG_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs"};

	for (unsigned i = 0; i < SEG_COUNT; i++)
		describe_segment(&cpu->seg[i], name[i], s);
	describe_segment(&cpu->tr, "tr", s);
	describe_segment(&cpu->ldtr, "ldtr", s);
	state_u64(s, "gdtr.base", &cpu->gdtr.base);
	state_u16(s, "gdtr.limit", &cpu->gdtr.limit);
	state_u64(s, "idtr.base", &cpu->idtr.base);
	state_u16(s, "idtr.limit", &cpu->idtr.limit);
}

static void describe_general(struct cpu_state *cpu, struct state *s)
{
	static const char *const name[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};

	for (unsigned i = 0; i < 16; i++)
		state_u64(s, name[i], &cpu->gpr[i]);
	state_u64(s, "rip", &cpu->rip);
	state_u64(s, "rflags", &cpu->rflags);
}

static void describe_control(struct cpu_state *cpu, struct state *s)
{
	state_u8(s, "cpl", &cpu->cpl);
	state_u64(s, "cr0", &cpu->cr0);
	state_u64(s, "cr2", &cpu->cr2);
	state_u64(s, "cr3", &cpu->cr3);
	state_u64(s, "cr4", &cpu->cr4);
	state_u64(s, "xcr0", &cpu->xcr0);
	state_u64(s, "dr0", &cpu->dr[0]);
	state_u64(s, "dr1", &cpu->dr[1]);
	state_u64(s, "dr2", &cpu->dr[2]);
	state_u64(s, "dr3", &cpu->dr[3]);
	state_u64(s, "dr6", &cpu->dr6);
	state_u64(s, "dr7", &cpu->dr7);
}

static void describe_msrs(struct cpu_state *cpu, struct state *s)
{
	state_u64(s, "efer", &cpu->efer);
	state_u64(s, "star", &cpu->star);
	state_u64(s, "lstar", &cpu->lstar);
	state_u64(s, "cstar", &cpu->cstar);
	state_u64(s, "sfmask", &cpu->sfmask);
	state_u64(s, "kernel_gs_base", &cpu->kernel_gs_base);
	state_u64(s, "sysenter_cs", &cpu->sysenter_cs);
	state_u64(s, "sysenter_esp", &cpu->sysenter_esp);
	state_u64(s, "sysenter_eip", &cpu->sysenter_eip);
	state_u64(s, "pat", &cpu->pat);
	state_u64(s, "tsc_aux", &cpu->tsc_aux);
	state_u64(s, "misc_enable", &cpu->misc_enable);
	state_u64(s, "spec_ctrl", &cpu->spec_ctrl);
	state_u64(s, "mtrr_def_type", &cpu->mtrr_def_type);
	state_u64s(s, "mtrr_fixed", cpu->mtrr_fixed, 11);
	state_u64s(s, "mtrr_base", cpu->mtrr_base, 8);
	state_u64s(s, "mtrr_mask", cpu->mtrr_mask, 8);
}

/* What the TSC showed at the state's moment; it has gone on since. */
static void describe_tsc(struct cpu_state *cpu, const struct cpuid_policy *policy, struct state *s)
{
	uint64_t tsc = state_now(s)->tsc + cpu->tsc_offset;

	state_u64(s, "tsc", &tsc);
	if (state_optional(s, "adjusted", cpu->tsc_adjust))
		state_u64(s, "tsc_adjust", &cpu->tsc_adjust);
	if (!state_loading(s) || !state_ok(s))
		return;
	tsc += (unsigned __int128)state_elapsed(s) * policy->tsc_khz / 1000000;
	cpu->tsc_offset = tsc - state_now(s)->tsc;
}

static void describe_events(struct cpu_state *cpu, struct state *s)
{
	state_u8(s, "interrupt_shadow", &cpu->sti_shadow);
	state_u8(s, "nmi_masked", &cpu->nmi_masked);
	state_u8(s, "nmi_pending", &cpu->nmi_pending);
	state_u8(s, "event.pending", &cpu->event.pending);
	state_u8(s, "event.vector", &cpu->event.vector);
	state_u8(s, "event.has_error", &cpu->event.has_error);
	state_u8(s, "event.soft", &cpu->event.soft);
	state_u32(s, "event.error", &cpu->event.error);
}

/*
 * Extended state (SDM 1, 13.4 and 13.5), component by component: where they lie in an XSAVE area
 * is each processor's own.
 */
static const struct component {
	const char *name;
	unsigned bit, size;
} components[] = {
	{"avx", 2, 256},
	{"opmask", 5, 64},
	{"zmm_hi256", 6, 512},
	{"hi16_zmm", 7, 1024},
};

/* Where the component lies on this host; NULL if it is not there, or not as it should be. */
static uint8_t *component_place(struct cpu_state *cpu, const struct cpuid_policy *policy,
	const struct component *component)
{
	struct xsave_layout l;

	xsave_layout(&l, policy);
	if (l.size[component->bit] != component->size)
		return NULL;
	return cpu->xsave + policy->area.offset[component->bit];
}

static void describe_extended(struct cpu_state *cpu, const struct cpuid_policy *policy,
	struct state *s)
{
	uint64_t bv, known = policy->xcr0 ? policy->xcr0 : XCR0_X87 | XCR0_SSE;
	uint32_t *mxcsr = (uint32_t *)(cpu->xsave + XSAVE_MXCSR);
	const char *wrong;

	if (state_loading(s))
		memset(cpu->xsave, 0, sizeof cpu->xsave);
	memcpy(&bv, cpu->xsave + XSAVE_BV, sizeof bv);
	bv &= known;
	state_bytes(s, "x87_sse", cpu->xsave, XSAVE_BV);
	state_u64(s, "xstate_bv", &bv);
	for (size_t i = 0; i < sizeof components / sizeof *components; i++) {
		const struct component *component = &components[i];
		uint8_t *place = component_place(cpu, policy, component), none[1024] = {0};

		if (!(policy->xcr0 >> component->bit & 1))
			continue;
		state_require(s, place, "an XSAVE layout that no processor has");
		/* What is in its initial state is not told: those bytes mean nothing. */
		if (!place || (!state_loading(s) && !(bv >> component->bit & 1)))
			place = none;
		state_bytes(s, component->name, place, component->size);
	}
	if (!state_loading(s))
		return;
	memcpy(cpu->xsave + XSAVE_BV, &bv, sizeof bv);
	/* Under KVM a guest can set it wherever the host can. */
	*mxcsr &= ~MXCSR_MM | cpuid_policy_mxcsr(policy);
	wrong = xsave_check(cpu->xsave, known, cpuid_policy_mxcsr(policy));
	state_require(s, !wrong, wrong);
}

void cpu_describe(struct cpu_state *cpu, const struct cpuid_policy *policy, struct state *s)
{
	const char *wrong;

	describe_general(cpu, s);
	describe_segments(cpu, s);
	describe_control(cpu, s);
	describe_msrs(cpu, s);
	describe_tsc(cpu, policy, s);
	describe_events(cpu, s);
	describe_extended(cpu, policy, s);
	if (!state_loading(s) || !state_ok(s))
		return;
	wrong = cpu_state_check(cpu, policy);
	if (wrong)
		state_require(s, false, wrong);
	/* A null SS keeps no DPL in some engines, and is where others keep the CPL. */
	if (cpu->cr0 & CR0_PE)
		cpu->seg[SEG_SS].attr = (cpu->seg[SEG_SS].attr & ~0x60u) | cpu->cpl << 5;
}
