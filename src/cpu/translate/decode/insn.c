/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding: Zydis reads the bytes, the tables of insn_rules.c and insn_sets.c
 * say what the instruction is to us, and the corrections to what Zydis says of
 * it (version 4.0.0) stand where each field is filled.
 */
#include "cpu/translate/decode/insn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/state.h"
#include "cpu/translate/cold.h"
#include "cpu/translate/decode/insn_parts.h"

/*
 * MPX, CET and CLDEMOTE off: their opcodes are then the NOPs that they are on a processor without
 * (or with them disabled).
 */
#ifdef ZYDIS_MODES_ARE_BITS /* meson.build */
#define MODES(zero_count, amd)                                                                 \
	((zero_count) << ZYDIS_DECODER_MODE_LZCNT | (zero_count) << ZYDIS_DECODER_MODE_TZCNT | \
		(amd) << ZYDIS_DECODER_MODE_AMD_BRANCHES)
#else
#define MODES(zero_count, amd)                                                                    \
	{                                                                                         \
		[ZYDIS_DECODER_MODE_LZCNT] = zero_count, [ZYDIS_DECODER_MODE_TZCNT] = zero_count, \
		[ZYDIS_DECODER_MODE_AMD_BRANCHES] = amd,                                          \
	}
#endif
#define DECODER(mode, width, zero_count, amd)                                                     \
	{                                                                                         \
		.machine_mode = ZYDIS_MACHINE_MODE_##mode,                                        \
		.stack_width = ZYDIS_STACK_WIDTH_##width, .decoder_mode = MODES(zero_count, amd), \
	}
#define DECODERS(zero_count, amd)                                                                 \
	{                                                                                         \
		DECODER(LEGACY_16, 16, zero_count, amd), DECODER(LEGACY_32, 32, zero_count, amd), \
			DECODER(LONG_64, 64, zero_count, amd)                                     \
	}

static const ZydisDecoder decoders[2][2][3] = {
	{DECODERS(ZYAN_TRUE, ZYAN_FALSE), DECODERS(ZYAN_FALSE, ZYAN_FALSE)},
	{DECODERS(ZYAN_TRUE, ZYAN_TRUE), DECODERS(ZYAN_FALSE, ZYAN_TRUE)},
};

static const ZydisDecoder *decoder_for(const struct insn_raw *raw, bool without_zero_count)
{
	return &decoders[raw->amd][without_zero_count][raw->code_bits == 64 ? 2
			: raw->code_bits == 32                              ? 1
									    : 0];
}

static bool zydis_decode(struct insn_raw *raw, const ZydisDecoder *decoder, const uint8_t *bytes,
	unsigned size, ZyanStatus *status)
{
	ZydisDecoderContext context;

	*status = ZydisDecoderDecodeInstruction(decoder, &context, bytes, size, &raw->in);
	if (!ZYAN_SUCCESS(*status))
		return false;
	*status = ZydisDecoderDecodeOperands(decoder, &context, &raw->in, raw->op,
		raw->in.operand_count);
	return ZYAN_SUCCESS(*status);
}

static enum insn_state state_of(const struct insn *i, const struct insn_raw *raw,
	const struct insn_set *set, unsigned notes)
{
	if (notes & NOTE_NO_STATE)
		return STATE_NONE;
	/* FCOMI and friends are listed with the Pentium Pro. */
	if (i->opcode_map == 0 && (i->opcode & 0xf8) == 0xd8 && i->encoding == ENC_LEGACY)
		return STATE_X87;
	/* SSE and SSSE3 forms that use MMX registers only ask for what MMX asks for. */
	if (set->state == STATE_SSE && raw->has_mmx && !raw->has_xmm)
		return STATE_MMX;
	return set->state;
}

/* Classes that depend on the operands or the processor and not on the mnemonic alone. */
static enum insn_class class_of(const struct insn *i, const struct insn_raw *raw,
	enum insn_class class, const struct cpuid_policy *policy)
{
	bool memory = raw->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY;

