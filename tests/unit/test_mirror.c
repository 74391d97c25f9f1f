/* SPDX-License-Identifier: Apache-2.0 */
/* A mirror runs a program as it is, tells how it left, and maps what it is told. */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "mirror_rig.h"

static struct mirror_rig *rig(void **state)
{
	struct mirror_rig *r = *state;

	if (r->none)
		skip();
	return r;
}

static void assert_signal(const struct mirror_exit *e, int signal, uint64_t rip)
{
	assert_int_equal(e->why, MIRROR_SIGNAL);
	assert_int_equal(e->signal, signal);
	assert_int_equal(e->rip, rip);
}

/* All registers go in, and come out as the program has left them. */
static void test_registers(void **state)
{
	struct mirror_rig *r = rig(state);
	struct stub_control *c = rig_registers(r);
	struct mirror_exit e;

	for (unsigned i = 0; i < 16; i++)
		c->gpr[i] = 0x1111111111111111ull * i;
	c->rflags = 0x202 | FL_CF | FL_DF;
	c->fs_base = 0x123450;
	c->gs_base = 0x7ffffffff000;
	c->xsave[XSAVE_XMM] = 0x77;
	/* movq %xmm0, %xmm1; inc %r15; rdfsbase %rax; ud2 */
	RUN(r, &e, 0xf3, 0x0f, 0x7e, 0xc8, 0x49, 0xff, 0xc7, 0xf3, 0x48, 0x0f, 0xae, 0xc0, 0x0f,
		0x0b);
	assert_signal(&e, SIGILL, CODE + 12);
	assert_int_equal(e.gpr[0], 0x123450);
	for (unsigned i = 1; i < 15; i++)
		assert_int_equal(e.gpr[i], 0x1111111111111111ull * i);
	assert_int_equal(e.gpr[15], 0x1111111111111111ull * 15 + 1);
	assert_int_equal(e.rflags & (FL_STATUS | FL_DF) & ~FL_PF, FL_CF | FL_DF | FL_ZF | FL_AF);
	assert_int_equal(e.fs_base, 0x123450);
	assert_int_equal(e.gs_base, 0x7ffffffff000);
	assert_int_equal(e.cs, 0x33);
	assert_int_equal(e.ss, 0x2b);
	assert_int_equal(e.ds | e.es | e.fs | e.gs, 0);
	assert_non_null(e.xsave);
	assert_int_equal(e.xsave[XSAVE_XMM + 16], 0x77);
}

static void test_signals(void **state)
{
	struct mirror_rig *r = rig(state);
	struct mirror_exit e;

	rig_registers(r)->gpr[0] = 0x12345678;
	RUN(r, &e, 0x48, 0x8b, 0x00); /* mov (%rax), %rax */
	assert_signal(&e, SIGSEGV, CODE);
	assert_int_equal(e.trap, EXC_PF);
	assert_int_equal(e.address, 0x12345678);
	assert_int_equal(e.error, 4);

	rig_registers(r)->rip = 0x500000;
	mirror_run(&r->m, NULL, 0, &e);
	assert_signal(&e, SIGSEGV, 0x500000);
	assert_int_equal(e.error & 0x14, 0x14);

	rig_registers(r)->gpr[0] = 1ull << 60;
	RUN(r, &e, 0x48, 0x8b, 0x00);
	assert_signal(&e, SIGSEGV, CODE);
	assert_int_equal(e.trap, EXC_GP);

	rig_registers(r);
	RUN(r, &e, 0xf7, 0xf0); /* div %eax */
	assert_signal(&e, SIGFPE, CODE);

	rig_registers(r);
	RUN(r, &e, 0xcc);
	assert_signal(&e, SIGTRAP, CODE + 1);
	assert_int_equal(e.trap, EXC_BP);

	rig_registers(r)->gpr[RSP] = DATA + 4096;
	/* pushf; orl $0x100, (%rsp); popf; nop */
	RUN(r, &e, 0x9c, 0x81, 0x0c, 0x24, 0x00, 0x01, 0x00, 0x00, 0x9d, 0x90, 0x90);
	assert_int_equal(e.why, MIRROR_SIGNAL);
	assert_int_equal(e.signal, SIGTRAP);
	assert_int_equal(e.code, TRAP_TRACE);

	rig_registers(r);
	RUN(r, &e, 0x0f, 0x31); /* rdtsc */
	assert_signal(&e, SIGSEGV, CODE);
	assert_int_equal(e.trap, EXC_GP);
}

