/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/decode/insn_class.h"

#include "cpu/translate/cold.h"

/* The rows name notes without their prefix. */
enum {
	STRAIGHT = CLASS_STRAIGHT,
	PLAIN = CLASS_PLAIN,
	PURE = CLASS_PURE,
	BRANCH = CLASS_BRANCH,
	LEAVES = CLASS_LEAVES,
	CARRY = CLASS_CARRY,
	AFTER_STI = CLASS_AFTER_STI,
	KEEPS = CLASS_KEEPS,
	STACK = CLASS_STACK,
	HOST = CLASS_HOST,
};

const uint16_t insn_class_notes[INSN_CLASS_COUNT] = {
#define X(name, emit, native, emulate, notes) [INSN_##name] = notes,
	INSN_CLASSES(X)
#undef X
};
