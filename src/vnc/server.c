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

#define DOOR_CLIENTS 8u /* of each door, so that who fills one does not shut the other */
#define CLIENTS_MAX (VNC_DOORS * DOOR_CLIENTS)
#define LOGIN_MAX 60000    /* ms until a client has to be in: somebody types a password meanwhile */
#define FRAME 33           /* ms from one look at the picture to the next, while it changes */
#define FRAME_IDLE 100     /* and while it does not */
#define FRAMES_ACTIVE 30u  /* after the last change */
#define REFUSED_PAUSE 1000 /* ms until the next password is looked at after a wrong one */
#define READ_MAX 16384

struct serving {
	const struct vnc_server *server;
	struct vnc_screen screen;
	struct vnc_client *client[CLIENTS_MAX]; /* the oldest first */
	unsigned clients;
	unsigned active;       /* looks that are still frequent */
	int64_t next;          /* when to look, ms */
	int64_t refused_until; /* no password is looked at */
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
		s->refused_until = now_ms() + REFUSED_PAUSE;
	vnc_client_destroy(s->client[i]);
	s->clients--;
	memmove(s->client + i, s->client + i + 1, (s->clients - i) * sizeof *s->client);
}

static bool is_in(const struct vnc_client *client)
{
	return client->state == VNC_NORMAL;
}

/* It has said its password, which is not looked at yet. */
static bool has_answered(const struct vnc_client *client)
{
	uint8_t answer[VNC_CHALLENGE];

	return client->state == VNC_ANSWER &&
		recv(client->fd, answer, sizeof answer, MSG_PEEK) + (ssize_t)client->in_len >=
		VNC_CHALLENGE;
}

/*
 * A door's clients, and which of them goes for a newcomer if it is full: who has been there longest without
 * saying what lets it in. CLIENTS_MAX: none.
 */
static unsigned count_door(const struct serving *s, unsigned door, unsigned *oldest)
{
	unsigned count = 0;

	*oldest = CLIENTS_MAX;
	for (unsigned i = 0; i < s->clients; i++) {
		const struct vnc_client *client = s->client[i];

		if (client->door != door)
			continue;
		count++;
		if (*oldest == CLIENTS_MAX && !is_in(client) && !has_answered(client))
			*oldest = i;
	}
	return count;
}

static bool door_is_full(const struct serving *s, unsigned door)
{
	unsigned oldest;

	return count_door(s, door, &oldest) == DOOR_CLIENTS && oldest == CLIENTS_MAX;
}

static void accept_client(struct serving *s, unsigned n)
{
	const struct vnc_door *door = &s->server->door[n];
	int fd = accept4(door->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct vnc_client *client;
	unsigned oldest;

	if (fd < 0)
		return;
	if (count_door(s, n, &oldest) == DOOR_CLIENTS) {
		if (oldest == CLIENTS_MAX) {
			close(fd);
			return;
		}
		drop(s, oldest);
	}
	look(s); /* how large it is, of which it hears first */
	client = vnc_client_create(s->server, &s->screen, door->password, fd);
	if (!client) {
		close(fd);
		return;
	}
	client->door = n;
	client->since = now_ms();
	s->client[s->clients++] = client;
}

/* False: it has gone. Who is not in yet is heard a message at a time, so that a password is one. */
static bool read_client(struct vnc_client *client)
{
	uint8_t data[READ_MAX];
	size_t len = is_in(client) ? sizeof data : vnc_login_needs(client);
	ssize_t n = recv(client->fd, data, len, 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n > 0)
		vnc_client_take(client, data, n);
	/* Its last words would be lost with what it has said beyond that. */
	if (client->state == VNC_ENDED)
		recv(client->fd, data, sizeof data, 0);
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

		if (is_in(client) && !client->out.len && (client->requested || client->continuous))
			return true;
	}
	return false;
}

static int wait_ms(const struct serving *s)
{
	int64_t now = now_ms(), until = INT64_MAX;

	if (anybody_waits(s))
		until = s->next;
	if (s->refused_until > now && s->refused_until < until)
		until = s->refused_until;
	for (unsigned i = 0; i < s->clients; i++)
		if (!is_in(s->client[i]) && s->client[i]->since + LOGIN_MAX < until)
			until = s->client[i]->since + LOGIN_MAX;
	return until == INT64_MAX ? -1 : until > now ? (int)(until - now) : 0;
}

/*
 * The clients that may speak. Of passwords it is one each time, and none for a while after a wrong one: whose
 * connection is oldest comes first, however many others there are.
 */
static void poll_clients(const struct serving *s, struct pollfd *fds)
{
	const bool refused = now_ms() < s->refused_until;

	for (unsigned i = 0; i < s->clients; i++) {
		const struct vnc_client *client = s->client[i];

		fds[i] = (struct pollfd){.fd = refused && client->state == VNC_ANSWER ? -1
										      : client->fd,
			.events = POLLIN | (client->out.len ? POLLOUT : 0)};
	}
}

static void choose_answer(const struct serving *s, struct pollfd *fds)
{
	bool chosen = false;

	for (unsigned i = 0; i < s->clients; i++) {
		if (s->client[i]->state != VNC_ANSWER || !(fds[i].revents & ~POLLOUT))
			continue;
		if (chosen)
			fds[i].revents = 0;
		chosen = true;
	}
}

static void serve_clients(struct serving *s, struct pollfd *fds)
{
	const int64_t now = now_ms();

	choose_answer(s, fds);
	/* From the last on, since those behind one that goes move up. */
	for (unsigned i = s->clients; i--;) {
		struct vnc_client *client = s->client[i];

		if (!serve_client(s, client, fds[i].revents) ||
			(!is_in(client) && now - client->since >= LOGIN_MAX))
			drop(s, i);
	}
}

/* False: the monitor has gone. */
static bool serve_once(struct serving *s)
{
	struct pollfd fds[1 + VNC_DOORS + CLIENTS_MAX], *of_clients = fds + 1 + VNC_DOORS;

	fds[0] = (struct pollfd){.fd = s->server->monitor, .events = POLLIN};
	for (unsigned i = 0; i < VNC_DOORS; i++)
		fds[1 + i] = (struct pollfd){.fd = door_is_full(s, i) ? -1 : s->server->door[i].fd,
			.events = POLLIN};
	poll_clients(s, of_clients);
	if (poll(fds, 1 + VNC_DOORS + s->clients, wait_ms(s)) < 0)
		return errno == EINTR;
	if (fds[0].revents)
		return false;
	if (anybody_waits(s) && now_ms() >= s->next) {
		look(s);
		s->next = now_ms() + (s->active ? FRAME : FRAME_IDLE);
		s->active -= s->active ? 1 : 0;
	}
	serve_clients(s, of_clients);
	for (unsigned i = 0; i < VNC_DOORS; i++)
		if (fds[1 + i].revents & POLLIN)
			accept_client(s, i);
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
