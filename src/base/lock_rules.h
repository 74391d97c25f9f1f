/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words for the rules of locks, which a compiler checks. A function that wants a lock held says so behind
 * its parameters:
 *
 *	static void update(struct pit *pit) REQUIRES(pit->lock);
 *
 * and clang (-Wthread-safety, in CI) refuses each call without it, each path that forgets to give a
 * lock back and each one that takes it twice. gcc sees nothing of that. What a lock protects is said
 * beside the member, GUARDED_BY(lock); clang checks that in C++ only (in C from version 20 on, and not
 * by default), so for a member it is a comment, and mutex_assert_held() is what holds it.
 */
#ifndef DACH_BASE_LOCK_RULES_H
#define DACH_BASE_LOCK_RULES_H

#ifdef __clang__
#define THREAD_ATTRIBUTE(...) __attribute__((__VA_ARGS__))
#else
#define THREAD_ATTRIBUTE(...)
#endif

#define CAPABILITY(kind) THREAD_ATTRIBUTE(capability(kind))
#define REQUIRES(...) THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__)) /* takes it itself */
#define ACQUIRE(...) THREAD_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) THREAD_ATTRIBUTE(try_acquire_capability(__VA_ARGS__))
#define RELEASE(...) THREAD_ATTRIBUTE(release_capability(__VA_ARGS__))
#define ASSERTS(...) THREAD_ATTRIBUTE(assert_capability(__VA_ARGS__))
/* For what the check cannot follow: a lock by a pointer that has two names, or taken by the caller's caller. */
#define UNCHECKED_LOCKS THREAD_ATTRIBUTE(no_thread_safety_analysis)
#define GUARDED_BY(lock)

#endif
