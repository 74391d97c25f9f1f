/* SPDX-License-Identifier: Apache-2.0 */
/* Symbol tables: text, this program's own, and files that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/symbols.h"

static const char text[] = "ffffffff81000100 T second\n"
			   "ffffffff81000000 t first\n"
			   "0000000000000000 T absent\n"
			   "ffffffff81000180 D data\n"
			   "nonsense\n"
			   "ffffffffc0000000 t module_part\t[module]\n";

static void test_text(void **state)
{
	struct error err = {""};
	struct symbols *s;
	uint64_t offset;

	assert_int_equal(symbols_parse(text, sizeof text - 1, "text", &s, &err), 0);
	assert_string_equal(symbols_find(s, 0xffffffff81000010, &offset), "first");
	assert_int_equal(offset, 0x10);
	assert_string_equal(symbols_find(s, 0xffffffff81000200, &offset), "second");
	assert_int_equal(offset, 0x100);
	assert_string_equal(symbols_find(s, 0xffffffffc0000000, &offset), "module_part");
	assert_int_equal(offset, 0);
	assert_null(symbols_find(s, 0xffffffff80ffffff, &offset));
	assert_null(symbols_find(s, 0xffffffff90000000, &offset)); /* too far away */
	assert_int_equal(symbols_address(s, "second"), 0xffffffff81000100);
	assert_int_equal(symbols_address(s, "data"), 0);
	symbols_free(s);
}

static void test_own(void **state)
{
	struct error err = {""};
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct symbols *s;
	uint64_t offset, at;

	assert_true(fd >= 0);
	assert_int_equal(symbols_load(fd, "self", &s, &err), 0);
	close(fd);
	at = symbols_address(s, "symbols_find");
	assert_int_not_equal(at, 0);
	assert_string_equal(symbols_find(s, at + 1, &offset), "symbols_find");
	assert_int_equal(offset, 1);
	/* as far apart as they are in memory */
	assert_int_equal(symbols_address(s, "symbols_parse") - at,
		(uint64_t)symbols_parse - (uint64_t)symbols_find);
	symbols_free(s);
}

static void refuse(const void *data, size_t size)
{
	struct error err = {""};
	struct symbols *s;

	assert_true(symbols_parse(data, size, "bad", &s, &err) < 0);
	assert_null(s);
	assert_int_equal(strncmp(err.text, "bad: ", 5), 0);
}

static void test_bad(void **state)
{
	Elf64_Ehdr e = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = 0xffff,
		.e_shoff = sizeof e};
	struct {
		Elf64_Ehdr e;
		Elf64_Shdr s[2];
		Elf64_Sym sym;
		char names[4];
	} f = {.e = e,
		.s = {{.sh_type = SHT_SYMTAB,
			      .sh_offset = offsetof(__typeof__(f), sym),
			      .sh_size = sizeof(Elf64_Sym),
			      .sh_link = 1},
			{.sh_offset = offsetof(__typeof__(f), names), .sh_size = 4}},
		.sym = {.st_info = STT_FUNC, .st_shndx = 1, .st_value = 4096, .st_name = 1},
		.names = {0, 'f', 'n', 0}};
	struct error err = {""};
	struct symbols *s;
	uint64_t offset;

	refuse("", 0);
	refuse("\177ELF", 4);
	refuse(&e, sizeof e);
	assert_int_equal(symbols_parse(&f, sizeof f, "good", &s, &err), 0);
	assert_string_equal(symbols_find(s, 4096, &offset), "fn");
	symbols_free(s);
	refuse(&f, offsetof(__typeof__(f), names) + 3); /* names beyond the end */
	f.names[3] = 'x';                               /* that never end */
	refuse(&f, sizeof f);
	f.names[3] = 0;
	f.sym.st_name = 4;
	refuse(&f, sizeof f);
	f.sym.st_name = 1;
	f.s[0].sh_offset = ~0ull - 8;
	refuse(&f, sizeof f);
	f.s[0].sh_offset = offsetof(__typeof__(f), sym);
	f.s[0].sh_link = 0xfffe;
	refuse(&f, sizeof f);
	f.e.e_shoff = ~0ull - 64;
	refuse(&f, sizeof f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
