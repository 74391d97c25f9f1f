/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every combination of permission bits, privilege and switches (SDM 3A 4.6), each
 * compared with what a few lines say of it; accessed and dirty bits; reserved bits;
 * what INVLPG, CR3, CR4.PGE and INVPCID must make visible (4.10.4).
 */
#include "truth.h"

#define BASE 0x20000000000ull
#define P 1ull
#define W 2ull
#define U 4ull
#define A 0x20ull
#define D 0x40ull
#define LARGE 0x80ull
#define GLOBAL 0x100ull
#define NX (1ull << 63)
#define CR0_WP 0x10000ull
#define CR4_SMEP 0x100000ull
#define CR4_SMAP 0x200000ull
#define CR4_PCIDE 0x20000ull
#define CR4_PGE 0x80ull

static volatile uint64_t t3[512] __attribute__((aligned(4096)));
static volatile uint64_t t2[512] __attribute__((aligned(4096)));
static volatile uint64_t t1[512] __attribute__((aligned(4096)));
static uint8_t page[2][4096] __attribute__((aligned(4096)));

enum { READ, WRITE, FETCH };

CODE(user_read, "movb (%rdi), %al");
CODE(user_write, "movb $1, 64(%rdi)");
CODE(user_fetch, "jmp *%rdi");

/* What happens: BACK (the access is done), or PF with *error. */
static unsigned expected(uint64_t pte, uint64_t pde, unsigned access, bool user, bool wp, bool smep,
	bool smap, bool ac, uint64_t *error)
{
	bool writable = pte & pde & W, for_user = pte & pde & U, denied;

	*error =
		(pte & P) | (access == WRITE ? 2 : 0) | (user ? 4 : 0) | (access == FETCH ? 16 : 0);
	if (!(pte & P))
		return PF;
	if (access == FETCH && (pte | pde) & NX)
		return PF;
	if (user)
		denied = !for_user || (access == WRITE && !writable);
	else if (access == FETCH)
		denied = smep && for_user;
	else
		denied = (smap && for_user && !ac) || (access == WRITE && !writable && wp);
	return denied ? PF : BACK;
}

static unsigned supervisor(unsigned access, bool ac)
{
	if (ac)
		asm volatile("stac");
	if (access == READ &&
		TRY("movb (%0), %%al",
			:
			: "r"(BASE)
			: "rax", "r11", "memory") == NONE)
		caught.vector = BACK;
	if (access == WRITE && TRY("movb $1, 64(%0)", : : "r"(BASE) : "r11", "memory") == NONE)
		caught.vector = BACK;
	if (access == FETCH)
		TRY("jmp *%0", : : "r"(BASE) : "r11", "memory");
	if (ac)
		asm volatile("clac");
	return caught.vector;
}

static unsigned user(unsigned access)
{
	switch (access) {
	case READ:
		return user_run(user_read, user_read_end - user_read, BASE, 0, 0);
	case WRITE:
		return user_run(user_write, user_write_end - user_write, BASE, 0, 0);
	default:
		return user_run(user_fetch, user_fetch_end - user_fetch, BASE, 0, 0);
	}
}

static uint64_t cr2_of(unsigned access)
{
	return BASE + (access == WRITE ? 64 : 0);
}

/* One access under one set of bits; 0 or a number that tells what was wrong. */
static unsigned one(uint64_t pte, uint64_t pde, unsigned access, bool by_user, bool ac)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4(), error;
	unsigned want = expected(pte, pde, access, by_user, cr0 & CR0_WP, cr4 & CR4_SMEP,
			 cr4 & CR4_SMAP, ac, &error),
		 got;

	t2[0] = (uint64_t)t1 | P | pde;
	t1[0] = (uint64_t)page[0] | pte;
	invlpg(BASE);
	got = by_user ? user(access) : supervisor(access, ac);
	if (got != want)
		return 1;
	if (want == PF)
		return caught.error != error           ? 2
			: caught.cr2 != cr2_of(access) ? 3
			: t1[0] & D                    ? 4
						       : 0;
	if (!(t1[0] & A) || !(t2[0] & A))
		return 5;
	return !(t1[0] & D) == (access == WRITE) ? 6 : 0;
}

