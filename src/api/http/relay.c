/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http/relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "daemon/daemon.h"

#define RELAY_ROOM (256u << 10) /* what a guest that moves is sent in at once */

/* From one end to the other. */
struct pipe_half {
	char data[RELAY_ROOM];
	size_t start, used;
	bool ended; /* nothing more comes */
};

struct relay {
	struct relay *next;
	const char *protocol;
	struct exchange_group *group; /* whose relays it is one of, once it has the client's end */
	struct loop_fd client, guest;
	struct pipe_half to_client, to_guest;
	struct MHD_UpgradeResponseHandle *handle; /* NULL: the client's end is not ours yet */
};

static void relay_close(struct relay *relay)
{
	struct loop *loop = relay->group->daemon->loop;

	for (struct relay **at = &relay->group->relays; *at; at = &(*at)->next) {
		if (*at == relay) {
			*at = relay->next;
			break;
		}
	}
	if (relay->handle) {
		loop_fd_remove(loop, &relay->client);
		loop_fd_remove(loop, &relay->guest);
		MHD_upgrade_action(relay->handle, MHD_UPGRADE_ACTION_CLOSE);
		relay->group->resumed = true; /* the client sees its end when libmicrohttpd runs */
	}
	close(relay->guest.fd);
	free(relay);
}

/* 0, or -1 when the end is dead. */
static int receive(int fd, struct pipe_half *half)
{
	ssize_t n;

	if (half->ended || half->used == RELAY_ROOM)
		return 0;
	if (half->start) {
		memmove(half->data, half->data + half->start, half->used);
		half->start = 0;
	}
	n = recv(fd, half->data + half->used, RELAY_ROOM - half->used, MSG_DONTWAIT);
	/* One that has closed without reading all has still said what it had to say. */
	if (n < 0 && errno != ECONNRESET)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	half->used += n > 0 ? n : 0;
	half->ended = n <= 0;
	return 0;
}

static int transmit(int fd, struct pipe_half *half)
{
	ssize_t n;

	if (!half->used)
		return 0;
	n = send(fd, half->data + half->start, half->used, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	half->used -= n;
	half->start = half->used ? half->start + n : 0;
	return 0;
}

static void want(struct relay *relay)
{
	const struct pipe_half *to_client = &relay->to_client, *to_guest = &relay->to_guest;

	relay->client.events = (!to_guest->ended && to_guest->used < RELAY_ROOM ? POLLIN : 0) |
		(to_client->used ? POLLOUT : 0);
	relay->guest.events = (!to_client->ended && to_client->used < RELAY_ROOM ? POLLIN : 0) |
		(to_guest->used ? POLLOUT : 0);
}

static void carry(struct relay *relay, bool client, short revents)
{
	int fd = client ? relay->client.fd : relay->guest.fd;
	int other = client ? relay->guest.fd : relay->client.fd;
	struct pipe_half *from = client ? &relay->to_guest : &relay->to_client;
	struct pipe_half *to = client ? &relay->to_client : &relay->to_guest;
	int r = 0;

	if (revents & POLLOUT)
		r = transmit(fd, to);
	if (!r && revents & (POLLIN | POLLHUP | POLLERR))
		r = receive(fd, from);
	if (!r)
		r = transmit(other, from);
	/* The last words of either are still delivered. */
	if (r || (relay->to_guest.ended && !relay->to_guest.used) ||
		(relay->to_client.ended && !relay->to_client.used))
		relay_close(relay);
	else
		want(relay);
}

static void client_ready(void *ctx, short revents)
{
	carry(ctx, true, revents);
}

static void guest_ready(void *ctx, short revents)
{
	carry(ctx, false, revents);
}

static void upgraded(void *ctx, struct MHD_Connection *connection, void *exchange_ctx,
	const char *extra, size_t extra_size, MHD_socket fd,
	struct MHD_UpgradeResponseHandle *handle)
{
	struct relay *relay = ctx;
	struct exchange *exchange = exchange_ctx;
	struct loop *loop = relay->group->daemon->loop;

	exchange->relay = NULL;
	relay->next = relay->group->relays;
	relay->group->relays = relay;
	/* What the client said before it was answered. */
	if (extra_size > RELAY_ROOM)
		extra_size = RELAY_ROOM;
	memcpy(relay->to_guest.data, extra, extra_size);
	relay->to_guest.used = extra_size;
	relay->handle = handle;
	relay->client = (struct loop_fd){.fd = fd, .ready = client_ready, .ctx = relay};
	relay->guest.ready = guest_ready;
	relay->guest.ctx = relay;
	want(relay);
	loop_fd_add(loop, &relay->client);
	loop_fd_add(loop, &relay->guest);
}

bool relay_asked(struct exchange *exchange, const char *protocol)
{
	const char *upgrade =
		MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, "Upgrade");
	char text[128];

	if (upgrade && !strcasecmp(upgrade, protocol))
		return true;
	snprintf(text, sizeof text, "ask for it with Connection: Upgrade and Upgrade: %s",
		protocol);
	exchange->protocol = protocol;
	exchange_refuse_as(exchange, 426, -EINVAL, text);
	return false;
}

void relay_begin(struct exchange *exchange, const char *protocol, int fd)
{
	struct relay *relay = calloc(1, sizeof *relay);

	if (!relay) {
		close(fd);
		exchange_refuse(exchange, -ENOMEM, "out of memory");
		return;
	}
	relay->group = exchange->group;
	relay->protocol = protocol;
	relay->guest.fd = fd;
	exchange->relay = relay;
	exchange_answer(exchange, 101, NULL);
}

typedef int open_stream(struct daemon *daemon, const struct caller *caller, const char *ref,
	int *fd, bool *no_guest, struct error *err);

static void relay_stream(struct exchange *exchange, const char *ref, const char *protocol,
	open_stream *open)
{
	struct error err = {0};
	bool no_guest;
	int fd, r;

	if (!relay_asked(exchange, protocol))
		return;
	r = open(exchange->group->daemon, &exchange->caller, ref, &fd, &no_guest, &err);
	if (no_guest)
		exchange_unknown(exchange, err.text);
	else if (r)
		exchange_refuse(exchange, r, err.text);
	else
		relay_begin(exchange, protocol, fd);
}

void relay_console(struct exchange *exchange, const char *ref)
{
	relay_stream(exchange, ref, RELAY_CONSOLE, operation_console);
}

void relay_screen(struct exchange *exchange, const char *ref)
{
	relay_stream(exchange, ref, RELAY_SCREEN, operation_screen);
}

enum MHD_Result relay_respond(struct exchange *exchange)
{
	struct MHD_Response *response = MHD_create_response_for_upgrade(upgraded, exchange->relay);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Upgrade", exchange->relay->protocol);
	result = MHD_queue_response(exchange->connection, MHD_HTTP_SWITCHING_PROTOCOLS, response);
	MHD_destroy_response(response);
	return result;
}

void relay_abandon(struct exchange *exchange)
{
	if (exchange->relay)
		relay_close(exchange->relay);
	exchange->relay = NULL;
}

void relay_close_all(struct exchange_group *group)
{
	while (group->relays)
		relay_close(group->relays);
}
