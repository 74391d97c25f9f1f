/* SPDX-License-Identifier: Apache-2.0 */
#include "native.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "cpu/state.h"

#define CODE_SIZE 4096
#define ALT_STACK 65536

/* One mapping: code first, the data that the code reaches relative to rip behind it. */
struct native {
	uint8_t code[CODE_SIZE];
	struct native_state in, out;
	uint64_t host_rsp, components;
	uint32_t host_mxcsr;
	uint16_t host_fcw;
	/* not used by the code */
	uint8_t *emit, *slot, *after;
	struct native_fault fault;
	void *alt_stack;
	struct sigaction old[5];
};

static const int signals[5] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
/* The handler gets no argument of ours. */
static struct native *running;

static void byte(struct native *n, unsigned b)
{
	*n->emit++ = b;
}

static void bytes(struct native *n, const void *data, unsigned size)
{
	memcpy(n->emit, data, size);
	n->emit += size;
}

/* ModRM for [rip + disp32] with reg, to a field of struct native. */
static void field(struct native *n, unsigned reg, size_t offset)
{
	int32_t disp;

	byte(n, 5 | (reg & 7) << 3);
	disp = (int32_t)((uint8_t *)n + offset - (n->emit + 4));
	bytes(n, &disp, 4);
}

static void gpr_move(struct native *n, unsigned opcode, unsigned reg, size_t offset)
{
	byte(n, 0x48 | (reg & 8) >> 1);
	byte(n, opcode);
	field(n, reg, offset);
}

#define OP(n, ...) bytes(n, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void build(struct native *n)
{
	n->emit = n->code;
	OP(n, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57); /* push rbx..r15 */
	gpr_move(n, 0x89, 4, offsetof(struct native, host_rsp));
	OP(n, 0x0f, 0xae); /* stmxcsr */
	field(n, 3, offsetof(struct native, host_mxcsr));
	OP(n, 0xd9); /* fnstcw */
	field(n, 7, offsetof(struct native, host_fcw));
	gpr_move(n, 0x8b, 0, offsetof(struct native, components));
	OP(n, 0x31, 0xd2, 0x48, 0x0f, 0xae); /* xor edx, edx; xrstor64 */
	field(n, 5, offsetof(struct native, in.xsave));
	OP(n, 0xff); /* push; popfq */
	field(n, 6, offsetof(struct native, in.rflags));
	OP(n, 0x9d);
	for (unsigned reg = 0; reg < 16; reg++)
		gpr_move(n, 0x8b, reg, offsetof(struct native, in.gpr) + 8 * reg);
	n->slot = n->emit;
	for (unsigned i = 0; i < 16; i++)
		byte(n, 0x90);
	n->after = n->emit;
	for (unsigned reg = 0; reg < 16; reg++)
		gpr_move(n, 0x89, reg, offsetof(struct native, out.gpr) + 8 * reg);
	gpr_move(n, 0x8b, 4, offsetof(struct native, host_rsp));
	OP(n, 0x9c, 0x8f); /* pushfq; pop */
	field(n, 0, offsetof(struct native, out.rflags));
	OP(n, 0xfc);
	gpr_move(n, 0x8b, 0, offsetof(struct native, components));
	OP(n, 0x31, 0xd2, 0x48, 0x0f, 0xae); /* xsave64 */
	field(n, 4, offsetof(struct native, out.xsave));
	OP(n, 0xdb, 0xe3, 0xd9); /* fninit; fldcw */
	field(n, 5, offsetof(struct native, host_fcw));
	OP(n, 0x0f, 0xae); /* ldmxcsr */
	field(n, 2, offsetof(struct native, host_mxcsr));
	if (n->components & 4)
		OP(n, 0xc5, 0xf8, 0x77); /* vzeroupper */
	OP(n, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3);
}

static void handler(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	struct native *n = running;
	uint8_t *rip = (uint8_t *)uc->uc_mcontext.gregs[REG_RIP];

	if (!n || rip < n->slot || rip >= n->after)
		_exit(99); /* not ours: a failure of the test program itself */
	n->fault = (struct native_fault){
		.signal = signal,
		.trap = uc->uc_mcontext.gregs[REG_TRAPNO],
		.error = uc->uc_mcontext.gregs[REG_ERR],
		.address = uc->uc_mcontext.gregs[REG_CR2],
	};
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)n->after;
}

