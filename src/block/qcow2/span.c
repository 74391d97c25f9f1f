/* SPDX-License-Identifier: Apache-2.0 */
/* Who is at which clusters. There are as many as threads that read and write: a few. */
#include "block/qcow2/internal.h"

struct cluster_span span_of(const struct qcow2 *q, uint64_t offset, uint64_t length, bool alone)
{
	return (struct cluster_span){.first = cluster_of(q, offset),
		.last = cluster_of(q, offset + (length ? length - 1 : 0)),
		.alone = alone};
}

static bool meet(const struct cluster_span *a, const struct cluster_span *b)
{
	return (a->alone || b->alone) && a->first <= b->last && b->first <= a->last;
}

bool span_try(struct qcow2 *q, struct cluster_span *span)
{
	unsigned place = SPANS_MAX;

	for (unsigned i = 0; i < SPANS_MAX; i++) {
		if (!__atomic_load_n(&q->spans[i].taken, __ATOMIC_SEQ_CST))
			place = i;
		else if (meet(span, &q->spans[i].span))
			return false;
	}
	if (place == SPANS_MAX)
		return false;
	span->place = place;
	q->spans[place].span = *span;
	__atomic_store_n(&q->spans[place].taken, true, __ATOMIC_RELAXED);
	return true;
}

void span_enter(struct qcow2 *q, struct cluster_span *span)
{
	if (span_try(q, span))
		return;
	/* Counted before it looks again: who leaves after that look sees it, who left before is seen. */
	__atomic_fetch_add(&q->span_waiters, 1, __ATOMIC_SEQ_CST);
	while (!span_try(q, span))
		mutex_wait(&q->lock, &q->span_ended);
	__atomic_fetch_sub(&q->span_waiters, 1, __ATOMIC_SEQ_CST);
}

void span_leave_locked(struct qcow2 *q, struct cluster_span *span)
{
	__atomic_store_n(&q->spans[span->place].taken, false, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&q->span_waiters, __ATOMIC_SEQ_CST))
		pthread_cond_broadcast(&q->span_ended);
}

void span_leave(struct qcow2 *q, struct cluster_span *span)
{
	__atomic_store_n(&q->spans[span->place].taken, false, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&q->span_waiters, __ATOMIC_SEQ_CST))
		return;
	mutex_lock(&q->lock);
	pthread_cond_broadcast(&q->span_ended);
	mutex_unlock(&q->lock);
}
