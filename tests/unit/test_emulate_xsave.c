/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended state: saving and restoring beside the host's own instructions; gathers; x87. The guest's
 * layout and that of the vCPU's image are any of the table's.
 */
#include <cpuid.h>
#include <stdlib.h>

#include "../layouts.h"
#include "emulate_rig.h"
#include "native.h"

#define IMAGE 4096
#define HEADER 512

static uint8_t host_state[IMAGE] __attribute__((aligned(64)));
static uint8_t prior[IMAGE] __attribute__((aligned(64)));
static uint8_t before[IMAGE] __attribute__((aligned(64)));
static uint8_t native_out[IMAGE] __attribute__((aligned(64)));
static uint8_t emulated_out[IMAGE] __attribute__((aligned(64)));
static uint64_t mask;           /* what this processor has enabled */
static uint64_t shared;         /* ... and the guest has too */
static struct xsave_layout own; /* this processor's */
static uint32_t features;       /* its XSAVEOPT, XSAVEC and XGETBV(1) */

/* xsave host_state; a; b; xrstor host_state: nothing else may run in between. */
#define SANDWICH(first, second, one, two, two_mask)                                 \
	__asm__ volatile("xsave64 %[host]\n" first "\n mov %[mask], %%eax\n" second \
			 "\n mov %[all], %%eax\n xrstor64 %[host]"                  \
			 : [host] "+m"(host_state), [out] "+m"(two)                 \
			 : [in] "m"(one), [mask] "S"((uint32_t)(two_mask)),         \
			 [all] "c"((uint32_t)mask), "a"((uint32_t)mask), "d"(0)     \
			 : "memory")

/* A guest of that layout, whose image has the layout of area. */
static void setup(const struct layout *guest, const struct xsave_layout *area)
{
	rig_long();
	rig_policy.area = *area;
	rig_policy.max_basic = 13;
	layout_tell(&rig_policy, guest, features);
	rig.cpu.xcr0 = guest->xcr0;
	rig.cpu.cr4 |= CR4_OSXSAVE;
	shared = mask & guest->xcr0;
}

static int find_own(void **state)
{
	uint32_t a, b, c, d;

	mask = native_components();
	own.mxcsr_mask = native_mxcsr_mask();
	__cpuid_count(13, 1, features, b, c, d);
	features &= 7;
	for (unsigned k = 2; k < COMP_COUNT; k++) {
		if (!(mask >> k & 1))
			continue;
		__cpuid_count(13, k, a, b, c, d);
		own.size[k] = a;
		own.offset[k] = b;
		own.align |= (c >> 1 & 1) << k;
	}
	return 0;
}

/* A state that a processor may be in, some components initial, as this one has it. */
static void random_state(uint8_t *image)
{
	uint64_t bv = shared & (uint64_t)rand();

	memset(image, 0, IMAGE);
	for (unsigned k = 0; k < 8; k++) {
		unsigned at = 32 + 16 * k;

		for (unsigned n = 0; n < 10; n++)
			image[at + n] = (uint8_t)rand();
	}
	for (unsigned at = 160; at < 416; at++)
		image[at] = (uint8_t)rand();
	for (unsigned k = 2; k < 8; k++)
		for (unsigned n = 0; n < own.size[k]; n++)
			image[own.offset[k] + n] = (uint8_t)rand();
	*(uint16_t *)image = (uint16_t)(0x37f & ~(rand() & 0x300));
	*(uint16_t *)(image + 2) = rand() & 0x7f7f;
	image[4] = (uint8_t)rand();
	*(uint32_t *)(image + 24) = 0x1f80 | (rand() & 0xe07f);
	*(uint32_t *)(image + 28) = native_mxcsr_mask();
	*(uint64_t *)(image + HEADER) = bv;
}

/* The same as the vCPU's. */
static void give(const uint8_t *image)
{
	memset(rig.cpu.xsave, 0, IMAGE);
	layout_move(rig.cpu.xsave, &rig_policy.area, image, &own);
	*(uint32_t *)(rig.cpu.xsave + XSAVE_MXCSR_MASK) = MXCSR_BITS;
	xsave_settle(rig.cpu.xsave, &rig_policy.area);
}