/* No system call is made, whatever its number and the way into the kernel. */
static void test_calls(void **state)
{
	struct mirror_rig *r = rig(state);
	struct mirror_exit e;

	for (unsigned number = 0; number < 600; number++) {
		struct stub_control *c = rig_registers(r);

		c->gpr[RAX] = number | (number % 3 ? 0 : 0x40000000u);
		c->gpr[RDI] = DATA;
		c->gpr[RSI] = 4096;
		c->gpr[RDX] = 7;
		RUN(r, &e, 0x0f, 0x05);
		if ((number == 335 || number == 336) && e.signal == SIGILL)
			continue; /* native.c: called_early() */
		assert_signal(&e, SIGSYS, CODE + 2);
		assert_int_equal(e.call, CODE + 2);
		assert_int_equal(e.gpr[RAX], c->gpr[RAX]);
		rig_registers(r)->gpr[RAX] = number;
		RUN(r, &e, 0xcd, 0x80);
		assert_int_equal(e.why, MIRROR_SIGNAL);
		assert_true(e.signal == SIGSYS ||
			e.signal == SIGSEGV); /* a kernel without 32-bit calls */
	}
	/* call *%rax to the page that a kernel keeps for old programs */
	rig_registers(r)->gpr[RAX] = 0xffffffffff600000;
	r->m.control->gpr[RSP] = DATA + 4096;
	RUN(r, &e, 0xff, 0xd0);
	assert_int_equal(e.why, MIRROR_SIGNAL);
	assert_true(e.signal == SIGSYS || e.signal == SIGSEGV);
}

static void test_mapping(void **state)
{
	struct mirror_rig *r = rig(state);
	struct mirror_exit e;

	r->memory[4096] = 0x42;
	for (unsigned i = 0; i < 3; i++) {
		rig_registers(r)->gpr[RAX] = DATA;
		RUN(r, &e, 0x0f, 0xb6, 0x08, 0x88, 0x48, 0x01, 0x0f,
			0x0b); /* movzb (%rax), %ecx; mov %cl, 1(%rax) */
		if (i == 0) {
			assert_signal(&e, SIGILL, CODE + 6);
			assert_int_equal(r->memory[4097], 0x42);
			assert_int_equal(rig_call(r, SYS_mprotect, DATA, 4096, PROT_READ, 0, 0, 0),
				0);
		} else if (i == 1) {
			assert_signal(&e, SIGSEGV, CODE + 3);
			assert_int_equal(e.error, 7);
			assert_int_equal(rig_call(r, SYS_munmap, DATA, 4096, 0, 0, 0, 0), 0);
		} else {
			assert_signal(&e, SIGSEGV, CODE);
		}
	}
	/* all of it */
	assert_true(mirror_wipe(&r->m));
	rig_registers(r);
	mirror_run(&r->m, NULL, 0, &e);
	assert_signal(&e, SIGSEGV, CODE);
}

/* --- kicks ------------------------------------------------------------------------------------------- */

static int gate = -1; /* as the engine has it: one kick for each time that it runs */
static bool over;

static void *kick(void *ctx)
{
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		int process = __atomic_exchange_n(&gate, -1, __ATOMIC_SEQ_CST);

		if (process >= 0)
			syscall(SYS_pidfd_send_signal, process, MIRROR_KICK, NULL, 0);
		for (unsigned i = 0; i < 3000; i++)
			__builtin_ia32_pause();
	}
	return NULL;
}

/* Whenever a kick comes, also on the way in and out and while pages are mapped, nothing is lost or done twice. */
static void test_kicks(void **state)
{
	struct mirror_rig *r = rig(state);
	struct stub_control *c = rig_registers(r);
	uint64_t done = 0, calls = 0;
	struct mirror_exit e;
	pthread_t thread;

	c->gpr[RAX] = DATA;
	/* inc %rcx; incq (%rax); syscall; jmp */
	memcpy(r->memory,
		(const uint8_t[]){0x48, 0xff, 0xc1, 0x48, 0xff, 0x00, 0x0f, 0x05, 0xeb, 0xf6}, 10);
	assert_int_equal(pthread_create(&thread, NULL, kick, r), 0);
	for (unsigned i = 0; i < 20000; i++) {
		__atomic_store_n(&gate, r->m.process, __ATOMIC_SEQ_CST);
		mirror_run(&r->m, NULL, 0, &e);
		__atomic_store_n(&gate, -1, __ATOMIC_SEQ_CST);
		if (e.why != MIRROR_SIGNAL && e.why != MIRROR_NOTHING)
			break;
		if (i % 64 == 0)
			rig_map(r, DATA, PROT_READ | PROT_WRITE, 1);
		if (e.why == MIRROR_NOTHING)
			continue;
		memcpy(c->gpr, e.gpr, sizeof c->gpr);
		c->rip = e.rip;
		c->rflags = e.rflags;
		if (e.signal == SIGSYS) {
			calls++;
			assert_int_equal(e.rip, CODE + 8);
			done = c->gpr[RBX] + calls;
			c->gpr[RCX] = done; /* SYSCALL has taken it */
		} else {
			assert_int_equal(e.signal, MIRROR_KICK);
		}
	}
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_true(e.why == MIRROR_SIGNAL || e.why == MIRROR_NOTHING);
	memcpy(&done, r->memory + 4096, 8);
	assert_true(calls > 1000);
	assert_in_range(done, calls, calls + 1);
}

