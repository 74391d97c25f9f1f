/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences on this processor: the truth. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include "oracle.h"

#define HWCAP2_FSGSBASE 2u
#define ALT_STACK (256u << 10)

void native_enter(void);
void native_exit(void);
void native_restack(void); /* goes on at frame.resume, with frame.resume_rsp */
void native_restack_jump(void);

/* What native.S uses. */
struct frame {
	struct job job;
	uint8_t unused[JOB_SIZE - sizeof(struct job)];
	uint64_t rsp, fs;
	uint32_t mxcsr;
	uint16_t fcw, unused2;
	uint32_t fsgsbase, active;
	uint64_t resume, resume_rsp, late;
	unsigned ways_back; /* that failed in a row at resume */
};
extern struct frame native_frame;
struct frame native_frame;

_Static_assert(offsetof(struct frame, fs) == FRAME_FS, "layout");
_Static_assert(offsetof(struct frame, fsgsbase) == FRAME_FSGSBASE, "layout");
_Static_assert(offsetof(struct frame, resume) == FRAME_RESUME, "layout");
_Static_assert(offsetof(struct frame, resume_rsp) == FRAME_RESUME_RSP, "layout");

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGVTALRM};
#define SIGNALS (sizeof signals / sizeof *signals)
static struct sigaction old_action[SIGNALS];
static stack_t old_stack;
static uint8_t alt_stack[ALT_STACK];
static uint8_t *data_at;

static uint64_t fs_get(void)
{
	uint64_t v;

	asm volatile("rdfsbase %0" : "=r"(v));
	return v;
}

static void fs_set(uint64_t v)
{
	asm volatile("wrfsbase %0" : : "r"(v));
}

/* jmp *0(%rip) */
static void emit_jump(uint8_t *at, uint64_t to)
{
	static const uint8_t jump[6] = {0xff, 0x25};

	memcpy(at, jump, 6);
	memcpy(at + 6, &to, 8);
}

void sequence_terminate(uint8_t *code, unsigned at)
{
	uint32_t distance = EXIT_AT - (CODE_BASE + at + END_LENGTH);

	code[at] = 0xe9;
	memcpy(code + at + 1, &distance, 4);
}

static bool in_sequence(uint64_t rip)
{
	return rip < (uint64_t)native_enter || rip >= (uint64_t)native_exit + 1024;
}

/* The test itself failed. */
static void broken(const greg_t *regs)
{
	dprintf(2, "oracle: trap %lld at %llx (native_enter %p), flags %llx\n", regs[REG_TRAPNO],
		regs[REG_RIP], (void *)native_enter, regs[REG_EFL]);
	_exit(3);
}

/*
 * A kernel that is itself a program of its hypervisor's (PVM) has no way back to an RSP that is not canonical, and raises
 * #GP(0) or #UD at the next instruction. One that does so by itself does so again.
 */
static bool restack(struct frame *f, greg_t *regs)
{
	uint64_t rip = (uint64_t)regs[REG_RIP], rsp = (uint64_t)regs[REG_RSP];

	if ((regs[REG_TRAPNO] != EXC_GP && regs[REG_TRAPNO] != EXC_UD) || regs[REG_ERR] ||
		canonical(rsp))
		return false;
	if (rip == (uint64_t)native_restack_jump)
		rip = f->resume;
	if (rip != f->resume)
		f->ways_back = 0;
	if (in_sequence(rip) && f->ways_back++ == 8)
		return false;
	f->resume = rip;
	f->resume_rsp = rsp;
	regs[REG_RIP] = (greg_t)native_restack;
	regs[REG_RSP] = (greg_t)f->rsp;
	return true;
}

/* The sequence may have changed the FS base, by which C finds errno and much else. */
__attribute__((no_stack_protector)) static void handle(int number, siginfo_t *info, void *context)
{
	struct frame *f = &native_frame;
	ucontext_t *uc = context;
	greg_t *regs = uc->uc_mcontext.gregs;
	uint64_t fs = 0;

	if (!f->active) {
		if (number == SIGVTALRM)
			return;
		broken(regs);
	}
	if (f->fsgsbase) {
		fs = fs_get();
		fs_set(f->fs);
	}
	if (number == SIGVTALRM) {
		/* let the first one pass: it may come early */
		if (f->late++ && in_sequence((uint64_t)regs[REG_RIP])) {
			f->job.out.vector = ~0ull;
			regs[REG_RIP] = (greg_t)native_exit;
		}
	} else if (!restack(f, regs)) {
		if (!in_sequence((uint64_t)regs[REG_RIP]))
			broken(regs);
		f->job.out.vector = (uint64_t)regs[REG_TRAPNO];
		f->job.out.error = (uint64_t)regs[REG_ERR];
		f->job.out.cr2 = (uint64_t)regs[REG_CR2];
		f->job.out.rip = (uint64_t)regs[REG_RIP];
		f->job.out.unused = (uint64_t)regs[REG_EFL];
		regs[REG_EFL] &= ~(greg_t)FL_TF;
		regs[REG_RIP] = (greg_t)native_exit;
	}
	if (f->fsgsbase)
		fs_set(fs);
}

bool native_fsgsbase(void)
{
	return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
}

static volatile sig_atomic_t skipped;

static void skip(int number, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	uc->uc_mcontext.gregs[REG_RIP] += 2;
	skipped = 1;
}

