/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VNC client, from its first byte or, in more than half of the inputs, from where it is in; the first byte of the
 * input chooses, the next how the rest comes in pieces. In between it gets what it asks for.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vnc/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WIDTH 130u
#define HEIGHT 80u

static uint32_t pixels[WIDTH * HEIGHT];

static void serve(struct vnc_client *client)
{
	for (unsigned i = 0; i < 3 && vnc_wants_update(client); i++)
		vnc_send_update(client);
	if (client->state == VNC_NORMAL && client->out.len > (64u << 10) + 16 * sizeof pixels)
		abort();
	client->out.len = client->out_at = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char in[] = "RFB 003.008\n\1\1";
	struct vnc_server server = {.monitor = -1, .name = "fuzz"};
	struct vnc_screen screen = {.shown = {WIDTH, HEIGHT, pixels}};
	struct vnc_client *client;
	unsigned piece;

	if (size < 2)
		return 0;
	for (unsigned i = 0; i < WIDTH * HEIGHT; i++)
		pixels[i] = i % WIDTH < 40 ? 0x808080 : data[i % size] * 0x010203u;
	client = vnc_client_create(&server, &screen, data[0] % 4 == 1 ? "secret" : NULL, -1);
	if (!client)
		return 0;
	if (data[0] % 4 > 1)
		vnc_client_take(client, (const uint8_t *)in, sizeof in - 1);
	client->out.len = 0;
	piece = 1 + data[1] % 200u;
	for (data += 2, size -= 2; size && client->state != VNC_ENDED;) {
		unsigned len = size < piece ? size : piece;

		vnc_client_take(client, data, len);
		serve(client);
		if (screen.shown.width > 16)
			screen.shown.width -= data[0] % 2;
		vnc_mark(client, &(struct vnc_rect){data[0] % 100, data[0] % 60, 20, 20});
		data += len;
		size -= len;
	}
	vnc_client_destroy(client);
	return 0;
}
