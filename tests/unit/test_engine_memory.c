/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory that changes under the translator's guests; nested_kvm.sh does the same with KVM's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cpu/translate/vm.h"
#include "memory_guest.h"

static void always_windows(struct guest *g)
{
	((struct translate_vm *)g->vm)->pool.policy = HOSTMAP_ALWAYS;
}

static const struct guest_kind kernel = {.engine = &engine_translate, .cpus = 1},
			       program = {.engine = &engine_translate, .cpus = 1, .user = true},
			       windows = {&engine_translate, 1, true, always_windows, "window_map"},
			       two = {.engine = &engine_translate, .cpus = 2},
			       two_windows = {&engine_translate, 2, true, always_windows,
				       "window_map"};

static void refused(void **state)
{
	assert_int_equal(check_refused(&engine_translate), 0);
}

static void torn(void **state)
{
	assert_int_equal(check_torn(&kernel), 0);
	assert_int_equal(check_torn(&windows), 0);
}

static void map_rounds(void **state)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		assert_int_equal(check_map_rounds(&kernel, 150, seed), 0);
		assert_int_equal(check_map_rounds(&program, 100, seed), 0);
	}
}

/* Each window maps the file of the page's own region. */
static void map_rounds_with_windows(void **state)
{
	for (uint64_t seed = 1; seed <= 4; seed++)
		assert_int_equal(check_map_rounds(&windows, 150, seed), 0);
}

static void map_rounds_of_two_processors(void **state)
{
	for (uint64_t seed = 1; seed <= 2; seed++) {
		assert_int_equal(check_map_rounds(&two, 100, seed), 0);
		assert_int_equal(check_map_rounds(&two_windows, 100, seed), 0);
	}
}

/* A copy that takes what the log names is the guest's memory. */
static void copies(void **state)
{
	assert_int_equal(check_copy(&kernel, 40), 0);
	assert_int_equal(check_copy(&windows, 40), 0);
}

static void copies_of_two_processors(void **state)
{
	assert_int_equal(check_copy(&two, 64), 0);
	assert_int_equal(check_copy(&two_windows, 64), 0);
}

static void pages_come_late(void **state)
{
	assert_int_equal(check_lazy(&kernel, 1), 0);
	assert_int_equal(check_lazy(&windows, 8), 0);
	assert_int_equal(check_lazy(&two, 16), 0);
	assert_int_equal(check_lazy(&two_windows, 1), 0);
	assert_int_equal(check_lost(&kernel), 0);
	assert_int_equal(check_lost(&windows), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),
		cmocka_unit_test(torn),
		cmocka_unit_test(map_rounds),
		cmocka_unit_test(map_rounds_with_windows),
		cmocka_unit_test(map_rounds_of_two_processors),
		cmocka_unit_test(copies),
		cmocka_unit_test(copies_of_two_processors),
		cmocka_unit_test(pages_come_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
