/* SPDX-License-Identifier: Apache-2.0 */
/* What a program that runs natively makes the monitor read: the frame of a signal, in a stack that it writes to. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/translate/native/mirror.h"

#define AREA 2432u /* of a processor with AVX-512 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Six arguments, whether they and the words behind are addresses in the stub, then what is written to the stack. */
struct head {
	uint64_t arg[6];
	uint16_t near;
	uint16_t at;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t stack[STUB_STACK_SIZE];
	static struct stub_control control;
	struct mirror m = {.base = 0x123400000000,
		.area = AREA,
		.control = &control,
		.stack = stack};
	struct mirror_exit e;
	struct head head;
	volatile uint8_t sum = 0;

	if (size < sizeof head)
		return 0;
	memcpy(&head, data, sizeof head);
	data += sizeof head;
	size -= sizeof head;
	/* most numbers are no address of the stub; these bits make them one */
	for (unsigned i = 0; i < 6; i++)
		if (head.near >> i & 1)
			head.arg[i] = m.base + head.arg[i] % (STUB_SIZE + 256);
	memset(stack, 0, sizeof stack);
	head.at %= sizeof stack;
	if (size > sizeof stack - head.at)
		size = sizeof stack - head.at;
	memcpy(stack + head.at, data, size);
	for (unsigned i = 0; i + 8 <= size && head.near & 0x8000; i += 8) {
		uint64_t word;

		memcpy(&word, stack + head.at + i, 8);
		if (word % 3 == 0) {
			word = m.base + word % STUB_SIZE;
			memcpy(stack + head.at + i, &word, 8);
		}
	}
	control.turn = head.near >> 8 & 3;
	mirror_read_exit(&m, head.arg, &e);
	if (e.why == MIRROR_SIGNAL && e.xsave) {
		if (e.xsave < stack || e.xsave > stack + sizeof stack - AREA)
			abort();
		for (unsigned i = 0; i < AREA; i++)
			sum = sum + e.xsave[i];
	}
	return 0;
}
