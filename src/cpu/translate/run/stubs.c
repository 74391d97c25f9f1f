/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/run/stubs.h"

#include "cpu/translate/emit/gen.h"
#include "cpu/translate/hot.h"
#include "cpu/translate/vcpu.h"

/*
 * Flags are stored by PUSHFQ and loaded by SAHF (and an addition that makes OF),
 * since POPFQ costs tens of cycles. DF alone takes the long way.
 */

#define GPR(r) "%%gs:%c[gpr]+8*" #r
/* clang-format off */
#define SAVE_GPRS                                                                                  \
	"movq %%rax, " GPR(0) "\n movq %%rcx, " GPR(1) "\n movq %%rdx, " GPR(2) "\n"               \
	"movq %%rbx, " GPR(3) "\n movq %%rsp, " GPR(4) "\n movq %%rbp, " GPR(5) "\n"               \
	"movq %%rsi, " GPR(6) "\n movq %%rdi, " GPR(7) "\n movq %%r8, " GPR(8) "\n"                \
	"movq %%r9, " GPR(9) "\n movq %%r12, " GPR(12) "\n movq %%r13, " GPR(13) "\n"              \
	"movq %%r14, " GPR(14) "\n movq %%r15, " GPR(15) "\n"
#define LOAD_CALLER_SAVED                                                                          \
	"movq " GPR(1) ", %%rcx\n movq " GPR(2) ", %%rdx\n"                                        \
	"movq " GPR(6) ", %%rsi\n movq " GPR(7) ", %%rdi\n movq " GPR(8) ", %%r8\n"                \
	"movq " GPR(9) ", %%r9\n"
/* From edx; clobbers rax. */
#define LOAD_FLAGS                                                                                 \
	"testl $0x400, %%edx\n"                                                                    \
	"jz 8f\n std\n"                                                                            \
	"8: movb %%dl, %%ah\n"                                                                     \
	"testl $0x800, %%edx\n"                                                                    \
	"setnz %%al\n addb $0x7f, %%al\n sahf\n"
#define RESTORE_HOST "popq %%r15\n popq %%r14\n popq %%r13\n popq %%r12\n popq %%rbp\n popq %%rbx\n"
/* From C code that preserved rbx, rbp, r12-r15 to r11. */
#define GO_ON                                                                                      \
	"movl %%gs:%c[flags], %%edx\n" LOAD_FLAGS LOAD_CALLER_SAVED                                \
	"movq " GPR(0) ", %%rax\n movq " GPR(4) ", %%rsp\n"                                        \
	"jmpq *%%r11\n"
/* Leaves with what C code has set. */
#define LEAVE_SLOW                                                                                 \
	"movl %%gs:%c[flags], %%eax\n shlq $32, %%rax\n orq $%c[fault], %%rax\n"                   \
	"xorl %%edx, %%edx\n" RESTORE_HOST "ret\n"
#define OFFSETS                                                                                    \
	[gpr] "i"(offsetof(struct vcpu, cpu.gpr)),                                           \
		[host_rsp] "i"(offsetof(struct vcpu, host_rsp)),                                   \
		[flags] "i"(offsetof(struct vcpu, flags)), [ea] "i"(offsetof(struct vcpu, ea)),    \
		[scratch] "i"(offsetof(struct vcpu, scratch)),                                     \
		[self] "i"(offsetof(struct vcpu, self)),                                           \
		[desc] "i"(sizeof(struct slow_access)), [fault] "i"(LEAVE_FAULT)
/* clang-format on */

__attribute__((naked)) struct left stub_enter(void *code, uint64_t linear, uint64_t flags)
{
	asm volatile(
		"pushq %%rbx\n pushq %%rbp\n pushq %%r12\n pushq %%r13\n pushq %%r14\n pushq %%r15\n"
		"movq %%rsp, %%gs:%c[host_rsp]\n"
		"movq %%rsi, %%r10\n"
		"movq %%rdi, %%r11\n" LOAD_FLAGS LOAD_CALLER_SAVED
		"movq " GPR(3) ", %%rbx\n movq " GPR(
			5) ", %%rbp\n"
			   "movq " GPR(12) ", %%r12\n movq " GPR(
				   13) ", %%r13\n"
				       "movq " GPR(14) ", %%r14\n movq " GPR(
					       15) ", %%r15\n"
						   "movq " GPR(0) ", %%rax\n movq " GPR(
							   4) ", %%rsp\n"
							      "jmpq *%%r11\n"
		:
		: OFFSETS);
}

__attribute__((naked)) void stub_leave(void)
{
	asm volatile(SAVE_GPRS "movq %%gs:%c[host_rsp], %%rsp\n"
			       "pushfq\n popq %%rax\n cld\n"
			       "movl %%r11d, %%r11d\n shlq $32, %%rax\n orq %%r11, %%rax\n"
			       "movq %%r10, %%rdx\n" RESTORE_HOST "ret\n"
		     :
		     : OFFSETS);
}

__attribute__((naked)) void stub_lookup(void)
{
	asm volatile("movl %[lookup], %%r11d\n"
		     "jmp stub_leave\n"
		     :
		     : [lookup] "i"(LEAVE_LOOKUP));
}

__attribute__((naked)) void stub_slow(void)
{
	asm volatile(SAVE_GPRS "movq %%r10, %%gs:%c[ea]\n"
			       "movq %%gs:%c[host_rsp], %%rsp\n"
			       "pushfq\n popq %%gs:%c[flags]\n cld\n"
			       "pushq %%r11\n"
			       "movq %%gs:%c[self], %%rdi\n movq %%r11, %%rsi\n"
			       "call translate_slow\n"
			       "popq %%r11\n"
			       "cmpl $1, %%eax\n"
			       "ja 3f\n"
			       "je 1f\n"
			       "movslq (%%r11), %%rax\n addq %%rax, %%r11\n" /* RETRY */
			       "jmp 2f\n"
			       "1: addq $%c[desc], %%r11\n movq %%gs:%c[scratch], %%r10\n" /* GO */
			       "2:" GO_ON "3:" LEAVE_SLOW
		     :
		     : OFFSETS);
}

/* r10: where to go on. */
__attribute__((naked)) void stub_commit(void)
{
	asm volatile(SAVE_GPRS "movq %%gs:%c[host_rsp], %%rsp\n"
			       "pushfq\n popq %%gs:%c[flags]\n cld\n"
			       "pushq %%r10\n"
			       "movq %%gs:%c[self], %%rdi\n movq %%r11, %%rsi\n"
			       "call translate_commit\n"
			       "popq %%r11\n"
			       "cmpl $1, %%eax\n"
			       "ja 3f\n" GO_ON "3:" LEAVE_SLOW
		     :
		     : OFFSETS);
}

__attribute__((naked)) void stub_restack(void)
{
	asm volatile("movq %%gs:%c[rsp], %%rsp\n"
		     ".globl stub_restack_jump\n"
		     "stub_restack_jump: jmpq *%%gs:%c[resume]\n"
		     :
		     : [rsp] "i"(offsetof(struct vcpu, resume_rsp)),
		     [resume] "i"(offsetof(struct vcpu, resume)));
}

__attribute__((naked)) void stub_touch(void)
{
	asm volatile("vpord %zmm0, %zmm0, %zmm0\n"
		     "jmp stub_restack\n");
}
