/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recorded outcomes: what random sequences came to on a processor of one maker, so that the engine can be
 * held against that maker's truth on any host.
 *
 *     recorded --record FILE [--count N]   on a processor of the maker
 *     recorded FILE                        anywhere; on that maker's, the processor too
 *
 * The guest is one of model x86-64-v3 that is told of the recorded processor. Most instructions are copied
 * to the host at hand, so a sequence is taken only if no instruction's outcome is a maker's affair that
 * the engine leaves to the host: flags that the manuals leave undefined, x87, approximations. And only
 * if the engine ended the same when it was recorded: what compare.c excuses is not in it.
 *
 * A file is a line of text, "oracle 1 MAKER SIGNATURE COUNT INPUTS", then for each sequence its seed and a
 * hash of its outcome, four bytes each, least first. INPUTS is a hash of all sequences: it tells when
 * the generator has come to make others from these seeds, and a file must be recorded anew.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "cpu/xsave.h"
#include "oracle.h"

#define MODEL "x86-64-v3"
#define COUNT_MAX 100000u
#define LEGACY 512u /* bytes of an XSAVE area before its header */

struct recorded {
	char maker[13];
	uint32_t signature;
	unsigned count;
	uint64_t inputs;
	uint32_t entry[COUNT_MAX][2]; /* seed, outcome */
};

struct test {
	struct generator g;
	struct guest *guest;
	struct sequence sequence[BATCH];
	uint8_t *data, *code_out, *data_out;
	bool native; /* this processor is of the maker */
	unsigned wrong;
};

/* --- hashes -------------------------------------------------------------------------------------- */

static uint64_t hash(uint64_t h, const void *bytes, size_t size)
{
	const uint8_t *b = bytes;

	for (size_t n = 0; n < size; n++)
		h = (h ^ b[n]) * 0x100000001b3;
	return h;
}

/* FNV-1a's start */
#define HASH_START 0xcbf29ce484222325

static uint64_t hash_input(uint64_t h, const struct sequence *s)
{
	static uint8_t code[CODE_SIZE + 16];
	unsigned end = sequence_place(s, code);

	h = hash(h, code + s->offset, end - s->offset);
	h = hash(h, &s->in, offsetof(struct side, vector));
	h = hash(h, s->in.xsave, LEGACY);
	h = hash(h, s->in.xsave + native_component(2), 256);
	return hash(h, &s->data_seed, sizeof s->data_seed);
}

/* What is in its initial state counts as that. */
static uint64_t hash_vectors(uint64_t h, const uint8_t *x)
{
	static const uint8_t none[256];
	uint64_t bv;

	memcpy(&bv, x + LEGACY, 8);
	h = hash(h, x + 24, 4);
	h = hash(h, bv & XCR0_SSE ? x + 160 : none, 256);
	return hash(h, bv & XCR0_AVX ? x + native_component(2) : none, 256);
}

static uint32_t hash_outcome(const struct side *s, const uint8_t *code, const uint8_t *data)
{
	uint64_t h = hash(HASH_START, s, offsetof(struct side, error));

	if (s->vector != END_VECTOR)
		h = hash(h, &s->error, sizeof s->error);
	if (s->vector == EXC_PF)
		h = hash(h, &s->cr2, sizeof s->cr2);
	h = hash_vectors(h, s->xsave);
	h = hash(h, code, CODE_SIZE);
	h = hash(h, data, DATA_STORED * PAGE);
	return (uint32_t)(h ^ h >> 32);
}

/* --- which sequences ------------------------------------------------------------------------------ */

static bool maker_s(const ZydisDecodedInstruction *in)
{
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_RCPPS:
	case ZYDIS_MNEMONIC_RCPSS:
	case ZYDIS_MNEMONIC_RSQRTPS:
	case ZYDIS_MNEMONIC_RSQRTSS:
	case ZYDIS_MNEMONIC_VRCPPS:
	case ZYDIS_MNEMONIC_VRCPSS:
	case ZYDIS_MNEMONIC_VRSQRTPS:
	case ZYDIS_MNEMONIC_VRSQRTSS:
	case ZYDIS_MNEMONIC_FXSAVE: /* MXCSR_MASK is the host's */
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
		return true;
	case ZYDIS_MNEMONIC_AND: /* AF is undefined, and clear on both makers' */
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_TEST:
		return false;
	case ZYDIS_MNEMONIC_BSWAP: /* of 16 bits: undefined */
		return in->operand_width == 16;
	default:
		return in->cpu_flags && in->cpu_flags->undefined;
	}
}

