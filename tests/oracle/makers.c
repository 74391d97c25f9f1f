/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makers do differently, as facts: rows of code, the state it starts with, and how it ends on Intel's
 * processors and on AMD's. This processor is held against its maker's outcome, so one that differs is told
 * by the row's name; the engine against the outcome of whoever the guest is told made its
 * processor, for all of them. Sources: the manuals where a row names one, and processors: AMD family 19h
 * model 11h (Zen 4), family 1Ah model 2 (Zen 5).
 */
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

#define AT 0x100 /* where the code lies from CODE_BASE on; breakpoints are all around it */
#define CODE (CODE_BASE + AT)
#define STACK (DATA_BASE + 2 * PAGE + 0x800)
#define DATA (DATA_BASE + PAGE + 0x800)
#define LAST \
	(DATA_BASE + 5 * PAGE) /* here a page ends and the next is absent; it can only be read */
#define ABSENT (DATA_BASE + 5 * PAGE + 0x80)
#define ABSENT2 (DATA_BASE + 7 * PAGE + 0x40)
#define HIGH 0x1122334400000000ull

/* How it ends; what a row does not name stays as it was. */
struct end {
	uint8_t vector; /* 0: #BP right behind the code */
	uint64_t rip;   /* 0: at the code */
	uint32_t error;
	uint64_t cr2;
	uint32_t flags; /* status flags and RF, of those in the row's mask */
	struct {
		uint8_t reg;
		bool set;
		uint64_t value;
	} gpr[4];
};
#define REG(r, v)          \
	{                  \
		r, true, v \
	}

/*
 * Who decides: what the guest is told; the host, where instructions are copied; the host if a guest of
 * AMD's is not on one (what is stricter there is so).
 */
enum whose { POLICY, HOST, AMD_HOST };
enum needs { NEEDS_NOTHING, NEEDS_SHA, NEEDS_AVX512 };
enum other { NO_OTHER, OLDER /* before family 1Ah */, UNSTEADY /* now so, now so */ };

struct row {
	const char *name;
	uint8_t code[15], length;
	uint8_t whose;
	struct {
		uint8_t reg;
		bool set;
		uint64_t value;
	} in[4];
	uint32_t flags, mask;      /* status flags to begin with, and which are looked at behind */
	uint8_t memory[10], bytes; /* at DATA */
	struct end intel, amd;
	uint8_t needs; /* a feature that not every processor has */
	uint8_t other; /* AMD ends so in another case: */
	struct end amd_other;
};

#define BYTES(...) {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})
#define ALL_FLAGS (FL_STATUS | FL_RF)

