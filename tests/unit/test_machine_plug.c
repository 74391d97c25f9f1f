/* SPDX-License-Identifier: Apache-2.0 */
/* Devices come and go under a guest that uses them without a pause of its own: nothing of them is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>

#include "block_rig.h"
#include "machine/pci/bus.h"
#include "machine_rig.h"
#include "net/net.h"
#include "virtio/blk.h"
#include "virtio/net.h"
#include "virtio/pci.h"
#include "virtio/rng.h"

#define ROUNDS 60
#define DISK_SIZE (1u << 20)

static struct {
	struct block_device *image;
	struct virtio_blk *blk;
	struct virtio_rng *rng;
	struct net *net;
	struct nic *nic;
	uint64_t bar;   /* atomic: of whichever device is there */
	unsigned round; /* atomic */
	unsigned threads;
} plugged;

static unsigned count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* The kernel on the other side of an ioeventfd: some of the guest's writes. */
static void signal_fds(void)
{
	const uint64_t one = 1;

	for (unsigned i = 0; i < NOTIFY_FDS; i++) {
		int fd = __atomic_load_n(&test.notify[i].fd, __ATOMIC_SEQ_CST);

		if (fd > 0)
			(void)!write(fd, &one, sizeof one);
	}
}

/* Everything a driver may touch, wherever it last was. */
static enum engine_exit hammers(struct engine_vcpu *vcpu, struct error *err)
{
	const struct engine_callbacks *cb = vcpu->vm->config.callbacks;
	void *ctx = vcpu->vm->config.ctx;

	if (!vcpu->index && !vcpu->step++) {
		apic(vcpu, 0x310, 1u << 24);
		apic(vcpu, 0x300, 0x4500);
		apic(vcpu, 0x300, 0x4601);
	}
	while (!atomic_exchange(&vcpu->forced, false)) {
		uint64_t bar = __atomic_load_n(&plugged.bar, __ATOMIC_SEQ_CST);

		cb->mmio_write(ctx, vcpu->index, bar + VIRTIO_PCI_COMMON + VIRTIO_COMMON_STATUS, 1,
			vcpu->step++ % 16);
		cb->mmio_read(ctx, vcpu->index, bar + VIRTIO_PCI_COMMON + VIRTIO_COMMON_STATUS, 1);
		cb->mmio_write(ctx, vcpu->index, bar + VIRTIO_PCI_NOTIFY, 4, 0);
		cb->io_write(ctx, vcpu->index, 0xcf8, 4, 0x80000800);
		cb->io_write(ctx, vcpu->index, 0xcfc, 4, vcpu->step & 1 ? 7 : 5);
		cb->io_read(ctx, vcpu->index, 0xcfc, 4);
		signal_fds();
	}
	return ENGINE_EXIT_INTERRUPTED;
}

static uint32_t config_word(unsigned slot)
{
	struct bus *io = machine_io(test.machine);

	bus_write(io, 0xcf8, 4, 0x80000000u | slot << 11);
	return bus_read(io, 0xcfc, 4);
}

static void plug_in(void)
{
	struct pci_bus *pci = machine_pci(test.machine);
	struct memory *memory = machine_memory(test.machine);
	struct net_spec spec = {.kind = NET_USER};
	static const uint8_t mac[NET_MAC_LEN] = {2, 0, 0, 0, 0, 1};
	struct error err = {0};

	switch (plugged.round % 3) {
	case 0:
		assert_int_equal(virtio_blk_create(pci, memory, plugged.image, "plug", &plugged.blk,
					 &err),
			0);
		break;
	case 1:
		assert_int_equal(virtio_rng_create(pci, memory, &plugged.rng, &err), 0);
		break;
	default:
		assert_int_equal(net_open(&spec, &plugged.net, &err), 0);
		assert_int_equal(virtio_net_create(pci, memory, plugged.net, mac, NULL,
					 &plugged.nic, &err),
			0);
	}
	assert_int_equal(config_word(1) & 0xffff, VIRTIO_PCI_VENDOR);
	__atomic_store_n(&plugged.bar, pci->at[1][0]->bar[VIRTIO_PCI_BAR].mapped, __ATOMIC_SEQ_CST);
}

/* All that the device had is given back: its place, its address, its eventfds, its threads. */
static void pull_out(void)
{
	virtio_blk_destroy(plugged.blk);
	virtio_rng_destroy(plugged.rng);
	nic_destroy(plugged.nic);
	net_close(plugged.net);
	plugged.blk = NULL;
	plugged.rng = NULL;
	plugged.nic = NULL;
	plugged.net = NULL;
	assert_int_equal(config_word(1), UINT32_MAX);
	assert_int_equal(bus_read(machine_mmio(test.machine), plugged.bar, 4), UINT32_MAX);
	for (unsigned i = 0; i < NOTIFY_FDS; i++)
		assert_int_equal(test.notify[i].fd, 0);
	assert_int_equal(count_threads(), plugged.threads);
}

static void change(void *ctx)
{
	machine_pause(test.machine);
	if (plugged.round)
		pull_out();
	else
		plugged.threads = count_threads();
	if (plugged.round++ == ROUNDS) {
		machine_stop(test.machine);
		return;
	}
	plug_in();
	machine_resume(test.machine);
	loop_timer_arm(&test.timer, clock_now() + 3000000);
}

static void come_and_go(void **state)
{
	struct error err = {0};
	char path[32];
	int disk = memfd_create("disk", 0);

	assert_int_equal(ftruncate(disk, DISK_SIZE), 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", disk);
	assert_int_equal(rig_block_open(path, &plugged.image, &err), 0);
	close(disk);
	assert_int_equal(run(hammers, hammers, change, &err), MACHINE_STOPPED);
	assert_int_equal(plugged.round, ROUNDS + 1);
	assert_true(test.notified > ROUNDS / 3);
	block_close(plugged.image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
