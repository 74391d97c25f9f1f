/* SPDX-License-Identifier: Apache-2.0 */
/* CD drives: what lies in them comes and goes, is locked and withdrawn; what of that is in a saved state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "ide_driver.h"

#define IS_READY "\0\0\0\0\0\0\0\0\0\0"
#define SENSE "\x03\0\0\0\x12\0\0\0\0\0"
#define EVENT "\x4a\1\0\0\x10\0\0\0\x8\0"
#define LOCK "\x1e\0\0\0\1\0\0\0\0\0"
#define UNLOCK "\x1e\0\0\0\0\0\0\0\0\0"
#define OPEN "\x1b\0\0\0\2\0\0\0\0\0"
#define CLOSE "\x1b\0\0\0\3\0\0\0\0\0"

/* The sense key with which the drive refuses the packet; 0: it does not. */
static unsigned refusal(unsigned drive, const char *bytes)
{
	uint8_t to[2048], key;

	return packet(drive, bytes, 512, to, &key) < 0 ? key : 0;
}

/* What it has to tell of its medium: the event, and whether there is one and the tray is open. */
static void tells(unsigned drive, uint8_t event, uint8_t status)
{
	uint8_t to[512], key;

	assert_int_equal(packet(drive, EVENT, 512, to, &key), 8);
	assert_int_equal(to[4], event);
	assert_int_equal(to[5], status);
}

static void media(void **state)
{
	struct ata_drive *cd = ide_drive(world.ide, 3);
	uint8_t bytes[2048], key;

	assert_int_equal(refusal(3, IS_READY), 2);
	tells(3, 0, 0);
	/* One comes: the guest is told, once, before anything is read. */
	drive_insert(cd, world.image[1]);
	assert_int_equal(refusal(3, IS_READY), 6);
	assert_int_equal(packet(3, SENSE, 512, bytes, &key), 18);
	assert_int_equal(bytes[2] << 8 | bytes[12], 0x628);
	assert_int_equal(refusal(3, IS_READY), 0);
	tells(3, 2, 2);
	tells(3, 0, 2);
	assert_int_equal(packet(3, "\x28\0\0\0\0\3\0\0\1\0", 0xfffe, bytes, &key), 2048);
	check_bytes(bytes, 3 * 2048, 2048);
	/* Who asks for what is wrong hears of it, too. */
	assert_int_equal(drive_remove(cd), 0);
	drive_insert(cd, world.image[1]);
	assert_int_equal(refusal(3, "\x1b\0\0\0\0\0\0\0\0\0"), 0);
	assert_int_equal(packet(3, SENSE, 512, bytes, &key), 18);
	assert_int_equal(bytes[2] << 8 | bytes[12], 0x628);
	assert_int_equal(refusal(3, IS_READY), 0);
	/* One that is locked is asked for. */
	assert_true(drive_lets_go(cd));
	assert_int_equal(refusal(3, LOCK), 0);
	assert_false(drive_lets_go(cd));
	drive_press_button(cd);
	tells(3, 1, 2);
	assert_int_equal(refusal(3, OPEN), 5);
	assert_int_equal(refusal(3, UNLOCK), 0);
	assert_int_equal(refusal(3, OPEN), 0);
	tells(3, 3, 1);
	assert_int_equal(refusal(3, IS_READY), 2);
	assert_int_equal(refusal(3, CLOSE), 0);
	tells(3, 2, 2);
	assert_int_equal(refusal(3, IS_READY), 6);
	/* It goes in the middle of a command. */
	out(3, 6, 0xb0);
	out(3, 1, 0);
	out(3, 4, 0xfe);
	out(3, 5, 0xff);
	out(3, 7, 0xa0);
	write_words(3, "\x28\0\0\0\0\0\0\0\x50\0\0\0", 12);
	read_words(3, bytes, 2048);
	assert_int_equal(drive_remove(cd), 0);
	while (in(3, 7) & 8)
		read_words(3, bytes, 2);
	assert_int_equal(in(3, 1) >> 4, 2);
	tells(3, 3, 0);
}

/* A CD that is to go: what is under way for it ends, and nothing else begins. */
static void withdrawn(void **state)
{
	struct ata_drive *cd = ide_drive(world.ide, 1);
	struct ata_port *p;
	uint8_t bytes[2048], key;

	out(1, 6, 0xb0);
	out(1, 1, 0);
	out(1, 4, 0xfe);
	out(1, 5, 0xff);
	out(1, 7, 0xa0);
	write_words(1, "\x28\0\0\0\0\0\0\0\x50\0\0\0", 12);
	read_words(1, bytes, 2048);
	drive_withdraw(cd, true);
	while (in(1, 7) & 8)
		read_words(1, bytes, 2);
	assert_int_equal(in(1, 1) >> 4, 2);
	assert_int_equal(refusal(1, IS_READY), 2);
	assert_int_equal(refusal(1, "\x28\0\0\0\0\3\0\0\1\0"), 2);
	assert_int_equal(packet(1, "\x12\0\0\0\x24\0\0\0\0\0", 512, bytes, &key), 36);
	/* It stays after all, and in a saved state it always does: as one that has changed. */
	drive_withdraw(cd, false);
	assert_int_equal(refusal(1, IS_READY), 6);
	assert_int_equal(refusal(1, IS_READY), 0);
	drive_withdraw(cd, true);
	save_and_load();
	assert_int_equal(refusal(1, IS_READY), 6);
	assert_int_equal(refusal(1, IS_READY), 0);
	/* It has gone when it has no request: that of the disk beside it is none. */
	cd = ide_drive(world.ide, 1);
	p = &world.ide->channel[0].port;
	drive_withdraw(cd, true);
	p->active = true;
	assert_int_equal(p->current, 1);
	assert_int_equal(drive_remove(cd), -EAGAIN);
	assert_non_null(cd->image);
	p->current = 0;
	assert_int_equal(drive_remove(cd), 0);
	assert_null(cd->image);
	p->active = false;
	/* And another comes while the disk has one. */
	p->active = true;
	drive_insert(cd, world.image[1]);
	p->active = false;
	assert_int_equal(refusal(1, IS_READY), 6);
	assert_int_equal(refusal(1, IS_READY), 0);
}

/* A tray that is open, and news that nobody has heard. */
static void saved_tray(void **state)
{
	struct bytes b = {0};
	struct error err = {""};

	refusal(1, LOCK);
	refusal(3, OPEN);
	assert_int_equal(drive_remove(ide_drive(world.ide, 1)), 0);
	drive_insert(ide_drive(world.ide, 1), world.image[1]);
	save(&b);
	tear_down(NULL);
	set_up(NULL);
	assert_int_equal(load(&b, &err), 0);
	assert_false(drive_lets_go(ide_drive(world.ide, 1)));
	tells(3, 3, 1);
	tells(1, 2, 2);
	assert_int_equal(refusal(1, IS_READY), 6);
	free(b.data);
	b = (struct bytes){0};
	ide_drive(world.ide, 1)->event = CD_EVENTS;
	save(&b);
	assert_int_not_equal(load(&b, &err), 0);
	assert_non_null(strstr(err.text, "news that no drive has"));
	free(b.data);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(media),
		TEST(withdrawn),
		TEST(saved_tray),
	};

	return cmocka_run_group_tests_name("ata_tray", tests, NULL, NULL);
}
