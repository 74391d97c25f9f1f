/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/run/profile.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/symbols.h"
#include "cpu/translate/cold.h"

#define ENTRIES 65536u
#define PERIOD 1000000 /* ns; the host's clock may be coarser, missed ones count too */
#define LINES 60u

/* What the processor did for a guest instruction. */
enum { IN_CODE, IN_MEMORY, IN_ENGINE, KINDS };
#define NO_RIP 1ull /* with cpl 4: places that the full table had no room for */

struct sample {
	uint64_t rip; /* linear address */
	uint32_t cpl; /* 1 + the guest's, so that empty entries are zero */
	uint32_t hits[KINDS];
};

struct profile {
	timer_t timer;
	struct sample lost;
	struct sample entry[ENTRIES];
};

static __thread struct vcpu *sampled;

/* --- taking samples -------------------------------------------------------------------------- */

static struct sample *find(struct profile *p, uint64_t rip, uint32_t cpl)
{
	uint32_t at = (uint32_t)((rip ^ cpl) * 0x9e3779b97f4a7c15ull >> 48);

	for (unsigned i = 0; i < 64; i++) {
		struct sample *s = &p->entry[(at + i) & (ENTRIES - 1)];

		if (!s->cpl) {
			s->rip = rip;
			s->cpl = cpl;
		}
		if (s->rip == rip && s->cpl == cpl)
			return s;
	}
	return &p->lost;
}

static bool rip_at(const struct vcpu *v, const void *pc, uint64_t *rip)
{
	const struct cache *c = &v->vm->cache;
	const struct tblock *b = cache_holds(c, pc) ? cache_block_at(c, pc) : NULL;
	const struct fixup *s = b ? cache_fixup_at(c, b, pc) : NULL;

	if (b)
		*rip = block_base(v, b) + (s ? s->guest : b->gpa & 4095);
	return b;
}

/* On the vCPU's thread, anywhere in translated code or C. */
static void note(struct vcpu *v, const void *pc, unsigned weight)
{
	unsigned state =
		__atomic_load_n(&v->private_data->exec_state, __ATOMIC_SEQ_CST) & EXEC_BITS;
	uint64_t rip = v->cpu.rip;
	unsigned kind = IN_ENGINE;

	if (rip_at(v, pc, &rip)) {
		kind = IN_CODE;
	} else if (state == EXEC_HELPER) {
		/* stubs.c has put the place in the code there */
		if (rip_at(v, ((const void *const *)v->host_rsp)[-1], &rip))
			kind = IN_MEMORY;
	} else if (state == EXEC_CODE) {
		rip = v->code_base; /* in a stub: the page is known */
	}
	find(v->private_data->profile, rip, 1 + v->cpu.cpl)->hits[kind] += weight;
}

static void handle(int number, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	int saved = errno;

	if (sampled && info->si_code == SI_TIMER)
		note(sampled, (const void *)uc->uc_mcontext.gregs[REG_RIP],
			1 + (unsigned)info->si_overrun);
	errno = saved;
}

int profile_setup(const struct engine_profile *wanted, struct error *err)
{
	struct sigaction act = {.sa_sigaction = handle,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

	if (!wanted || !wanted->profile)
		return 0;
	sigfillset(&act.sa_mask);
	return sigaction(SIGPROF, &act, NULL)
		? error_set(err, errno, "cannot catch SIGPROF: %s", strerror(errno))
		: 0;
}

int profile_thread_start(struct vcpu *v, struct error *err)
{
	const struct engine_profile *wanted = v->vm->config.profile;
	const struct itimerspec period = {{0, PERIOD}, {0, PERIOD}};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
	struct profile *p;
	sigset_t set;

	if (!wanted || !wanted->profile || v->private_data->profile)
		return 0;
	p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return error_set(err, ENOMEM, "no memory for a profile");
	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &p->timer)) {
		munmap(p, sizeof *p);
		return error_set(err, errno, "no timer for a profile: %s", strerror(errno));
	}
	p->lost = (struct sample){.rip = NO_RIP, .cpl = 4};
	v->private_data->profile = p;
	sampled = v;
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	timer_settime(p->timer, 0, &period, NULL);
	return 0;
}

void profile_thread_end(struct vcpu *v)
{
	struct profile *p = v->private_data->profile;

	if (!p)
		return;
	timer_delete(p->timer);
	munmap(p, sizeof *p);
	v->private_data->profile = NULL;
}

/* --- names ------------------------------------------------------------------------------------ */

/* How far the guest's kernel has moved itself (KASLR), by its system call entry. */
static uint64_t slide(struct translate_vm *vm, const struct symbols *symbols)
{
	uint64_t entry = symbols ? symbols_address(symbols, "entry_SYSCALL_64") : 0;

	return entry && vm->vcpus && vm->vcpu[0]->v->cpu.lstar ? vm->vcpu[0]->v->cpu.lstar - entry
							       : 0;
}

static void name(const struct symbols *symbols, uint64_t moved, uint64_t rip, bool exact, char *to,
	size_t size)
{
	uint64_t offset;
	/* user programs are not moved with the kernel */
	const char *found =
		symbols ? symbols_find(symbols, rip >> 63 ? rip - moved : rip, &offset) : NULL;

	if (!found)
		snprintf(to, size, "%#llx", (unsigned long long)rip);
	else if (exact && offset)
		snprintf(to, size, "%.120s+%#llx", found, (unsigned long long)offset);
	else
		snprintf(to, size, "%.120s", found);
	for (; *to; to++)
		if (*to < 0x21 || *to > 0x7e)
			*to = '?';
}

