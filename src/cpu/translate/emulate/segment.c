/* SPDX-License-Identifier: Apache-2.0 */
/* Segmentation; see segment.h. */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/emulate/segment.h"
#include "cpu/translate/hot.h"

bool segment_linear(const struct vcpu *v, const struct segment *s, uint32_t offset, unsigned size,
	unsigned access, uint64_t *linear)
{
	unsigned type = s->attr & 15;
	uint64_t last = (uint64_t)offset + (size ? size - 1 : 0);

	*linear = (uint32_t)(s->base + offset);
	if (!mode_paragraphs(v)) {
		if (s->attr & SEG_ATTR_UNUSABLE)
			return false;
		if (access & ACC_WRITE) {
			if ((type & (TYPE_CODE | TYPE_WRITABLE)) != TYPE_WRITABLE)
				return false;
		} else if ((type & (TYPE_CODE | TYPE_READABLE)) == TYPE_CODE) {
			return false;
		}
	}
	if ((type & (TYPE_CODE | TYPE_DOWN)) == TYPE_DOWN)
		return offset > s->limit && last <= ((s->attr & SEG_ATTR_DB) ? 0xffffffff : 0xffff);
	return last <= s->limit;
}

enum outcome linear_address(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size,
	unsigned access, uint64_t *linear)
{
	if (mode_code64(v)) {
		uint64_t a = offset;

		if (seg == SEG_FS || seg == SEG_GS)
			a += v->cpu.seg[seg].base;
		*linear = a;
		if (canonical_ok(a) && canonical_ok(a + (size ? size - 1 : 0)))
			return OUT_OK;
	} else if (segment_linear(v, &v->cpu.seg[seg], (uint32_t)offset, size, access, linear)) {
		return OUT_OK;
	}
	return fault_raise_error(v, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
}

/* --- descriptors --------------------------------------------------------------------- */

enum outcome descriptor_read(struct vcpu *v, uint16_t selector, bool wide, unsigned vector,
	unsigned ext, struct descriptor *d)
{
	unsigned offset = selector & 0xfff8, size = wide ? 16 : 8;
	uint64_t base, limit;

	if (selector & 4) {
		base = v->cpu.ldtr.base;
		limit = v->cpu.ldtr.limit;
		if ((v->cpu.ldtr.attr & SEG_ATTR_UNUSABLE) || !(v->cpu.ldtr.selector & 0xfffc))
			return fault_raise_error(v, vector, (selector & 0xfffc) | ext);
	} else {
		base = v->cpu.gdtr.base;
		limit = v->cpu.gdtr.limit;
	}
	if (offset + size - 1 > limit)
		return fault_raise_error(v, vector, (selector & 0xfffc) | ext);
	d->linear = base + offset;
	if (!mode_long(v))
		d->linear = (uint32_t)d->linear;
	else if (!canonical_ok(d->linear) || !canonical_ok(d->linear + size - 1))
		return fault_raise_error(v, EXC_GP, ext);
	d->low = d->high = 0;
	if (wide) {
		uint64_t both[2];

		TRY(mem_read(v, d->linear, both, 16, ACC_READ | ACC_SYSTEM));
		d->low = both[0];
		d->high = both[1];
		return OUT_OK;
	}
	return mem_read(v, d->linear, &d->low, 8, ACC_READ | ACC_SYSTEM);
}

void descriptor_unpack(struct segment *s, uint16_t selector, const struct descriptor *d)
{
	uint32_t limit = (uint32_t)(d->low & 0xffff) | (uint32_t)(d->low >> 32 & 0xf0000);

	s->selector = selector;
	s->attr = (uint16_t)descriptor_attr(d->low);
	s->limit = (s->attr & SEG_ATTR_G) ? limit << 12 | 0xfff : limit;
	s->base = (d->low >> 16 & 0xffffff) | (d->low >> 32 & 0xff000000);
	if (!(s->attr & SEG_ATTR_S))
		s->base |= d->high << 32;
}

enum outcome descriptor_mark(struct vcpu *v, const struct descriptor *d, uint8_t set, uint8_t clear)
{
	void *host;
	uint8_t type;

	TRY(mem_host(v, d->linear + 5, 1, ACC_WRITE | ACC_SYSTEM, &host));
	if (host) {
		uint8_t *byte = host;

		__asm__ volatile("lock orb %1, %0" : "+m"(*byte) : "q"(set) : "cc", "memory");
		__asm__ volatile("lock andb %1, %0"
				 : "+m"(*byte)
				 : "q"((uint8_t)~clear)
				 : "cc", "memory");
		return OUT_OK;
	}
	TRY(mem_read(v, d->linear + 5, &type, 1, ACC_READ | ACC_SYSTEM));
	type = (uint8_t)((type | set) & ~clear);
	return mem_write(v, d->linear + 5, &type, 1, ACC_WRITE | ACC_SYSTEM);
}

enum outcome descriptor_accessed(struct vcpu *v, const struct descriptor *d, struct segment *s)
{
	if (s->attr & TYPE_ACCESSED)
		return OUT_OK;
	TRY(descriptor_mark(v, d, TYPE_ACCESSED, 0));
	s->attr |= TYPE_ACCESSED;
	return OUT_OK;
}

/* --- segment registers --------------------------------------------------------------- */

void segment_load_paragraph(struct vcpu *v, unsigned seg, uint16_t selector)
{
	struct segment *s = &v->cpu.seg[seg];

	/* Real mode leaves limit and attributes as they were: "unreal" mode lives on that. */
	s->selector = selector;
	s->base = (uint32_t)selector << 4;
	if (mode_vm86(v)) {
		s->limit = 0xffff;
		s->attr = 0xf3;
	} else {
		s->attr &= (uint16_t)~SEG_ATTR_UNUSABLE;
	}
}

enum outcome segment_stack_check(struct vcpu *v, uint16_t selector, unsigned cpl, unsigned vector,
	unsigned ext, struct segment *s)
{
	uint32_t error = (selector & 0xfffc) | ext;
	struct descriptor d;

	if (!(selector & 0xfffc))
		return fault_raise_error(v, vector, ext);
	TRY(descriptor_read(v, selector, false, vector, ext, &d));
	descriptor_unpack(s, selector, &d);
	if ((selector & 3) != cpl || !(s->attr & SEG_ATTR_S) ||
		(s->attr & (TYPE_CODE | TYPE_WRITABLE)) != TYPE_WRITABLE ||
		SEG_ATTR_DPL(s->attr) != cpl)
		return fault_raise_error(v, vector, error);
	if (!(s->attr & SEG_ATTR_P))
		return fault_raise_error(v, EXC_SS, error);
	return descriptor_accessed(v, &d, s);
}

static enum outcome load_stack(struct vcpu *v, uint16_t selector)
{
	struct segment s;

	if (!(selector & 0xfffc)) {
		if (!mode_code64(v) || v->cpu.cpl == 3 || (selector & 3) != v->cpu.cpl)
			return raise_gp(v, 0);
		segment_null(&s, selector);
		/* The privilege level stays readable where VMX keeps it. */
		s.attr |= (uint16_t)(v->cpu.cpl << 5);
	} else {
		TRY(segment_stack_check(v, selector, v->cpu.cpl, EXC_GP, 0, &s));
	}
	v->cpu.seg[SEG_SS] = s;
	return OUT_OK;
}

enum outcome segment_data_check(struct vcpu *v, uint16_t selector, unsigned cpl, unsigned vector,
	unsigned ext, struct segment *s)
{
	uint32_t error = (selector & 0xfffc) | ext;
	unsigned rpl = selector & 3, dpl;
	struct descriptor d;

	TRY(descriptor_read(v, selector, false, vector, ext, &d));
	descriptor_unpack(s, selector, &d);
	dpl = SEG_ATTR_DPL(s->attr);
	if (!(s->attr & SEG_ATTR_S) || (s->attr & (TYPE_CODE | TYPE_READABLE)) == TYPE_CODE)
		return fault_raise_error(v, vector, error);
	if ((s->attr & (TYPE_CODE | TYPE_CONFORMING)) != (TYPE_CODE | TYPE_CONFORMING) &&
		(rpl > dpl || cpl > dpl))
		return fault_raise_error(v, vector, error);
	if (!(s->attr & SEG_ATTR_P))
		return fault_raise_error(v, EXC_NP, error);
	return descriptor_accessed(v, &d, s);
}

enum outcome segment_load(struct vcpu *v, unsigned seg, uint16_t selector)
{
	struct segment s;

	if (mode_paragraphs(v)) {
		segment_load_paragraph(v, seg, selector);
		return OUT_OK;
	}
	if (seg == SEG_SS)
		return load_stack(v, selector);
	if (!(selector & 0xfffc)) {
		segment_null(&v->cpu.seg[seg], selector);
		return OUT_OK;
	}
	TRY(segment_data_check(v, selector, v->cpu.cpl, EXC_GP, 0, &s));
	v->cpu.seg[seg] = s;
	return OUT_OK;
}

void segment_drop_inner(struct vcpu *v, unsigned cpl)
{
	static const uint8_t data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

	for (unsigned k = 0; k < sizeof data; k++) {
		struct segment *s = &v->cpu.seg[data[k]];
		bool conforming =
			(s->attr & (TYPE_CODE | TYPE_CONFORMING)) == (TYPE_CODE | TYPE_CONFORMING);

		if (s->attr & SEG_ATTR_UNUSABLE) {
			s->selector = 0;
		} else if (!conforming && SEG_ATTR_DPL(s->attr) < cpl) {
			/* In 64-bit code FS and GS go on with the base they have. */
			s->selector = 0;
			s->attr = SEG_ATTR_UNUSABLE;
			if (!mode_long(v))
				s->base = 0;
		}
	}
}
