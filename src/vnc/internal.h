/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the VNC server. */
#ifndef DACH_VNC_INTERNAL_H
#define DACH_VNC_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "machine/vga/picture.h"
#include "vnc/server.h"

#define VNC_TILE 16u
#define VNC_TILES_MAX (256u * 100u)
#define VNC_CHALLENGE 16u

/* Bytes for a client. */
struct vnc_bytes {
	uint8_t *data;
	size_t len, room;
	bool lost; /* there was no memory, or they are too many: the client goes */
};

void vnc_put(struct vnc_bytes *bytes, const void *data, size_t len);
/* Big-endian, size bytes. */
void vnc_put_number(struct vnc_bytes *bytes, uint32_t value, unsigned size);

/* How a client wants its pixels (RFC 6143, 7.4). */
struct vnc_format {
	unsigned bytes; /* 1, 2 or 4 */
	bool big;
	uint32_t max[3], shift[3]; /* red, green, blue */
	unsigned packed, skipped;  /* ZRLE: so many bytes of one, after so many */
};

extern const struct vnc_format vnc_format_own;
/* From a message's 16 bytes. False: it is none that is served. */
bool vnc_format_read(struct vnc_format *format, const uint8_t from[16]);
/* Into at most 4 bytes; how many. */
unsigned vnc_pixel(const struct vnc_format *format, uint32_t colour, uint8_t to[4]);

struct vnc_rect {
	unsigned x, y, width, height;
};

/* The picture that all clients are told of. */
struct vnc_screen {
	struct vga_picture shown, next;
};

enum vnc_state {
	VNC_VERSION,
	VNC_SECURITY,
	VNC_ANSWER, /* to the challenge */
	VNC_INIT,
	VNC_NORMAL,
	VNC_ENDED,
};

struct vnc_client {
	const struct vnc_server *server;
	const struct vnc_screen *screen;
	const char *password; /* NULL: none is asked for */
	int fd;
	unsigned door; /* it came through; server.c's, as is: */
	int64_t since; /* ms */
	enum vnc_state state;
	unsigned minor; /* of the protocol's version 3 */
	bool refused;   /* its password was wrong */
	uint8_t challenge[VNC_CHALLENGE];
	uint8_t in[4096 + 64];
	size_t in_len;
	uint64_t skip; /* bytes of a message that nobody looks at */
	struct vnc_bytes out;
	size_t out_at; /* so many of them are sent */

	struct vnc_format format;
	int32_t encoding;
	bool resizes, resizes_extended, has_codes, has_fence, has_continuous;
	bool tell_codes, tell_size;
	bool continuous, requested;
	unsigned width, height; /* that it knows of */
	z_stream zlib;
	bool zlib_ready;
	uint8_t *encoded; /* room for ZRLE */
	uint8_t dirty[VNC_TILES_MAX];
	uint64_t down[4]; /* keys, a bit each */
	bool has_pointer;
	unsigned x, y, buttons;
};

/* client.c: a connection; what it sends, and what it gets */
struct vnc_client *vnc_client_create(const struct vnc_server *server,
	const struct vnc_screen *screen, const char *password, int fd);
void vnc_client_destroy(struct vnc_client *client); /* lets go of its keys */
/* len bytes have come. client->state is VNC_ENDED when they make no sense. */
void vnc_client_take(struct vnc_client *client, const uint8_t *data, size_t len);
/* Bytes that the message lacks which a client that is not in is to send. */
size_t vnc_login_needs(const struct vnc_client *client);
/* messages.c: one message of a client that is in; how many bytes, 0: not all of it is there. */
size_t vnc_message(struct vnc_client *client);
void vnc_release_keys(struct vnc_client *client);

/* update.c */
/* Whether it waits for something that there is. */
bool vnc_wants_update(const struct vnc_client *client);
void vnc_send_update(struct vnc_client *client);
void vnc_mark(struct vnc_client *client, const struct vnc_rect *rect);
#define VNC_TILES_ACROSS 256u

/* hextile.c, zrle.c: a rectangle of the picture, without its head */
void vnc_hextile(struct vnc_client *client, const struct vnc_rect *rect);
void vnc_zrle(struct vnc_client *client, const struct vnc_rect *rect);

/* password.c: what the answer to a challenge is to be */
void vnc_password_answer(const char *password, const uint8_t challenge[VNC_CHALLENGE],
	uint8_t answer[VNC_CHALLENGE]);

#endif
