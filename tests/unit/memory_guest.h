/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that reads, writes and runs what it is told to, over either engine: what its memory is like is
 * held against a model of it, byte for byte. Without cmocka, so that it can be linked into a program that
 * runs on another host (tests/guest/nested_engine.c).
 */
#ifndef DACH_TESTS_MEMORY_GUEST_H
#define DACH_TESTS_MEMORY_GUEST_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu/cpuid.h"
#include "cpu/engine.h"

#define RAM_SIZE (8u << 20)
#define AREA 0x40000000u     /* where memory comes and goes: mapped by 4 KiB pages ... */
#define AREA_LARGE 0x800000u /* ... and from here on in it by 2 MiB pages */
#define AREA_SIZE 0x1000000u
#define AREA_REACHED 0x2000000u /* the guest's page tables go on so far */
#define GUEST_CPUS 2u
#define SCRIPT_STEPS 256u

/* What a step of a script does at an address. */
enum guest_op {
	GUEST_END,
	GUEST_READ,  /* eight bytes into value */
	GUEST_WRITE, /* value, eight bytes */
	GUEST_CALL,  /* code there; what it leaves in RAX becomes value */
	GUEST_ADD,   /* LOCK XADD of value, which becomes what was there */
	GUEST_BIT,   /* LOCK BTS of bit `value`, which may be any */
	GUEST_FILL,  /* REP STOSQ of as many as value's low byte says, of value */
	GUEST_BUSY, /* for good, until kicked: writes here and there in so many pages (a power of two) from there on */
};
struct guest_step {
	uint64_t op, address, value;
};

struct guest {
	const struct engine *engine;
	struct engine_vm *vm;
	struct engine_vcpu *vcpu[GUEST_CPUS];
	struct cpuid_policy policy;
	unsigned cpus;
	struct memory_region ram;
	struct guest_step *script[GUEST_CPUS];
	uint64_t device_writes, device_expected; /* sums over bytes, by device_sum() */
	unsigned failures;
	pthread_t thread[GUEST_CPUS]; /* their turn begins and ends here: */
	pthread_barrier_t turn;
	bool ends;
	enum engine_exit exit[GUEST_CPUS];
};

/* What kind of guest a check makes. */
struct guest_kind {
	const struct engine *engine;
	unsigned cpus;
	bool user;                        /* scripts run at CPL 3 */
	void (*prepare)(struct guest *g); /* before the first vCPU is made; or NULL */
	const char *uses;                 /* a counter that is not to stay 0; or NULL */
};

#define EXPECT(g, condition) guest_expect(g, condition, #condition, __FILE__, __LINE__)
void guest_expect(struct guest *g, bool ok, const char *what, const char *file, int line);

/* Makes it. False, with the reason told, if it cannot be. */
bool guest_create(struct guest *g, const struct guest_kind *kind);
void guest_destroy(struct guest *g);
/* Runs each processor's script, on a thread of its own, to its end; busy ones until guest_kick(). */
void guest_start(struct guest *g);
void guest_wait(struct guest *g);
void guest_run(struct guest *g); /* both */
void guest_kick(struct guest *g);

/* What a device answers at an address, a byte. */
uint8_t guest_device_byte(uint64_t gpa);
/* What a write of bytes to a device comes to in device_writes. */
uint64_t guest_device_sum(uint64_t gpa, const uint8_t *bytes, unsigned size);

/* The same sequence for the same seed. */
uint64_t guest_random(uint64_t *seed);

/* A counter of the engine's by its name, or 0. */
uint64_t guest_counter(struct guest *g, const char *name);

/* Memory of a file of its own; fd -1 and so on after guest_file_close(). */
struct memory_region guest_file(uint64_t size, uint64_t offset);
void guest_file_close(struct memory_region *region);

/* Each makes a guest of its own; how many things were not as they should be. */

/* memory_checks.c: regions that come and go, and who writes them. */
unsigned check_refused(const struct engine *engine);
unsigned check_map_rounds(const struct guest_kind *kind, unsigned rounds, uint64_t seed);
unsigned check_torn(const struct guest_kind *kind);
/* door_checks.c: a copy that is kept up while the guest writes, for so many turns; pages that come late. */
unsigned check_copy(const struct guest_kind *kind, unsigned turns);
unsigned check_lazy(const struct guest_kind *kind, unsigned cluster);
unsigned check_lost(const struct guest_kind *kind);

#endif
