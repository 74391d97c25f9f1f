/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "block/create.h"
#include "block/layer.h"
#include "block_rig.h"
#include "virtio/blk.h"

#define DISK (1u << 20)
#define HEADER RIG_DATA
#define STATUS (RIG_DATA + 32)
#define DATA (RIG_DATA + 0x1000)

enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum { OK, IOERR, UNSUPP };
#define ALL_FEATURES                                                                             \
	(VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) | VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | \
		0xffff)

struct fixture {
	struct rig rig;
	char path[64];
	struct block_device *image;
	struct virtio_blk *blk;
	struct ring ring;
	uint8_t *data, *status;
	struct virtq_used_elem used;
};

/* An engine that turns guest writes at one address into a signal. */
static struct {
	bool offered;
	uint64_t gpa;
	int fd;
} notifier;

static int notify_fd(void *ctx, uint64_t gpa, int fd, bool on)
{
	if (on && notifier.gpa)
		return -ENOSPC;
	if (!on)
		assert_int_equal(gpa, notifier.gpa);
	notifier.gpa = on ? gpa : 0;
	notifier.fd = fd;
	return 0;
}

static void setup(struct fixture *f, const char *suffix)
{
	struct error err = {0};
	char spec[80];
	int fd;

	strcpy(f->path, "/tmp/test_virtio_blk.XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	for (unsigned i = 0; i < DISK / 4; i++)
		assert_int_equal(write(fd, &i, 4), 4);
	close(fd);
	snprintf(spec, sizeof(spec), "%s%s", f->path, suffix);
	assert_int_equal(rig_block_open(spec, &f->image, &err), 0);
	rig_open(&f->rig);
	f->rig.pci.owner.notify_fd = notifier.offered ? notify_fd : NULL;
	assert_int_equal(virtio_blk_create(&f->rig.pci, &f->rig.mem, f->image, "disk0", &f->blk,
				 &err),
		0);
	rig_start(&f->rig, ALL_FEATURES, &f->ring, 1);
	f->data = memory_ptr(&f->rig.mem, DATA, 0x20000);
	f->status = memory_ptr(&f->rig.mem, STATUS, 1);
}

static void teardown(struct fixture *f)
{
	virtio_blk_destroy(f->blk);
	rig_close(&f->rig);
	block_close(f->image);
	unlink(f->path);
}

/* Queues a request; data_flags says which way the data goes. */
static void submit(struct fixture *f, uint32_t type, uint64_t sector, uint32_t len, bool in)
{
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header = {type, 0, sector};
	uint16_t head = ring_desc(&f->ring, HEADER, 16, VIRTQ_DESC_NEXT);

	assert_int_equal(memory_write(&f->rig.mem, HEADER, &header, 16), 0);
	*f->status = 0xee;
	if (len)
		ring_desc(&f->ring, DATA, len, VIRTQ_DESC_NEXT | (in ? VIRTQ_DESC_WRITE : 0));
	ring_desc(&f->ring, STATUS, 1, VIRTQ_DESC_WRITE);
	ring_offer(&f->ring, head);
	if (notifier.gpa)
		assert_int_equal(write(notifier.fd, &(uint64_t){1}, 8), 8);
	else
		ring_notify(&f->ring);
}

static uint8_t request(struct fixture *f, uint32_t type, uint64_t sector, uint32_t len, bool in)
{
	submit(f, type, sector, len, in);
	assert_true(ring_wait(&f->ring, &f->used));
	return *f->status;
}

static uint32_t file_word(struct fixture *f, unsigned index)
{
	FILE *file = fopen(f->path, "r");
	uint32_t word;

	assert_non_null(file);
	fseek(file, 4l * index, SEEK_SET);
	assert_int_equal(fread(&word, 4, 1, file), 1);
	fclose(file);
	return word;
}

static void test_read_write(void **state)
{
	struct fixture f;
	uint32_t *words;

	setup(&f, "");
	words = (uint32_t *)f.data;
	assert_int_equal(request(&f, IN, 2, 4096, true), OK);
	assert_int_equal(f.used.len, 4097);
	assert_int_equal(words[0], 256);
	assert_int_equal(words[1023], 256 + 1023);
	assert_int_equal(request(&f, IN, 0, 0x18000, true),
		OK); /* too long for the vCPU's thread */
	assert_int_equal(words[0x17fff / 4], 0x17fff / 4);
	memset(f.data, 0x5a, 1024);
	assert_int_equal(request(&f, OUT, 4, 1024, false), OK);
	assert_int_equal(f.used.len, 1);
	assert_int_equal(file_word(&f, 512), 0x5a5a5a5a);
	assert_int_equal(file_word(&f, 767), 0x5a5a5a5a);
	assert_int_equal(file_word(&f, 768), 768);
	assert_int_equal(request(&f, FLUSH, 0, 0, false), OK);
	assert_true(f.rig.msi[1] > 0);
	teardown(&f);
}

/* Bytes of guest memory that were told of as written, by address. */
static uint8_t told[0x200000];

static void tell(struct engine_vm *vm, uint64_t gpa, uint64_t size)
{
	if (gpa < sizeof told && size <= sizeof told - gpa)
		memset(told + gpa, 1, size);
}

static const struct engine listener = {.vm_written = tell};

static bool told_all(uint64_t gpa, uint64_t size)
{
	return gpa + size <= sizeof told && !!told[gpa] &&
		!memcmp(told + gpa, told + gpa + 1, size - 1);
}

/* Whoever translates guest code, or saves pages that were written, hears of each. */
static void test_memory_is_told(void **state)
{
	struct fixture f;

	setup(&f, "");
	f.rig.mem.engine = &listener;
	for (unsigned i = 0; i < 4; i++) {
		uint32_t len = (const uint32_t[]){4096, 0x18000, 512, 20}[i];
		uint64_t used;

		memset(told, 0, sizeof told);
		assert_int_equal(request(&f, i == 3 ? GET_ID : IN, 0, len, true), OK);
		used = (uint8_t *)f.ring.used - (uint8_t *)memory_ptr(&f.rig.mem, 0, 1);
		assert_true(told_all(DATA, len));
		assert_false(told[DATA + len]);
		assert_true(told[STATUS]);
		assert_true(told_all(used, 4));
	}
	memset(told, 0, sizeof told);
	assert_int_equal(request(&f, OUT, 4, 1024, false), OK);
	assert_true(told[STATUS]);
	assert_false(told[DATA]);
	teardown(&f);
}

/* Notifications that come as an event, and follow the BAR where the guest puts it. */
static void test_notified_by_event(void **state)
{
	struct fixture f;
	uint32_t *words;
	uint64_t bar;

	notifier.offered = true;
	setup(&f, "");
	words = (uint32_t *)f.data;
	assert_int_equal(notifier.gpa, f.rig.bar + VIRTIO_PCI_NOTIFY);
	assert_int_equal(request(&f, IN, 2, 4096, true), OK);
	assert_int_equal(words[0], 256);
	bar = f.rig.bar + 0x100000;
	rig_config_write(&f.rig, PCI_BAR0 + 4 * VIRTIO_PCI_BAR, 4, bar);
	assert_int_equal(notifier.gpa, bar + VIRTIO_PCI_NOTIFY);
	assert_int_equal(request(&f, IN, 4, 4096, true), OK);
	assert_int_equal(words[0], 512);
	/* With memory decoding off it is nowhere. */
	rig_config_write(&f.rig, PCI_COMMAND, 2, 0);
	assert_int_equal(notifier.gpa, 0);
	/* Where it is refused, calls do. */
	notifier.gpa = 1;
	rig_config_write(&f.rig, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(notifier.gpa, 1);
	notifier.gpa = 0;
	rig_find_bar(&f.rig);
	assert_int_equal(request(&f, IN, 2, 4096, true), OK);
	assert_int_equal(words[0], 256);
	notifier.offered = false;
	teardown(&f);
}

static void test_capacity_and_id(void **state)
{
	struct fixture f;

	setup(&f, "");
	assert_int_equal(rig_read(&f.rig, VIRTIO_PCI_CONFIG, 4), DISK / 512);
	assert_int_equal(rig_read(&f.rig, VIRTIO_PCI_CONFIG + 12, 4), 126);
	assert_int_equal(rig_read(&f.rig, VIRTIO_PCI_CONFIG + 20, 4), 512);
	assert_int_equal(request(&f, GET_ID, 0, 20, true), OK);
	assert_memory_equal(f.data, "disk0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	memset(f.data, 0xff, 20);
	assert_int_equal(request(&f, GET_ID, 0, 3, true), OK);
	assert_memory_equal(f.data, "dis\xff", 4);
	teardown(&f);
}

static void test_discard(void **state)
{
	struct fixture f;
	struct {
		uint64_t sector;
		uint32_t sectors, flags;
	} range = {8, 8, 0};

	setup(&f, "");
	memcpy(f.data, &range, 16);
	assert_int_equal(request(&f, WRITE_ZEROES, 0, 16, false), OK);
	assert_int_equal(file_word(&f, 1023), 1023);
	assert_int_equal(file_word(&f, 1024), 0);
	assert_int_equal(file_word(&f, 2047), 0);
	assert_int_equal(file_word(&f, 2048), 2048);
	range.sector = 16;
	range.flags = 1;
	memcpy(f.data, &range, 16);
	assert_int_equal(request(&f, WRITE_ZEROES, 0, 16, false), OK);
	assert_int_equal(file_word(&f, 2048), 0);
	assert_int_equal(request(&f, DISCARD, 0, 16, false), UNSUPP); /* no flags for this one */
	range.flags = 0;
	memcpy(f.data, &range, 16);
	assert_int_equal(request(&f, DISCARD, 0, 16, false), OK);
	range.sectors = DISK / 512;
	memcpy(f.data, &range, 16);
	assert_int_equal(request(&f, DISCARD, 0, 16, false), IOERR);
	range.sector = UINT64_MAX;
	memcpy(f.data, &range, 16);
	assert_int_equal(request(&f, WRITE_ZEROES, 0, 16, false), IOERR);
	assert_int_equal(request(&f, DISCARD, 0, 32, false), IOERR);
	assert_int_equal(request(&f, DISCARD, 0, 15, false), IOERR);
	teardown(&f);
}

static void test_out_of_range(void **state)
{
	struct fixture f;

	setup(&f, "");
	assert_int_equal(request(&f, IN, DISK / 512, 512, true), IOERR);
	assert_int_equal(request(&f, IN, DISK / 512 - 1, 1024, true), IOERR);
	assert_int_equal(request(&f, OUT, UINT64_MAX, 512, false), IOERR);
	assert_int_equal(request(&f, OUT, UINT64_MAX / 512, 512, false), IOERR);
	assert_int_equal(request(&f, IN, 0, 511, true), IOERR);
	assert_int_equal(request(&f, OUT, 0, 513, false), IOERR);
	assert_int_equal(request(&f, 99, 0, 512, false), UNSUPP);
	assert_int_equal(request(&f, IN, 0, 0, true), OK);
	teardown(&f);
}

static void test_read_only(void **state)
{
	struct fixture f;

	setup(&f, ",ro");
	rig_write(&f.rig, VIRTIO_COMMON_DEVICE_FEATURE_SELECT, 4, 0);
	assert_true(rig_read(&f.rig, VIRTIO_COMMON_DEVICE_FEATURE, 4) & 1 << 5);
	assert_int_equal(request(&f, IN, 0, 512, true), OK);
	assert_int_equal(request(&f, OUT, 0, 512, false), IOERR);
	assert_int_equal(request(&f, DISCARD, 0, 16, false), UNSUPP);
	assert_int_equal(request(&f, FLUSH, 0, 0, false), OK);
	teardown(&f);
}

/* A driver that knows no flush gets stable writes. */
static void test_write_through(void **state)
{
	struct fixture f;

	setup(&f, "");
	rig_start(&f.rig, 0, &f.ring, 1);
	memset(f.data, 1, 512);
	assert_int_equal(request(&f, OUT, 0, 512, false), OK);
	assert_int_equal(file_word(&f, 0), 0x01010101);
	teardown(&f);
}

static void test_broken_requests(void **state)
{
	struct fixture f;

	setup(&f, "");
	/* No room for a status */
	ring_offer(&f.ring, ring_desc(&f.ring, HEADER, 16, 0));
	ring_notify(&f.ring);
	assert_true(rig_status(&f.rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	/* Half a header */
	rig_start(&f.rig, ALL_FEATURES, &f.ring, 1);
	ring_offer(&f.ring, ring_desc(&f.ring, HEADER, 15, VIRTQ_DESC_NEXT));
	ring_desc(&f.ring, STATUS, 1, VIRTQ_DESC_WRITE);
	ring_notify(&f.ring);
	assert_true(rig_status(&f.rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	rig_start(&f.rig, ALL_FEATURES, &f.ring, 1);
	assert_int_equal(request(&f, IN, 0, 512, true), OK);
	teardown(&f);
}

/* The same head again and again, faster than the disk can be: no more than the queue holds. */
static void test_endless_requests(void **state)
{
	struct fixture f;

	setup(&f, "");
	submit(&f, OUT, 0, 4096, false);
	for (unsigned i = 0; i < 2000; i++) {
		for (unsigned j = 0; j < RIG_QUEUE_SIZE; j++)
			ring_offer(&f.ring, 0);
		ring_notify(&f.ring);
	}
	rig_write(&f.rig, VIRTIO_COMMON_STATUS, 1, 0);
	rig_start(&f.rig, ALL_FEATURES, &f.ring, 1);
	assert_int_equal(request(&f, IN, 0, 512, true), OK);
	teardown(&f);
}

/* One that waits for the image is under way, and who would have to wait for it is told. */
static void test_busy(void **state)
{
	struct fixture f;
	struct error err = {0};
	struct qcow2_make make = {.size = DISK, .backing_format = "raw"};
	struct disk_file file = {.format = DISK_QCOW2, .name = "top"};
	struct block_layer *layer;
	char top[] = "/tmp/test_virtio_blk.XXXXXX";

	setup(&f, "");
	assert_false(pci_bus_busy(&f.rig.pci));
	make.backing = f.path;
	file.fd = mkstemp(top);
	assert_int_equal(qcow2_create(file.fd, top, &make, &err), 0);
	assert_int_equal(block_layer_open(f.image, &file, &layer, &err), 0);
	assert_int_equal(block_layers_hold(&layer, 1, 10000000000ull, &err), 0);
	submit(&f, IN, 0, 512, true);
	assert_true(pci_bus_busy(&f.rig.pci));
	block_layers_release(&layer, 1);
	assert_true(ring_wait(&f.ring, &f.used));
	pci_bus_quiesce(&f.rig.pci, true);
	assert_false(pci_bus_busy(&f.rig.pci));
	pci_bus_quiesce(&f.rig.pci, false);
	block_layer_close(layer);
	unlink(top);
	teardown(&f);
}

/* Resets with requests under way: none of them touches memory afterwards. */
static void test_reset_under_load(void **state)
{
	struct fixture f;

	setup(&f, "");
	for (unsigned i = 0; i < 200; i++) {
		f.ring.free = 0;
		for (unsigned j = 0; j < 5; j++)
			submit(&f, IN, 0, 0x20000 - 512, true);
		rig_write(&f.rig, VIRTIO_COMMON_STATUS, 1, 0);
		memset(f.data, 0xcc, 0x20000);
		assert_int_equal(rig_status(&f.rig), 0);
		assert_int_equal(f.data[5], 0xcc);
		rig_start(&f.rig, ALL_FEATURES, &f.ring, 1);
		assert_int_equal(f.data[0x1ffff], 0xcc);
	}
	pci_bus_reset(&f.rig.pci);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_write),
		cmocka_unit_test(test_memory_is_told),
		cmocka_unit_test(test_notified_by_event),
		cmocka_unit_test(test_capacity_and_id),
		cmocka_unit_test(test_discard),
		cmocka_unit_test(test_out_of_range),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_write_through),
		cmocka_unit_test(test_broken_requests),
		cmocka_unit_test(test_endless_requests),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_reset_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
