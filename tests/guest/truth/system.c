/* SPDX-License-Identifier: Apache-2.0 */
/* MSRs, control registers, privileged instructions at CPL 3, the clock. */
#include "truth.h"

#define EFER 0xc0000080
#define STAR 0xc0000081
#define LSTAR 0xc0000082
#define TSC_AUX 0xc0000103
#define FS_BASE 0xc0000100
#define GS_BASE 0xc0000101
#define SYSENTER_EIP 0x176
#define PAT 0x277

static unsigned try_write(uint32_t msr, uint64_t value)
{
	return TRY("wrmsr", : : "a"((uint32_t)value), "d"(value >> 32), "c"(msr) : "r11", "memory");
}

static void msrs(void)
{
	static const uint32_t bases[] = {LSTAR, FS_BASE, GS_BASE, 0xc0000102, SYSENTER_EIP};
	uint64_t pat = read_msr(PAT), efer = read_msr(EFER);

	check(TRY("rdmsr",
		      :
		      : "c"(0x12345)
		      : "rax", "rdx", "r11") == GP &&
			caught.rip == try_at,
		"RDMSR of one that is not there");
	check(try_write(0x12345, 0) == GP, "WRMSR of one that is not there");
	for (unsigned i = 0; i < 5; i++) {
		uint64_t old = read_msr(bases[i]);

		check(try_write(bases[i], 1ull << 47) == GP,
			"MSR %x: an address that is not canonical", (uint64_t)bases[i]);
		check(try_write(bases[i], 0xffff800000000000) == NONE &&
				read_msr(bases[i]) == 0xffff800000000000,
			"MSR %x holds what is written", (uint64_t)bases[i]);
		write_msr(bases[i], old);
	}
	check(try_write(PAT, 2) == GP && read_msr(PAT) == pat, "PAT: a type that is not there");
	if (!careful()) {
		check(try_write(EFER, efer | 1u << 9) == GP, "EFER: a reserved bit");
		check(try_write(EFER, efer & ~0x100ull) == GP, "EFER.LME while paging is on");
	}
	check(read_msr(EFER) == efer && efer & 0x400, "EFER.LMA");
}

static void control(void)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4();

	if (!careful()) {
		check(TRY("mov %0, %%cr0",
			      :
			      : "r"(cr0 & ~1ull)
			      : "r11", "memory") == GP,
			"CR0: paging without protection");
		check(TRY("mov %0, %%cr0",
			      :
			      : "r"(cr0 | 1ull << 32)
			      : "r11", "memory") == GP,
			"CR0: bit 32");
		check(TRY("mov %0, %%cr0",
			      :
			      : "r"(cr0 | 1ull << 29)
			      : "r11", "memory") == GP,
			"CR0: NW without CD");
		check(TRY("mov %0, %%cr4",
			      :
			      : "r"(cr4 & ~0x20ull)
			      : "r11", "memory") == GP,
			"CR4: no PAE in long mode");
		check(TRY("mov %0, %%cr4",
			      :
			      : "r"(cr4 | 1ull << 31)
			      : "r11", "memory") == GP,
			"CR4: a reserved bit");
	}
	check(TRY("mov %0, %%cr8", : : "r"(16ull) : "r11", "memory") == GP, "CR8: a reserved bit");
	asm volatile("mov %0, %%cr8" : : "r"(5ull));
	check(apic_read(APIC_TPR) == 0x50, "CR8 is the APIC's TPR");
	apic_write(APIC_TPR, 0);
	write_cr0(cr0 | 8);
	check(TRY("fninit", : : : "r11") == NM, "CR0.TS: x87");
	check(TRY("xorps %%xmm0, %%xmm0", : : : "r11") == NM, "CR0.TS: SSE");
	write_cr0((cr0 & ~8ull) | 4);
	check(TRY("xorps %%xmm0, %%xmm0", : : : "r11") == UD, "CR0.EM: SSE");
	check(TRY("fninit", : : : "r11") == NM, "CR0.EM: x87");
	write_cr0(cr0);
	write_cr4(cr4 & ~0x200ull);
	check(TRY("xorps %%xmm0, %%xmm0", : : : "r11") == UD, "CR4.OSFXSR: SSE");
	write_cr4(cr4);
}

#define PRIVILEGED(X)                     \
	X(hlt, "hlt")                     \
	X(cli, "cli")                     \
	X(sti, "sti")                     \
	X(in, "inb $0x80, %al")           \
	X(out, "outb %al, $0x80")         \
	X(mov_to_cr3, "mov %rax, %cr3")   \
	X(mov_from_cr0, "mov %cr0, %rax") \
	X(mov_dr7, "mov %rax, %dr7")      \
	X(lgdt, "lgdt (%rdi)")            \
	X(lidt, "lidt (%rdi)")            \
	X(lldt, "lldt %ax")               \
	X(ltr, "ltr %ax")                 \
	X(lmsw, "lmsw %ax")               \
	X(clts, "clts")                   \
	X(rdmsr, "rdmsr")                 \
	X(wrmsr, "wrmsr")                 \
	X(invlpg, "invlpg (%rdi)")        \
	X(wbinvd, "wbinvd")               \
	X(swapgs, "swapgs")               \
	X(sysret, "sysretq")              \
	X(int_kernel, "int $0x50")

