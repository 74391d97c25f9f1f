/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox: what generated code may contain, a second opinion on the
 * allowlist, and copies into 64-bit code of what was 16- or 32-bit code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

#include "cpu/state.h"
#include "cpu/translate/emit/emit.h"
#include "insn_forms.h"
#include "insn_text.h"

static unsigned failures;

/* --- other code sizes ------------------------------------------------------------------- */

static const unsigned *sizes = (const unsigned[]){16, 32};

static void complain(const struct insn *i, unsigned bits, const char *what)
{
	char text[128];

	static uint16_t last;

	if (failures++ > 40 || last == i->mnemonic)
		return;
	last = i->mnemonic;
	insn_format(i, 0, bits, text, sizeof(text));
	print_error("%s (%u-bit): %s:", text, bits, what);
	for (unsigned n = 0; n < i->length; n++)
		print_error(" %02x", i->bytes[n]);
	print_error("\n");
}

/* A copy made for 64-bit code is there what the original is in its own. */
static void check_copy(const uint8_t bytes[15], unsigned bits)
{
	struct insn from, to;
	uint8_t code[64] = {0};
	struct emit e = {code, 0};

	if (insn_decode(&from, bytes, 15, bits, NULL) != 0 || from.class != INSN_COPY)
		return;
	emit_copy(&e, &from, bits, at_reg(RBX, 0));
	if (insn_decode(&to, code, e.at - code, 64, NULL) != 0 || to.class != INSN_COPY) {
		complain(&from, bits, "the copy is undefined");
		return;
	}
	if (to.length != e.at - code)
		complain(&from, bits, "length");
	if (to.mnemonic != from.mnemonic)
		complain(&from, bits, "mnemonic");
	if (to.has_mem != from.has_mem || to.mem_size != from.mem_size ||
		to.mem_read != from.mem_read || to.mem_write != from.mem_write ||
		to.mem_masked != from.mem_masked || to.mem_aligned != from.mem_aligned ||
		to.mask_reg != from.mask_reg)
		complain(&from, bits, "memory");
	if (to.gpr_write != from.gpr_write)
		complain(&from, bits, "registers written");
	if (!to.has_mem && to.gpr_read != from.gpr_read)
		complain(&from, bits, "registers read");
	if (to.flags_read != from.flags_read || to.flags_written != from.flags_written ||
		to.flags_maybe != from.flags_maybe)
		complain(&from, bits, "flags");
	if (to.state != from.state || to.may_fault != from.may_fault || to.imm != from.imm)
		complain(&from, bits, "state, faults, immediate");
}

static void visit_sizes(void *ctx, const uint8_t bytes[15])
{
	uint8_t b[15];

	(void)ctx;
	for (unsigned n = 0; n < 2; n++) {
		check_copy(bytes, sizes[n]);
		if (bytes[0] != 0xc4 && bytes[0] != 0x62) {
			b[0] = 0x66;
			memcpy(b + 1, bytes, 14);
			check_copy(b, sizes[n]);
			continue;
		}
		/* bits that such code ignores */
		memcpy(b, bytes, 15);
		b[2] ^= 0x40;
		check_copy(b, sizes[n]);
		b[1] ^= 0x20;
		check_copy(b, sizes[n]);
		if (bytes[0] != 0x62)
			continue;
		b[1] ^= 0x10;
		check_copy(b, sizes[n]);
		b[3] ^= 8;
		check_copy(b, sizes[n]);
	}
}

static void test_sizes(void **state)
{
	(void)state;
	failures = 0;
	insn_forms(FORMS_REGISTER, visit_sizes, NULL);
	insn_forms(FORMS_MIXED, visit_sizes, NULL);
	insn_forms(FORMS_MEMORY, visit_sizes, NULL);
	assert_int_equal(failures, 0);
}

/* --- the sandbox -------------------------------------------------------------------------- */

/* clang-format off */
/* Never in generated code, whoever puts it there. */
static const char *const forbidden[] = {"0f 05", "0f 34", "cd 80", "cc", "f1", "f3 0f ae c0",
	"f3 0f ae d8", "f3 48 0f ae d8", "f3 48 0f ae d0", "0f 01 f8", "8e d8", "8e e8", "0f a1",
	"0f a9", "0f b5 03", "8c d8", "9c", "9d", "66 9d", "0f a2", "f3 0f c7 f8", "0f 01 f9",
	"0f 01 d0", "0f 01 ee", "0f 01 ef", "0f 01 03", "0f 01 0b", "0f 00 c0", "0f 00 c8",
	"0f 01 e0", "0f 02 c1", "0f 03 c1", "0f 00 e0", "f3 0f ae f0", "66 0f ae f0", "f2 0f ae f0",
	"c7 f8 00 00 00 00", "c6 f8 00", "0f 01 d5", "0f 01 d6", "f3 0f ae e8", "f3 0f 01 28",
	"c4 e2 78 49 03", "0f 01 d7", "f2 0f 38 f8 03", "f3 0f 38 f8 03", "66 0f 38 f8 03",
	"f4", "e4 10", "ec",
	"6c", "0f 22 c0", "0f 30", "0f 32", "0f 33", "0f 06", "0f 08", "0f 09", "0f 01 3b", "cf",
	"cb", "ff 2b", "ff 1b", "e8 00 00 00 00", "c3", "50", "58", "ff 33", "8f 03", "ff 13",
	"ff d0", "c9", "ac", "f3 a6", "f2 ae", "f3 67 aa", "64 a4", "c8 00 00 00", "d7", "0f f7 c1", "64 8b 03", "64 89 03",
	"64 ff 23", "0f ab 03", "8b 04 8b", "8b 43 08", "8b 04 24", "8b 05 00 00 00 00",
	"67 8b 03", "41 ff 63 08", "4a 8b 04 5b", "ff 25 00 00 00 00", "a1 00 00 00 00 00 00 00 00", "0f 01 c1", "0f 01 d9",
	"f3 f2 0f 58 c1", "f3 01 d8", "fa", "fb", "0f ae 23", "0f ae 03", "d9 33", "0f 0b",
	"c4 e2 75 90 04 90", "0f c7 c8"};

