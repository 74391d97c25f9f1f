/* SPDX-License-Identifier: Apache-2.0 */
/* The translating engine behind engine.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/translate/cache/dump.h"
#include "cpu/translate/cold.h"
#include "cpu/translate/emulate/emulate_image.h"
#include "cpu/translate/memory/mmu.h"
#include "cpu/translate/memory/walk.h"
#include "cpu/translate/run/exclusive.h"
#include "cpu/translate/run/run.h"
#include "cpu/translate/run/profile.h"
#include "cpu/translate/run/stubs.h"

#define CODE_CACHE_SIZE (256u << 20) /* unless the owner says otherwise */

/* What engine.h's users hold. */
static struct translate_vm *vm_of(struct engine_vm *e)
{
	return (struct translate_vm *)e;
}

static struct translate_vcpu *vcpu_of(struct engine_vcpu *e)
{
	return (struct translate_vcpu *)e;
}

static int probe(struct error *err)
{
	struct translate_host host;
	struct cpuid_source source;

	cpuid_host_source(&source);
	return translate_host(&host, &source, err);
}

/* --- the VM ------------------------------------------------------------------------------ */

static void *reserve(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void vm_destroy(struct engine_vm *e)
{
	struct translate_vm *vm = vm_of(e);

	cache_destroy(&vm->cache);
	vm_unmap_all(vm);
	hostmap_pool_destroy(vm);
	free(e);
}

static int vm_create(const struct engine_vm_config *config, struct engine_vm **out,
	struct error *err)
{
	struct translate_vm *vm = calloc(1, sizeof *vm);
	struct cpuid_source source;
	int r;

	if (!vm)
		return error_set(err, ENOMEM, "no memory for the guest");
	vm->config = *config;
	xsave_layout(&vm->layout, config->cpuid);
	vm->cache.fd = -1;
	vm->host_cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	vm->has_fsgsbase = translate_host_has_fsgsbase();
	cpuid_host_source(&source);
	r = translate_host(&vm->host, &source, err);
	if (!r)
		r = cache_create(&vm->cache,
			config->code_cache ? config->code_cache : CODE_CACHE_SIZE,
			config->profile && config->profile->perf_map, err);
	vm->cache.adx = vm->host.has_adx;
	if (!r)
		r = signal_setup(err);
	if (!r)
		r = profile_setup(config->profile, err);
	hostmap_pool_init(vm,
		config->no_windows              ? HOSTMAP_NEVER
			: config->native_always ? HOSTMAP_ALWAYS
						: HOSTMAP_AUTO);
	vm->native.always = config->native_always;
	if (r) {
		vm_destroy((struct engine_vm *)vm);
		return r;
	}
	*out = (struct engine_vm *)vm;
	return 0;
}

static int vm_processes(struct engine_vm *e, struct error *err)
{
	return native_pool_create(vm_of(e), vm_of(e)->config.vcpus, err);
}

static int map(struct engine_vm *e, const struct memory_region *region, struct error *err)
{
	return vm_map(vm_of(e), region, err);
}

static int unmap(struct engine_vm *e, uint64_t gpa, uint64_t size, struct error *err)
{
	return vm_unmap(vm_of(e), gpa, size, err);
}

static int protect(struct engine_vm *e, uint64_t gpa, uint64_t size, bool read_only,
	struct error *err)
{
	return vm_protect(vm_of(e), gpa, size, read_only, err);
}

static int door(struct engine_vm *e, uint64_t gpa, uint64_t size, struct error *err)
{
	return vm_door(vm_of(e), gpa, size, err);
}

static void log_rearm(struct engine_vm *e, const struct memory_region *part)
{
	vm_log_rearm(vm_of(e), part);
}

static void vm_written(struct engine_vm *e, uint64_t gpa, uint64_t size)
{
	cache_invalidate(vm_of(e), gpa, size);
}

static void vm_stats(struct engine_vm *e, FILE *out)
{
	static const char *const name[] = {
#define X(n) #n,
		COUNTERS(X)
#undef X
	};
	struct cache *c = &vm_of(e)->cache;
	struct cache_use use;

	for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
		uint64_t sum = 0;

		for (unsigned k = 0; k < vm_of(e)->vcpus; k++)
			sum += ((const uint64_t *)&vm_of(e)->vcpu[k]->v->count)[i];
		fprintf(out, "%-18s %llu\n", name[i], (unsigned long long)sum);
	}
	cache_usage(c, &use);
	fprintf(out, "%-18s %llu\n", "cache_hot_bytes", (unsigned long long)use.hot);
	fprintf(out, "%-18s %llu\n", "cache_cold_bytes", (unsigned long long)use.cold);
	fprintf(out, "%-18s %u\n", "cache_blocks", use.blocks);
	fprintf(out, "%-18s %u\n", "cache_dead", use.dead);
	fprintf(out, "%-18s %u\n", "cache_exits", use.exits);
	fprintf(out, "%-18s %u\n", "cache_fixups", use.fixups);
}