#define DEFINE(name, text) CODE(cpl3_##name, text);
PRIVILEGED(DEFINE)

static void privileged(void)
{
	uint64_t cr4 = read_cr4();

#define LIST(name, text) {#name, cpl3_##name, cpl3_##name##_end},
	static const struct {
		const char *name;
		const uint8_t *code, *end;
	} list[] = {PRIVILEGED(LIST)};

	for (unsigned i = 0; i < sizeof list / sizeof *list; i++) {
		unsigned vector = user_run(list[i].code, (size_t)(list[i].end - list[i].code),
			USER_DATA, 0, 0);

		check(vector == GP && caught.rip == USER_CODE, "%s at CPL 3: %x", list[i].name,
			(uint64_t)vector);
	}
	if (has(7, 2, 2)) {
		CODE(umip, "sgdt (%rdi)");
		write_cr4(cr4 | 0x800);
		check(user_run(umip, (size_t)(umip_end - umip), USER_DATA, 0, 0) == GP, "UMIP");
		write_cr4(cr4);
		check(user_run(umip, (size_t)(umip_end - umip), USER_DATA, 0, 0) == BACK,
			"no UMIP");
	}
	write_cr4(cr4 | 4);
	CODE(rdtsc, "rdtsc");
	check(user_run(rdtsc, (size_t)(rdtsc_end - rdtsc), 0, 0, 0) == GP, "CR4.TSD");
	write_cr4(cr4);
	check(user_run(rdtsc, (size_t)(rdtsc_end - rdtsc), 0, 0, 0) == BACK, "RDTSC at CPL 3");
}

static void time_stamps(void)
{
	uint64_t cr4 = read_cr4(), before, after, flags, kept;
	uint32_t low, high, aux;
	CODE(rdtscp, "rdtscp");

	if (!has(0x80000001u, 3, 27)) {
		skip("RDTSCP");
		return;
	}
	write_msr(TSC_AUX, 0x12345678);
	before = tsc();
	asm volatile("stc\n\tpushfq\n\trdtscp\n\tpushfq\n\tpopq %4\n\tpopq %3"
		     : "=a"(low), "=d"(high), "=c"(aux), "=r"(flags), "=r"(kept)
		     :
		     : "memory");
	after = tsc();
	check(aux == 0x12345678 && flags == kept, "RDTSCP: TSC_AUX %x", (uint64_t)aux);
	check((low | (uint64_t)high << 32) - before <= after - before, "RDTSCP: the time");
	write_cr4(cr4 | 4);
	check(user_run(rdtscp, (size_t)(rdtscp_end - rdtscp), 0, 0, 0) == GP, "CR4.TSD: RDTSCP");
	write_cr4(cr4);
	write_msr(TSC_AUX, 0);
}

/* --- SYSCALL and SYSRET --------------------------------------------------------------------- */

asm(".pushsection .text\n syscall_target: int $0x42\n.popsection");
extern const uint8_t syscall_target[];
CODE(do_syscall, "stc\n std\n syscall");

static void at_syscall(struct frame *f)
{
	caught.vector = 0x42;
	caught.rip = f->rcx;
	caught.rflags = f->r11;
	caught.error = f->cs << 16 | f->ss;
	caught.rax = f->rflags;
	user_leave();
}

static void system_calls(void)
{
	write_msr(STAR, (uint64_t)0x20 << 48 | (uint64_t)KERNEL_CS << 32);
	write_msr(LSTAR, (uint64_t)syscall_target);
	write_msr(0xc0000084, 0x400);
	handlers[0x42] = at_syscall;
	user_run(do_syscall, (size_t)(do_syscall_end - do_syscall), 0, 0, 0);
	handlers[0x42] = NULL;
	check(caught.vector == 0x42 && caught.rip == USER_CODE + 4, "SYSCALL keeps RIP in RCX");
	check((caught.rflags & 0x401) == 0x401, "... and the flags in R11");
	check((caught.rax & 0x401) == 1, "... less those of the mask");
	check(caught.error == (KERNEL_CS << 16 | KERNEL_DS), "... and loads CS and SS");
	write_msr(EFER, read_msr(EFER) & ~1ull);
	check(user_run(do_syscall, (size_t)(do_syscall_end - do_syscall), 0, 0, 0) == UD,
		"SYSCALL without EFER.SCE");
	write_msr(EFER, read_msr(EFER) | 1);
}

void test_system(void)
{
	uint64_t a = tsc(), b;

	msrs();
	control();
	privileged();
	time_stamps();
	system_calls();
	b = tsc();
	check(b > a, "the TSC goes on");
	check(TRY("ud2", : : : "r11") == UD && caught.rip == try_at, "UD2");
	check(TRY(".byte 0xf0, 0x90", : : : "r11") == UD, "LOCK NOP");
	check(TRY("xorl %%edx, %%edx; xorl %%ecx, %%ecx; divl %%ecx",
		      :
		      :
		      : "rax", "rcx", "rdx", "r11") == DE,
		"division by zero");
	check(TRY(".fill 13, 1, 0x66; movl $0, %%eax",
		      :
		      :
		      : "rax", "r11") == GP,
		"an instruction of 16 bytes");
}
