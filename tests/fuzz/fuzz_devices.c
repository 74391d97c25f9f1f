/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's driver that does what the fuzzer's bytes say, to all devices of a whole machine at once: ports,
 * device memory, configuration space, rings that are mostly right, and what is in memory changed meanwhile.
 * The disk is a small file, the network sends back what it gets. What such a guest leaves can be saved and
 * loaded again.
 */
#include <poll.h>

#include "net/driver.h"
#include "machine/internal.h"
#include "state_rig.h"
#include "ata/ahci.h"
#include "nic/e1000.h"
#include "virtio/balloon.h"
#include "virtio/net.h"
#include "virtio/pci.h"

#define DISK (64u << 10)
#define SLOTS 32u
#define QUEUES 3u
#define QUEUE_SIZE 16u
#define RINGS 0x10000u /* of guest memory; each queue has one page for its three parts */
#define BUFFERS 0x80000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* a network that sends back */

struct echo {
	struct net net;
	size_t len[8];
	uint8_t frame[8][2048];
	unsigned first, count;
};

static void echo_send(struct net *net, const uint8_t *frame, size_t len)
{
	struct echo *echo = (struct echo *)net;
	unsigned at = (echo->first + echo->count) % 8;

	if (echo->count == 8)
		return;
	/* Longer than it came, so that one frame takes several of the guest's buffers. */
	echo->len[at] = len < 2048 / 3 ? 3 * len : len < 2048 ? len : 2048;
	for (size_t i = 0; i < echo->len[at]; i++)
		echo->frame[at][i] = frame[i % len];
	echo->count++;
}

static void echo_run(struct net *net)
{
	struct echo *echo = (struct echo *)net;
	struct pollfd wait = {.fd = net->event, .events = POLLIN};

	while (!net_stopping(net)) {
		if (poll(&wait, 1, 10) > 0)
			net_take_kick(net);
		net->client.transmit(net->client.ctx);
		while (echo->count &&
			net->client.receive(net->client.ctx, echo->frame[echo->first],
				echo->len[echo->first])) {
			echo->first = (echo->first + 1) % 8;
			echo->count--;
		}
		net->client.flush(net->client.ctx);
	}
}

static void echo_close(struct net *net)
{
}

static const struct net_driver echo_driver = {.run = echo_run,
	.send = echo_send,
	.cut = echo_close,
	.close = echo_close};

/* the machine */

static struct rig rig;
static struct echo *echo, *old_echo;
static struct nic *nic, *old_nic;
static struct ahci *ahci;
static struct virtio_balloon *balloon;
static struct {
	unsigned slot;
	uint32_t bar[6];
} device[8];
static unsigned devices;

/* Those without virtio: their registers, and the one that resets them. */
static struct {
	unsigned slot, bar;
	uint32_t size, at, reset, value;
} old[] = {{.bar = 5, .size = 0x400, .reset = 0x04, .value = 1},
	{.bar = 0, .size = 0x6000, .reset = 0x00, .value = 1u << 26}};
#define OLD (sizeof old / sizeof *old)

static void nothing(void *ctx)
{
}

static uint32_t config_read(unsigned slot, unsigned reg)
{
	bus_write(machine_io(rig.machine), 0xcf8, 4, 1u << 31 | slot << 11 | reg);
	return bus_read(machine_io(rig.machine), 0xcfc, 4);
}

static void config_write(unsigned slot, unsigned reg, uint32_t value)
{
	bus_write(machine_io(rig.machine), 0xcf8, 4, 1u << 31 | slot << 11 | reg);
	bus_write(machine_io(rig.machine), 0xcfc, 4, value);
}

