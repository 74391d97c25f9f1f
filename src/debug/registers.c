/* SPDX-License-Identifier: Apache-2.0 */
#include "debug/registers.h"

#include <stdlib.h>
#include <string.h>

#include "cpu/cpuid.h"

enum kind {
	PLAIN,  /* bytes of struct cpu_state */
	X87,    /* bytes of its XSAVE area, and part of the x87 component */
	X87_16, /* the same, 16 bits of state in 32 */
	FTAG,   /* the same, one bit a register instead of two */
	SSE,
	ZERO, /* not kept (x87's last selectors) */
};

enum feature { CORE, SSE_FEATURE, SEGMENTS, SYSTEM, FEATURES };

static const char *const feature_names[FEATURES] = {
	[CORE] = "org.gnu.gdb.i386.core",
	[SSE_FEATURE] = "org.gnu.gdb.i386.sse",
	[SEGMENTS] = "org.gnu.gdb.i386.segments",
	[SYSTEM] = "dach.system",
};

struct reg {
	char name[12];
	const char *type;
	enum feature feature;
	enum kind kind;
	uint8_t size; /* bytes, as gdb sees it */
	uint16_t offset;
};

#define STATE(reg_name, t, f, bytes, field)                                     \
	{                                                                       \
		reg_name, t, f, PLAIN, bytes, offsetof(struct cpu_state, field) \
	}
#define GPR(reg_name, index) STATE(reg_name, "int64", CORE, 8, gpr[index])
#define SELECTOR(reg_name, index)                                                                  \
	{                                                                                          \
		reg_name, "int32", CORE, PLAIN, 4, offsetof(struct cpu_state, seg[index].selector) \
	}
#define FX(reg_name, t, f, k, bytes, at)     \
	{                                    \
		reg_name, t, f, k, bytes, at \
	}
#define ST(n) FX("st" #n, "i387_ext", CORE, X87, 10, XSAVE_ST + 16 * n)
#define XMM(n) FX("xmm" #n, "vec128", SSE_FEATURE, SSE, 16, XSAVE_XMM + 16 * n)
#define CONTROL(reg_name, at) FX(reg_name, "int", CORE, X87_16, 4, at)

