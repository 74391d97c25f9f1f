/* SPDX-License-Identifier: Apache-2.0 */
/* The tablet: what a driver finds in its configuration, the events that it gets, and lies. */
#include "virtio_rig.h"

#include <linux/input.h>
#include <linux/virtio_input.h>
#include <stdlib.h>

#include "virtio/tablet.h"

struct fixture {
	struct rig rig;
	struct virtio_tablet *tablet;
	struct ring ring[2];
	unsigned given;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct error err = {""};

	rig_open(&f->rig);
	assert_int_equal(virtio_tablet_create(&f->rig.pci, &f->rig.mem, &f->tablet, &err), 0);
	rig_start(&f->rig, ~0ull, f->ring, 2);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	virtio_tablet_destroy(f->tablet);
	rig_close(&f->rig);
	free(f);
	return 0;
}

static unsigned select_config(struct fixture *f, uint8_t select, uint8_t subsel)
{
	rig_write(&f->rig, VIRTIO_PCI_CONFIG, 1, select);
	rig_write(&f->rig, VIRTIO_PCI_CONFIG + 1, 1, subsel);
	return rig_read(&f->rig, VIRTIO_PCI_CONFIG + 2, 1);
}

static uint8_t u(struct fixture *f, unsigned at)
{
	return rig_read(&f->rig, VIRTIO_PCI_CONFIG + 8 + at, 1);
}

static void is_described(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(select_config(f, VIRTIO_INPUT_CFG_ID_NAME, 0), 11);
	assert_int_equal(u(f, 0), 'd');
	assert_int_equal(select_config(f, VIRTIO_INPUT_CFG_EV_BITS, EV_ABS), 1);
	assert_int_equal(u(f, 0), 3);
	assert_int_equal(u(f, 1), 0);
	assert_int_equal(select_config(f, VIRTIO_INPUT_CFG_EV_BITS, EV_KEY), BTN_MIDDLE / 8 + 1);
	assert_int_equal(u(f, BTN_LEFT / 8), 7);
	assert_int_equal(select_config(f, VIRTIO_INPUT_CFG_EV_BITS, EV_REL), 2);
	assert_int_equal(select_config(f, VIRTIO_INPUT_CFG_EV_BITS, EV_LED), 0);
	assert_int_equal(select_config(f, VIRTIO_INPUT_CFG_ABS_INFO, ABS_Y), 20);
	assert_int_equal(u(f, 4) | u(f, 5) << 8, VIRTIO_TABLET_MAX);
	assert_int_equal(select_config(f, VIRTIO_INPUT_CFG_ABS_INFO, ABS_Z), 0);
	assert_int_equal(u(f, 4), 0);
	assert_int_equal(select_config(f, 0x7f, 0xff), 0);
	rig_write(&f->rig, VIRTIO_PCI_CONFIG + 132, 4,
		UINT32_MAX); /* the rest is not the driver's */
	assert_int_equal(u(f, 124), 0);
	assert_false(rig_status(&f->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void give(struct fixture *f, unsigned count, unsigned len, uint16_t flags)
{
	while (count--)
		ring_offer(&f->ring[0],
			ring_desc(&f->ring[0], RIG_DATA + 8 * f->given++, len, flags));
}

/* The next event, or a failure. */
static void expect(struct fixture *f, uint16_t type, uint16_t code, int32_t value)
{
	const struct virtio_input_event *event;
	struct virtq_used_elem elem;

	assert_true(ring_wait(&f->ring[0], &elem));
	assert_int_equal(elem.len, sizeof *event);
	event = memory_ptr(&f->rig.mem, f->ring[0].desc[elem.id].addr, sizeof *event);
	assert_int_equal(event->type, type);
	assert_int_equal(event->code, code);
	assert_int_equal((int32_t)event->value, value);
}

static bool move(struct fixture *f, unsigned x, unsigned y, unsigned buttons, int wheel)
{
	const struct virtio_tablet_state to = {x, y, buttons, wheel};

	return virtio_tablet_move(f->tablet, &to);
}

static void moves_are_told(void **state)
{
	struct fixture *f = *state;

	give(f, 12, 8, VIRTQ_DESC_WRITE);
	assert_true(move(f, 100, 200, 0, 0));
	expect(f, EV_ABS, ABS_X, 100);
	expect(f, EV_ABS, ABS_Y, 200);
	expect(f, EV_SYN, SYN_REPORT, 0);
	assert_true(move(f, 100, 200, 5, 1));
	expect(f, EV_KEY, BTN_LEFT, 1);
	expect(f, EV_KEY, BTN_MIDDLE, 1);
	expect(f, EV_REL, REL_WHEEL, -1);
	expect(f, EV_SYN, SYN_REPORT, 0);
	assert_true(move(f, 100, 200, 5, 0)); /* nothing new */
	assert_true(move(f, UINT32_MAX, 200, 4, 0));
	expect(f, EV_ABS, ABS_X, VIRTIO_TABLET_MAX);
	expect(f, EV_KEY, BTN_LEFT, 0);
	expect(f, EV_SYN, SYN_REPORT, 0);
	assert_int_equal(f->ring[0].used->idx, f->ring[0].seen);
	/* Two buffers are too few: where it is by then is told when there are more. */
	assert_true(move(f, 1, 2, 4, 1));
	assert_true(move(f, 3, 4, 4, 1));
	assert_int_equal(f->ring[0].used->idx, f->ring[0].seen);
	give(f, 4, 8, VIRTQ_DESC_WRITE);
	ring_notify(&f->ring[0]);
	expect(f, EV_ABS, ABS_X, 3);
	expect(f, EV_ABS, ABS_Y, 4);
	expect(f, EV_REL, REL_WHEEL, -2);
	expect(f, EV_SYN, SYN_REPORT, 0);
}

static void nobody_is_told_without_a_driver(void **state)
{
	struct fixture *f = *state;

	rig_write(&f->rig, VIRTIO_COMMON_STATUS, 1, 0);
	assert_false(move(f, 1, 1, 0, 0));
}

static void lies_do_no_harm(void **state)
{
	struct fixture *f = *state;
	struct virtq_used_elem elem;

	ring_offer(&f->ring[1], ring_desc(&f->ring[1], RIG_DATA, 8, 0));
	ring_notify(&f->ring[1]);
	assert_true(ring_wait(&f->ring[1], &elem));
	give(f, 1, 8, VIRTQ_DESC_WRITE);
	give(f, 2, 7, VIRTQ_DESC_WRITE);
	assert_true(move(f, 9, 9, 0, 0));
	assert_true(rig_status(&f->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_false(move(f, 8, 8, 0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(is_described, set_up, tear_down),
		cmocka_unit_test_setup_teardown(moves_are_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nobody_is_told_without_a_driver, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lies_do_no_harm, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