static void set_up(void)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};

	echo = calloc(1, sizeof *echo);
	old_echo = calloc(1, sizeof *old_echo);
	if (!rig_open(&rig, DISK) || net_begin(&echo->net, &echo_driver, NULL) ||
		net_begin(&old_echo->net, &echo_driver, NULL) ||
		virtio_net_create(machine_pci(rig.machine), machine_memory(rig.machine), &echo->net,
			mac, NULL, &nic, NULL) ||
		virtio_balloon_create(machine_pci(rig.machine), machine_memory(rig.machine), 16,
			nothing, NULL, &balloon, NULL) ||
		ahci_create(machine_pci(rig.machine), machine_memory(rig.machine),
			(struct ata_drive_config[AHCI_PORTS]){{rig.image, false, "disk"},
				{rig.image, true, "cd"}, {NULL, true, "empty"}},
			&ahci, NULL) ||
		e1000_create(machine_pci(rig.machine), machine_memory(rig.machine), &old_echo->net,
			mac, NULL, &old_nic, NULL))
		abort();
	old[0].slot = ahci_slot(ahci);
	old[1].slot = nic_slot(old_nic);
	for (unsigned n = 0; n < OLD; n++)
		old[n].at = config_read(old[n].slot, 0x10 + 4 * old[n].bar) & ~15u;
	for (unsigned slot = 0; slot < SLOTS && devices < 8; slot++) {
		if ((config_read(slot, 0) & 0xffff) != 0x1af4)
			continue;
		device[devices].slot = slot;
		for (unsigned i = 0; i < 6; i++)
			device[devices].bar[i] = config_read(slot, 0x10 + 4 * i);
		devices++;
	}
	if (devices != 5)
		abort();
}

static uint64_t bar(unsigned n)
{
	return device[n].bar[VIRTIO_PCI_BAR] & ~15u;
}

static void put(unsigned n, unsigned field, unsigned size, uint64_t value)
{
	bus_write(machine_mmio(rig.machine), bar(n) + field, size, value);
}

static void put_old(unsigned n, uint32_t at, uint32_t value)
{
	bus_write(machine_mmio(rig.machine), old[n].at + at % old[n].size, 4, value);
}

/* Lists, tables and rings lie where virtio's rings do, so that what is written there is theirs, too. */
static void begin_ahci(void)
{
	for (uint32_t port = 0; port < 3; port++) {
		put_old(0, 0x100 + port * 0x80, RINGS);
		put_old(0, 0x108 + port * 0x80, RINGS + 0x8000);
		put_old(0, 0x114 + port * 0x80, UINT32_MAX);
		put_old(0, 0x118 + port * 0x80, 0x11);
	}
	put_old(0, 4, 2);
}

static void begin_e1000(void)
{
	static const uint32_t registers[][2] = {{0x3800, RINGS}, {0x3808, 256}, {0x400, 2},
		{0x2800, RINGS + 0x1000}, {0x2808, 256}, {0x2818, 15}, {0x100, 0x801a},
		{0xd0, 0xff}};

	for (unsigned i = 0; i < sizeof registers / sizeof *registers; i++)
		put_old(1, registers[i][0], registers[i][1]);
}

/* As after a reset, but in a moment. */
static void begin(void)
{
	for (unsigned n = 0; n < devices; n++) {
		for (unsigned i = 0; i < 6; i++)
			config_write(device[n].slot, 0x10 + 4 * i, device[n].bar[i]);
		config_write(device[n].slot, 4, 6);
		put(n, VIRTIO_COMMON_STATUS, 1, 0);
	}
	for (unsigned n = 0; n < OLD; n++) {
		config_write(old[n].slot, 0x10 + 4 * old[n].bar, old[n].at);
		config_write(old[n].slot, 4, 6);
		put_old(n, old[n].reset, old[n].value);
	}
	memory_zero(machine_memory(rig.machine), 0, RIG_MIB);
	begin_ahci();
	begin_e1000();
}

/* A machine that is being reset, or has ended, does nothing more: the next one then. */
static void clean_up(void)
{
	if (machine_freeze(rig.machine)) {
		machine_thaw(rig.machine);
		return;
	}
	virtio_balloon_destroy(balloon);
	nic_destroy(nic);
	nic_destroy(old_nic);
	ahci_destroy(ahci);
	net_close(&echo->net);
	net_close(&old_echo->net);
	free(echo);
	free(old_echo);
	rig_close(&rig);
	devices = 0;
}

