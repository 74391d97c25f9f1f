/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Native against translated. Everything must agree, undefined flags included,
 * except:
 * - x87 instruction and data pointers and opcode (the guest's are not kept),
 *   and which components XSAVE says are in their initial state;
 * - in the fast mode, status flags in the image that a fault pushes: the
 *   translator may have used those that the program was about to overwrite;
 * - page faults above the user's half: whether the page is present is the
 *   kernel's secret natively; at CPL 0, the U/S bit;
 * - a gather or scatter that faults or is single-stepped: which elements are done
 *   is up to the processor (SDM 2C, VPGATHERDD); MASKMOV with masked-off bytes may fault or
 *   not (SDM 2B, MASKMOVDQU);
 * - an indirect call to an address that is not canonical faults as it should, but the
 *   guest's return address has been stored below RSP;
 * - a memory operand is looked at before pending x87 exceptions, and also if an
 *   unmasked one keeps FISTP and its like from storing; also before exceptions of
 *   a conversion whose result is stored (VCVTPS2PH);
 * - a string instruction that overwrites itself, and what else writes where no
 *   patch was planned.
 */
#include <stdarg.h>
#include <string.h>

#include <Zydis/Mnemonic.h>

#include "oracle.h"

/* All vector state, components in their initial state spelled out. */
struct vectors {
	uint16_t fcw, fsw, ftw;
	uint32_t mxcsr;
	uint8_t st[8][10];
	uint64_t zmm[32][8];
	uint64_t k[8];
};

static void unpack_zmm(struct vectors *v, const uint8_t *x, uint64_t bv)
{
	const uint8_t *avx = x + native_component(2), *zmm_hi = x + native_component(6),
		      *hi16 = x + native_component(7);

	for (unsigned i = 0; i < 16; i++) {
		if (bv & 2)
			memcpy(&v->zmm[i][0], x + 160 + 16 * i, 16);
		if (bv & 4)
			memcpy(&v->zmm[i][2], avx + 16 * i, 16);
		if (bv & 0x40)
			memcpy(&v->zmm[i][4], zmm_hi + 32 * i, 32);
		if (bv & 0x80)
			memcpy(v->zmm[16 + i], hi16 + 64 * i, 64);
	}
}

static void unpack(struct vectors *v, const uint8_t *x)
{
	uint64_t bv;

	memset(v, 0, sizeof *v);
	memcpy(&bv, x + 512, 8);
	v->fcw = 0x37f;
	if (bv & 1) {
		memcpy(&v->fcw, x, 2);
		memcpy(&v->fsw, x + 2, 2);
		v->ftw = x[4];
		for (unsigned i = 0; i < 8; i++)
			memcpy(v->st[i], x + 32 + 16 * i, 10);
	}
	memcpy(&v->mxcsr, x + 24, 4);
	unpack_zmm(v, x, bv);
	if (bv & 0x20)
		memcpy(v->k, x + native_component(5), 64);
}

__attribute__((format(printf, 2, 3))) static void say(struct difference *d, const char *fmt, ...)
{
	size_t used = strlen(d->text);
	va_list args;

	d->count++;
	if (d->count > 24)
		return;
	va_start(args, fmt);
	vsnprintf(d->text + used, sizeof d->text - used, fmt, args);
	va_end(args);
}

static void number(struct difference *d, const char *name, uint64_t native, uint64_t guest)
{
	if (native != guest)
		say(d, "  %-7s native %016llx, translated %016llx\n", name,
			(unsigned long long)native, (unsigned long long)guest);
}

static void block(struct difference *d, const char *name, unsigned index, const uint8_t *native,
	const uint8_t *guest, unsigned size)
{
	char text[2][140] = {"", ""};

	if (memcmp(native, guest, size) == 0)
		return;
	for (unsigned i = 0; i < size; i++) {
		snprintf(text[0] + 2 * i, 3, "%02x", native[size - 1 - i]);
		snprintf(text[1] + 2 * i, 3, "%02x", guest[size - 1 - i]);
	}
	say(d, "  %s%u\n    native     %s\n    translated %s\n", name, index, text[0], text[1]);
}

static void compare_vectors(struct difference *d, const uint8_t *native, const uint8_t *guest)
{
	struct vectors n, g;

	unpack(&n, native);
	unpack(&g, guest);
	number(d, "fcw", n.fcw, g.fcw);
	number(d, "fsw", n.fsw, g.fsw);
	number(d, "ftw", n.ftw, g.ftw);
	number(d, "mxcsr", n.mxcsr, g.mxcsr);
	for (unsigned i = 0; i < 8; i++)
		block(d, "st", i, n.st[i], g.st[i], 10);
	for (unsigned i = 0; i < 32; i++)
		block(d, "zmm", i, (uint8_t *)n.zmm[i], (uint8_t *)g.zmm[i], 64);
	for (unsigned i = 0; i < 8; i++)
		block(d, "k", i, (uint8_t *)&n.k[i], (uint8_t *)&g.k[i], 8);
}

static uint64_t data_address(unsigned offset)
{
	unsigned n = offset / PAGE;

	for (unsigned i = 0; i < DATA_PAGES; i++)
		if (data_present[i] && n-- == 0)
			return DATA_BASE + i * PAGE + offset % PAGE;
	return 0;
}

/* Is the byte the one that an indirect call which faulted at its target has left below RSP? */
static bool call_left(const struct outcome_pair *p, const struct insn *call, unsigned offset)
{
	const struct side *g = p->guest;
	uint64_t below =
		(g->gpr[RSP] >= DATA_ALIAS ? g->gpr[RSP] - (DATA_ALIAS - DATA_BASE) : g->gpr[RSP]) -
		8;
	uint64_t at = data_address(offset) - below, next = g->rip + call->length;

	return call->class == INSN_CALL_IND && g->vector == EXC_GP && at < 8 &&
		p->guest_data[offset] == (uint8_t)(next >> 8 * at);
}

/* fault: the instruction that did, or NULL */
static void compare_memory(struct difference *d, const struct outcome_pair *p,
	const struct insn *fault)
{
	for (unsigned at = 0; at < DATA_STORED * PAGE; at += 8) {
		uint64_t n, g;
		char name[24];

		memcpy(&n, p->native_data + at, 8);
		memcpy(&g, p->guest_data + at, 8);
		for (unsigned k = 0; n != g && fault && k < 8; k++)
			if (call_left(p, fault, at + k))
				n = (n & ~(0xffull << 8 * k)) | (g & 0xffull << 8 * k);
		if (n == g)
			continue;
		snprintf(name, sizeof name, "[%llx]", (unsigned long long)data_address(at));
		number(d, name, n, g);
	}
	/* planned changes are in `before` already; they have to be the same */
	for (unsigned at = 0; at < CODE_SIZE; at++)
		if (p->guest_code[at] != p->guest_before[at] ||
			(!p->narrow && p->native_code[at] != p->guest_code[at]))
			say(d, "  code+%x: native %02x, translated %02x\n", at, p->native_code[at],
				p->guest_code[at]);
}

/* Linux says of addresses from here on that something is there. */
#define HOST_END 0x7ffffffff000

/* --- what may differ --------------------------------------------------------------------- */

/* The instruction that faulted, natively. */
static bool faulting(const struct outcome_pair *p, struct insn *i)
{
	uint64_t at = p->native->rip - CODE_BASE;

	return at < CODE_SIZE &&
		insn_decode(i, p->native_code + at, (unsigned)(CODE_SIZE - at), 64, NULL) == 0;
}

static bool maskmov(const struct insn *i)
{
	return i->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ || i->mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU ||
		i->mnemonic == ZYDIS_MNEMONIC_VMASKMOVDQU;
}

static bool memory_fault(uint64_t vector)
{
	return vector == EXC_PF || vector == EXC_GP || vector == EXC_SS;
}

/* An x87 instruction of the guest's that met a memory fault: should an exception have come first? */
static bool x87_first(const struct outcome_pair *p)
{
	uint64_t at = p->guest->rip - CODE_BASE;
	struct insn i;

	if (!memory_fault(p->guest->vector) || at >= CODE_SIZE ||
		insn_decode(&i, p->native_code + at, (unsigned)(CODE_SIZE - at), 64, NULL) != 0)
		return false;
	if (p->native->vector == EXC_XM && p->native->rip == p->guest->rip)
		return i.mem_write;
	if (i.state != STATE_X87 && i.state != STATE_MMX)
		return false;
	return p->native->vector == EXC_MF || (i.mem_write && p->native->rip != p->guest->rip);
}

/* What came before is not compared then: nothing but the two faults can have gone another way. */
static bool excused(const struct outcome_pair *p, const struct insn *i)
{
	if (x87_first(p))
		return true;
	if (memcmp(p->native_code, p->code, CODE_SIZE) != 0)
		return true;
	/* 32-bit addresses end where 64-bit code just goes on */
	if (p->narrow &&
		((p->native->vector == EXC_PF && p->native->cr2 >= 0xfffff000) ||
			(p->guest->vector == EXC_PF && p->guest->cr2 >= 0xfffff000)))
		return true;
	/* the way out is memory natively */
	if (p->guest->vector == EXC_PF && !((p->guest->cr2 ^ EXIT_AT) >> 12))
		return true;
	if (!i)
		return false;
	/* ten bytes go out in two pieces, the first of which may have arrived */
	if (i->state == STATE_X87 && i->mem_write && i->mem_size == 10 &&
		memory_fault(p->native->vector))
		return true;
	return (maskmov(i) && memory_fault(p->native->vector)) ||
		(i->mem_vsib != INSN_NO_REG && p->native->vector == EXC_DB);
}

/* What a fault leaves behind on this processor, and is told by no manual. */
static void forgive(const struct outcome_pair *p, const struct insn *i, struct side *native)
{
	const struct side *g = p->guest;

	for (unsigned r = 0; r < 16; r++)
		if (!p->amd && i->class == INSN_STRING && i->prefix_67 &&
			(uint32_t)native->gpr[r] == (uint32_t)g->gpr[r])
			native->gpr[r] = g->gpr[r];
	if (i->state == STATE_MMX && i->has_mem && memory_fault(native->vector))
		memcpy(native->xsave, g->xsave,
			160); /* the x87 stack's top has gone to 0, or not yet */
	/* which byte of an operand that microcode takes apart is told first; with 67 it may go round 4 GiB */
	if (i->has_mem && i->mem_size > 64 &&
		(native->cr2 - g->cr2 < i->mem_size ||
			(i->prefix_67 && (uint32_t)(native->cr2 - g->cr2) < i->mem_size)))
		native->cr2 = g->cr2;
	if (i->has_mem && (i->mem_masked || i->class == INSN_EMULATE) &&
		!((native->cr2 ^ g->cr2) >> 12))
		native->cr2 = g->cr2;
	/* a conversion on its way to memory has already noted its exceptions */
	if (i->mem_write && i->state >= STATE_SSE && memory_fault(native->vector))
		native->xsave[24] &= g->xsave[24] | 0xc0;
}

/* --- all of it ----------------------------------------------------------------------------- */

static void compare_fault(struct difference *d, const struct outcome_pair *p, const struct side *n)
{
	const struct side *g = p->guest;
	uint64_t ignore = 0;

	number(d, "vector", n->vector, g->vector);
	if (n->vector != g->vector || n->vector == END_VECTOR)
		return;
	number(d, "rip", n->rip, g->rip);
	if (n->vector == EXC_PF) {
		number(d, "cr2", n->cr2, g->cr2);
		if (n->cr2 >= HOST_END)
			ignore |= 1;
		if (p->supervisor)
			ignore |= 4;
	}
	number(d, "error", n->error & ~ignore, g->error & ~ignore);
}

bool compare(const struct outcome_pair *p, struct difference *d)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
	bool fault = p->native->vector != END_VECTOR, loose = false, decoded;
	struct side native = *p->native;
	struct insn i;

	d->count = 0;
	d->text[0] = 0;
	decoded = fault && faulting(p, &i);
	if (decoded) {
		loose = i.mem_vsib != INSN_NO_REG;
		if (excused(p, &i))
			return true;
		forgive(p, &i, &native);
	} else if (excused(p, NULL)) {
		return true;
	}
	compare_fault(d, p, &native);
	for (unsigned r = 0; r < 16; r++)
		number(d, names[r], native.gpr[r], p->guest->gpr[r]);
	number(d, "rflags", native.rflags, p->guest->rflags);
	if (native.fs | native.gs | p->guest->fs | p->guest->gs) {
		number(d, "fs", native.fs, p->guest->fs);
		number(d, "gs", native.gs, p->guest->gs);
	}
	if (!loose) {
		compare_vectors(d, native.xsave, p->guest->xsave);
		compare_memory(d, p, decoded ? &i : NULL);
	}
	return d->count == 0;
}
