/* SPDX-License-Identifier: Apache-2.0 */
/* The registers that a sequence starts with. */
#include <string.h>

#include "oracle.h"

uint64_t address_random(struct rng *r, bool wild)
{
	uint64_t at = DATA_BASE + rng_below(r, DATA_PAGES) * PAGE;

	if (!wild) {
		at = DATA_BASE + PAGE + 1024 + rng_below(r, 3 * PAGE - 3072);
		return rng_once(r, 6) ? at : at & ~(uint64_t)(rng_once(r, 2) ? 63 : 15);
	}
	switch (rng_below(r, 8)) {
	case 0:
	case 1: /* about a page's end */
		at += rng_below(r, 128) - 64;
		break;
	case 2:
		at += rng_below(r, PAGE / 64) * 64;
		break;
	default: /* the middle of what can be written */
		at = DATA_BASE + PAGE + rng_below(r, 3 * PAGE);
		if (!rng_once(r, 4))
			at &= ~(uint64_t)(rng_once(r, 2) ? 63 : 15);
		break;
	}
	return at;
}

/* A number of double extended precision, of common size mostly. */
static void random_x87(struct rng *r, uint8_t *st)
{
	uint64_t mantissa = rng_next(r);
	uint16_t exponent = (uint16_t)rng_next(r);

	switch (rng_below(r, 8)) {
	case 0:
		break; /* anything: most are unsupported */
	case 1:
		mantissa |= 1ull << 63;
		break;
	case 2:
		exponent |= 0x7fff;
		mantissa |= 1ull << 63;
		break;
	case 3:
		exponent &= 0x8000;
		mantissa >>= 1;
		break;
	default:
		mantissa |= 1ull << 63;
		exponent = (uint16_t)((exponent & 0x8000) | (0x3ff0 + rng_below(r, 64)));
		break;
	}
	memcpy(st, &mantissa, 8);
	memcpy(st + 8, &exponent, 2);
}

static void random_control(struct rng *r, uint8_t *xsave)
{
	static const uint16_t precision[] = {0, 0x200, 0x300, 0x300};
	uint16_t fcw = (uint16_t)(0x40 | rng_below(r, 4) << 10 | precision[rng_below(r, 4)]);
	uint16_t fsw = (uint16_t)(rng_below(r, 8) << 11 | (rng_next(r) & 0x4700));
	uint32_t mxcsr = rng_below(r, 4) << 13;

	fcw |= rng_once(r, 6) ? rng_next(r) & 0x3f : 0x3f;
	mxcsr |= rng_once(r, 6) ? rng_next(r) & 0x1f80 : 0x1f80;
	if (rng_once(r, 3))
		mxcsr |= rng_next(r) & 0x807f;
	if (rng_once(r, 3)) {
		fsw |= rng_next(r) & 0x3f;
		if (fsw & ~fcw & 0x3f)
			fsw |= 0x8080;
	}
	memcpy(xsave, &fcw, 2);
	memcpy(xsave + 2, &fsw, 2);
	xsave[4] = (uint8_t)(rng_once(r, 2) ? 0 : rng_once(r, 2) ? 0xff : rng_next(r));
	memcpy(xsave + 24, &mxcsr, 4);
}

static uint64_t random_lane(struct rng *r)
{
	uint64_t v = rng_next(r);
	float f[2];
	double d;

	switch (rng_below(r, 10)) {
	case 0:
		return rng_value(r);
	case 1:
	case 2:
		d = (double)(int32_t)v / 256.0;
		memcpy(&v, &d, 8);
		return v;
	case 3:
	case 4:
		f[0] = (float)(int32_t)v / 256.0f;
		f[1] = (float)(int16_t)(v >> 32);
		memcpy(&v, f, 8);
		return v;
	case 5:
		return (v & 0x800fffff807fffff) | (rng_once(r, 2) ? 0x7ff000007f800000 : 0);
	case 6: /* indices for gathers */
		return v & 0x000003ff000003ff;
	case 7:
		return 0;
	default:
		return v;
	}
}

/* The same numbers are drawn whether the component is there (at is not 0) or not. */
static void random_component(struct rng *r, uint8_t *xsave, unsigned at, unsigned size)
{
	for (unsigned n = 0; n < size; n += 8) {
		uint64_t v = random_lane(r);

		if (at)
			memcpy(xsave + at + n, &v, 8);
	}
}

static void random_vectors(struct rng *r, uint64_t components, uint8_t *xsave)
{
	uint64_t masks[8];

	memset(xsave, 0, XSAVE_SIZE);
	random_control(r, xsave);
	for (unsigned i = 0; i < 8; i++)
		random_x87(r, xsave + 32 + 16 * i);
	random_component(r, xsave, 160, 256); /* SSE */
	/* some components in their initial state */
	if (rng_once(r, 4))
		components &= rng_next(r) | 3;
	memcpy(xsave + 512, &components, 8);
	random_component(r, xsave, native_component(2), 256);
	for (unsigned i = 0; i < 8; i++)
		masks[i] = rng_once(r, 4) ? rng_value(r) : rng_next(r) & rng_next(r);
	if (native_component(5))
		memcpy(xsave + native_component(5), masks, 64);
	random_component(r, xsave, native_component(6), 512);
	random_component(r, xsave, native_component(7), 1024);
	/* asked for last: where there is no such bit a seed means the same as ever */
	if (native_mxcsr_mask() & MXCSR_MM && rng_once(r, 8))
		*(uint32_t *)(xsave + XSAVE_MXCSR) |= MXCSR_MM;
}

void state_random(struct rng *r, const struct pool *pool, bool fsgsbase, uint64_t components,
	struct side *in)
{
	memset(in, 0, sizeof *in);
	for (unsigned i = 0; i < 16; i++) {
		if (pool->pointers >> i & 1) {
			in->gpr[i] = address_random(r, pool->wild);
			if (pool->alias && rng_once(r, 3))
				in->gpr[i] += DATA_ALIAS - DATA_BASE;
		} else if (pool->counters >> i & 1) {
			in->gpr[i] = rng_below(r, 48);
			if (pool->wild && rng_once(r, 4))
				in->gpr[i] = -in->gpr[i];
		} else {
			in->gpr[i] = rng_once(r, 6) ? address_random(r, pool->wild) : rng_value(r);
		}
	}
	for (unsigned i = 0; pool->narrow && i < 16; i++)
		in->gpr[i] = (uint32_t)in->gpr[i];
	in->rflags = 0x202 | (rng_next(r) & (FL_STATUS | (rng_once(r, 4) ? FL_DF : 0)));
	if (fsgsbase && pool->segments) {
		in->fs = rng_below(r, 512) - 256;
		in->gs = rng_below(r, 16) * 16;
		if (pool->narrow) {
			in->fs &= 0xff;
		} else if (pool->wild) {
			in->fs = rng_below(r, 2 * PAGE) - PAGE;
			in->gs = rng_once(r, 4) ? address_random(r, true) : rng_below(r, PAGE);
		}
	}
	random_vectors(r, components, in->xsave);
}