/* A hypervisor under which Linux is a program (PVM) drops NT when it goes back to one from a fault or an interrupt. */
bool native_keeps_nt(void)
{
	struct sigaction act = {.sa_sigaction = skip, .sa_flags = SA_SIGINFO}, old;
	uint64_t flags;

	sigaction(SIGILL, &act, &old);
	asm volatile("pushq $0x4202\n popfq\n ud2\n pushfq\n popq %0\n pushq $0x202\n popfq"
		     : "=r"(flags)
		     :
		     : "memory", "cc");
	sigaction(SIGILL, &old, NULL);
	return skipped && flags & FL_NT;
}

static volatile sig_atomic_t lost;

/* RBX is the stack pointer of before. */
static void find_stack(int number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	if (number == SIGILL && !lost && *(const uint16_t *)regs[REG_RIP] == 0x0b0f) {
		regs[REG_RIP] += 2;
		return;
	}
	lost = 1;
	regs[REG_RSP] = regs[REG_RBX];
}

/* Nor can such a host go back to an RSP that is not canonical; on the way it emulates instructions, some of them wrongly. */
bool native_keeps_rsp(void)
{
	const stack_t stack = {.ss_sp = alt_stack, .ss_size = sizeof alt_stack};
	struct sigaction act = {.sa_sigaction = find_stack, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct sigaction old[2];
	stack_t before;

	lost = 0;
	sigaltstack(&stack, &before);
	sigaction(SIGILL, &act, &old[0]);
	sigaction(SIGSEGV, &act, &old[1]);
	asm volatile("movq %%rsp, %%rbx\n movabsq $0x800000000000, %%rax\n movq %%rax, %%rsp\n"
		     "ud2\n nop\n movq %%rbx, %%rsp"
		     :
		     :
		     : "rax", "rbx", "memory", "cc");
	sigaction(SIGILL, &old[0], NULL);
	sigaction(SIGSEGV, &old[1], NULL);
	sigaltstack(&before, NULL);
	return !lost;
}

/* The pages of the data area at one of its addresses. */
static int map_data(int fd, uint64_t base)
{
	unsigned n = 0;

	for (unsigned i = 0; i < DATA_PAGES; i++) {
		void *at = (void *)(base + i * PAGE);

		if (!data_present[i])
			continue;
		if (mmap(at, PAGE, data_writable[i] ? PROT_READ | PROT_WRITE : PROT_READ,
			    MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, n * PAGE) != at)
			return -1;
		n++;
	}
	return 0;
}

int native_init(void)
{
	int fd = memfd_create("oracle", MFD_CLOEXEC);
	void *code = mmap((void *)CODE_BASE, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);
	void *way_out = mmap((void *)EXIT_AT, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);

	if (way_out == MAP_FAILED)
		return -1;
	emit_jump(way_out, (uint64_t)native_exit);
	if (fd < 0 || ftruncate(fd, DATA_STORED * PAGE) || code == MAP_FAILED)
		return -1;
	data_at = mmap(NULL, DATA_STORED * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		fd, 0);
	if (data_at == MAP_FAILED || map_data(fd, DATA_BASE) || map_data(fd, DATA_ALIAS))
		return -1;
	close(fd);
	native_frame.fsgsbase = native_fsgsbase();
	if (native_frame.fsgsbase)
		native_frame.fs = fs_get();
	return 0;
}

void native_begin(void)
{
	stack_t stack = {.ss_sp = alt_stack, .ss_size = sizeof alt_stack};
	struct itimerval tick = {{0, 400000}, {0, 400000}};

	sigaltstack(&stack, &old_stack);
	for (unsigned i = 0; i < SIGNALS; i++) {
		struct sigaction act = {.sa_sigaction = handle,
			.sa_flags = SA_SIGINFO | SA_ONSTACK};

		sigfillset(&act.sa_mask);
		sigaction(signals[i], &act, &old_action[i]);
	}
	setitimer(ITIMER_VIRTUAL, &tick, NULL);
}

void native_end(void)
{
	struct itimerval off = {0};

	setitimer(ITIMER_VIRTUAL, &off, NULL);
	for (unsigned i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &old_action[i], NULL);
	sigaltstack(&old_stack, NULL);
}

/*
 * AMD's Zen 4 and 5 lose the AVX component after XRSTOR with ZMM_Hi256 in use and AVX not, when next an
 * SSE instruction runs and XSAVEOPT or XSAVES into the same image (what the host's kernel does when it
 * switches threads) follows: XSTATE_BV then says that AVX is in use, and its bytes are what they were.
 * In use and zero is the same state.
 */
static void keep_avx(uint8_t *xsave)
{
	uint64_t bv;

	memcpy(&bv, xsave + 512, sizeof bv);
	if (!(bv & 0x40) || (bv & 4))
		return;
	memset(xsave + native_component(2), 0, 256);
	bv |= 4;
	memcpy(xsave + 512, &bv, sizeof bv);
}

bool native_run(struct job *job, const uint8_t *code, const uint8_t *data, uint8_t *code_out,
	uint8_t *data_out)
{
	struct frame *f = &native_frame;

	memcpy((void *)CODE_BASE, code, CODE_SIZE);
	memcpy(data_at, data, DATA_STORED * PAGE);
	f->job.in = job->in;
	keep_avx(f->job.in.xsave);
	f->job.components = native_components();
	memset(&f->job.out, 0, sizeof f->job.out);
	f->job.out.vector = END_VECTOR;
	f->late = f->resume = 0;
	f->active = 1;
	native_enter();
	f->active = 0;
	if (f->job.out.vector != END_VECTOR)
		f->job.out.rflags = f->job.out.unused;
	f->job.out.unused = f->late;
	job->out = f->job.out;
	memcpy(code_out, (void *)CODE_BASE, CODE_SIZE);
	memcpy(data_out, data_at, DATA_STORED * PAGE);
	return f->job.out.vector != ~0ull;
}