/* clang-format off */
static const struct reg regs[] = {
	GPR("rax", RAX), GPR("rbx", RBX), GPR("rcx", RCX), GPR("rdx", RDX),
	GPR("rsi", RSI), GPR("rdi", RDI), STATE("rbp", "data_ptr", CORE, 8, gpr[RBP]),
	STATE("rsp", "data_ptr", CORE, 8, gpr[RSP]),
	GPR("r8", R8), GPR("r9", R9), GPR("r10", R10), GPR("r11", R11),
	GPR("r12", R12), GPR("r13", R13), GPR("r14", R14), GPR("r15", R15),
	STATE("rip", "code_ptr", CORE, 8, rip),
	STATE("eflags", "i386_eflags", CORE, 4, rflags),
	SELECTOR("cs", SEG_CS), SELECTOR("ss", SEG_SS), SELECTOR("ds", SEG_DS),
	SELECTOR("es", SEG_ES), SELECTOR("fs", SEG_FS), SELECTOR("gs", SEG_GS),
	ST(0), ST(1), ST(2), ST(3), ST(4), ST(5), ST(6), ST(7),
	CONTROL("fctrl", XSAVE_FCW), CONTROL("fstat", XSAVE_FSW),
	FX("ftag", "int", CORE, FTAG, 4, XSAVE_FTW),
	FX("fiseg", "int", CORE, ZERO, 4, 0), FX("fioff", "int", CORE, X87, 4, XSAVE_FIP),
	FX("foseg", "int", CORE, ZERO, 4, 0), FX("fooff", "int", CORE, X87, 4, XSAVE_FDP),
	CONTROL("fop", XSAVE_FOP),
	XMM(0), XMM(1), XMM(2), XMM(3), XMM(4), XMM(5), XMM(6), XMM(7),
	XMM(8), XMM(9), XMM(10), XMM(11), XMM(12), XMM(13), XMM(14), XMM(15),
	{"mxcsr", "i386_mxcsr", SSE_FEATURE, PLAIN, 4, offsetof(struct cpu_state, xsave[XSAVE_MXCSR])},
	STATE("fs_base", "int64", SEGMENTS, 8, seg[SEG_FS].base),
	STATE("gs_base", "int64", SEGMENTS, 8, seg[SEG_GS].base),
	STATE("k_gs_base", "int64", SYSTEM, 8, kernel_gs_base),
	STATE("cr0", "int64", SYSTEM, 8, cr0), STATE("cr2", "int64", SYSTEM, 8, cr2),
	STATE("cr3", "int64", SYSTEM, 8, cr3), STATE("cr4", "int64", SYSTEM, 8, cr4),
	STATE("cr8", "int64", SYSTEM, 8, cr8), STATE("efer", "int64", SYSTEM, 8, efer),
	STATE("cs_base", "int64", SYSTEM, 8, seg[SEG_CS].base),
	STATE("ss_base", "int64", SYSTEM, 8, seg[SEG_SS].base),
	STATE("gdt_base", "int64", SYSTEM, 8, gdtr.base),
	STATE("idt_base", "int64", SYSTEM, 8, idtr.base),
	STATE("tr_base", "int64", SYSTEM, 8, tr.base),
	STATE("xcr0", "int64", SYSTEM, 8, xcr0),
	STATE("gdt_limit", "int16", SYSTEM, 2, gdtr.limit),
	STATE("idt_limit", "int16", SYSTEM, 2, idtr.limit),
	STATE("cs_attr", "int16", SYSTEM, 2, seg[SEG_CS].attr),
	STATE("tr", "int16", SYSTEM, 2, tr.selector),
	STATE("ldtr", "int16", SYSTEM, 2, ldtr.selector),
	STATE("star", "int64", SYSTEM, 8, star), STATE("lstar", "int64", SYSTEM, 8, lstar),
	STATE("cstar", "int64", SYSTEM, 8, cstar), STATE("sfmask", "int64", SYSTEM, 8, sfmask),
	STATE("sysenter_cs", "int64", SYSTEM, 8, sysenter_cs),
	STATE("sysenter_sp", "int64", SYSTEM, 8, sysenter_esp),
	STATE("sysenter_ip", "int64", SYSTEM, 8, sysenter_eip),
	STATE("tsc_aux", "int64", SYSTEM, 8, tsc_aux), STATE("pat", "int64", SYSTEM, 8, pat),
	STATE("dr7", "int64", SYSTEM, 8, dr7),
};
/* clang-format on */

unsigned registers_count(void)
{
	return sizeof regs / sizeof *regs;
}

unsigned registers_size(unsigned n)
{
	return n < registers_count() ? regs[n].size : 0;
}

static bool is_selector(const struct reg *r)
{
	return r->feature == CORE && r->kind == PLAIN && !strcmp(r->type, "int32");
}

/* Is this XSAVE component in memory, or in its initial state? */
static bool component_valid(const struct cpu_state *state, unsigned bit)
{
	return state->xsave[XSAVE_BV] & bit;
}

/*
 * Writing to a component makes all of it valid; what was never saved then has to be what a
 * processor starts with.
 */
static void component_touch(struct cpu_state *state, unsigned bit)
{
	if (component_valid(state, bit))
		return;
	if (bit == XCR0_X87) {
		memset(state->xsave, 0, XSAVE_MXCSR);
		memset(state->xsave + XSAVE_ST, 0, XSAVE_XMM - XSAVE_ST);
		state->xsave[XSAVE_FCW] = 0x7f;
		state->xsave[XSAVE_FCW + 1] = 3;
	} else {
		memset(state->xsave + XSAVE_XMM, 0, 256);
	}
	state->xsave[XSAVE_BV] |= bit;
}

/*
 * The full tag word from the abridged one (SDM 1, 8.1.7): 3 for an empty register, 0 for all
 * others; gdb asks for no more.
 */
static uint32_t tag_full(uint8_t abridged)
{
	uint32_t full = 0;

	for (int i = 0; i < 8; i++)
		if (!(abridged >> i & 1))
			full |= 3u << (2 * i);
	return full;
}

static uint8_t tag_abridged(uint32_t full)
{
	uint8_t abridged = 0;

	for (int i = 0; i < 8; i++)
		if ((full >> (2 * i) & 3) != 3)
			abridged |= 1u << i;
	return abridged;
}

