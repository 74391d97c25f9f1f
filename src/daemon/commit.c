/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/commit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "chain/chain.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/layer.h"
#include "daemon/note.h"
#include "daemon/plug.h"

/* {"top": path, "base": path, "format": the base's} */
int commit_note(const struct guest *guest, unsigned disk, const char *base,
	enum domain_format format, struct error *err)
{
	return note_write(guest, NOTE_COMMITTING,
		json_pack("{s:s, s:s, s:s}", "top", guest->config.disk[disk].target, "base", base,
			"format", domain_format_name(format)),
		err);
}

void commit_forget(const struct guest *guest)
{
	note_forget(guest, NOTE_COMMITTING);
}

int commit_take(struct guest *guest, unsigned number, const char *base, enum domain_format format,
	struct error *err)
{
	struct domain_disk *disk = &guest->config.disk[number];
	const struct domain_disk was = *disk;
	struct caller owner;
	int r;

	disk->target = strdup(base);
	disk->format = format;
	r = disk->target ? guest_save(guest, err) : error_nomem(err);
	if (r) {
		free(disk->target);
		*disk = was;
		return r;
	}
	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	layer_remove(guest, &owner, was.target);
	caller_free(&owner);
	free(was.target);
	return 0;
}

/* After another daemon */

static bool is_noted(const struct domain_disk *disk, const json_t *note)
{
	return domain_disk_has_medium(disk) && disk->format == DOMAIN_QCOW2 &&
		!strcmp(disk->target, json_get_text(note, "top"));
}

/* It refers to nothing: its disk is what it stands on. */
static bool is_emptied(int fd, const char *name)
{
	struct qcow2_header *header = malloc(sizeof *header);
	uint64_t *l1 = NULL;
	size_t size = 0;
	bool empty = false;

	if (header && !chain_read_header(fd, name, header, NULL) && !header->snapshots &&
		header->backing[0]) {
		size = header->l1_entries * sizeof *l1;
		l1 = malloc(size);
	}
	if (l1 && io_pread_all(fd, l1, size, header->l1_offset) == (ssize_t)size) {
		empty = true;
		for (uint32_t i = 0; i < header->l1_entries; i++)
			empty &= !l1[i];
	}
	free(l1);
	free(header);
	return empty;
}

static bool top_is_emptied(const struct guest *guest, const char *top)
{
	struct caller owner;
	bool empty = false;
	int fd;

	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	if (!caller_open(&owner, top, O_RDONLY, 0, &fd, NULL)) {
		empty = is_emptied(fd, top);
		close(fd);
	}
	caller_free(&owner);
	return empty;
}

static bool monitor_has(const struct guest *guest, const json_t *info,
	const struct domain_disk *disk, const char *base)
{
	const json_t *disks = json_object_get(info, "disks");

	return !strcmp(base,
		json_get_text(json_array_get(disks, plug_number(&guest->config, disk)), "name"));
}

void commit_settle(struct guest *guest, const json_t *info)
{
	json_t *note = note_read(guest, NOTE_COMMITTING);
	const char *base = json_get_text(note, "base");
	enum domain_format format;
	struct error err = {0};
	bool done = false;
	unsigned i = 0;

	if (!note)
		return;
	while (i < guest->config.disks && !is_noted(&guest->config.disk[i], note))
		i++;
	if (i < guest->config.disks && *base == '/' &&
		!domain_format_find(json_get_text(note, "format"), &format))
		done = info ? monitor_has(guest, info, &guest->config.disk[i], base)
			    : top_is_emptied(guest, guest->config.disk[i].target);
	if (done) {
		guest_log(guest, "what a disk's top had is in the image below", base);
		if (commit_take(guest, i, base, format, &err))
			guest_log(guest, "which cannot be noted", err.text);
	}
	json_decref(note);
	/* It may still be about to do it. */
	if (done || !info)
		commit_forget(guest);
}
