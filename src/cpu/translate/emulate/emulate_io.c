/* SPDX-License-Identifier: Apache-2.0 */
/* Ports: IN, OUT and who may use them (SDM 1, chapter 19). INS and OUTS are in emulate_string.c. */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/hot.h"
#include "cpu/translate/vm.h"

/* The I/O permission bitmap of a 32- or 64-bit TSS. */
static enum outcome bitmap_check(struct vcpu *v, uint16_t port, unsigned size)
{
	const struct segment *tr = &v->cpu.tr;
	unsigned type = tr->attr & 15, at;
	uint16_t base, bits;

	if ((tr->attr & SEG_ATTR_UNUSABLE) || (type != SYS_TSS && type != SYS_TSS_BUSY) ||
		tr->limit < 103)
		return raise_gp(v, 0);
	TRY(system_read(v, tr->base + 102, &base, 2));
	at = base + port / 8u;
	/* Two bytes are always read, so both must be inside. */
	if (at + 1 > tr->limit)
		return raise_gp(v, 0);
	TRY(system_read(v, tr->base + at, &bits, 2));
	if (bits >> (port & 7) & ((1u << size) - 1))
		return raise_gp(v, 0);
	return OUT_OK;
}

enum outcome io_allowed(struct vcpu *v, uint16_t port, unsigned size)
{
	if ((v->cpu.cr0 & CR0_PE) && (v->cpu.cpl > mode_iopl(v) || mode_vm86(v)))
		return bitmap_check(v, port, size);
	return OUT_OK;
}

uint32_t io_in(struct vcpu *v, uint16_t port, unsigned size)
{
	const struct engine_callbacks *callbacks;
	void *ctx;

	v->count.pio++;
	if (v->cpu.dr7 & 0xff)
		debug_port(v, port, size);
	vcpu_vectors_save(v);
	callbacks = vcpu_callbacks(v, &ctx);
	return (uint32_t)(callbacks->io_read(ctx, v->index, port, size) & size_mask(size));
}

void io_out(struct vcpu *v, uint16_t port, unsigned size, uint32_t value)
{
	const struct engine_callbacks *callbacks;
	void *ctx;

	v->count.pio++;
	if (v->cpu.dr7 & 0xff)
		debug_port(v, port, size);
	vcpu_vectors_save(v);
	callbacks = vcpu_callbacks(v, &ctx);
	callbacks->io_write(ctx, v->index, port, size, value & size_mask(size));
}

/* Bit 0 of the opcode: wide; bit 3: port in DX. */
static unsigned port_size(const struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size(v, i);

	return !(i->opcode & 1) ? 1 : size == 8 ? 4 : size;
}

static uint16_t port_number(const struct vcpu *v, const struct insn *i)
{
	return (uint16_t)((i->opcode & 8) ? v->cpu.gpr[RDX] & 0xffff : i->imm & 0xff);
}

enum outcome emulate_in(struct vcpu *v, const struct insn *i)
{
	unsigned size = port_size(v, i);
	uint16_t port = port_number(v, i);

	TRY(io_allowed(v, port, size));
	v->cpu.gpr[RAX] = size_merge(v->cpu.gpr[RAX], io_in(v, port, size), size);
	return insn_done(v, i);
}

enum outcome emulate_out(struct vcpu *v, const struct insn *i)
{
	unsigned size = port_size(v, i);
	uint16_t port = port_number(v, i);

	TRY(io_allowed(v, port, size));
	io_out(v, port, size, (uint32_t)v->cpu.gpr[RAX]);
	return insn_done(v, i);
}
