/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that are taken apart: no piece larger than a wire takes, together as much as there was. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t piece[FRAME_ETHERNET + FRAME_MTU], *frame = malloc(size + 1);
	struct frame_tcp tcp;
	size_t total = 0;

	if (!frame)
		return 0;
	memcpy(frame, data, size);
	if (frame_parse_tcp(frame, size, &tcp)) {
		for (unsigned i = 0; i < frame_segments(&tcp); i++) {
			size_t len = frame_segment(frame, &tcp, i, piece);

			if (len > sizeof(piece))
				abort();
			total += len - tcp.payload;
		}
		if (total != size - tcp.payload)
			abort();
		frame_finish_tcp(frame, &tcp);
	}
	checksum_add(frame, size);
	free(frame);
	return 0;
}
