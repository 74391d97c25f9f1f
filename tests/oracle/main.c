/* SPDX-License-Identifier: Apache-2.0 */
/* The oracle test's options, its loop, and what it says of a difference. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../layouts.h"
#include "cpu/translate/native/native.h"
#include "oracle.h"

#define NOT_HERE 77 /* the exit status if this host cannot do what is tested */

struct options {
	uint64_t seed, count;
	double seconds;
	const char *only, *layout;
	struct guest_options guest;
	bool verbose, stats;
	unsigned most;
};

struct test {
	struct options o;
	struct generator g;
	struct guest *guest;
	struct xsave_layout layout; /* of the guest's XSAVE */
	struct sequence sequence[BATCH];
	uint8_t *data, *code_out, *data_out;
	uint64_t *at; /* the seed under way, for the parent */
	uint64_t done, ended, faults, skipped, failed, vectors[END_VECTOR + 1];
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- one sequence on both sides ---------------------------------------------------------------- */

static void load_guest(struct test *t, unsigned slot, const struct sequence *s)
{
	uint8_t *code = guest_slot_code(t->guest, slot);

	sequence_terminate(code, sequence_place(s, code));
	sequence_narrow(s, code);
	data_fill(guest_slot_data(t->guest, slot), s->data_seed);
	guest_job(t->guest, slot)->in = s->in;
	layout_move(guest_job(t->guest, slot)->in.xsave, &t->layout, s->in.xsave,
		&t->g.policy.area);
	guest_ready(t->guest, slot, s->supervisor, s->narrow);
}

/* The guest's way to say that it reached the end. */
static void settle_end(struct side *out)
{
	if (out->vector == EXC_PF && out->rip == EXIT_AT && out->cr2 == EXIT_AT) {
		out->vector = END_VECTOR;
		out->rflags &= ~(uint64_t)FL_RF;
	}
}

/* After the guest's run: false if they differ. */
static bool check(struct test *t, unsigned slot, const struct sequence *s, bool hung,
	struct difference *d)
{
	static uint8_t code[CODE_SIZE], guest_code[CODE_SIZE];
	static struct side guest;
	struct job *job = guest_job(t->guest, slot), native = {.in = s->in};
	bool ended;

	sequence_terminate(code, sequence_place(s, code));
	memcpy(guest_code, code, CODE_SIZE);
	sequence_narrow(s, guest_code);
	guest = job->out;
	memset(guest.xsave, 0, sizeof guest.xsave);
	layout_move(guest.xsave, &t->g.policy.area, job->out.xsave, &t->layout);
	settle_end(&guest);
	data_fill(t->data, s->data_seed);
	ended = native_run(&native, code, t->data, t->code_out, t->data_out);
	d->count = 0;
	if (!ended || hung) {
		t->skipped++;
		/*
		 * What takes long may be late on one side only; and what a sequence has written over
		 * itself may be HLT, which halts a supervisor and is a fault natively.
		 */
		if (!hung || !ended || native.out.unused ||
			memcmp(t->code_out, code, CODE_SIZE) != 0)
			return true;
		d->count = 1;
		snprintf(d->text, sizeof d->text, "  ends natively only\n");
		return false;
	}
	if (!t->g.rsp && !(canonical(native.out.gpr[RSP]) && canonical(guest.gpr[RSP]))) {
		t->skipped++;
		return true;
	}
	t->vectors[native.out.vector <= END_VECTOR ? native.out.vector : 0]++;
	sequence_patched(s, code, t->code_out);
	sequence_patched(s, guest_code, guest_slot_code(t->guest, slot));
	struct outcome_pair p = {.native = &native.out,
		.guest = &guest,
		.native_code = t->code_out,
		.guest_code = guest_slot_code(t->guest, slot),
		.native_data = t->data_out,
		.guest_data = guest_slot_data(t->guest, slot),
		.supervisor = s->supervisor,
		.amd = cpuid_policy_amd(&t->g.policy),
		.code = code,
		.guest_before = guest_code,
		.narrow = s->narrow};

