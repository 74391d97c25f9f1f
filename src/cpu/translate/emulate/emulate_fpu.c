/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x87 environments (SDM 1, 8.1.10) and MASKMOV. The pointers to the last instruction and operand
 * are always zero: they would be the host's.
 */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/emulate/emulate_image.h"
#include "cpu/translate/hot.h"

static unsigned image_top(struct vcpu *v)
{
	return *image_u16(v, XSAVE_FSW) >> 11 & 7;
}

/* The two tag bits of a register in use. */
static unsigned tag_of(const uint8_t *st)
{
	uint64_t fraction = *(const uint64_t *)st;
	unsigned exponent = *(const uint16_t *)(st + 8) & 0x7fff;

	if (exponent == 0x7fff)
		return 2;
	if (!exponent)
		return fraction ? 2 : 1;
	return fraction >> 63 ? 0 : 2;
}

static uint16_t tags_full(struct vcpu *v)
{
	unsigned abridged = v->cpu.xsave[XSAVE_FTW], top = image_top(v), tags = 0;

	for (unsigned reg = 0; reg < 8; reg++) {
		unsigned st = (reg - top) & 7;
		unsigned tag = abridged >> reg & 1 ? tag_of(v->cpu.xsave + XSAVE_ST + 16 * st) : 3;

		tags |= tag << 2 * reg;
	}
	return (uint16_t)tags;
}

/* What waits for pending x87 exceptions meets them; the image is at hand. */
static bool exception_pending(struct vcpu *v)
{
	return (*image_u16(v, XSAVE_FSW) & FSW_ES) && (v->cpu.cr0 & CR0_NE);
}

static enum outcome fpu_begin(struct vcpu *v, const struct insn *i, unsigned size, unsigned access,
	uint64_t *linear)
{
	if (rm_is_reg(i))
		return raise_ud(v);
	if (v->cpu.cr0 & (CR0_EM | CR0_TS))
		return fault_raise(v, EXC_NM);
	image_begin(v);
	/* loads wait for pending exceptions, before they look at memory */
	if (access == ACC_READ && exception_pending(v))
		return fault_raise(v, EXC_MF);
	TRY(linear_address(v, i->mem_seg, insn_address(v, i), size, access, linear));
	return mem_probe(v, *linear, size, access);
}

/* FNSTENV and FNSAVE. */
enum outcome emulate_fnstenv(struct vcpu *v, const struct insn *i)
{
	bool wide = insn_size(v, i) != 2, save = i->mnemonic == ZYDIS_MNEMONIC_FNSAVE;
	unsigned env = wide ? 28 : 14, size = save ? env + 80 : env;
	uint16_t words[14];
	uint64_t linear;

	TRY(fpu_begin(v, i, size, ACC_WRITE, &linear));
	for (unsigned k = 0; k < 14; k++)
		*(volatile uint16_t *)&words[k] = 0;
	if (wide)
		words[1] = words[3] = words[5] = words[13] = 0xffff;
	words[0] = *image_u16(v, XSAVE_FCW);
	words[wide ? 2 : 1] = *image_u16(v, XSAVE_FSW);
	words[wide ? 4 : 2] = tags_full(v);
	TRY(mem_write(v, linear, words, env, ACC_WRITE));
	if (save) {
		for (unsigned k = 0; k < 8; k++)
			TRY(mem_write(v, linear + env + 10 * k, v->cpu.xsave + XSAVE_ST + 16 * k,
				10, ACC_WRITE));
		/* as FNINIT: TOP becomes 0, the registers stay where they are */
		image_rotate(v, 0);
		*image_u64(v, XSAVE_FCW) = 0x37f;
	} else {
		/* all masked now, so nothing is pending */
		image_control(v, *image_u16(v, XSAVE_FCW) | 0x3f, *image_u16(v, XSAVE_FSW));
	}
	*image_bv(v) |= 1u << COMP_X87;
	return insn_done(v, i);
}

/* FLDENV and FRSTOR. */
enum outcome emulate_fldenv(struct vcpu *v, const struct insn *i)
{
	bool wide = insn_size(v, i) != 2, registers = i->mnemonic == ZYDIS_MNEMONIC_FRSTOR;
	unsigned env = wide ? 28 : 14, size = registers ? env + 80 : env, tags, abridged = 0;
	uint16_t words[14], fcw, fsw;
	uint64_t linear;

