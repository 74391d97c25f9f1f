/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle test: random sequences of unprivileged 64-bit instructions run on
 * this processor and, translated, in a guest; registers, flags, vector state,
 * memory and faults must come out the same. What may differ is in compare.c.
 */
#ifndef DACH_TESTS_ORACLE_H
#define DACH_TESTS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../native_state.h"
#include "cpu/cpuid.h"
#include "cpu/state.h"
#include "cpu/translate/decode/insn.h"
#include "layout.h"

#define PAGE 4096u
#define CODE_SIZE (CODE_PAGES * PAGE)
#define BATCH 64u /* sequences per guest run */

/* The state before or after a sequence. */
struct side {
	uint64_t gpr[16];
	uint64_t rflags, rip, fs, gs;
	uint64_t vector, error, cr2; /* how it ended */
	uint64_t unused;             /* natively: how often the clock ticked meanwhile */
	uint8_t xsave[XSAVE_SIZE];
} __attribute__((aligned(64)));

struct job {
	struct side in, out;
	uint64_t cr3, cs, ss, components;
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct side, rflags) == SIDE_RFLAGS, "layout");
_Static_assert(offsetof(struct side, vector) == SIDE_VECTOR, "layout");
_Static_assert(offsetof(struct side, xsave) == SIDE_XSAVE, "layout");
_Static_assert(sizeof(struct side) == SIDE_SIZE, "layout");
_Static_assert(offsetof(struct job, cr3) == JOB_CR3, "layout");
_Static_assert(offsetof(struct job, components) == JOB_COMPONENTS, "layout");
_Static_assert(sizeof(struct job) <= JOB_SIZE, "layout");

/* --- chance (rng.c) ---------------------------------------------------------------------- */

struct rng {
	uint64_t state;
};

uint64_t rng_next(struct rng *r);
/* 0 .. n-1 */
unsigned rng_below(struct rng *r, unsigned n);
/* True once in n times. */
bool rng_once(struct rng *r, unsigned n);
/* A number such as programs have: small, extreme, random. */
uint64_t rng_value(struct rng *r);

/* --- sequences (sequence.c, generate.c) ---------------------------------------------------------------- */

#define ITEMS 40

/* What an instruction's displacement is set to once addresses are known. */
enum fix {
	FIX_NONE,
	FIX_BRANCH, /* relative to the end of the instruction, to an item */
	FIX_CODE,   /* the absolute address of an item (or of its last byte: FIX_PATCH) */
	FIX_DATA,   /* relative to the end of the instruction, to an address */
	FIX_PATCH,  /* relative to the end of the instruction, to an item's last byte */
};

struct item {
	uint8_t bytes[15];
	uint8_t length;
	uint8_t fix, fix_at, fix_size; /* where in bytes */
	uint8_t target;                /* item; may be `count`, the end */
	uint64_t address;              /* FIX_DATA */
	uint8_t narrow; /* 1 + place of the prefix that 32-bit code has another for */
	bool tied;      /* makes sense only after the one before */
	bool dropped;
};

struct sequence {
	uint64_t seed;
	struct item item[ITEMS];
	unsigned count;
	unsigned offset; /* of the first item from CODE_BASE */
	bool supervisor; /* the guest runs it at CPL 0 */
	bool narrow;     /* ... and as 32-bit code */
	struct side in;
	uint32_t data_seed;
};

/* The registers that hold addresses and small numbers while a sequence is made. */
struct pool {
	uint16_t pointers, counters;
	uint16_t kept; /* must not be changed now: a loop's counter */
	bool alias;    /* a pointer may be beyond 32 bits */
	bool segments; /* FS and GS have bases */
	bool wild;     /* addresses go astray often */
	bool narrow;   /* only what means the same in 32-bit code */
};

struct generator {
	struct cpuid_policy policy;
	struct form_table *forms;
	const char *only;
	bool fsgsbase; /* this host lets programs set their FS and GS bases */
	bool nt, rsp;  /* and keep NT, and an RSP that is not canonical */
};

/* policy.c: the guest is told of that maker's processor; signature: leaf 1's EAX. */
void policy_maker(struct cpuid_policy *policy, const char *maker, uint32_t signature);

/* layout: of layouts.h, what the guest's XSAVE writes; NULL: this host's. */
int generator_init(struct generator *g, const char *only, const char *layout);
void generator_end(struct generator *g);
void generate(struct generator *g, uint64_t seed, struct sequence *s);
/* One more item; false if there is no room. */
struct item *sequence_add(struct sequence *s, const uint8_t *bytes, unsigned length);
/* Writes the END_LENGTH bytes by which a sequence ends. */
void sequence_terminate(uint8_t *code, unsigned at);
/* Puts the bytes where they run; returns the offset of the end (not terminated) from CODE_BASE. */
unsigned sequence_place(const struct sequence *s, uint8_t *code);
/* Makes of that what the guest runs, if it is 32-bit code. */
void sequence_narrow(const struct sequence *s, uint8_t *code);
/* For people. */
void sequence_print(const struct sequence *s);
/* Takes over from `after` what the sequence was meant to change in its code. */
void sequence_patched(const struct sequence *s, uint8_t *code, const uint8_t *after);
uint64_t sequence_address(const struct sequence *s, unsigned item);