static bool takes(const struct sequence *s)
{
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (s->narrow)
		return false;
	for (unsigned k = 0; k < s->count; k++) {
		const struct item *item = &s->item[k];
		ZydisDecodedInstruction in;
		ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
		struct insn i;

		if (insn_decode(&i, item->bytes, item->length, 64, NULL) ||
			!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, item->bytes, item->length,
				&in, op)) ||
			i.state == STATE_X87 || i.state == STATE_MMX ||
			in.meta.isa_set == ZYDIS_ISA_SET_X87 || maker_s(&in))
			return false;
		/* MMX registers beside others */
		for (unsigned n = 0; n < in.operand_count; n++)
			if (op[n].type == ZYDIS_OPERAND_TYPE_REGISTER &&
				ZydisRegisterGetClass(op[n].reg.value) == ZYDIS_REGCLASS_MMX)
				return false;
	}
	return true;
}

/* --- running --------------------------------------------------------------------------------------- */

static bool set_up(struct test *t, const char *maker, uint32_t signature)
{
	struct guest_options options = {0};
	struct error err = {0};
	struct cpuid_policy host;

	memset(t, 0, sizeof *t);
	t->data = malloc(DATA_STORED * PAGE);
	t->data_out = malloc(DATA_STORED * PAGE);
	t->code_out = malloc(CODE_SIZE);
	if (!t->data || !t->data_out || !t->code_out ||
		cpuid_policy_init(&host, CPUID_TRANSLATE, 1, MODEL, &err)) {
		fprintf(stderr, "recorded: %s\n", err.text);
		return false;
	}
	t->g.policy = host;
	policy_maker(&t->g.policy, maker, signature);
	t->native = cpuid_policy_signature(&host) == signature &&
		cpuid_policy_amd(&host) == cpuid_policy_amd(&t->g.policy) && native_fsgsbase() &&
		native_keeps_nt();
	t->g.fsgsbase = t->g.nt = t->g.rsp = true;
	t->g.forms = form_table_create(&t->g.policy, NULL);
	t->guest = guest_create(&t->g.policy, &options);
	return t->g.forms && t->guest;
}

static void load(struct test *t, unsigned slot)
{
	const struct sequence *s = &t->sequence[slot];
	uint8_t *code = guest_slot_code(t->guest, slot);

	sequence_terminate(code, sequence_place(s, code));
	data_fill(guest_slot_data(t->guest, slot), s->data_seed);
	guest_job(t->guest, slot)->in = s->in;
	guest_ready(t->guest, slot, s->supervisor, false);
}

static uint32_t guest_outcome(struct test *t, unsigned slot)
{
	struct side out = guest_job(t->guest, slot)->out;

	if (out.vector == EXC_PF && out.rip == EXIT_AT && out.cr2 == EXIT_AT) {
		out.vector = END_VECTOR;
		out.rflags &= ~(uint64_t)FL_RF;
	}
	return hash_outcome(&out, guest_slot_code(t->guest, slot), guest_slot_data(t->guest, slot));
}

static bool native_outcome(struct test *t, const struct sequence *s, uint32_t *outcome)
{
	static uint8_t code[CODE_SIZE];
	struct job job = {.in = s->in};

	sequence_terminate(code, sequence_place(s, code));
	data_fill(t->data, s->data_seed);
	if (!native_run(&job, code, t->data, t->code_out, t->data_out))
		return false;
	*outcome = hash_outcome(&job.out, t->code_out, t->data_out);
	return true;
}

/* --- a file ------------------------------------------------------------------------------------------ */

static bool file_read(struct recorded *r, const char *path)
{
	FILE *f = fopen(path, "rb");
	unsigned long long inputs = 0;
	bool good = f &&
		fscanf(f, "oracle 1 %12s %x %u %llx", r->maker, &r->signature, &r->count,
			&inputs) == 4 &&
		fgetc(f) == '\n' && r->count <= COUNT_MAX &&
		fread(r->entry, sizeof *r->entry, r->count, f) == r->count && fgetc(f) == EOF;

	if (!good)
		fprintf(stderr, "recorded: %s: not a file of recorded outcomes\n", path);
	r->inputs = inputs;
	if (f)
		fclose(f);
	return good;
}

static bool file_write(const struct recorded *r, const char *path)
{
	FILE *f = fopen(path, "wb");
	bool good = f &&
		fprintf(f, "oracle 1 %s %x %u %llx\n", r->maker, r->signature, r->count,
			(unsigned long long)r->inputs) > 0 &&
		fwrite(r->entry, sizeof *r->entry, r->count, f) == r->count;

	if (f && fclose(f))
		good = false;
	if (!good)
		perror(path);
	return good;
}

/* --- recording and replaying -------------------------------------------------------------------------- */