/* What a row leaves out is zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
/* clang-format off */
static const struct row rows[] = {
	/* SDM 2A, JMP: operand size is 64 bits; APM 3, 1.2.2: as the prefix says */
	{"JMP rel with 66", BYTES(0x66, 0xe9, 0, 1, 0, 0),
		.intel = {EXC_BP, CODE + 6 + 0x100 + 1},
		.amd = {EXC_PF, (CODE + 4 + 0x100) & 0xffff, 0x14, (CODE + 4 + 0x100) & 0xffff}},
	{"JMP rel8 with 66", BYTES(0x66, 0xeb, 0x10),
		.intel = {EXC_BP, CODE + 3 + 0x10 + 1},
		.amd = {EXC_PF, (CODE + 3 + 0x10) & 0xffff, 0x14, (CODE + 3 + 0x10) & 0xffff}},
	{"JMP rel with 66 and REX.W", BYTES(0x66, 0x48, 0xe9, 0, 1, 0, 0),
		.intel = {EXC_BP, CODE + 7 + 0x100 + 1}, .amd = {EXC_BP, CODE + 7 + 0x100 + 1}},
	{"Jcc with 66, taken", BYTES(0x66, 0x74, 0x10), .flags = FL_ZF,
		.intel = {EXC_BP, CODE + 3 + 0x10 + 1},
		.amd = {EXC_PF, (CODE + 3 + 0x10) & 0xffff, 0x14, (CODE + 3 + 0x10) & 0xffff}},
	{"Jcc with 66, not taken", BYTES(0x66, 0x75, 0x10), .flags = FL_ZF},
	{"LOOP with 66", BYTES(0x66, 0xe2, 0x10), .in = {REG(RCX, 5)},
		.intel = {EXC_BP, CODE + 3 + 0x10 + 1, .gpr = {REG(RCX, 4)}},
		.amd = {EXC_PF, (CODE + 3 + 0x10) & 0xffff, 0x14, (CODE + 3 + 0x10) & 0xffff,
			.gpr = {REG(RCX, 4)}}},
	{"JRCXZ with 66", BYTES(0x66, 0xe3, 0x10), .in = {REG(RCX, 0)},
		.intel = {EXC_BP, CODE + 3 + 0x10 + 1},
		.amd = {EXC_PF, (CODE + 3 + 0x10) & 0xffff, 0x14, (CODE + 3 + 0x10) & 0xffff}},
	{"CALL with 66", BYTES(0x66, 0xe8, 0, 1, 0, 0),
		.intel = {EXC_BP, CODE + 6 + 0x100 + 1, .gpr = {REG(RSP, STACK - 8)}},
		.amd = {EXC_PF, (CODE + 4 + 0x100) & 0xffff, 0x14, (CODE + 4 + 0x100) & 0xffff,
			.gpr = {REG(RSP, STACK - 2)}}},
	{"RET with 66", BYTES(0x66, 0xc3), .in = {REG(RSP, DATA)},
		.memory = {0x88, 0x77, 0x34, 0x20}, .bytes = 8,
		.intel = {EXC_PF, 0x20347788, 0x14, 0x20347788, .gpr = {REG(RSP, DATA + 8)}},
		.amd = {EXC_PF, 0x7788, 0x14, 0x7788, .gpr = {REG(RSP, DATA + 2)}}},
	{"JMP reg with 66", BYTES(0x66, 0xff, 0xe3), .in = {REG(RBX, 0x55551234)},
		.intel = {EXC_PF, 0x55551234, 0x14, 0x55551234},
		.amd = {EXC_PF, 0x1234, 0x14, 0x1234}},
	{"CALL reg with 66", BYTES(0x66, 0xff, 0xd3), .in = {REG(RBX, 0x55551234)},
		.intel = {EXC_PF, 0x55551234, 0x14, 0x55551234, .gpr = {REG(RSP, STACK - 8)}},
		.amd = {EXC_PF, 0x1234, 0x14, 0x1234, .gpr = {REG(RSP, STACK - 2)}}},
	/* SDM 2A, LDS/LSS and JMP: m16:64 with REX.W; APM 3: m16:32, whatever else; null is a good selector */
	{"LGS with REX.W", BYTES(0x48, 0x0f, 0xb5, 0x03), .in = {REG(RBX, DATA)},
		.memory = {0x44, 0x33, 0x22, 0x11, 0xf8, 0xff}, .bytes = 10,
		.intel = {.gpr = {REG(RAX, 0xfff811223344)}}, .amd = {EXC_GP, .error = 0xfff8}},
	{"LGS with 66 and REX.W", BYTES(0x66, 0x48, 0x0f, 0xb5, 0x03), .in = {REG(RBX, DATA)},
		.memory = {0x44, 0x33, 0x22, 0x11, 0, 0, 0, 0, 0xf8, 0xff}, .bytes = 10,
		.intel = {EXC_GP, .error = 0xfff8}, .amd = {.gpr = {REG(RAX, 0x11223344)}}},
	{"JMP far with REX.W", BYTES(0x48, 0xff, 0x2b), .in = {REG(RBX, DATA)},
		.memory = {0x44, 0x33, 0x22, 0x11, 0xf8, 0xff, 0, 0, 0xf0, 0xff}, .bytes = 10,
		.intel = {EXC_GP, .error = 0xfff0}, .amd = {EXC_GP, .error = 0xfff8}},
	/* SDM 2B, PAUSE is F3 90; APM 3, XCHG: REX.B makes it R8's */
	{"PAUSE with REX.B", BYTES(0xf3, 0x41, 0x90), .in = {REG(R8, 5), REG(RAX, HIGH | 7)},
		.amd = {.gpr = {REG(R8, 7), REG(RAX, 5)}}},
	{"PAUSE with 66 and REX.B", BYTES(0x66, 0xf3, 0x41, 0x90),
		.in = {REG(R8, 5), REG(RAX, HIGH | 7)},
		.amd = {.gpr = {REG(R8, 7), REG(RAX, HIGH | 5)}}},
	{"PAUSE with REX.W", BYTES(0xf3, 0x48, 0x90), .whose = POLICY},
	/* APM 3, PREFETCHlevel: the operand is memory, else #UD; SDM 2D, table A-3: a NOP */
	{"PREFETCH of a register", BYTES(0x0f, 0x0d, 0xc8), .amd = {EXC_UD}},
	/* SDM 2B, MOVSXD r16, r/m16; APM 3 has 32 bits of memory only */
	{"MOVSXD of 16 bits at the end of a page", BYTES(0x66, 0x63, 0x03),
		.in = {REG(RBX, LAST - 2), REG(RAX, HIGH)},
		.intel = {.gpr = {REG(RAX, HIGH | 0x7f7e)}},
		.amd = {EXC_PF, 0, 4, LAST}},
	{"MOVSXD of 16 bits", BYTES(0x66, 0x63, 0x03), .in = {REG(RBX, LAST - 4), REG(RAX, HIGH)},
		.intel = {.gpr = {REG(RAX, HIGH | 0x7d7c)}}, .amd = {.gpr = {REG(RAX, HIGH | 0x7d7c)}}},
	/* exception class 4 (SDM 2B); APM 4 names no alignment check */
	{"SHA256MSG1, misaligned", BYTES(0x3a, 0x03, 0x0f, 0x38, 0xcc, 0x03), .whose = HOST,
		.in = {REG(RBX, DATA + 1)}, .needs = NEEDS_SHA, .intel = {EXC_GP, CODE + 2}},
	/* and in two pages, where the engine looks itself */
	{"SHA256MSG1 in two pages", BYTES(0x0f, 0x38, 0xcc, 0x03), .whose = AMD_HOST,
		.in = {REG(RBX, DATA_BASE + 2 * PAGE - 8)}, .needs = NEEDS_SHA, .intel = {EXC_GP}},
	/* REP with nothing to do: SDM 2B writes the registers, of 32 bits with 67 */
	{"REP MOVSB of nothing with 67", BYTES(0x67, 0xf3, 0xa4),
		.in = {REG(RCX, HIGH), REG(RSI, HIGH | 1), REG(RDI, HIGH | 2)},
		.intel = {.gpr = {REG(RCX, 0), REG(RSI, 1), REG(RDI, 2)}}},
	{"REP STOSD of nothing with 67", BYTES(0x67, 0xf3, 0xab),
		.in = {REG(RCX, HIGH), REG(RDI, HIGH | 2)},
		.intel = {.gpr = {REG(RCX, 0), REG(RDI, 2)}}},
	{"REPE CMPSB of nothing with 67", BYTES(0x67, 0xf3, 0xa6),
		.in = {REG(RCX, HIGH), REG(RSI, HIGH | 1), REG(RDI, HIGH | 2)},
		.intel = {.gpr = {REG(RCX, 0)}}},
	/* SDM 3B, 17.3.1.1: RF between two elements */
	{"REP LODSB, single-stepped", BYTES(0x68, 2, 3, 0, 0, 0x9d, 0xf3, 0xac),
		.in = {REG(RCX, 5), REG(RSI, DATA), REG(RAX, 0)}, .mask = ALL_FLAGS,
		.memory = {9}, .bytes = 1,
		.intel = {EXC_DB, CODE + 6, .flags = FL_RF,
			.gpr = {REG(RCX, 4), REG(RSI, DATA + 1), REG(RAX, 9)}},
		.amd = {EXC_DB, CODE + 6, .gpr = {REG(RCX, 4), REG(RSI, DATA + 1), REG(RAX, 9)}}},
	/* no manual tells */
	{"CMPSB, nothing to read", BYTES(0xa6), .in = {REG(RSI, ABSENT), REG(RDI, ABSENT2)},
		.intel = {EXC_PF, 0, 4, ABSENT2}, .amd = {EXC_PF, 0, 4, ABSENT},
		.other = OLDER, .amd_other = {EXC_PF, 0, 4, ABSENT2}},
	{"REPE CMPSB, nothing to read", BYTES(0xf3, 0xa6),
		.in = {REG(RSI, ABSENT), REG(RDI, ABSENT2), REG(RCX, 3)},
		.intel = {EXC_PF, 0, 4, ABSENT2}, .amd = {EXC_PF, 0, 4, ABSENT}},
	{"REPNE CMPSB, nothing to read", BYTES(0xf2, 0xa6),
		.in = {REG(RSI, ABSENT), REG(RDI, ABSENT2), REG(RCX, 3)},
		.intel = {EXC_PF, 0, 4, ABSENT2}, .amd = {EXC_PF, 0, 4, ABSENT},
		.other = OLDER, .amd_other = {EXC_PF, 0, 4, ABSENT2}},
	{"REPE CMPSQ, nothing to read", BYTES(0xf3, 0x48, 0xa7),
		.in = {REG(RSI, ABSENT), REG(RDI, ABSENT2), REG(RCX, 3)},
		.intel = {EXC_PF, 0, 4, ABSENT2}, .amd = {EXC_PF, 0, 4, ABSENT},
		.other = OLDER, .amd_other = {EXC_PF, 0, 4, ABSENT2}},
	/* SDM 2B, REP: a fault finds the flags of before the instruction */
	{"REPNE SCASD into an absent page", BYTES(0xf2, 0xaf), .flags = FL_OF | FL_PF,
		.in = {REG(RDI, LAST - 8), REG(RCX, 9), REG(RAX, 0xffffffff)}, .mask = ALL_FLAGS,
		.intel = {EXC_PF, 0, 4, LAST, .flags = FL_OF | FL_PF | FL_RF,
			.gpr = {REG(RDI, LAST), REG(RCX, 7)}},
		/* ffffffff - 7f7e7d7c */
		.amd = {EXC_PF, 0, 4, LAST, .flags = FL_SF | FL_RF,
			.gpr = {REG(RDI, LAST), REG(RCX, 7)}}},
	{"REPNE SCASB, its first element absent", BYTES(0xf2, 0xae), .flags = FL_OF | FL_PF,
		.in = {REG(RDI, ABSENT), REG(RCX, 9), REG(RAX, 0)}, .mask = ALL_FLAGS,
		.intel = {EXC_PF, 0, 4, ABSENT, .flags = FL_OF | FL_PF | FL_RF},
		.amd = {EXC_PF, 0, 4, ABSENT, .flags = FL_OF | FL_PF | FL_RF}},
	/* SDM 2A, 2B, CALL, JMP, RET: #GP(0) where the target is not canonical */
	{"JMP to no address", BYTES(0xff, 0xe3), .in = {REG(RBX, 1ull << 47)},
		.intel = {EXC_GP}, .amd = {EXC_GP}},
	{"CALL to no address", BYTES(0xff, 0xd3), .in = {REG(RBX, 1ull << 47)},
		.intel = {EXC_GP}, .amd = {EXC_GP}},
	{"RET to no address", BYTES(0xc2, 8, 0), .in = {REG(RSP, DATA)},
		.memory = {0, 0, 0, 0, 0, 0x80}, .bytes = 8, .intel = {EXC_GP}, .amd = {EXC_GP}},
	{"POP, then RET to no address", BYTES(0x58, 0x5a, 0xc3), .in = {REG(RSP, DATA - 16)},
		.memory = {0, 0, 0, 0, 0, 0x80}, .bytes = 8,
		.intel = {EXC_GP, CODE + 2, .gpr = {REG(RSP, DATA), REG(RAX, 0), REG(RDX, 0)}},
		.amd = {EXC_GP, CODE + 2, .gpr = {REG(RSP, DATA), REG(RAX, 0), REG(RDX, 0)}}},
	/* EVEX.X means nothing here; AMD's are right too unless a stack operation is under way */
	{"PUSH, then VPBROADCASTQ of RSP with EVEX.X",
		BYTES(0x50, 0x62, 0xb2, 0xfd, 0x48, 0x7c, 0xcc, 0x66, 0x48, 0x0f, 0x7e, 0xc9),
		.needs = NEEDS_AVX512, .in = {REG(RCX, 0)},
		.intel = {.gpr = {REG(RSP, STACK - 8), REG(RCX, STACK - 8)}},
		.amd = {.gpr = {REG(RSP, STACK - 8), REG(RCX, STACK - 8)}},
		.other = UNSTEADY, .amd_other = {.gpr = {REG(RSP, STACK - 8), REG(RCX, STACK)}}},
};
/* clang-format on */

