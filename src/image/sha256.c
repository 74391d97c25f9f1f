/* SPDX-License-Identifier: Apache-2.0 */
#include "image/sha256.h"

#include <stdio.h>
#include <string.h>

/* The first bits of the cube roots of the first 64 primes (4.2.2), and below of the square roots of eight (5.3.3). */
static const uint32_t constants[64] = {0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b,
	0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6,
	0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d,
	0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
	0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585,
	0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa,
	0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

void sha256_begin(struct sha256 *sha)
{
	*sha = (struct sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
				       0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

static uint32_t turn(uint32_t word, unsigned bits)
{
	return word >> bits | word << (32 - bits);
}

static void take_block(uint32_t state[8], const uint8_t block[SHA256_BLOCK])
{
	uint32_t w[64], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4],
			f = state[5], g = state[6], h = state[7];

	for (unsigned t = 0; t < 16; t++) {
		memcpy(&w[t], block + 4 * t, 4);
		w[t] = __builtin_bswap32(w[t]);
	}
	for (unsigned t = 16; t < 64; t++)
		w[t] = (turn(w[t - 2], 17) ^ turn(w[t - 2], 19) ^ w[t - 2] >> 10) + w[t - 7] +
			(turn(w[t - 15], 7) ^ turn(w[t - 15], 18) ^ w[t - 15] >> 3) + w[t - 16];
	for (unsigned t = 0; t < 64; t++) {
		const uint32_t one = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) +
			((e & f) ^ (~e & g)) + constants[t] + w[t];
		const uint32_t two =
			(turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));

		h = g, g = f, f = e, e = d + one;
		d = c, c = b, b = a, a = one + two;
	}
	state[0] += a, state[1] += b, state[2] += c, state[3] += d;
	state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

void sha256_add(struct sha256 *sha, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	size_t held = sha->bytes % SHA256_BLOCK;

	sha->bytes += size;
	if (held) {
		size_t more = SHA256_BLOCK - held;

		more = size < more ? size : more;
		memcpy(sha->rest + held, at, more);
		at += more;
		size -= more;
		if (held + more < SHA256_BLOCK)
			return;
		take_block(sha->state, sha->rest);
	}
	for (; size >= SHA256_BLOCK; at += SHA256_BLOCK, size -= SHA256_BLOCK)
		take_block(sha->state, at);
	memcpy(sha->rest, at, size);
}

/* A one, zeros up to the end of a block but 8 bytes, and how many bits there were (5.1.1). */
void sha256_end(struct sha256 *sha, char hex[SHA256_HEX])
{
	static const uint8_t padding[SHA256_BLOCK] = {0x80};
	const uint64_t bits = __builtin_bswap64(sha->bytes * 8);

	sha256_add(sha, padding, SHA256_BLOCK - (sha->bytes + 8) % SHA256_BLOCK);
	sha256_add(sha, &bits, sizeof bits);
	for (unsigned i = 0; i < 8; i++)
		snprintf(hex + 8 * i, 9, "%08x", sha->state[i]);
}
