/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/note.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/launch.h"
#include "protocol/limits.h"

#define NOTE_MAX (LIMIT_DISKS * 8u << 10)

static const char *const files[NOTES] = {
	[NOTE_LAYERING] = "layering",
	[NOTE_COMMITTING] = "committing",
	[NOTE_MOVING] = "moving",
	[NOTE_PLUGGING] = "plugging",
	[NOTE_ARRIVING] = "arriving",
	[NOTE_DEPARTING] = "departing",
	[NOTE_UPDATING] = "updating",
};

int note_write(const struct guest *guest, enum note note, json_t *says, struct error *err)
{
	char *text = json_dumps(says, JSON_COMPACT);
	int fd, r = launch_open_file(guest, files[note], O_WRONLY | O_CREAT | O_TRUNC, &fd, err);

	json_decref(says);
	if (!r) {
		r = text ? io_write_all(fd, text, strlen(text)) : -ENOMEM;
		close(fd);
		if (r)
			error_set(err, -r, "%s: %s", guest->daemon->run, strerror(-r));
	}
	free(text);
	return r;
}

bool note_is_there(const struct guest *guest, enum note note)
{
	int fd;

	if (launch_open_file(guest, files[note], O_RDONLY, &fd, NULL))
		return false;
	close(fd);
	return true;
}

json_t *note_read(const struct guest *guest, enum note note)
{
	json_t *says = NULL;
	char *text;
	size_t len;
	int fd;

	if (launch_open_file(guest, files[note], O_RDONLY, &fd, NULL))
		return NULL;
	if (!io_read_file(fd, NOTE_MAX, &text, &len)) {
		says = json_parse(text, len, files[note], NULL);
		free(text);
	}
	close(fd);
	return says ? says : json_object();
}

void note_forget(const struct guest *guest, enum note note)
{
	launch_remove_file(guest, files[note]);
}
