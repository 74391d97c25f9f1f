/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a processor's registers may hold together (SDM 3C 26.3.1, "checks on the guest state area",
 * and the instructions that load each register): what is loaded from outside has to pass.
 */
#include "cpu/describe.h"

#define CR0_KNOWN                                                                                  \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
		CR0_PG)
#define CR4_KNOWN                                                                                 \
	(CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | \
		CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | \
		CR4_SMEP | CR4_SMAP)
#define EFER_KNOWN (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define FL_KNOWN                                                                                \
	(FL_STATUS | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | FL_VIF | \
		FL_VIP | FL_ID | 2u)

static bool canonical(uint64_t address)
{
	return (int64_t)(address << 16) >> 16 == (int64_t)address;
}

static const char *check_control(const struct cpu_state *c, const struct cpuid_policy *policy)
{
	bool paging = c->cr0 & CR0_PG, lma = c->efer & EFER_LMA;

	if (c->cr0 & ~(uint64_t)CR0_KNOWN || !(c->cr0 & CR0_ET))
		return "CR0 with bits that there are not";
	if ((paging && !(c->cr0 & CR0_PE)) || ((c->cr0 & CR0_NW) && !(c->cr0 & CR0_CD)))
		return "CR0 with bits that exclude each other";
	if (c->cr4 & ~(uint64_t)CR4_KNOWN)
		return "CR4 with bits that there are not";
	if (c->efer & ~(uint64_t)EFER_KNOWN)
		return "EFER with bits that there are not";
	if (lma != (paging && (c->efer & EFER_LME)))
		return "EFER.LMA that does not fit CR0.PG and EFER.LME";
	if (lma && !(c->cr4 & CR4_PAE))
		return "long mode without CR4.PAE";
	if ((c->cr4 & CR4_PCIDE) && !lma)
		return "CR4.PCIDE outside of long mode";
	if (c->cr3 >> policy->phys_bits)
		return "CR3 beyond the guest's physical addresses";
	if (c->dr6 >> 32 || c->dr7 >> 32)
		return "DR6 or DR7 with bits that there are not";
	return NULL;
}

static const char *check_mode(const struct cpu_state *c)
{
	bool lma = c->efer & EFER_LMA, vm = c->rflags & FL_VM;
	bool code64 = lma && (c->seg[SEG_CS].attr & SEG_ATTR_L);

	if (c->rflags & ~(uint64_t)FL_KNOWN || !(c->rflags & 2))
		return "RFLAGS with bits that there are not";
	if (vm && (lma || !(c->cr0 & CR0_PE)))
		return "RFLAGS.VM where there is no such mode";
	if (c->cpl > 3 || (!(c->cr0 & CR0_PE) && c->cpl) || (vm && c->cpl != 3))
		return "a privilege level that does not fit the mode";
	if (code64 ? !canonical(c->rip) : c->rip >> 32)
		return "RIP beyond the addresses of its mode";
	if (code64 && (c->seg[SEG_CS].attr & SEG_ATTR_DB))
		return "a code segment of two sizes";
	return NULL;
}

static const char *check_bases(const struct cpu_state *c)
{
	const uint64_t linear[] = {c->seg[SEG_FS].base, c->seg[SEG_GS].base, c->tr.base,
		c->ldtr.base, c->gdtr.base, c->idtr.base, c->kernel_gs_base, c->lstar, c->cstar,
		c->sysenter_esp, c->sysenter_eip};

	for (size_t i = 0; i < sizeof linear / sizeof *linear; i++)
		if (!canonical(linear[i]))
			return "an address that is not canonical";
	for (unsigned i = SEG_ES; i <= SEG_DS; i++)
		if (c->seg[i].base >> 32)
			return "a segment beyond 4 GiB";
	return NULL;
}

static const char *check_msrs(const struct cpu_state *c, const struct cpuid_policy *policy)
{
	uint64_t xcr0 = c->xcr0, known = policy->xcr0 ? policy->xcr0 : XCR0_X87;

	if (c->tsc_aux >> 32 || c->sfmask >> 32 || c->sysenter_cs >> 32)
		return "an MSR with bits that there are not";
	if (c->spec_ctrl & ~policy->spec_ctrl_mask)
		return "IA32_SPEC_CTRL with bits that there are not";
	for (unsigned i = 0; i < 64; i += 8)
		if ((c->pat >> i & 0xff) > 7 || (c->pat >> i & 0xff) == 2 ||
			(c->pat >> i & 0xff) == 3)
			return "IA32_PAT with types that there are not";
	if (xcr0 & ~known || !(xcr0 & XCR0_X87) || ((xcr0 & XCR0_AVX) && !(xcr0 & XCR0_SSE)) ||
		((xcr0 & XCR0_AVX512) &&
			((xcr0 & XCR0_AVX512) != XCR0_AVX512 || !(xcr0 & XCR0_AVX))))
		return "XCR0 with bits that there are not, or not so";
	return NULL;
}

static const char *check_events(const struct cpu_state *c)
{
	if (c->sti_shadow > SHADOW_MOV_SS || c->nmi_masked > 1 || c->nmi_pending > 1)
		return "an event that cannot be";
	if (c->event.pending > 1 || c->event.has_error > 1 || c->event.soft > 1)
		return "an event that cannot be";
	return NULL;
}

const char *cpu_state_check(const struct cpu_state *cpu, const struct cpuid_policy *policy)
{
	const char *wrong = check_control(cpu, policy);

	if (!wrong)
		wrong = check_mode(cpu);
	if (!wrong)
		wrong = check_bases(cpu);
	if (!wrong)
		wrong = check_msrs(cpu, policy);
	return wrong ? wrong : check_events(cpu);
}
