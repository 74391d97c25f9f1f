/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop around translated code. Runs with the guest's vector state live, so
 * it calls no libc and no callback without vcpu_vectors_save().
 */
#include "cpu/translate/run/run.h"

#include <Zydis/Mnemonic.h>

#include "cpu/translate/emit/gen.h"
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/emulate/event.h"
#include "cpu/translate/hot.h"
#include "cpu/translate/run/exclusive.h"
#include "cpu/translate/run/stubs.h"
#include "cpu/translate/vm.h"

#define CODE_FLAGS (FL_STATUS | FL_DF)

static bool stepping(const struct vcpu *v)
{
	return v->private_data->mode & MODE_STEP;
}

/* Puts back what a kick has taken away, then sees why. */
static unsigned take_kick(struct vcpu *v)
{
	v->count.exit_kick++;
	__atomic_store_n(&v->poll, &v->page_mask, __ATOMIC_RELAXED);
	__atomic_store_n(&v->jump_mask, JUMP_MASK, __ATOMIC_SEQ_CST);
	return __atomic_exchange_n(&v->kicked, 0, __ATOMIC_SEQ_CST);
}

/* --- interrupts ---------------------------------------------------------------------------------- */

/*
 * One that another engine had begun to deliver (cpu_state.event). What an instruction raised by
 * itself comes again when it runs again.
 */
static enum outcome deliver_begun(struct vcpu *v)
{
	struct cpu_event e = v->cpu.event;

	v->cpu.event.pending = 0;
	if (e.soft || e.vector == EXC_BP || e.vector == EXC_OF)
		return OUT_OK;
	if (e.vector >= 32 || e.vector == EXC_NMI)
		return event_deliver(v, e.vector, false, 0, false, true);
	v->fault = (struct fault){e.vector, e.has_error, e.error, v->cpu.cr2};
	return event_deliver_fault(v);
}

static enum outcome deliver_interrupt(struct vcpu *v)
{
	void *ctx;
	const struct engine_callbacks *c = vcpu_callbacks(v, &ctx);
	int vector;

	if (v->cpu.event.pending)
		return deliver_begun(v);
	if (v->cpu.nmi_pending && !v->cpu.nmi_masked && !v->cpu.sti_shadow) {
		v->cpu.nmi_pending = 0;
		v->cpu.nmi_masked = 1;
		return event_deliver(v, EXC_NMI, false, 0, false, true);
	}
	if (!(v->cpu.rflags & FL_IF) || v->cpu.sti_shadow)
		return OUT_OK;
	vcpu_vectors_save(v);
	vector = c->irq_pending(ctx, v->index) < 0 ? -1 : c->irq_ack(ctx, v->index);
	if (vector < 0) {
		irq_check_set(v, false);
		return OUT_OK;
	}
	v->count.interrupt++;
	return event_deliver(v, (unsigned)vector, false, 0, false, true);
}

/* --- what translated code left for ---------------------------------------------------------------- */

static void rip_from_linear(struct vcpu *v, uint64_t linear)
{
	if ((v->private_data->mode & MODE_BITS) == MODE_64)
		v->cpu.rip = linear;
	else
		v->cpu.rip = (uint32_t)(linear - v->cpu.seg[SEG_CS].base);
}

static enum outcome emulate_one(struct vcpu *v, const struct emulated *m, unsigned guest)
{
	const struct insn *i = &m->insn;

	v->count.exit_emulate++;
	rip_from_linear(v, v->code_base + guest);
	if (i->state != STATE_NONE && v->cpu.cr0 & (CR0_TS | CR0_EM)) {
		if (i->state == STATE_MMX && v->cpu.cr0 & CR0_EM)
			return fault_raise(v, EXC_UD);
		if (i->state == STATE_SSE && v->cpu.cr0 & CR0_EM && i->class != INSN_EMULATE)
			return fault_raise(v, EXC_UD);
		if (i->class == INSN_COPY)
			return fault_raise(v, EXC_NM);
	}
	if (i->too_long)
		return fault_raise_error(v, EXC_GP, 0);
	if (i->encoding != ENC_LEGACY && !(v->cpu.cr0 & CR0_PE))
		return fault_raise(v, EXC_UD);
	if (i->class == INSN_COPY)
		return i->state != STATE_NONE ? fault_raise(v, EXC_UD) : emulate(v, i);
	return emulate(v, i);
}

/* What stub_enter() returned, taken apart. */
struct leaving {
	enum leave why;
	unsigned guest; /* of LEAVE_EMULATE; of LEAVE_LOOKUP: the block */
	uint64_t arg;
	uint64_t target; /* of LEAVE_EXIT: the linear address to go on at; of an astray: its own */
	bool astray;     /* LEAVE_LOOKUP for what is no address: a fault of the branch ... */
	int64_t rsp;     /* ... before which RSP was so much higher */
	uint32_t generation; /* of the cache that the exit is in */
};

