/* SPDX-License-Identifier: Apache-2.0 */
/* A connection from its first byte to where messages begin (RFC 6143, 7.1 to 7.3). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "vnc/internal.h"

#define VERSION "RFB 003.008\n"
#define VERSION_LENGTH 12u
#define SECURITY_NONE 1u
#define SECURITY_VNC 2u
#define OUT_MAX (16u << 20) /* bytes that wait for a client that does not read */

struct vnc_client *vnc_client_create(const struct vnc_server *server,
	const struct vnc_screen *screen, const char *password, int fd)
{
	struct vnc_client *client = calloc(1, sizeof *client);

	if (!client)
		return NULL;
	client->server = server;
	client->screen = screen;
	client->password = password;
	client->fd = fd;
	client->format = vnc_format_own;
	vnc_put(&client->out, VERSION, VERSION_LENGTH);
	return client;
}

void vnc_client_destroy(struct vnc_client *client)
{
	if (!client)
		return;
	vnc_release_keys(client);
	if (client->zlib_ready)
		deflateEnd(&client->zlib);
	free(client->out.data);
	if (client->fd >= 0)
		close(client->fd);
	free(client);
}

static uint8_t security(const struct vnc_client *client)
{
	return client->password ? SECURITY_VNC : SECURITY_NONE;
}

static void send_challenge(struct vnc_client *client)
{
	if (getrandom(client->challenge, VNC_CHALLENGE, 0) != VNC_CHALLENGE) {
		client->state = VNC_ENDED;
		return;
	}
	vnc_put(&client->out, client->challenge, VNC_CHALLENGE);
	client->state = VNC_ANSWER;
}

static void send_result(struct vnc_client *client)
{
	static const char why[] = "wrong password";

	vnc_put_number(&client->out, client->refused, 4);
	client->state = client->refused ? VNC_ENDED : VNC_INIT;
	if (!client->refused || client->minor < 8)
		return;
	vnc_put_number(&client->out, sizeof why - 1, 4);
	vnc_put(&client->out, why, sizeof why - 1);
}

static size_t take_version(struct vnc_client *client)
{
	unsigned major, minor;

	if (client->in_len < VERSION_LENGTH)
		return 0;
	client->in[VERSION_LENGTH - 1] = 0;
	if (sscanf((const char *)client->in, "RFB %3u.%3u", &major, &minor) != 2 || major != 3) {
		client->state = VNC_ENDED;
		return VERSION_LENGTH;
	}
	/* Others than these three are 3.3 (RFC 6143, 7.1.1). */
	client->minor = minor >= 8 ? 8 : minor == 7 ? 7 : 3;
	if (client->minor > 3) {
		vnc_put(&client->out, (uint8_t[]){1, security(client)}, 2);
		client->state = VNC_SECURITY;
		return VERSION_LENGTH;
	}
	vnc_put_number(&client->out, security(client), 4);
	if (client->password)
		send_challenge(client);
	else
		client->state = VNC_INIT;
	return VERSION_LENGTH;
}

static size_t take_security(struct vnc_client *client)
{
	if (client->in[0] != security(client))
		client->state = VNC_ENDED;
	else if (client->password)
		send_challenge(client);
	else if (client->minor >= 8)
		send_result(client);
	else
		client->state = VNC_INIT;
	return 1;
}

static size_t take_answer(struct vnc_client *client)
{
	uint8_t right[VNC_CHALLENGE], differs = 0;

	if (client->in_len < VNC_CHALLENGE)
		return 0;
	vnc_password_answer(client->password, client->challenge, right);
	for (unsigned i = 0; i < VNC_CHALLENGE; i++)
		differs |= right[i] ^ client->in[i];
	client->refused = differs;
	send_result(client);
	return VNC_CHALLENGE;
}

/* Whether others may stay does not count: they may. */
static size_t take_init(struct vnc_client *client)
{
	static const uint8_t format[16] = {32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0};
	const char *name = client->server->name;

	client->width = client->screen->shown.width;
	client->height = client->screen->shown.height;
	vnc_put_number(&client->out, client->width << 16 | client->height, 4);
	vnc_put(&client->out, format, sizeof format);
	vnc_put_number(&client->out, strlen(name), 4);
	vnc_put(&client->out, name, strlen(name));
	client->state = VNC_NORMAL;
	return 1;
}

static size_t take_one(struct vnc_client *client)
{
	switch (client->state) {
	case VNC_VERSION:
		return take_version(client);
	case VNC_SECURITY:
		return take_security(client);
	case VNC_ANSWER:
		return take_answer(client);
	case VNC_INIT:
		return take_init(client);
	case VNC_NORMAL:
		return vnc_message(client);
	case VNC_ENDED:
		break;
	}
	return 0;
}

size_t vnc_login_needs(const struct vnc_client *client)
{
	const size_t whole = client->state == VNC_VERSION ? VERSION_LENGTH
		: client->state == VNC_ANSWER             ? VNC_CHALLENGE
							  : 1;

	return whole - client->in_len;
}

static void take_messages(struct vnc_client *client)
{
	size_t used = 1;

	while (used && client->in_len) {
		if (client->skip) {
			used = client->skip < client->in_len ? client->skip : client->in_len;
			client->skip -= used;
		} else {
			used = take_one(client);
		}
		client->in_len -= used;
		memmove(client->in, client->in + used, client->in_len);
	}
}

void vnc_client_take(struct vnc_client *client, const uint8_t *data, size_t len)
{
	while (len && client->state != VNC_ENDED) {
		size_t room = sizeof client->in - client->in_len, part = len < room ? len : room;

		memcpy(client->in + client->in_len, data, part);
		client->in_len += part;
		data += part;
		len -= part;
		take_messages(client);
		/* No message that is looked at is so long. */
		if (client->in_len == sizeof client->in)
			client->state = VNC_ENDED;
	}
	if (client->out.len - client->out_at > OUT_MAX)
		client->state = VNC_ENDED;
}