static void vm_write_profile(struct engine_vm *e)
{
	profile_report(vm_of(e));
}

static void vm_dump_block(struct engine_vm *e, uint64_t gpa, FILE *out)
{
	dump_blocks(vm_of(e), gpa, out);
}

/* --- vCPUs ---------------------------------------------------------------------------------- */

static void vcpu_destroy(struct engine_vcpu *e)
{
	struct translate_vcpu *p = vcpu_of(e);
	struct translate_vm *vm = p->v ? p->v->vm : NULL;

	if (vm)
		vm_unmap_vcpu(vm, p);
	if (p->v) {
		profile_thread_end(p->v);
		signal_thread_end(p->v);
	}
	for (unsigned i = CTX_USER_FIRST; i < CTX_COUNT; i++)
		hostmap_destroy(p->context[i].hostmap);
	tlb_destroy(p->context);
	insn_memo_destroy(p->memo);
	if (p->bounce)
		munmap(p->bounce, BOUNCE_SIZE);
	if (p->fd >= 0)
		close(p->fd);
	free(e);
}

static int vcpu_map(struct translate_vcpu *p, struct translate_vm *vm, struct error *err)
{
	p->fd = memfd_create("dach-vcpu", MFD_CLOEXEC);
	if (p->fd < 0 || ftruncate(p->fd, VCPU_PAGES_SIZE))
		return error_set(err, errno, "no memory for a vCPU: %s", strerror(errno));
	if (tlb_create(p->fd, stub_lookup, p->context, err))
		return -ENOMEM;
	/* where a kernel runs, both use one address: loads of what the other has just stored are quick */
	p->v = (struct vcpu *)p->context[CTX_SUPER].base;
	p->bounce = reserve(BOUNCE_SIZE);
	p->memo = insn_memo_create();
	if (!p->bounce || !p->memo)
		return error_set(err, ENOMEM, "no memory for a vCPU");
	p->v->vm = vm;
	p->v->private_data = p;
	return vm_map_vcpu(vm, p, err);
}

static void vcpu_init(struct vcpu *v, unsigned index)
{
	v->index = index;
	v->self = v;
	v->stub_leave = stub_leave;
	v->stub_slow = stub_slow;
	v->stub_commit = stub_commit;
	v->page_mask = ~4095ull;
	for (unsigned size = 0; size < LIMIT_SIZES; size++)
		v->limit[size] = tlb_limit(size);
	v->if_mask = ~(uint64_t)FL_IF;
	v->code_flags_mask = FL_STATUS | FL_DF;
	v->direction_mask = FL_DF;
	irq_check_set(v, false);
	v->jump_mask = JUMP_MASK;
	v->poll = &v->page_mask;
	v->vectors_saved = true;
	v->private_data->user = &v->private_data->context[CTX_USER_FIRST];
	v->private_data->user->pcid = 0;
	cpu_state_reset(&v->cpu);
	mode_update(v);
}

static int vcpu_create(struct engine_vm *e, unsigned index, struct engine_vcpu **out,
	struct error *err)
{
	struct translate_vm *vm = vm_of(e);
	struct translate_vcpu *p;
	int r;

	if (index != vm->vcpus || index >= VM_VCPUS)
		return error_set(err, EINVAL, "at most %u vCPUs", VM_VCPUS);
	p = aligned_alloc(64, (sizeof *p + 63) & ~63ul);
	if (!p)
		return error_set(err, ENOMEM, "no memory for a vCPU");
	memset(p, 0, sizeof *p);
	p->fd = -1;
	p->native_process = -1;
	r = vcpu_map(p, vm, err);
	if (r) {
		vcpu_destroy((struct engine_vcpu *)p);
		return r;
	}
	for (unsigned i = CTX_USER_FIRST; i < CTX_COUNT; i++)
		p->context[i].hostmap =
			hostmap_create(vm, (int64_t *)(p->context[i].base + CTX_HOSTMAP));
	vcpu_init(p->v, index);
	vm->vcpu[vm->vcpus++] = p;
	*out = (struct engine_vcpu *)p;
	return 0;
}

static uint64_t vcpu_time(struct engine_vcpu *e)
{
	struct translate_vm *vm = vcpu_of(e)->v->vm;
	uint64_t all = 0;

	for (unsigned k = 0; k < vm->vcpus; k++)
		all += vm->vcpu[k]->v->count.native_cycles;
	return all ? (uint64_t)((double)native_pool_time(vm) * vcpu_of(e)->v->count.native_cycles /
			     all)
		   : 0;
}

static enum engine_exit vcpu_run(struct engine_vcpu *e, struct error *err)
{
	struct vcpu *v = vcpu_of(e)->v;
	enum outcome out;

