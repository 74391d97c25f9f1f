/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/claims.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "protocol/launch.h"

#define CLAIM_MAX 40 /* bytes of a line: device, number of the file on it, r or w */
#define CLAIMS_MAX (LAUNCH_FDS_MAX * CLAIM_MAX)

struct claim {
	uint64_t device, file;
	bool writable;
};

static int claim_of(const struct disk_file *file, bool writable, struct claim *claim,
	struct error *err)
{
	struct stat st;

	if (fstat(file->fd, &st))
		return error_set(err, errno, "%s: %s", file->name, strerror(errno));
	/* A block device has many names, each a file of its own. */
	*claim = S_ISBLK(st.st_mode) ? (struct claim){st.st_rdev, 0, writable}
				     : (struct claim){st.st_dev, st.st_ino, writable};
	return 0;
}

static bool in_conflict(const struct claim *a, const struct claim *b)
{
	return a->device == b->device && a->file == b->file && (a->writable || b->writable);
}

/* Does the other guest have it? text: its file. */
static bool has(const char *text, const struct claim *wanted)
{
	for (const char *line = text; *line;) {
		const char *next = strchr(line, '\n');
		struct claim claim;
		char mode;

		if (sscanf(line, "%" SCNx64 ":%" SCNx64 " %c", &claim.device, &claim.file, &mode) ==
			3) {
			claim.writable = mode == 'w';
			if (in_conflict(&claim, wanted))
				return true;
		}
		if (!next)
			break;
		line = next + 1;
	}
	return false;
}

/* "" if it has none. free() afterwards; NULL: out of memory. */
static char *claims_of(const struct guest *guest)
{
	char path[PATH_MAX + 64], *text = NULL;
	size_t len;
	int fd;

	snprintf(path, sizeof path, "%s/guests/%s/disks", guest->daemon->run, guest->config.uuid);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return strdup("");
	if (io_read_file(fd, CLAIMS_MAX, &text, &len))
		text = strdup("");
	close(fd);
	return text;
}

static int check(const struct guest *guest, const struct claim *claim, unsigned count,
	const char *const *name, struct error *err)
{
	int r = 0;

	for (const struct guest *at = guest->daemon->guests; at && !r; at = at->next) {
		char *text;

		if (at == guest || !at->domid)
			continue;
		text = claims_of(at);
		for (unsigned i = 0; text && !r && i < count; i++)
			if (has(text, &claim[i]))
				r = error_set(err, EBUSY, "%s: in use by another guest or program",
					name[i]);
		if (!text)
			r = error_nomem(err);
		free(text);
	}
	return r;
}

int claims_take(const struct guest *guest, const struct launch_spec *spec, int fd,
	struct error *err)
{
	struct claim claim[LAUNCH_FDS_MAX];
	const char *name[LAUNCH_FDS_MAX];
	unsigned count = 0;
	int r = 0;

	for (unsigned i = 0; i < spec->disks; i++) {
		const struct disk_spec *disk = &spec->disk[i];

		for (unsigned k = 0; !r && k < disk->files && count < LAUNCH_FDS_MAX; k++) {
			name[count] = disk->file[k].name;
			r = claim_of(&disk->file[k], !k && !disk->readonly, &claim[count++], err);
		}
	}
	if (!r)
		r = check(guest, claim, count, name, err);
	for (unsigned i = 0; !r && i < count; i++)
		if (dprintf(fd, "%" PRIx64 ":%" PRIx64 " %c\n", claim[i].device, claim[i].file,
			    claim[i].writable ? 'w' : 'r') < 0)
			r = error_set(err, errno, "%s: %s", guest->daemon->run, strerror(errno));
	return r;
}