void registers_read(const struct cpu_state *state, unsigned n, uint8_t *buf)
{
	const struct reg *r = &regs[n];
	uint32_t value = 0;

	memset(buf, 0, REGISTER_MAX);
	switch (r->kind) {
	case PLAIN:
		memcpy(buf, (const uint8_t *)state + r->offset, is_selector(r) ? 2 : r->size);
		break;
	case SSE:
		if (component_valid(state, XCR0_SSE))
			memcpy(buf, state->xsave + r->offset, r->size);
		break;
	case X87:
		if (component_valid(state, XCR0_X87))
			memcpy(buf, state->xsave + r->offset, r->size);
		break;
	case X87_16:
		if (component_valid(state, XCR0_X87))
			memcpy(buf, state->xsave + r->offset, 2);
		else if (r->offset == XSAVE_FCW)
			memcpy(buf, "\x7f\x03", 2);
		break;
	case FTAG:
		value = tag_full(component_valid(state, XCR0_X87) ? state->xsave[XSAVE_FTW] : 0);
		memcpy(buf, &value, 4);
		break;
	case ZERO:
		break;
	}
}

void registers_write(struct cpu_state *state, unsigned n, const uint8_t *buf)
{
	const struct reg *r = &regs[n];
	uint32_t value;

	switch (r->kind) {
	case PLAIN:
		memcpy((uint8_t *)state + r->offset, buf, is_selector(r) ? 2 : r->size);
		break;
	case SSE:
		component_touch(state, XCR0_SSE);
		memcpy(state->xsave + r->offset, buf, r->size);
		break;
	case X87:
	case X87_16:
		component_touch(state, XCR0_X87);
		memcpy(state->xsave + r->offset, buf, r->kind == X87 ? r->size : 2);
		break;
	case FTAG:
		component_touch(state, XCR0_X87);
		memcpy(&value, buf, 4);
		state->xsave[XSAVE_FTW] = tag_abridged(value);
		break;
	case ZERO:
		break;
	}
}

/* The types that a feature's registers use and gdb does not know by itself. */
static void feature_types(FILE *out, enum feature feature)
{
	static const char *const eflags[] = {"CF", "", "PF", "", "AF", "", "ZF", "SF", "TF", "IF",
		"DF", "OF", "", "", "NT", "", "RF", "VM", "AC", "VIF", "VIP", "ID"};
	static const char *const mxcsr[] = {"IE", "DE", "ZE", "OE", "UE", "PE", "DAZ", "IM", "DM",
		"ZM", "OM", "UM", "PM", "", "", "FZ"};

	if (feature == CORE) {
		fputs("<flags id=\"i386_eflags\" size=\"4\">", out);
		for (unsigned i = 0; i < sizeof eflags / sizeof *eflags; i++)
			if (eflags[i][0])
				fprintf(out, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>",
					eflags[i], i, i);
		fputs("</flags>", out);
	}
	if (feature == SSE_FEATURE) {
		fputs("<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
		      "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
		      "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
		      "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
		      "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
		      "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
		      "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
		      "<field name=\"v2_double\" type=\"v2d\"/>"
		      "<field name=\"v16_int8\" type=\"v16i8\"/>"
		      "<field name=\"v8_int16\" type=\"v8i16\"/>"
		      "<field name=\"v4_int32\" type=\"v4i32\"/>"
		      "<field name=\"v2_int64\" type=\"v2i64\"/>"
		      "<field name=\"uint128\" type=\"uint128\"/></union>"
		      "<flags id=\"i386_mxcsr\" size=\"4\">",
			out);
		for (unsigned i = 0; i < sizeof mxcsr / sizeof *mxcsr; i++)
			if (mxcsr[i][0])
				fprintf(out, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>",
					mxcsr[i], i, i);
		fputs("</flags>", out);
	}
}

char *registers_xml(size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		return NULL;
	fputs("<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
	      "<target><architecture>i386:x86-64</architecture>",
		out);
	for (unsigned f = 0; f < FEATURES; f++) {
		fprintf(out, "<feature name=\"%s\">", feature_names[f]);
		feature_types(out, f);
		for (unsigned i = 0; i < registers_count(); i++)
			if (regs[i].feature == f)
				fprintf(out,
					"<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"/>",
					regs[i].name, regs[i].size * 8u, regs[i].type, i);
		fputs("</feature>", out);
	}
	fputs("</target>", out);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}
