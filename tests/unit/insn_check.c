/* SPDX-License-Identifier: Apache-2.0 */
#include "insn_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <Zydis/Mnemonic.h>

#include "cpu/state.h"

void complain(struct check *c, const char *what, uint64_t expected, uint64_t found)
{
	char text[128];

	/* once for each mnemonic and kind of error is enough */
	for (unsigned n = 0; n < c->told; n++)
		if (c->tellings[n].mnemonic == c->insn.mnemonic && c->tellings[n].what == what)
			return;
	c->wrong++;
	if (c->told < sizeof(c->tellings) / sizeof(c->tellings[0]))
		c->tellings[c->told++] = (struct telling){c->insn.mnemonic, what};
	insn_format(&c->insn, 0, 64, text, sizeof(text));
	print_error("%s: %s: %llx, found %llx (", text, what, (unsigned long long)expected,
		(unsigned long long)found);
	for (unsigned i = 0; i < c->insn.length; i++)
		print_error("%02x", c->insn.bytes[i]);
	print_error(")\n");
}

/* x87 instruction and data pointers are the host's business; the header is XSAVE's. */
bool vectors_equal(const struct native_state *a, const struct native_state *b)
{
	return memcmp(a->xsave, b->xsave, 6) == 0 &&
		memcmp(a->xsave + 24, b->xsave + 24, 392) == 0 &&
		memcmp(a->xsave + 576, b->xsave + 576, NATIVE_XSAVE_SIZE - 576) == 0;
}

bool random_result(const struct insn *i)
{
	return i->mnemonic == ZYDIS_MNEMONIC_RDRAND || i->mnemonic == ZYDIS_MNEMONIC_RDSEED;
}

void disturb(struct check *c, struct native_state *s, uint16_t keep)
{
	struct native_state other;

	native_random(&other, &c->seed);
	for (unsigned r = 0; r < 16; r++)
		if (!((c->insn.gpr_read | keep) >> r & 1))
			s->gpr[r] = other.gpr[r];
	s->rflags ^= native_rand(&c->seed) & FLAGS & ~c->insn.flags_read;
}

void compare(struct check *c, const struct native_state *in, const struct native_state *out)
{
	const struct insn *i = &c->insn;
	uint64_t kept = FLAGS & ~(i->flags_written | i->flags_maybe);

	for (unsigned r = 0; r < 16; r++)
		if (!(i->gpr_write >> r & 1) && in->gpr[r] != out->gpr[r])
			complain(c, "changes a register unannounced", i->gpr_write, r);
	if ((in->rflags ^ out->rflags) & kept)
		complain(c, "changes flags unannounced", i->flags_written | i->flags_maybe,
			(in->rflags ^ out->rflags) & kept);
}

void compare_pair(struct check *c, const struct native_state out[2])
{
	const struct insn *i = &c->insn;
	uint32_t changed;

	if (random_result(i))
		return;
	for (unsigned r = 0; r < 16; r++)
		if ((i->gpr_write >> r & 1) && out[0].gpr[r] != out[1].gpr[r])
			complain(c, "depends on a register unannounced", i->gpr_read, r);
	changed = (out[0].rflags ^ out[1].rflags) & i->flags_written;
	if (changed)
		complain(c, "does not always overwrite flags", i->flags_written, changed);
	if (!vectors_equal(&out[0], &out[1]))
		complain(c, "vector state depends on more than announced", i->gpr_read, 0);
}

bool fault_expected(struct check *c, const struct native_fault *f)
{
	if (f->signal == 0)
		return true;
	if (f->signal == SIGFPE && c->insn.may_fault)
		return true;
	if (f->signal == SIGILL)
		complain(c, "is undefined here", 0, f->trap);
	else
		complain(c, "faults unannounced", c->insn.may_fault, f->trap << 8 | f->signal);
	return false;
}

bool decode_copy(struct check *c, const uint8_t bytes[15])
{
	if (insn_decode(&c->insn, bytes, 15, 64, &c->policy) != 0 || c->insn.class != INSN_COPY)
		return false;
	c->forms++;
	native_load(c->native, bytes, c->insn.length);
	return true;
}

void fill(struct check *c)
{
	for (unsigned i = 0; i < PAGE; i += 8) {
		uint64_t r = native_rand(&c->seed);

		memcpy(c->page + i, &r, 8);
	}
}

bool is_ldmxcsr(const struct insn *i)
{
	return i->mnemonic == ZYDIS_MNEMONIC_LDMXCSR || i->mnemonic == ZYDIS_MNEMONIC_VLDMXCSR;
}

void check_begin(struct check *c)
{
	c->forms = c->wrong = c->told = 0;
	c->native = native_create();
	assert_non_null(c->native);
}

void check_end(struct check *c)
{
	native_destroy(c->native);
	print_message("%u forms\n", c->forms);
	assert_int_equal(c->wrong, 0);
	assert_true(c->forms > 1000);
}

int check_setup(void **state)
{
	struct check *c = calloc(1, sizeof(*c));
	struct error err = {0};
	uint8_t *area;

	c->seed = 1;
	if (cpuid_policy_init(&c->policy, CPUID_TRANSLATE, 1, NULL, &err) != 0)
		return -1;
	area = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED || mprotect(area + PAGE, PAGE, PROT_READ | PROT_WRITE) != 0)
		return -1;
	c->page = area + PAGE;
	*state = c;
	return 0;
}

int check_teardown(void **state)
{
	struct check *c = *state;

	munmap(c->page - PAGE, 3 * PAGE);
	free(c);
	return 0;
}
