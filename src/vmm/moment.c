/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/moment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/internal.h"

int moment_text_add(void *ctx, const void *data, size_t len)
{
	struct moment_text *text = ctx;

	if (text->size + len > text->room) {
		size_t room = 2 * (text->size + len);
		uint8_t *bytes = realloc(text->bytes, room);

		if (!bytes)
			return -ENOMEM;
		text->bytes = bytes;
		text->room = room;
	}
	memcpy(text->bytes + text->size, data, len);
	text->size += len;
	return 0;
}

void moment_text_free(struct moment_text *text)
{
	free(text->bytes);
	*text = (struct moment_text){.bytes = NULL};
}

/* None is asked for: memory is not described. */
static int no_pages(void *ctx, uint64_t gpa, const void *data, size_t len)
{
	return -EINVAL;
}

int moment_prepare(struct guest_moment *moment, struct vmm *vmm, const char *name,
	struct error *err)
{
	int r = moment->layered ? layers_open(&moment->layers, &vmm->devices, err) : 0;

	if (!r && moment->layered && (r = devices_settle(&vmm->devices)))
		error_set(err, -r, "%s: the guest's disks: %s", name, strerror(-r));
	return r;
}

/* While the guest stands still. */
static int take(struct guest_moment *moment, struct machine *machine, struct error *err)
{
	const struct state_io io = {.write = moment_text_add, .ctx = &moment->text};
	const struct state_pages pages = {.write = no_pages};
	struct state *state;
	int r = state_save(&io, "the guest's state", &state, err);

	if (r)
		return r;
	moment->begin = moment->text.size;
	state_beside(state, &pages);
	r = machine_save_begin(machine, state);
	if (!r) {
		moment->head = moment->text.size;
		if (moment->layered)
			r = layers_hold(&moment->layers, err);
		if (!r) {
			machine_save_devices(machine, state);
			moment->end = moment->text.size;
			r = state_finish(state);
		}
		if (!r)
			r = moment->freeze(moment->ctx, machine_memory(machine), err);
		machine_save_end(machine);
	}
	state_destroy(state);
	return r;
}

int moment_take(struct guest_moment *moment, struct vmm *vmm, struct error *err)
{
	struct machine *machine = vmm->machine;
	bool paused = machine_paused(machine);
	uint64_t start = clock_now();
	int r;

	machine_pause(machine);
	r = take(moment, machine, err);
	if (!paused)
		machine_resume(machine);
	moment->pause = clock_now() - start;
	return r;
}

void moment_free(struct guest_moment *moment)
{
	layers_close(&moment->layers);
	moment_text_free(&moment->text);
}