static enum outcome with_mask(uint64_t requested, const uint8_t *code, unsigned length)
{
	rig.cpu.gpr[RAX] = (uint32_t)requested;
	rig.cpu.gpr[RDX] = requested >> 32;
	rig.cpu.gpr[RBX] = RIG_DATA;
	return rig_step_bytes(code, length);
}

/* Reserved bytes of x87 registers, and what lies behind the XMM registers. */
static void drop_reserved(uint8_t *image)
{
	for (unsigned k = 0; k < 8; k++)
		memset(image + 32 + 16 * k + 10, 0, 6);
	memset(image + 416, 0, 96);
}

static void native_save(unsigned kind, uint64_t requested)
{
	if (kind == 0)
		SANDWICH("xrstor64 %[in]", "xsave64 %[out]", prior, native_out, requested);
	else if (kind == 1)
		SANDWICH("xrstor64 %[in]", "xsaveopt64 %[out]", prior, native_out, requested);
	else
		SANDWICH("xrstor64 %[in]", "xsavec64 %[out]", prior, native_out, requested);
}

static void save_once(const struct layout *guest, unsigned kind)
{
	static const uint8_t code[3][5] = {{0x48, 0x0f, 0xae, 0x23}, {0x48, 0x0f, 0xae, 0x33},
		{0x48, 0x0f, 0xc7, 0x23}};
	uint64_t requested = shared & (uint64_t)rand();
	bool compacted = kind == 2;
	uint8_t *memory = rig_memory + RIG_DATA;

	random_state(prior);
	give(prior);
	for (unsigned k = 0; k < IMAGE; k++)
		before[k] = (uint8_t)rand();
	memset(before + HEADER, 0, 64);
	*(uint64_t *)(before + HEADER) = shared & (uint64_t)rand();
	memcpy(memory, before, IMAGE);
	assert_ok(with_mask(requested, code[kind], 4));
	/* what counts as in use changes when an interrupt comes in between (SDM 1, 13.6): once more */
	for (unsigned k = 0; k < 20; k++) {
		memcpy(native_out, before, IMAGE);
		if (!compacted)
			layout_move(native_out, &own, before, &guest->area);
		native_save(kind, requested);
		if (memcmp(native_out + HEADER, memory + HEADER, 8) == 0)
			break;
	}
	if (compacted)
		memcpy(before, native_out, IMAGE);
	else
		layout_move(before, &guest->area, native_out, &own);
	/* the guest is not told of MXCSR.MM */
	if (*(uint32_t *)(before + XSAVE_MXCSR_MASK) == native_mxcsr_mask())
		*(uint32_t *)(before + XSAVE_MXCSR_MASK) = MXCSR_BITS;
	drop_reserved(before);
	drop_reserved(memory);
	assert_memory_equal(memory, before, IMAGE);
}

static void saving(void **state)
{
	srand(4);
	for (unsigned n = 0; n < 3000; n++) {
		const struct layout *guest = &layouts[n % LAYOUTS];
		const struct xsave_layout *area = n & 4 ? &own : &layouts[n >> 3 & 1].area;
		unsigned kind = n % 3;

		if (guest->xcr0 & ~mask || (kind && !(features >> (kind - 1) & 1)))
			continue;
		setup(guest, area);
		save_once(guest, kind);
	}
}

/* What the guest's state is after a restore, by way of the host's registers. */
static void read_back(const uint8_t *image, uint8_t *out)
{
	memset(out, 0, IMAGE);
	SANDWICH("xrstor64 %[in]", "xsave64 %[out]", *(uint8_t(*)[IMAGE])image,
		*(uint8_t(*)[IMAGE])out, mask);
}

static void settled(void)
{
	memcpy(before, rig.cpu.xsave, IMAGE);
	xsave_settle(before, &rig_policy.area);
	assert_memory_equal(before, rig.cpu.xsave, IMAGE);
}

