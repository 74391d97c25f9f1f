/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include <Zydis/Zydis.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/decode/insn.h"

static void format_bytes(const struct insn *insn, char *text, unsigned size)
{
	unsigned used = snprintf(text, size, "db");

	for (unsigned i = 0; i < insn->length && i < sizeof insn->bytes && used < size; i++)
		used += snprintf(text + used, size - used, "%s %02x", i ? "," : "", insn->bytes[i]);
}

void insn_format(const struct insn *insn, uint64_t rip, unsigned code_bits, char *text,
	unsigned size)
{
	ZydisMachineMode mode = code_bits == 64 ? ZYDIS_MACHINE_MODE_LONG_64
		: code_bits == 32               ? ZYDIS_MACHINE_MODE_LEGACY_32
						: ZYDIS_MACHINE_MODE_LEGACY_16;
	ZydisDecoder decoder;
	ZydisDecodedInstruction in;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ZydisFormatter f;
	char all[256];

	if (size == 0)
		return;
	if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, mode,
		    code_bits == 64           ? ZYDIS_STACK_WIDTH_64
			    : code_bits == 32 ? ZYDIS_STACK_WIDTH_32
					      : ZYDIS_STACK_WIDTH_16)) ||
		!ZYAN_SUCCESS(
			ZydisDecoderDecodeFull(&decoder, insn->bytes, insn->length, &in, op)) ||
		!ZYAN_SUCCESS(ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL)) ||
		!ZYAN_SUCCESS(ZydisFormatterSetProperty(&f,
			ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE, ZYDIS_PADDING_DISABLED)) ||
		!ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&f, &in, op, in.operand_count_visible,
			all, sizeof all, rip, NULL)))
		format_bytes(insn, text, size);
	else
		snprintf(text, size, "%s", all);
}
