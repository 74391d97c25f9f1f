/* SPDX-License-Identifier: Apache-2.0 */
#include "truth.h"

#include <stdarg.h>

#define SERIAL 0x3f8
#define EXIT 0xf4

static unsigned wrong;

static void put(char c)
{
	while (!(in8(SERIAL + 5) & 0x20))
		;
	out8(SERIAL, (uint8_t)c);
}

void say(const char *text)
{
	while (*text)
		put(*text++);
}

void say_hex(uint64_t number)
{
	unsigned shift = 60;

	while (shift && !(number >> shift))
		shift -= 4;
	for (;; shift -= 4) {
		put("0123456789abcdef"[number >> shift & 15]);
		if (!shift)
			break;
	}
}

/* name may hold %x, for a uint64_t each, and %s. */
void check(bool right, const char *name, ...)
{
	va_list args;

	va_start(args, name);
	wrong += !right;
	say(right ? "ok " : "not ok ");
	for (; *name; name++) {
		if (name[0] == '%' && name[1] == 'x') {
			say_hex(va_arg(args, uint64_t));
			name++;
		} else if (name[0] == '%' && name[1] == 's') {
			say(va_arg(args, const char *));
			name++;
		} else {
			put(*name);
		}
	}
	put('\n');
	va_end(args);
}

void skip(const char *name)
{
	say("skip ");
	say(name);
	put('\n');
}

const char *word(const char *wanted)
{
	uint32_t cmdline = *(uint32_t *)(uint64_t)(start_info + 24);
	const char *at = (const char *)(uint64_t)cmdline;

	for (; cmdline && *at; at++) {
		unsigned n = 0;

		while (wanted[n] && at[n] == wanted[n])
			n++;
		if (!wanted[n])
			return at + n;
	}
	return NULL;
}

static void all_questions(void)
{
	check(task_seen == 63, "task switches");
	test_segments();
	test_system();
	test_debug();
	test_alignment();
	test_flags();
	test_paging();
	test_flushes();
	test_events();
	test_apic();
	test_processors();
	test_code();
	say("TRUTH-DONE\n");
}

void main(void);
void main(void)
{
	/* a firmware's timer goes on behind the 8259s */
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	trap_init(0);
	user_init();
	if (word("attack"))
		attack(word("seed=") ? (uint32_t)*word("seed=") : 1);
	else
		all_questions();
	out32(EXIT, wrong > 27 ? 27 : wrong);
	for (;;)
		asm volatile("hlt");
}