static void restore_once(const struct layout *guest, bool compacted)
{
	static const uint8_t code[] = {0x48, 0x0f, 0xae, 0x2b};
	static uint8_t image[IMAGE] __attribute__((aligned(64)));
	uint64_t requested = shared & (uint64_t)rand();
	uint8_t *memory = rig_memory + RIG_DATA;

	random_state(prior);
	random_state(image);
	if (compacted) { /* as the host makes it */
		memset(native_out, 0, IMAGE);
		SANDWICH("xrstor64 %[in]", "xsavec64 %[out]", image, native_out, shared);
		memcpy(image, native_out, IMAGE);
		memcpy(memory, image, IMAGE);
	} else {
		layout_move(memory, &guest->area, image, &own);
	}
	give(prior);
	assert_ok(with_mask(requested, code, sizeof(code)));
	settled();
	memset(native_out, 0, IMAGE);
	layout_move(native_out, &own, rig.cpu.xsave, &rig_policy.area);
	read_back(native_out, emulated_out);
	memset(native_out, 0, IMAGE);
	__asm__ volatile("xsave64 %[host]\n xrstor64 %[prior]\n mov %[mask], %%eax\n"
			 "xrstor64 %[in]\n mov %[all], %%eax\n xsave64 %[out]\n"
			 "xrstor64 %[host]"
			 : [host] "+m"(host_state), [out] "+m"(native_out)
			 : [in] "m"(image), [prior] "m"(prior), [mask] "S"((uint32_t)requested),
			 [all] "c"((uint32_t)mask), "a"((uint32_t)mask), "d"(0)
			 : "memory");
	/* what counts as in use is the processor's own affair (SDM 1, 13.6) */
	memset(emulated_out + HEADER, 0, 8);
	memset(native_out + HEADER, 0, 8);
	assert_memory_equal(emulated_out, native_out, IMAGE);
}

static void restoring(void **state)
{
	srand(5);
	for (unsigned n = 0; n < 3000; n++) {
		const struct layout *guest = &layouts[n % LAYOUTS];
		const struct xsave_layout *area = n & 4 ? &own : &layouts[n >> 3 & 1].area;

		if (guest->xcr0 & ~mask)
			continue;
		setup(guest, area);
		restore_once(guest, n >> 4 & 1 && features & 2);
	}
}

/* Bytes of a component in the image: all the same, and the first half apart from the second. */
static void component_is(unsigned c, uint8_t low, uint8_t high)
{
	unsigned at = c == COMP_SSE ? XSAVE_XMM : rig_policy.area.offset[c];
	unsigned size = c == COMP_SSE ? 256 : rig_policy.area.size[c];

	for (unsigned n = 0; n < size; n++)
		assert_int_equal(rig.cpu.xsave[at + n], n < size / 2 ? low : high);
}

/* Outside 64-bit mode registers 8 and up keep what they have, also where others become initial. */
static void halves(void **state)
{
	for (unsigned n = 0; n < 4; n++) {
		bool initial = n & 1;
		uint8_t *memory = rig_memory + RIG_DATA, now = initial ? 0 : 0x33;

		setup(&layouts[n >> 1], &layouts[!(n >> 1)].area);
		load(SEG_CS, SEL_CODE32);
		memset(rig.cpu.xsave + XSAVE_XMM, 0x11, 256);
		memset(rig.cpu.xsave + XSAVE_END, 0x11, IMAGE - XSAVE_END);
		*(uint64_t *)(rig.cpu.xsave + HEADER) = 0xe7;
		memset(memory, 0, XSAVE_END);
		memset(memory + XSAVE_XMM, 0x33, 256);
		memset(memory + XSAVE_END, 0x33, IMAGE - XSAVE_END);
		*(uint32_t *)(memory + XSAVE_MXCSR) = MXCSR_INITIAL;
		*(uint64_t *)(memory + HEADER) = initial ? 0 : 0xe7;
		assert_ok(with_mask(0xe7, (const uint8_t[]){0x0f, 0xae, 0x2b}, 3));
		component_is(COMP_SSE, now, 0x11);
		component_is(COMP_AVX, now, 0x11);
		component_is(COMP_OPMASK, now, now);
		component_is(COMP_ZMM_HI, now, 0x11);
		component_is(COMP_ZMM_HI16, 0x11, 0x11);
		/* with what is left of it, a component is in use */
		assert_int_equal(*(uint64_t *)(rig.cpu.xsave + HEADER), initial ? 0xc6 : 0xe7);
	}
}

