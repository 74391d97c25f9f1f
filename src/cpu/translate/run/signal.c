/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host signals that translated code raises: a copied instruction's own faults
 * (#DE, #MF, #XM, a misaligned SSE operand), and polls that a kick has spoiled.
 * The handler only redirects: it sets what happened and lets the code leave.
 *
 * Every access is checked for as many bytes as decode/ knows of. Should a host's
 * processor touch more than that (insn_silicon.c has what is known), it meets
 * the guard beside guest memory: the guest's fault, not the monitor's end.
 *
 * RSP is the guest's, and need not be canonical. A host whose kernel is itself a program of its hypervisor's
 * (PVM) goes back to no such program from an interrupt or a fault: it raises #GP(0) or #UD there instead.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <asm/prctl.h>
#include <ucontext.h>
#include <unistd.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen.h"
#include "cpu/translate/run/run.h"
#include "cpu/translate/run/stubs.h"
#include "cpu/translate/vm.h"

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif
#define STACK_SIZE (128u << 10)

static __thread struct vcpu *running;

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

/* The order of RAX.. R15 in a signal context. */
static const uint8_t context_reg[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
	REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/* The guest's exception for a host trap in a copied instruction; false: it is no such thing. */
static bool guest_fault(struct vcpu *v, long trap)
{
	switch (trap) {
	case EXC_DE:
	case EXC_MF:
	case EXC_XM:
	case EXC_UD:
	case EXC_NM:
		v->fault = (struct fault){.vector = (uint8_t)trap};
		return true;
	case EXC_GP:
	case EXC_SS:
		v->fault = (struct fault){.vector = EXC_GP, .has_error = true};
		return true;
	case EXC_AC:
		v->fault = (struct fault){.vector = EXC_AC, .has_error = true};
		return true;
	default:
		return false;
	}
}

/* An access through a window that found nothing there: page fault, or an address that is none. */
static bool hostmap_missed(const struct cache *c, const struct fixup *s, const void *pc, long trap)
{
	return s->slow && pc == c->exec + s->code &&
		(trap == EXC_PF || trap == EXC_GP || trap == EXC_SS);
}

/* How far beyond what was checked an instruction may reach; the largest operand has so many bytes. */
#define BEYOND 64u

/* A page fault right beside guest memory. */
static bool beyond_memory(const struct translate_vm *vm, const greg_t *regs)
{
	uint64_t at = (uint64_t)regs[REG_CR2];

	if (regs[REG_TRAPNO] != EXC_PF)
		return false;
	for (unsigned i = 0; i < vm->regions; i++) {
		uint64_t start = (uint64_t)vm->by_gpa[i]->host, end = start + vm->by_gpa[i]->size;

		if (at - end < BEYOND || start - 1 - at < BEYOND)
			return true;
	}
	return false;
}

/* The kernel's frame of a signal ends in an XSAVE area, where these bytes of the legacy part say so. */
#define FRAME_MAGIC_AT 464
#define FRAME_MAGIC 0x46505853u /* FP_XSTATE_MAGIC1 */

static bool zmm_in_use(const ucontext_t *uc)
{
	const uint8_t *area = (const uint8_t *)uc->uc_mcontext.fpregs;
	uint32_t magic;
	uint64_t used;

	if (!area)
		return false;
	memcpy(&magic, area + FRAME_MAGIC_AT, sizeof magic);
	memcpy(&used, area + XSAVE_BV, sizeof used);
	return magic == FRAME_MAGIC && used >> COMP_ZMM_HI & 1;
}

/*
 * The kernel loads the vector registers on the way back: they need what vcpu_vectors_restore() does. And it may have no
 * way back to an RSP that is not canonical.
 */
static void go_on_at(struct vcpu *v, ucontext_t *uc, const void *code)
{
	greg_t *regs = uc->uc_mcontext.gregs;
	bool in_use = zmm_in_use(uc);

	regs[REG_RIP] = (greg_t)code;
	if (!in_use && canonical_ok((uint64_t)regs[REG_RSP]))
		return;
	v->resume = (uint64_t)code;
	v->resume_rsp = (uint64_t)regs[REG_RSP];
	regs[REG_RSP] = (greg_t)v->host_rsp;
	regs[REG_RIP] = (greg_t)(in_use ? stub_touch : stub_restack);
}

/* So often the way back may fail in a row at one instruction before it is taken for a fault of its own. */
#define WAYS_BACK 8

/*
 * The kernel could not go back to pc with the guest's RSP. Where the instruction there may raise them by itself
 * (s is not NULL) only another try tells.
 */
static bool lost_stack(struct vcpu *v, const greg_t *regs, const struct fixup *s, const void *pc)
{
	if ((regs[REG_TRAPNO] != EXC_GP && regs[REG_TRAPNO] != EXC_UD) || regs[REG_ERR] ||
		canonical_ok((uint64_t)regs[REG_RSP]))
		return false;
	if (pc != v->private_data->signal.again)
		v->private_data->signal.times = 0;
	v->private_data->signal.again = pc;
	return !s || v->private_data->signal.times++ < WAYS_BACK;
}

static void unhandled(int number)
{
	struct sigaction act = {.sa_handler = SIG_DFL};

	sigaction(number, &act, NULL);
}

static void handle(int number, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *regs = uc->uc_mcontext.gregs;
	struct vcpu *v = running;
	const struct tblock *b = NULL;
	const struct fixup *s;
	void *pc = (void *)regs[REG_RIP];
	bool poll;

	if (v && cache_holds(&v->vm->cache, pc))
		b = cache_block_at(&v->vm->cache, pc);
	s = b ? cache_fixup_at(&v->vm->cache, b, pc) : NULL;
	if (v && lost_stack(v, regs, s, pc)) {
		go_on_at(v, uc, pc == stub_restack_jump ? (const void *)v->resume : pc);
		return;
	}
	if (!b) {
		unhandled(number);
		return;
	}
	if (s && s->spilled)
		regs[context_reg[s->spilled & 15]] = (greg_t)v->spill[2];
	if (s && s->carry)
		regs[REG_EFL] = (regs[REG_EFL] & ~FL_CF) | (v->carry & 1 ? FL_CF : 0);
	if (s && hostmap_missed(&v->vm->cache, s, pc, regs[REG_TRAPNO])) {
		v->count.window_miss++;
		go_on_at(v, uc, v->vm->cache.exec + s->slow);
		return;
	}
	poll = s && s->poll;
	if (beyond_memory(v->vm, regs)) {
		/* no page of the guest's is to blame: #GP(0), at the instruction or one before it */
		v->count.beyond++;
		v->fault = (struct fault){.vector = EXC_GP, .has_error = true};
		poll = false;
	} else if (!s || (!poll && !guest_fault(v, regs[REG_TRAPNO]))) {
		unhandled(number);
		return;
	}
	v->private_data->signal.fault = !poll;
	v->cpu.rip = block_base(v, b) + (s ? s->guest : b->gpa & 4095);
	regs[REG_R10] = 0;
	regs[REG_R11] = LEAVE_SIGNAL;
	go_on_at(v, uc, stub_leave);
}

int signal_setup(struct error *err)
{
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
		struct sigaction act = {.sa_sigaction = handle,
			.sa_flags = SA_SIGINFO | SA_ONSTACK};

		sigfillset(&act.sa_mask);
		if (sigaction(signals[i], &act, NULL))
			return error_set(err, errno, "cannot catch signal %d: %s", signals[i],
				strerror(errno));
	}
	return 0;
}

int signal_thread_setup(struct vcpu *v, struct error *err)
{
	sigset_t set;
	stack_t stack = {.ss_size = STACK_SIZE + getauxval(AT_MINSIGSTKSZ),
		.ss_flags = (int)SS_AUTODISARM};

	running = v;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		sigaddset(&set, signals[i]);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	if (v->private_data->signal.stack)
		return 0;
	stack.ss_size = (stack.ss_size + 4095) & ~4095ul;
	stack.ss_sp = mmap(NULL, stack.ss_size + 8192, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (stack.ss_sp == MAP_FAILED)
		return error_set(err, errno, "no memory for a signal stack: %s", strerror(errno));
	/* a page at each end that no one can touch */
	mprotect(stack.ss_sp, 4096, PROT_NONE);
	mprotect((char *)stack.ss_sp + 4096 + stack.ss_size, 4096, PROT_NONE);
	v->private_data->signal.stack = stack.ss_sp;
	v->private_data->signal.stack_size = stack.ss_size + 8192;
	stack.ss_sp = (char *)stack.ss_sp + 4096;
	if (sigaltstack(&stack, NULL))
		return error_set(err, errno, "cannot set a signal stack: %s", strerror(errno));
	return 0;
}

void signal_thread_end(struct vcpu *v)
{
	if (v->private_data->signal.stack)
		munmap(v->private_data->signal.stack, v->private_data->signal.stack_size);
	v->private_data->signal.stack = NULL;
}
