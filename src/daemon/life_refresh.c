/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's monitor says of it now: asked for, and waited for no longer than it is worth. */
#include <errno.h>
#include <stdlib.h>

#include "daemon/life.h"
#include "daemon/monitor.h"

struct refresh {
	struct guest *guest;
	void (*done)(void *ctx, int r, const char *text);
	void *ctx;
};

/* One that was too late has answered after all, or has gone. */
static void heard(void *ctx, int r, json_t *answer, const char *text)
{
	struct guest *guest = ctx;

	guest->deaf = false;
	if (!r)
		life_keep_info(guest, answer);
}

static void refreshed(void *ctx, int r, json_t *answer, const char *text)
{
	struct refresh *refresh = ctx;
	struct guest *guest = refresh->guest;

	if (r == -ETIMEDOUT && !guest->deaf && guest->monitor) {
		guest->deaf = true;
		monitor_call(guest->monitor, &(struct monitor_request){.verb = REQUEST_INFO}, -1, 0,
			heard, guest);
	}
	/* -ECANCELED: the guest is being freed, or about to begin another life. */
	if (!r)
		life_keep_info(guest, answer);
	refresh->done(refresh->ctx, r, text);
	free(refresh);
}

void life_refresh(struct guest *guest, unsigned timeout_ms,
	void (*done)(void *ctx, int r, const char *text), void *ctx)
{
	struct refresh *refresh = guest->monitor ? calloc(1, sizeof *refresh) : NULL;

	if (!refresh) {
		done(ctx, -ESRCH, "the guest does not run");
		return;
	}
	*refresh = (struct refresh){guest, done, ctx};
	monitor_call(guest->monitor, &(struct monitor_request){.verb = REQUEST_INFO}, -1,
		timeout_ms, refreshed, refresh);
}

void life_glance(struct guest *guest, unsigned timeout_ms,
	void (*done)(void *ctx, int r, const char *text), void *ctx)
{
	if (guest->deaf)
		done(ctx, -ETIMEDOUT, "the guest's monitor does not answer");
	else
		life_refresh(guest, timeout_ms, done, ctx);
}
