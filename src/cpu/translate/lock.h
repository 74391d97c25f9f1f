/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mutex of our own, because code that runs while the guest's vector state is
 * in the registers must not call libc. Waiters sleep in a futex.
 */
#ifndef DACH_CPU_TRANSLATE_LOCK_H
#define DACH_CPU_TRANSLATE_LOCK_H

#include <linux/futex.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "base/lock_rules.h"

struct CAPABILITY("mutex") lock {
	uint32_t state; /* 0 free, 1 held, 2 held and waited for */
};

static inline long lock_futex(uint32_t *at, long op, uint32_t value)
{
	register long timeout asm("r10") = 0;
	long r;

	asm volatile("syscall"
		     : "=a"(r)
		     : "a"((long)SYS_futex), "D"(at), "S"(op), "d"((long)value), "r"(timeout)
		     : "rcx", "r11", "memory");
	return r;
}

/* For loops that wait for another thread to get out of translated code. */
static inline void lock_yield(void)
{
	long r;

	asm volatile("syscall" : "=a"(r) : "a"((long)SYS_sched_yield) : "rcx", "r11", "memory");
}

/* Sleeps for so long, or less. */
static inline void lock_sleep(long ns)
{
	const struct timespec_kernel {
		int64_t sec, ns;
	} time = {0, ns};
	uint32_t word = 0;
	register const void *timeout asm("r10") = &time;
	long r;

	asm volatile("syscall"
		     : "=a"(r)
		     : "a"((long)SYS_futex), "D"(&word), "S"((long)FUTEX_WAIT_PRIVATE), "d"(0l),
		     "r"(timeout)
		     : "rcx", "r11", "memory");
}

static inline bool lock_try(struct lock *l) TRY_ACQUIRE(true, l) UNCHECKED_LOCKS
{
	uint32_t expected = 0;

	return __atomic_compare_exchange_n(&l->state, &expected, 1, false, __ATOMIC_ACQUIRE,
		__ATOMIC_RELAXED);
}

/* Writing a block takes some 5 us, sleeping and being woken more: some 15 us are spent looking. */
#define LOCK_LOOKS 300u

static inline void lock_take(struct lock *l) ACQUIRE(l) UNCHECKED_LOCKS
{
	for (unsigned k = 0; k < LOCK_LOOKS; k++) {
		if (!__atomic_load_n(&l->state, __ATOMIC_RELAXED) && lock_try(l))
			return;
		__builtin_ia32_pause();
	}
	while (__atomic_exchange_n(&l->state, 2, __ATOMIC_ACQUIRE) != 0)
		lock_futex(&l->state, FUTEX_WAIT_PRIVATE, 2);
}

static inline void lock_drop(struct lock *l) RELEASE(l) UNCHECKED_LOCKS
{
	if (__atomic_exchange_n(&l->state, 0, __ATOMIC_RELEASE) == 2)
		lock_futex(&l->state, FUTEX_WAKE_PRIVATE, 1);
}

#endif