/* While the vCPU still counts as inside: what lies in the cache may be gone as soon as it is out. */
static struct leaving leave_of(struct vcpu *v, struct left left)
{
	struct translate_vcpu *p = v->private_data;
	struct cache *c = &v->vm->cache;
	struct leaving l = {.why = left.why & 0xff,
		.guest = (unsigned)(left.why >> 8),
		.arg = left.arg,
		.generation = c->generation};

	if (l.why == LEAVE_EXIT) {
		l.target = block_base(v, &c->block[c->exit[l.arg].block]) +
			(uint64_t)(int64_t)c->exit[l.arg].target;
	} else if (l.why == LEAVE_LOOKUP && !canonical_ok(l.arg)) {
		vcpu_vectors_save(v);
		l.astray = branch_astray(v, l.guest, &l.target, &l.rsp);
	} else if (l.why == LEAVE_EMULATE && v->vm->vcpus > 1) {
		p->emulated = *(const struct emulated *)l.arg;
		l.arg = (uint64_t)&p->emulated;
	}
	return l;
}

/* On to a block whose first accesses one check did not find together: see gen_group.c. */
static enum outcome go_ungrouped(struct vcpu *v, uint32_t generation, void **code, uint64_t *linear)
{
	struct translate_vcpu *p = v->private_data;
	uint32_t exit = p->ungrouped - 1;
	enum outcome out;

	p->ungrouped = 0;
	if (__atomic_load_n(&v->kicked, __ATOMIC_RELAXED) ||
		(v->irq_check && v->cpu.rflags & FL_IF))
		return OUT_OK;
	p->mode |= MODE_UNGROUPED;
	out = cache_follow(v, exit, generation, code, linear);
	p->mode &= ~MODE_UNGROUPED;
	return out;
}

static enum outcome left(struct vcpu *v, struct leaving l, void **code, uint64_t *linear)
{
	*code = NULL;
	switch (l.why) {
	case LEAVE_LOOKUP:
		v->count.exit_lookup++;
		rip_from_linear(v, l.astray ? l.target : l.arg);
		if (!l.astray)
			return OUT_OK;
		v->cpu.gpr[RSP] += (uint64_t)l.rsp;
		return fault_raise_error(v, EXC_GP, 0);
	case LEAVE_EXIT:
		v->count.exit_link++;
		rip_from_linear(v, l.target);
		if (stepping(v) || (v->irq_check && v->cpu.rflags & FL_IF))
			return OUT_OK;
		return cache_follow(v, (uint32_t)l.arg, l.generation, code, linear);
	case LEAVE_EMULATE:
		return emulate_one(v, (const struct emulated *)l.arg, l.guest);
	case LEAVE_STEP:
		rip_from_linear(v, v->code_base + l.arg);
		return OUT_OK;
	case LEAVE_FAULT:
		rip_from_linear(v, v->cpu.rip);
		if (!v->private_data->left_for_lookup)
			return OUT_FAULT;
		v->private_data->left_for_lookup = false;
		return v->private_data->ungrouped ? go_ungrouped(v, l.generation, code, linear)
						  : OUT_OK;
	default: /* a signal handler has set fault and the linear rip */
		v->count.signal++;
		rip_from_linear(v, v->cpu.rip);
		return v->private_data->signal.fault ? OUT_FAULT : OUT_OK;
	}
}

/* Fills *code for cpu.rip: by the jump cache, or the long way. */
static enum outcome find(struct vcpu *v, void **code, uint64_t *linear)
{
	uint32_t mode = v->private_data->mode;
	const void *target;

	if ((mode & (MODE_BITS | MODE_STEP)) == MODE_64 &&
		(target = tlb_jump(v->tlb, v->cpu.rip))) {
		*code = (void *)target;
		*linear = v->cpu.rip;
		return OUT_OK;
	}
	return cache_find(v, code, linear);
}

/* What has to be seen to between two blocks. */
static enum outcome between(struct vcpu *v)
{
	if (v->private_data->smc_pending.count)
		mem_check_smc(v);
	if (__builtin_expect(v->vm->lost, 0))
		return OUT_ERROR;
	if (__atomic_load_n(&v->kicked, __ATOMIC_RELAXED) || (v->poll == (uint64_t *)8)) {
		unsigned why = take_kick(v);

		if (why & KICK_LOOK)
			irq_check_set(v, true);
		if (v->cpu.cpl == 3 && hostmap_tick(v))
			mode_update(v);
		if (why & KICK_LEAVE)
			return OUT_INTERRUPTED;
	}
	if (v->irq_check || v->cpu.nmi_pending)
		return deliver_interrupt(v);
	return OUT_OK;
}

