/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/move.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "state/state.h"

/*
 * How far apart two hosts' TSCs may be, in millionths: what measuring them may be wrong by, and
 * what a guest's own time keeping corrects.
 */
#define TSC_PPM 1000u

int move_open(struct move *move, int fd, const char *name, struct error *err)
{
	int r = state_file_open(&move->file, fd, name, err);

	if (r > 0)
		r = state_file_load(&move->file, &move->state, err);
	else if (!r)
		r = state_load_fd(fd, name, &move->state, err);
	if (r)
		return r;
	machine_describe_head(&move->head, move->state);
	return state_ok(move->state) ? 0 : -EINVAL;
}

int move_open_stream(struct move *move, const struct state_io *io, const char *name,
	struct error *err)
{
	int r = state_load(io, name, &move->state, err);

	if (r)
		return r;
	machine_describe_head(&move->head, move->state);
	return state_ok(move->state) ? 0 : -EINVAL;
}

static int check_clock(const struct cpuid_policy *guest, const struct cpuid_policy *host,
	struct error *err)
{
	int64_t apart = (int64_t)guest->tsc_khz - host->tsc_khz;

	if (llabs(apart) * 1000000 <= (int64_t)host->tsc_khz * TSC_PPM)
		return 0;
	return error_set(err, ENOTSUP,
		"the guest cannot go on here: its TSC counts at %u kHz, this host's at %u kHz",
		guest->tsc_khz, host->tsc_khz);
}

/* Hardware that is not of the guest's vendor runs some instructions as its own vendor has them. */
static int check_vendor(const struct cpuid_policy *guest, const struct cpuid_policy *host,
	struct error *err)
{
	uint32_t was[4], is[4];

	cpuid_policy_read(guest, 0, 0, 0, 0, 0, was);
	cpuid_policy_read(host, 0, 0, 0, 0, 0, is);
	if (!memcmp(was + 1, is + 1, 3 * sizeof *was))
		return 0;
	return error_set(err, ENOTSUP,
		"the guest cannot go on here: it was given a processor of another vendor "
		"(--engine translate takes it)");
}

int move_accept(struct move *move, enum cpuid_engine engine, struct cpuid_policy *policy,
	struct error *err)
{
	const struct cpuid_policy *guest = &move->head.cpuid;
	char missing[256];
	int r;

	if (cpuid_policy_missing(guest, policy, engine, missing, sizeof missing))
		return error_set(err, ENOTSUP,
			"the guest cannot go on here: it was given a processor with %s, which this "
			"host and engine lack",
			missing);
	r = check_clock(guest, policy, err);
	if (!r && engine == CPUID_KVM)
		r = check_vendor(guest, policy, err);
	if (r)
		return r;
	/* Its leaves; but vector state lies where this host has it. */
	move->head.cpuid.area = policy->area;
	*policy = *guest;
	return 0;
}

int move_load(struct move *move, struct machine *machine)
{
	machine_load(machine, move->state);
	return state_finish(move->state);
}

void move_close(struct move *move)
{
	state_destroy(move->state);
	move->state = NULL;
}
