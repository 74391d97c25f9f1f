/* SPDX-License-Identifier: Apache-2.0 */
/* Who is at which clusters. There are as many as threads that read and write: a few. */
#include "block/qcow2/internal.h"

struct cluster_span span_of(const struct qcow2 *q, uint64_t offset, uint64_t length, bool alone)
{
	return (struct cluster_span){.first = cluster_of(q, offset),
		.last = cluster_of(q, offset + (length ? length - 1 : 0)),
		.alone = alone};
}

static bool in_the_way(const struct qcow2 *q, const struct cluster_span *span)
{
	for (const struct cluster_span *other = q->spans; other; other = other->next)
		if ((span->alone || other->alone) && span->first <= other->last &&
			other->first <= span->last)
			return true;
	return false;
}

bool span_try(struct qcow2 *q, struct cluster_span *span)
{
	if (in_the_way(q, span))
		return false;
	span->next = q->spans;
	q->spans = span;
	return true;
}

void span_enter(struct qcow2 *q, struct cluster_span *span)
{
	while (!span_try(q, span))
		mutex_wait(&q->lock, &q->span_ended);
}

void span_leave(struct qcow2 *q, struct cluster_span *span)
{
	struct cluster_span **at = &q->spans;

	while (*at != span)
		at = &(*at)->next;
	*at = span->next;
	pthread_cond_broadcast(&q->span_ended);
}
