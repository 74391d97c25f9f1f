/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the other monitor says while a guest comes: frames, and in them a state with memory. The first byte says whether
 * the rest is frames as they are or a state that is put into frames, its sections' checksums made right.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "machine/describe.h"
#include "machine/machine.h"
#include "machine/memory.h"
#include "migrate/wire.h"
#include "state/internal.h"
#include "state_rig.h"

#define SIZE (1ull << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct line {
	const uint8_t *data;
	size_t size;
};

static int swallow(void *ctx, const void *data, size_t len)
{
	return 0;
}

static long get(void *ctx, void *data, size_t len)
{
	struct line *line = ctx;

	if (len > line->size)
		len = line->size;
	memcpy(data, line->data, len);
	line->data += len;
	line->size -= len;
	return (long)len;
}

static int map(struct engine_vm *vm, const struct memory_region *region, struct error *err)
{
	return 0;
}

static int door(struct engine_vm *vm, uint64_t gpa, uint64_t size, struct error *err)
{
	return 0;
}

static void written(struct engine_vm *vm, uint64_t gpa, uint64_t size)
{
}

/* Its data is all there. */
static int take_piece(void *ctx, const struct wire_disk *piece, void *data)
{
	static volatile uint8_t sum;
	const uint8_t *bytes = data;

	for (uint64_t i = 0; piece->what == WIRE_DISK_DATA && i < piece->length; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return piece->disk > 16 ? -EIO : 0;
}

static void arrive(struct wire *wire)
{
	static const struct engine engine = {.kind = CPUID_TRANSLATE,
		.vm_map = map,
		.vm_door = door,
		.vm_written = written};
	const struct state_io io = {.read = wire_read_state, .ctx = wire};
	static struct memory mem;
	struct error err = {""};
	struct state *state;

	if (!mem.host &&
		(memory_create(&mem, SIZE, 0, false, &err) ||
			memory_attach(&mem, &engine, NULL, &err)))
		abort();
	if (wire_expect(wire, WIRE_HELLO, &err) || state_load(&io, "it", &state, &err))
		return;
	memory_describe(&mem, state);
	if (!state_finish(state) && !wire_expect(wire, WIRE_GO, &err))
		wire_expect(wire, WIRE_RUNNING, &err);
	state_destroy(state);
}

/* The sections as they are, in frames behind a greeting. */
static uint8_t *pack(const struct bytes *state, size_t *size)
{
	static const uint32_t head[] = {WIRE_HELLO, 12}, version = WIRE_VERSION;
	const size_t begin = sizeof head + 12;
	uint8_t *frames = malloc(begin + state->len + 8 * (state->len / 1000 + 1));
	size_t at = begin;

	memcpy(frames, head, sizeof head);
	memcpy(frames + sizeof head, "dachmove", 8);
	memcpy(frames + sizeof head + 8, &version, 4);
	for (size_t done = 0; done < state->len;) {
		const uint32_t part =
			(uint32_t)(state->len - done < 1000 ? state->len - done : 1000);
		const uint32_t frame[] = {WIRE_STATE, part};

		memcpy(frames + at, frame, sizeof frame);
		memcpy(frames + at + sizeof frame, state->data + done, part);
		at += sizeof frame + part;
		done += part;
	}
	*size = at;
	return frames;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct wire wire;
	struct line line = {data + 1, size - 1};
	const struct wire_io io = {swallow, get, &line};
	struct bytes state = {.data = NULL};
	uint8_t *frames = NULL;

	if (!size)
		return 0;
	if (data[0] != 'f') {
		state.data = malloc(size);
		memcpy(state.data, data + 1, size - 1);
		state.len = size - 1;
		if (state.len >= sizeof(struct state_header))
			bytes_seal(&state);
		frames = pack(&state, &line.size);
		line.data = frames;
	}
	wire_init(&wire, &io);
	wire.disk = take_piece;
	arrive(&wire);
	free(frames);
	free(state.data);
	return 0;
}
