/* SPDX-License-Identifier: Apache-2.0 */
/*
 * String instructions (SDM 1, 7.3.9). MOVS, STOS, LODS, CMPS and SCAS run page by page on host
 * memory with the host's own string instructions, which gives overlapping copies their exact
 * element-by-element meaning; single elements go the slow way where a page, the segment or the
 * address size ends inside one, or where memory is a device.
 *
 * A call does a bounded amount of work; RCX, RSI and RDI then tell how far it came and RIP stays.
 */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/hot.h"

#define WORK_LIMIT 65536
#define SLOW_ELEMENT 256 /* what an element the slow way counts as */

struct string {
	const struct insn *insn;
	uint64_t mask;     /* of addresses and the count */
	uint64_t count;    /* elements to go; 1 without REP */
	uint64_t src, dst; /* offsets */
	unsigned size, src_seg;
	bool rep, until_equal; /* REP; REPNE for CMPS and SCAS */
	bool down;
	bool slow; /* alignment checks are on: every element by itself */
	bool amd;
	int budget;
};

static void string_prefixes(const struct vcpu *v, struct string *s)
{
	bool code64 = mode_code64(v);

	s->src_seg = SEG_DS;
	s->rep = s->until_equal = false;
	for (unsigned k = 0; k < s->insn->prefix_count && k < sizeof s->insn->bytes; k++) {
		switch (s->insn->bytes[k]) {
		case 0xf2:
		case 0xf3:
			s->rep = true;
			s->until_equal = s->insn->bytes[k] == 0xf2;
			break;
		case 0x64:
			s->src_seg = SEG_FS;
			break;
		case 0x65:
			s->src_seg = SEG_GS;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			if (!code64)
				s->src_seg = s->insn->bytes[k] >> 3 & 3;
			break;
		}
	}
}

static void string_begin(struct vcpu *v, const struct insn *i, struct string *s)
{
	s->insn = i;
	s->mask = size_mask(i->address_size);
	s->size = (i->opcode & 1) ? insn_size(v, i) : 1;
	string_prefixes(v, s);
	s->count = s->rep ? v->cpu.gpr[RCX] & s->mask : 1;
	s->src = v->cpu.gpr[RSI] & s->mask;
	s->dst = v->cpu.gpr[RDI] & s->mask;
	s->down = v->cpu.rflags & FL_DF;
	s->amd = guest_amd(v);
	s->slow = (v->cpu.rflags & FL_AC) && v->cpu.cpl == 3 && (v->cpu.cr0 & CR0_AM);
	s->budget = WORK_LIMIT;
	if (v->cpu.rflags & FL_TF || v->cpu.dr7 & 0xff) {
		/* a trap after each element */
		s->slow = true;
		s->budget = 1;
	}
}

/* REP with nothing to do still writes its registers, which a 32-bit address size shows; AMD's does not. */
static enum outcome string_nothing(struct vcpu *v, const struct string *s, bool src, bool dst)
{
	unsigned width = s->insn->address_size;

	if (s->amd)
		return insn_done(v, s->insn);
	v->cpu.gpr[RCX] = size_merge(v->cpu.gpr[RCX], 0, width);
	if (src)
		v->cpu.gpr[RSI] = size_merge(v->cpu.gpr[RSI], s->src, width);
	if (dst)
		v->cpu.gpr[RDI] = size_merge(v->cpu.gpr[RDI], s->dst, width);
	return insn_done(v, s->insn);
}

/* n elements are done. */
static void string_advance(struct vcpu *v, struct string *s, uint64_t n, bool src, bool dst)
{
	uint64_t bytes = s->down ? -(n * s->size) : n * s->size;
	unsigned width = s->insn->address_size;

	s->count -= n;
	s->budget -= (int)(n * s->size);
	if (src) {
		s->src = (s->src + bytes) & s->mask;
		v->cpu.gpr[RSI] = size_merge(v->cpu.gpr[RSI], s->src, width);
	}
	if (dst) {
		s->dst = (s->dst + bytes) & s->mask;
		v->cpu.gpr[RDI] = size_merge(v->cpu.gpr[RDI], s->dst, width);
	}
	if (s->rep)
		v->cpu.gpr[RCX] = size_merge(v->cpu.gpr[RCX], s->count, width);
}

