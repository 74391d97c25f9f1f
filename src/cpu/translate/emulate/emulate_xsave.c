/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XSAVE, XSAVEOPT, XSAVEC, XRSTOR (SDM 1, chapter 13), FXSAVE, FXRSTOR. All work on the saved
 * image; what a guest loads is checked before it gets there, because the image is later given to
 * the host's XRSTOR.
 */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/emulate/emulate_image.h"
#include "cpu/translate/hot.h"

void image_begin(struct vcpu *v)
{
	vcpu_vectors_save(v);
	*image_u16(v, XSAVE_FOP) = 0;
	*image_u64(v, XSAVE_FIP) = 0;
	*image_u64(v, XSAVE_FDP) = 0;
	*image_u32(v, XSAVE_MXCSR_MASK) = vcpu_layout(v)->mxcsr_mask;
}

void image_control(struct vcpu *v, uint16_t fcw, uint16_t fsw)
{
	fsw &= (uint16_t) ~(FSW_ES | FSW_B);
	if (fsw & ~fcw & 0x3f)
		fsw |= FSW_ES | FSW_B;
	*image_u16(v, XSAVE_FCW) = (fcw & FCW_KEPT) | FCW_FIXED;
	*image_u16(v, XSAVE_FSW) = fsw;
}

bool mxcsr_valid(struct vcpu *v, uint32_t mxcsr)
{
	return !(mxcsr & ~vcpu_layout(v)->mxcsr_mask);
}

/* Outside 64-bit mode registers 8 and up are neither saved nor loaded. */
static unsigned component_bytes(const struct vcpu *v, const struct xsave_layout *l, unsigned c)
{
	if (mode_code64(v))
		return l->size[c];
	return c == COMP_ZMM_HI16 ? 0 : c == COMP_OPMASK ? l->size[c] : l->size[c] / 2;
}

static unsigned xmm_end(const struct vcpu *v)
{
	return mode_code64(v) ? XSAVE_XMM_END : XSAVE_XMM + 128;
}

/* Offsets of components in compacted format. Returns the end. */
static unsigned compact(const struct xsave_layout *l, uint64_t components,
	unsigned offset[COMP_COUNT])
{
	unsigned at = XSAVE_END;

	for (unsigned c = 2; c < COMP_COUNT; c++) {
		offset[c] = 0;
		if (!(components >> c & 1))
			continue;
		if (l->align >> c & 1)
			at = (at + 63) & ~63u;
		offset[c] = at;
		at += l->size[c];
	}
	return at;
}

/* What XSAVE and XRSTOR check first; *rfbm: the requested components. */
static enum outcome xsave_begin(struct vcpu *v, const struct insn *i, unsigned access,
	uint64_t *rfbm, uint64_t *linear)
{
	if (!(v->cpu.cr4 & CR4_OSXSAVE) || rm_is_reg(i))
		return raise_ud(v);
	if (v->cpu.cr0 & CR0_TS)
		return fault_raise(v, EXC_NM);
	*rfbm = ((uint32_t)v->cpu.gpr[RAX] | v->cpu.gpr[RDX] << 32) & v->cpu.xcr0;
	TRY(linear_address(v, i->mem_seg, insn_address(v, i), XSAVE_END, access, linear));
	if (*linear & 63)
		return raise_gp(v, 0);
	return OUT_OK;
}

/* --- saving -------------------------------------------------------------------------- */

/* The legacy region's parts that rfbm asks for. */
static enum outcome save_legacy(struct vcpu *v, uint64_t linear, uint64_t write, bool mxcsr)
{
	bool x87 = write & 1, sse = write & 2;
	const uint8_t *image = v->cpu.xsave;

	if (x87 && sse)
		return mem_write(v, linear, image, xmm_end(v), ACC_WRITE);
	if (x87) {
		TRY(mem_write(v, linear, image, 24, ACC_WRITE));
		TRY(mem_write(v, linear + XSAVE_ST, image + XSAVE_ST, 128, ACC_WRITE));
	}
	if (mxcsr)
		TRY(mem_write(v, linear + XSAVE_MXCSR, image + XSAVE_MXCSR, 8, ACC_WRITE));
	if (sse)
		TRY(mem_write(v, linear + XSAVE_XMM, image + XSAVE_XMM, xmm_end(v) - XSAVE_XMM,
			ACC_WRITE));
	return OUT_OK;
}

/* Where the image has a component. */
static uint8_t *image_component(struct vcpu *v, unsigned c)
{
	return v->cpu.xsave + vcpu_cpuid(v)->area.offset[c];
}