	return compare(&p, d);
}

static bool alone(struct test *t, const struct sequence *s, struct difference *d)
{
	bool hung = false, same;

	load_guest(t, 0, s);
	if (guest_run(t->guest, 1, &hung))
		hung = true;
	native_begin();
	same = check(t, 0, s, hung, d);
	native_end();
	return same;
}

/* --- saying what is wrong ---------------------------------------------------------------------------- */

static void drop(struct sequence *s, unsigned item, bool dropped)
{
	do
		s->item[item].dropped = dropped;
	while (++item < s->count && s->item[item].tied);
}

/* Leaves out what is not needed for the difference. */
static void minimise(struct test *t, struct sequence *s, struct difference *d)
{
	struct difference now_d;
	bool again = true;

	while (again) {
		again = false;
		for (unsigned k = s->count; k-- > 0;) {
			if (s->item[k].dropped || s->item[k].tied)
				continue;
			drop(s, k, true);
			s->in.rip = sequence_address(s, 0);
			if (alone(t, s, &now_d)) {
				drop(s, k, false);
			} else {
				*d = now_d;
				again = true;
			}
		}
	}
	s->in.rip = sequence_address(s, 0);
}

static void report(struct test *t, const struct sequence *failing, const struct difference *first)
{
	static struct sequence s;
	struct difference d;

	t->failed++;
	s = *failing;
	printf("\nseed %llu: native and translated differ\n", (unsigned long long)s.seed);
	if (alone(t, &s, &d)) {
		printf("(not when it runs alone)\n");
		d = *first;
	} else {
		minimise(t, &s, &d);
	}
	sequence_print(&s);
	printf("%s", d.text);
	if (t->o.verbose)
		structure_dump(guest_vm(t->guest), guest_slot_phys(0), CODE_SIZE);
	fflush(stdout);
}

/* --- the loop --------------------------------------------------------------------------------------------- */

static int batch(struct test *t, unsigned count)
{
	static struct difference d[BATCH];
	bool hung[BATCH], bad[BATCH];

	*t->at = t->o.seed + t->done;
	for (unsigned k = 0; k < count; k++) {
		generate(&t->g, t->o.seed + t->done + k, &t->sequence[k]);
		load_guest(t, k, &t->sequence[k]);
	}
	if (guest_run(t->guest, count, hung))
		return -1;
	native_begin();
	for (unsigned k = 0; k < count; k++)
		bad[k] = !check(t, k, &t->sequence[k], hung[k], &d[k]);
	native_end();
	for (unsigned k = 0; k < count; k++)
		if (bad[k] && t->failed < t->o.most)
			report(t, &t->sequence[k], &d[k]);
	t->done += count;
	return t->failed >= t->o.most ? 1 : 0;
}

static void summary(struct test *t, double seconds)
{
	unsigned instructions = 0, wrong = structure_check(guest_vm(t->guest), &instructions);

	t->failed += wrong;
	printf("%llu sequences in %.1f s, %llu differ; %llu did not end; ended by vector",
		(unsigned long long)t->done, seconds, (unsigned long long)(t->failed - wrong),
		(unsigned long long)t->skipped);
	for (unsigned v = 0; v <= END_VECTOR; v++)
		if (t->vectors[v])
			printf(" %x:%llu", v, (unsigned long long)t->vectors[v]);
	printf("\n%u host instructions checked, %u wrong\n", instructions, wrong);
	if (t->o.stats)
		guest_stats(t->guest, stdout);
}

static const char usage[] =
	"oracle [--count N] [--seed N] [--only MNEMONIC-PREFIX] [--time SECONDS] [--no-adx]\n"
	"       [--small-cache BYTES] [--windows] [--native] [--kill] [--step] [--kick USEC] [--device]\n"
	"       [--layout intel|amd|avx|sse] [--most FAILURES] [--dump]\n"
	"       [--stats]\n";

static bool parse(struct options *o, int argc, char **argv)
{
	static const struct option options[] = {{"count", 1, NULL, 'c'}, {"seed", 1, NULL, 's'},
		{"only", 1, NULL, 'o'}, {"time", 1, NULL, 't'}, {"no-adx", 0, NULL, 'a'},
		{"small-cache", 1, NULL, 'm'}, {"step", 0, NULL, '1'}, {"kick", 1, NULL, 'k'},
		{"device", 0, NULL, 'd'}, {"windows", 0, NULL, 'w'}, {"native", 0, NULL, 'N'},
		{"kill", 0, NULL, 'K'}, {"most", 1, NULL, 'f'}, {"layout", 1, NULL, 'l'},
		{"dump", 0, NULL, 'p'}, {"stats", 0, NULL, 'S'}, {NULL, 0, NULL, 0}};
	int c;

	*o = (struct options){.seed = 1, .count = 100000, .seconds = 1e9, .most = 20};
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->count = strtoull(optarg, NULL, 0);
			break;
		case 's':
			o->seed = strtoull(optarg, NULL, 0);
			break;
		case 'o':
			o->only = optarg;
			break;
		case 't':
			o->seconds = strtod(optarg, NULL);
			break;
		case 'a':
			o->guest.no_adx = true;
			break;
		case 'm':
			o->guest.small_cache = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'w':
			o->guest.windows = true;
			break;
		case 'N':
			o->guest.native = true;
			break;
		case 'K':
			o->guest.kill = true;
			break;
		case '1':
			o->guest.step = true;
			break;
		case 'k':
			o->guest.kick = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'd':
			o->guest.device = true;
			break;
		case 'f':
			o->most = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'l':
			o->layout = optarg;
			break;
		case 'p':
			o->verbose = true;
			break;
		case 'S':
			o->stats = true;
			break;
		default:
			return false;
		}
	}
	return optind == argc;
}

