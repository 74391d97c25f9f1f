/* SPDX-License-Identifier: Apache-2.0 */
/* What a driver does to the drives of ide_rig.h's controller, and a state of that. */
#ifndef DACH_TESTS_IDE_DRIVER_H
#define DACH_TESTS_IDE_DRIVER_H

#include "bytes.h"
#include "ide_rig.h"

static struct ide_world world;

static inline int set_up(void **state)
{
	ide_world_open(&world);
	return 0;
}

static inline int tear_down(void **state)
{
	ide_world_close(&world);
	return 0;
}

static inline unsigned base(unsigned drive)
{
	return drive / 2 ? 0x170 : 0x1f0;
}

static inline void out(unsigned drive, unsigned reg, uint8_t value)
{
	bus_write(&world.io, base(drive) + reg, 1, value);
}

static inline uint8_t in(unsigned drive, unsigned reg)
{
	return bus_read(&world.io, base(drive) + reg, 1);
}

/* A command with a 28-bit address; the status when nothing is under way any more. */
static inline uint8_t order(unsigned drive, uint8_t command, uint32_t lba, uint8_t count)
{
	out(drive, 6, 0xe0 | drive % 2 << 4 | (lba >> 24 & 15));
	out(drive, 2, count);
	out(drive, 3, lba);
	out(drive, 4, lba >> 8);
	out(drive, 5, lba >> 16);
	out(drive, 7, command);
	ide_world_wait(&world);
	return bus_read(&world.io, base(drive) + 0x206, 1);
}

static inline void read_words(unsigned drive, void *to, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i += 2) {
		uint16_t word = bus_read(&world.io, base(drive), 2);

		memcpy((uint8_t *)to + i, &word, 2);
		ide_world_wait(&world);
	}
}

static inline void write_words(unsigned drive, const void *from, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i += 2) {
		uint16_t word;

		memcpy(&word, (const uint8_t *)from + i, 2);
		bus_write(&world.io, base(drive), 2, word);
		ide_world_wait(&world);
	}
}

static inline void check_bytes(const uint8_t *bytes, uint32_t at, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(bytes[i], ide_byte(at + i));
}

/* What a packet gives: bytes, or -1 and the sense key. */
static inline int packet(unsigned drive, const char *bytes, unsigned limit, uint8_t *to,
	uint8_t *key)
{
	uint8_t cdb[12] = {0};
	int got = 0;

	memcpy(cdb, bytes, 10);
	out(drive, 6, 0xa0 | drive % 2 << 4);
	out(drive, 1, 0);
	out(drive, 4, limit);
	out(drive, 5, limit >> 8);
	out(drive, 7, 0xa0);
	assert_int_equal(in(drive, 2), 1);
	write_words(drive, cdb, 12);
	while (in(drive, 7) & 8) {
		unsigned size = in(drive, 4) | in(drive, 5) << 8;

		assert_int_equal(in(drive, 2), 2);
		assert_in_range(size, 1, limit);
		read_words(drive, to + got, size);
		got += size;
	}
	assert_int_equal(in(drive, 2), 3);
	*key = in(drive, 1) >> 4;
	return in(drive, 7) & 1 ? -1 : got;
}

static inline void save(struct bytes *b)
{
	struct error err = {""};
	struct state *s;

	assert_int_equal(state_save(BYTES_TO(b), "saved", &s, &err), 0);
	world.ide->pci.ops->describe(&world.ide->pci, s);
	assert_int_equal(state_finish(s), 0);
	state_destroy(s);
}

static inline int load(struct bytes *b, struct error *err)
{
	struct state *s;
	int r;

	b->at = 0;
	assert_int_equal(state_load(BYTES_FROM(b), "saved", &s, err), 0);
	world.ide->pci.ops->describe(&world.ide->pci, s);
	r = state_finish(s);
	state_destroy(s);
	return r;
}

static inline void save_and_load(void)
{
	struct bytes b = {0};
	struct error err = {""};

	save(&b);
	tear_down(NULL);
	set_up(NULL);
	assert_int_equal(load(&b, &err), 0);
	free(b.data);
}

#endif
