/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User-mode networking over libslirp: a small network (10.0.2.0/24) with a
 * gateway, a name server and DHCP, behind it the host's sockets. It needs no
 * privilege. libslirp is not thread-safe: all calls are on the one thread, or
 * before it starts.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <libslirp.h>

#include "net/gate.h"
#include "net/net.h"

/*
 * Frames on this network never meet a wire, so they may be larger than one would carry: a tenth of
 * the work. Not as large as can be, though: libslirp tells a sender that its window is open again
 * only when it has opened by two of these, and it never opens by more than 65535 bytes. libslirp
 * does not always keep to a smaller segment size that the guest asks for; our client sees to that.
 */
#define MTU 16384u
/* Frames that wait for the guest to make room. From LOW on no host socket is read. */
#define BACKLOG_LOW (256u << 10)
#define BACKLOG_HIGH (4u << 20)
#define BACKLOG_WAIT_MS 100
#define TIMERS 4

struct frame {
	struct frame *next;
	size_t len;
	uint8_t data[];
};

struct timer {
	bool used;
	SlirpTimerId id;
	void *ctx;
	int64_t expires; /* ms, -1: not running */
};

struct net {
	Slirp *slirp;
	int event;
	bool kicked; /* any thread: the event is on its way */
	bool stop;   /* any thread */
	bool started;
	pthread_t thread;
	struct net_client client;
	struct pollfd *fds;
	unsigned count, room;
	struct frame *first, **last;
	size_t backlog;
	struct timer timer[TIMERS];
	struct gate gate;
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* The thread's frames for the guest */

static void backlog_add(struct net *net, const uint8_t *data, size_t len)
{
	struct frame *frame;

	if (net->backlog + len > BACKLOG_HIGH)
		return;
	frame = malloc(sizeof(*frame) + len);
	if (!frame)
		return;
	frame->next = NULL;
	frame->len = len;
	memcpy(frame->data, data, len);
	*net->last = frame;
	net->last = &frame->next;
	net->backlog += len;
}

static void backlog_drop(struct net *net)
{
	struct frame *frame = net->first;

	net->first = frame->next;
	if (!net->first)
		gate_init(&net->gate, now_ns());
	net->last = &net->first;
	net->backlog -= frame->len;
	free(frame);
}

static void backlog_flush(struct net *net)
{
	while (net->first &&
		net->client.receive(net->client.ctx, net->first->data, net->first->len))
		backlog_drop(net);
}

/* What libslirp calls */

static ssize_t user_send_packet(const void *buf, size_t len, void *opaque)
{
	struct net *net = opaque;

	if (!net->started) /* nobody is there yet */
		return len;
	if (net->first || !net->client.receive(net->client.ctx, buf, len))
		backlog_add(net, buf, len);
	return len;
}

static void user_guest_error(const char *msg, void *opaque)
{
	/* The guest's own trouble, and it could say it without end. */
}

static int64_t user_clock(void *opaque)
{
	return now_ns();
}

static void *user_timer_new(SlirpTimerId id, void *ctx, void *opaque)
{
	struct net *net = opaque;

	for (unsigned i = 0; i < TIMERS; i++) {
		if (net->timer[i].used)
			continue;
		net->timer[i] = (struct timer){.used = true, .id = id, .ctx = ctx, .expires = -1};
		return &net->timer[i];
	}
	return NULL;
}

static void user_timer_free(void *timer, void *opaque)
{
	if (timer)
		((struct timer *)timer)->used = false;
}

static void user_timer_mod(void *timer, int64_t expires, void *opaque)
{
	if (timer)
		((struct timer *)timer)->expires = expires;
}

static void user_opened(int fd, void *opaque)
{
	struct net *net = opaque;

	net->gate.open++;
}

static void user_closed(int fd, void *opaque)
{
	struct net *net = opaque;

	if (net->gate.open)
		net->gate.open--;
}

static void user_notify(void *opaque)
{
	net_kick(opaque);
}

static const SlirpCb slirp_callbacks = {
	.send_packet = user_send_packet,
	.guest_error = user_guest_error,
	.clock_get_ns = user_clock,
	.timer_new_opaque = user_timer_new,
	.timer_free = user_timer_free,
	.timer_mod = user_timer_mod,
	.register_poll_fd = user_opened,
	.unregister_poll_fd = user_closed,
	.notify = user_notify,
};

static const struct {
	int slirp;
	short poll;
} events_map[] = {
	{SLIRP_POLL_IN, POLLIN},
	{SLIRP_POLL_OUT, POLLOUT},
	{SLIRP_POLL_PRI, POLLPRI},
	{SLIRP_POLL_ERR, POLLERR},
	{SLIRP_POLL_HUP, POLLHUP},
};

static bool listens(int fd)
{
	int listening = 0;
	socklen_t size = sizeof listening;

	return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) && listening;
}