/* --- flags that the manuals leave undefined ---------------------------------------------------- */

/* Which status flags an instruction leaves as they were. */
static const struct {
	const char *name;
	uint8_t code[8], length;
	uint32_t intel, amd;
} kept[] = {
	{"MUL r8", BYTES(0xf6, 0xe1), 0, FL_SF | FL_ZF | FL_AF | FL_PF},
	{"MUL r64", BYTES(0x48, 0xf7, 0xe1), 0, FL_SF | FL_ZF | FL_AF | FL_PF},
	{"IMUL r16", BYTES(0x66, 0xf7, 0xe9), 0, FL_SF | FL_ZF | FL_AF | FL_PF},
	{"IMUL r32, r32", BYTES(0x0f, 0xaf, 0xc1), 0, FL_SF | FL_ZF | FL_AF | FL_PF},
	{"IMUL r64, r64, imm", BYTES(0x48, 0x6b, 0xc1, 5), 0, FL_SF | FL_ZF | FL_AF | FL_PF},
	{"LZCNT", BYTES(0xf3, 0x48, 0x0f, 0xbd, 0xc1), 0, FL_OF},
	{"TZCNT", BYTES(0xf3, 0x0f, 0xbc, 0xc1), 0, FL_OF},
	{"AND", BYTES(0x21, 0xc8), 0, 0},
	{"XOR", BYTES(0x48, 0x31, 0xc8), 0, 0},
	{"TEST", BYTES(0x84, 0xc8), 0, 0},
	{"SHL by 5", BYTES(0xc1, 0xe0, 5), 0, 0},
	{"SAR r16 by 7", BYTES(0x66, 0xc1, 0xf8, 7), 0, 0},
	{"SHR r8 by 20", BYTES(0xc0, 0xe8, 20), 0, 0},
	{"ANDN", BYTES(0xc4, 0xe2, 0xc8, 0xf2, 0xc1), 0, 0},
	{"BEXTR", BYTES(0xc4, 0xe2, 0xf0, 0xf7, 0xc6), 0, 0},
	{"BLSI", BYTES(0xc4, 0xe2, 0xf8, 0xf3, 0xd9), 0, 0},
	{"BZHI", BYTES(0xc4, 0xe2, 0xf0, 0xf5, 0xc6), 0, 0},
};

