/* SPDX-License-Identifier: Apache-2.0 */
/* The data area: which pages there are, and what is in them. */
#include <string.h>

#include "oracle.h"

/* three to write, one to read, a hole, single pages of both kinds between holes */
const uint8_t data_present[DATA_PAGES] = {0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 0};
const uint8_t data_writable[DATA_PAGES] = {0, 1, 1, 1, 0, 0, 1, 0, 0, 1, 1, 0};
/* beside memory on both sides, alone, read-only */
const uint8_t data_device[DATA_PAGES] = {0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 0};
/* not beside its neighbours in physical memory */
const uint8_t data_apart[DATA_PAGES] = {0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0};

/* Numbers of all kinds, floating point among them, made once. */
static uint64_t source[DATA_STORED * PAGE / 8 * 2];

static uint64_t number(struct rng *r)
{
	uint64_t v = rng_next(r);
	float f[2];
	double d;

	switch (rng_below(r, 8)) {
	case 0:
		return rng_value(r);
	case 1:
		d = (double)(int64_t)v / 65536.0;
		memcpy(&v, &d, 8);
		return v;
	case 2:
		f[0] = (float)(int16_t)v;
		f[1] = (float)(int32_t)(v >> 32) / 1024.0f;
		memcpy(&v, f, 8);
		return v;
	case 3: /* infinities, NaNs and denormals of either size */
		return (v & 0x800fffff807fffff) | (rng_once(r, 2) ? 0x7ff000007f800000 : 0);
	case 4:
		return address_random(r, true);
	case 5: /* bytes, as strings have them */
		return v & 0x0103010301030103;
	default:
		return v;
	}
}

void data_fill(uint8_t *pages, uint32_t seed)
{
	const unsigned quads = DATA_STORED * PAGE / 8;

	if (!source[0]) {
		struct rng r = {1};

		for (unsigned i = 0; i < 2 * quads; i++)
			source[i] = number(&r);
		source[0] = 1;
	}
	memcpy(pages, (uint8_t *)source + seed % (DATA_STORED * PAGE / 16) * 16,
		DATA_STORED * PAGE);
}
