/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/idle.h"

#define LOOK_NS 3000000000ull
#define QUIET_NS (LOOK_NS / 100) /* less than 1% of a processor is no work */
#define QUIET_LOOKS 3u

static uint64_t used(struct machine *machine)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < machine_vcpus(machine); i++) {
		struct machine_vcpu_info info;

		machine_vcpu_info(machine, i, &info);
		sum += info.time;
	}
	return sum;
}

static void look(void *ctx)
{
	struct idle *idle = ctx;
	uint64_t now = used(idle->machine);

	idle->quiet = now - idle->used < QUIET_NS ? idle->quiet + 1 : 0;
	idle->used = now;
	/* Again later, ever more rarely: what it does now and then while it has no work adds up. */
	if (idle->quiet % QUIET_LOOKS == 0 && __builtin_popcount(idle->quiet / QUIET_LOOKS) == 1)
		machine_trim(idle->machine);
	loop_timer_arm(&idle->timer, clock_now() + LOOK_NS);
}

void idle_start(struct idle *idle, struct machine *machine)
{
	*idle = (struct idle){.machine = machine};
	loop_timer_init(&idle->timer, machine_loop(machine), look, idle);
	loop_timer_arm(&idle->timer, clock_now() + LOOK_NS);
}

void idle_stop(struct idle *idle)
{
	if (idle->machine)
		loop_timer_cancel(&idle->timer);
	idle->machine = NULL;
}