/* --- running ------------------------------------------------------------------------------------- */

enum maker { INTEL, AMD, AMD_OLDER, MAKERS };
static const char *const maker_name[MAKERS] = {"Intel", "AMD", "AMD before family 1Ah"};

static unsigned passed, failed;
static uint8_t *data, *data_out, *code_out;

static void verdict(bool good, const char *who, const char *name)
{
	*(good ? &passed : &failed) += 1;
	if (!good)
		printf("not ok %s: %s\n", who, name);
}

static void code_fill(uint8_t *code, const uint8_t *bytes, unsigned length)
{
	memset(code, 0xcc, CODE_SIZE);
	memcpy(code + AT, bytes, length);
}

/* The last bytes of each page are 0 to 7f. */
static void memory_fill(uint8_t *pages, const uint8_t *bytes, unsigned length)
{
	memset(pages, 0, DATA_STORED * PAGE);
	for (unsigned at = 0; at < DATA_STORED * PAGE; at++)
		if ((at & (PAGE - 1)) >= PAGE - 0x80)
			pages[at] = (uint8_t)(at & 0x7f);
	memcpy(pages + (DATA & (PAGE - 1)), bytes, length);
}

static void side_begin(struct side *s, uint32_t flags)
{
	uint16_t fcw = 0x37f;
	uint32_t mxcsr = 0x1f80;

	memset(s, 0, sizeof *s);
	s->rip = CODE;
	s->rflags = 0x202 | flags;
	s->gpr[RSP] = STACK;
	memcpy(s->xsave, &fcw, 2);
	memcpy(s->xsave + 24, &mxcsr, 4);
}

