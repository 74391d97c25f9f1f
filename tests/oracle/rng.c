/* SPDX-License-Identifier: Apache-2.0 */
#include "oracle.h"

uint64_t rng_next(struct rng *r)
{
	/* splitmix64, Steele, Lea and Flood 2014 */
	uint64_t z = r->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

unsigned rng_below(struct rng *r, unsigned n)
{
	return (unsigned)((rng_next(r) >> 32) * n >> 32);
}

bool rng_once(struct rng *r, unsigned n)
{
	return rng_below(r, n) == 0;
}

uint64_t rng_value(struct rng *r)
{
	static const uint64_t extremes[] = {0, 1, ~0ull, 0x8000000000000000, 0x7fffffffffffffff,
		0x80000000, 0x7fffffff, 0xffffffff, 0x8000, 0x7fff, 0xffff, 0x80, 0x7f, 0xff, 31,
		32, 63, 64, 0xffffffff80000000, 0x100000000};
	uint64_t v = rng_next(r);

	switch (rng_below(r, 6)) {
	case 0:
		return extremes[rng_below(r, sizeof extremes / sizeof *extremes)];
	case 1:
		return v & 0xff;
	case 2:
		return (uint32_t)v;
	case 3:
		return (uint64_t)(int64_t)(int16_t)v;
	default:
		return v;
	}
}
