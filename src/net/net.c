/* SPDX-License-Identifier: Apache-2.0 */
/* What all kinds of networks have in common: a thread, and how it is woken. */
#include "net/net.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/thread.h"
#include "net/driver.h"

#define RATE_INTERVAL_US 50000 /* xl's */

/* The kinds; NET_NONE has no endpoint. */
static const struct net_driver *const drivers[NET_KINDS] = {
	[NET_USER] = &net_user_driver,
	[NET_TAP] = &net_tap_driver,
};

int net_open(const struct net_spec *spec, struct net **net, struct error *err)
{
	int r = drivers[spec->kind]->open(spec, net, err);

	if (r)
		return r;
	(*net)->mtu = spec->mtu;
	(*net)->rate = (int64_t)spec->rate;
	(*net)->burst = (int64_t)((__uint128_t)spec->rate *
		(spec->rate_interval ? spec->rate_interval : RATE_INTERVAL_US) / 1000000);
	(*net)->credit = (*net)->burst;
	(*net)->credited = clock_now();
	return 0;
}

int net_begin(struct net *net, const struct net_driver *driver, struct error *err)
{
	net->driver = driver;
	mutex_init(&net->lock);
	pthread_cond_init(&net->ordered, NULL);
	net->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (net->event < 0)
		return error_set(err, errno, "eventfd: %s", strerror(errno));
	return 0;
}

static void *net_thread(void *arg)
{
	struct net *net = arg;

	pthread_setname_np(pthread_self(), "net");
	net->driver->run(net);
	return NULL;
}

int net_start(struct net *net, const struct net_client *client, struct error *err)
{
	int r;

	net->client = *client;
	net->started = true;
	r = thread_start(&net->thread, 0, net_thread, net);
	if (!r)
		return 0;
	net->started = false;
	return error_set(err, -r, "cannot start the network's thread: %s", thread_error(-r));
}

bool net_stopping(const struct net *net)
{
	return __atomic_load_n(&net->stop, __ATOMIC_ACQUIRE);
}

void net_take_kick(struct net *net)
{
	uint64_t count;

	if (read(net->event, &count, sizeof count) < 0)
		return;
	/* First this, then look: a kick that comes after writes the event again. */
	__atomic_store_n(&net->kicked, false, __ATOMIC_SEQ_CST);
	mutex_lock(&net->lock);
	if (net->order) {
		struct net_order *order = net->order;

		order->r = net->driver->forward(net, order->forward, order->remove, order->err);
		order->done = true;
		net->order = NULL;
		pthread_cond_broadcast(&net->ordered);
	}
	mutex_unlock(&net->lock);
}

int net_forward(struct net *net, const struct net_forward *forward, bool remove, struct error *err)
{
	struct net_order order = {.forward = forward, .remove = remove, .err = err};

	if (!net->driver->forward)
		return error_set(err, ENOTSUP, "ports are forwarded to networks in user mode only");
	if (!net->started)
		return net->driver->forward(net, forward, remove, err);
	mutex_lock(&net->lock);
	while (net->order)
		mutex_wait(&net->lock, &net->ordered);
	net->order = &order;
	net_kick(net);
	while (!order.done)
		mutex_wait(&net->lock, &net->ordered);
	mutex_unlock(&net->lock);
	return order.r;
}

void net_kick(struct net *net)
{
	const uint64_t one = 1;

	if (__atomic_exchange_n(&net->kicked, true, __ATOMIC_SEQ_CST))
		return;
	if (write(net->event, &one, sizeof one) < 0)
		return; /* its counter cannot be full */
}

int net_kick_fd(struct net *net)
{
	return net->event;
}

void net_send(struct net *net, const uint8_t *frame, size_t len)
{
	if (len >= NET_HEADER_LEN && len <= NET_FRAME_MAX)
		net->driver->send(net, frame, len);
}

bool net_is_offloaded(const struct net *net)
{
	return net->driver->send_unfinished != NULL;
}

void net_send_unfinished(struct net *net, const struct virtio_net_hdr_v1 *header,
	const uint8_t *frame, size_t len)
{
	if (len >= NET_HEADER_LEN && len <= NET_FRAME_MAX)
		net->driver->send_unfinished(net, header, frame, len);
}

void net_set_offloads(struct net *net, unsigned offloads)
{
	if (net_is_offloaded(net))
		net->driver->set_offloads(net, offloads);
}

void net_set_away(struct net *net, bool away)
{
	__atomic_store_n(&net->away, away, __ATOMIC_RELEASE);
	net_kick(net);
}

bool net_is_away(const struct net *net)
{
	return __atomic_load_n(&net->away, __ATOMIC_ACQUIRE);
}

int net_descriptor(const struct net *net)
{
	return net->driver->descriptor ? net->driver->descriptor(net) : -1;
}

unsigned net_mtu(const struct net *net)
{
	return net->mtu;
}

static void add_credit(struct net *net)
{
	const uint64_t now = clock_now();
	const __int128_t more = (__int128_t)net->rate * (now - net->credited) / 1000000000;
	const __int128_t credit = net->credit + more;

	/* Less than a byte's time is not lost. */
	if (!more)
		return;
	net->credit =
		(int64_t)(credit > net->burst && credit > 1 ? (net->burst > 1 ? net->burst : 1)
							    : credit);
	net->credited = now;
}

bool net_may_send(struct net *net)
{
	if (!net->rate)
		return true;
	add_credit(net);
	net->held = net->credit <= 0;
	return !net->held;
}

void net_has_sent(struct net *net, size_t len)
{
	if (net->rate)
		net->credit -= (int64_t)len;
}

int net_held_ms(struct net *net)
{
	int64_t ms;

	if (!net->held)
		return -1;
	ms = (int64_t)((__int128_t)(1 - net->credit) * 1000 / net->rate);
	return ms < 1 ? 1 : ms > 1000 ? 1000 : (int)ms;
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

void net_cut(struct net *net)
{
	net_stop(net);
	net->driver->cut(net);
}

void net_close(struct net *net)
{
	int event = net ? net->event : -1;

	if (!net)
		return;
	net_cut(net);
	net->driver->close(net);
	if (event >= 0)
		close(event);
}
