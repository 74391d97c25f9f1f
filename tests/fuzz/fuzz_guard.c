/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest sends to a switch: header and frame as they are, but for the card's address in most. */
#include <stdlib.h>
#include <string.h>

#include "net/frame.h"
#include "net/net.h"
#include "switch/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct virtio_net_hdr_v1 header;
	uint8_t *frame;
	size_t len;

	if (size < sizeof header + 1 + 14)
		return 0;
	memcpy(&header, data, sizeof header);
	len = size - sizeof header - 1;
	frame = malloc(len);
	if (!frame)
		return 0;
	memcpy(frame, data + sizeof header + 1, len);
	if (data[sizeof header] & 15)
		memcpy(frame + 6, mac, sizeof mac);
	if (guard_admit(mac, &header, frame, len)) {
		if (memcmp(frame + 6, mac, sizeof mac) || header.hdr_len > len ||
			header.num_buffers ||
			(header.flags && (size_t)header.csum_start + header.csum_offset + 2 > len))
			abort();
		/* And on the way out. */
		frame_finish(&header, frame, len);
	}
	free(frame);
	return 0;
}
