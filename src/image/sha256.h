/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4, 6.2). */
#ifndef DACH_IMAGE_SHA256_H
#define DACH_IMAGE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BLOCK 64u
#define SHA256_HEX 65u /* bytes of a digest as text, with its end */

struct sha256 {
	uint32_t state[8];
	uint64_t bytes; /* that have been added */
	uint8_t rest[SHA256_BLOCK];
};

void sha256_begin(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const void *bytes, size_t size);
void sha256_end(struct sha256 *sha, char hex[SHA256_HEX]);

#endif
