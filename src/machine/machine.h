/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PC: memory, interrupt controllers, timers, PCI, serial port, ACPI, and a
 * thread for each virtual processor, over whichever engine it is given.
 *
 * Life: machine_create(), add devices to machine_pci(), machine_boot(),
 * machine_run() on the thread that is to be the event loop's,
 * machine_destroy(). Everything is called on that thread except where it says
 * "any thread".
 */
#ifndef DACH_MACHINE_MACHINE_H
#define DACH_MACHINE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/loop.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "machine/bus.h"
#include "machine/memory.h"

#define MACHINE_VCPUS_MAX 64
#define MACHINE_PLACES 32 /* PCI slots */

struct machine;
struct pci_bus;
struct ps2_motion;

/* How a guest ended. */
enum machine_result {
	MACHINE_POWEROFF,    /* the guest switched itself off */
	MACHINE_CRASH,       /* triple fault, or a panic */
	MACHINE_NOT_STARTED, /* the host gives its processors no threads; the sentence is in err */
	MACHINE_ENGINE_FAILED, /* the engine itself; the sentence is in err */
	MACHINE_STOPPED,       /* machine_stop() */
	MACHINE_TEST_END,      /* the test devices' way out; machine_test_status() */
	MACHINE_REBOOT,        /* a reset, where config.reset_ends */
};

/* A file to boot from: stays open, since a reset reads it again. */
struct machine_file {
	int fd;           /* -1: none */
	const char *name; /* for messages */
};

/* What the machine needs of its owner. Each may be NULL. */
struct machine_owner {
	void *ctx;
	/* The first serial port; see serial.h for when these run. */
	void (*serial_output)(void *ctx, const uint8_t *data, size_t len);
	void (*serial_room)(void *ctx);
	/* A byte of what the firmware says of itself (board.h). vCPU threads, one after the other. */
	void (*firmware_text)(void *ctx, char byte);
	/*
	 * Starts the vCPUs' threads: start(start_ctx), whose value it returns, on a thread of its
	 * choice, from which they inherit. NULL: on machine_run()'s.
	 */
	int (*spawn)(void *ctx, int (*start)(void *start_ctx), void *start_ctx);
	/*
	 * Before the kernel is loaded, the first time and again, on the loop's thread: may say other
	 * files and another command line. NULL: they are config's. A failure ends the guest.
	 */
	int (*load)(void *ctx, struct machine_file *kernel, struct machine_file *initrd,
		const char **cmdline, struct error *err);
	/*
	 * The guest asks for a reset. A sentence: it is the end of a crash, such as a kernel's that
	 * panicked and starts again; NULL: it is not. Any thread, with a device's lock held.
	 */
	const char *(*reset_is_crash)(void *ctx);
	/* The guest has given up the devices in these PCI slots (a bit each). Any thread, with a device's lock held. */
	void (*ejected)(void *ctx, uint32_t slots);
	/* The machine stays as it is at one of config.hold's results. On the loop's thread. */
	void (*held)(void *ctx, enum machine_result result);
	/*
	 * A vCPU came back with ENGINE_EXIT_DEBUG: all vCPUs are paused (machine_resume() lets them
	 * go on). On the loop's thread.
	 */
	void (*debug_stop)(void *ctx, unsigned vcpu);
};

/* All that is pointed to outlives the machine. */
struct machine_config {
	const struct engine *engine;
	const struct cpuid_policy *cpuid;
	unsigned vcpus;  /* 1 to MACHINE_VCPUS_MAX */
	uint64_t memory; /* bytes, a multiple of 1 MiB */
	struct loop *loop;
	struct machine_file kernel, initrd;
	/*
	 * It starts from this ROM (board.h), read when the machine is made; kernel, initrd and cmdline are not used.
	 * fd -1, or no name: from its kernel.
	 */
	struct machine_file firmware;
	struct machine_file
		variables; /* the firmware's, which it writes to (flash.h); no name: it keeps none */
	const char *
		boot; /* the order in which firmware tries what there is (board.h); NULL: its own */
	bool adopts; /* memory_fd is its RAM, taken: another process's, which has the guest as yet (memory_adopt()) */
	int memory_fd;
	bool layered;        /* its RAM is to stand on another's (memory_stand_on()) */
	bool restore;        /* machine_load() follows: the kernel is only for a later reset */
	const char *cmdline; /* "" for none */
	bool test_devices;   /* see testdev.h; a multiboot kernel will do too */
	bool keyboard;       /* a keyboard and a mouse, see i8042.h */
	bool screen;         /* a VGA (vga.h) is to be added, which kernels are told of */

