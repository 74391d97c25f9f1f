/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User-mode networking over libslirp: a small network (10.0.2.0/24, and fec0::/64
 * where the host has IPv6) with a gateway, a name server and DHCP, behind it the host's sockets. It needs no
 * privilege. libslirp is not thread-safe: all calls are on the one thread, or
 * before it starts.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <libslirp.h>

#include "base/container.h"
#include "base/loop.h"
#include "net/allow.h"
#include "net/driver.h"
#include "net/frame.h"
#include "net/gate.h"
#include "net/names.h"
#include "net/resolver.h"

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

struct user_net {
	struct net net;
	bool closed; /* libslirp lets nothing through to the host's loopback addresses */
	Slirp *slirp;
	struct pollfd *fds;
	unsigned count, room;
	struct frame *first, **last;
	size_t backlog;
	struct timer timer[TIMERS];
	struct gate gate;
	struct name_server *names; /* NULL: libslirp's */
};

static struct user_net *user_of(struct net *net)
{
	return container_of(net, struct user_net, net);
}

/* The thread's frames for the guest */

static void backlog_add(struct user_net *user, const uint8_t *data, size_t len)
{
	struct frame *frame;

	if (user->backlog + len > BACKLOG_HIGH)
		return;
	frame = malloc(sizeof *frame + len);
	if (!frame)
		return;
	frame->next = NULL;
	frame->len = len;
	memcpy(frame->data, data, len);
	*user->last = frame;
	user->last = &frame->next;
	user->backlog += len;
}

static void backlog_drop(struct user_net *user)
{
	struct frame *frame = user->first;

	user->first = frame->next;
	if (!user->first)
		user->last = &user->first;
	user->backlog -= frame->len;
	free(frame);
}

static void backlog_flush(struct user_net *user)
{
	while (user->first &&
		user->net.client.receive(user->net.client.ctx, user->first->data, user->first->len))
		backlog_drop(user);
}

static void deliver(void *ctx, const uint8_t *frame, size_t len)
{
	struct user_net *user = ctx;

	if (user->first || !user->net.client.receive(user->net.client.ctx, frame, len))
		backlog_add(user, frame, len);
}

/* What libslirp calls */

static ssize_t user_send_packet(const void *buf, size_t len, void *opaque)
{
	struct user_net *user = opaque;

	if (!user->net.started) /* nobody is there yet */
		return len;
	gate_deliver(&user->gate, buf, len, clock_now());
	deliver(user, buf, len);
	return len;
}

static void user_guest_error(const char *msg, void *opaque)
{
	/* The guest's own trouble, and it could say it without end. */
}

static int64_t user_clock(void *opaque)
{
	return clock_now();
}

