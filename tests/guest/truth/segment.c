/* SPDX-License-Identifier: Apache-2.0 */
/* Segments, 16- and 32-bit code, far transfers (SDM 3A 5; 2A CALL, JMP, RET, IRET). */
#include "truth.h"

CODE(add_wraps_32, ".code32\n movl $0xffffffff, %eax\n addl $2, %eax\n pushl %eax\n popl %eax");
CODE(inc_dec_32, ".code32\n xorl %eax, %eax\n .byte 0x48\n .byte 0x40\n .byte 0x40"); /* DEC, INC */
CODE(bcd_32, ".code32\n movl $0x38, %eax\n addb $0x45, %al\n daa\n aam $16\n aad");
CODE(pusha_32,
	".code32\n movl $7, %eax\n movl %esp, %ecx\n pushal\n xorl %eax, %eax\n popal\n"
	"subl %esp, %ecx\n addl %ecx, %eax");
CODE(bound_32, ".code32\n movl $5, %eax\n bound %eax, (%edi)");
CODE(into_32, ".code32\n movb $127, %al\n incb %al\n into");
CODE(small_limit,
	".code32\n movl $0x6b, %eax\n movl %eax, %es\n movl %es:12, %ecx\n"
	"movl %es:13, %ecx");
CODE(small_limit_byte,
	".code32\n movl $0x6b, %eax\n movl %eax, %es\n movb %es:15, %cl\n"
	"movb %cl, %es:16");
CODE(expand_down, ".code32\n movl $0x7b, %eax\n movl %eax, %es\n movl %es:0xffc, %ecx");
CODE(expand_down_ok, ".code32\n movl $0x7b, %eax\n movl %eax, %es\n movl %es:0x70001000, %ecx");
CODE(read_only,
	".code32\n movl $0xa3, %eax\n movl %eax, %es\n movl %es:(%edi), %ecx\n"
	"movl %ecx, %es:(%edi)");
CODE(null_data, ".code32\n xorl %eax, %eax\n movl %eax, %es\n movl %es:(%edi), %ecx");
CODE(load_not_present, ".code32\n movl $0x83, %eax\n movl %eax, %es");
CODE(load_execute_only, ".code32\n movl $0xab, %eax\n movl %eax, %es");
CODE(load_kernel, ".code32\n movl $0x10, %eax\n movl %eax, %ds");
CODE(load_null_ss, ".code32\n xorl %eax, %eax\n movl %eax, %ss");
CODE(load_past_table, ".code32\n movl $0xffb, %eax\n movl %eax, %es");
CODE(to_64,
	".code32\n ljmp $0x33, $0x70000009\n nop\n nop\n .code64\n movabs $0x123456789abcdef0, %rax");
CODE(code_16,
	".code16\n movl $0x12345678, %eax\n addw $0x8888, %ax\n movw $0x2fff, %sp\n pushw %ax\n"
	"popw %cx\n cmpw %cx, %ax\n jne 1f\n incl %eax\n1:");
CODE(loop_16,
	".code16\n movl $0x10003, %ecx\n xorw %ax, %ax\n1: incw %ax\n loop 1b\n shrl $16, %ecx\n"
	"addw %cx, %ax");
CODE(call_gate, ".code64\n lcall *(%rdi)");
CODE(far_to_kernel, ".code64\n ljmp *(%rdi)");
CODE(lar_kernel,
	".code64\n movl $0x10, %ecx\n movl $7, %eax\n lar %cx, %eax\n jz 1f\n movl $1, %eax\n1:");
CODE(lsl_user, ".code64\n movl $0x6b, %ecx\n lsl %cx, %eax");
CODE(verw_user,
	".code64\n movl $0xa3, %ecx\n verw %cx\n setz %al\n verr %cx\n setz %ah\n movzwl %ax, %eax");

static unsigned run_32(const uint8_t *code, const uint8_t *end)
{
	return user_run_as(USER_CS_32, USER_DS, code, (size_t)(end - code), USER_DATA);
}
#define RUN_32(name) run_32(name, name##_end)
#define FAULTS_32(name, number, code)                                                              \
	do {                                                                                       \
		unsigned vector = RUN_32(name);                                                    \
		check(vector == (number) && caught.error == (code), #name ": vector %x, error %x", \
			(uint64_t)vector, caught.error);                                           \
	} while (0)
#define RESULT_32(name, value)                                                                 \
	do {                                                                                   \
		unsigned vector = RUN_32(name);                                                \
		check(vector == BACK && caught.rax == (value), #name ": vector %x, result %x", \
			(uint64_t)vector, caught.rax);                                         \
	} while (0)

static void code_32(void)
{
	volatile int32_t *data = (void *)USER_DATA;

	RESULT_32(add_wraps_32, 1);
	RESULT_32(inc_dec_32, 1);
	RESULT_32(bcd_32, 83);
	RESULT_32(pusha_32, 7);
	data[0] = 2;
	data[1] = 5;
	RESULT_32(bound_32, 5);
	data[1] = 4;
	FAULTS_32(bound_32, BR, 0);
	FAULTS_32(into_32, OF, 0);
	RESULT_32(to_64, 0x123456789abcdef0);
}

static void limits(void)
{
	FAULTS_32(small_limit, GP, 0);
	check(caught.rip == USER_LOW + 14, "the access in the limit passes");
	FAULTS_32(small_limit_byte, GP, 0);
	check(caught.rip == USER_LOW + 14, "... a byte at the limit too");
	FAULTS_32(expand_down, GP, 0);
	check(RUN_32(expand_down_ok) == BACK, "above an expand-down segment's limit");
	FAULTS_32(read_only, GP, 0);
	FAULTS_32(null_data, GP, 0);
	FAULTS_32(load_not_present, NP, 0x80);
	FAULTS_32(load_execute_only, GP, 0xa8);
	FAULTS_32(load_kernel, GP, 0x10);
	FAULTS_32(load_null_ss, GP, 0);
	FAULTS_32(load_past_table, GP, 0xff8);
}

