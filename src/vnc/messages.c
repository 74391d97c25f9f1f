/* SPDX-License-Identifier: Apache-2.0 */
/* What clients say (RFC 6143, 7.5; and the community's specification for the later ones). */
#include <string.h>
#include <sys/socket.h>

#include "vnc/internal.h"

#define ENCODINGS_MAX 1000u
#define TEXT_MAX (1u << 20)
#define FENCE_MAX 64u
#define FENCE_REQUEST 0x80000000u
#define FENCE_KNOWN 0x00000007u /* all that is said before and after is in order here */
#define WHEEL_UP 8u
#define WHEEL_DOWN 16u

enum {
	SET_FORMAT = 0,
	SET_ENCODINGS = 2,
	REQUEST_UPDATE = 3,
	KEY = 4,
	POINTER = 5,
	TEXT = 6,
	CONTINUOUS = 150,
	FENCE = 248,
	SET_SIZE = 251,
	QEMU = 255,
};

static uint32_t number(const struct vnc_client *client, unsigned at, unsigned size)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value = value << 8 | client->in[at + i];
	return value;
}

static void tell(const struct vnc_client *client, const struct vnc_event *event)
{
	send(client->server->monitor, event, sizeof *event, MSG_NOSIGNAL);
}

static void press(struct vnc_client *client, uint8_t key, bool down)
{
	const struct vnc_event event = {.kind = VNC_KEY, .key = key, .down = down};
	uint64_t bit = 1ull << key % 64;

	if (!key || (!down && !(client->down[key / 64] & bit)))
		return;
	client->down[key / 64] = (client->down[key / 64] & ~bit) | (down ? bit : 0);
	tell(client, &event);
}

/* From a place of so many to one between the edges, whatever the client says. */
static uint32_t between_edges(unsigned at, unsigned of)
{
	return of < 2 ? 0 : at < of ? (uint64_t)at * VNC_POINTER_MAX / (of - 1) : VNC_POINTER_MAX;
}

/* Puts where the pointer is into an event. */
static void place(const struct vnc_client *client, struct vnc_event *event)
{
	event->x = between_edges(client->x, client->screen->shown.width);
	event->y = between_edges(client->y, client->screen->shown.height);
}

/* A client that has gone holds nothing down. */
void vnc_release_keys(struct vnc_client *client)
{
	struct vnc_event event = {.kind = VNC_POINTER};

	for (unsigned key = 0; key < 256; key++)
		press(client, key, false);
	if (!client->buttons)
		return;
	client->buttons = 0;
	place(client, &event);
	tell(client, &event);
}

static void point(struct vnc_client *client, unsigned buttons, unsigned x, unsigned y)
{
	unsigned pressed = buttons & ~client->buttons;
	struct vnc_event event = {.kind = VNC_POINTER,
		.buttons = (buttons & 1) | (buttons & 2) << 1 | (buttons & 4) >> 1,
		.dz = (pressed & WHEEL_DOWN ? 1 : 0) - (pressed & WHEEL_UP ? 1 : 0)};

	if (client->has_pointer) {
		event.dx = (int)x - (int)client->x;
		event.dy = (int)y - (int)client->y;
	}
	client->has_pointer = true;
	client->x = x;
	client->y = y;
	client->buttons = buttons;
	place(client, &event);
	tell(client, &event);
}

static void set_encoding(struct vnc_client *client, int32_t encoding, bool *chosen)
{
	switch (encoding) {
	case 0:
	case 5:
	case 16:
		/* They are in the order of what the client would like. */
		if (!*chosen)
			client->encoding = encoding;
		*chosen = true;
		break;
	case -223:
		client->resizes = true;
		break;
	case -258:
		client->tell_codes |= !client->has_codes;
		client->has_codes = true;
		break;
	case -308:
		client->tell_size |= !client->resizes_extended;
		client->resizes_extended = true;
		break;
	case -312: /* the first one tells that it is understood */
		if (!client->has_fence) {
			vnc_put_number(&client->out, (uint32_t)FENCE << 24, 4);
			vnc_put_number(&client->out, FENCE_REQUEST, 4);
			vnc_put_number(&client->out, 0, 1);
		}
		client->has_fence = true;
		break;
	case -313:
		if (!client->has_continuous)
			vnc_put_number(&client->out, CONTINUOUS, 1);
		client->has_continuous = true;
		break;
	}
}