static bool string_more(struct vcpu *v, const struct string *s)
{
	return s->count && s->budget > 0 && !__atomic_load_n(&v->kicked, __ATOMIC_RELAXED);
}

static enum outcome string_end(struct vcpu *v, const struct string *s)
{
	return s->count ? OUT_OK : insn_done(v, s->insn);
}

/*
 * How many elements from seg:offset on lie in one page of plain memory, at most *n; *host is the
 * first element. 0: the next element has to go the slow way. Faults are those of that element.
 */
static enum outcome string_run(struct vcpu *v, const struct string *s, unsigned seg,
	uint64_t offset, unsigned access, uint64_t *n, void **host)
{
	uint64_t linear, most, room, low, unused;
	unsigned in_page;

	*host = NULL;
	TRY(linear_address(v, seg, offset, s->size, access, &linear));
	in_page = linear & 4095;
	if (s->slow || in_page + s->size > 4096) {
		*n = 0;
		return OUT_OK;
	}
	if (s->down) {
		most = in_page / s->size + 1;
		room = offset / s->size + 1;
	} else {
		most = (4096 - in_page) / s->size;
		room = s->mask - offset + 1;
		room = room ? room / s->size : most;
	}
	if (most > room)
		most = room;
	if (most > *n)
		most = *n;
	if (most > 1 && !mode_code64(v)) {
		low = s->down ? offset - (most - 1) * s->size : offset;
		if (!segment_linear(v, &v->cpu.seg[seg], (uint32_t)low, (unsigned)(most * s->size),
			    access, &unused))
			most = 1;
	}
	*n = most;
	if (!most)
		return OUT_OK;
	low = s->down ? linear - (most - 1) * s->size : linear;
	if (mem_host(v, low, (unsigned)(most * s->size), access, host)) {
		v->fault.cr2 = linear;
		return OUT_FAULT;
	}
	if (!*host)
		*n = 0;
	else if (s->down)
		*host = (char *)*host + (most - 1) * s->size;
	return OUT_OK;
}

/* --- MOVS, STOS, LODS ---------------------------------------------------------------- */

#define REP_MOVS(suffix) \
	__asm__ volatile("rep movs" suffix : "+D"(dst), "+S"(src), "+c"(n) : : "memory")
#define REP_STOS(suffix) \
	__asm__ volatile("rep stos" suffix : "+D"(dst), "+c"(n) : "a"(value) : "memory")

static void host_movs(void *dst, const void *src, uint64_t n, unsigned size, bool down)
{
	if (down)
		__asm__ volatile("std" : : : "cc");
	switch (size) {
	case 1:
		REP_MOVS("b");
		break;
	case 2:
		REP_MOVS("w");
		break;
	case 4:
		REP_MOVS("l");
		break;
	default:
		REP_MOVS("q");
		break;
	}
	if (down)
		__asm__ volatile("cld" : : : "cc");
}

static void host_stos(void *dst, uint64_t value, uint64_t n, unsigned size, bool down)
{
	if (down)
		__asm__ volatile("std" : : : "cc");
	switch (size) {
	case 1:
		REP_STOS("b");
		break;
	case 2:
		REP_STOS("w");
		break;
	case 4:
		REP_STOS("l");
		break;
	default:
		REP_STOS("q");
		break;
	}
	if (down)
		__asm__ volatile("cld" : : : "cc");
}

/* A store that may go to a device comes after everything that can fault has been tried. */
static enum outcome movs_element(struct vcpu *v, struct string *s)
{
	uint64_t linear, value;

	TRY(linear_address(v, s->src_seg, s->src, s->size, ACC_READ, &linear));
	TRY(mem_probe(v, linear, s->size, ACC_READ));
	TRY(linear_address(v, SEG_ES, s->dst, s->size, ACC_WRITE, &linear));
	TRY(mem_probe(v, linear, s->size, ACC_WRITE));
	TRY(data_read(v, s->src_seg, s->src, s->size, &value));
	TRY(data_write(v, SEG_ES, s->dst, s->size, value));
	s->budget -= SLOW_ELEMENT;
	string_advance(v, s, 1, true, true);
	return OUT_OK;
}