static const char *privilege(unsigned cpl)
{
	return cpl == 3 ? "user" : cpl ? "ring" : "kernel";
}

/* --- perf's map --------------------------------------------------------------------------------- */

static void map_blocks(struct translate_vm *vm, const struct engine_profile *wanted, uint64_t moved)
{
	const struct cache *c = &vm->cache;
	FILE *out = wanted->perf_map;

	for (uint32_t i = cache_next(c, 0); i; i = cache_next(c, i)) {
		const struct tblock *b = &c->block[i];
		const char *who = privilege(b->mode & MODE_USER ? 3 : b->mode & MODE_RING0 ? 0 : 1);
		char text[160];

		name(wanted->symbols, moved, c->rip[i], true, text, sizeof text);
		fprintf(out, "%llx %x %s:%s\n", (unsigned long long)(c->exec + b->code),
			b->code_size, who, text);
		if (b->cold_size)
			fprintf(out, "%llx %x %s:%s.slow\n",
				(unsigned long long)(c->exec + b->cold), b->cold_size, who, text);
	}
	fflush(out);
}

/* --- the profile --------------------------------------------------------------------------------- */

struct row {
	char name[160];
	uint32_t cpl;
	uint64_t rip, hits[KINDS], total;
};

static int by_total(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->total != y->total)
		return x->total > y->total ? -1 : 1;
	return x->rip < y->rip ? -1 : x->rip > y->rip;
}

static int by_name(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->cpl != y->cpl ? (x->cpl < y->cpl ? -1 : 1) : strcmp(x->name, y->name);
}

/* Rows of the same name become one; returns how many are left. */
static size_t merge(struct row *row, size_t count)
{
	size_t n = 0;

	qsort(row, count, sizeof *row, by_name);
	for (size_t i = 1; i < count; i++) {
		if (by_name(&row[n], &row[i])) {
			row[++n] = row[i];
			continue;
		}
		row[n].total += row[i].total;
		for (unsigned k = 0; k < KINDS; k++)
			row[n].hits[k] += row[i].hits[k];
	}
	n = count ? n + 1 : 0;
	qsort(row, n, sizeof *row, by_total);
	return n;
}

static void add_sample(const struct engine_profile *wanted, uint64_t moved, const struct sample *s,
	bool exact, struct row *row, size_t *count)
{
	struct row *r = &row[*count];

	*r = (struct row){.cpl = s->cpl - 1, .rip = s->rip};
	for (unsigned k = 0; k < KINDS; k++) {
		r->hits[k] = s->hits[k];
		r->total += s->hits[k];
	}
	if (!r->total)
		return;
	if (s->rip == NO_RIP)
		snprintf(r->name, sizeof r->name, "(elsewhere)");
	else
		name(wanted->symbols, moved, s->rip, exact, r->name, sizeof r->name);
	(*count)++;
}

static void table(struct translate_vm *vm, uint64_t moved, bool exact, struct row *row)
{
	const struct engine_profile *wanted = vm->config.profile;
	FILE *out = wanted->profile;
	uint64_t all = 0, kinds[KINDS] = {0};
	size_t count = 0;

	for (unsigned k = 0; k < vm->vcpus; k++) {
		const struct profile *p = vm->vcpu[k]->profile;

		for (unsigned i = 0; p && i < ENTRIES; i++)
			if (p->entry[i].cpl)
				add_sample(wanted, moved, &p->entry[i], exact, row, &count);
		if (p)
			add_sample(wanted, moved, &p->lost, exact, row, &count);
	}
	count = merge(row, count);
	for (size_t i = 0; i < count; i++) {
		all += row[i].total;
		for (unsigned k = 0; k < KINDS; k++)
			kinds[k] += row[i].hits[k];
	}
	if (!all)
		return;
	fprintf(out,
		"%llu samples: %.1f%% in translated code, %.1f%% in its memory accesses' slow paths,"
		" %.1f%% in the engine\n\n  share    code  memory  engine  where, by %s\n",
		(unsigned long long)all, 100.0 * kinds[0] / all, 100.0 * kinds[1] / all,
		100.0 * kinds[2] / all, exact ? "address" : "function");
	for (size_t i = 0; i < count && i < LINES; i++)
		fprintf(out, "%6.2f%% %7llu %7llu %7llu  %-6s %s\n", 100.0 * row[i].total / all,
			(unsigned long long)row[i].hits[0], (unsigned long long)row[i].hits[1],
			(unsigned long long)row[i].hits[2], privilege(row[i].cpl), row[i].name);
	fprintf(out, "\n");
}

void profile_report(struct translate_vm *vm)
{
	const struct engine_profile *wanted = vm->config.profile;
	uint64_t moved = wanted ? slide(vm, wanted->symbols) : 0;
	struct row *row;

	if (!wanted)
		return;
	if (wanted->perf_map)
		map_blocks(vm, wanted, moved);
	if (!wanted->profile)
		return;
	row = calloc((size_t)vm->vcpus * (ENTRIES + 1) + 1, sizeof *row);
	if (!row) {
		fprintf(wanted->profile, "no memory for the profile's tables\n");
		return;
	}
	if (wanted->symbols)
		table(vm, moved, false, row);
	table(vm, moved, true, row);
	fflush(wanted->profile);
	free(row);
}
