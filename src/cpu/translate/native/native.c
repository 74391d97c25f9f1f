/* SPDX-License-Identifier: Apache-2.0 */
/* The way into a mirror and out of it, and what a signal there means to the guest. */
#include "cpu/translate/native/native.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/emulate/event.h"
#include "cpu/translate/emulate/segment.h"
#include "cpu/translate/memory/hostmap_internal.h"
#include "cpu/translate/memory/mmu.h"
#include "cpu/translate/native/mirror.h"
#include "cpu/translate/run/exclusive.h"

/* Flags that a program sets by itself. */
#define USER_FLAGS (FL_STATUS | FL_DF | FL_TF | FL_NT | FL_AC | FL_ID)
/* Linux: a page of calls, which a kernel does in the program's stead. */
#define VSYSCALL 0xffffffffff600000ull

/* --- the mirrors ----------------------------------------------------------------------------------- */

static uint32_t area_size(const struct xsave_layout *l)
{
	uint32_t end = XSAVE_END;

	for (unsigned i = 2; i < COMP_COUNT; i++)
		if (l->size[i] && end < (uint32_t)l->offset[i] + l->size[i])
			end = (uint32_t)l->offset[i] + l->size[i];
	return (end + 63) & ~63u;
}

int native_probe(struct error *err)
{
	struct mirror m;
	int r = mirror_create(&m, XSAVE_END, err);

	if (!r)
		mirror_destroy(&m);
	return r;
}

int native_pool_create(struct translate_vm *vm, unsigned vcpus, struct error *err)
{
	struct native_pool *pool = &vm->native;
	unsigned wanted = 2 * vcpus + 1;
	int r;

	if (wanted > NATIVE_MIRRORS)
		wanted = NATIVE_MIRRORS;
	pool->mirror = calloc(wanted, sizeof *pool->mirror);
	if (!pool->mirror)
		return error_set(err, ENOMEM, "no memory for native code");
	while (pool->mirrors < wanted) {
		r = mirror_create(&pool->mirror[pool->mirrors], area_size(&vm->config.cpuid->area),
			err);

		if (r && pool->mirrors)
			break; /* some are better than none */
		if (r) {
			native_pool_destroy(vm);
			return r;
		}
		pool->mirrors++;
	}
	native_patches_create(&pool->patches);
	return 0;
}

void native_pool_destroy(struct translate_vm *vm)
{
	struct native_pool *pool = &vm->native;

	while (pool->mirrors)
		mirror_destroy(&pool->mirror[--pool->mirrors]);
	free(pool->mirror);
	pool->mirror = NULL;
	native_patches_destroy(&pool->patches);
}

uint64_t native_pool_time(const struct translate_vm *vm)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < vm->native.mirrors; i++) {
		struct timespec used;

		if (!clock_gettime(MIRROR_CLOCK(vm->native.mirror[i].pid), &used))
			sum += (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
	}
	return sum;
}

void native_forget(struct translate_vm *vm)
{
	static const uint64_t files[6] = {0, ~0u, 0};

	for (unsigned i = 0; i < vm->native.mirrors; i++) {
		struct mirror *m = &vm->native.mirror[i];
		long result;

		if (m->files && !m->dead &&
			(!mirror_wipe(m) || !mirror_call(m, SYS_close_range, files, &result) ||
				result))
			mirror_kill(m);
		m->files = 0;
	}
	native_patches_forget(&vm->native.patches);
}

/* --- what is mapped there -------------------------------------------------------------------------- */

/* The number that one of our descriptors has there, or -1. */
static int file_there(struct mirror *m, int fd)
{
	int there;

	for (unsigned i = 0; i < m->files; i++)
		if (m->file[i].here == fd)
			return m->file[i].there;
	if (m->files == MIRROR_FILES)
		return -1;
	there = mirror_give(m, fd);
	if (there < 0)
		return -1;
	m->file[m->files].here = fd;
	m->file[m->files++].there = there;
	return there;
}

