/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gdb stub on the fuzzer's bytes: as they are, or, where the first is odd, each line as the
 * content of a packet with its right checksum, since few random ones would be heard.
 */
#include <stdlib.h>

#include "../unit/stub_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void say(struct stub *stub, const uint8_t *content, size_t len)
{
	char end[4];
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += content[i];
	snprintf(end, sizeof end, "#%02x", sum);
	stub_input(stub, "$", 1);
	stub_input(stub, content, len);
	stub_input(stub, end, 3);
}

static void say_lines(struct stub *stub, const uint8_t *data, size_t size)
{
	while (size) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end ? (size_t)(end - data) : size;

		say(stub, data, len);
		/* What runs stops sometimes. */
		if (len & 1)
			stub_stopped(stub, len >> 1 & 1, STUB_SIGTRAP);
		len += end != NULL;
		data += len;
		size -= len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rig *rig = calloc(1, sizeof *rig);
	struct stub *stub = stub_create(&rig_target, rig);

	if (!rig || !stub)
		abort();
	if (size && data[0] & 1)
		say_lines(stub, data + 1, size - 1);
	else
		stub_input(stub, data, size);
	stub_release(stub);
	stub_exited(stub, 0);
	stub_destroy(stub);
	free(rig);
	return 0;
}