static bool record_batch(struct test *t, struct recorded *r, unsigned wanted, uint32_t *seed)
{
	bool hung[BATCH];
	unsigned n = 0;

	for (; n < BATCH; n++) {
		do
			generate(&t->g, (*seed)++, &t->sequence[n]);
		while (!takes(&t->sequence[n]));
		load(t, n);
	}
	if (guest_run(t->guest, n, hung))
		return false;
	native_begin();
	for (unsigned k = 0; k < n && r->count < wanted; k++) {
		uint32_t outcome;

		if (hung[k] || !native_outcome(t, &t->sequence[k], &outcome) ||
			outcome != guest_outcome(t, k))
			continue;
		r->entry[r->count][0] = (uint32_t)t->sequence[k].seed;
		r->entry[r->count++][1] = outcome;
		r->inputs = hash_input(r->inputs, &t->sequence[k]);
	}
	native_end();
	return true;
}

static int record(struct recorded *r, const char *path, unsigned wanted)
{
	static struct test t;
	struct cpuid_policy host;
	struct error err = {0};
	uint32_t leaf[4], seed = 1;

	if (native_init() || cpuid_policy_init(&host, CPUID_TRANSLATE, 1, NULL, &err))
		return 2;
	cpuid_policy_read(&host, 0, 0, 0, 0, 0, leaf);
	memcpy(r->maker, &leaf[1], 4);
	memcpy(r->maker + 4, &leaf[3], 4);
	memcpy(r->maker + 8, &leaf[2], 4);
	r->signature = cpuid_policy_signature(&host);
	r->inputs = HASH_START;
	if (!set_up(&t, r->maker, r->signature) || !t.native)
		return 2;
	while (r->count < wanted)
		if (!record_batch(&t, r, wanted, &seed))
			return 2;
	printf("%u of %u sequences recorded\n", r->count, seed - 1);
	return file_write(r, path) ? 0 : 2;
}

static void told(struct test *t, unsigned slot, const char *who)
{
	if (t->wrong++ >= 10)
		return;
	printf("seed %llu: %s ends otherwise than recorded\n",
		(unsigned long long)t->sequence[slot].seed, who);
	sequence_print(&t->sequence[slot]);
}

static bool inputs_same(struct test *t, const struct recorded *r)
{
	uint64_t inputs = HASH_START;

	for (unsigned n = 0; n < r->count; n++) {
		generate(&t->g, r->entry[n][0], &t->sequence[0]);
		inputs = hash_input(inputs, &t->sequence[0]);
	}
	return inputs == r->inputs;
}

static bool replay_batch(struct test *t, const struct recorded *r, unsigned first, unsigned count)
{
	const bool keeps_rsp = native_keeps_rsp();
	bool hung[BATCH];
	uint32_t outcome;

	for (unsigned k = 0; k < count; k++) {
		generate(&t->g, r->entry[first + k][0], &t->sequence[k]);
		load(t, k);
	}
	if (guest_run(t->guest, count, hung))
		return false;
	for (unsigned k = 0; k < count; k++)
		if ((hung[k] || guest_outcome(t, k) != r->entry[first + k][1]) &&
			(keeps_rsp || canonical(t->sequence[k].in.gpr[RSP])))
			told(t, k, "the engine");
	if (!t->native)
		return true;
	native_begin();
	for (unsigned k = 0; k < count; k++)
		if (!native_outcome(t, &t->sequence[k], &outcome) ||
			outcome != r->entry[first + k][1])
			told(t, k, "this processor");
	native_end();
	return true;
}

static int replay(struct recorded *r, const char *path)
{
	static struct test t;

	if (native_init() || !file_read(r, path) || !set_up(&t, r->maker, r->signature))
		return 2;
	if (!inputs_same(&t, r)) {
		printf("%s: these seeds make other sequences now: record anew\n", path);
		return 1;
	}
	for (unsigned n = 0; n < r->count; n += BATCH)
		if (!replay_batch(&t, r, n, r->count - n < BATCH ? r->count - n : BATCH))
			return 2;
	printf("%u sequences of %s %x, %s: %u end otherwise\n", r->count, r->maker, r->signature,
		t.native ? "engine and processor" : "engine", t.wrong);
	guest_destroy(t.guest);
	generator_end(&t.g);
	return t.wrong != 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"record", 1, NULL, 'r'}, {"count", 1, NULL, 'c'},
		{NULL, 0, NULL, 0}};
	static struct recorded r;
	const char *to = NULL;
	unsigned count = 20000;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'r')
			to = optarg;
		else if (c == 'c')
			count = (unsigned)strtoul(optarg, NULL, 0);
		else
			return 2;
	}
	if (count > COUNT_MAX || (to ? optind != argc : optind + 1 != argc)) {
		fputs("recorded --record FILE [--count N] | recorded FILE\n", stderr);
		return 2;
	}
	return to ? record(&r, to, count) : replay(&r, argv[optind]);
}