/* The segment begins where the code is. */
static void code_of_16(void)
{
	uint64_t *d = (uint64_t *)(gdt + (USER_CS_16 & ~7));
	unsigned vector;

	*d = 0xffff | (USER_LOW & 0xffffff) << 16 | 0xfbull << 40 | (USER_LOW >> 24) << 56;
	vector = user_run_as(USER_CS_16, USER_DS, code_16, (size_t)(code_16_end - code_16), 0);
	check(vector == BACK && caught.rax == 0x1234df01, "16-bit code: %x, %x", (uint64_t)vector,
		caught.rax);
	vector = user_run_as(USER_CS_16, USER_DS, loop_16, (size_t)(loop_16_end - loop_16), 0);
	check(vector == BACK && caught.rax == 4, "LOOP with CX: %x, %x", (uint64_t)vector,
		caught.rax);
}

static void gate(unsigned attr, uint64_t target)
{
	uint64_t *d = (uint64_t *)(gdt + GATE);

	d[0] = (target & 0xffff) | KERNEL_CS << 16 | (uint64_t)attr << 40 |
		(target >> 16 & 0xffff) << 48;
	d[1] = target >> 32;
}

/* Through a call gate from CPL 3: the new stack has the old one and the way back. */
static void through_gate(struct frame *f)
{
	caught.vector = 0x41;
	caught.error = f->rsp;
	caught.rip = ((uint64_t *)f->rsp)[0];
	caught.cr2 = ((uint64_t *)f->rsp)[2];
	caught.rax = ((uint64_t *)f->rsp)[3];
	handlers[0x41] = NULL;
	user_leave();
}
asm(".pushsection .text\n gate_target: int $0x41\n.popsection");
extern const uint8_t gate_target[];

static void far_transfers(void)
{
	struct far {
		uint32_t offset;
		uint16_t selector;
	} __attribute__((packed)) *far = (void *)USER_DATA;

	gate(0xec, (uint64_t)gate_target);
	*far = (struct far){0, GATE | 3};
	handlers[0x41] = through_gate;
	check(user_run(call_gate, (size_t)(call_gate_end - call_gate), USER_DATA, 0, 0) == 0x41 &&
			caught.rip == USER_CODE + 2 && caught.cr2 == USER_LOW + 0x4000 &&
			caught.rax == USER_DS,
		"a call gate's frame: back to %x, stack %x:%x", caught.rip, caught.rax, caught.cr2);
	handlers[0x41] = NULL;
	gate(0x8c, (uint64_t)gate_target);
	check(user_run(call_gate, (size_t)(call_gate_end - call_gate), USER_DATA, 0, 0) == GP &&
			caught.error == GATE,
		"a call gate of DPL 0");
	gate(0x6c, (uint64_t)gate_target);
	check(user_run(call_gate, (size_t)(call_gate_end - call_gate), USER_DATA, 0, 0) == NP &&
			caught.error == GATE,
		"a call gate that is not present");
	gate(0xec, 1ull << 47);
	check(user_run(call_gate, (size_t)(call_gate_end - call_gate), USER_DATA, 0, 0) == GP,
		"a call gate to an address that is not canonical");
	*far = (struct far){(uint32_t)(uint64_t)gate_target, KERNEL_CS};
	check(user_run(far_to_kernel, (size_t)(far_to_kernel_end - far_to_kernel), USER_DATA, 0,
		      0) == GP &&
			caught.error == KERNEL_CS,
		"a far jump to kernel code");
	*far = (struct far){0x70000000, KERNEL_DS};
	check(TRY("ljmp *%0",
		      :
		      : "m"(*far)
		      : "r11", "memory") == GP &&
			caught.error == KERNEL_DS,
		"a far jump to data");
	*far = (struct far){0, 0};
	check(TRY("ljmp *%0",
		      :
		      : "m"(*far)
		      : "r11", "memory") == GP &&
			caught.error == 0,
		"a far jump to nothing");
	check(TRY("pushq %0; pushq $0; lretq",
		      :
		      : "i"(KERNEL_DS)
		      : "r11", "memory") == GP &&
			caught.error == KERNEL_DS,
		"a far return to data");
	check(TRY("movl %0, %%eax; movl %%eax, %%ds",
		      :
		      : "i"(NOT_PRESENT)
		      : "rax", "r11") == NP &&
			caught.error == NOT_PRESENT,
		"a segment that is not present");
	check(TRY("movl %0, %%eax; movl %%eax, %%ss",
		      :
		      : "i"(NOT_PRESENT)
		      : "rax", "r11") == SS &&
			caught.error == NOT_PRESENT,
		"... in SS");
}

static void looking(void)
{
	user_run(lar_kernel, (size_t)(lar_kernel_end - lar_kernel), 0, 0, 0);
	check(caught.rax == 1, "LAR of a kernel segment");
	user_run(lsl_user, (size_t)(lsl_user_end - lsl_user), 0, 0, 0);
	check(caught.rax == 15, "LSL");
	user_run(verw_user, (size_t)(verw_user_end - verw_user), 0, 0, 0);
	check(caught.rax == 0x100, "VERR and VERW of a read-only segment");
}

void test_segments(void)
{
	code_32();
	limits();
	code_of_16();
	far_transfers();
	looking();
}
