/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Breaks the rules of a lock, three times: tests/run has clang refuse it, which shows that the rules of
 * base/lock_rules.h are held elsewhere. Built into nothing.
 */
#include "base/thread.h"

struct counter {
	struct mutex lock;
	unsigned count GUARDED_BY(lock);
};

void counter_add(struct counter *counter) REQUIRES(counter->lock);
void wrong_call(struct counter *counter);
void wrong_return(struct counter *counter);
void wrong_twice(struct counter *counter);

void wrong_call(struct counter *counter)
{
	counter_add(counter);
}

void wrong_return(struct counter *counter)
{
	mutex_lock(&counter->lock);
	counter_add(counter);
}

void wrong_twice(struct counter *counter)
{
	mutex_lock(&counter->lock);
	mutex_lock(&counter->lock);
	mutex_unlock(&counter->lock);
}