/* what the bytes say */

struct step {
	uint8_t what, device, queue, flags;
	uint16_t a, b;
	uint32_t c, d;
};

static uint64_t ring(unsigned n, unsigned queue)
{
	return RINGS + (n * QUEUES + queue) * 0x1000ull;
}

static void start(unsigned n, const struct step *step)
{
	put(n, VIRTIO_COMMON_STATUS, 1, 0);
	put(n, VIRTIO_COMMON_STATUS, 1, 3);
	for (unsigned half = 0; half < 2; half++) {
		uint32_t offered;

		put(n, VIRTIO_COMMON_DEVICE_FEATURE_SELECT, 4, half);
		offered = bus_read(machine_mmio(rig.machine), bar(n) + VIRTIO_COMMON_DEVICE_FEATURE,
			4);
		put(n, VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, half);
		put(n, VIRTIO_COMMON_DRIVER_FEATURE, 4, offered & (half ? 1 | step->d : ~step->c));
	}
	put(n, VIRTIO_COMMON_STATUS, 1, 11);
	for (unsigned queue = 0; queue < QUEUES; queue++) {
		put(n, VIRTIO_COMMON_QUEUE_SELECT, 2, queue);
		put(n, VIRTIO_COMMON_QUEUE_SIZE, 2, step->flags & 1 ? step->a : QUEUE_SIZE);
		put(n, VIRTIO_COMMON_QUEUE_DESC, 8,
			ring(n, queue) + (step->flags & 2 ? step->b : 0));
		put(n, VIRTIO_COMMON_QUEUE_DRIVER, 8, ring(n, queue) + 0x400);
		put(n, VIRTIO_COMMON_QUEUE_DEVICE, 8, ring(n, queue) + 0x800);
		put(n, VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
	}
	put(n, VIRTIO_COMMON_STATUS, 1, 15);
}

/* A chain of up to four buffers: what is read, then what is written. */
static void chain(unsigned n, const struct step *step)
{
	struct memory *memory = machine_memory(rig.machine);
	uint64_t at = ring(n, step->queue % QUEUES);
	unsigned count = 1 + step->a % 4, read = step->a / 4 % 5, first = step->b % QUEUE_SIZE;
	uint16_t idx = 0;

	for (unsigned i = 0; i < count; i++) {
		struct virtq_desc desc = {BUFFERS + (step->c >> 4 * i & 0xffff),
			step->flags & 1 && i == count - 1 ? step->d
							  : (step->d >> 8 * i & 0xff) * 16,
			(i < count - 1 ? VIRTQ_DESC_NEXT : 0) | (i < read ? 0 : VIRTQ_DESC_WRITE),
			(first + i + 1) % QUEUE_SIZE};

		if (step->flags & 2 && i == 1)
			desc.flags ^= VIRTQ_DESC_INDIRECT;
		memory_write(memory, at + 16 * ((first + i) % QUEUE_SIZE), &desc, sizeof desc);
	}
	if (!(step->flags & 4)) { /* a request of the disk's, at its start */
		uint32_t header[4] = {step->d >> 24 & 15, 0, step->c >> 24, 0};

		memory_write(memory, BUFFERS + (step->c & 0xffff), header, sizeof header);
	}
	memory_read(memory, at + 0x402, &idx, sizeof idx);
	memory_write(memory, at + 0x404 + 2 * (idx % QUEUE_SIZE), &(uint16_t){first}, 2);
	idx += step->flags & 8 ? step->a : 1;
	memory_write(memory, at + 0x402, &idx, sizeof idx);
	if (!(step->flags & 16))
		put(n, VIRTIO_PCI_NOTIFY + VIRTIO_PCI_NOTIFY_STEP * (step->queue % QUEUES), 2,
			step->queue % QUEUES);
}

static void save_and_load(void)
{
	struct bytes bytes = {0};
	struct error err = {""};

	if (rig_save(&rig, &bytes, &err) || rig_load(&rig, &bytes, &err)) {
		fprintf(stderr, "a guest that cannot be saved and loaded: %s\n", err.text);
		abort();
	}
	free(bytes.data);
}

/* Registers, a command of AHCI's and a descriptor of the 82540EM's, which are mostly right. */
static void old_step(const struct step *step)
{
	static const uint8_t commands[] = {0x25, 0x35, 0xec, 0xa0, 0xa1, 0x20, 0x30, 0xe7};
	struct memory *memory = machine_memory(rig.machine);
	const uint32_t header[4] = {5 | (step->a & 3) << 16, 0, RINGS + 0x4000, 0};
	const uint32_t entry[4] = {BUFFERS + step->b, 0, 0, step->c & 0xffff};
	const uint32_t sent[4] = {BUFFERS + step->b, 0, step->c, step->d};
	uint8_t fis[20] = {0x27, 0x80, commands[step->a % 8], 0, step->d & 0x7f, 0, 0,
		0x40, [12] = step->d >> 8 & 7};

	switch (step->queue % 4) {
	case 0:
		put_old(step->device % OLD, step->a * 4u, step->c);
		break;
	case 1:
		bus_read(machine_mmio(rig.machine),
			old[step->device % OLD].at + step->a * 4u % old[step->device % OLD].size,
			4);
		break;
	case 2:
		memory_write(memory, RINGS + step->flags % 8 * 32, header, sizeof header);
		memory_write(memory, RINGS + 0x4000, fis, sizeof fis);
		memory_write(memory, RINGS + 0x4080 + (step->device & 1) * 16, entry, sizeof entry);
		put_old(0, 0x138 + step->device % 3 * 0x80, 1u << step->flags % 8);
		break;
	default:
		memory_write(memory, RINGS + step->flags % 8 * 16, sent, sizeof sent);
		put_old(1, 0x3818, step->device % 16);
	}
}

static void take(const struct step *step)
{
	static const unsigned sizes[] = {1, 2, 4, 8};
	unsigned n = step->device % devices, size = sizes[step->flags % 4];
	uint64_t value = (uint64_t)step->c << 32 | step->d;

	switch (step->what % 12) {
	case 0:
	case 1:
		start(n, step);
		break;
	case 2:
	case 3:
	case 4:
		chain(n, step);
		break;
	case 5:
		put(n, step->a % VIRTIO_PCI_BAR_SIZE, size, value);
		break;
	case 6:
		bus_read(machine_mmio(rig.machine), bar(n) + step->a % VIRTIO_PCI_BAR_SIZE, size);
		break;
	case 7:
		memory_write(machine_memory(rig.machine),
			step->flags & 64 ? step->c % RIG_MIB
					 : ring(n, step->queue % QUEUES) + step->a % 0xc00,
			&step->d, 4);
		break;
	case 8:
		bus_write(machine_io(rig.machine), step->flags & 64 ? step->a : step->a % 0x400,
			size > 4 ? 4 : size, step->d);
		break;
	case 9:
		bus_read(machine_io(rig.machine), step->flags & 64 ? step->a : step->a % 0x400,
			size > 4 ? 4 : size);
		break;
	case 10:
		config_write(step->flags & 64 ? step->device % SLOTS : device[n].slot,
			step->a & 0xfc, step->d);
		break;
	default: /* outside of the virtio devices: old ones, and the APICs and what lies around them */
		if (step->flags & 32)
			old_step(step);
		else if (step->flags & 64)
			bus_write(machine_mmio(rig.machine), 0xfec00000 + step->c % 0x300000, size,
				step->d);
		else
			bus_read(machine_mmio(rig.machine), 0xfec00000 + step->c % 0x300000, size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct step step;

	if (!devices)
		set_up();
	begin();
	for (; size >= sizeof step; data += sizeof step, size -= sizeof step) {
		memcpy(&step, data, sizeof step);
		take(&step);
	}
	clean_up();
	if (devices && size)
		save_and_load();
	return 0;
}