static void combinations(unsigned switches)
{
	unsigned bad = 0, last = 0;

	write_cr0((read_cr0() & ~CR0_WP) | (switches & 1 ? CR0_WP : 0));
	write_cr4((read_cr4() & ~(CR4_SMEP | CR4_SMAP)) | (switches & 2 ? CR4_SMEP : 0) |
		(switches & 4 ? CR4_SMAP : 0));
	for (unsigned n = 0; n < 128 * 3 * 3; n++) {
		uint64_t pte = (n & 7) | (n & 8 ? NX : 0),
			 pde = (n >> 4 & 3) << 1 | (n & 64 ? NX : 0);
		unsigned who = n / 128 % 3, r;

		if (who == 2 && !(switches & 4))
			continue;
		r = one(pte, pde, n / 384, who == 1, who == 2);
		if (r && !bad++)
			last = n << 4 | r;
	}
	write_cr4(read_cr4() & ~(CR4_SMEP | CR4_SMAP));
	write_cr0(read_cr0() | CR0_WP);
	check(!bad, "paging: WP %x SMEP %x SMAP %x; %x wrong, first %x", (uint64_t)(switches & 1),
		(uint64_t)(switches >> 1 & 1), (uint64_t)(switches >> 2), (uint64_t)bad,
		(uint64_t)last);
}

static void reserved_bits(void)
{
	uint32_t out[4];
	unsigned bits;

	cpuid(0x80000008, 0, out);
	bits = out[0] & 0xff;
	if (bits < 52) {
		t2[0] = (uint64_t)t1 | 7;
		t1[0] = (uint64_t)page[0] | 7 | 1ull << 51;
		invlpg(BASE);
		check(user(READ) == PF && caught.error == 13, "a reserved bit in a PTE");
		check(supervisor(WRITE, false) == PF && caught.error == 11, "... and a write");
	} else {
		skip("a reserved bit in a PTE");
	}
	t2[0] = 0x2000 | LARGE | 7;
	invlpg(BASE);
	check(user(READ) == PF && caught.error == 13, "a reserved bit in a 2 MiB page");
	t2[0] = (uint64_t)t1 | 7;
	t1[0] = (uint64_t)page[0] | 7 | NX;
	write_msr(0xc0000080, read_msr(0xc0000080) & ~0x800ull);
	invlpg(BASE);
	check(user(READ) == PF && caught.error == 13, "NX is reserved without EFER.NXE");
	write_msr(0xc0000080, read_msr(0xc0000080) | 0x800);
	check(TRY("movb (%0), %%al",
		      :
		      : "r"(0x800000000000ull)
		      : "rax", "r11") == GP,
		"an address that is not canonical");
}

/* A page of 2 MiB, and one whose permissions differ from its neighbour's. */
static void large_pages(void)
{
	t2[0] = ((uint64_t)page[0] & ~0x1fffffull) | LARGE | 7;
	invlpg(BASE);
	page[0][200] = 77;
	check(*(volatile uint8_t *)(BASE + ((uint64_t)&page[0][200] & 0x1fffff)) == 77,
		"a 2 MiB page");
	check(t2[0] & A && !(t2[0] & D), "... is accessed, not dirty");
	*(volatile uint8_t *)(BASE + ((uint64_t)&page[0][200] & 0x1fffff)) = 78;
	check(t2[0] & D && page[0][200] == 78, "... is dirty");
	t2[0] = (uint64_t)t1 | 7;
	t1[0] = (uint64_t)page[0] | 7;
	t1[1] = (uint64_t)page[1] | P | U;
	invlpg(BASE);
	invlpg(BASE + 4096);
	*(volatile uint64_t *)(page[0] + 4088) = 0;
	check(TRY("movq %0, (%1)",
		      :
		      : "r"(-1ull), "r"(BASE + 4092)
		      : "r11", "memory") == PF &&
			caught.cr2 == BASE + 4096 && caught.error == 3,
		"a store into two pages names the second");
	check(*(volatile uint64_t *)(page[0] + 4088) == 0, "... and has not begun");
}

/* A page that is read before it is written, at several permissions: it must not let more through. */
static void written_after_read(void)
{
	static const struct {
		uint64_t pte, wp;
		unsigned want;
	} cases[] = {{P | W | A, CR0_WP, NONE}, {P | W | A | D, CR0_WP, NONE},
		{P | A | D, CR0_WP, PF}, {P | A | D, 0, NONE}, {P | A, 0, NONE}};
	uint64_t cr0 = read_cr0();
	unsigned bad = 0;

	t2[0] = (uint64_t)t1 | 7;
	for (unsigned k = 0; k < sizeof cases / sizeof *cases; k++) {
		write_cr0((cr0 & ~CR0_WP) | cases[k].wp);
		t1[0] = (uint64_t)page[1] | cases[k].pte; /* where no code ever was */
		invlpg(BASE);
		(void)*(volatile uint8_t *)(BASE + 64);
		TRY("movb $1, 64(%0)", : : "r"(BASE) : "r11", "memory");
		bad |= (caught.vector != cases[k].want) << k;
		bad |= (cases[k].want == NONE && !(t1[0] & D)) << k;
		/* with WP set again, nothing is left of what was allowed without */
		write_cr0(cr0 | CR0_WP);
		(void)*(volatile uint8_t *)(BASE + 64);
		TRY("movb $1, 64(%0)", : : "r"(BASE) : "r11", "memory");
		bad |= (caught.vector != (cases[k].pte & W ? NONE : PF)) << k;
	}
	write_cr0(cr0);
	check(!bad, "a page is read, then written: %x wrong", (uint64_t)bad);
}