struct native *native_create(void)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct native *n = mmap(NULL, sizeof(*n), PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t stack = {.ss_size = ALT_STACK, .ss_flags = SS_ONSTACK};

	if (n == MAP_FAILED)
		return NULL;
	n->components = native_components();
	build(n);
	n->alt_stack = malloc(ALT_STACK);
	stack.ss_sp = n->alt_stack;
	stack.ss_flags = 0;
	sigaltstack(&stack, NULL);
	for (unsigned i = 0; i < 5; i++)
		sigaction(signals[i], &action, &n->old[i]);
	return n;
}

void native_destroy(struct native *n)
{
	stack_t off = {.ss_flags = SS_DISABLE};

	for (unsigned i = 0; i < 5; i++)
		sigaction(signals[i], &n->old[i], NULL);
	sigaltstack(&off, NULL);
	free(n->alt_stack);
	munmap(n, sizeof(*n));
}

void native_load(struct native *n, const uint8_t *insn, unsigned length)
{
	memset(n->slot, 0x90, 16);
	memcpy(n->slot, insn, length);
}

struct native_fault native_run(struct native *n, const struct native_state *in,
	struct native_state *out)
{
	void (*code)(void) = (void (*)(void))(uintptr_t)n->code;

	n->in = *in;
	n->in.rflags = (in->rflags & 0xcd5) | 0x202;
	n->fault = (struct native_fault){0};
	running = n;
	code();
	running = NULL;
	*out = n->out;
	out->rflags &= 0xcd5;
	return n->fault;
}

uint64_t native_rand(uint64_t *seed)
{
	/* splitmix64, Steele, Lea and Flood 2014 */
	uint64_t z = *seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint64_t interesting(uint64_t *seed)
{
	static const uint64_t values[] = {0, 1, ~0ull, 0x8000000000000000, 0x7fffffffffffffff,
		0x80000000, 0xffffffff, 0x7f, 0x80, 0xff00, 8, 31, 32, 63};
	uint64_t r = native_rand(seed);

	switch (r & 7) {
	case 0:
		return values[(r >> 8) % (sizeof(values) / sizeof(values[0]))];
	case 1:
		return (r >> 8) & 0x7f;
	case 2:
		return (r >> 8) & 0xffffffff;
	default:
		return native_rand(seed);
	}
}

void native_random(struct native_state *s, uint64_t *seed)
{
	uint64_t components = native_components() | 3;
	uint16_t fcw = 0x37f, fsw = 0;
	uint32_t mxcsr = 0x1f80;

	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = interesting(seed);
	/* Another is #GP at the next interrupt where Linux itself runs as a program of its hypervisor's (PVM). */
	s->gpr[RSP] = (uint64_t)((int64_t)(s->gpr[RSP] << 16) >> 16);
	s->rflags = native_rand(seed) & 0xcd5;
	for (unsigned i = 0; i < sizeof(s->xsave); i += 8) {
		uint64_t r = interesting(seed);

		memcpy(s->xsave + i, &r, 8);
	}
	memset(s->xsave, 0, 32);
	memset(s->xsave + 416, 0, 576 - 416);
	memcpy(s->xsave, &fcw, 2);
	memcpy(s->xsave + 2, &fsw, 2);
	s->xsave[4] = native_rand(seed) & 1 ? 0xff : 0; /* tags */
	memcpy(s->xsave + 24, &mxcsr, 4);
	for (unsigned i = 0; i < 8; i++) {
		uint8_t *st = s->xsave + 32 + 16 * i;

		memset(st + 10, 0, 6);
		if (native_rand(seed) & 3) { /* mostly numbers of a common size */
			st[7] |= 0x80;
			st[8] = native_rand(seed);
			st[9] = (st[9] & 0x80) | (0x3f + (native_rand(seed) & 1));
		}
	}
	memcpy(s->xsave + 512, &components, 8);
}
