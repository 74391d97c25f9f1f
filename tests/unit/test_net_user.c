/* SPDX-License-Identifier: Apache-2.0 */
/* The user-mode network's frames for a guest that takes them slowly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "net/net.h"

#define FIRST 4u
#define ROUNDS 10u
#define ALL (FIRST + ROUNDS)
#define OWN_ADDRESS 38 /* in an answer of ARP: whom it is for, and there its last byte */

/* The guest: each question of it is answered by the gateway with one frame. */
struct slow {
	struct net *net;
	/* Only the endpoint's thread; between two kicks the test's. */
	unsigned ask; /* questions to send with the next kick */
	unsigned asked;
	unsigned room; /* frames that it takes before the next kick */
	uint8_t got[ALL];
	unsigned count;
	unsigned rounds; /* flushes; any thread */
};

/* Who has 10.0.2.2? Tell 10.0.2.(20 + n). */
static void question(struct slow *slow, unsigned n)
{
	uint8_t frame[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8,
		6, 0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 10, 0, 2, 20 + n, 0, 0,
		0, 0, 0, 0, 10, 0, 2, 2};

	net_send(slow->net, frame, sizeof frame);
}

static bool transmit(void *ctx)
{
	struct slow *slow = ctx;

	for (; slow->ask; slow->ask--)
		question(slow, slow->asked++);
	return false;
}

static bool receive(void *ctx, const uint8_t *frame, size_t len)
{
	struct slow *slow = ctx;

	if (len <= OWN_ADDRESS + 3 || frame[12] != 8 || frame[13] != 6)
		return true; /* not an answer */
	if (!slow->room)
		return false;
	slow->room--;
	if (slow->count < ALL)
		slow->got[slow->count] = frame[OWN_ADDRESS + 3];
	slow->count++;
	return true;
}

static void flush(void *ctx)
{
	struct slow *slow = ctx;

	__atomic_fetch_add(&slow->rounds, 1, __ATOMIC_RELEASE);
}

/* The thread is at rest before and after: it wakes for kicks alone. */
static void kick(struct slow *slow, unsigned ask, unsigned room)
{
	unsigned before = __atomic_load_n(&slow->rounds, __ATOMIC_ACQUIRE);

	slow->ask = ask;
	slow->room = room;
	net_kick(slow->net);
	for (unsigned ms = 0; __atomic_load_n(&slow->rounds, __ATOMIC_ACQUIRE) == before; ms++) {
		assert_true(ms < 20000);
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	}
}

/* What waits comes in its order and all of it, also when more comes while some of it is taken. */
static void frames_wait_for_room(void **state)
{
	const struct net_spec spec = {.kind = NET_USER};
	struct slow slow = {0};
	const struct net_client client = {.ctx = &slow,
		.transmit = transmit,
		.receive = receive,
		.flush = flush};

	assert_int_equal(net_open(&spec, &slow.net, NULL), 0);
	assert_int_equal(net_start(slow.net, &client, NULL), 0);
	kick(&slow, FIRST, 0);
	for (unsigned n = 0; n < ROUNDS; n++)
		kick(&slow, 1, 1);
	kick(&slow, 0, ALL);
	net_stop(slow.net);
	assert_int_equal(slow.count, ALL);
	for (unsigned n = 0; n < ALL; n++)
		assert_int_equal(slow.got[n], 20 + n);
	net_close(slow.net);
}

/* And what still waits when the network goes is freed: AddressSanitizer looks. */
static void what_waits_at_the_end_is_dropped(void **state)
{
	const struct net_spec spec = {.kind = NET_USER};
	struct slow slow = {0};
	const struct net_client client = {.ctx = &slow,
		.transmit = transmit,
		.receive = receive,
		.flush = flush};

	assert_int_equal(net_open(&spec, &slow.net, NULL), 0);
	assert_int_equal(net_start(slow.net, &client, NULL), 0);
	kick(&slow, FIRST, 1);
	net_close(slow.net);
	assert_int_equal(slow.count, 1);
	/* One that was never started. */
	assert_int_equal(net_open(&spec, &slow.net, NULL), 0);
	net_close(slow.net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_wait_for_room),
		cmocka_unit_test(what_waits_at_the_end_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
