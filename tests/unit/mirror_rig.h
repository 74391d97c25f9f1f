/* SPDX-License-Identifier: Apache-2.0 */
/* A mirror with a page of code, one of data, and one that it must never see, in one file. */
#ifndef DACH_TESTS_MIRROR_RIG_H
#define DACH_TESTS_MIRROR_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpu/translate/native/mirror.h"
#include "cpu/translate/vm.h"

#define CODE 0x400000ull
#define DATA 0x401000ull
#define SECRET 0x402000ull
#define FILE_PAGES 3
#define RIG_AREA 832u /* x87, SSE, AVX */

struct mirror_rig {
	struct mirror m;
	uint8_t *memory; /* the file's pages, here */
	int fd, there;
	bool none; /* this host can have no mirrors */
};

static inline long rig_call(struct mirror_rig *r, long number, uint64_t a, uint64_t b, uint64_t c,
	uint64_t d, uint64_t e, uint64_t f)
{
	long result = -1;

	assert_true(mirror_call(&r->m, number, (const uint64_t[]){a, b, c, d, e, f}, &result));
	return result;
}

static inline void rig_map(struct mirror_rig *r, uint64_t at, int prot, unsigned page)
{
	assert_int_equal(rig_call(r, SYS_mmap, at, 4096, (uint64_t)prot, MAP_SHARED | MAP_FIXED,
				 (uint64_t)r->there, page * 4096ull),
		(long)at);
}

static inline int rig_setup(void **state)
{
	static struct mirror_rig rig;
	struct mirror_rig *r = &rig;
	struct error err;

	*r = (struct mirror_rig){.fd = memfd_create("rig", MFD_CLOEXEC)};
	*state = r;
	assert_int_equal(ftruncate(r->fd, FILE_PAGES * 4096), 0);
	r->memory = mmap(NULL, FILE_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	assert_ptr_not_equal(r->memory, MAP_FAILED);
	if (mirror_create(&r->m, RIG_AREA, &err)) {
		print_message("no mirror on this host: %s\n", err.text);
		r->none = true;
		return 0;
	}
	memset(r->memory + 8192, 0x5e, 4096);
	r->there = mirror_give(&r->m, r->fd);
	assert_true(r->there >= 0);
	rig_map(r, CODE, PROT_READ | PROT_EXEC, 0);
	rig_map(r, DATA, PROT_READ | PROT_WRITE, 1);
	return 0;
}

static inline int rig_teardown(void **state)
{
	struct mirror_rig *r = *state;

	mirror_destroy(&r->m);
	munmap(r->memory, FILE_PAGES * 4096);
	close(r->fd);
	return 0;
}

/* The program's next registers: all zero but where it is, and a state of its vectors that can be loaded. */
static inline struct stub_control *rig_registers(struct mirror_rig *r)
{
	struct stub_control *c = r->m.control;

	memset(c->gpr, 0, sizeof c->gpr);
	memset(c->xsave, 0, sizeof c->xsave);
	memcpy(c->xsave + XSAVE_MXCSR, &(uint32_t){MXCSR_INITIAL}, 4);
	*xsave_bv(c->xsave) = 3;
	memcpy(c->xsave + XSAVE_FCW, &(uint16_t){FCW_INITIAL}, 2);
	c->vectors = 7;
	c->touch = 0;
	c->rip = CODE;
	c->rflags = 0x202;
	c->fs_base = c->gs_base = 0;
	c->ds = c->es = c->fs = c->gs = 0;
	return c;
}

/* Runs these bytes. */
#define RUN(r, e, ...)                                       \
	do {                                                 \
		static const uint8_t code[] = {__VA_ARGS__}; \
                                                             \
		memcpy((r)->memory, code, sizeof code);      \
		mirror_run(&(r)->m, NULL, 0, (e));           \
	} while (0)

#endif