static size_t set_encodings(struct vnc_client *client)
{
	unsigned count = number(client, 2, 2);
	bool chosen = false;

	if (count > ENCODINGS_MAX) {
		client->state = VNC_ENDED;
		return 0;
	}
	if (client->in_len < 4 + 4 * count)
		return 0;
	client->encoding = 0;
	client->resizes = client->resizes_extended = false;
	for (unsigned i = 0; i < count; i++)
		set_encoding(client, number(client, 4 + 4 * i, 4), &chosen);
	return 4 + 4 * count;
}

static void mark_area(struct vnc_client *client, unsigned at)
{
	struct vnc_rect rect = {number(client, at, 2), number(client, at + 2, 2),
		number(client, at + 4, 2), number(client, at + 6, 2)};
	const struct vga_picture *shown = &client->screen->shown;

	if (rect.x >= shown->width || rect.y >= shown->height)
		return;
	if (rect.width > shown->width - rect.x)
		rect.width = shown->width - rect.x;
	if (rect.height > shown->height - rect.y)
		rect.height = shown->height - rect.y;
	vnc_mark(client, &rect);
}

static void answer_fence(struct vnc_client *client, unsigned length)
{
	uint32_t flags = number(client, 4, 4);

	if (!(flags & FENCE_REQUEST))
		return;
	vnc_put_number(&client->out, (uint32_t)FENCE << 24, 4);
	vnc_put_number(&client->out, flags & FENCE_KNOWN, 4);
	vnc_put_number(&client->out, length, 1);
	vnc_put(&client->out, client->in + 9, length);
}

/* The size is the guest's to choose: the client hears of it once more. */
static size_t set_size(struct vnc_client *client)
{
	client->tell_size |= client->resizes_extended;
	client->skip = 16 * client->in[6];
	return 8;
}

/* Text is for a clipboard, which the guest has none of. */
static size_t skip_text(struct vnc_client *client)
{
	int64_t length = (int32_t)number(client, 4, 4);

	length = length < 0 ? -length : length;
	if (length > TEXT_MAX)
		client->state = VNC_ENDED;
	else
		client->skip = length;
	return 8;
}

static size_t qemu(struct vnc_client *client)
{
	uint32_t code = number(client, 8, 4);

	if (client->in[1]) { /* sound, or what may come yet */
		client->state = VNC_ENDED;
		return 0;
	}
	/* 0xe0 before a code is its bit 7. */
	if (code >> 8 == 0xe0)
		code = 0x80 | (code & 0x7f);
	if (code < 0x100)
		press(client, code, number(client, 2, 2));
	return 12;
}

static void set_continuous(struct vnc_client *client)
{
	bool on = client->in[1];

	mark_area(client, 2);
	if (client->continuous && !on)
		vnc_put_number(&client->out, CONTINUOUS, 1);
	client->continuous = on;
}

/* The least bytes of each message; 0: there is none. */
static unsigned least(uint8_t kind)
{
	switch (kind) {
	case SET_FORMAT:
		return 20;
	case SET_ENCODINGS:
		return 4;
	case REQUEST_UPDATE:
	case CONTINUOUS:
		return 10;
	case KEY:
	case TEXT:
	case SET_SIZE:
		return 8;
	case POINTER:
		return 6;
	case FENCE:
		return 9;
	case QEMU:
		return 12;
	}
	return 0;
}

size_t vnc_message(struct vnc_client *client)
{
	uint8_t kind = client->in[0];
	unsigned length;

	if (!least(kind)) {
		client->state = VNC_ENDED;
		return 0;
	}
	if (client->in_len < least(kind))
		return 0;
	switch (kind) {
	case SET_FORMAT:
		if (!vnc_format_read(&client->format, client->in + 4))
			client->state = VNC_ENDED;
		memset(client->dirty, 1, sizeof client->dirty);
		return 20;
	case SET_ENCODINGS:
		return set_encodings(client);
	case REQUEST_UPDATE:
		client->requested = true;
		if (!client->in[1])
			mark_area(client, 2);
		return 10;
	case KEY:
		press(client, vnc_key_of(number(client, 4, 4)), client->in[1]);
		return 8;
	case POINTER:
		point(client, client->in[1], number(client, 2, 2), number(client, 4, 2));
		return 6;
	case TEXT:
		return skip_text(client);
	case CONTINUOUS:
		set_continuous(client);
		return 10;
	case FENCE:
		length = client->in[8];
		if (length > FENCE_MAX)
			client->state = VNC_ENDED;
		if (length > FENCE_MAX || client->in_len < 9 + length)
			return 0;
		answer_fence(client, length);
		return 9 + length;
	case SET_SIZE:
		return set_size(client);
	default:
		return qemu(client);
	}
}