/* INT and SYSCALL clear TF before it could trap behind them, SYSRET has trapped; what POPF and IRET clear still traps. */
static bool enters_handler(struct leaving l)
{
	if (l.why != LEAVE_EMULATE)
		return false;
	switch (((const struct emulated *)l.arg)->insn.mnemonic) {
	case ZYDIS_MNEMONIC_INT:
	case ZYDIS_MNEMONIC_INT1:
	case ZYDIS_MNEMONIC_INT3:
	case ZYDIS_MNEMONIC_INTO:
	case ZYDIS_MNEMONIC_SYSCALL:
	case ZYDIS_MNEMONIC_SYSRET:
		return true;
	default:
		return false;
	}
}

/* After one instruction in single-step mode. */
static enum outcome stepped(struct vcpu *v, unsigned dr6_bits)
{
	v->cpu.sti_shadow = 0;
	if (v->debug.step)
		return OUT_DEBUG;
	return event_debug(v, dr6_bits, true);
}

/* MOV SS holds them off for an instruction on Intel's processors (SDM 3A, 6.8.3), on AMD's it does not. */
static bool breakpoint_held(const struct vcpu *v)
{
	return v->cpu.sti_shadow == SHADOW_MOV_SS && !cpuid_policy_amd(vcpu_cpuid(v));
}

/* An instruction breakpoint here? True: its handler has been entered, or *out says why not. */
static bool fetch_breakpoint(struct vcpu *v, enum outcome *out)
{
	uint64_t linear =
		mode_code64(v) ? v->cpu.rip : (uint32_t)(v->cpu.seg[SEG_CS].base + v->cpu.rip);
	unsigned hits = debug_fetch(v, linear);

	if (!hits || v->cpu.rflags & FL_RF || breakpoint_held(v))
		return false;
	/* with what MOV SS has held back */
	hits |= v->private_data->breakpoints.held;
	v->private_data->breakpoints.held = 0;
	*out = event_debug(v, hits, false);
	return true;
}

static bool at_breakpoint(const struct vcpu *v)
{
	for (unsigned k = 0; k < v->debug.breakpoints && k < 64; k++)
		if (v->debug.breakpoint[k] == v->cpu.rip)
			return true;
	return false;
}

/*
 * Finds the code to run next; without any and OUT_OK, look again. In single-step mode, which one instruction after STI and a locked
 * access across pages also ask for, that is a block of one instruction.
 */
static enum outcome prepare(struct vcpu *v, void **code, uint64_t *linear)
{
	struct translate_vcpu *p = v->private_data;
	enum outcome out;

	if (!*code) {
		out = between(v);
		if (out == OUT_OK && v->cpu.dr7 & 0xff && fetch_breakpoint(v, &out))
			return out;
		if (out == OUT_OK && native_wanted(v)) {
			vcpu_vectors_save(v);
			return native_go(v);
		}
		if (out == OUT_OK)
			out = find(v, code, linear);
		if (out != OUT_OK)
			return out;
	}
	if ((v->cpu.sti_shadow || p->split_lock) && !stepping(v)) {
		p->mode |= MODE_STEP;
		out = cache_find(v, code, linear);
		if (out != OUT_OK) {
			v->cpu.sti_shadow = 0;
			mode_update(v);
			return out;
		}
	}
	return OUT_OK;
}

/* False: somebody else ran alone meanwhile, or the cache was flushed; look again. */
static bool execute(struct vcpu *v, void *code, uint64_t linear, uint32_t generation,
	struct leaving *l)
{
	struct translate_vcpu *p = v->private_data;
	/* what could run natively is looked at again at each page, jump, and return */
	const bool looks_up = v->cpu.cpl == 3 && native_runs(p->user->hostmap);
	struct left left;
	uint64_t flags;

	if (!vcpu_enter_code(v) || generation != cache_generation(&v->vm->cache)) {
		vcpu_exec_state(p, EXEC_OUTSIDE);
		return false;
	}
	if (stepping(v) || looks_up)
		__atomic_store_n(&v->jump_mask, 0, __ATOMIC_RELAXED);
	p->native_away = false;
	p->native_last &= v->cpu.cpl != 3;
	vcpu_vectors_restore(v);
	flags = v->cpu.rflags;
	p->breakpoints.hits = 0;
	v->cpu.rflags = flags & ~(uint64_t)(CODE_FLAGS | FL_RF);
	left = stub_enter(code, linear, flags);
	*l = leave_of(v, left);
	vcpu_exec_state(p, EXEC_OUTSIDE);
	if (looks_up)
		__atomic_store_n(&v->jump_mask, JUMP_MASK, __ATOMIC_RELAXED);
	v->cpu.rflags |= left.flags & CODE_FLAGS;
	return true;
}