static int add_poll(int fd, int events, void *opaque)
{
	struct net *net = opaque;
	short wanted = 0;

	if (net->count == net->room) {
		unsigned room = 2 * net->room;
		struct pollfd *fds = reallocarray(net->fds, room, sizeof(*fds));

		if (!fds)
			return -1;
		net->fds = fds;
		net->room = room;
	}
	for (unsigned i = 0; i < sizeof(events_map) / sizeof(events_map[0]); i++)
		if (events & events_map[i].slirp)
			wanted |= events_map[i].poll;
	/* Who connects from outside waits: libslirp would try to accept him, in vain and without end. */
	if (net->gate.open >= GATE_OPEN_HARD && listens(fd))
		fd = -1;
	net->fds[net->count] = (struct pollfd){.fd = fd, .events = wanted & ~(POLLERR | POLLHUP)};
	return net->count++;
}

static int get_revents(int index, void *opaque)
{
	struct net *net = opaque;
	int events = 0;

	if (index < 0 || index >= (int)net->count)
		return 0;
	for (unsigned i = 0; i < sizeof(events_map) / sizeof(events_map[0]); i++)
		if (net->fds[index].revents & events_map[i].poll)
			events |= events_map[i].slirp;
	return events;
}

/* The thread */

static int run_timers(struct net *net, int timeout)
{
	int64_t now = now_ns() / 1000000;

	for (unsigned i = 0; i < TIMERS; i++) {
		struct timer *timer = &net->timer[i];

		if (!timer->used || timer->expires < 0)
			continue;
		if (timer->expires <= now) {
			timer->expires = -1;
			slirp_handle_timer(net->slirp, timer->id, timer->ctx);
		}
		if (timer->expires >= 0 && (timeout < 0 || timer->expires - now < timeout))
			timeout = timer->expires - now;
	}
	return timeout;
}

static void take_kick(struct net *net)
{
	uint64_t count;

	if (read(net->event, &count, sizeof(count)) < 0)
		return;
	/* First this, then look: a kick that comes after writes the event again. */
	__atomic_store_n(&net->kicked, false, __ATOMIC_SEQ_CST);
}

static void *user_thread(void *arg)
{
	struct net *net = arg;
	bool more = false;

	pthread_setname_np(pthread_self(), "net");
	while (!__atomic_load_n(&net->stop, __ATOMIC_ACQUIRE)) {
		bool backlogged = net->backlog >= BACKLOG_LOW, kick;
		uint32_t wanted = UINT32_MAX;
		int timeout, r;

		net->count = 1;
		net->fds[0] = (struct pollfd){.fd = net->event, .events = POLLIN};
		if (!backlogged)
			slirp_pollfds_fill(net->slirp, &wanted, add_poll, net);
		timeout = wanted > INT32_MAX ? -1 : (int)wanted;
		if (backlogged)
			timeout = BACKLOG_WAIT_MS;
		timeout = run_timers(net, timeout);
		r = poll(net->fds, net->count, more ? 0 : timeout);
		kick = r > 0 && net->fds[0].revents;
		if (kick)
			take_kick(net);
		/* The guest first: what waits in libslirp for its answers goes out after it. */
		if (kick || more) {
			backlog_flush(net);
			more = net->client.transmit(net->client.ctx);
		}
		if (!backlogged)
			slirp_pollfds_poll(net->slirp, r < 0, get_revents, net);
		net->client.flush(net->client.ctx);
	}
	return NULL;
}

