/* SPDX-License-Identifier: Apache-2.0 */
/* The PCI transport, on the simplest of devices: entropy, and the console for two queues. */
#include "virtio_rig.h"

#include "virtio/console.h"
#include "virtio/rng.h"

struct fixture {
	struct rig rig;
	struct virtio_rng *rng;
};

static void setup(struct fixture *f)
{
	struct error err = {0};

	rig_open(&f->rig);
	assert_int_equal(virtio_rng_create(&f->rig.pci, &f->rig.mem, &f->rng, &err), 0);
	rig_find_bar(&f->rig);
}

static void teardown(struct fixture *f)
{
	virtio_rng_destroy(f->rng);
	rig_close(&f->rig);
}

static void test_identity(void **state)
{
	struct fixture f;
	static const struct {
		int type;
		uint32_t offset, length;
	} caps[] = {
		{1, VIRTIO_PCI_COMMON, VIRTIO_COMMON_SIZE},
		{2, VIRTIO_PCI_NOTIFY, 4},
		{3, VIRTIO_PCI_ISR, 1},
	};

	setup(&f);
	assert_int_equal(rig_config_read(&f.rig, 0, 4), 0x10441af4);
	assert_true(rig_config_read(&f.rig, 8, 1) >= 1);
	for (unsigned i = 0; i < 3; i++) {
		unsigned cap = rig_cap(&f.rig, PCI_CAP_VENDOR, caps[i].type);

		assert_int_not_equal(cap, 0);
		assert_true(rig_config_read(&f.rig, cap + 2, 1) >= 16);
		assert_int_equal(rig_config_read(&f.rig, cap + 4, 1), VIRTIO_PCI_BAR);
		assert_int_equal(rig_config_read(&f.rig, cap + 8, 4), caps[i].offset);
		assert_int_equal(rig_config_read(&f.rig, cap + 12, 4), caps[i].length);
	}
	assert_int_not_equal(rig_cap(&f.rig, PCI_CAP_VENDOR, 5), 0);
	assert_int_not_equal(rig_cap(&f.rig, PCI_CAP_MSIX, -1), 0);
	teardown(&f);
}

static void test_negotiation(void **state)
{
	struct fixture f;
	struct rig *rig = &f.rig;

	setup(&f);
	assert_int_equal(rig_status(rig), 0);
	assert_int_equal(rig_read(rig, VIRTIO_COMMON_NUM_QUEUES, 2), 1);
	/* Without VERSION_1 */
	rig_write(rig, VIRTIO_COMMON_STATUS, 1,
		VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	rig_write(rig, VIRTIO_COMMON_STATUS, 1, 11);
	assert_int_equal(rig_status(rig), 3);
	/* With a feature that was not offered */
	rig_write(rig, VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 1);
	rig_write(rig, VIRTIO_COMMON_DRIVER_FEATURE, 4, 3);
	rig_write(rig, VIRTIO_COMMON_STATUS, 1, 11);
	assert_int_equal(rig_status(rig), 3);
	/* DRIVER_OK needs FEATURES_OK */
	rig_write(rig, VIRTIO_COMMON_STATUS, 1, 7);
	assert_int_equal(rig_status(rig), 3);
	rig_write(rig, VIRTIO_COMMON_DRIVER_FEATURE, 4, 1);
	rig_write(rig, VIRTIO_COMMON_STATUS, 1, 11);
	assert_int_equal(rig_status(rig), 11);
	/* Bits that there are not: a guest that had them could be saved, but not loaded */
	rig_write(rig, VIRTIO_COMMON_STATUS, 1, 0x3b);
	assert_int_equal(rig_status(rig), 11);
	/* Too late */
	rig_write(rig, VIRTIO_COMMON_DRIVER_FEATURE, 4, 0);
	assert_int_equal(rig_read(rig, VIRTIO_COMMON_DRIVER_FEATURE, 4), 1);
	/* Selections beyond */
	rig_write(rig, VIRTIO_COMMON_DEVICE_FEATURE_SELECT, 4, 2);
	assert_int_equal(rig_read(rig, VIRTIO_COMMON_DEVICE_FEATURE, 4), 0);
	rig_write(rig, VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 0xffffffff);
	rig_write(rig, VIRTIO_COMMON_DRIVER_FEATURE, 4, 0xffffffff);
	assert_int_equal(rig_read(rig, VIRTIO_COMMON_DRIVER_FEATURE, 4), 0);
	rig_write(rig, VIRTIO_COMMON_QUEUE_SELECT, 2, 1);
	assert_int_equal(rig_read(rig, VIRTIO_COMMON_QUEUE_SIZE, 2), 0);
	rig_write(rig, VIRTIO_COMMON_QUEUE_SELECT, 2, 0xffff);
	rig_write(rig, VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
	rig_write(rig, VIRTIO_COMMON_QUEUE_DESC, 8, UINT64_MAX);
	assert_int_equal(rig_read(rig, VIRTIO_COMMON_QUEUE_DESC, 8), 0);
	/* A vector that is not there */
	rig_write(rig, VIRTIO_COMMON_CONFIG_VECTOR, 2, 2);
	assert_int_equal(rig_read(rig, VIRTIO_COMMON_CONFIG_VECTOR, 2), 0xffff);
	rig_write(rig, VIRTIO_COMMON_CONFIG_VECTOR, 2, 1);
	assert_int_equal(rig_read(rig, VIRTIO_COMMON_CONFIG_VECTOR, 2), 1);
	rig_write(rig, VIRTIO_COMMON_STATUS, 1, 0);
	assert_int_equal(rig_status(rig), 0);
	assert_int_equal(rig_read(rig, VIRTIO_COMMON_CONFIG_VECTOR, 2), 0xffff);
	teardown(&f);
}

static void random_request(struct ring *ring, uint32_t len)
{
	ring_offer(ring, ring_desc(ring, RIG_DATA, len, VIRTQ_DESC_WRITE));
	ring_notify(ring);
}

static void test_random_bytes(void **state)
{
	struct fixture f;
	struct ring ring;
	struct virtq_used_elem used;
	uint8_t *data, zeroes[64] = {0};

	setup(&f);
	rig_start(&f.rig,
		VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) |
			VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC),
		&ring, 1);
	data = memory_ptr(&f.rig.mem, RIG_DATA, 4096);
	random_request(&ring, 64);
	assert_true(ring_wait(&ring, &used));
	assert_int_equal(used.len, 64);
	assert_memory_not_equal(data, zeroes, 64);
	assert_int_equal(f.rig.msi[1], 1);
	/* used_event is still 0: no interrupt for the second. */
	random_request(&ring, 4096);
	assert_true(ring_wait(&ring, &used));
	assert_in_range(used.len, 1, 4096);
	assert_int_equal(f.rig.msi[1], 1);
	teardown(&f);
}

