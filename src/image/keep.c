/* SPDX-License-Identifier: Apache-2.0 */
#include "image/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "chain/chain.h"
#include "image/layer.h"
#include "image/source.h"
#include "seed/seed.h"

bool keep_is_file(const char *word)
{
	struct disk_spec spec;
	struct stat st;
	bool is_file;

	if (disk_spec_parse(word, &spec, NULL))
		return false;
	word = spec.file[0].name;
	is_file = (strchr(word, '/') || *source_ending(word)) && !stat(word, &st) &&
		(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
	disk_spec_free(&spec);
	return is_file;
}

static uint64_t when(const struct stat *st)
{
	return (uint64_t)st->st_mtim.tv_sec * 1000000000 + (uint64_t)st->st_mtim.tv_nsec;
}

/*
 * One that is not raw or qcow2 is converted once, to NAME.qcow2 beside it; that has its time, and is taken the
 * next time if the original has it still.
 */
static int converted(const struct image_source *source, const struct convert_watch *watch,
	struct disk_spec *spec, struct error *err)
{
	const char *name = source->spec.file[0].name;
	struct stat original, copy;
	char *path;
	int r = stat(name, &original) ? error_set(err, errno, "%s: %s", name, strerror(errno)) : 0;

	if (r || asprintf(&path, "%s.qcow2", name) < 0)
		return r ? r : error_nomem(err);
	if (stat(path, &copy)) {
		const struct timespec times[2] = {original.st_mtim, original.st_mtim};

		r = source_convert(source, path, DISK_QCOW2, watch, err);
		if (!r && utimensat(AT_FDCWD, path, times, 0))
			r = error_set(err, errno, "%s: %s", path, strerror(errno));
	} else if (when(&original) != when(&copy)) {
		r = error_set(err, ESTALE,
			"%s: is there, and not what %s is now: remove it to have that converted again",
			path, name);
	}
	if (!r)
		r = disk_spec_of_file(path, true, spec, err);
	if (!r)
		spec->file[0].format = DISK_QCOW2;
	free(path);
	return r;
}

int keep_parse(const char *word, const struct convert_watch *watch, struct disk_spec *spec,
	struct error *err)
{
	struct image_source *source = malloc(sizeof *source);
	int r = source ? source_open(word, source, err) : error_nomem(err);

	if (r) {
		free(source);
		return r;
	}
	if (source->ours) {
		*spec = source->spec;
		/* Its chain is found again when all of the guest's are. */
		while (spec->files > 1)
			free(spec->file[--spec->files].name);
	} else {
		r = converted(source, watch, spec, err);
		source_free(source);
	}
	free(source);
	return r;
}

static int write_id(const char *path, const struct stat *st, const struct keep *keep,
	struct error *err)
{
	char text[128];
	int size = snprintf(text, sizeof text, "instance %s\nbase %" PRIu64 " %" PRIu64 "\n",
		keep->instance, (uint64_t)st->st_size, when(st));
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 ? -errno : io_write_all(fd, text, (size_t)size);

	if (fd >= 0)
		close(fd);
	return r ? error_set(err, -r, "%s: %s", path, strerror(-r)) : 0;
}

/* Who it is, and that the base is what it was. A file that is not there says nothing, and is made anew. */
static int read_id(const char *path, const char *base, const struct stat *st, struct keep *keep,
	struct error *err)
{
	FILE *file = fopen(path, "re");
	uint64_t size, time;
	int got;

	if (!file) {
		int r = seed_new_instance(keep->instance, err);

		return r ? r : write_id(path, st, keep, err);
	}
	got = fscanf(file, "instance %36s base %" SCNu64 " %" SCNu64, keep->instance, &size, &time);
	fclose(file);
	if (got != 3)
		return error_set(err, EINVAL, "%s: not what dach run wrote", path);
	if (size != (uint64_t)st->st_size || time != when(st))
		return error_set(err, ESTALE,
			"%s: has changed since %s was made, which stands on it: remove that to start anew",
			base, keep->overlay);
	return 0;
}

/* What is there has to stand on the base. */
static int check_overlay(const struct keep *keep, const char *base, const struct stat *st,
	struct error *err)
{
	struct disk_spec spec;
	struct stat below;
	int r = disk_spec_of_file(keep->overlay, true, &spec, err);

	if (r)
		return r;
	spec.file[0].format = DISK_QCOW2;
	r = chain_resolve(&spec, &chain_own_rights, false, err);
	if (!r &&
		(spec.files < 2 || stat(spec.file[1].name, &below) || below.st_ino != st->st_ino ||
			below.st_dev != st->st_dev))
		r = error_set(err, EEXIST, "%s: is there, and does not stand on %s", keep->overlay,
			base);
	disk_spec_free(&spec);
	return r;
}

/* The base's name as it is to stand in the overlay: that in the same folder moves with it. */
static int below(const char *overlay, const char *base, char *name, size_t size, struct error *err)
{
	const char *slash = strrchr(overlay, '/'), *own = strrchr(base, '/');
	size_t folder = slash ? (size_t)(slash + 1 - overlay) : 0;
	char *path;

	if (folder == (own ? (size_t)(own + 1 - base) : 0) && !strncmp(overlay, base, folder)) {
		snprintf(name, size, "%s", base + folder);
		return 0;
	}
	path = realpath(base, NULL);
	if (!path)
		return error_set(err, errno, "%s: %s", base, strerror(errno));
	snprintf(name, size, "%s", path);
	free(path);
	return 0;
}

static int make(const struct disk_spec *base, uint64_t size, const struct stat *st, const char *id,
	struct keep *keep, struct error *err)
{
	const struct disk_file *file = &base->file[0];
	char name[PATH_MAX];
	int r = seed_new_instance(keep->instance, err);

	if (!r)
		r = below(keep->overlay, file->name, name, sizeof name, err);
	if (!r)
		r = layer_create(keep->overlay, name, file->format, size, err);
	if (r)
		return r;
	keep->fresh = true;
	r = write_id(id, st, keep, err);
	if (r)
		unlink(keep->overlay);
	return r;
}

int keep_open(const struct disk_spec *base, const char *overlay, uint64_t size, struct keep *keep,
	struct error *err)
{
	const char *name = base->file[0].name;
	char id[PATH_MAX + 8];
	struct stat st;
	int n, r;

	*keep = (struct keep){.fresh = false};
	if (stat(name, &st))
		return error_set(err, errno, "%s: %s", name, strerror(errno));
	if (overlay)
		n = snprintf(keep->overlay, sizeof keep->overlay, "%s", overlay);
	else
		n = snprintf(keep->overlay, sizeof keep->overlay, "%.*s.overlay.qcow2",
			(int)(strlen(name) - strlen(source_ending(name))), name);
	if (n >= (int)sizeof keep->overlay)
		return error_set(err, ENAMETOOLONG, "%s: name too long", name);
	n -= (int)strlen(source_ending(keep->overlay));
	snprintf(id, sizeof id, "%.*s.id", n, keep->overlay);
	if (access(keep->overlay, F_OK))
		return make(base, size, &st, id, keep, err);
	r = check_overlay(keep, name, &st, err);
	if (!r && size)
		r = error_set(err, EEXIST,
			"%s: is there already; 'dach image resize %s SIZE' gives it another size",
			keep->overlay, keep->overlay);
	return r ? r : read_id(id, name, &st, keep, err);
}