	if (signal_thread_setup(v, err) || profile_thread_start(v, err))
		return ENGINE_EXIT_ERROR;
	vcpu_of(e)->running = true;
	irq_check_set(v, true);
	v->tlb = NULL;
	mode_update(v);
	out = translate_run(v);
	if (v->vm->lost)
		out = OUT_ERROR;
	mem_check_smc(v);
	vcpu_vectors_save(v);
	vcpu_of(e)->running = false;
	switch (out) {
	case OUT_INTERRUPTED:
		return ENGINE_EXIT_INTERRUPTED;
	case OUT_HALT:
		v->count.halt++;
		return ENGINE_EXIT_HALT;
	case OUT_SHUTDOWN:
		return ENGINE_EXIT_SHUTDOWN;
	case OUT_DEBUG:
		return ENGINE_EXIT_DEBUG;
	default:
		if (v->vm->lost)
			error_set(err, EIO, "a page of the guest's memory cannot be had");
		error_set(err, EIO, "the translating engine failed at RIP %#llx",
			(unsigned long long)v->cpu.rip);
		return ENGINE_EXIT_ERROR;
	}
}

static void vcpu_kick(struct engine_vcpu *e, bool force)
{
	vcpu_interrupt(vcpu_of(e)->v, KICK_LOOK | (force ? KICK_LEAVE : 0));
}

static void vcpu_nmi(struct engine_vcpu *e)
{
	__atomic_store_n(&vcpu_of(e)->v->cpu.nmi_pending, 1, __ATOMIC_SEQ_CST);
	vcpu_interrupt(vcpu_of(e)->v, KICK_LOOK);
}

static bool vcpu_interruptible(struct engine_vcpu *e)
{
	return vcpu_of(e)->v->cpu.rflags & FL_IF;
}

static void vcpu_get_state(struct engine_vcpu *e, struct cpu_state *state)
{
	image_begin(vcpu_of(e)->v);
	*state = vcpu_of(e)->v->cpu;
}

static int vcpu_set_state(struct engine_vcpu *e, const struct cpu_state *state, struct error *err)
{
	struct vcpu *v = vcpu_of(e)->v;
	const struct cpuid_policy *policy = vcpu_cpuid(v);
	const char *wrong =
		xsave_check(state->xsave, policy->xcr0 ? policy->xcr0 : XCR0_X87 | XCR0_SSE,
			vcpu_of(e)->v->vm->layout.mxcsr_mask);

	if (wrong)
		return error_set(err, EINVAL, "%s", wrong);
	v->vectors_saved = true;
	v->cpu = *state;
	xsave_settle(v->cpu.xsave, &policy->area);
	mmu_flush_all(v);
	mode_update(v);
	return 0;
}

static void vcpu_debug(struct engine_vcpu *e, const struct engine_debug *debug)
{
	vcpu_of(e)->v->debug = *debug;
	mode_update(vcpu_of(e)->v);
}

static int vcpu_translate(struct engine_vcpu *e, uint64_t gva, uint64_t *gpa)
{
	struct walk w;
	uint32_t error;

	if (mmu_walk(vcpu_of(e)->v, gva, (struct walk_access){.peek = true}, &w, &error))
		return -EFAULT;
	*gpa = w.gpa;
	return 0;
}

#define TRIM_BLOCKS 2048u /* of more than a KiB each with their tables */

static bool vm_trim(struct engine_vm *e)
{
	struct translate_vm *vm = vm_of(e);

	for (unsigned k = 0; k < vm->vcpus; k++)
		for (unsigned n = 0; n < CTX_COUNT; n++)
			tlb_trim(&vm->vcpu[k]->context[n]);
	return cache_trim(vm, TRIM_BLOCKS);
}

const struct engine engine_translate = {
	.name = "translate",
	.kind = CPUID_TRANSLATE,
	.makes_huge_pages = true,
	.probe = probe,
	.vm_create = vm_create,
	.vm_destroy = vm_destroy,
	.vm_processes = vm_processes,
	.probe_processes = native_probe,
	.vm_map = map,
	.vm_unmap = unmap,
	.vm_protect = protect,
	.vm_door = door,
	.vm_log_rearm = log_rearm,
	.vm_written = vm_written,
	.vcpu_create = vcpu_create,
	.vcpu_destroy = vcpu_destroy,
	.vcpu_time = vcpu_time,
	.vcpu_run = vcpu_run,
	.vcpu_kick = vcpu_kick,
	.vcpu_nmi = vcpu_nmi,
	.vcpu_interruptible = vcpu_interruptible,
	.vcpu_get_state = vcpu_get_state,
	.vcpu_set_state = vcpu_set_state,
	.vcpu_debug = vcpu_debug,
	.vcpu_translate = vcpu_translate,
	.vm_trim = vm_trim,
	.vm_stats = vm_stats,
	.vm_write_profile = vm_write_profile,
	.vm_dump_block = vm_dump_block,
};
