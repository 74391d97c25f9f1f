/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions that a user may execute and that answer by the processor they run on, or write what only fits there
 * (RDTSC and RDTSCP raise a signal in a mirror). First their bytes are looked for, at every offset; then whether
 * they are an instruction there, or lie within others: code is decoded from several places before them, which agree after
 * a few instructions on where the next ones begin. Where all agree that it is one, a copy of the page can have UD2 in its
 * place (native_patch.c).
 *
 * A program that hides such an instruction, or writes it while it runs, is told of the host instead of its machine. That is
 * all: nothing of the guest's or the host's depends on what is found here.
 */
#include <Zydis/Zydis.h>
#include <string.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/native/native.h"

#define PAGE 4096u
#define LONGEST 15u
#define FARTHEST 64u /* bytes before an instruction that decoding begins */
#define NEAREST 24u
#define STEP 5u
/* ... from which all agree with what the processor finds: stores to a stack, one after the other, mislead for long */
#define SURE_FIRST 256u
#define SURE_LAST 200u
#define SURE_STEP 7u

/* The page between the end of the one before it and the beginning of the next. */
#define FIRST SURE_FIRST
#define SIZE (FIRST + PAGE + LONGEST)

#define REG_OF(modrm) ((modrm) >> 3 & 7)
#define IS_MEMORY(modrm) ((modrm) < 0xc0)

/* Might these bytes, which follow 0F, be one of them? */
static bool suspicious(uint8_t code, uint8_t modrm, bool cpuid_faults)
{
	switch (code) {
	case 0x01: /* XGETBV, RDPKRU, WRPKRU */
		return modrm == 0xd0 || modrm == 0xee || modrm == 0xef;
	case 0x03: /* LSL of a selector in a register: the number of the processor, in Linux */
		return !IS_MEMORY(modrm);
	case 0xa2:
		return !cpuid_faults;
	case 0xae: /* XSAVE, XRSTOR, XSAVEOPT: a guest's area may be smaller */
		return IS_MEMORY(modrm) && REG_OF(modrm) >= 4 && REG_OF(modrm) <= 6;
	case 0xc7: /* XSAVEC, RDPID */
		return REG_OF(modrm) == (IS_MEMORY(modrm) ? 4 : 7);
	default:
		return false;
	}
}

static bool tells(ZydisMnemonic mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_XGETBV:
	case ZYDIS_MNEMONIC_RDPKRU:
	case ZYDIS_MNEMONIC_WRPKRU:
	case ZYDIS_MNEMONIC_LSL:
	case ZYDIS_MNEMONIC_RDPID:
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XSAVEC:
	case ZYDIS_MNEMONIC_XSAVEC64:
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64:
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
		return true;
	default:
		return false;
	}
}

/* What the instruction is that has the byte `at`, if code begins at `from`. */
static ZydisMnemonic decode(const ZydisDecoder *d, const uint8_t *bytes, unsigned from, unsigned at)
{
	ZydisDecodedInstruction i;
	ZydisMnemonic last = ZYDIS_MNEMONIC_INVALID;

	while (from <= at) {
		last = ZYDIS_MNEMONIC_INVALID;
		if (ZYAN_FAILED(
			    ZydisDecoderDecodeInstruction(d, NULL, bytes + from, LONGEST, &i))) {
			from++;
			continue;
		}
		last = i.mnemonic;
		from += i.length;
	}
	return last;
}

/* start: of the bytes that are known. Is it one, by any beginning before it? */
static bool is_one(const ZydisDecoder *d, const uint8_t *bytes, unsigned start, unsigned at)
{
	unsigned from = at - start > FARTHEST ? at - FARTHEST : start;
	unsigned to = at - from > NEAREST + STEP ? at - NEAREST : at;

	for (; from <= to; from += to == at ? 1 : STEP)
		if (tells(decode(d, bytes, from, at)))
			return true;
	return false;
}

/* Is it one by all beginnings that are far enough? */
static bool is_surely_one(const ZydisDecoder *d, const uint8_t *bytes, unsigned start, unsigned at)
{
	if (at - start < SURE_FIRST)
		return false;
	for (unsigned from = at - SURE_FIRST; from <= at - SURE_LAST; from += SURE_STEP)
		if (!tells(decode(d, bytes, from, at)))
			return false;
	return true;
}

enum native_code native_scan(const uint8_t *before, const uint8_t *page, const uint8_t *next,
	bool cpuid_faults, struct native_found *found)
{
	uint8_t bytes[SIZE];
	unsigned start = before ? 0 : FIRST, end = FIRST + PAGE - (next ? 0 : 2);
	ZydisDecoder d;

	ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_MINIMAL, ZYAN_TRUE);
	if (before)
		memcpy(bytes, before + PAGE - FIRST, FIRST);
	memcpy(bytes + FIRST, page, PAGE);
	if (next)
		memcpy(bytes + FIRST + PAGE, next, LONGEST);
	else
		memset(bytes + FIRST + PAGE, 0x90, LONGEST);
	found->count = 0;
	/* what begins in the page before may end here */
	for (unsigned i = before ? FIRST - 2 : FIRST; i < end; i++) {
		if (bytes[i] != 0x0f || !suspicious(bytes[i + 1], bytes[i + 2], cpuid_faults) ||
			!is_one(&d, bytes, start, i))
			continue;
		/* UD2 has both its bytes in this page */
		if (i < FIRST || i + 1 == FIRST + PAGE || found->count == NATIVE_FOUND ||
			!is_surely_one(&d, bytes, start, i))
			return NATIVE_CODE_NOT;
		found->at[found->count++] = (uint16_t)(i - FIRST);
	}
	return found->count ? NATIVE_CODE_PATCHED : NATIVE_CODE_AS_IS;
}