static bool run_natively(struct side *in, const uint8_t *code, const uint8_t *pages,
	struct side *out)
{
	struct job job = {.in = *in};
	bool ended;

	native_begin();
	ended = native_run(&job, code, pages, code_out, data_out);
	native_end();
	*out = job.out;
	return ended;
}

static bool run_guest(struct guest *g, struct side *in, const uint8_t *code, const uint8_t *pages,
	struct side *out)
{
	bool hung = true;

	memcpy(guest_slot_code(g, 0), code, CODE_SIZE);
	memcpy(guest_slot_data(g, 0), pages, DATA_STORED * PAGE);
	guest_job(g, 0)->in = *in;
	guest_ready(g, 0, false, false);
	if (guest_run(g, 1, &hung))
		hung = true;
	*out = guest_job(g, 0)->out;
	return !hung;
}

/* --- comparing ------------------------------------------------------------------------------------ */

static bool same(const char *what, uint64_t expected, uint64_t found)
{
	if (expected != found)
		printf("# %s: %llx, found %llx\n", what, (unsigned long long)expected,
			(unsigned long long)found);
	return expected == found;
}

static bool ends_as(const struct row *row, const struct end *end, const struct side *in,
	const struct side *out)
{
	uint64_t rip = end->vector ? end->rip ? end->rip : CODE : CODE + row->length + 1;
	struct side want = *in;
	bool good = same("vector", end->vector ? end->vector : EXC_BP, out->vector);

	for (unsigned k = 0; k < 4; k++)
		if (end->gpr[k].set)
			want.gpr[end->gpr[k].reg] = end->gpr[k].value;
	good &= same("rip", rip, out->rip);
	for (unsigned r = 0; r < 16; r++) {
		char name[8];

		snprintf(name, sizeof name, "gpr %u", r);
		good &= same(name, want.gpr[r], out->gpr[r]);
	}
	if (end->vector == EXC_PF)
		good &= same("cr2", end->cr2, out->cr2);
	if (end->vector == EXC_PF || end->vector == EXC_GP)
		good &= same("error", end->error, out->error);
	return good & same("flags", end->flags & row->mask, out->rflags & row->mask);
}