	TRY(fpu_begin(v, i, size, ACC_READ, &linear));
	TRY(mem_read(v, linear, words, env, ACC_READ));
	fcw = words[0];
	fsw = words[wide ? 2 : 1];
	tags = words[wide ? 4 : 2];
	for (unsigned reg = 0; reg < 8; reg++)
		abridged |= (tags >> 2 * reg & 3) != 3 ? 1u << reg : 0;
	if (registers)
		for (unsigned k = 0; k < 8; k++)
			TRY(mem_read(v, linear + env + 10 * k, v->cpu.xsave + XSAVE_ST + 16 * k, 10,
				ACC_READ));
	else if ((fsw >> 11 & 7) != image_top(v))
		image_rotate(v, fsw >> 11 & 7);
	image_control(v, fcw, fsw);
	*image_u16(v, XSAVE_FTW) = (uint16_t)abridged;
	*image_bv(v) |= 1u << COMP_X87;
	return insn_done(v, i);
}

/* --- MASKMOVQ, MASKMOVDQU, VMASKMOVDQU ----------------------------------------------- */

/*
 * The image holds registers in stack order. When TOP moves and the registers do not, the slots
 * turn.
 */
void image_rotate(struct vcpu *v, unsigned top)
{
	unsigned turn = (top - image_top(v)) & 7;
	volatile uint64_t old[16];
	uint64_t *st = image_u64(v, XSAVE_ST);

	for (unsigned k = 0; k < 16; k++)
		old[k] = st[k];
	for (unsigned k = 0; k < 16; k++)
		st[k] = old[(k + 2 * turn) & 15];
}

static unsigned maskmov_segment(const struct vcpu *v, const struct insn *i)
{
	unsigned seg = SEG_DS;

	for (unsigned k = 0; k < i->prefix_count && k < sizeof i->bytes; k++) {
		uint8_t p = i->bytes[k];

		if (p == 0x64 || p == 0x65)
			seg = p - 0x64 + SEG_FS;
		else if ((p & 0xe7) == 0x26 && !mode_code64(v))
			seg = p >> 3 & 3;
	}
	return seg;
}

enum outcome emulate_maskmov(struct vcpu *v, const struct insn *i)
{
	bool mmx = i->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ;
	unsigned size = mmx ? 8 : 16, reg, rm, seg = maskmov_segment(v, i);
	uint64_t offset = v->cpu.gpr[RDI];
	const uint8_t *data, *mask;

	reg = i->modrm >> 3 & 7;
	rm = i->modrm & 7;
	if (!mmx && i->encoding == ENC_LEGACY) {
		reg = insn_reg(i);
		rm = insn_rm(i);
	} else if (!mmx && mode_code64(v)) {
		uint8_t p = i->bytes[i->vex_offset + 1];

		reg |= !(p & 0x80) << 3;
		if (i->bytes[i->vex_offset] == 0xc4)
			rm |= !(p & 0x20) << 3;
	}
	image_begin(v);
	if (mmx && exception_pending(v))
		return fault_raise(v, EXC_MF);
	if (mmx) {
		image_rotate(v, 0);
		*image_u16(v, XSAVE_FSW) &= (uint16_t)~0x3800;
		*image_u16(v, XSAVE_FTW) = 0xff;
		*image_bv(v) |= 1u << COMP_X87;
	}
	data = v->cpu.xsave + (mmx ? XSAVE_ST : XSAVE_XMM) + 16 * reg;
	mask = v->cpu.xsave + (mmx ? XSAVE_ST : XSAVE_XMM) + 16 * rm;
	for (unsigned k = 0; k < size;) {
		unsigned n = 0;
		uint64_t linear;

		while (k + n < size && (mask[k + n] & 0x80))
			n++;
		if (n) {
			TRY(linear_address(v, seg, (offset + k) & size_mask(i->address_size), n,
				ACC_WRITE, &linear));
			TRY(mem_write(v, linear, data + k, n, ACC_WRITE));
		}
		k += n + 1;
	}
	return insn_done(v, i);
}
