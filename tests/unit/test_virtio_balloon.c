/* SPDX-License-Identifier: Apache-2.0 */
/* The balloon: pages go back to the host, and lies do no harm. */
#include "virtio_rig.h"

#include <stdlib.h>

#include "virtio/balloon.h"

#define PAGES (RIG_MEMORY / VIRTIO_BALLOON_PAGE)
#define ACTUAL (VIRTIO_PCI_CONFIG + 4)

struct fixture {
	struct rig rig;
	struct virtio_balloon *balloon;
	struct ring ring[3];
	unsigned changed, written;
};

static void changed(void *ctx)
{
	((struct fixture *)ctx)->changed++;
}

static void written(struct engine_vm *vm, uint64_t gpa, uint64_t size)
{
	((struct fixture *)vm)->written += size / VIRTIO_BALLOON_PAGE;
}

static const struct engine counter = {.vm_written = written};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct error err = {""};

	rig_open(&f->rig);
	assert_int_equal(virtio_balloon_create(&f->rig.pci, &f->rig.mem, 16, changed, f,
				 &f->balloon, &err),
		0);
	rig_start(&f->rig, ~0ull, f->ring, 3);
	f->rig.mem.engine = &counter;
	f->rig.mem.vm = (struct engine_vm *)f;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	virtio_balloon_destroy(f->balloon);
	rig_close(&f->rig);
	free(f);
	return 0;
}

/* Sends this list of pages; true if it came back. */
static bool inflate(struct fixture *f, const uint32_t *pfn, unsigned count, uint16_t flags)
{
	struct virtq_used_elem elem;

	memcpy(memory_ptr(&f->rig.mem, RIG_DATA, count * 4), pfn, count * 4);
	ring_offer(&f->ring[0], ring_desc(&f->ring[0], RIG_DATA, count * 4, flags));
	ring_notify(&f->ring[0]);
	return f->ring[0].used->idx != f->ring[0].seen && ring_wait(&f->ring[0], &elem);
}

static void gives_pages_back(void **state)
{
	struct fixture *f = *state;
	/* In no order, one twice, two that are no memory. */
	static const uint32_t pfn[] = {0x202, 0x200, 0x205, 0x201, 0x200, 0x400, 0xffffffff};
	uint8_t *at = memory_ptr(&f->rig.mem, 0x200000, 0x10000);

	memset(at, 0xaa, 0x10000);
	assert_true(inflate(f, pfn, sizeof pfn / sizeof *pfn, 0));
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(at[i * 4096], i < 3 || i == 5 ? 0 : 0xaa);
	assert_int_equal(f->written, 4);
	assert_int_equal(f->rig.msi[1], 1);
	assert_false(rig_status(&f->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void refuses_lists_to_write(void **state)
{
	struct fixture *f = *state;
	static const uint32_t pfn[] = {0x200};

	assert_false(inflate(f, pfn, 1, VIRTQ_DESC_WRITE));
	assert_true(rig_status(&f->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(f->written, 0);
}

static void comes_to_its_target(void **state)
{
	struct fixture *f = *state;
	struct virtio_balloon_info info;

	assert_int_equal(rig_read(&f->rig, VIRTIO_PCI_CONFIG, 4), 16);
	rig_write(&f->rig, ACTUAL, 4, 8);
	assert_int_equal(f->changed, 0);
	rig_write(&f->rig, ACTUAL, 4, 16);
	assert_int_equal(f->changed, 1);
	virtio_balloon_set(f->balloon, 32);
	assert_int_equal(f->rig.msi[0], 1);
	assert_int_equal(rig_read(&f->rig, VIRTIO_PCI_CONFIG, 4), 32);
	rig_write(&f->rig, ACTUAL, 4, 0xffffffff);
	virtio_balloon_info(f->balloon, &info);
	assert_true(info.driver);
	assert_int_equal(info.pages, PAGES);
	assert_int_equal(info.target, 32);
	virtio_balloon_set(f->balloon, UINT64_MAX);
	assert_int_equal(rig_read(&f->rig, VIRTIO_PCI_CONFIG, 4), PAGES);
	/* The target is not the guest's to write, nor is half of its own number. */
	rig_write(&f->rig, VIRTIO_PCI_CONFIG, 4, 1);
	rig_write(&f->rig, ACTUAL, 2, 1);
	virtio_balloon_info(f->balloon, &info);
	assert_true(info.pages == PAGES && info.target == PAGES);
	rig_write(&f->rig, VIRTIO_COMMON_STATUS, 1, 0);
	virtio_balloon_info(f->balloon, &info);
	assert_false(info.driver);
	assert_int_equal(info.pages, 0);
}

static void tell(struct fixture *f, uint16_t tag, uint64_t value, unsigned times)
{
	uint8_t *at = memory_ptr(&f->rig.mem, RIG_DATA, 4096);

	for (unsigned i = 0; i < times; i++, at += 10) {
		memcpy(at, &tag, 2);
		memcpy(at + 2, &value, 8);
	}
	ring_offer(&f->ring[2], ring_desc(&f->ring[2], RIG_DATA, times * 10, 0));
	ring_notify(&f->ring[2]);
}

static void takes_statistics(void **state)
{
	struct fixture *f = *state;
	struct virtio_balloon_info info;

	virtio_balloon_info(f->balloon, &info);
	assert_int_equal(info.known, 0);
	tell(f, BALLOON_FREE, 12345, 1);
	assert_int_equal(f->ring[2].used->idx, 0);
	virtio_balloon_info(f->balloon, &info);
	assert_int_equal(info.known, 1 << BALLOON_FREE);
	assert_int_equal(info.stat[BALLOON_FREE], 12345);
	assert_int_equal(f->ring[2].used->idx, 1); /* asked for the next */
	tell(f, 0xffff, 1, 300);
	virtio_balloon_info(f->balloon, &info);
	assert_int_equal(info.known, 1 << BALLOON_FREE);
	tell(f, BALLOON_FREE, 1, 1);
	tell(f, BALLOON_FREE, 2, 1);
	assert_true(rig_status(&f->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(gives_pages_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_lists_to_write, set_up, tear_down),
		cmocka_unit_test_setup_teardown(comes_to_its_target, set_up, tear_down),
		cmocka_unit_test_setup_teardown(takes_statistics, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
