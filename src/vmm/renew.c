/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/renew.h"

#include "net/nic.h"

#define LOOK_NS 100000000ull
#define STAY_NS 500000000ull      /* since it was seen: who manages addresses has heard of it */
#define PATIENCE_NS 5000000000ull /* a driver that does not look */

static void set_links(struct renewal *renewal, bool up)
{
	for (unsigned i = 0; i < LIMIT_NETWORKS; i++)
		if (renewal->nic[i])
			nic_set_link(renewal->nic[i], up);
}

static bool seen(const struct renewal *renewal)
{
	for (unsigned i = 0; i < LIMIT_NETWORKS; i++)
		if (renewal->nic[i] && !nic_link_seen(renewal->nic[i]))
			return false;
	return true;
}

static void look(void *ctx)
{
	struct renewal *renewal = ctx;
	uint64_t now = clock_now();

	if (!renewal->up_at && (seen(renewal) || now >= renewal->patience))
		renewal->up_at = now + STAY_NS;
	if (renewal->up_at && now >= renewal->up_at)
		set_links(renewal, true);
	else
		loop_timer_arm(&renewal->timer, now + LOOK_NS);
}

void renew(struct renewal *renewal, struct machine *machine, struct devices *devices)
{
	unsigned count = 0;

	machine_renew(machine);
	*renewal = (struct renewal){.patience = clock_now() + PATIENCE_NS};
	for (unsigned i = 0; i < LIMIT_NETWORKS; i++) {
		if (!devices->nic[i])
			continue;
		renewal->nic[i] = devices->nic[i];
		count++;
		if (devices->has_mac[i])
			nic_set_mac(devices->nic[i], devices->mac[i]);
	}
	if (!count)
		return;
	loop_timer_init(&renewal->timer, machine_loop(machine), look, renewal);
	set_links(renewal, false);
	loop_timer_arm(&renewal->timer, clock_now() + LOOK_NS);
}

void renew_forget(struct renewal *renewal, const struct nic *nic)
{
	for (unsigned i = 0; i < LIMIT_NETWORKS; i++)
		if (renewal->nic[i] == nic)
			renewal->nic[i] = NULL;
}

void renew_stop(struct renewal *renewal)
{
	if (renewal->timer.loop)
		loop_timer_cancel(&renewal->timer);
}