/* What was so before an instruction that is stepped over. */
struct before {
	bool trap, shadow;
	uint64_t rip;
};

/* A kick, or a locked access in two pages, has sent it back before it did anything. */
static bool not_done(const struct vcpu *v, struct leaving l, struct before b, enum outcome out)
{
	return out == OUT_OK && v->cpu.rip == b.rip &&
		(l.why == LEAVE_FAULT || l.why == LEAVE_SIGNAL);
}

static unsigned mnemonic(struct leaving l)
{
	return l.why == LEAVE_EMULATE ? ((const struct emulated *)l.arg)->insn.mnemonic
				      : ZYDIS_MNEMONIC_INVALID;
}

/* Which debug traps follow the instruction, as bits of DR6 (SDM 3A 6.8.3, 3B 17.3). */
static unsigned debug_traps(struct vcpu *v, struct leaving l, struct before b)
{
	struct translate_vcpu *p = v->private_data;
	unsigned hits = p->breakpoints.hits | p->breakpoints.held;
	bool trap = b.trap;

	p->breakpoints.held = 0;
	if (trap && !(v->cpu.rflags & FL_TF) && enters_handler(l))
		trap = false;
	if (v->cpu.sti_shadow == SHADOW_MOV_SS) {
		p->breakpoints.held = (uint8_t)hits;
		return 0;
	}
	/* INT1 is in its handler already, which finds them there. */
	if (mnemonic(l) == ZYDIS_MNEMONIC_INT1) {
		v->cpu.dr6 |= hits;
		return 0;
	}
	return hits | (trap ? DR6_BS : 0);
}

static enum outcome after_step(struct vcpu *v, struct leaving l, struct before b, enum outcome out)
{
	unsigned traps;

	__atomic_store_n(&v->jump_mask, JUMP_MASK, __ATOMIC_RELAXED);
	if (not_done(v, l, b, out))
		return out;
	if (b.shadow && out != OUT_FAULT && l.why != LEAVE_EMULATE)
		v->cpu.sti_shadow = 0;
	mode_update(v);
	if (out != OUT_OK && out != OUT_HALT) {
		v->private_data->breakpoints.held = 0;
		return out;
	}
	traps = debug_traps(v, l, b);
	/*
	 * Between two elements of a REP (SDM 3B, 17.3.1.1); AMD's processors do not set it for a single
	 * step alone (seen of all REPs).
	 */
	if (traps && v->cpu.rip == b.rip && l.why == LEAVE_EMULATE &&
		((const struct emulated *)l.arg)->insn.class == INSN_STRING &&
		(traps != DR6_BS || !cpuid_policy_amd(vcpu_cpuid(v))))
		v->cpu.rflags |= FL_RF;
	/* a trap ends a halt that has just begun */
	if (traps || (v->debug.step && out == OUT_OK))
		out = stepped(v, traps);
	return out;
}

/* Runs the instruction whose locked access lies in two pages with all other vCPUs held. */
static bool alone(struct vcpu *v, void *code, uint64_t linear, uint32_t generation,
	struct leaving *l)
{
	struct translate_vcpu *p = v->private_data;
	bool done;

	vm_exclusive_begin(v);
	p->alone = true;
	done = execute(v, code, linear, generation, l);
	p->alone = false;
	vm_exclusive_end(v);
	if (done)
		p->split_lock = false;
	return done;
}

enum outcome translate_run(struct vcpu *v)
{
	struct translate_vcpu *p = v->private_data;
	void *code = NULL;
	uint64_t linear = 0;
	uint32_t generation = 0; /* of the cache before `code` was looked up */
	enum outcome out;
	bool first = true;

	for (;;) {
		struct before b;
		struct leaving l;
		bool step;

		if (!code)
			generation = cache_generation(&v->vm->cache);
		out = prepare(v, &code, &linear);
		if (out == OUT_OK && !code)
			continue;
		if (out == OUT_OK) {
			b = (struct before){v->cpu.rflags & FL_TF, v->cpu.sti_shadow, v->cpu.rip};
			step = stepping(v);
			if (step && !first && v->debug.breakpoints && at_breakpoint(v))
				return OUT_DEBUG;
			first = false;
			if (!(p->split_lock ? alone : execute)(v, code, linear, generation, &l)) {
				code = NULL;
				continue;
			}
			generation = cache_generation(&v->vm->cache);
			out = left(v, l, &code, &linear);
			if (step) {
				code = NULL;
				out = after_step(v, l, b, out);
			}
		}
		if (out == OUT_FAULT) {
			code = NULL;
			out = event_deliver_fault(v);
		}
		if (out != OUT_OK)
			return out;
	}
}
