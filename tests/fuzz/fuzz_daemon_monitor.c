/* SPDX-License-Identifier: Apache-2.0 */
/* What a monitor that was taken over may say to the daemon, and what the daemon makes of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/describe.h"
#include "daemon/guest.h"
#include "daemon/monitor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct guest *guest;

static void done(void *ctx, int r, json_t *answer, const char *text)
{
	json_decref(guest->info);
	guest->info = r ? NULL : json_incref(answer);
	json_decref(guest_describe(guest, true, 0));
}

static void event(void *ctx, const struct monitor_event *event)
{
}

static void gone(void *ctx, const char *why)
{
}

static void stop(void *ctx)
{
	loop_stop(ctx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct daemon daemon;
	static struct loop_timer timer;
	const struct monitor_client client = {NULL, event, gone};
	struct monitor *monitor;
	int pair[2];

	if (!daemon.loop) {
		struct domain_config config;

		if (loop_create(&daemon.loop, NULL) || domain_config_init(&config))
			abort();
		free(config.name);
		config.name = strdup("fuzz");
		config.vcpus = config.maxvcpus = 3;
		guest = guest_new(&daemon, &config);
		guest->state = RECORD_RUNNING;
		guest->domid = 1;
		guest->up = true;
		loop_timer_init(&timer, daemon.loop, stop, daemon.loop);
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		return 0;
	if (monitor_create(daemon.loop, pair[0], &client, &monitor, NULL))
		abort();
	/* Two questions are open: what the bytes say may be the answers. */
	monitor_call(monitor, &(struct monitor_request){.verb = REQUEST_INFO}, -1, 1000, done,
		NULL);
	monitor_call(monitor, &(struct monitor_request){.verb = REQUEST_INFO}, -1, 1000, done,
		NULL);
	if (send(pair[1], data, size, MSG_NOSIGNAL) < 0)
		size = 0;
	loop_timer_arm(&timer, clock_now() + 20000);
	loop_run(daemon.loop);
	monitor_close(monitor);
	close(pair[1]);
	return 0;
}