/* --- one random instruction (forms.c, random.c) -------------------------------------------- */

struct form_table;

/* Every opcode that may appear, by mnemonic; NULL if `only` matches none. */
struct form_table *form_table_create(const struct cpuid_policy *policy, const char *only);
/* A random instruction; false after too many attempts. */
bool form_random(const struct form_table *t, struct rng *r, const struct pool *pool,
	bool supervisor, struct item *item);
void form_table_destroy(struct form_table *t);

/* Random bytes that name a memory operand for ModRM: see random.c. */
struct memory {
	uint8_t modrm_mod, modrm_rm, sib;
	bool has_sib, rip;
	bool rex_b, rex_x, evex_v;
	bool address32;
	uint8_t segment; /* prefix or 0 */
	uint8_t disp_size;
	uint32_t disp;
	uint64_t target; /* with rip */
};
struct memory memory_random(struct rng *r, const struct pool *pool, bool vsib);

/* narrow.c: can the instruction run as 32-bit code? Sets item->narrow. */
bool narrow_accept(const struct cpuid_policy *policy, const struct insn *wide, struct item *item);
/* The item's bytes as 32-bit code. */
void narrow_bytes(const struct item *i, uint8_t *bytes);

/* --- states (state.c) ------------------------------------------------------------------------ */

/* components: those that may be in use. */
void state_random(struct rng *r, const struct pool *pool, bool fsgsbase, uint64_t components,
	struct side *in);
/* An address in or near the data area; unless wild, one with room around it that can be written. */
uint64_t address_random(struct rng *r, bool wild);

/* --- data area (data.c) ------------------------------------------------------------------------ */

/* The pages of the data area that exist, in order. */
extern const uint8_t data_present[DATA_PAGES], data_writable[DATA_PAGES];
extern const uint8_t data_device[DATA_PAGES]; /* with --device */
extern const uint8_t data_apart[DATA_PAGES];
#define DATA_STORED 8u
void data_fill(uint8_t *pages, uint32_t seed);

/* --- native (native.c) --------------------------------------------------------------------------- */

int native_init(void);
/* Between runs of the guest: signal handlers are shared. */
void native_begin(void);
void native_end(void);
/* Fills job->out, code and data (CODE_SIZE, DATA_STORED pages). False: it did not end. */
bool native_run(struct job *job, const uint8_t *code, const uint8_t *data, uint8_t *code_out,
	uint8_t *data_out);
bool native_fsgsbase(void);
bool native_keeps_nt(void);
bool native_keeps_rsp(void);
static inline bool canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* --- guest (guest.c) --------------------------------------------------------------------------- */

struct guest;

/* How the engine is driven beside the plain way. */
struct guest_options {
	bool windows;         /* user code reaches its memory through them */
	bool native;          /* it runs as it is, in a mirror */
	bool no_adx;          /* as on a host without ADCX */
	bool step;            /* one instruction a block */
	unsigned small_cache; /* bytes of code before the oldest is forgotten; 0: as it is */
	unsigned kick;        /* microseconds between interruptions; 0: none */
	bool kill;            /* mirrors are, one after the other, when nothing runs there */
	bool device;          /* some of the data pages are device memory */
};

struct guest *guest_create(const struct cpuid_policy *policy, const struct guest_options *options);
void guest_destroy(struct guest *g);
struct job *guest_job(struct guest *g, unsigned slot);
uint8_t *guest_slot_code(struct guest *g, unsigned slot);
uint64_t guest_slot_phys(unsigned slot);
uint8_t *guest_slot_data(struct guest *g, unsigned slot);
/* Readies a slot: its page tables, and what host code has written to its code. */
void guest_ready(struct guest *g, unsigned slot, bool supervisor, bool narrow);
/* Runs slots 0 .. count-1. hung[slot] is set where the sequence did not end. 0 or -1. */
int guest_run(struct guest *g, unsigned count, bool *hung);
void guest_stats(struct guest *g, FILE *out);
struct translate_vm *guest_vm(struct guest *g);

/* --- comparing (compare.c) ------------------------------------------------------------------------ */

struct difference {
	unsigned count;
	char text[4096];
};

struct outcome_pair {
	const struct side *native, *guest;
	const uint8_t *native_code, *guest_code;
	const uint8_t *native_data, *guest_data;
	bool supervisor, narrow, amd;
	const uint8_t *code, *guest_before; /* as they would be but for accidents */
};

bool compare(const struct outcome_pair *p, struct difference *d);

/* --- the structural check (structure.c) --------------------------------------------------------- */

/* Decodes the whole code cache; the number of what is wrong, which is printed. */
unsigned structure_check(struct translate_vm *vm, unsigned *instructions);
/* Prints the host code of what lies in this guest physical memory. */
void structure_dump(struct translate_vm *vm, uint64_t gpa, unsigned size);

#endif
