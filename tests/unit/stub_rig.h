/* SPDX-License-Identifier: Apache-2.0 */
/* A target for the gdb stub that is only memory and registers. */
#ifndef DACH_TESTS_STUB_RIG_H
#define DACH_TESTS_STUB_RIG_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "debug/stub.h"

#define RIG_VCPUS 2
#define RIG_BASE 0xffff800000001000ull
#define RIG_SIZE 16384u

struct rig {
	struct cpu_state state[RIG_VCPUS];
	struct engine_debug debug[RIG_VCPUS];
	uint8_t memory[RIG_SIZE];
	unsigned resumed, paused, killed, detached;
	int only;
	char sent[1 << 16];
	size_t sent_len;
};

static unsigned rig_vcpus(void *ctx)
{
	return RIG_VCPUS;
}

static void rig_pause(void *ctx)
{
	((struct rig *)ctx)->paused++;
}

static void rig_resume(void *ctx, int only)
{
	struct rig *rig = ctx;

	rig->resumed++;
	rig->only = only;
}

static void rig_debug(void *ctx, unsigned vcpu, const struct engine_debug *debug)
{
	((struct rig *)ctx)->debug[vcpu] = *debug;
}

static void rig_get_state(void *ctx, unsigned vcpu, struct cpu_state *state)
{
	*state = ((struct rig *)ctx)->state[vcpu];
}

static int rig_set_state(void *ctx, unsigned vcpu, const struct cpu_state *state)
{
	if (state->rip == 0xbad)
		return -EINVAL;
	((struct rig *)ctx)->state[vcpu] = *state;
	return 0;
}

static bool rig_inside(uint64_t gva, size_t len)
{
	return gva >= RIG_BASE && gva - RIG_BASE <= RIG_SIZE && len <= RIG_SIZE - (gva - RIG_BASE);
}

static int rig_read(void *ctx, unsigned vcpu, uint64_t gva, void *buf, size_t len)
{
	if (vcpu == STUB_PHYSICAL)
		gva += RIG_BASE;
	if (!rig_inside(gva, len))
		return -EFAULT;
	memcpy(buf, ((struct rig *)ctx)->memory + (gva - RIG_BASE), len);
	return 0;
}

static int rig_write(void *ctx, unsigned vcpu, uint64_t gva, const void *buf, size_t len)
{
	if (vcpu == STUB_PHYSICAL)
		gva += RIG_BASE;
	if (!rig_inside(gva, len))
		return -EFAULT;
	memcpy(((struct rig *)ctx)->memory + (gva - RIG_BASE), buf, len);
	return 0;
}

static void rig_kill(void *ctx)
{
	((struct rig *)ctx)->killed++;
}

static void rig_command(void *ctx, const char *line, FILE *out)
{
	fprintf(out, "you said %s\n", line);
}

static void rig_send(void *ctx, const void *data, size_t len)
{
	struct rig *rig = ctx;

	if (len > sizeof rig->sent - 1 - rig->sent_len)
		len = sizeof rig->sent - 1 - rig->sent_len;
	memcpy(rig->sent + rig->sent_len, data, len);
	rig->sent_len += len;
	rig->sent[rig->sent_len] = '\0';
}

static void rig_detached(void *ctx)
{
	((struct rig *)ctx)->detached++;
}

static const struct stub_target rig_target = {
	.vcpus = rig_vcpus,
	.pause = rig_pause,
	.resume = rig_resume,
	.debug = rig_debug,
	.get_state = rig_get_state,
	.set_state = rig_set_state,
	.read = rig_read,
	.write = rig_write,
	.kill = rig_kill,
	.command = rig_command,
	.send = rig_send,
	.detached = rig_detached,
};

#endif
