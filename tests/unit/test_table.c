/* SPDX-License-Identifier: Apache-2.0 */
/* The table of blocks against a plain list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "cpu/translate/cache/table.h"

#define NUMBERS 60000u
#define STEPS 400000u

static uint64_t seed = 1;

static uint64_t next(void)
{
	/* splitmix64, Steele, Lea and Flood 2014 */
	uint64_t z = seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static bool has(const struct hash_table *t, uint64_t hash, uint32_t number)
{
	struct table_at at = table_start(t, hash);
	uint32_t found;

	while ((found = table_next(t, &at)))
		if (found == number)
			return true;
	return false;
}

static void put(struct hash_table *t, uint64_t *hash, uint32_t number)
{
	uint32_t live = 0;

	if (table_put(t, hash[number], number))
		return;
	for (uint32_t i = 1; i < NUMBERS; i++)
		live += hash[i] && i != number;
	table_clear(t, live);
	for (uint32_t i = 1; i < NUMBERS; i++)
		if (hash[i])
			assert_true(table_put(t, hash[i], i));
}

/* few: so few different hashes that buckets overflow and are emptied all the time. */
static void churn(bool few)
{
	struct hash_table t = {.slot = aligned_alloc(64, 8 * TABLE_SLOTS_MIN * 8),
		.slots = TABLE_SLOTS_MIN,
		.max = 8 * TABLE_SLOTS_MIN};
	uint64_t *hash = calloc(NUMBERS, sizeof *hash);
	uint32_t range = few ? 300 : NUMBERS;

	assert_non_null(t.slot);
	assert_non_null(hash);
	table_clear(&t, 0);
	for (uint32_t step = 0; step < STEPS; step++) {
		uint32_t i = 1 + (uint32_t)(next() % (range - 1));

		assert_int_equal(has(&t, hash[i], i), hash[i] != 0);
		if (hash[i]) {
			table_remove(&t, hash[i], i);
			assert_false(has(&t, hash[i], i));
			hash[i] = 0;
		} else {
			hash[i] = few ? 1 + next() % 20 + (next() % 4 << 32) : next() | 1;
			put(&t, hash, i);
			assert_true(has(&t, hash[i], i));
		}
	}
	for (uint32_t i = 1; i < range; i++)
		assert_int_equal(hash[i] && has(&t, hash[i], i), hash[i] != 0);
	free(t.slot);
	free(hash);
}

static void test_random(void **state)
{
	churn(false);
}

static void test_crowded(void **state)
{
	churn(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_crowded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