static void *kick_at_once(void *ctx)
{
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		int process = __atomic_exchange_n(&gate, -1, __ATOMIC_SEQ_CST);

		if (process >= 0)
			syscall(SYS_pidfd_send_signal, process, MIRROR_KICK, NULL, 0);
	}
	return NULL;
}

/* One kick after the other, most before the program could begin: the stack for them does not run full. */
static void test_kicked_always(void **state)
{
	struct mirror_rig *r = rig(state);
	struct mirror_exit e;
	pthread_t thread;

	over = false;
	assert_int_equal(pthread_create(&thread, NULL, kick_at_once, NULL), 0);
	for (unsigned i = 0; i < 3000; i++) {
		rig_registers(r);
		__atomic_store_n(&gate, r->m.process, __ATOMIC_SEQ_CST);
		RUN(r, &e, 0xeb, 0xfe);
		if (e.why != MIRROR_NOTHING && e.why != MIRROR_SIGNAL)
			break;
		if (i % 8 == 0)
			rig_map(r, DATA, PROT_READ | PROT_WRITE, 1);
	}
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_true(e.why == MIRROR_NOTHING || e.why == MIRROR_SIGNAL);
}

static struct mirror_request map_request(const struct mirror_rig *r, uint64_t at, unsigned page)
{
	return (struct mirror_request){SYS_mmap,
		{at, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, (uint64_t)r->there, page * 4096ull}};
}

/* Several calls in one go are each made, and in their order, whenever a kick comes. */
static void test_kicked_calls(void **state)
{
	struct mirror_rig *r = rig(state);
	unsigned both = 0, wrong = 0;
	struct mirror_exit e;
	pthread_t thread;
	long result;

	r->memory[4096] = 1;
	r->memory[8192] = 2;
	over = false;
	assert_int_equal(pthread_create(&thread, NULL, kick_at_once, NULL), 0);
	for (unsigned i = 0; i < 1000; i++) {
		const struct mirror_request some[] = {map_request(r, DATA, 1 + (i & 1)),
			map_request(r, SECRET, 2), map_request(r, SECRET, 2 - (i & 1))};

		__atomic_store_n(&gate, r->m.process, __ATOMIC_SEQ_CST);
		result = mirror_calls(&r->m, some, 3, &result) ? result : -1;
		__atomic_store_n(&gate, -1, __ATOMIC_SEQ_CST);
		if (result != (long)SECRET)
			break;
		rig_registers(r)->gpr[RSI] = DATA;
		/* movzbl (%rsi), %eax; movzbl 4096(%rsi), %ebx; ud2 */
		do
			RUN(r, &e, 0x0f, 0xb6, 0x06, 0x0f, 0xb6, 0x9e, 0x00, 0x10, 0x00, 0x00, 0x0f,
				0x0b);
		while (e.why == MIRROR_NOTHING);
		if (e.why == MIRROR_SIGNAL && e.signal == MIRROR_KICK)
			continue;
		if (e.why != MIRROR_SIGNAL || e.signal != SIGILL)
			break;
		both++;
		wrong += e.gpr[RAX] != 1 + (i & 1) || e.gpr[RBX] != 2 - (i & 1);
	}
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(result, SECRET);
	assert_int_equal(e.why, MIRROR_SIGNAL);
	assert_true(e.signal == SIGILL || e.signal == MIRROR_KICK);
	assert_int_equal(wrong, 0);
	assert_true(both > 100);
}

/* The same on the way to a program: no kick is lost, and who has begun finds what was mapped. */
static void kicked_maps(struct mirror_rig *r, void *(*kicker)(void *), unsigned *began)
{
	/* movzbl (%rsi), %eax; jmp . */
	static const uint8_t code[] = {0x0f, 0xb6, 0x06, 0xeb, 0xfe};
	struct mirror_exit e = {.why = MIRROR_NOTHING};
	unsigned wrong = 0;
	pthread_t thread;

	over = false;
	assert_int_equal(pthread_create(&thread, NULL, kicker, NULL), 0);
	for (unsigned i = 0; i < 2000; i++) {
		const struct mirror_request some[] = {map_request(r, DATA, 1 + (i & 1)),
			map_request(r, SECRET, 2)};

		rig_registers(r)->gpr[RSI] = DATA;
		memcpy(r->memory, code, sizeof code);
		__atomic_store_n(&gate, r->m.process, __ATOMIC_SEQ_CST);
		mirror_run(&r->m, some, 2, &e);
		if (e.why == MIRROR_NOTHING)
			continue;
		if (e.why != MIRROR_SIGNAL || e.signal != MIRROR_KICK)
			break;
		if (e.rip == CODE)
			continue;
		*began += 1;
		wrong += e.rip != CODE + 3 || e.gpr[RAX] != 1 + (i & 1);
	}
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_true(e.why == MIRROR_NOTHING || (e.why == MIRROR_SIGNAL && e.signal == MIRROR_KICK));
	assert_int_equal(wrong, 0);
}

