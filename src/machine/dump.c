/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine tells of itself to a person. */
#include "machine/internal.h"

static void dump_segment(FILE *out, const char *name, const struct segment *segment)
{
	fprintf(out, "%-4s %04x base %016llx limit %08x attr %04x\n", name, segment->selector,
		(unsigned long long)segment->base, segment->limit, segment->attr);
}

static void dump_vcpu(struct machine *machine, unsigned index, FILE *out)
{
	static const char *const gpr[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
	static const char *const seg[SEG_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs"};
	struct cpu_state s;

	machine->config.engine->vcpu_get_state(machine->vcpu[index].engine, &s);
	fprintf(out, "vcpu %u: rip %016llx rflags %08llx cpl %u%s%s\n", index,
		(unsigned long long)s.rip, (unsigned long long)s.rflags, s.cpl,
		machine->vcpu[index].halted ? " halted" : "",
		machine->vcpu[index].wait_sipi ? " not started" : "");
	for (unsigned i = 0; i < 16; i++)
		fprintf(out, "%-3s %016llx%s", gpr[i], (unsigned long long)s.gpr[i],
			i % 4 == 3 ? "\n" : " ");
	for (unsigned i = 0; i < SEG_COUNT; i++)
		dump_segment(out, seg[i], &s.seg[i]);
	dump_segment(out, "tr", &s.tr);
	dump_segment(out, "ldtr", &s.ldtr);
	fprintf(out, "gdtr %016llx limit %04x  idtr %016llx limit %04x\n",
		(unsigned long long)s.gdtr.base, s.gdtr.limit, (unsigned long long)s.idtr.base,
		s.idtr.limit);
	fprintf(out, "cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx efer %04llx\n",
		(unsigned long long)s.cr0, (unsigned long long)s.cr2, (unsigned long long)s.cr3,
		(unsigned long long)s.cr4, (unsigned long long)s.efer);
}

void machine_dump(struct machine *machine, FILE *out)
{
	for (unsigned i = 0; i < machine->made; i++) {
		const struct machine_vcpu *vcpu = &machine->vcpu[i];

		/* After the end, one that did not stop cannot be looked into. */
		if (atomic_load(&machine->over) && vcpu->started && !vcpu->joined)
			fprintf(out, "vcpu %u: does not stop\n", i);
		else
			dump_vcpu(machine, i, out);
	}
}

void machine_stats(struct machine *machine, FILE *out)
{
	static const char *const name[COUNTERS] = {
		[COUNT_IO] = "port_accesses",
		[COUNT_MMIO] = "device_memory_accesses",
		[COUNT_APIC] = "apic_memory_accesses",
		[COUNT_MSR] = "machine_msr_accesses",
		[COUNT_HALT] = "halts",
		[COUNT_SLEEP] = "halts_slept",
		[COUNT_INTERRUPTED] = "runs_interrupted",
	};
	uint64_t interrupts = 0;

	for (unsigned i = 0; i < COUNTERS; i++) {
		uint64_t sum = 0;

		for (unsigned v = 0; v < machine->made; v++)
			sum += atomic_load(&machine->vcpu[v].counter[i]);
		fprintf(out, "%s %llu\n", name[i], (unsigned long long)sum);
	}
	for (unsigned v = 0; v < machine->made; v++)
		interrupts += atomic_load(&machine->lapic[v].delivered);
	fprintf(out, "interrupts %llu\n", (unsigned long long)interrupts);
	if (machine->config.engine->vm_stats)
		machine->config.engine->vm_stats(machine->vm, out);
}

void machine_write_profile(struct machine *machine)
{
	if (machine->config.profile && machine->config.engine->vm_write_profile)
		machine->config.engine->vm_write_profile(machine->vm);
}