/* Images that would make the host's XRSTOR fault are refused, and nothing is loaded. */
static void bad_images(void **state)
{
	static const uint8_t code[] = {0x48, 0x0f, 0xae, 0x2b};
	uint8_t *guest = rig_memory + RIG_DATA;

	setup(&layouts[1], &layouts[0].area);
	for (unsigned k = 0; k < 12; k++) {
		random_state(prior);
		give(prior);
		memcpy(prior, rig.cpu.xsave, IMAGE);
		random_state(guest);
		switch (k) {
		case 0:
			*(uint64_t *)(guest + HEADER) |= 1ull << 8;
			break;
		case 1:
			*(uint64_t *)(guest + HEADER) |= 1ull << 63;
			break;
		case 2:
			guest[HEADER + 8] = 1; /* XCOMP_BV without bit 63 */
			break;
		case 3:
			guest[HEADER + 16] = 1;
			break;
		case 4:
			*(uint32_t *)(guest + 24) |= 1u << 16; /* MXCSR */
			break;
		case 5:
			*(uint64_t *)(guest + HEADER) = 3;
			*(uint64_t *)(guest + HEADER + 8) = 1ull << 63 | 1;
			break;
		case 6:
			*(uint64_t *)(guest + HEADER) = 0;
			*(uint64_t *)(guest + HEADER + 8) = 1ull << 63 | 1ull << 20;
			break;
		case 7:
			*(uint64_t *)(guest + HEADER) = 0;
			*(uint64_t *)(guest + HEADER + 8) = 1ull << 63 | 3;
			guest[HEADER + 63] = 1;
			break;
		case 8: /* more than XCR0 has */
			rig.cpu.xcr0 = 3;
			*(uint64_t *)(guest + HEADER) = 4;
			break;
		default:
			guest[HEADER + 8 + (k - 9) * 7] = 0x40;
			break;
		}
		assert_fault(with_mask(~0ull, code, sizeof(code)), EXC_GP, 0);
		assert_memory_equal(rig.cpu.xsave + 24, prior + 24, IMAGE - 24);
		rig.cpu.xcr0 = 0xe7;
	}
	rig.cpu.gpr[RBX] = RIG_DATA + 32;
	assert_fault(STEP(0x0f, 0xae, 0x2b), EXC_GP, 0);
	assert_fault(STEP(0x0f, 0xae, 0x23), EXC_GP, 0);
	rig.cpu.gpr[RBX] = RIG_DATA + 8;
	assert_fault(STEP(0x0f, 0xae, 0x0b), EXC_GP, 0);
	rig.cpu.cr0 |= CR0_TS;
	assert_fault(STEP(0x0f, 0xae, 0x2b), EXC_NM, 0);
	rig.cpu.cr4 &= ~(uint64_t)CR4_OSXSAVE;
	assert_fault(STEP(0x0f, 0xae, 0x2b), EXC_UD, 0);
}

static void fx_area(void **state)
{
	setup(&layouts[3], &own);
	random_state(prior);
	*(uint64_t *)(prior + HEADER) = 2;
	give(prior);
	rig.cpu.xsave[8] = 0x77; /* an instruction pointer of the host's */
	rig.cpu.gpr[RBX] = RIG_DATA;
	assert_ok(STEP(0x0f, 0xae, 0x03));
	assert_int_equal(get(RIG_DATA, 8), 0x37f); /* x87 was initial */
	assert_int_equal(get(RIG_DATA + 8, 8), 0);
	assert_memory_equal(rig_memory + RIG_DATA + 160, prior + 160, 256);
	put(RIG_DATA + 24, 0x10000, 4);
	assert_fault(STEP(0x0f, 0xae, 0x0b), EXC_GP, 0);
	put(RIG_DATA + 24, 0x1fbf, 4);
	put(RIG_DATA + 32, 0x1234, 8);
	assert_ok(STEP(0x0f, 0xae, 0x0b));
	assert_int_equal(*(uint64_t *)(rig.cpu.xsave + 32), 0x1234);
	assert_int_equal(*(uint32_t *)(rig.cpu.xsave + 24), 0x1fbf);
	assert_int_equal(*(uint64_t *)(rig.cpu.xsave + HEADER) & 3, 3);
}

