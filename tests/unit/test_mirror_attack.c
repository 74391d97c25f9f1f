/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program in a mirror that knows all about it: where the stub is, what that does, what the monitor is about to ask
 * for. It can lose its own registers, or its life. It gets no page that it was not given, and the monitor goes on.
 */
#include <pthread.h>
#include <stdlib.h>

#include "mirror_rig.h"

static struct mirror_rig *rig(void **state)
{
	struct mirror_rig *r = *state;

	if (r->none)
		skip();
	return r;
}

/* What runs into the stub may begin anew for ever: then a kick has to end it. */
static int gate = -1;
static bool over;

static void *kick(void *ctx)
{
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		int process;

		usleep(1000);
		process = __atomic_exchange_n(&gate, -1, __ATOMIC_SEQ_CST);
		if (process >= 0)
			syscall(SYS_pidfd_send_signal, process, MIRROR_KICK, NULL, 0);
	}
	return NULL;
}

static pthread_t start_kicks(void)
{
	pthread_t thread;

	over = false;
	assert_int_equal(pthread_create(&thread, NULL, kick, NULL), 0);
	return thread;
}

static void stop_kicks(pthread_t thread)
{
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

static void run(struct mirror_rig *r, struct mirror_exit *e)
{
	__atomic_store_n(&gate, r->m.process, __ATOMIC_SEQ_CST);
	mirror_run(&r->m, NULL, 0, e);
	__atomic_store_n(&gate, -1, __ATOMIC_SEQ_CST);
}

/* A dead one is as good as an answer; the next program gets another. */
static void revive(void **state)
{
	struct mirror_rig *r = *state;

	if (r->m.dead) {
		rig_teardown(state);
		rig_setup(state);
		assert_false(r->none);
	}
}

static void assert_no_secret(struct mirror_rig *r)
{
	struct mirror_exit e;

	do {
		rig_registers(r)->gpr[RAX] = SECRET;
		memcpy(r->memory, (const uint8_t[]){0x8a, 0x00, 0x0f, 0x0b},
			4); /* mov (%rax), %al */
		run(r, &e);
	} while (e.why == MIRROR_NOTHING || (e.why == MIRROR_SIGNAL && e.signal == MIRROR_KICK));
	assert_int_equal(e.why, MIRROR_SIGNAL);
	assert_int_equal(e.signal, SIGSEGV);
	assert_int_equal(e.address, SECRET);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(r->memory[8192 + i], 0x5e);
}

/* The registers of a call that would map the secret page. */
static struct stub_control *mapping(struct mirror_rig *r)
{
	struct stub_control *c = rig_registers(r);

	c->gpr[RAX] = SYS_mmap;
	c->gpr[RDI] = SECRET;
	c->gpr[RSI] = 4096;
	c->gpr[RDX] = PROT_READ | PROT_WRITE;
	c->gpr[10] = MAP_SHARED | MAP_FIXED;
	c->gpr[8] = (uint64_t)r->there;
	c->gpr[9] = 8192;
	c->gpr[RSP] = DATA + 2048;
	memcpy(r->memory, (const uint8_t[]){0x41, 0xff, 0xe7}, 3); /* jmp *%r15 */
	return c;
}

/* Into each byte of the stub's page, with registers for a mapping; with the number that says it is the stub. */
static void test_stub_entries(void **state)
{
	struct mirror_rig *r = rig(state);
	pthread_t thread = start_kicks();
	struct mirror_exit e;

	for (unsigned offset = 0; offset < 4096; offset += offset < 512 ? 1 : 37) {
		static const uint64_t number[] = {SYS_mmap, STUB_SAYS_EXIT, STUB_SAYS_RESULT};

		for (unsigned i = 0; i < 3; i++) {
			struct stub_control *c = mapping(r);

			c->gpr[RAX] = number[i];
			c->gpr[15] = r->m.base + offset;
			if (i)
				c->gpr[RDX] = i == 1 ? r->m.base + STUB_STACK + 64 : DATA;
			run(r, &e);
			revive(state);
		}
		assert_no_secret(r);
	}
	stop_kicks(thread);
}

/* Its signal stack full of nonsense, a frame that is none, and the stack pointer in the middle of it. */
static void test_forged_frames(void **state)
{
	struct mirror_rig *r = rig(state);
	pthread_t thread = start_kicks();
	struct mirror_exit e;

	srandom(1);
	for (unsigned i = 0; i < 600; i++) {
		struct stub_control *c = mapping(r);
		uint64_t *stack = (uint64_t *)r->m.stack;

		for (unsigned k = 0; k < STUB_STACK_SIZE / 8; k++)
			switch (random() % 4) {
			case 0:
				stack[k] = r->m.base + (uint64_t)random() % STUB_SIZE;
				break;
			case 1:
				stack[k] = (uint64_t)random();
				break;
			case 2:
				stack[k] = 0xffff000000000000ull | (uint64_t)random();
				break;
			default:
				break;
			}
		c->gpr[15] = r->m.base + (uint64_t)(random() % 0x30);
		c->gpr[RDX] = r->m.base + STUB_STACK + (uint64_t)random() % STUB_STACK_SIZE;
		c->gpr[RSP] = random() % 2
			? r->m.base + STUB_STACK + (uint64_t)random() % STUB_STACK_SIZE
			: DATA + 2048;
		if (random() % 4 == 0)
			c->gpr[15] = 0; /* a fault, with its frame wherever that goes */
		run(r, &e);
		if (e.why == MIRROR_SIGNAL && e.xsave)
			assert_in_range(e.xsave - r->m.stack, 0, STUB_STACK_SIZE - RIG_AREA);
		revive(state);
		if (i % 20 == 0)
			assert_no_secret(r);
	}
	stop_kicks(thread);
}

/*
 * The call that the monitor is going to order, made too early and with one argument changed: the monitor hears of
 * it, and it is not let through.
 */
static void test_foreign_orders(void **state)
{
	struct mirror_rig *r = rig(state);
	struct mirror_exit e;

	for (unsigned i = 0; i < 50; i++) {
		struct stub_control *c = mapping(r);

		c->gpr[15] = mirror_stub(&r->m, stub_call);
		mirror_run(&r->m, NULL, 0, &e);
		assert_int_equal(e.why, MIRROR_ASTRAY);
		rig_map(r, DATA, PROT_READ | PROT_WRITE, 1);
		assert_no_secret(r);
	}
}

/* Nobody can write to what the registers are loaded from, nor to the stub; nobody can execute the stack. */
static void test_stub_rights(void **state)
{
	struct mirror_rig *r = rig(state);
	const uint64_t fixed[] = {r->m.base, r->m.base + STUB_CONTROL,
		r->m.base + STUB_CONTROL + STUB_CONTROL_SIZE - 8};
	struct mirror_exit e;

	for (unsigned i = 0; i < 3; i++) {
		rig_registers(r)->gpr[RAX] = fixed[i];
		RUN(r, &e, 0x48, 0x89, 0x00);
		assert_int_equal(e.signal, SIGSEGV);
		assert_int_equal(e.address, fixed[i]);
		assert_int_equal(e.error & 6, 6);
	}
	rig_registers(r)->rip = r->m.base + STUB_STACK;
	mirror_run(&r->m, NULL, 0, &e);
	assert_int_equal(e.signal, SIGSEGV);
	assert_int_equal(e.error & 0x10, 0x10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_stub_entries, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_forged_frames, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_foreign_orders, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_stub_rights, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