static int run(struct test *t)
{
	double start = now();
	int r = 0;

	while (!r && t->done < t->o.count && now() - start < t->o.seconds) {
		uint64_t left = t->o.count - t->done;

		r = batch(t, left < BATCH ? (unsigned)left : BATCH);
	}
	summary(t, now() - start);
	return r < 0 || t->failed;
}

static int work(struct test *t)
{
	struct error err;
	int r;

	t->data = malloc(DATA_STORED * PAGE);
	t->data_out = malloc(DATA_STORED * PAGE);
	t->code_out = malloc(CODE_SIZE);
	if (!t->data || !t->data_out || !t->code_out || native_init() ||
		generator_init(&t->g, t->o.only, t->o.layout)) {
		fprintf(stderr, "oracle: cannot set up\n");
		return 2;
	}
	if (t->o.guest.native && native_probe(&err)) {
		printf("not on this host: %s\n", err.text);
		return NOT_HERE;
	}
	xsave_layout(&t->layout, &t->g.policy);
	t->guest = guest_create(&t->g.policy, &t->o.guest);
	if (!t->guest)
		return 2;
	r = run(t);
	guest_destroy(t->guest);
	generator_end(&t->g);
	return r;
}

/* The work is done in a child, so that somebody is left to say which sequence it died of. */
int main(int argc, char **argv)
{
	static struct test t;
	pid_t child;
	int status;

	if (!parse(&t.o, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	t.at = mmap(NULL, sizeof *t.at, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	child = t.at == MAP_FAILED ? -1 : fork();
	if (child < 0) {
		fprintf(stderr, "oracle: cannot set up\n");
		return 2;
	}
	if (child == 0)
		exit(work(&t));
	if (waitpid(child, &status, 0) != child)
		return 2;
	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	printf("\nthe translator died of signal %d in the batch from seed %llu on\n",
		WTERMSIG(status), (unsigned long long)*t.at);
	return 1;
}