/* MXCSR.MM: where the guest is told of it and the host has it. */
static void misaligned_bit(void **state)
{
	for (unsigned n = 0; n < 4; n++) {
		bool told = n & 1, there = n & 2;
		uint32_t bits = told && there ? MXCSR_BITS | MXCSR_MM : MXCSR_BITS;
		uint8_t *memory = rig_memory + RIG_DATA;
		struct insn i;

		setup(&layouts[3], &layouts[there].area);
		rig_policy.leaf[rig_policy.count++] =
			(struct cpuid_leaf){.leaf = 0x80000001, .ecx = told ? 1u << 7 : 0};
		rig.cpu.gpr[RBX] = RIG_DATA;
		assert_ok(STEP(0x0f, 0xae, 0x03)); /* fxsave */
		assert_int_equal(get(RIG_DATA + XSAVE_MXCSR_MASK, 4), bits);
		assert_ok(with_mask(3, (const uint8_t[]){0x0f, 0xae, 0x23}, 3)); /* xsave */
		assert_int_equal(get(RIG_DATA + XSAVE_MXCSR_MASK, 4), bits);
		memset(memory, 0, XSAVE_END);
		put(RIG_DATA + XSAVE_MXCSR, MXCSR_INITIAL | MXCSR_MM, 4);
		for (unsigned k = 0; k < 3; k++) {
			static const uint8_t code[3][4] = {{0x0f, 0xae, 0x0b}, /* fxrstor */
				{0x0f, 0xae, 0x2b},                            /* xrstor */
				{0x0f, 0xae, 0x53, XSAVE_MXCSR}};              /* ldmxcsr */
			enum outcome out;

			/* elsewhere it is not for the emulator */
			if (k == 2 && (told || !there))
				continue;
			*(uint32_t *)(rig.cpu.xsave + XSAVE_MXCSR) = MXCSR_INITIAL;
			out = with_mask(3, code[k], k == 2 ? 4 : 3);
			assert_int_equal(out, told && there ? OUT_OK : OUT_FAULT);
			if (out == OUT_FAULT)
				assert_int_equal(rig.fault.vector, EXC_GP);
			assert_int_equal(*(uint32_t *)(rig.cpu.xsave + XSAVE_MXCSR),
				out == OUT_OK ? MXCSR_INITIAL | MXCSR_MM : MXCSR_INITIAL);
		}
		rig_policy.leaf[rig_policy.count++] = (struct cpuid_leaf){.leaf = 1, .edx = ~0u};
		assert_int_equal(insn_decode(&i, (const uint8_t[15]){0x0f, 0xae, 0x53}, 15, 64,
					 &rig_policy),
			0);
		assert_int_equal(i.class, !told && there ? INSN_EMULATE : INSN_COPY);
		put(RIG_DATA + XSAVE_MXCSR, 0x1fbf, 4);
		if (!told && there) {
			assert_ok(STEP(0x0f, 0xae, 0x53, XSAVE_MXCSR));
			assert_int_equal(*(uint32_t *)(rig.cpu.xsave + XSAVE_MXCSR), 0x1fbf);
		}
	}
}