static void *user_timer_new(SlirpTimerId id, void *ctx, void *opaque)
{
	struct user_net *user = opaque;

	for (unsigned i = 0; i < TIMERS; i++) {
		if (user->timer[i].used)
			continue;
		user->timer[i] = (struct timer){.used = true, .id = id, .ctx = ctx, .expires = -1};
		return &user->timer[i];
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
	struct user_net *user = opaque;

	user->gate.open++;
}

static void user_closed(int fd, void *opaque)
{
	struct user_net *user = opaque;

	if (user->gate.open)
		user->gate.open--;
}

static void user_notify(void *opaque)
{
	struct user_net *user = opaque;

	net_kick(&user->net);
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

static int add_fd(struct user_net *user, int fd, short events)
{
	if (user->count == user->room) {
		unsigned room = 2 * user->room;
		struct pollfd *fds = reallocarray(user->fds, room, sizeof *fds);

		if (!fds)
			return -1;
		user->fds = fds;
		user->room = room;
	}
	user->fds[user->count] = (struct pollfd){.fd = fd, .events = events};
	return (int)user->count++;
}

static int add_names(void *ctx, int fd)
{
	return add_fd(ctx, fd, POLLIN);
}

static int add_poll(int fd, int events, void *opaque)
{
	struct user_net *user = opaque;
	short wanted = 0;

	for (unsigned i = 0; i < sizeof events_map / sizeof *events_map; i++)
		if (events & events_map[i].slirp)
			wanted |= events_map[i].poll;
	/* Who connects from outside waits: libslirp would try to accept him, in vain and without end. */
	if (user->gate.open >= GATE_OPEN_HARD && listens(fd))
		fd = -1;
	return add_fd(user, fd, wanted & ~(POLLERR | POLLHUP));
}

static int get_revents(int index, void *opaque)
{
	struct user_net *user = opaque;
	int events = 0;

	if (index < 0 || index >= (int)user->count)
		return 0;
	for (unsigned i = 0; i < sizeof events_map / sizeof *events_map; i++)
		if (user->fds[index].revents & events_map[i].poll)
			events |= events_map[i].slirp;
	return events;
}

/* The thread */

static int run_timers(struct user_net *user, int timeout)
{
	int64_t now = clock_now() / 1000000;

	for (unsigned i = 0; i < TIMERS; i++) {
		struct timer *timer = &user->timer[i];

		if (!timer->used || timer->expires < 0)
			continue;
		if (timer->expires <= now) {
			timer->expires = -1;
			slirp_handle_timer(user->slirp, timer->id, timer->ctx);
		}
		if (timer->expires >= 0 && (timeout < 0 || timer->expires - now < timeout))
			timeout = timer->expires - now;
	}
	return timeout;
}

/* The sooner of two times to wait, in ms; -1: no end. */
static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static void user_run(struct net *net)
{
	struct user_net *user = user_of(net);
	bool more = false;

	while (!net_stopping(net)) {
		bool backlogged = user->backlog >= BACKLOG_LOW, kick;
		const int held = net_held_ms(net);
		uint32_t wanted = UINT32_MAX;
		int timeout, r;

		user->count = 1;
		user->fds[0] = (struct pollfd){.fd = net->event, .events = POLLIN};
		if (!backlogged)
			slirp_pollfds_fill(user->slirp, &wanted, add_poll, user);
		timeout = wanted > INT32_MAX ? -1 : (int)wanted;
		if (backlogged)
			timeout = BACKLOG_WAIT_MS;
		timeout = run_timers(user, timeout);
		if (held > 0)
			timeout = sooner(timeout, held);
		if (user->names) {
			names_fill(user->names, add_names, user);
			timeout = sooner(timeout, names_ms(user->names, clock_now()));
		}
		r = poll(user->fds, user->count, more ? 0 : timeout);
		kick = r > 0 && user->fds[0].revents;
		if (kick)
			net_take_kick(net);
		/* The guest first: what waits in libslirp for its answers goes out after it. */
		if (kick || more || held > 0) {
			backlog_flush(user);
			more = net->client.transmit(net->client.ctx);
		}
		if (!backlogged)
			slirp_pollfds_poll(user->slirp, r < 0, get_revents, user);
		if (user->names && r >= 0)
			names_poll(user->names, user->fds, clock_now());
		net->client.flush(net->client.ctx);
	}
}

/* libslirp takes a packet of IPv4 of any size, but of IPv6 none that is larger than its MTU. */
static void input(struct user_net *user, const uint8_t *frame, size_t len)
{
	uint8_t part[NET_HEADER_LEN + MTU];
	struct frame_tcp tcp;

	if (len <= sizeof part || !frame_parse_tcp(frame, len, &tcp) || !tcp.ipv6) {
		slirp_input(user->slirp, frame, len);
		return;
	}
	tcp.mss = sizeof part - tcp.payload;
	for (unsigned i = 0; i < frame_segments(&tcp); i++)
		slirp_input(user->slirp, part, (int)frame_segment(frame, &tcp, i, part));
}

static void user_send(struct net *net, const uint8_t *frame, size_t len)
{
	struct user_net *user = user_of(net);

	if (user->names && names_take(user->names, frame, len, clock_now()))
		return;
	if (gate_admit(&user->gate, frame, len, clock_now()))
		input(user, frame, len);
}

/* The two ends, in the form of sockets. Their length. */
static socklen_t forward_ends(const struct net_forward *forward, struct sockaddr_storage *host,
	struct sockaddr_storage *guest)
{
	struct sockaddr_in *host4 = (struct sockaddr_in *)host,
			   *guest4 = (struct sockaddr_in *)guest;
	struct sockaddr_in6 *host6 = (struct sockaddr_in6 *)host,
			    *guest6 = (struct sockaddr_in6 *)guest;

	memset(host, 0, sizeof *host);
	memset(guest, 0, sizeof *guest);
	if (!*forward->host_addr6) {
		host4->sin_family = guest4->sin_family = AF_INET;
		host4->sin_port = htons(forward->host_port);
		guest4->sin_port = htons(forward->guest_port);
		host4->sin_addr.s_addr = htonl(forward->host_addr);
		guest4->sin_addr.s_addr = htonl(forward->guest_addr);
		return sizeof *host4;
	}
	host6->sin6_family = guest6->sin6_family = AF_INET6;
	host6->sin6_port = htons(forward->host_port);
	guest6->sin6_port = htons(forward->guest_port);
	inet_pton(AF_INET6, forward->host_addr6, &host6->sin6_addr);
	inet_pton(AF_INET6, forward->guest_addr6, &guest6->sin6_addr);
	return sizeof *host6;
}

static int forward_failed(const struct net_forward *forward, const char *what, struct error *err)
{
	const int error = errno ? errno : EIO;
	const bool ipv6 = *forward->host_addr6;
	struct in_addr addr = {htonl(forward->host_addr)};
	char text[INET6_ADDRSTRLEN];

	if (!ipv6)
		inet_ntop(AF_INET, &addr, text, sizeof text);
	return error_set(err, error, ipv6 ? "%s %s [%s]:%u: %s" : "%s %s %s:%u: %s", what,
		forward->udp ? "udp" : "tcp", ipv6 ? forward->host_addr6 : text, forward->host_port,
		strerror(error));
}

static int open_forward(struct user_net *user, const struct net_forward *forward, struct error *err)
{
	const int flags = SLIRP_HOSTFWD_V6ONLY | (forward->udp ? SLIRP_HOSTFWD_UDP : 0);
	struct sockaddr_storage host, guest;
	const socklen_t len = forward_ends(forward, &host, &guest);
	const bool ipv6 = host.ss_family == AF_INET6;

	if (forward->udp)
		gate_forward(&user->gate, ipv6, forward->guest_port);
	errno = 0;
	return slirp_add_hostxfwd(user->slirp, (struct sockaddr *)&host, len,
		       (struct sockaddr *)&guest, len, flags)
		? forward_failed(forward, "cannot listen on", err)
		: 0;
}

/* While frames move. What the whole network is made for at its begin cannot come later. */
static int user_forward(struct net *net, const struct net_forward *forward, bool remove,
	struct error *err)
{
	const int flags = SLIRP_HOSTFWD_V6ONLY | (forward->udp ? SLIRP_HOSTFWD_UDP : 0);
	struct user_net *user = user_of(net);
	struct sockaddr_storage host, guest;
	const socklen_t len = forward_ends(forward, &host, &guest);

	if (!user->slirp)
		return error_set(err, ENODEV, "the network has gone");
	if (remove) {
		errno = ENOENT;
		return slirp_remove_hostxfwd(user->slirp, (struct sockaddr *)&host, len, flags)
			? forward_failed(forward, "nothing is forwarded from", err)
			: 0;
	}
	if (host.ss_family == AF_INET6 && !user->gate.ipv6)
		return error_set(err, ENOTSUP,
			"the network has had no IPv6 since the guest's start; a start with the forward gives it some");
	if (forward->udp && user->closed)
		return error_set(err, ENOTSUP,
			"the first forward of UDP comes with the guest's start: without one, nothing answers to this host's own "
			"addresses");
	return open_forward(user, forward, err);
}

static int open_forwards(struct user_net *user, const struct net_spec *spec, struct error *err)
{
	struct error why = {""};
	int r = 0;

	for (unsigned i = 0; !r && i < spec->forwards; i++)
		r = open_forward(user, &spec->forward[i], &why);
	return r ? error_set(err, -r, "--net: %s", why.text) : 0;
}

/*
 * The gate decides who reaches the host's loopback addresses, by what it sees; libslirp decides it again,
 * but where UDP is forwarded, since it would not let the answers through.
 */
static bool closes_loopback(const struct net_spec *spec)
{
	bool udp = false;

	for (unsigned i = 0; i < spec->forwards; i++)
		udp |= spec->forward[i].udp;
	return !spec->loopback && !udp;
}

/* Where the host has none, a guest would only try in vain. */
static bool wants_ipv6(const struct net_spec *spec)
{
	for (unsigned i = 0; i < spec->forwards; i++)
		if (*spec->forward[i].host_addr6)
			return true;
	return resolver_host_has_ipv6() || resolver_host_ipv6_only();
}

static socklen_t host_server(void *ctx, unsigned n, struct sockaddr_storage *to)
{
	return resolver_host_server(n, to);
}

static int open_allowed(struct user_net *user, const struct net_spec *spec, struct error *err)
{
	const struct names_owner owner = {user, host_server, deliver};
	int r = spec->allows ? allow_create(spec->allow, spec->allows, &user->gate.allow, err) : 0;

	if (r || !spec->allows || !allow_has_names(user->gate.allow))
		return r;
	return names_create(user->gate.allow, &user->gate, &owner, &user->names, err);
}

static int user_open(const struct net_spec *spec, struct net **out, struct error *err)
{
	const SlirpConfig config = {
		.version = 4,
		.disable_host_loopback = closes_loopback(spec),
		.in_enabled = true,
		.in6_enabled = wants_ipv6(spec),
		.vnetwork.s_addr = htonl(0x0a000200),
		.vnetmask.s_addr = htonl(0xffffff00),
		.vhost.s_addr = htonl(0x0a000200 + GATE_HOST),
		.vnameserver.s_addr = htonl(0x0a000200 + GATE_NAMES),
		.vdhcp_start.s_addr = htonl(0x0a00020f),
		.vprefix_addr6 = {.s6_addr = {0xfe, 0xc0}},
		.vprefix_len = 64,
		.vhost6 = {.s6_addr = {0xfe, 0xc0, [15] = GATE_HOST}},
		.vnameserver6 = {.s6_addr = {0xfe, 0xc0, [15] = GATE_NAMES}},
		.if_mtu = MTU,
		.if_mru = MTU,
	};
	struct user_net *user = calloc(1, sizeof *user);
	int r;

	if (!user)
		return error_nomem(err);
	user->last = &user->first;
	gate_init(&user->gate, clock_now());
	user->gate.loopback = spec->loopback;
	user->gate.ipv6 = config.in6_enabled;
	user->closed = config.disable_host_loopback;
	user->room = 16;
	user->fds = calloc(user->room, sizeof *user->fds);
	r = net_begin(&user->net, &net_user_driver, err);
	if (!r && !user->fds)
		r = error_nomem(err);
	if (!r)
		r = open_allowed(user, spec, err);
	if (!r) {
		user->slirp = slirp_new(&config, &slirp_callbacks, user);
		if (!user->slirp)
			r = error_set(err, EIO, "user-mode networking cannot be started");
	}
	if (!r)
		r = open_forwards(user, spec, err);
	if (r) {
		net_close(&user->net);
		return r;
	}
	*out = &user->net;
	return 0;
}

static void user_cut(struct net *net)
{
	struct user_net *user = user_of(net);

	if (user->slirp)
		slirp_cleanup(user->slirp);
	user->slirp = NULL;
	names_free(user->names);
	user->names = NULL;
}

static void user_close(struct net *net)
{
	struct user_net *user = user_of(net);

	while (user->first)
		backlog_drop(user);
	allow_free(user->gate.allow);
	free(user->fds);
	free(user);
}

const struct net_driver net_user_driver = {
	.open = user_open,
	.run = user_run,
	.send = user_send,
	.forward = user_forward,
	.cut = user_cut,
	.close = user_close,
};