/* False: nothing is to be done; a page that could not be mapped is only missing. */
static bool request_of(struct mirror *m, const struct mirror_order *o, struct mirror_request *r)
{
	uint64_t size = o->at + o->size > MIRROR_END ? MIRROR_END - o->at : o->size;
	int fd = o->fd < 0 ? -1 : file_there(m, o->fd);

	*r = (struct mirror_request){.number = SYS_munmap, .arg = {o->at, size}};
	if (o->prot) {
		r->number = SYS_mprotect;
		r->arg[2] = (uint64_t)o->prot;
	}
	if (o->fd >= 0) {
		r->number = SYS_mmap;
		r->arg[3] = MAP_SHARED | MAP_FIXED | MAP_POPULATE;
		r->arg[4] = (uint64_t)fd;
		r->arg[5] = o->offset;
	}
	return o->fd < 0 || fd >= 0;
}

/* What is mapped last of all, with the program's start. */
struct last_maps {
	unsigned count;
	struct mirror_request request[ORDERS];
};

/* All but the last maps. False: the mirror cannot be trusted to have done it. */
static bool carry_out(struct mirror *m, const struct mirror_order *o, unsigned orders,
	struct last_maps *last)
{
	struct mirror_request *r = last->request;
	long result;

	for (unsigned i = 0, n; i < orders;) {
		/* what is mapped one after the other, and then what is taken away, which has to have been done */
		for (n = 0; i < orders && o[i].fd >= 0; i++)
			n += request_of(m, &o[i], &r[n]);
		if (i == orders) {
			last->count = n;
			break;
		}
		if (n && !mirror_calls(m, r, n, &result))
			return false;
		if (!request_of(m, &o[i++], r) || !mirror_calls(m, r, 1, &result) || result)
			return false;
	}
	return true;
}

/*
 * All that has been ordered since it ran; not with the lock held, which others wait for. Who orders something meanwhile waits
 * until this vCPU has come back from where it is going.
 */
static bool carry_out_all(struct hostmap *w, struct last_maps *last)
{
	struct mirror *m = w->mirror;
	struct mirror_order order[ORDERS];
	unsigned orders;
	bool wipe;

	last->count = 0;
	lock_take(&w->vm->pool.lock);
	if (w->orders > ORDERS)
		hostmap_empty(w);
	orders = w->orders;
	memcpy(order, w->order, orders * sizeof *order);
	wipe = w->wipe;
	w->wipe = false;
	w->orders = 0;
	lock_drop(&w->vm->pool.lock);
	return (!wipe || mirror_wipe(m)) && (carry_out(m, order, orders, last) || mirror_wipe(m));
}

/* --- in ---------------------------------------------------------------------------------------------- */

/* Whoever pins a vCPU's thread means its programs. Looked at now and then: it takes a call or two. */
#define FOLLOW_TRIPS 128u

static void follow_thread(const struct vcpu *v, struct mirror *m)
{
	cpu_set_t set;

	if (m->trips++ % FOLLOW_TRIPS || sched_getaffinity(0, sizeof set, &set) ||
		CPU_EQUAL(&set, &m->processors))
		return;
	if (!sched_setaffinity(m->pid, sizeof set, &set))
		m->processors = set;
}

static void fill_in(struct vcpu *v, struct mirror *m)
{
	struct stub_control *c = m->control;

	memcpy(c->gpr, v->cpu.gpr, sizeof c->gpr);
	c->rip = v->cpu.rip;
	c->rflags = (v->cpu.rflags & USER_FLAGS) | FL_IF | 2;
	c->fs_base = v->cpu.seg[SEG_FS].base;
	c->gs_base = v->cpu.seg[SEG_GS].base;
	c->ds = v->cpu.seg[SEG_DS].selector;
	c->es = v->cpu.seg[SEG_ES].selector;
	c->fs = v->cpu.seg[SEG_FS].selector;
	c->gs = v->cpu.seg[SEG_GS].selector;
	memcpy(c->xsave, v->cpu.xsave, m->area);
	c->vectors = v->vm->host.vectors;
	c->touch = *xsave_bv(v->cpu.xsave) >> COMP_ZMM_HI & 1;
}

/* --- out --------------------------------------------------------------------------------------------- */

/* The program is not where it says: as after an instruction that may not be executed. */
static enum outcome astray(struct vcpu *v)
{
	v->count.native_astray++;
	return fault_raise_error(v, EXC_GP, 0);
}

