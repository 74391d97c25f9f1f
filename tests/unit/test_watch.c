/* SPDX-License-Identifier: Apache-2.0 */
/* What is taken for a kernel's last words, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "vmm/watch.h"

#define STAMP "[    1.176154] "
#define PANIC STAMP "Kernel panic - not syncing: sysrq triggered crash\r\n"
#define END STAMP "---[ end Kernel panic - not syncing: sysrq triggered crash ]---\r\n"

/* In pieces of every size. */
static enum words_said after(const char *text)
{
	enum words_said first = WORDS_NONE;

	for (size_t piece = 1; piece < 40; piece += 19) {
		struct last_words words = {.said = WORDS_NONE};
		size_t len = strlen(text);

		for (size_t at = 0; at < len; at += piece)
			words_read(&words, (const uint8_t *)text + at,
				len - at < piece ? len - at : piece);
		if (piece > 1)
			assert_int_equal(words_said(&words), first);
		first = words_said(&words);
	}
	return first;
}

static void last_words(void **state)
{
	assert_int_equal(after(PANIC), WORDS_PANIC);
	assert_int_equal(after("login: " PANIC STAMP "CPU: 0 PID: 1\r\n"), WORDS_PANIC);
	assert_int_equal(after(PANIC "Call Trace:\n" END), WORDS_END);
	assert_int_equal(after(PANIC END "\r\n\n"), WORDS_END);
	/* kernels before 4.19 */
	assert_int_equal(after(PANIC STAMP
				 "---[ end Kernel panic - not syncing: sysrq triggered crash\n"),
		WORDS_END);
	assert_int_equal(after(STAMP "reboot: System halted\r\n"), WORDS_HALTED);
}

static void no_last_words(void **state)
{
	assert_int_equal(after(""), WORDS_NONE);
	assert_int_equal(after("Kernel panic - not syncing: "), WORDS_NONE); /* not a line yet */
	assert_int_equal(after("Kernel panic\n"), WORDS_NONE);
	assert_int_equal(after(END), WORDS_NONE);
	assert_int_equal(after(PANIC "---[ end Kernel panic - not syncing: another ]---\n"),
		WORDS_PANIC);
	assert_int_equal(after(PANIC END "root@guest:~# \n"), WORDS_NONE);
	assert_int_equal(after(PANIC STAMP "reboot: Restarting system\n"), WORDS_NONE);
	assert_int_equal(after("reboot: System halted\nhello\n"), WORDS_NONE);
	assert_int_equal(after("\n\n -- System halted"), WORDS_NONE);
}

/* However long a line is, and whatever is in it. */
static void long_lines(void **state)
{
	struct last_words words = {.said = WORDS_NONE};
	uint8_t data[4 * WORDS_LINE];

	for (unsigned i = 0; i < sizeof data; i++)
		data[i] = i % 256 == '\n' ? 0 : i % 256;
	words_read(&words, data, sizeof data);
	words_read(&words, (const uint8_t *)PANIC, strlen(PANIC));
	assert_int_equal(words_said(&words), WORDS_NONE);
	words_read(&words, (const uint8_t *)PANIC, strlen(PANIC));
	assert_int_equal(words_said(&words), WORDS_PANIC);
	/* Nobody says so much after a panic. */
	for (unsigned i = 0; i < 1000; i++) {
		data[sizeof data - 1] = '\n';
		words_read(&words, data, sizeof data);
	}
	assert_int_equal(words_said(&words), WORDS_NONE);
	words_read(&words, (const uint8_t *)PANIC, strlen(PANIC));
	words_forget(&words);
	assert_int_equal(words_said(&words), WORDS_NONE);
}

static void resets(void **state)
{
	struct guest_watch watch = {.machine = NULL};
	struct machine *some = (struct machine *)&watch; /* only that there is one is looked at */

	watch_read(&watch, WATCH_VIRTIO, (const uint8_t *)PANIC, strlen(PANIC));
	assert_null(watch_reset(&watch));
	watch.machine = some;
	assert_null(watch_reset(&watch));
	watch_read(&watch, WATCH_VIRTIO, (const uint8_t *)PANIC, strlen(PANIC));
	assert_string_equal(watch_reset(&watch), "the guest's kernel panicked");
	assert_null(watch_reset(&watch));
	/* It has been seen alive since. */
	watch_read(&watch, WATCH_SERIAL, (const uint8_t *)PANIC, strlen(PANIC));
	watch.lives = 1;
	assert_null(watch_reset(&watch));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(last_words),
		cmocka_unit_test(no_last_words),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