	switch (raw->in.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return raw->has_segment || raw->has_system ? INSN_EMULATE : class;
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_POP:
		return raw->has_segment ? INSN_EMULATE : class;
	case ZYDIS_MNEMONIC_JMP:
	case ZYDIS_MNEMONIC_CALL:
	case ZYDIS_MNEMONIC_RET:
		if (raw->in.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
			return INSN_EMULATE;
		if (i->opcode == 0xff)
			return class == INSN_JMP ? INSN_JMP_IND : INSN_CALL_IND;
		return class;
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
		/* the host's own would take what the guest's must not */
		return policy && policy->area.mxcsr_mask & ~cpuid_policy_mxcsr(policy)
			? INSN_EMULATE
			: class;
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_CMPSD:
		return i->opcode_map == 0 ? INSN_STRING : class;
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		if (memory && raw->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
			return INSN_BITSTRING;
		return class;
	default:
		return class;
	}
}

/* Is the instruction one that the table lists, in a form and with features that exist? */
static bool admitted(const struct insn *i, const struct insn_raw *raw, const struct insn_set *set,
	const struct insn_rule *rule, const struct cpuid_policy *policy)
{
	if (rule->class == INSN_UNDEFINED || !set->known)
		return false;
	switch (raw->in.encoding) {
	case ZYDIS_INSTRUCTION_ENCODING_LEGACY:
	case ZYDIS_INSTRUCTION_ENCODING_VEX:
	case ZYDIS_INSTRUCTION_ENCODING_EVEX:
		break;
	default:
		return false;
	}
	/* a prefetch of a register: a NOP (SDM 2B, table B-13), but not AMD's (APM 3, PREFETCHlevel) */
	if (raw->amd && i->opcode_map == 1 && i->opcode == 0x0d && i->modrm >= 0xc0)
		return false;
	if (i->mnemonic == ZYDIS_MNEMONIC_MOVDIR64B)
		return insn_feature_offered(policy, FEATURE_MOVDIR64B);
	return insn_feature_offered(policy, set->feature) &&
		insn_feature_offered(policy, set->second);
}

/*
 * F2 and F3 before an opcode that has no use for them. Processors ignore them, until one gives
 * them a meaning; so a copy is made without. Both at once before a two-byte opcode: which one
 * counts is told by no manual.
 */
static bool resolve_rep(struct insn *i, const struct insn_raw *raw)
{
	bool f2 = false, f3 = false, mandatory = false;

	for (unsigned n = 0; n < raw->in.raw.prefix_count; n++) {
		uint8_t value = raw->in.raw.prefixes[n].value;

		if (value != 0xf2 && value != 0xf3)
			continue;
		f2 |= value == 0xf2;
		f3 |= value == 0xf3;
		mandatory |= raw->in.raw.prefixes[n].type == ZYDIS_PREFIX_TYPE_MANDATORY;
	}
	if (!f2 && !f3)
		return true;
	if (f2 && f3 && i->opcode_map != 0 && i->class == INSN_COPY)
		return false;
	i->rep_ignored = !mandatory && i->class == INSN_COPY;
	return true;
}

static bool can_fault(const struct insn *i, const struct insn_raw *raw, unsigned notes)
{
	if ((notes & NOTE_FAULT) || i->state == STATE_X87 || i->state == STATE_MMX || raw->has_mmx)
		return true;
	switch (raw->in.meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_SSE2:
	case ZYDIS_EXCEPTION_CLASS_SSE3:
	case ZYDIS_EXCEPTION_CLASS_AVX2:
	case ZYDIS_EXCEPTION_CLASS_AVX3:
	case ZYDIS_EXCEPTION_CLASS_AVX11:
	case ZYDIS_EXCEPTION_CLASS_E2:
	case ZYDIS_EXCEPTION_CLASS_E3:
	case ZYDIS_EXCEPTION_CLASS_E3NF:
	case ZYDIS_EXCEPTION_CLASS_E11:
		return true;
	default:
		return false;
	}
}

static bool must_align(const struct insn *i, const struct insn_raw *raw, unsigned notes)
{
	if (!i->has_mem || (notes & NOTE_UNALIGNED))
		return false;
	if (i->mem_size < 16)
		return false;
	if (notes & NOTE_ALIGNED)
		return true;
	switch (raw->in.meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_SSE1:
	case ZYDIS_EXCEPTION_CLASS_SSE2:
	case ZYDIS_EXCEPTION_CLASS_SSE4:
	case ZYDIS_EXCEPTION_CLASS_AVX1:
	case ZYDIS_EXCEPTION_CLASS_E1:
	case ZYDIS_EXCEPTION_CLASS_E1NF:
		return true;
	default:
		return false;
	}
}

/* Which of them MXCSR.MM lets go astray: those that compute, not those that only move (APM 1, 4.2.2). */
static bool is_relaxed(const struct insn *i, const struct insn_raw *raw)
{
	if (!i->mem_aligned)
		return false;
	return raw->in.mnemonic == ZYDIS_MNEMONIC_CVTPD2PI ||
		raw->in.mnemonic == ZYDIS_MNEMONIC_CVTTPD2PI ||
		raw->in.meta.exception_class == ZYDIS_EXCEPTION_CLASS_SSE2 ||
		raw->in.meta.exception_class == ZYDIS_EXCEPTION_CLASS_SSE4;
}

/* MOV to and from system and segment registers: what the mnemonic does not tell. */
static void resolve_moves(struct insn *i, const struct insn_raw *raw)
{
	ZydisRegisterClass first;

	if (i->mnemonic == ZYDIS_MNEMONIC_JMP || i->mnemonic == ZYDIS_MNEMONIC_CALL ||
		i->mnemonic == ZYDIS_MNEMONIC_RET)
		return;
	if (i->mnemonic != ZYDIS_MNEMONIC_MOV && i->mnemonic != ZYDIS_MNEMONIC_POP)
		return;
	if (i->class != INSN_EMULATE)
		return;
	i->privileged = raw->has_system;
	first = raw->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER
		? ZydisRegisterGetClass(raw->op[0].reg.value)
		: ZYDIS_REGCLASS_INVALID;
	i->ends_block = first == ZYDIS_REGCLASS_SEGMENT || first == ZYDIS_REGCLASS_CONTROL ||
		first == ZYDIS_REGCLASS_DEBUG;
	/* MOV to and from test registers died with the 486; LOCK MOV CR0 is AMD's. */
	for (unsigned n = 0; n < raw->in.operand_count_visible; n++)
		if (raw->op[n].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			ZydisRegisterGetClass(raw->op[n].reg.value) == ZYDIS_REGCLASS_TEST)
			i->class = INSN_UNDEFINED;
	if (i->prefix_lock)
		i->class = INSN_UNDEFINED;
}

/* 66 before a near branch of 64-bit code: AMD obeys it (APM 3, 1.2.2), Intel does not (SDM 2A, JMP). */
static void resolve_branch(struct insn *i, const struct insn_raw *raw)
{
	if (!insn_is(i, CLASS_BRANCH) || !raw->amd || raw->code_bits != 64 || !i->prefix_66 ||
		i->rex & 8)
		return;
	i->operand_size = 2;
	if (i->has_mem)
		i->mem_size = 2;
}

static void resolve_alignment(struct insn *i, const struct insn_raw *raw, unsigned notes)
{
	i->mem_aligned = must_align(i, raw, notes);
	if (!i->mem_aligned || !insn_silicon(raw).unaligned)
		return;
	i->mem_aligned = false;
	i->may_fault = true;
}

static void classify(struct insn *i, struct insn_raw *raw, const struct cpuid_policy *policy)
{
	const struct insn_rule *rule = &insn_rules[raw->in.mnemonic];
	const struct insn_set *set = &insn_sets[raw->in.meta.isa_set];

	i->mnemonic = raw->in.mnemonic;
	insn_layout(i, raw);
	if (!admitted(i, raw, set, rule, policy))
		return;
	insn_operands(i, raw);
	i->class = class_of(i, raw, rule->class, policy);
	i->state = state_of(i, raw, set, rule->notes);
	i->ends_block = rule->notes & NOTE_END;
	i->privileged = rule->notes & NOTE_PRIVILEGED;
	resolve_moves(i, raw);
	resolve_branch(i, raw);
	if (!resolve_rep(i, raw))
		i->class = INSN_UNDEFINED;
	if (i->class == INSN_UNDEFINED)
		return;
	insn_masking(i, raw);
	insn_flags(i, raw);
	i->may_fault = can_fault(i, raw, rule->notes);
	resolve_alignment(i, raw, rule->notes);
	i->mem_relaxed = is_relaxed(i, raw);
	if (i->class == INSN_COPY)
		insn_normalize(i, raw);
	switch (i->class) {
	case INSN_NOP:
		i->has_mem = i->mem_read = i->mem_write = false;
		i->gpr_read = i->gpr_write = i->gpr_fixed = 0;
		break;
	case INSN_EMULATE:
		i->gpr_read = i->gpr_write = 0xffff;
		break;
	default:
		break;
	}
}

/*
 * F3 90 with REX.B, which is PAUSE for Intel's processors, is XCHG R8, rAX for AMD's: F3 means nothing
 * there. A prefix that means nothing on either takes its place.
 */
static bool pause_is_xchg(const struct insn_raw *raw)
{
	return raw->amd && raw->in.mnemonic == ZYDIS_MNEMONIC_PAUSE && raw->in.raw.rex.B;
}

static void without_f3(uint8_t *bytes)
{
	for (unsigned n = 0; bytes[n] != 0x90; n++)
		if (bytes[n] == 0xf3)
			bytes[n] = 0x3e;
}

int insn_decode(struct insn *insn, const uint8_t *bytes, unsigned size, unsigned code_bits,
	const struct cpuid_policy *policy)
{
	struct insn_raw raw;
	ZyanStatus status;

	memset(insn, 0, sizeof *insn);
	insn->mem_base = insn->mem_index = insn->mem_vsib = insn->op_reg = INSN_NO_REG;
	insn->mem_seg = SEG_DS;
	if (size == 0)
		return -EAGAIN;
	if (size > sizeof insn->bytes)
		size = sizeof insn->bytes;
	memcpy(insn->bytes, bytes, size);
	raw.code_bits = code_bits;
	raw.amd = policy && cpuid_policy_amd(policy);
	raw.has_gpr = raw.has_segment = raw.has_system = raw.has_mmx = raw.has_xmm = false;
	if (!zydis_decode(&raw, decoder_for(&raw, false), bytes, size, &status)) {
		insn->length = 1;
		if (status == ZYDIS_STATUS_NO_MORE_DATA && size < sizeof insn->bytes)
			return -EAGAIN;
		insn->too_long = status == ZYDIS_STATUS_NO_MORE_DATA ||
			status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG;
		return -EILSEQ;
	}
	if ((raw.in.mnemonic == ZYDIS_MNEMONIC_LZCNT &&
		    !insn_feature_offered(policy, FEATURE_LZCNT)) ||
		(raw.in.mnemonic == ZYDIS_MNEMONIC_TZCNT &&
			!insn_feature_offered(policy, FEATURE_BMI1)))
		zydis_decode(&raw, decoder_for(&raw, true), bytes, size, &status);
	if (pause_is_xchg(&raw)) {
		without_f3(insn->bytes);
		zydis_decode(&raw, decoder_for(&raw, false), insn->bytes, size, &status);
	}
	insn->length = raw.in.length;
	memset(insn->bytes + insn->length, 0, sizeof insn->bytes - insn->length);
	classify(insn, &raw, policy);
	return insn->class == INSN_UNDEFINED ? -EILSEQ : 0;
}
