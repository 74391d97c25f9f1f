/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include <Zydis/Zydis.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/decode/insn.h"

static void format_bytes(const struct insn *insn, char *text, unsigned size)
{
	unsigned used = snprintf(text, size, "db");

	for (unsigned i = 0; i < insn->length && i < sizeof(insn->bytes) && used < size; i++)
		used += snprintf(text + used, size - used, "%s %02x", i ? "," : "", insn->bytes[i]);
}

void insn_format(const struct insn *insn, uint64_t rip, unsigned code_bits, char *text,
	unsigned size)
{
	ZydisMachineMode mode = code_bits == 64 ? ZYDIS_MACHINE_MODE_LONG_64
		: code_bits == 32               ? ZYDIS_MACHINE_MODE_LEGACY_32
						: ZYDIS_MACHINE_MODE_LEGACY_16;
	ZydisDisassembledInstruction out;

	if (size == 0)
		return;
	if (!ZYAN_SUCCESS(ZydisDisassembleIntel(mode, rip, insn->bytes, insn->length, &out))) {
		format_bytes(insn, text, size);
		return;
	}
	snprintf(text, size, "%s", out.text);
}