static void test_kicked_maps(void **state)
{
	struct mirror_rig *r = rig(state);
	unsigned began = 0;

	r->memory[4096] = 1;
	r->memory[8192] = 2;
	kicked_maps(r, kick_at_once, &began);
	kicked_maps(r, kick, &began);
	assert_true(began > 100);
}

/* --- the end ---------------------------------------------------------------------------------------- */

static void wait_for_end(const struct mirror *m)
{
	struct pollfd fd = {.fd = m->process, .events = POLLIN};

	assert_int_equal(poll(&fd, 1, 10000), 1);
}

/* Killed while it waits, as by a host that is short of memory: the program has not moved, and its caller knows. */
static void test_death(void **state)
{
	struct mirror_rig *r = rig(state);
	struct mirror_exit e;
	long result;

	rig_registers(r);
	RUN(r, &e, 0xf4); /* hlt */
	assert_signal(&e, SIGSEGV, CODE);
	kill(r->m.pid, SIGKILL);
	wait_for_end(&r->m);
	for (unsigned i = 0; i < 2; i++) {
		rig_registers(r);
		mirror_run(&r->m, NULL, 0, &e);
		assert_int_equal(e.why, MIRROR_NOTHING);
		assert_true(r->m.dead);
	}
	assert_false(mirror_call(&r->m, SYS_munmap, (const uint64_t[6]){DATA, 4096}, &result));
	assert_false(mirror_wipe(&r->m));
	assert_int_equal(mirror_give(&r->m, r->fd), -1);
}

static void test_death_called(void **state)
{
	struct mirror_rig *r = rig(state);
	struct mirror_exit e;
	long result;

	kill(r->m.pid, SIGKILL);
	wait_for_end(&r->m);
	assert_false(mirror_call(&r->m, SYS_munmap, (const uint64_t[6]){DATA, 4096}, &result));
	rig_registers(r);
	mirror_run(&r->m, NULL, 0, &e);
	assert_int_equal(e.why, MIRROR_NOTHING);
	assert_true(r->m.dead);
}

static void *kill_running(void *ctx)
{
	const struct mirror_rig *r = ctx;

	while (!__atomic_load_n((uint64_t *)(r->memory + 4096), __ATOMIC_RELAXED))
		usleep(1000);
	kill(r->m.pid, SIGKILL);
	return NULL;
}

/* Killed while the program runs: its registers are lost. */
static void test_death_running(void **state)
{
	struct mirror_rig *r = rig(state);
	struct mirror_exit e;
	pthread_t thread;

	rig_registers(r)->gpr[RAX] = DATA;
	assert_int_equal(pthread_create(&thread, NULL, kill_running, r), 0);
	RUN(r, &e, 0x48, 0xff, 0x00, 0xeb, 0xfb); /* incq (%rax); jmp */
	pthread_join(thread, NULL);
	assert_int_equal(e.why, MIRROR_DEAD);
	assert_true(r->m.dead);
}

static bool gone(pid_t pid)
{
	for (unsigned i = 0; i < 500; i++) {
		char path[64], state = 0;
		FILE *f;

		snprintf(path, sizeof path, "/proc/%d/stat", pid);
		f = fopen(path, "re");
		if (!f)
			return true;
		if (fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && (state == 'Z' || state == 'X')) {
			fclose(f);
			return true;
		}
		fclose(f);
		usleep(10000);
	}
	return false;
}

/* It does not outlive the monitor, even one that is killed while the program computes. */
static void test_orphan(void **state)
{
	struct mirror_rig *r = rig(state);
	int fd[2], status;
	pid_t child, mirror = 0;

	assert_int_equal(pipe(fd), 0);
	child = fork();
	if (!child) {
		struct mirror m;
		struct error err;

		if (mirror_create(&m, RIG_AREA, &err) || write(fd[1], &m.pid, sizeof m.pid) < 0)
			_exit(1);
		pause();
	}
	close(fd[1]);
	assert_int_equal(read(fd[0], &mirror, sizeof mirror), sizeof mirror);
	close(fd[0]);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(gone(mirror));
	assert_true(r->m.pid > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_signals, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_calls, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_mapping, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_kicks, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_kicked_always, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_kicked_calls, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_kicked_maps, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_death, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_death_called, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_death_running, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_orphan, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
