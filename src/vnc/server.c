/* SPDX-License-Identifier: Apache-2.0 */
#include "vnc/server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vnc/internal.h"

#define CLIENTS_MAX 16u
#define FRAME 33           /* ms from one look at the picture to the next, while it changes */
#define FRAME_IDLE 100     /* and while it does not */
#define FRAMES_ACTIVE 30u  /* after the last change */
#define REFUSED_PAUSE 1000 /* ms without new connections after a wrong password */
#define READ_MAX 16384

struct serving {
	const struct vnc_server *server;
	struct vnc_screen screen;
	struct vnc_client *client[CLIENTS_MAX];
	unsigned clients;
	unsigned active;      /* looks that are still frequent */
	int64_t next;         /* when to look, ms */
	int64_t closed_until; /* to new clients */
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The picture */

static void draw(struct serving *s)
{
	struct vga_registers registers;

	memcpy(&registers, s->server->memory + VGA_MEMORY, sizeof registers);
	vga_picture_draw(&registers, s->server->memory, &s->screen.next);
}

static void mark_all(struct serving *s, const struct vnc_rect *rect)
{
	for (unsigned i = 0; i < s->clients; i++)
		vnc_mark(s->client[i], rect);
	s->active = FRAMES_ACTIVE;
}

/* A row of tiles: which of them have changed. */
static void compare_row(struct serving *s, unsigned y, unsigned height)
{
	const struct vga_picture *old = &s->screen.shown, *new = &s->screen.next;
	size_t line = (size_t)y * new->width;

	if (!memcmp(old->pixels + line, new->pixels + line, 4 * (size_t)height * new->width))
		return;
	for (unsigned x = 0; x < new->width; x += VNC_TILE) {
		unsigned width = new->width - x < VNC_TILE ? new->width - x : VNC_TILE, i = 0;

		while (i < height &&
			!memcmp(old->pixels + line + i * new->width + x,
				new->pixels + line + i *new->width + x, 4 * width))
			i++;
		if (i < height)
			mark_all(s, &(struct vnc_rect){x, y, width, height});
	}
}

static void look(struct serving *s)
{
	struct vga_picture *shown = &s->screen.shown, *next = &s->screen.next, old = *shown;

	draw(s);
	if (shown->width != next->width || shown->height != next->height)
		mark_all(s, &(struct vnc_rect){0, 0, next->width, next->height});
	else
		for (unsigned y = 0; y < next->height; y += VNC_TILE)
			compare_row(s, y,
				next->height - y < VNC_TILE ? next->height - y : VNC_TILE);
	*shown = *next;
	next->pixels = old.pixels;
}

/* Clients */

static void drop(struct serving *s, unsigned i)
{
	if (s->client[i]->refused)
		s->closed_until = now_ms() + REFUSED_PAUSE;
	vnc_client_destroy(s->client[i]);
	s->client[i] = s->client[--s->clients];
}

static void accept_client(struct serving *s, const struct vnc_door *door)
{
	int fd = accept4(door->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	look(s); /* how large it is, of which it hears first */
	s->client[s->clients] = vnc_client_create(s->server, &s->screen, door->password, fd);
	if (s->client[s->clients])
		s->clients++;
	else
		close(fd);
}

/* False: it has gone. */
static bool read_client(struct vnc_client *client)
{
	uint8_t data[READ_MAX];
	ssize_t n = recv(client->fd, data, sizeof data, 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n > 0)
		vnc_client_take(client, data, n);
	return n > 0;
}

static bool write_client(struct vnc_client *client)
{
	struct vnc_bytes *out = &client->out;
	ssize_t n = 0;

	if (out->lost)
		return false;
	if (out->len > client->out_at)
		n = send(client->fd, out->data + client->out_at, out->len - client->out_at,
			MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	client->out_at += n;
	if (client->out_at == out->len)
		client->out_at = out->len = 0;
	return true;
}

/* One that is to go hears its last words first, if it listens. */
static bool serve_client(struct serving *s, struct vnc_client *client, short revents)
{
	if ((revents & (POLLIN | POLLHUP | POLLERR)) && !read_client(client))
		return false;
	if (revents & POLLIN)
		s->active = FRAMES_ACTIVE;
	if (vnc_wants_update(client))
		vnc_send_update(client);
	return write_client(client) && client->state != VNC_ENDED;
}

static bool anybody_waits(const struct serving *s)
{
	for (unsigned i = 0; i < s->clients; i++) {
		const struct vnc_client *client = s->client[i];

		if (client->state == VNC_NORMAL && !client->out.len &&
			(client->requested || client->continuous))
			return true;
	}
	return false;
}

static int wait_ms(const struct serving *s, bool closed)
{
	int64_t now = now_ms(), until = INT64_MAX;

	if (anybody_waits(s))
		until = s->next;
	if (closed && s->closed_until < until)
		until = s->closed_until;
	return until == INT64_MAX ? -1 : until > now ? (int)(until - now) : 0;
}

/* False: the monitor has gone. */
static bool serve_once(struct serving *s)
{
	struct pollfd fds[1 + VNC_DOORS + CLIENTS_MAX], *of_clients = fds + 1 + VNC_DOORS;
	bool closed = now_ms() < s->closed_until;

	fds[0] = (struct pollfd){.fd = s->server->monitor, .events = POLLIN};
	for (unsigned i = 0; i < VNC_DOORS; i++) {
		const struct vnc_door *door = &s->server->door[i];
		bool shut = s->clients == CLIENTS_MAX || (closed && door->password);

		fds[1 + i] = (struct pollfd){.fd = shut ? -1 : door->fd, .events = POLLIN};
	}
	for (unsigned i = 0; i < s->clients; i++)
		of_clients[i] = (struct pollfd){.fd = s->client[i]->fd,
			.events = POLLIN | (s->client[i]->out.len ? POLLOUT : 0)};
	if (poll(fds, 1 + VNC_DOORS + s->clients, wait_ms(s, closed)) < 0)
		return errno == EINTR;
	if (fds[0].revents)
		return false;
	if (anybody_waits(s) && now_ms() >= s->next) {
		look(s);
		s->next = now_ms() + (s->active ? FRAME : FRAME_IDLE);
		s->active -= s->active ? 1 : 0;
	}
	/* From the last on, since one that goes leaves its place to that. */
	for (unsigned i = s->clients; i--;)
		if (!serve_client(s, s->client[i], of_clients[i].revents))
			drop(s, i);
	for (unsigned i = 0; i < VNC_DOORS && s->clients < CLIENTS_MAX; i++)
		if (fds[1 + i].revents & POLLIN)
			accept_client(s, &s->server->door[i]);
	return true;
}

int vnc_serve(const struct vnc_server *server, struct error *err)
{
	struct serving s = {.server = server};

	s.screen.shown.pixels = malloc(4 * (size_t)VGA_PICTURE_MAX);
	s.screen.next.pixels = malloc(4 * (size_t)VGA_PICTURE_MAX);
	if (!s.screen.shown.pixels || !s.screen.next.pixels) {
		free(s.screen.shown.pixels);
		free(s.screen.next.pixels);
		return error_set(err, ENOMEM, "out of memory");
	}
	look(&s);
	while (serve_once(&s))
		;
	while (s.clients)
		drop(&s, s.clients - 1);
	free(s.screen.shown.pixels);
	free(s.screen.next.pixels);
	return 0;
}