enum outcome emulate_xsave(struct vcpu *v, const struct insn *i)
{
	const struct xsave_layout *l = vcpu_layout(v);
	bool optimize =
		i->mnemonic == ZYDIS_MNEMONIC_XSAVEOPT || i->mnemonic == ZYDIS_MNEMONIC_XSAVEOPT64;
	bool compacted =
		i->mnemonic == ZYDIS_MNEMONIC_XSAVEC || i->mnemonic == ZYDIS_MNEMONIC_XSAVEC64;
	uint64_t rfbm, linear, in_use, write, header[2];
	unsigned offset[COMP_COUNT], end = XSAVE_END;

	TRY(xsave_begin(v, i, ACC_WRITE, &rfbm, &linear));
	image_begin(v);
	in_use = *image_bv(v) & rfbm;
	if (compacted && (rfbm & 2) && *image_u32(v, XSAVE_MXCSR) != MXCSR_INITIAL)
		in_use |= 2;
	write = optimize || compacted ? in_use : rfbm;
	if (compacted) {
		end = compact(l, rfbm, offset);
	} else {
		for (unsigned c = 2; c < COMP_COUNT; c++) {
			offset[c] = l->offset[c];
			if ((write >> c & 1) && offset[c] + l->size[c] > end)
				end = offset[c] + l->size[c];
		}
	}
	TRY(linear_address(v, i->mem_seg, insn_address(v, i), end, ACC_WRITE, &linear));
	TRY(mem_probe(v, linear, end, ACC_WRITE));
	TRY(save_legacy(v, linear, write, compacted ? write & 2 : rfbm & 6));
	for (unsigned c = 2; c < COMP_COUNT; c++)
		if (write >> c & 1)
			TRY(mem_write(v, linear + offset[c], image_component(v, c),
				component_bytes(v, l, c), ACC_WRITE));
	if (compacted) {
		header[0] = in_use;
		header[1] = rfbm | 1ull << 63;
	} else {
		TRY(mem_read(v, linear + XSAVE_BV, header, 8, ACC_READ));
		header[0] = (header[0] & ~rfbm) | in_use;
	}
	TRY(mem_write(v, linear + XSAVE_BV, header, compacted ? 16 : 8, ACC_WRITE));
	return insn_done(v, i);
}

/* --- restoring ----------------------------------------------------------------------- */

/* The header's rules (SDM 1, 13.8.1 and 13.8.2). */
static bool header_valid(struct vcpu *v, const uint64_t header[8])
{
	uint64_t bv = header[0], comp = header[1], xcr0 = v->cpu.xcr0;

	if (comp >> 63) {
		if (!cpuid_policy_has(vcpu_cpuid(v), 13, 1, 0, 1))
			return false;
		if ((comp & ~(xcr0 | 1ull << 63)) || (bv & ~comp) || bv >> 63)
			return false;
		for (unsigned k = 2; k < 8; k++)
			if (header[k])
				return false;
		return true;
	}
	return !(bv & ~xcr0) && !comp && !header[2];
}

static enum outcome load_x87(struct vcpu *v, uint64_t linear)
{
	TRY(mem_read(v, linear, v->cpu.xsave, 24, ACC_READ));
	image_control(v, *image_u16(v, XSAVE_FCW), *image_u16(v, XSAVE_FSW));
	TRY(mem_read(v, linear + XSAVE_ST, v->cpu.xsave + XSAVE_ST, 128, ACC_READ));
	/* reserved bytes are not kept */
	*image_u16(v, XSAVE_FTW) &= 0xff;
	for (unsigned k = 0; k < 8; k++) {
		*image_u16(v, XSAVE_ST + 16 * k + 10) = 0;
		*image_u32(v, XSAVE_ST + 16 * k + 12) = 0;
	}
	return OUT_OK;
}

static enum outcome load_xmm(struct vcpu *v, uint64_t linear)
{
	return mem_read(v, linear + XSAVE_XMM, v->cpu.xsave + XSAVE_XMM, xmm_end(v) - XSAVE_XMM,
		ACC_READ);
}

/*
 * What XRSTOR puts into its initial state. Outside 64-bit mode the upper registers keep what they have
 * (SDM 1, 13.5), so a component that has such registers stays in use if it was.
 */
static void load_initial(struct vcpu *v, const struct xsave_layout *l, uint64_t components)
{
	uint64_t whole = components;

	for (unsigned c = COMP_SSE; c < COMP_COUNT && !mode_code64(v); c++) {
		if (!(components >> c & 1) || c == COMP_OPMASK)
			continue;
		whole &= ~(1ull << c);
		if (c == COMP_SSE)
			xsave_zero(v->cpu.xsave, XSAVE_XMM, xmm_end(v));
		else
			xsave_zero(image_component(v, c), 0, component_bytes(v, l, c));
	}
	xsave_initial(v->cpu.xsave, &vcpu_cpuid(v)->area, whole);
}