static bool take_vectors(struct vcpu *v, const struct mirror *m, const struct mirror_exit *e)
{
	uint8_t *x = v->cpu.xsave;
	uint32_t mxcsr;

	if (!e->xsave)
		return false;
	memcpy(x, e->xsave, m->area);
	*xsave_bv(x) &= v->vm->host.vectors;
	memset(x + XSAVE_COMP_BV, 0, XSAVE_END - XSAVE_COMP_BV);
	memcpy(&mxcsr, x + XSAVE_MXCSR, sizeof mxcsr);
	mxcsr &= v->vm->layout.mxcsr_mask;
	memcpy(x + XSAVE_MXCSR, &mxcsr, sizeof mxcsr);
	/* the kernel leaves notes for itself there */
	memset(x + XSAVE_XMM_END, 0, XSAVE_BV - XSAVE_XMM_END);
	xsave_settle(x, &vcpu_cpuid(v)->area);
	return true;
}

static enum outcome take_code_segment(struct vcpu *v, uint16_t selector)
{
	struct descriptor d;
	struct segment s;
	enum outcome out = descriptor_read(v, selector, false, EXC_GP, 0, &d);

	if (out)
		return out;
	descriptor_unpack(&s, selector, &d);
	if ((s.attr & (SEG_ATTR_S | TYPE_CODE | SEG_ATTR_P)) !=
			(SEG_ATTR_S | TYPE_CODE | SEG_ATTR_P) ||
		SEG_ATTR_DPL(s.attr) != 3 || (selector & 3) != 3)
		return fault_raise_error(v, EXC_GP, selector & ~3u);
	v->cpu.seg[SEG_CS] = s;
	return OUT_OK;
}

/* Segment registers that the program has loaded: from the guest's tables, as they would have been there. */
static enum outcome take_segments(struct vcpu *v, const struct mirror_exit *e)
{
	const struct {
		unsigned seg;
		uint16_t selector;
	} reg[] = {{SEG_SS, e->ss}, {SEG_DS, e->ds}, {SEG_ES, e->es}, {SEG_FS, e->fs},
		{SEG_GS, e->gs}};
	enum outcome out = OUT_OK;

	for (unsigned i = 0; i < sizeof reg / sizeof *reg && !out; i++)
		if (reg[i].selector != v->cpu.seg[reg[i].seg].selector)
			out = segment_load(v, reg[i].seg, reg[i].selector);
	if (!out && e->cs != v->cpu.seg[SEG_CS].selector)
		out = take_code_segment(v, e->cs);
	return out;
}

/* A user program's registers, whatever else the frame may say. */
static enum outcome take_state(struct vcpu *v, const struct mirror *m, const struct mirror_exit *e)
{
	enum outcome out;

	if (!canonical_ok(e->rip) || !canonical_ok(e->fs_base) || !canonical_ok(e->gs_base) ||
		!take_vectors(v, m, e))
		return astray(v);
	memcpy(v->cpu.gpr, e->gpr, sizeof v->cpu.gpr);
	v->cpu.rip = e->rip;
	v->cpu.rflags =
		(v->cpu.rflags & ~(uint64_t)(USER_FLAGS | FL_RF)) | (e->rflags & USER_FLAGS);
	v->cpu.seg[SEG_FS].base = e->fs_base;
	v->cpu.seg[SEG_GS].base = e->gs_base;
	out = take_segments(v, e);
	mode_update(v);
	return out;
}

static void weigh(struct vcpu *v, unsigned weight)
{
	if (native_weigh(v, weight))
		mode_update(v);
}

/* Translated code does what is next. */
static enum outcome away(struct vcpu *v)
{
	v->private_data->native_away = true;
	v->count.native_away++;
	weigh(v, NATIVE_CALL_WEIGHT);
	return OUT_OK;
}

static enum outcome page_missing(struct vcpu *v, const struct mirror_exit *e)
{
	const struct walk_access how = {.user = true,
		.write = e->error & PF_WRITE,
		.fetch = e->error & PF_FETCH};
	unsigned access = how.fetch ? ACC_FETCH : how.write ? ACC_WRITE : ACC_READ;
	struct walk w;
	uint32_t error;

	v->count.native_fault++;
	if (!canonical_ok(e->address))
		return away(v);
	if (how.fetch)
		native_patches_renew(v);
	if (hostmap_reach_native(v, e->address, access)) {
		weigh(v, NATIVE_PAGE_WEIGHT);
		return OUT_OK;
	}
	if (mmu_walk(v, e->address, how, &w, &error) >= 0 || v->vm->lost)
		return away(v);
	v->private_data->user->hostmap->expected = e->address;
	weigh(v, NATIVE_FAULT_WEIGHT);
	return mmu_page_fault(v, e->address, error);
}

