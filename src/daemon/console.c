/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* From one end to the other. */
struct pipe_half {
	char data[CONSOLE_ROOM];
	size_t used;
	bool ended; /* nothing more comes */
};

struct console {
	struct console **list, *next;
	struct loop *loop;
	struct loop_fd client, guest;
	struct pipe_half to_client, to_guest;
	struct MHD_UpgradeResponseHandle *handle; /* NULL: the client's end is not ours yet */
};

static void console_close(struct console *console)
{
	for (struct console **at = console->list; *at; at = &(*at)->next) {
		if (*at == console) {
			*at = console->next;
			break;
		}
	}
	if (console->handle) {
		loop_fd_remove(console->loop, &console->client);
		loop_fd_remove(console->loop, &console->guest);
		MHD_upgrade_action(console->handle, MHD_UPGRADE_ACTION_CLOSE);
	}
	close(console->guest.fd);
	free(console);
}

/* 0, or -1 when the end is dead. */
static int receive(int fd, struct pipe_half *half)
{
	ssize_t n;

	if (half->ended || half->used == CONSOLE_ROOM)
		return 0;
	n = recv(fd, half->data + half->used, CONSOLE_ROOM - half->used, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	half->used += n;
	half->ended = !n;
	return 0;
}

static int transmit(int fd, struct pipe_half *half)
{
	ssize_t n;

	if (!half->used)
		return 0;
	n = send(fd, half->data, half->used, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	half->used -= n;
	memmove(half->data, half->data + n, half->used);
	return 0;
}

static void want(struct console *console)
{
	const struct pipe_half *to_client = &console->to_client, *to_guest = &console->to_guest;

	console->client.events = (!to_guest->ended && to_guest->used < CONSOLE_ROOM ? POLLIN : 0) |
		(to_client->used ? POLLOUT : 0);
	console->guest.events = (!to_client->ended && to_client->used < CONSOLE_ROOM ? POLLIN : 0) |
		(to_guest->used ? POLLOUT : 0);
}

static void carry(struct console *console, bool client, short revents)
{
	int fd = client ? console->client.fd : console->guest.fd;
	int other = client ? console->guest.fd : console->client.fd;
	struct pipe_half *from = client ? &console->to_guest : &console->to_client;
	struct pipe_half *to = client ? &console->to_client : &console->to_guest;
	int r = 0;

	if (revents & POLLOUT)
		r = transmit(fd, to);
	if (!r && revents & (POLLIN | POLLHUP | POLLERR))
		r = receive(fd, from);
	if (!r)
		r = transmit(other, from);
	/* The guest's last words are still delivered; without a client there is nothing to do. */
	if (r || console->to_guest.ended || (console->to_client.ended && !console->to_client.used))
		console_close(console);
	else
		want(console);
}

static void client_ready(void *ctx, short revents)
{
	carry(ctx, true, revents);
}

static void guest_ready(void *ctx, short revents)
{
	carry(ctx, false, revents);
}

static void upgraded(void *ctx, struct MHD_Connection *connection, void *request_ctx,
	const char *extra, size_t extra_size, MHD_socket fd,
	struct MHD_UpgradeResponseHandle *handle)
{
	struct console *console = ctx;
	struct request *request = request_ctx;

	request->joining = NULL;
	console->next = *console->list;
	*console->list = console;
	/* What the client said before it was answered. */
	if (extra_size > CONSOLE_ROOM)
		extra_size = CONSOLE_ROOM;
	memcpy(console->to_guest.data, extra, extra_size);
	console->to_guest.used = extra_size;
	console->handle = handle;
	console->client = (struct loop_fd){.fd = fd, .ready = client_ready, .ctx = console};
	console->guest.ready = guest_ready;
	console->guest.ctx = console;
	want(console);
	loop_fd_add(console->loop, &console->client);
	loop_fd_add(console->loop, &console->guest);
}

enum MHD_Result console_respond(struct console **list, struct loop *loop, struct request *request)
{
	struct console *console = calloc(1, sizeof *console);
	struct MHD_Response *response = NULL;
	enum MHD_Result result;

	if (console)
		response = MHD_create_response_for_upgrade(upgraded, console);
	if (!response) {
		free(console);
		return MHD_NO;
	}
	console->loop = loop;
	console->list = list;
	console->guest.fd = request->console;
	request->console = -1;
	request->joining = console;
	MHD_add_response_header(response, "Upgrade", "dach-console");
	result = MHD_queue_response(request->connection, MHD_HTTP_SWITCHING_PROTOCOLS, response);
	MHD_destroy_response(response);
	return result;
}

void console_abandon(struct console *console)
{
	if (console)
		console_close(console);
}

void console_close_all(struct console **list)
{
	while (*list)
		console_close(*list);
}
