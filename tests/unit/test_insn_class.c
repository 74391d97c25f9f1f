/* SPDX-License-Identifier: Apache-2.0 */
/* The table of classes, and that of what C code executes: complete, and no row that nothing reaches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cpu/translate/decode/insn_table.h"
#include "cpu/translate/emulate/emulate.h"

/* Their rules are of another class; some forms are emulated: class_of() of insn.c, and PAUSE in make.c. */
static const uint16_t some_forms[] = {ZYDIS_MNEMONIC_MOV, ZYDIS_MNEMONIC_PUSH, ZYDIS_MNEMONIC_POP,
	ZYDIS_MNEMONIC_JMP, ZYDIS_MNEMONIC_CALL, ZYDIS_MNEMONIC_RET, ZYDIS_MNEMONIC_LDMXCSR,
	ZYDIS_MNEMONIC_VLDMXCSR, ZYDIS_MNEMONIC_PAUSE};

static bool has_emulated_form(unsigned mnemonic)
{
	for (size_t k = 0; k < sizeof some_forms / sizeof *some_forms; k++)
		if (some_forms[k] == mnemonic)
			return true;
	return false;
}

static void test_emulated(void **state)
{
	unsigned faults = 0;

	for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++) {
		bool wanted = insn_rules[m].class == INSN_EMULATE || has_emulated_form(m);

		if (wanted == (emulate_by[m] != NULL))
			continue;
		print_error("%s: %s\n", ZydisMnemonicGetString((ZydisMnemonic)m),
			wanted ? "no function executes it" : "a function that nothing asks for");
		faults++;
	}
	assert_int_equal(faults, 0);
}

/* Every rule is of a class that has a row; and a note that narrows another has that too. */
static void test_notes(void **state)
{
	for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
		assert_true(insn_rules[m].class < INSN_CLASS_COUNT);
	for (unsigned c = 0; c < INSN_CLASS_COUNT; c++) {
		unsigned notes = insn_class_notes[c];

		assert_true(!(notes & CLASS_PURE) || notes & CLASS_PLAIN);
		assert_true(!(notes & CLASS_PLAIN) || notes & CLASS_STRAIGHT);
		assert_true(!(notes & CLASS_LEAVES) || notes & CLASS_BRANCH);
		assert_false(notes & CLASS_STRAIGHT && notes & CLASS_BRANCH);
		/* what only uses flags that it names does not load CF before it knows that it counts */
		assert_true(!(notes & CLASS_PLAIN) || notes & CLASS_CARRY);
	}
	assert_int_equal(insn_class_notes[INSN_UNDEFINED], 0);
	assert_int_equal(insn_class_notes[INSN_EMULATE], 0);
}

/* What emulate.c asks of an instruction's state goes by insn.state. */
static void test_states(void **state)
{
	static const struct {
		uint8_t bytes[15];
		uint16_t mnemonic;
		enum insn_state state;
	} row[] = {
		{{0x0f, 0xf7, 0xc1}, ZYDIS_MNEMONIC_MASKMOVQ, STATE_MMX},
		{{0x66, 0x0f, 0xf7, 0xc1}, ZYDIS_MNEMONIC_MASKMOVDQU, STATE_SSE},
		{{0xc5, 0xf9, 0xf7, 0xc1}, ZYDIS_MNEMONIC_VMASKMOVDQU, STATE_AVX},
		{{0xc4, 0xe2, 0x75, 0x90, 0x04, 0x10}, ZYDIS_MNEMONIC_VPGATHERDD, STATE_AVX},
		{{0xc4, 0xe2, 0xf5, 0x93, 0x04, 0x10}, ZYDIS_MNEMONIC_VGATHERQPD, STATE_AVX},
		{{0x62, 0xf2, 0x7d, 0x49, 0x90, 0x04, 0x10}, ZYDIS_MNEMONIC_VPGATHERDD,
			STATE_AVX512},
		{{0x62, 0xf2, 0xfd, 0x49, 0xa3, 0x04, 0x10}, ZYDIS_MNEMONIC_VSCATTERQPD,
			STATE_AVX512},
		{{0x0f, 0xae, 0x13}, ZYDIS_MNEMONIC_LDMXCSR, STATE_SSE},
		{{0xc5, 0xf8, 0xae, 0x13}, ZYDIS_MNEMONIC_VLDMXCSR, STATE_AVX},
	};

	for (size_t k = 0; k < sizeof row / sizeof *row; k++) {
		struct insn i;

		assert_int_equal(insn_decode(&i, row[k].bytes, 15, 64, NULL), 0);
		assert_int_equal(i.mnemonic, row[k].mnemonic);
		assert_int_equal(i.state, row[k].state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_emulated),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_states),
	};

	return cmocka_run_group_tests_name("insn_class", tests, NULL, NULL);
}