static enum outcome trapped(struct vcpu *v, const struct mirror_exit *e)
{
	if (e->trap == EXC_DB && e->code == TRAP_TRACE)
		return event_debug(v, DR6_BS, true);
	/* INT3 and INT1 have been passed */
	if (e->trap == EXC_BP || e->trap == EXC_DB)
		v->cpu.rip--;
	return away(v);
}

static enum outcome called(struct vcpu *v, const struct mirror_exit *e)
{
	v->count.native_call++;
	if ((e->call & ~4095ull) == VSYSCALL) {
		/* the host's kernel has been about to do it, and has returned instead */
		v->cpu.rip = e->call;
		v->cpu.gpr[RSP] -= 8;
	} else {
		v->cpu.rip -= 2;
	}
	return away(v);
}

/*
 * Linux lets nobody watch two calls (uretprobe and uprobe, since 6.14), and raises SIGILL by itself. Their
 * numbers are gone then; a guest answers both alike.
 */
#define CALL_URETPROBE 335u

static enum outcome called_early(struct vcpu *v)
{
	v->cpu.gpr[RAX] = CALL_URETPROBE;
	v->cpu.rip -= 2;
	v->count.native_call++;
	return away(v);
}

/* Something from outside has ended the mirror. The program goes on with another, or translated. */
static void bury(struct vcpu *v)
{
	v->count.native_lost++;
	lock_take(&v->vm->pool.lock);
	native_release(v->private_data->user->hostmap);
	lock_drop(&v->vm->pool.lock);
	mode_update(v);
}

static enum outcome came_back(struct vcpu *v, struct mirror *m, const struct mirror_exit *e)
{
	enum outcome out;

	if (m->dead)
		bury(v);
	if (e->why == MIRROR_NOTHING)
		return OUT_OK;
	if (e->why != MIRROR_SIGNAL)
		return astray(v);
	out = take_state(v, m, e);
	if (out)
		return out;
	switch (e->signal) {
	case MIRROR_KICK:
		return OUT_OK;
	case SIGSYS:
		return called(v, e);
	case SIGILL:
		/* a fault of the processor has a reason of its own, and does not pass RCX on */
		return e->code == SI_KERNEL && e->gpr[RCX] == e->rip ? called_early(v) : away(v);
	case SIGTRAP:
		return trapped(v, e);
	case SIGSEGV:
		return e->trap == EXC_PF ? page_missing(v, e) : away(v);
	default:
		return away(v);
	}
}

enum outcome native_go(struct vcpu *v)
{
	struct translate_vcpu *p = v->private_data;
	struct hostmap *w = p->user->hostmap;
	struct mirror *m = w->mirror;
	static const uint64_t nothing[6];
	struct mirror_exit e = {.why = MIRROR_NOTHING};
	struct last_maps last;
	uint64_t start;
	bool runs;
	long result;

	hostmap_expected(v);
	if (!vcpu_enter_code(v)) {
		vcpu_exec_state(p, EXEC_OUTSIDE);
		return OUT_OK;
	}
	if (!carry_out_all(w, &last)) {
		mirror_kill(m);
	} else {
		follow_thread(v, m);
		fill_in(v, m);
		__atomic_store_n(&p->native_process, m->process, __ATOMIC_SEQ_CST);
		runs = !__atomic_load_n(&v->kicked, __ATOMIC_SEQ_CST);
		if (runs) {
			v->count.native_trip++;
			p->native_last = true;
			start = __builtin_ia32_rdtsc();
			mirror_run(m, last.request, last.count, &e);
			v->count.native_cycles += __builtin_ia32_rdtsc() - start;
		} else if (last.count) {
			mirror_calls(m, last.request, last.count, &result);
		}
		/* a kick that finds it waiting takes of its stack, up to the next answer */
		if (__atomic_exchange_n(&p->native_process, -1, __ATOMIC_SEQ_CST) < 0 && !runs)
			mirror_call(m, SYS_getpid, nothing, &result);
	}
	vcpu_exec_state(p, EXEC_OUTSIDE);
	return came_back(v, m, &e);
}
