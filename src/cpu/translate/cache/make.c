/* SPDX-License-Identifier: Apache-2.0 */
/* Making a block: reading guest code, decoding it, handing it to the code generator. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <Zydis/Mnemonic.h>

#include "cpu/translate/cache/cache_internal.h"
#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen.h"
#include "cpu/translate/run/exclusive.h"

#define TABLE_MAX (2 * CACHE_BLOCKS)
#define HUGE_PAGE (2u << 20)

/* Memory that costs nothing until it is touched. */
static void *reserve(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int refused(int error, struct error *err)
{
	return error == ENOMEM
		? error_set(err, ENOMEM,
			  "no address space is left for translated code: is there a limit ('ulimit -v unlimited' lifts it)?")
		: error_set(err, error, "this host does not let a program make code: %s",
			  strerror(error));
}

/* perf asks its map only about memory that no file is behind; a memfd counts as a file there. */
static int map_nameless(struct cache *c, uint32_t size, struct error *err)
{
	c->write = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	c->exec = c->write == MAP_FAILED ? MAP_FAILED : mremap(c->write, 0, size, MREMAP_MAYMOVE);
	if (c->exec == MAP_FAILED || mprotect(c->exec, size, PROT_READ | PROT_EXEC))
		return refused(errno, err);
	return 0;
}

/* At an address where huge pages may begin. */
static void *map_aligned(uint32_t size, int prot, int fd)
{
	uint8_t *area = mmap(NULL, (size_t)size + HUGE_PAGE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *at = (uint8_t *)(((uintptr_t)area + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));

	if (area == MAP_FAILED)
		return area;
	if (at > area)
		munmap(area, (size_t)(at - area));
	munmap(at + size, HUGE_PAGE - (size_t)(at - area));
	return mmap(at, size, prot, MAP_SHARED | MAP_FIXED, fd, 0);
}

/*
 * Code in line comes to lie in huge pages, 2 MiB at a time as it grows: large programs would spend a
 * good part of their time on misses of the host's TLB for instructions. Not before there is some in it: Linux waits
 * for all processors meanwhile, and a guest that does little would have memory for code that it never has.
 */
#define COLLAPSE_FROM (HUGE_PAGE / 4)

static void collapse(struct cache *c)
{
	uint32_t piece = (c->hot - COLLAPSE_FROM) / HUGE_PAGE;

	if (c->hot < COLLAPSE_FROM || c->fd < 0 || c->collapsed >> piece & 1 ||
		(piece + 1) * HUGE_PAGE > c->size)
		return;
	c->collapsed |= 1ull << piece;
	madvise(c->exec + piece * HUGE_PAGE, 4096, 22 /* MADV_POPULATE_READ */);
	madvise(c->exec + piece * HUGE_PAGE, HUGE_PAGE, 25 /* MADV_COLLAPSE */);
}

#define STEP (128u << 10)

/*
 * Host memory for what will be written next, a step at a time: half the price of a page fault for
 * each page. `end`: how far the next block may come.
 */
static void ahead(void *base, uint64_t end, uint64_t size, uint32_t *ready)
{
	uint32_t step = (uint32_t)(end / STEP);

	if (step == *ready || (step + 1ull) * STEP > size)
		return;
	*ready = step;
	madvise((uint8_t *)base + (uint64_t)step * STEP, STEP, 23 /* MADV_POPULATE_WRITE */);
}

static void all_ahead(struct cache *c)
{
	ahead(c->write, c->cold + GEN_COLD_MAX, c->size, &c->ready_cold);
	ahead(c->block, (c->part_blocks[c->part] + 1) * sizeof *c->block,
		CACHE_BLOCKS * sizeof *c->block, &c->ready_blocks);
	ahead(c->exit, (c->exits + GEN_EXITS_MAX) * sizeof *c->exit, CACHE_EXITS * sizeof *c->exit,
		&c->ready_exits);
}

static int map_code(struct cache *c, uint32_t size, struct error *err)
{
	c->fd = memfd_create("dach-code", MFD_CLOEXEC);
	if (c->fd < 0 || ftruncate(c->fd, size))
		return error_set(err, errno, "cannot make the code cache: %s", strerror(errno));
	c->write = map_aligned(size, PROT_READ | PROT_WRITE, c->fd);
	c->exec = map_aligned(size, PROT_READ | PROT_EXEC, c->fd);
	if (c->write == MAP_FAILED || c->exec == MAP_FAILED)
		return refused(errno, err);
	return 0;
}

int cache_create(struct cache *c, uint32_t size, bool rips, struct error *err)
{
	int r = (rips ? map_nameless : map_code)(c, size, err);

	if (r)
		return r;
	c->size = size;
	c->cold_start = size / 5 * 2 & ~4095u;
	/* parts that hold a few of the largest blocks at least */
	c->parts = (c->cold_start - CODE_START) / (4 * GEN_HOT_MAX);
	c->parts = c->parts < 1 ? 1 : c->parts > CACHE_PARTS ? CACHE_PARTS : c->parts;
	c->part_hot = (c->cold_start - CODE_START) / c->parts & ~63u;
	c->part_cold = (size - c->cold_start) / c->parts & ~63u;
	c->block = reserve(CACHE_BLOCKS * sizeof *c->block);
	c->exit = reserve(CACHE_EXITS * sizeof *c->exit);
	c->fixup = reserve(CACHE_FIXUPS * sizeof *c->fixup);
	c->insn = reserve(CACHE_INSNS);
	c->insn_hashes = reserve(CACHE_PARTS * CACHE_INSN_HASH * sizeof *c->insn_hashes);
	c->table = (struct hash_table){.slot = reserve(TABLE_MAX * sizeof *c->table.slot),
		.slots = TABLE_SLOTS_MIN,
		.max = TABLE_MAX};
	c->crossing = reserve(CACHE_CROSSINGS * sizeof *c->crossing);
	c->rip = rips ? reserve(CACHE_BLOCKS * sizeof *c->rip) : NULL;
	if ((rips && !c->rip) || !c->block || !c->exit || !c->fixup || !c->insn ||
		!c->insn_hashes || !c->table.slot || !c->crossing)
		return refused(ENOMEM, err);
	for (unsigned i = c->parts; i-- > 0;)
		cache_begin_part(c, i);
	return 0;
}

static void release(void *p, size_t size)
{
	if (p && p != MAP_FAILED)
		munmap(p, size);
}

void cache_destroy(struct cache *c)
{
	release(c->write, c->size);
	release(c->exec, c->size);
	release(c->block, CACHE_BLOCKS * sizeof *c->block);
	release(c->exit, CACHE_EXITS * sizeof *c->exit);
	release(c->fixup, CACHE_FIXUPS * sizeof *c->fixup);
	release(c->insn, CACHE_INSNS);
	release(c->insn_hashes, CACHE_PARTS * CACHE_INSN_HASH * sizeof *c->insn_hashes);
	release(c->table.slot, TABLE_MAX * sizeof *c->table.slot);
	release(c->crossing, CACHE_CROSSINGS * sizeof *c->crossing);
	release(c->rip, CACHE_BLOCKS * sizeof *c->rip);
	if (c->fd >= 0)
		close(c->fd);
}

static bool has_room(const struct cache *c)
{
	return c->hot + GEN_HOT_MAX < c->hot_end && c->cold + GEN_COLD_MAX < c->cold_end &&
		c->part_blocks[c->part] < (c->part + 1) * (CACHE_BLOCKS / CACHE_PARTS) &&
		c->exits + GEN_EXITS_MAX < c->exits_end &&
		c->fixups + GEN_FIXUPS_MAX < c->fixups_end &&
		c->insns + BLOCK_MAX_INSNS * sizeof(struct emulated) < c->insns_end;
}

/* --- watching pages --------------------------------------------------------------------- */

/*
 * Takes write permission for the page from everyone, before its bytes are read. This may take until
 * another vCPU's thread runs again: a lock of its own.
 */
static void watch(struct vcpu *v, struct region *r, uint64_t gpa)
{
	struct translate_vm *vm = v->vm;
	struct page *page = region_page(r, gpa);
	size_t number = (gpa - r->gpa) >> 12;
	const void *host = r->host + (number << 12);

	if (__atomic_load_n(&page->has_code, __ATOMIC_ACQUIRE) == PAGE_WATCHED)
		return;
	lock_take(&vm->cache.watching);
	if (page->has_code == PAGE_WATCHED) {
		lock_drop(&vm->cache.watching);
		return;
	}
	__atomic_store_n(&page->has_code, PAGE_WATCHING, __ATOMIC_SEQ_CST);
	hostmap_demote(v, host);
	for (unsigned k = 0; k < vm->vcpus; k++) {
		struct translate_vcpu *p = vm->vcpu[k];
		uint32_t *hint = &p->write_hint[r - vm->region][number];
		uint32_t where = __atomic_exchange_n(hint, 0, __ATOMIC_SEQ_CST);
		bool found = false;

		if (!where)
			continue;
		for (unsigned n = 0; n < CTX_COUNT; n++)
			found |= tlb_demote(&p->context[n], host, where);
		if (found)
			vcpu_wait_for_store(v, p);
	}
	__atomic_store_n(&page->has_code, PAGE_WATCHED, __ATOMIC_RELEASE);
	lock_drop(&vm->cache.watching);
}

/* --- decoding ----------------------------------------------------------------------------- */

struct source {
	const uint8_t *bytes;
	unsigned room;      /* bytes to the end of the page */
	uint8_t joined[16]; /* an instruction that lies in two pages */
};

/* The instruction at the end of a page, with what it needs from the next one. */
static enum outcome join(struct vcpu *v, uint64_t linear, struct source *s, struct decoded *d)
{
	uint64_t next = (linear | 4095) + 1;
	struct region *r;
	enum outcome out;

	out = mmu_fetch(v, next, &d->gpa2);
	if (out)
		return out;
	r = vm_region(v->vm, d->gpa2);
	memcpy(s->joined, s->bytes, s->room);
	if (r) {
		watch(v, r, d->gpa2);
		memcpy(s->joined + s->room, r->host + (d->gpa2 - r->gpa), 16 - s->room);
	} else {
		memset(s->joined + s->room, 0xff, 16 - s->room);
	}
	d->crosses = r;
	return OUT_OK;
}

static enum outcome decode(struct vcpu *v, uint64_t linear, uint32_t mode, bool locked,
	struct source *s, struct decoded *d)
{
	unsigned bits = (mode & MODE_BITS) == MODE_64 ? 64
		: (mode & MODE_BITS) == MODE_32       ? 32
						      : 16;
	struct insn *insns = d->insn;
	unsigned at = 0, n = 0, limit = mode & MODE_STEP ? 1 : BLOCK_MAX_INSNS;

	while (n < limit && at < s->room) {
		int r = insn_memo_decode(v->private_data->memo, &insns[n], s->bytes + at,
			s->room - at < 15 ? s->room - at : 15, bits, vcpu_cpuid(v));

		if (r == -EAGAIN && n == 0) {
			enum outcome out = OUT_OK;

			/* two pages have to stay as they are */
			d->unsure = !locked;
			if (locked)
				out = join(v, linear, s, d);
			if (out || !locked)
				return out;
			insn_decode(&insns[0], s->joined, 15, bits, vcpu_cpuid(v));
			n = 1;
			break;
		}
		if (r == -EAGAIN) {
			d->next_crosses = true;
			break;
		}
		/* where there are other vCPUs to make way for, it leaves */
		if (insns[n].mnemonic == ZYDIS_MNEMONIC_PAUSE && v->vm->config.vcpus > 1)
			insns[n].class = INSN_EMULATE;
		at += insns[n].length;
		if (gen_ends(mode, &insns[n++]))
			break;
	}
	d->count = n;
	return OUT_OK;
}

static void enlist(struct cache *c, struct region *r, uint64_t gpa, uint32_t index, unsigned slot,
	unsigned first, unsigned last)
{
	struct page *page = region_page(r, gpa);

	c->block[index].next_in_page[slot] = page->first_block;
	page->first_block = index;
	page->lines |= cache_lines(first, last);
}

enum outcome cache_decode(struct vcpu *v, uint64_t linear, uint64_t gpa, uint32_t mode, bool locked,
	struct decoded *d)
{
	struct region *r = vm_region(v->vm, gpa);
	struct source s = {.room = 4096 - (gpa & 4095)};
	uint64_t since = __builtin_ia32_rdtsc();
	enum outcome out;

	d->crosses = d->next_crosses = d->unsure = false;
	d->gpa2 = 0;
	if (!r)
		return fault_raise(v, EXC_UD); /* code in device memory */
	watch(v, r, gpa);
	s.bytes = r->host + (gpa - r->gpa);
	out = decode(v, linear, mode, locked, &s, d);
	v->count.make_cycles += __builtin_ia32_rdtsc() - since;
	return out;
}

uint32_t cache_make(struct vcpu *v, uint64_t linear, uint64_t gpa, uint32_t mode, struct decoded *d)
{
	struct cache *c = &v->vm->cache;
	uint64_t since = __builtin_ia32_rdtsc();
	unsigned size = 0, start = gpa & 4095, last;
	uint32_t index;
	struct tblock *b;

	if (!has_room(c))
		return 0;
	collapse(c);
	all_ahead(c);
	index = c->part_blocks[c->part];
	b = &c->block[index];
	*b = (struct tblock){.gpa = gpa,
		.base = mode & MODE_HOSTMAP ? linear & ~4095ull : 0,
		.mode = mode,
		.second_page = (uint32_t)(d->gpa2 >> 12)};
	d->count = gen_block(c, b, index, d->insn, d->count, start, d->next_crosses);
	for (unsigned k = 0; k < d->count; k++)
		size += d->insn[k].length;
	last = start + size - 1;
	b->size = (uint16_t)size;
	b->insns = (uint8_t)d->count;
	b->crosses = d->crosses && last > 4095;
	if (c->rip)
		c->rip[index] = linear;
	enlist(c, vm_region(v->vm, gpa), gpa, index, 0, start, last > 4095 ? 4095 : last);
	if (b->crosses)
		enlist(c, vm_region(v->vm, d->gpa2), d->gpa2, index, 1, 0, last - 4096);
	cache_insert(c, index);
	__atomic_store_n(&c->part_blocks[c->part], index + 1, __ATOMIC_RELEASE);
	v->count.block_made++;
	v->count.block_guest_bytes += size;
	v->count.block_code_bytes += b->code_size + b->cold_size;
	v->count.make_cycles += __builtin_ia32_rdtsc() - since;
	return index;
}