	bool reset_ends; /* a reset ends the guest; else it starts again from its kernel */
	/*
	 * Results (bits, 1 << MACHINE_...) at which the machine stays as it is, paused for good, until
	 * machine_stop(): then machine_run() returns that result. owner.held tells.
	 */
	unsigned hold;
	struct machine_owner owner;

	uint32_t code_cache;                  /* bytes of translated code; 0: the engine's choice */
	const struct engine_profile *profile; /* see engine.h; NULL: nothing */
	bool no_windows, native_always;       /* see engine.h */
};

/*
 * Makes the machine; nothing is read that is the guest's. On failure *machine is NULL. config's kernel,
 * initrd and command line are not looked at before machine_boot().
 */
int machine_create(const struct machine_config *config, struct machine **machine,
	struct error *err);
/* What engine.h says of vm_processes: after machine_create(), before the first call is forbidden. */
int machine_processes(struct machine *machine, struct error *err);
/*
 * Gives the engine the guest's memory and loads the kernel, so that whatever is wrong with that is said
 * here. Opens nothing, and maps nothing executable. Once; after a failure it can only be destroyed.
 */
int machine_boot(struct machine *machine, struct error *err);
/* Not while machine_run() is going on. NULL is allowed. */
void machine_destroy(struct machine *machine);
/*
 * Starts the processors and runs the event loop until the guest ends. Once. Returns with every
 * vCPU thread ended; a thread that does not end within seconds is the engine's failure.
 */
enum machine_result machine_run(struct machine *machine, struct error *err);

struct memory *machine_memory(struct machine *machine);
struct pci_bus *machine_pci(struct machine *machine);
struct bus *machine_io(struct machine *machine);
struct bus *machine_mmio(struct machine *machine);
struct loop *machine_loop(struct machine *machine);
const struct engine *machine_engine(struct machine *machine);
struct engine_vm *machine_vm(struct machine *machine);
unsigned machine_vcpus(struct machine *machine);
struct engine_vcpu *machine_vcpu(struct machine *machine, unsigned index);

/*
 * Devices that come and go while the guest runs; slots are struct pci_device's. Any thread. The guest is told of one
 * that was put on the bus under machine_pause(); is asked to give one up, of which owner.ejected tells, and which is
 * then taken off the bus likewise; or is not asked any more, though it may do it yet.
 */
void machine_device_came(struct machine *machine, unsigned slot);
void machine_device_leaves(struct machine *machine, unsigned slot);
void machine_device_stays(struct machine *machine, unsigned slot);
/*
 * In which slots a machine that goes on from a state of this one finds its devices, in the order in which they are
 * added there. Until it is said, they are in the order of their slots. At most MACHINE_PLACES, while nothing is saved.
 */
void machine_set_places(struct machine *machine, const uint8_t *slot, unsigned count);

/* What its firmware starts from, as fw_cfg.h has it; nothing without firmware. Before machine_run(). */
int machine_set_boot_order(struct machine *machine, const char *paths, struct error *err);

/* Input for the first serial port; returns how many bytes were taken. Any thread. */
size_t machine_serial_input(struct machine *machine, const uint8_t *data, size_t len);

/*
 * What somebody does to the keyboard and the mouse (chipset/ps2.h), if there are any; otherwise nothing happens. Any
 * thread.
 */
void machine_key(struct machine *machine, uint8_t key, bool down);
void machine_pointer(struct machine *machine, const struct ps2_motion *motion);

/* Drives an interrupt of the board's, as board_owner.irq does. Any thread. */
void machine_irq(void *machine, unsigned irq, bool level);
/* Presses the power button. Any thread. */
void machine_power_button(struct machine *machine);
/* Ends the guest: machine_run() returns MACHINE_STOPPED. Any thread. */
void machine_stop(struct machine *machine);
/* The same as if the guest had come to that result, with a sentence why. Any thread. */
void machine_finish(struct machine *machine, enum machine_result result, const char *why);
/* Resets the guest as its own reset register does. Any thread. */
void machine_reset(struct machine *machine);

/*
 * Returns when no vCPU runs and none will; their state may then be read and written with the
 * engine's functions. Pausing a paused machine does nothing. Before machine_run() the machine
 * may be paused too: then it starts paused.
 */
void machine_pause(struct machine *machine);
void machine_resume(struct machine *machine);
/* Lets only this vCPU run, and holds its interrupts back meanwhile (a debugger's step). */
void machine_resume_one(struct machine *machine, unsigned vcpu);
bool machine_paused(struct machine *machine);
/* From machine_save_begin() to machine_save_end(). */
bool machine_frozen(struct machine *machine);