void test_paging(void)
{
	unsigned most = has(7, 1, 20) ? 8 : has(7, 1, 7) ? 4 : 2;

	tables_4[BASE >> 39] = (uint64_t)t3 | 7;
	t3[0] = (uint64_t)t2 | 7;
	page[0][0] = 0xcd;
	page[0][1] = BACK;
	for (unsigned k = 0; k < most; k++)
		combinations(k);
	if (most < 8)
		skip("SMAP");
	reserved_bits();
	large_pages();
	written_after_read();
}

/* --- flushes ------------------------------------------------------------------------------ */

static uint8_t seen(void)
{
	return *(volatile uint8_t *)(BASE + 128);
}

/* The page is read, changed, and after the flush another must be seen. */
#define AFTER(bits, flush, name)                        \
	do {                                            \
		t1[0] = (uint64_t)page[0] | 7 | (bits); \
		invlpg(BASE);                           \
		seen();                                 \
		t1[0] = (uint64_t)page[1] | 7 | (bits); \
		flush;                                  \
		check(seen() == 2, name);               \
	} while (0)

static void invpcid(uint64_t type, uint64_t pcid, uint64_t address)
{
	uint64_t what[2] = {pcid, address};

	asm volatile("invpcid %0, %1" : : "m"(what), "r"(type) : "memory");
}

static void pcids(void)
{
	uint64_t cr3 = read_cr3();

	write_cr4(read_cr4() | CR4_PCIDE);
	AFTER(0, write_cr3(cr3 | 5); write_cr3(cr3), "PCIDs: a load of CR3 flushes the one loaded");
	write_cr3(cr3 | 5);
	AFTER(0, write_cr3(cr3 | 1ull << 63);
		write_cr3(cr3 | 5), "PCIDs: it flushes also after another was kept");
	if (has(7, 1, 10)) {
		AFTER(0, invpcid(0, 5, BASE), "INVPCID of an address");
		AFTER(0, invpcid(1, 5, 0), "INVPCID of a context");
		AFTER(GLOBAL, invpcid(2, 0, 0), "INVPCID of everything");
		AFTER(0, invpcid(3, 0, 0), "INVPCID of what is not global");
		AFTER(0, write_cr3(cr3 | 1ull << 63); invpcid(0, 5, BASE);
			write_cr3(cr3 | 5 | 1ull << 63),
			"INVPCID of an address in another context");
		check(TRY("invpcid (%0), %1",
			      :
			      : "r"((uint64_t[2]){0, 0}), "r"(4ull)
			      : "r11", "memory") == GP,
			"INVPCID of an unknown type");
		check(TRY("invpcid (%0), %1",
			      :
			      : "r"((uint64_t[2]){0x1000, 0}), "r"(1ull)
			      : "r11", "memory") == GP,
			"INVPCID with reserved bits");
	} else {
		skip("INVPCID");
	}
	check(TRY("mov %0, %%cr4",
		      :
		      : "r"(read_cr4() & ~CR4_PCIDE)
		      : "r11", "memory") == NONE,
		"CR4.PCIDE goes with any PCID");
	write_cr3(cr3);
	check(TRY("mov %0, %%cr3",
		      :
		      : "r"(cr3 | 1ull << 63)
		      : "r11", "memory") == GP,
		"bit 63 of CR3 without CR4.PCIDE");
	write_cr3(cr3 | 0x18);
	check(TRY("mov %0, %%cr4",
		      :
		      : "r"(read_cr4() | CR4_PCIDE)
		      : "r11", "memory") == GP,
		"CR4.PCIDE needs PCID 0");
	write_cr3(cr3);
}

void test_flushes(void)
{
	page[0][128] = 1;
	page[1][128] = 2;
	t2[0] = (uint64_t)t1 | 7;
	AFTER(0, invlpg(BASE), "INVLPG");
	AFTER(GLOBAL, invlpg(BASE), "INVLPG of a global page");
	AFTER(0, write_cr3(read_cr3()), "a load of CR3");
	AFTER(GLOBAL, write_cr4(read_cr4() ^ CR4_PGE); write_cr4(read_cr4() ^ CR4_PGE), "CR4.PGE");
	AFTER(0, write_cr0(read_cr0() & ~CR0_WP); invlpg(BASE + 200);
		write_cr0(read_cr0() | CR0_WP), "INVLPG in the middle of a page");
	if (has(1, 2, 17))
		pcids();
	else
		skip("PCIDs");
}
