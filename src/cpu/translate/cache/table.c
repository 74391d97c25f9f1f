/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/cache/table.h"

#include "cpu/translate/hot.h"

static struct table_slot *bucket(const struct hash_table *t, uint32_t number)
{
	return &t->slot[(number & (t->slots / TABLE_BUCKET - 1)) * TABLE_BUCKET];
}

/* Both halves at once: searches go on without the lock. */
static struct table_slot get(const struct table_slot *slot)
{
	uint64_t both = __atomic_load_n((const uint64_t *)slot, __ATOMIC_ACQUIRE);

	return (struct table_slot){(uint32_t)both, (uint32_t)(both >> 32)};
}

static void set(struct table_slot *slot, struct table_slot to)
{
	__atomic_store_n((uint64_t *)slot, to.tag | (uint64_t)to.number << 32, __ATOMIC_RELEASE);
}

struct table_at table_start(const struct hash_table *t, uint64_t hash)
{
	return (struct table_at){.tag = (uint32_t)hash, .bucket = (uint32_t)(hash >> 32)};
}

uint32_t table_next(const struct hash_table *t, struct table_at *at)
{
	for (;;) {
		const struct table_slot *b = bucket(t, at->bucket);

		for (unsigned i = at->in_bucket; i < TABLE_BUCKET; i++) {
			struct table_slot slot = get(&b[i]);

			at->hole |= !slot.number;
			if (slot.tag == at->tag && slot.number && slot.number != TABLE_GONE) {
				at->in_bucket = i + 1;
				return slot.number;
			}
		}
		if (at->hole)
			return 0;
		at->bucket++;
		at->in_bucket = 0;
	}
}

bool table_put(struct hash_table *t, uint64_t hash, uint32_t number)
{
	if (t->used >= t->slots / 4 * 3)
		return false;
	for (uint32_t n = (uint32_t)(hash >> 32);; n++) {
		struct table_slot *b = bucket(t, n);

		for (unsigned i = 0; i < TABLE_BUCKET; i++) {
			if (b[i].number && b[i].number != TABLE_GONE)
				continue;
			t->used += !b[i].number;
			set(&b[i], (struct table_slot){(uint32_t)hash, number});
			return true;
		}
	}
}

void table_remove(struct hash_table *t, uint64_t hash, uint32_t number)
{
	for (uint32_t n = (uint32_t)(hash >> 32);; n++) {
		struct table_slot *b = bucket(t, n), *found = 0;
		bool hole = false;

		for (unsigned i = 0; i < TABLE_BUCKET; i++) {
			hole |= !b[i].number;
			if (b[i].number == number)
				found = &b[i];
		}
		if (found) {
			/* searches go on behind a full bucket, and must do so still */
			set(found, (struct table_slot){0, hole ? 0 : TABLE_GONE});
			t->used -= hole;
			return;
		}
		if (hole)
			return;
	}
}

void table_clear(struct hash_table *t, uint32_t numbers)
{
	uint64_t words;
	void *at = t->slot;

	while (t->slots / 2 < numbers && t->slots < t->max)
		t->slots *= 2;
	t->used = 0;
	words = t->slots;
	asm volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(0ul) : "memory");
}