void net_kick(struct net *net)
{
	const uint64_t one = 1;

	if (__atomic_exchange_n(&net->kicked, true, __ATOMIC_SEQ_CST))
		return;
	if (write(net->event, &one, sizeof(one)) < 0)
		return; /* its counter cannot be full */
}

int net_kick_fd(struct net *net)
{
	return net->event;
}

void net_send(struct net *net, const uint8_t *frame, size_t len)
{
	if (len >= NET_HEADER_LEN && len <= NET_FRAME_MAX &&
		gate_admit(&net->gate, frame, len, now_ns()))
		slirp_input(net->slirp, frame, len);
}

int net_start(struct net *net, const struct net_client *client, struct error *err)
{
	sigset_t all, old;
	int r;

	net->client = *client;
	net->started = true;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&net->thread, NULL, user_thread, net);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!r)
		return 0;
	net->started = false;
	return error_set(err, r, "cannot start the network's thread: %s", strerror(r));
}

static int open_forwards(struct net *net, const struct net_spec *spec, struct error *err)
{
	for (unsigned i = 0; i < spec->forwards; i++) {
		const struct net_forward *forward = &spec->forward[i];
		struct in_addr host = {htonl(forward->host_addr)};
		struct in_addr guest = {htonl(forward->guest_addr)};
		char text[INET_ADDRSTRLEN];

		errno = 0;
		if (!slirp_add_hostfwd(net->slirp, forward->udp, host, forward->host_port, guest,
			    forward->guest_port))
			continue;
		return error_set(err, errno ? errno : EIO, "--net: cannot listen on %s %s:%u: %s",
			forward->udp ? "udp" : "tcp", inet_ntop(AF_INET, &host, text, sizeof(text)),
			forward->host_port, strerror(errno ? errno : EIO));
	}
	return 0;
}

int net_open(const struct net_spec *spec, struct net **out, struct error *err)
{
	const SlirpConfig config = {
		.version = 4,
		.disable_host_loopback = !spec->loopback,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(0x0a000200),
		.vnetmask.s_addr = htonl(0xffffff00),
		.vhost.s_addr = htonl(0x0a000202),
		.vnameserver.s_addr = htonl(0x0a000203),
		.vdhcp_start.s_addr = htonl(0x0a00020f),
		.if_mtu = MTU,
		.if_mru = MTU,
	};
	struct net *net = calloc(1, sizeof(*net));
	int r = 0;

	if (!net)
		return error_set(err, ENOMEM, "out of memory");
	net->last = &net->first;
	net->room = 16;
	net->fds = calloc(net->room, sizeof(*net->fds));
	net->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!net->fds)
		r = error_set(err, ENOMEM, "out of memory");
	else if (net->event < 0)
		r = error_set(err, errno, "eventfd: %s", strerror(errno));
	if (!r) {
		net->slirp = slirp_new(&config, &slirp_callbacks, net);
		if (!net->slirp)
			r = error_set(err, EIO, "user-mode networking cannot be started");
	}
	if (!r)
		r = open_forwards(net, spec, err);
	if (r) {
		net_close(net);
		return r;
	}
	*out = net;
	return 0;
}

void net_stop(struct net *net)
{
	if (!net->started)
		return;
	__atomic_store_n(&net->stop, true, __ATOMIC_RELEASE);
	net_kick(net);
	pthread_join(net->thread, NULL);
	net->started = false;
}

void net_close(struct net *net)
{
	if (!net)
		return;
	net_stop(net);
	if (net->slirp)
		slirp_cleanup(net->slirp);
	while (net->first)
		backlog_drop(net);
	if (net->event >= 0)
		close(net->event);
	free(net->fds);
	free(net);
}