/* FNSTENV, FNSAVE, FLDENV, FRSTOR: there and back. */
static void environments(void **state)
{
	setup(&layouts[3], &own);
	random_state(prior);
	*(uint64_t *)(prior + HEADER) = 3;
	*(uint16_t *)prior = 0x37e;
	*(uint16_t *)(prior + 2) = 5 << 11;
	prior[4] = 0xa1; /* physical 0, 5, 7: ST3, ST0, ST2 */
	memset(prior + 32, 0, 128);
	*(uint16_t *)(prior + 32 + 8) = 0x3fff; /* ST0 = 1 */
	*(uint64_t *)(prior + 32) = 1ull << 63;
	*(uint16_t *)(prior + 32 + 32 + 8) = 0x7fff; /* ST2 is infinite */
	*(uint64_t *)(prior + 32 + 32) = 1ull << 63;
	give(prior);
	rig.cpu.gpr[RBX] = RIG_DATA;
	assert_ok(STEP(0xd9, 0x33)); /* fnstenv */
	assert_int_equal(get(RIG_DATA, 4), 0xffff037e);
	assert_int_equal(get(RIG_DATA + 4, 4), 0xffff0000 | 5 << 11);
	/* 7: special, 5: valid, 0: zero */
	assert_int_equal(get(RIG_DATA + 8, 4), 0xffff0000 | 0xb3fd);
	assert_int_equal(get(RIG_DATA + 12, 8), 0);
	assert_int_equal(rig.cpu.xsave[0], 0x7f);
	assert_ok(STEP(0xdd, 0x33)); /* fnsave */
	assert_memory_equal(rig_memory + RIG_DATA + 28, prior + 32, 10);
	assert_int_equal(*(uint64_t *)rig.cpu.xsave, 0x37f);
	assert_ok(STEP(0xdd, 0x23)); /* frstor */
	assert_int_equal(rig.cpu.xsave[4], 0xa1);
	assert_int_equal(*(uint16_t *)(rig.cpu.xsave + 2), 5 << 11);
	assert_memory_equal(rig.cpu.xsave + 32, prior + 32, 128);
	/* an unmasked pending exception is told to the next that waits */
	put(RIG_DATA, 0x37e, 2);
	put(RIG_DATA + 4, 1, 2);
	assert_ok(STEP(0xd9, 0x23)); /* fldenv */
	assert_int_equal(*(uint16_t *)(rig.cpu.xsave + 2), 0x8081);
	assert_fault(STEP(0xd9, 0x23), EXC_MF, 0);
	/* TOP went from 5 to 0, the registers stayed: what was ST0 is now ST5 */
	assert_memory_equal(rig.cpu.xsave + 32 + 16 * 5, prior + 32, 10);
	rig.cpu.cr0 |= CR0_EM;
	assert_fault(STEP(0xd9, 0x33), EXC_NM, 0);
}

/* --- gathers, scatters, masked stores ------------------------------------------------ */

static uint32_t *lane32(unsigned reg, unsigned lane)
{
	if (lane < 4)
		return (uint32_t *)(rig.cpu.xsave + 160 + 16 * reg + 4 * lane);
	return (uint32_t *)(rig.cpu.xsave + rig_policy.area.offset[2] + 16 * reg + 4 * (lane - 4));
}

static void gather_vex(const struct layout *guest, const struct layout *area)
{
	/* vpgatherdd ymm1, [rbx + ymm2 * 4 + 8], ymm3 */
	static const uint8_t code[] = {0xc4, 0xe2, 0x65, 0x90, 0x4c, 0x93, 0x08};

	setup(guest, &area->area);
	memset(rig.cpu.xsave + HEADER, 0, 64);
	rig.cpu.gpr[RBX] = RIG_DATA;
	rig.cpu.xsave[HEADER] = 6;
	for (unsigned k = 0; k < 8; k++) {
		*lane32(1, k) = 0x100 + k;
		*lane32(2, k) = (k & 1 ? -16 : 16) * k;
		*lane32(3, k) = k == 2 ? 0x7fffffff : 0x80000000;
		put(RIG_DATA + 8 + 4 * (k & 1 ? -16 : 16) * k, 0x1000 + k, 4);
	}
	/* lane 6 is in a page that is not there: the lanes before are done */
	*lane32(2, 6) = 0x10000;
	rig_page[(RIG_DATA + 0x40000) >> 12] = RIG_PAGE_ABSENT;
	assert_fault(rig_step_bytes(code, sizeof(code)), EXC_PF, 0);
	for (unsigned k = 0; k < 8; k++) {
		assert_int_equal(*lane32(1, k), k == 2 || k >= 6 ? 0x100 + k : 0x1000 + k);
		assert_int_equal(*lane32(3, k), k == 2 ? 0x7fffffff : k < 6 ? 0 : 0x80000000);
	}
	rig_page[(RIG_DATA + 0x40000) >> 12] = 0;
	put(RIG_DATA + 8 + 0x40000, 0x1006, 4);
	assert_ok(rig_step_bytes(code, sizeof(code)));
	for (unsigned k = 0; k < 8; k++) {
		assert_int_equal(*lane32(1, k), k == 2 ? 0x102 : 0x1000 + k);
		assert_int_equal(*lane32(3, k), 0);
	}
	/* destination and mask must differ */
	assert_fault(STEP(0xc4, 0xe2, 0x75, 0x90, 0x4c, 0x93, 0x08), EXC_UD, 0);
}