static void test_intx(void **state)
{
	struct fixture f;
	struct ring ring;

	setup(&f);
	rig_negotiate(&f.rig, 0);
	rig_queue(&f.rig, 0, &ring);
	rig_write(&f.rig, VIRTIO_COMMON_STATUS, 1, 15);
	random_request(&ring, 8);
	assert_true(f.rig.intx);
	assert_int_equal(rig_read(&f.rig, VIRTIO_PCI_ISR, 1), 1);
	assert_false(f.rig.intx);
	assert_int_equal(rig_read(&f.rig, VIRTIO_PCI_ISR, 1), 0);
	random_request(&ring, 8);
	assert_true(f.rig.intx);
	rig_write(&f.rig, VIRTIO_COMMON_STATUS, 1, 0);
	assert_false(f.rig.intx);
	teardown(&f);
}

/* A bad ring asks for a reset, tells so, and a reset makes all good again. */
static void test_needs_reset(void **state)
{
	struct fixture f;
	struct ring ring;
	struct virtq_used_elem used;

	setup(&f);
	rig_start(&f.rig, VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX), &ring, 1);
	ring_offer(&ring, 100);
	ring_notify(&ring);
	assert_int_equal(rig_status(&f.rig), 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(f.rig.msi[0], 1);
	random_request(&ring, 8); /* is not looked at */
	assert_int_equal(ring.used->idx, 0);
	rig_start(&f.rig, 0, &ring, 1);
	random_request(&ring, 8);
	assert_true(ring_wait(&ring, &used));

	/* A queue where no memory is */
	rig_negotiate(&f.rig, 0);
	rig_write(&f.rig, VIRTIO_COMMON_QUEUE_DESC, 4, 0xfffffff0);
	rig_write(&f.rig, VIRTIO_COMMON_QUEUE_DESC + 4, 4, 0xffffffff);
	rig_write(&f.rig, VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
	assert_true(rig_status(&f.rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	/* DRIVER_OK does not help */
	rig_write(&f.rig, VIRTIO_COMMON_STATUS, 1, 15);
	ring_notify(&ring);
	assert_int_equal(rig_read(&f.rig, VIRTIO_COMMON_QUEUE_ENABLE, 2), 0);
	teardown(&f);
}

static void test_enabled_queue_is_fixed(void **state)
{
	struct fixture f;
	struct ring ring;

	setup(&f);
	rig_negotiate(&f.rig, 0);
	rig_queue(&f.rig, 0, &ring);
	rig_write(&f.rig, VIRTIO_COMMON_QUEUE_DESC, 4, 0x5000);
	rig_write(&f.rig, VIRTIO_COMMON_QUEUE_SIZE, 2, 4);
	rig_write(&f.rig, VIRTIO_COMMON_QUEUE_ENABLE, 2, 0);
	assert_int_equal(rig_read(&f.rig, VIRTIO_COMMON_QUEUE_DESC, 8), RIG_RINGS);
	assert_int_equal(rig_read(&f.rig, VIRTIO_COMMON_QUEUE_SIZE, 2), RIG_QUEUE_SIZE);
	assert_int_equal(rig_read(&f.rig, VIRTIO_COMMON_QUEUE_ENABLE, 2), 1);
	teardown(&f);
}

static void test_window(void **state)
{
	struct fixture f;
	unsigned cap;

	setup(&f);
	cap = rig_cap(&f.rig, PCI_CAP_VENDOR, 5);
	rig_config_write(&f.rig, cap + 4, 1, VIRTIO_PCI_BAR);
	rig_config_write(&f.rig, cap + 8, 4, VIRTIO_COMMON_STATUS);
	rig_config_write(&f.rig, cap + 12, 4, 1);
	rig_config_write(&f.rig, cap + 16, 1, 3);
	assert_int_equal(rig_status(&f.rig), 3);
	assert_int_equal(rig_config_read(&f.rig, cap + 16, 1), 3);
	rig_config_write(&f.rig, cap + 8, 4, VIRTIO_COMMON_NUM_QUEUES);
	rig_config_write(&f.rig, cap + 12, 4, 2);
	assert_int_equal(rig_config_read(&f.rig, cap + 16, 2), 1);
	/* Places and widths that are not */
	for (unsigned i = 0; i < 70; i++) {
		rig_config_write(&f.rig, cap + 12, 4, i);
		rig_config_write(&f.rig, cap + 8, 4, VIRTIO_PCI_BAR_SIZE - 4 + i % 8);
		rig_config_write(&f.rig, cap + 16, 4, 0xffffffff);
		rig_config_read(&f.rig, cap + 16, 4);
		rig_config_write(&f.rig, cap + 8, 4, 0xffffffff - i);
		rig_config_read(&f.rig, cap + 16, 4);
	}
	rig_config_write(&f.rig, cap + 4, 1, 0);
	rig_config_write(&f.rig, cap + 8, 4, VIRTIO_COMMON_STATUS);
	rig_config_write(&f.rig, cap + 12, 4, 1);
	rig_config_write(&f.rig, cap + 16, 1, 0);
	assert_int_equal(rig_status(&f.rig), 3);
	teardown(&f);
}

static void test_odd_accesses(void **state)
{
	struct fixture f;

	setup(&f);
	for (unsigned size = 1; size <= 8; size *= 2) {
		for (unsigned offset = 0; offset < VIRTIO_PCI_BAR_SIZE; offset += 3) {
			rig_read(&f.rig, offset, size);
			rig_write(&f.rig, offset, size, 0x0101010101010101ull * offset);
		}
	}
	rig_write(&f.rig, VIRTIO_COMMON_STATUS, 1, 0);
	assert_int_equal(rig_status(&f.rig), 0);
	pci_bus_reset(&f.rig.pci);
	assert_int_equal(rig_status(&f.rig), 0);
	teardown(&f);
}

/* The console */

struct text {
	char data[64];
	size_t len;
	unsigned rooms;
};

static void take_output(void *ctx, const uint8_t *data, size_t len)
{
	struct text *text = ctx;

	assert_true(text->len + len <= sizeof(text->data));
	memcpy(text->data + text->len, data, len);
	text->len += len;
}

static void take_room(void *ctx)
{
	((struct text *)ctx)->rooms++;
}

static void test_console(void **state)
{
	struct text text = {0};
	const struct virtio_console_owner backend = {.ctx = &text,
		.output = take_output,
		.room = take_room};
	struct virtio_console *console;
	struct virtq_used_elem used;
	struct error err = {0};
	struct ring ring[2];
	struct rig rig;
	char *data;

	rig_open(&rig);
	assert_int_equal(virtio_console_create(&rig.pci, &rig.mem, &backend, &console, &err), 0);
	assert_int_equal(virtio_console_input(console, (const uint8_t *)"x", 1), 0);
	rig_find_bar(&rig);
	rig_start(&rig, VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX), ring, 2);
	data = memory_ptr(&rig.mem, RIG_DATA, 4096);
	memcpy(data, "hello, world", 12);
	ring_offer(&ring[1], ring_desc(&ring[1], RIG_DATA, 7, VIRTQ_DESC_NEXT));
	ring_desc(&ring[1], RIG_DATA + 7, 5, 0);
	ring_notify(&ring[1]);
	assert_true(ring_wait(&ring[1], &used));
	assert_memory_equal(text.data, "hello, world", 12);
	assert_int_equal(text.len, 12);

	assert_int_equal(virtio_console_input(console, (const uint8_t *)"abc", 3), 0);
	ring_offer(&ring[0], ring_desc(&ring[0], RIG_DATA + 100, 2, VIRTQ_DESC_WRITE));
	ring_notify(&ring[0]);
	assert_int_equal(text.rooms, 1);
	assert_int_equal(virtio_console_input(console, (const uint8_t *)"abc", 3), 2);
	assert_true(ring_wait(&ring[0], &used));
	assert_int_equal(used.len, 2);
	assert_memory_equal(data + 100, "ab", 2);
	virtio_console_destroy(console);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_negotiation),
		cmocka_unit_test(test_random_bytes),
		cmocka_unit_test(test_intx),
		cmocka_unit_test(test_needs_reset),
		cmocka_unit_test(test_enabled_queue_is_fixed),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_odd_accesses),
		cmocka_unit_test(test_console),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