static const struct end *end_of(const struct row *row, enum maker maker)
{
	if (maker == INTEL)
		return &row->intel;
	return maker == AMD_OLDER && row->other == OLDER ? &row->amd_other : &row->amd;
}

static bool there(const struct cpuid_policy *policy, uint8_t needs)
{
	return needs == NEEDS_NOTHING ||
		cpuid_policy_has(policy, 7, 0, 1, needs == NEEDS_SHA ? 29 : 16);
}

/* g: the engine, for a guest that is told of `maker`; NULL: this processor. */
static void check_row(const struct row *row, struct guest *g, enum maker maker, const char *who)
{
	static uint8_t code[CODE_SIZE];
	struct side in, out;
	bool ended;

	code_fill(code, row->code, row->length);
	memory_fill(data, row->memory, row->bytes);
	side_begin(&in, row->flags);
	for (unsigned k = 0; k < 4; k++)
		if (row->in[k].set)
			in.gpr[row->in[k].reg] = row->in[k].value;
	ended = g ? run_guest(g, &in, code, data, &out) : run_natively(&in, code, data, &out);
	/* only processors are */
	if (!g && maker != INTEL && row->other == UNSTEADY && ended &&
		out.gpr[RCX] == row->amd_other.gpr[1].value)
		verdict(ends_as(row, &row->amd_other, &in, &out), who, row->name);
	else
		verdict(ended && ends_as(row, end_of(row, maker), &in, &out), who, row->name);
}

