/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb's remote serial protocol (gdb manual, appendix E), apart from sockets and
 * machines: bytes in, bytes out, and a target that does the work. The peer is
 * not trusted: whatever it sends, at most the guest suffers.
 *
 * Threads are vCPUs, numbered from 1. All-stop: either every vCPU may run or
 * none does. One thread calls everything here.
 */
#ifndef DACH_DEBUG_STUB_H
#define DACH_DEBUG_STUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cpu/engine.h"
#include "cpu/state.h"

#define PACKET_MAX 8192 /* bytes of a packet's content, either way */
#define STUB_BREAKPOINTS (sizeof((struct engine_debug *)0)->breakpoint / sizeof(uint64_t))
#define STUB_PHYSICAL UINT32_MAX
#define STUB_SIGINT 2
#define STUB_SIGTRAP 5

/* What is debugged. Called with the vCPUs stopped, but for pause. */
struct stub_target {
	unsigned (*vcpus)(void *ctx);
	void (*pause)(void *ctx);
	/* All run, or only vCPU only if it is not negative. */
	void (*resume)(void *ctx, int only);
	void (*debug)(void *ctx, unsigned vcpu, const struct engine_debug *debug);
	void (*get_state)(void *ctx, unsigned vcpu, struct cpu_state *state);
	int (*set_state)(void *ctx, unsigned vcpu, const struct cpu_state *state);
	/*
	 * Guest memory at an address as that vCPU sees it, or at a physical one if vcpu is
	 * STUB_PHYSICAL; a negative errno if not all of it is there.
	 */
	int (*read)(void *ctx, unsigned vcpu, uint64_t address, void *buf, size_t len);
	int (*write)(void *ctx, unsigned vcpu, uint64_t address, const void *buf, size_t len);
	/* Ends the guest. */
	void (*kill)(void *ctx);
	/* gdb's "monitor": a line that a person typed; the answer goes to out. May be NULL. */
	void (*command)(void *ctx, const char *line, FILE *out);
	/* Bytes for the peer. */
	void (*send)(void *ctx, const void *data, size_t len);
	/* The peer has detached; the guest runs on. */
	void (*detached)(void *ctx);
};

struct stub;

/* The target is stopped. NULL when out of memory. */
struct stub *stub_create(const struct stub_target *target, void *ctx);
void stub_destroy(struct stub *stub);
/* Bytes from the peer. */
void stub_input(struct stub *stub, const void *data, size_t len);
/* A vCPU has stopped (a step, a breakpoint), and with it all of them. */
void stub_stopped(struct stub *stub, unsigned vcpu, int signal);
/* The guest has ended by itself. */
void stub_exited(struct stub *stub, unsigned status);
/* Takes all breakpoints away and lets a stopped guest run. */
void stub_release(struct stub *stub);
bool stub_running(const struct stub *stub);

#endif