static enum outcome string_movs(struct vcpu *v, struct string *s)
{
	if (!s->count)
		return string_nothing(v, s, true, true);
	while (s->count) {
		uint64_t n = s->count;
		void *src, *dst;

		TRY(string_run(v, s, s->src_seg, s->src, ACC_READ, &n, &src));
		if (n)
			TRY(string_run(v, s, SEG_ES, s->dst, ACC_WRITE, &n, &dst));
		if (!n) {
			TRY(movs_element(v, s));
		} else {
			host_movs(dst, src, n, s->size, s->down);
			string_advance(v, s, n, true, true);
		}
		if (!string_more(v, s))
			break;
	}
	return string_end(v, s);
}

static enum outcome string_stos(struct vcpu *v, struct string *s)
{
	uint64_t value = v->cpu.gpr[RAX];

	if (!s->count)
		return string_nothing(v, s, false, true);
	while (s->count) {
		uint64_t n = s->count;
		void *dst;

		TRY(string_run(v, s, SEG_ES, s->dst, ACC_WRITE, &n, &dst));
		if (n) {
			host_stos(dst, value, n, s->size, s->down);
		} else {
			TRY(data_write(v, SEG_ES, s->dst, s->size, value));
			s->budget -= SLOW_ELEMENT;
			n = 1;
		}
		string_advance(v, s, n, false, true);
		if (!string_more(v, s))
			break;
	}
	return string_end(v, s);
}

static enum outcome string_lods(struct vcpu *v, struct string *s)
{
	if (!s->count)
		return string_nothing(v, s, false, false);
	while (s->count) {
		uint64_t value;

		TRY(data_read(v, s->src_seg, s->src, s->size, &value));
		v->cpu.gpr[RAX] = size_merge(v->cpu.gpr[RAX], value, s->size);
		s->budget -= 32;
		string_advance(v, s, 1, true, false);
		if (!string_more(v, s))
			break;
	}
	return string_end(v, s);
}

/* --- CMPS, SCAS ---------------------------------------------------------------------- */

struct unaligned16 {
	uint16_t value;
} __attribute__((packed));
struct unaligned32 {
	uint32_t value;
} __attribute__((packed));
struct unaligned64 {
	uint64_t value;
} __attribute__((packed));

static uint64_t host_load(const void *p, unsigned size)
{
	switch (size) {
	case 1:
		return *(const volatile uint8_t *)p;
	case 2:
		return ((const volatile struct unaligned16 *)p)->value;
	case 4:
		return ((const volatile struct unaligned32 *)p)->value;
	default:
		return ((const volatile struct unaligned64 *)p)->value;
	}
}

/*
 * Elements have been compared. Intel's processors have flags as before the instruction until all are
 * (SDM 2B, REP: what faults finds them so), AMD's those of the last one.
 */
static void string_compared(struct vcpu *v, const struct string *s, uint64_t a, uint64_t b,
	bool done)
{
	if (done || !s->count || s->amd)
		v->cpu.rflags =
			(v->cpu.rflags & ~(uint64_t)FL_STATUS) | flags_subtract(a, b, 0, s->size);
}

/*
 * Which operand is looked at first, where neither can be had? No manual tells. Seen: [rdi], on Intel and
 * on AMD before family 1Ah, but of its REPE CMPSB; [rsi] on family 1Ah.
 */
static bool cmps_source_first(const struct vcpu *v, const struct string *s)
{
	if (!s->amd)
		return false;
	return cpuid_family(cpuid_policy_signature(vcpu_cpuid(v))) >= 0x1a ||
		(s->rep && !s->until_equal && s->size == 1);
}

static enum outcome cmps_run(struct vcpu *v, const struct string *s, bool source_first, uint64_t *n,
	void **src, void **dst)
{
	*src = *dst = NULL;
	if (source_first)
		TRY(string_run(v, s, s->src_seg, s->src, ACC_READ, n, src));
	if (*n)
		TRY(string_run(v, s, SEG_ES, s->dst, ACC_READ, n, dst));
	if (*n && !source_first)
		TRY(string_run(v, s, s->src_seg, s->src, ACC_READ, n, src));
	return OUT_OK;
}

static enum outcome cmps_element(struct vcpu *v, const struct string *s, bool source_first,
	uint64_t *a, uint64_t *b)
{
	if (source_first)
		TRY(data_read(v, s->src_seg, s->src, s->size, a));
	TRY(data_read(v, SEG_ES, s->dst, s->size, b));
	return source_first ? OUT_OK : data_read(v, s->src_seg, s->src, s->size, a);
}