static const char *const wanted[] = {
	"48 8b 03", "4d 8b 1a", "49 89 02", "65 48 8b 04 25 00 01 00 00",
	"65 4c 89 14 25 10 00 00 00", "65 4e 3b 1c d5 00 10 00 00", "4d 8d 54 8a 10",
	"48 8d 64 24 f8", "a4", "f3 aa", "f3 48 a5", "c4 43 fb f0 da 0c", "c4 42 aa f5 db", "45 0f b7 db", "e9 00 00 00 00",
	"74 10", "0f 85 00 00 00 00", "e3 02", "67 e3 02", "31 c0", "9f", "0f 90 c0", "9e",
	"65 ff 24 25 00 00 00 00", "41 ff e3", "65 42 ff 24 dd 00 10 00 00", "0f 31", "90", "4a 8b 04 1b", "4a 89 44 1c 08",
	"f0 41 0f b1 0a", "49 f7 d2"};
/* clang-format on */

static void test_host(void **state)
{
	uint8_t bytes[15];
	unsigned length;

	(void)state;
	for (unsigned n = 0; n < sizeof(forbidden) / sizeof(forbidden[0]); n++)
		if (insn_host_allowed(bytes, hex(forbidden[n], bytes), &length))
			fail_msg("%s is allowed", forbidden[n]);
	for (unsigned n = 0; n < sizeof(wanted) / sizeof(wanted[0]); n++) {
		unsigned size = hex(wanted[n], bytes);

		if (!insn_host_allowed(bytes, size, &length) || length != size)
			fail_msg("%s is not allowed", wanted[n]);
	}
}

static bool category_sensitive(unsigned category)
{
	switch (category) {
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_SEGOP:
	case ZYDIS_CATEGORY_RDWRFSGS:
	case ZYDIS_CATEGORY_RDPID:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_PUSH:
	case ZYDIS_CATEGORY_POP:
	case ZYDIS_CATEGORY_STRINGOP:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_CET:
	case ZYDIS_CATEGORY_SGX:
	case ZYDIS_CATEGORY_VTX:
	case ZYDIS_CATEGORY_PKU:
	case ZYDIS_CATEGORY_WAITPKG:
	case ZYDIS_CATEGORY_XSAVE:
	case ZYDIS_CATEGORY_XSAVEOPT:
	case ZYDIS_CATEGORY_ENQCMD:
	case ZYDIS_CATEGORY_UINTR:
	case ZYDIS_CATEGORY_AMX_TILE:
	case ZYDIS_CATEGORY_TSX_LDTRK:
	case ZYDIS_CATEGORY_KEYLOCKER:
	case ZYDIS_CATEGORY_PT:
	case ZYDIS_CATEGORY_GATHER:
	case ZYDIS_CATEGORY_SCATTER:
	case ZYDIS_CATEGORY_AVX2GATHER:
		return true;
	default:
		return false;
	}
}

static bool register_sensitive(unsigned reg)
{
	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_SEGMENT:
	case ZYDIS_REGCLASS_TABLE:
	case ZYDIS_REGCLASS_TEST:
	case ZYDIS_REGCLASS_CONTROL:
	case ZYDIS_REGCLASS_DEBUG:
	case ZYDIS_REGCLASS_BOUND:
	case ZYDIS_REGCLASS_TMM:
	case ZYDIS_REGCLASS_IP:
		return true;
	default:
		return reg == ZYDIS_REGISTER_PKRU || reg == ZYDIS_REGISTER_XCR0 ||
			reg == ZYDIS_REGISTER_UIF;
	}
}

/* A second opinion on the allowlist, from Zydis's own description of what is on it. */
static void visit_allowed(void *ctx, const uint8_t bytes[15])
{
	const uint32_t system = ~(uint32_t)(FL_STATUS | FL_DF);
	ZydisDecoder *decoder = ctx;
	ZydisDecodedInstruction in;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	struct insn i;
	unsigned memory = 0;

	if (insn_decode(&i, bytes, 15, 64, NULL) != 0 || i.class != INSN_COPY)
		return;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, bytes, 15, &in, op))) {
		complain(&i, 64, "Zydis does not know it");
		return;
	}
	if (category_sensitive(in.meta.category) || (in.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED))
		complain(&i, 64, "sensitive");
	if (in.cpu_flags &&
		((in.cpu_flags->tested | in.cpu_flags->modified | in.cpu_flags->set_0 |
			 in.cpu_flags->set_1 | in.cpu_flags->undefined) &
			system))
		complain(&i, 64, "system flags");
	for (unsigned n = 0; n < in.operand_count; n++) {
		memory += op[n].type == ZYDIS_OPERAND_TYPE_MEMORY;
		if (op[n].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			register_sensitive(op[n].reg.value))
			complain(&i, 64, "system register");
	}
	if (memory != i.has_mem)
		complain(&i, 64, "memory operands");
}

static void test_allowlist(void **state)
{
	ZydisDecoder decoder;

	(void)state;
	failures = 0;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	insn_forms(FORMS_REGISTER, visit_allowed, &decoder);
	insn_forms(FORMS_MIXED, visit_allowed, &decoder);
	insn_forms(FORMS_MEMORY, visit_allowed, &decoder);
	assert_int_equal(failures, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_allowlist),
	};

	return cmocka_run_group_tests_name("insn_host", tests, NULL, NULL);
}
