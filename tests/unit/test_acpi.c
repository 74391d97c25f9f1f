/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI tables: checksums, what points where, and that iasl takes them apart again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/acpi/acpi.h"

static uint8_t tables[ACPI_SIZE];

static uint64_t get(uint64_t gpa, unsigned size)
{
	uint64_t value = 0;

	assert_true(gpa >= ACPI_BASE && gpa + size <= ACPI_BASE + ACPI_SIZE);
	memcpy(&value, tables + (gpa - ACPI_BASE), size);
	return value;
}

static uint8_t sum(uint64_t gpa, size_t len)
{
	uint8_t total = 0;

	while (len--)
		total += get(gpa++, 1);
	return total;
}

static void check(bool keyboard)
{
	struct error err = {0};
	const struct acpi_config config = {.vcpus = 3, .keyboard = keyboard};
	int used = acpi_build(tables, sizeof tables, &config, &err);
	uint64_t xsdt, entries;

	assert_true(used > 0);
	assert_memory_equal(tables, "RSD PTR ", 8);
	assert_int_equal(sum(ACPI_BASE, 20), 0);
	assert_int_equal(sum(ACPI_BASE, 36), 0);
	xsdt = get(ACPI_BASE + 24, 8);
	assert_int_equal(get(xsdt, 4), 0x54445358);
	entries = (get(xsdt + 4, 4) - 36) / 8;
	assert_int_equal(entries, keyboard ? 3 : 2);
	for (unsigned i = 0; i < entries; i++) {
		uint64_t table = get(xsdt + 36 + 8 * i, 8);

		assert_int_equal(sum(table, get(table + 4, 4)), 0);
		if (get(table, 4) == 0x50434146) { /* FACP */
			assert_int_equal(get(table + 4, 4), 276);
			assert_int_equal(get(get(table + 36, 4), 4), 0x53434146);
			assert_int_equal(get(get(table + 140, 8), 4), 0x54445344);
			assert_int_equal(get(table + 36, 4) % 64, 0);
		}
	}
}

static void well_formed(void **state)
{
	check(false);
	check(true);
}

static void too_small(void **state)
{
	struct error err = {0};

	for (size_t size = 36; size < 1200; size += 100)
		assert_true(acpi_build(tables, size, &(struct acpi_config){.vcpus = 1}, &err) < 0);
	assert_true(
		acpi_build(tables, sizeof tables, &(struct acpi_config){.vcpus = 64}, &err) > 0);
}

/* Writes one table to a file and has iasl read it. */
static void disassemble(const char *dir, const char *name, uint64_t gpa)
{
	char path[256], command[600];
	FILE *out;

	snprintf(path, sizeof path, "%s/%s.aml", dir, name);
	out = fopen(path, "wb");
	assert_non_null(out);
	fwrite(tables + (gpa - ACPI_BASE), 1, get(gpa + 4, 4), out);
	fclose(out);
	snprintf(command, sizeof command,
		"cd %s && iasl -d %s.aml >%s.log 2>&1 && ! grep -Ei "
		"'error|invalid|warning|incorrect' "
		"%s.log",
		dir, name, name, name);
	assert_int_equal(system(command), 0);
}

/* A machine that is off is the only sleep: what PM1a does of others is nothing (test_machine_devices). */
static void one_sleep(void **state)
{
	struct error err = {0};
	uint64_t dsdt, size;

	assert_true(acpi_build(tables, sizeof tables, &(struct acpi_config){.vcpus = 2}, &err) > 0);
	dsdt = get(get(get(ACPI_BASE + 24, 8) + 36, 8) + 140, 8);
	size = get(dsdt + 4, 4);
	assert_non_null(memmem(tables + (dsdt - ACPI_BASE), size, "_S5_", 4));
	for (char name[] = "_S1_"; name[2] < '5'; name[2]++)
		assert_null(memmem(tables + (dsdt - ACPI_BASE), size, name, 4));
}

static void iasl_reads_them(void **state)
{
	char dir[] = "/tmp/test_acpi.XXXXXX", command[64];
	struct error err = {0};
	uint64_t xsdt;

	if (system("command -v iasl >/dev/null") != 0)
		skip();
	assert_true(acpi_build(tables, sizeof tables,
			    &(struct acpi_config){.vcpus = 2, .keyboard = true}, &err) > 0);
	assert_non_null(mkdtemp(dir));
	xsdt = get(ACPI_BASE + 24, 8);
	disassemble(dir, "xsdt", xsdt);
	disassemble(dir, "facp", get(xsdt + 36, 8));
	disassemble(dir, "apic", get(xsdt + 44, 8));
	disassemble(dir, "dsdt", get(get(xsdt + 36, 8) + 140, 8));
	disassemble(dir, "ssdt", get(xsdt + 52, 8));
	snprintf(command, sizeof command, "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(well_formed),
		cmocka_unit_test(too_small),
		cmocka_unit_test(one_sleep),
		cmocka_unit_test(iasl_reads_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
