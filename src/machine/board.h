/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The board: buses, registries, and the devices that sit on them.
 *
 * A device on the board is two files and a row in board.c's table: its .c file
 * ends with a const struct board_device, its .h file declares that and what
 * others call. It finds on the board all that it needs; what it does to the
 * world around (interrupts, power) goes through the board's owner.
 *
 * Threads: all functions here run on the owner's one thread while no vCPU runs,
 * board_find() on any. Devices lock for themselves (bus.h).
 */
#ifndef DACH_MACHINE_BOARD_H
#define DACH_MACHINE_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "machine/bus.h"
#include "machine/hypercall.h"
#include "machine/msr.h"

struct board;
struct loop;
struct memory;
struct state;

/*
 * What a device on the board is. device is its own memory, zeroed before init. The functions that
 * may be NULL say so.
 */
struct board_device {
	const char *name; /* for messages: "interval timer" */
	size_t size;      /* of its memory */
	/* Whether this board is to have it. NULL: each has. */
	bool (*wanted)(const struct board *board);
	/*
	 * Takes its places on the buses. 0 or a negative errno, with a sentence if the name and "its
	 * addresses are another device's" do not say it. destroy follows even then.
	 */
	int (*init)(void *device, struct board *board, struct error *err);
	/* The machine is reset: as after init. May be NULL. */
	void (*reset)(void *device);
	/* What it asked for by board_owner.remap: it may change what is where in memory. May be NULL. */
	int (*remap)(void *device, struct error *err);
	/* The guest is about to begin: its memory is loaded, its TSC is near 0. May be NULL. */
	void (*power_on)(void *device);
	void (*destroy)(void *device); /* may be NULL */
	/*
	 * Its sections in a saved state, both ways (state/state.h). Loading, it is as after init or
	 * reset; one that fails leaves a board that can only be destroyed. May be NULL.
	 */
	void (*describe)(void *device, struct state *s);
};

/* What the board needs of who owns it: the machine, or a test. Those that a test's devices do not use may be NULL. */
struct board_owner {
	/* Drives an interrupt: 0 to 15 as the 8259s have them, 16 to 23 the I/O APIC's. Any thread. */
	void (*irq)(void *ctx, unsigned irq, bool level);
	/* A message-signalled interrupt: a write of data to addr (SDM 3A 11.11). Any thread. */
	void (*message)(void *ctx, uint64_t addr, uint32_t data);
	/*
	 * The message that a pin of the I/O APIC will send; addr 0 if it is edge-triggered, and
	 * nobody need tell of its end. Any thread.
	 */
	void (*route)(void *ctx, unsigned pin, uint64_t addr, uint32_t data);
	/* The 8259s' output went up. Any thread. */
	void (*intr)(void *ctx);
	/*
	 * From on to off, writes to gpa signal the eventfd and run no callback. A negative errno
	 * where that cannot be had: then callbacks run. NULL: it never can.
	 */
	int (*notify_fd)(void *ctx, uint64_t gpa, int fd, bool on);
	/*
	 * Soon, and before the vCPU that asks, if one does, goes on to its next instruction, board_remap() is called
	 * while no vCPU runs and no device touches memory. Any thread.
	 */
	void (*remap)(void *ctx);
	/* The guest switches itself off, asks for its reset, or tells of its panic. vCPU threads. */
	void (*poweroff)(void *ctx);
	void (*reset)(void *ctx);
	void (*panicked)(void *ctx);
	/* A byte to port 0xcf9, which lies between PCI's. */
	void (*reset_control)(void *ctx, uint8_t value);
	/* The guest has given up the devices in these PCI slots, a bit each. May be NULL. vCPU threads. */
	void (*ejected)(void *ctx, uint32_t slots);
	/* The guest leaves by the test devices. */
	void (*test_end)(void *ctx);
	/* The guest's TSC minus the host's. */
	int64_t (*tsc_offset)(void *ctx);
	/* The first serial port's output, and room for its input: see serial.h. */
	void (*serial_output)(void *ctx, const uint8_t *data, size_t len);
	void (*serial_room)(void *ctx);
	/* What the firmware says of itself, a byte at a time; NULL: nobody wants to know. vCPU threads, one after the other. */
	void (*firmware_text)(void *ctx, char byte);
};

/* What a board starts from that has firmware, and what that finds. All that is pointed to outlives the board. */
struct board_firmware {
	int fd;                     /* the ROM's file, read when the board is made */
	const char *name;           /* for messages */
	int variables;              /* the file of its variables, which it writes to (flash.h) */
	const char *variables_name; /* NULL: it keeps none */
	unsigned vcpus;
	const char *boot; /* from what, in this order: c a disk, d a CD, n the network */
};

#define BOARD_DEVICES_MAX 32

struct board {
	/* The owner's to set before board_init(); all that is pointed to outlives the board. */
	const struct board_owner *owner;
	void *ctx;
	struct loop *loop;
	struct memory *memory;
	uint32_t tsc_khz;                      /* of the guest's TSC */
	bool test_devices;                     /* those of testdev.h too */
	bool keyboard;                         /* those of i8042.h too */
	const struct board_firmware *firmware; /* NULL: it starts a kernel without any */

	struct bus io, mmio;
	struct msr_bus msrs;
	struct hypercall_bus hypercalls;
	unsigned count;
	struct board_place {
		const struct board_device *type;
		void *device;
	} place[BOARD_DEVICES_MAX];
};

/* The buses, with nothing on them. */
void board_init(struct board *board);
/* Takes the devices away, last one first, then the buses. After board_init(). */
void board_destroy(struct board *board);
/* Adds a device. It stays until board_destroy(), even if its init failed. */
int board_add(struct board *board, const struct board_device *type, struct error *err);
/* Adds all that a PC has. */
int board_populate(struct board *board, struct error *err);
/* The device of this type, or NULL. Any thread. */
void *board_find(const struct board *board, const struct board_device *type);

/* Last one first: the interrupt controllers are the first, and forget what others sent. */
void board_reset(struct board *board);
void board_power_on(struct board *board);
int board_remap(struct board *board, struct error *err);
void board_describe(struct board *board, struct state *s);

static inline void board_irq(const struct board *board, unsigned irq, bool level)
{
	board->owner->irq(board->ctx, irq, level);
}

#endif