static enum outcome string_cmps(struct vcpu *v, struct string *s)
{
	uint64_t a = 0, b = 0;
	bool done = false, source_first = cmps_source_first(v, s);

	if (!s->count)
		return string_nothing(v, s, false, false);
	do {
		int64_t step = s->down ? -(int64_t)s->size : (int64_t)s->size;
		uint64_t n = s->count, k = 0;
		void *src, *dst;

		TRY(cmps_run(v, s, source_first, &n, &src, &dst));
		if (!n) {
			TRY(cmps_element(v, s, source_first, &a, &b));
			s->budget -= SLOW_ELEMENT;
			k = 1;
			done = (a == b) == s->until_equal;
		}
		while (k < n && !done) {
			a = host_load((char *)src + (int64_t)k * step, s->size);
			b = host_load((char *)dst + (int64_t)k * step, s->size);
			k++;
			done = (a == b) == s->until_equal;
		}
		string_advance(v, s, k, true, true);
		string_compared(v, s, a, b, done);
	} while (s->rep && !done && string_more(v, s));
	return done || !s->rep ? insn_done(v, s->insn) : string_end(v, s);
}

static enum outcome string_scas(struct vcpu *v, struct string *s)
{
	uint64_t a = v->cpu.gpr[RAX] & size_mask(s->size), b = 0;
	bool done = false;

	if (!s->count)
		return string_nothing(v, s, false, false);
	do {
		int64_t step = s->down ? -(int64_t)s->size : (int64_t)s->size;
		uint64_t n = s->count, k = 0;
		void *dst;

		TRY(string_run(v, s, SEG_ES, s->dst, ACC_READ, &n, &dst));
		if (!n) {
			TRY(data_read(v, SEG_ES, s->dst, s->size, &b));
			s->budget -= SLOW_ELEMENT;
			k = 1;
			done = (a == b) == s->until_equal;
		}
		while (k < n && !done) {
			b = host_load((char *)dst + (int64_t)k * step, s->size);
			k++;
			done = (a == b) == s->until_equal;
		}
		string_advance(v, s, k, false, true);
		string_compared(v, s, a, b, done);
	} while (s->rep && !done && string_more(v, s));
	return done || !s->rep ? insn_done(v, s->insn) : string_end(v, s);
}

/* --- INS, OUTS ----------------------------------------------------------------------- */

static enum outcome string_ins(struct vcpu *v, struct string *s)
{
	uint16_t port = (uint16_t)v->cpu.gpr[RDX];

	TRY(io_allowed(v, port, s->size)); /* also if there is nothing to do */
	while (s->count) {
		uint64_t linear;

		TRY(linear_address(v, SEG_ES, s->dst, s->size, ACC_WRITE, &linear));
		TRY(mem_probe(v, linear, s->size, ACC_WRITE));
		TRY(data_write(v, SEG_ES, s->dst, s->size, io_in(v, port, s->size)));
		s->budget -= SLOW_ELEMENT;
		string_advance(v, s, 1, false, true);
		if (!string_more(v, s))
			break;
	}
	return string_end(v, s);
}

static enum outcome string_outs(struct vcpu *v, struct string *s)
{
	uint16_t port = (uint16_t)v->cpu.gpr[RDX];

	TRY(io_allowed(v, port, s->size)); /* also if there is nothing to do */
	while (s->count) {
		uint64_t value;

		TRY(data_read(v, s->src_seg, s->src, s->size, &value));
		io_out(v, port, s->size, (uint32_t)value);
		s->budget -= SLOW_ELEMENT;
		string_advance(v, s, 1, true, false);
		if (!string_more(v, s))
			break;
	}
	return string_end(v, s);
}

enum outcome emulate_string(struct vcpu *v, const struct insn *i)
{
	struct string s;

	string_begin(v, i, &s);
	switch (i->opcode & ~1u) {
	case 0xa4:
		return string_movs(v, &s);
	case 0xaa:
		return string_stos(v, &s);
	case 0xac:
		return string_lods(v, &s);
	case 0xa6:
		return string_cmps(v, &s);
	case 0xae:
		return string_scas(v, &s);
	case 0x6c:
		s.size = s.size == 8 ? 4 : s.size;
		return string_ins(v, &s);
	case 0x6e:
		s.size = s.size == 8 ? 4 : s.size;
		return string_outs(v, &s);
	default:
		return raise_ud(v);
	}
}
