/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A freestanding kernel that asks the processor questions whose answers stand in
 * the manuals, and says of each whether it was right. It runs under dach and under
 * QEMU, with the same devices (machine/chipset/testdev.h).
 */
#ifndef TRUTH_H
#define TRUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_CS 0x08
#define KERNEL_DS 0x10
#define USER_CS_32 0x23
#define USER_DS 0x2b
#define USER_CS 0x33
#define GATE 0x58
#define USER_CS_16 0x73
#define NOT_PRESENT 0xb0

enum { DE, DB, NMI, BP, OF, BR, UD, NM, DF, TS = 10, NP, SS, GP, PF, MF = 16, AC, MC, XM };
#define BACK 0x40 /* INT 0x40: the test's code has come to its end */
#define NONE 0xffff

#define FL_CF 1u
#define FL_ZF 0x40u
#define FL_TF 0x100u
#define FL_IF 0x200u
#define FL_RF 0x10000u
#define FL_AC 0x40000u

struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* The last trap that no handler took. */
struct caught {
	unsigned vector; /* NONE */
	uint64_t error, rip, cr2, rflags, rax;
};
extern volatile struct caught caught;
extern volatile uint64_t recover, recover_rsp, try_at;

typedef void handler(struct frame *);
extern handler *volatile handlers[256];

/* Runs instructions; the value is the vector of the trap that ended them, or NONE. */
#define TRY(code, ...)                                                              \
	({                                                                          \
		caught.vector = NONE;                                               \
		asm volatile("leaq 772f(%%rip), %%r11\n\tmovq %%r11, recover\n\t"   \
			     "movq %%rsp, recover_rsp\n\t"                          \
			     "leaq 771f(%%rip), %%r11\n\tmovq %%r11, try_at\n"      \
			     "771:\t" code "\n772:\tmovq $0, recover" __VA_ARGS__); \
		caught.vector;                                                      \
	})

/* Where and how a program starts; what ends it is in caught. */
struct user {
	uint64_t rip, cs, rflags, rsp, ss, rdi, rsi;
};
void user_enter(const struct user *user);
_Noreturn void user_leave(void);
/* Runs machine code at CPL 3 (64-bit), with rdi and rsi; the value is the vector that ended it. */
unsigned user_run(const void *code, size_t size, uint64_t rdi, uint64_t rsi, uint64_t rflags);
unsigned user_run_as(uint16_t cs, uint16_t ss, const void *code, size_t size, uint64_t rdi);
#define USER_CODE 0x10000000000ull /* its first byte */
#define USER_LOW 0x70000000ull     /* the same pages again, for 16- and 32-bit code */
#define USER_DATA (USER_LOW + 0x1000)

/* The machine code between two labels. */
#define CODE(name, text)                                                                         \
	asm(".pushsection .rodata\n" #name ":\n" text "\n" #name "_end:\n.popsection\n.code64"); \
	extern const uint8_t name[], name##_end[]

void say(const char *text);
void say_hex(uint64_t number);
/* One answer; what is wrong follows if it is. */
void check(bool right, const char *name, ...);
void skip(const char *name);
/* A word on the command line (NULL: none); "careful" leaves out what would end QEMU's TCG. */
const char *word(const char *wanted);
static inline bool careful(void)
{
	return word("careful");
}

/* A trap that nobody expected ends the guest without a word. */
extern bool quiet;

void trap_init(unsigned cpu);
void user_init(void);

/* Processors: the second one runs functions. */
bool ap_start(void);
void ap_run(void (*function)(void));
void ap_wait(void);

void test_paging(void);
void test_flushes(void);
void test_segments(void);
void test_events(void);
void test_apic(void);
void test_debug(void);
void test_system(void);
void test_processors(void);
void test_code(void);
void test_alignment(void);
void test_flags(void);

extern uint64_t tables_4[512], tables_3[512], tables_2[2048];
extern uint8_t gdt[], tss64[], stack0_end[], stubs[];
/* attack.c: "attack" on the command line, maybe with "seed=N". */
void attack(uint32_t seed);

extern uint32_t task_seen, start_info;

/* --- instructions ------------------------------------------------------------------- */

#define READ_WRITE(name)                                                    \
	static inline uint64_t read_##name(void)                            \
	{                                                                   \
		uint64_t value;                                             \
		asm volatile("mov %%" #name ", %0" : "=r"(value));          \
		return value;                                               \
	}                                                                   \
	static inline void write_##name(uint64_t value)                     \
	{                                                                   \
		asm volatile("mov %0, %%" #name : : "r"(value) : "memory"); \
	}
READ_WRITE(cr0)
READ_WRITE(cr2)
READ_WRITE(cr3)
READ_WRITE(cr4)
READ_WRITE(dr0)
READ_WRITE(dr1)
READ_WRITE(dr2)
READ_WRITE(dr3)
READ_WRITE(dr6)
READ_WRITE(dr7)

static inline void out8(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out32(uint16_t port, uint32_t value)
{
	asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint64_t read_msr(uint32_t msr)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return low | (uint64_t)high << 32;
}

static inline void write_msr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" : : "a"((uint32_t)value), "d"(value >> 32), "c"(msr) : "memory");
}

static inline uint64_t tsc(void)
{
	uint32_t low, high;

	asm volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return low | (uint64_t)high << 32;
}

static inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	asm volatile("cpuid"
		     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
		     : "a"(leaf), "c"(subleaf));
}

/* AMD's processor, or Hygon's? */
static inline bool maker_amd(void)
{
	uint32_t out[4];

	cpuid(0, 0, out);
	return out[1] == 0x68747541 || out[1] == 0x6f677948;
}

static inline bool has(uint32_t leaf, unsigned reg, unsigned bit)
{
	uint32_t out[4];

	cpuid(leaf, 0, out);
	return out[reg] >> bit & 1;
}

static inline void invlpg(uint64_t address)
{
	asm volatile("invlpg (%0)" : : "r"(address) : "memory");
}

/* --- the local APIC, by its page ------------------------------------------------------ */

#define APIC_ID 0x20
#define APIC_TPR 0x80
#define APIC_EOI 0xb0
#define APIC_SVR 0xf0
#define APIC_ISR 0x100
#define APIC_IRR 0x200
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_TIMER 0x320
#define APIC_INITIAL 0x380
#define APIC_CURRENT 0x390
#define APIC_DIVIDE 0x3e0

static inline uint32_t apic_read(unsigned reg)
{
	return *(volatile uint32_t *)(0xfee00000ull + reg);
}

static inline void apic_write(unsigned reg, uint32_t value)
{
	*(volatile uint32_t *)(0xfee00000ull + reg) = value;
}

#define SELF 0x40000u

#endif