static void scatter_evex(const struct layout *guest, const struct layout *area)
{
	/* vpscatterdd [rbx + zmm18 * 4]{k1}, zmm17 */
	static const uint8_t code[] = {0x62, 0xe2, 0x7d, 0x41, 0xa0, 0x0c, 0x93};
	uint32_t *data, *index;

	setup(guest, &area->area);
	memset(rig.cpu.xsave + HEADER, 0, 64);
	*(uint64_t *)(rig.cpu.xsave + HEADER) = 0xe7;
	data = (uint32_t *)(rig.cpu.xsave + rig_policy.area.offset[7] + 64);
	index = (uint32_t *)(rig.cpu.xsave + rig_policy.area.offset[7] + 128);
	for (unsigned k = 0; k < 16; k++) {
		data[k] = 0x500 + k;
		index[k] = 3 * k;
	}
	*(uint64_t *)(rig.cpu.xsave + rig_policy.area.offset[5] + 8) = 0xffffffffffff0ff7;
	rig.cpu.gpr[RBX] = RIG_DATA;
	assert_ok(rig_step_bytes(code, sizeof(code)));
	for (unsigned k = 0; k < 16; k++)
		assert_int_equal(get(RIG_DATA + 12 * k, 4), 0x0ff7 >> k & 1 ? 0x500 + k : 0);
	assert_int_equal(*(uint64_t *)(rig.cpu.xsave + rig_policy.area.offset[5] + 8), 0);
	rig.cpu.xcr0 = 7;
	assert_fault(rig_step_bytes(code, sizeof(code)), EXC_UD, 0);
}

static void gathers(void **state)
{
	for (unsigned n = 0; n < 9; n++)
		gather_vex(&layouts[n / 3], &layouts[n % 3]);
	for (unsigned n = 0; n < 4; n++)
		scatter_evex(&layouts[n / 2], &layouts[n % 2]);
}

static void masked_store(void **state)
{
	setup(&layouts[3], &own);
	rig.cpu.xsave[HEADER] = 3;
	for (unsigned k = 0; k < 16; k++) {
		rig.cpu.xsave[160 + 16 + k] = (uint8_t)(k + 1);
		rig.cpu.xsave[160 + 32 + k] = k % 3 ? 0x80 : 0x7f;
	}
	rig.cpu.gpr[RDI] = RIG_DATA;
	assert_ok(STEP(0x66, 0x0f, 0xf7, 0xca)); /* maskmovdqu xmm1, xmm2 */
	for (unsigned k = 0; k < 16; k++)
		assert_int_equal(rig_memory[RIG_DATA + k], k % 3 ? k + 1 : 0);
	/* MMX waits for pending x87 exceptions (SDM 2B, MASKMOVQ) */
	*(uint16_t *)(rig.cpu.xsave + 2) = 0x8081;
	assert_fault(STEP(0x0f, 0xf7, 0xca), EXC_MF, 0);
	assert_ok(STEP(0x66, 0x0f, 0xf7, 0xca));
	/* maskmovq mm1, mm2 with TOP at 3: MM1 is ST6 */
	*(uint16_t *)(rig.cpu.xsave + 2) = 3 << 11;
	*(uint64_t *)(rig.cpu.xsave + 32 + 16 * 6) = 0x0807060504030201;
	*(uint64_t *)(rig.cpu.xsave + 32 + 16 * 7) = 0x80008000800080ff;
	assert_ok(STEP(0x0f, 0xf7, 0xca));
	assert_int_equal(get(RIG_DATA, 8), 0x0800060504030201);
	assert_int_equal(rig.cpu.xsave[4], 0xff);
	assert_int_equal(*(uint16_t *)(rig.cpu.xsave + 2), 0);
	assert_int_equal(*(uint64_t *)(rig.cpu.xsave + 32 + 16), 0x0807060504030201);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(saving),
		cmocka_unit_test(restoring),
		cmocka_unit_test(halves),
		cmocka_unit_test(bad_images),
		cmocka_unit_test(fx_area),
		cmocka_unit_test(misaligned_bit),
		cmocka_unit_test(environments),
		cmocka_unit_test(gathers),
		cmocka_unit_test(masked_store),
	};

	return cmocka_run_group_tests(tests, find_own, NULL);
}