enum outcome emulate_xrstor(struct vcpu *v, const struct insn *i)
{
	uint64_t rfbm, linear, header[8], bv, load;
	const struct xsave_layout *l = vcpu_layout(v);
	unsigned offset[COMP_COUNT];
	bool compacted, mxcsr_loaded;
	uint32_t mxcsr;

	TRY(xsave_begin(v, i, ACC_READ, &rfbm, &linear));
	image_begin(v);
	TRY(mem_probe(v, linear, XSAVE_END, ACC_READ));
	TRY(mem_read(v, linear + XSAVE_MXCSR, &mxcsr, 4, ACC_READ));
	TRY(mem_read(v, linear + XSAVE_BV, header, 64, ACC_READ));
	if (!header_valid(v, header))
		return raise_gp(v, 0);
	compacted = header[1] >> 63;
	bv = header[0];
	load = bv & rfbm;
	mxcsr_loaded = compacted ? load & 2 : rfbm & 6;
	if (mxcsr_loaded && !mxcsr_valid(v, mxcsr))
		return raise_gp(v, 0);
	if (compacted)
		compact(l, header[1], offset);
	for (unsigned c = 2; c < COMP_COUNT; c++) {
		if (!compacted)
			offset[c] = l->offset[c];
		if (load >> c & 1) {
			uint64_t unused;

			TRY(linear_address(v, i->mem_seg, insn_address(v, i),
				offset[c] + l->size[c], ACC_READ, &unused));
			TRY(mem_probe(v, linear + offset[c], l->size[c], ACC_READ));
		}
	}
	/* first, so that nothing lies behind a clear bit if a page goes away meanwhile */
	*image_bv(v) |= load;
	if (load & 1)
		TRY(load_x87(v, linear));
	if (load & 2)
		TRY(load_xmm(v, linear));
	for (unsigned c = 2; c < COMP_COUNT; c++)
		if (load >> c & 1)
			TRY(mem_read(v, linear + offset[c], image_component(v, c),
				component_bytes(v, l, c), ACC_READ));
	load_initial(v, l, rfbm & ~load);
	if (mxcsr_loaded)
		*image_u32(v, XSAVE_MXCSR) = mxcsr;
	else if (compacted && (rfbm & 2))
		*image_u32(v, XSAVE_MXCSR) = MXCSR_INITIAL;
	return insn_done(v, i);
}

/* --- FXSAVE, FXRSTOR ----------------------------------------------------------------- */

static enum outcome fx_begin(struct vcpu *v, const struct insn *i, unsigned access,
	uint64_t *linear)
{
	if (rm_is_reg(i))
		return raise_ud(v);
	if (v->cpu.cr0 & (CR0_EM | CR0_TS))
		return fault_raise(v, EXC_NM);
	TRY(linear_address(v, i->mem_seg, insn_address(v, i), 512, access, linear));
	if (*linear & 15)
		return raise_gp(v, 0);
	TRY(mem_probe(v, *linear, 512, access));
	image_begin(v);
	return OUT_OK;
}

enum outcome emulate_fxsave(struct vcpu *v, const struct insn *i)
{
	uint64_t linear;

	TRY(fx_begin(v, i, ACC_WRITE, &linear));
	TRY(mem_write(v, linear, v->cpu.xsave, xmm_end(v), ACC_WRITE));
	return insn_done(v, i);
}

/* Where the host would take bits that the guest does not have: elsewhere it runs as it is. */
enum outcome emulate_ldmxcsr(struct vcpu *v, const struct insn *i)
{
	uint64_t mxcsr;

	TRY(data_read(v, i->mem_seg, insn_address(v, i), 4, &mxcsr));
	if (!mxcsr_valid(v, (uint32_t)mxcsr))
		return raise_gp(v, 0);
	image_begin(v);
	*image_u32(v, XSAVE_MXCSR) = (uint32_t)mxcsr;
	return insn_done(v, i);
}

enum outcome emulate_fxrstor(struct vcpu *v, const struct insn *i)
{
	uint64_t linear;
	uint32_t mxcsr;

	TRY(fx_begin(v, i, ACC_READ, &linear));
	TRY(mem_read(v, linear + XSAVE_MXCSR, &mxcsr, 4, ACC_READ));
	if (!mxcsr_valid(v, mxcsr))
		return raise_gp(v, 0);
	*image_bv(v) |= 3;
	TRY(load_x87(v, linear));
	TRY(load_xmm(v, linear));
	*image_u32(v, XSAVE_MXCSR) = mxcsr;
	return insn_done(v, i);
}