/* What the guest has written to the test devices' way out. */
uint32_t machine_test_status(struct machine *machine);
/* A vCPU as seen from outside. */
struct machine_vcpu_info {
	int tid;        /* its thread; 0: not started */
	int cpu;        /* the host processor it is on, or was on last; -1: not known */
	uint64_t time;  /* processor time used, ns */
	bool halted;    /* sleeps until an interrupt */
	bool wait_sipi; /* not started by the guest */
};
/* While machine_run() is going on. */
void machine_vcpu_info(struct machine *machine, unsigned index, struct machine_vcpu_info *info);
/* What the processors do, as far as it tells whether the guest can go on. The machine is paused. */
enum machine_pulse {
	MACHINE_ALIVE,     /* one waits for an interrupt, or is in a program */
	MACHINE_IN_KERNEL, /* none is: those that run are all in the kernel */
	MACHINE_STANDS,    /* each has halted with interrupts off, or was never started: for good */
};
/* *spaces stays the same as long as those that run stay in the same address spaces. */
enum machine_pulse machine_pulse(struct machine *machine, uint64_t *spaces);
/* A non-maskable interrupt for one vCPU. Any thread. */
void machine_nmi(struct machine *machine, unsigned index);
/*
 * Break and this key at the first serial port: what Linux takes for a magic SysRq, if its console is
 * there. Any thread. -EAGAIN if the port's driver does not listen.
 */
int machine_sysrq(struct machine *machine, char key, struct error *err);

/*
 * All of the machine into a state (state/state.h): memory, processors, devices. It is paused
 * (-EBUSY otherwise), and can go on afterwards. Requests to disks that are under way are waited
 * for. Errors are the state's.
 *
 * Memory takes long: machine_save_begin(), machine_save_memory(), which may run on another thread while
 * the loop goes on, and machine_save_devices() are the same in three steps. From the first one on, until
 * machine_save_end(), which follows each first one that did not fail (unless the guest is to end), the
 * machine stands still: nobody resumes it, and a reset waits.
 */
struct state;
struct machine_head {
	uint32_t vcpus;
	uint64_t memory;
	struct cpuid_policy cpuid;
	char engine[16], program[32]; /* who saved it, for people */
	uint8_t place
		[MACHINE_PLACES]; /* slots of its devices, in the order they are added; 0: the next that is free */
};
void machine_save(struct machine *machine, struct state *s);
int machine_save_begin(struct machine *machine, struct state *s);
void machine_save_memory(struct machine *machine, struct state *s);
void machine_save_devices(struct machine *machine, struct state *s);
void machine_save_end(struct machine *machine);
/* The first step in two: its head, while it runs; and that it stands still from here on, which may come later. */
void machine_save_head(struct machine *machine, struct state *s);
int machine_save_stop(struct machine *machine, struct state *s);
/* What a state begins with: what a machine that is to load it must be made of. */
void machine_describe_head(struct machine_head *head, struct state *s);
/*
 * What follows the head, into a machine of machine_create() with restore set, with the same
 * devices, between machine_boot() and machine_run(). After an error it can only be destroyed. Devices stand still behind
 * it: nothing that the guest had asked of them is begun, and memory changes no more, until machine_load_end().
 */
void machine_load(struct machine *machine, struct state *s);
int machine_load_end(struct machine *machine, struct error *err);

/*
 * Calls it while no vCPU runs and no device touches guest memory. false: not now, for it is being saved. The loop's thread.
 */
bool machine_still(struct machine *machine, void (*call)(void *ctx), void *ctx);

/*
 * It has become another than the one that it goes on from: it gets another generation ID, and its system is told.
 * After machine_load_end(), before machine_run().
 */
void machine_renew(struct machine *machine);

/*
 * Has the engine give memory back that it can do without for a while, and gives back what RAM has but as a copy of what it
 * stands on (memory_base.h): worth it when the guest has been idle. A running machine is stopped for it, for some ten
 * milliseconds at most. The loop's thread.
 */
void machine_trim(struct machine *machine);

/* Every vCPU's registers for a person to read. The machine is paused or has ended. */
void machine_dump(struct machine *machine, FILE *out);
/* Counters as lines "name value" (exits, interrupts); the engine's too. Any thread. */
void machine_stats(struct machine *machine, FILE *out);
/* Writes what config.profile asks for. Only after machine_run(). */
void machine_write_profile(struct machine *machine);

#endif