static void check_kept(unsigned n, struct guest *g, enum maker maker, const char *who)
{
	static uint8_t code[CODE_SIZE];
	uint32_t stays = FL_STATUS, expected = maker == INTEL ? kept[n].intel : kept[n].amd;
	struct rng r = {n + 1};

	code_fill(code, kept[n].code, kept[n].length);
	memory_fill(data, NULL, 0);
	for (unsigned turn = 0; turn < 20; turn++) {
		struct side in[2], out[2];

		side_begin(&in[0], 0);
		in[0].gpr[RAX] = rng_next(&r);
		in[0].gpr[RCX] = rng_next(&r);
		in[0].gpr[RSI] = rng_next(&r);
		in[1] = in[0];
		in[1].rflags |= FL_STATUS;
		for (unsigned k = 0; k < 2; k++)
			if (!(g ? run_guest(g, &in[k], code, data, &out[k])
				: run_natively(&in[k], code, data, &out[k])))
				stays = ~0u;
		stays &= (uint32_t)(out[0].rflags ^ out[1].rflags);
	}
	verdict(same("flags kept", expected, stays), who, kept[n].name);
}

/* --- this processor, and the engine for everybody --------------------------------------------------- */

static enum maker maker_of(const struct cpuid_policy *policy)
{
	if (!cpuid_policy_amd(policy))
		return INTEL;
	return cpuid_family(cpuid_policy_signature(policy)) < 0x1a ? AMD_OLDER : AMD;
}

static enum maker decider(const struct row *row, enum maker host, enum maker told)
{
	if (row->whose == HOST || (row->whose == AMD_HOST && host == INTEL))
		return host;
	return told;
}

static void check_engine(const struct cpuid_policy *host, enum maker maker,
	const struct guest_options *options, const char *how)
{
	static const uint32_t signature[MAKERS] = {0x806f8, 0xb00f21, 0xa10f11};
	struct cpuid_policy policy = *host;
	struct guest *g;
	char who[80];

	policy_maker(&policy, maker == INTEL ? "GenuineIntel" : "AuthenticAMD", signature[maker]);
	snprintf(who, sizeof who, "engine%s, guest of %s", how, maker_name[maker]);
	g = guest_create(&policy, options);
	if (!g) {
		verdict(false, who, "no guest");
		return;
	}
	for (size_t n = 0; n < sizeof rows / sizeof *rows; n++)
		if (there(host, rows[n].needs))
			check_row(&rows[n], g, decider(&rows[n], maker_of(host), maker), who);
	for (size_t n = 0; n < sizeof kept / sizeof *kept; n++)
		check_kept(n, g, maker_of(host), who);
	guest_destroy(g);
}

int main(void)
{
	static const struct {
		const char *how;
		struct guest_options options;
	} ways[] = {{"", {0}}, {" with windows", {.windows = true}}, {" stepping", {.step = true}}};
	struct cpuid_policy host;
	struct error err = {0};
	char who[80];

	data = malloc(DATA_STORED * PAGE);
	data_out = malloc(DATA_STORED * PAGE);
	code_out = malloc(CODE_SIZE);
	if (!data || !data_out || !code_out || native_init() ||
		cpuid_policy_init(&host, CPUID_TRANSLATE, 1, NULL, &err)) {
		fprintf(stderr, "makers: cannot set up %s\n", err.text);
		return 2;
	}
	snprintf(who, sizeof who, "this processor, %s", maker_name[maker_of(&host)]);
	for (size_t n = 0; n < sizeof rows / sizeof *rows; n++)
		if (there(&host, rows[n].needs))
			check_row(&rows[n], NULL, maker_of(&host), who);
	for (size_t n = 0; n < sizeof kept / sizeof *kept; n++)
		check_kept(n, NULL, maker_of(&host), who);
	for (size_t w = 0; w < sizeof ways / sizeof *ways; w++)
		for (unsigned maker = 0; maker < MAKERS; maker++)
			check_engine(&host, maker, &ways[w].options, ways[w].how);
	printf("%s makers: %u rows of %u\n", failed ? "not ok" : "ok", passed, passed + failed);
	return failed != 0;
}
