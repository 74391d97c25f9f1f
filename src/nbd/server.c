/* SPDX-License-Identifier: Apache-2.0 */
#include "nbd/server.h"

#include <stdlib.h>

#include "base/loop.h"
#include "nbd/serving.h"

#define MS 1000000ull

bool nbd_skip(struct nbd_client *client, uint64_t size)
{
	while (size) {
		const size_t part = size < NBD_PIECE ? size : NBD_PIECE;

		if (!wire_read(&client->wire, client->piece, part))
			return false;
		size -= part;
	}
	return true;
}

void nbd_serve(int fd, const struct nbd_source *source, unsigned handshake_ms)
{
	struct nbd_client client = {.wire = {fd, clock_now() + handshake_ms * MS},
		.source = source,
		.piece = malloc(NBD_PIECE)};

	if (client.piece && nbd_handshake(&client)) {
		client.wire.deadline = 0;
		nbd_transmit(&client);
	}
	free(client.piece);
}
