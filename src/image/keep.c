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
#include "image/guess.h"
#include "image/layer.h"
#include "seed/seed.h"

static const char *const endings[] = {".qcow2", ".img", ".raw", ".vmdk", ".vdi", ".vhd", ".vhdx",
	".qed", ".ova"};

static bool ends_in(const char *name, const char *end)
{
	size_t size = strlen(name), len = strlen(end);

	return size > len && !strcmp(name + size - len, end);
}

static const char *ending_of(const char *name)
{
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
		if (ends_in(name, endings[i]))
			return endings[i];
	return "";
}

bool keep_is_file(const char *word)
{
	struct disk_spec spec;
	struct stat st;
	bool is_file;

	if (disk_spec_parse(word, &spec, NULL))
		return false;
	word = spec.file[0].name;
	is_file = (strchr(word, '/') || *ending_of(word)) && !stat(word, &st) &&
		(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
	disk_spec_free(&spec);
	return is_file;
}

/* All that it stands on lies beside it. */
static int check_chain(const char *name, bool guessed, struct error *err)
{
	struct disk_spec chain;
	char *top = realpath(name, NULL);
	int r = top ? disk_spec_of_file(name, true, &chain, err)
		    : error_set(err, errno, "%s: %s", name, strerror(errno));

	if (r) {
		free(top);
		return r;
	}
	chain.file[0].format = DISK_QCOW2;
	r = chain_resolve(&chain, &chain_own_rights, false, err);
	for (unsigned i = 1; !r && i < chain.files; i++) {
		char *path = realpath(chain.file[i].name, NULL);
		size_t folder = (size_t)(strrchr(top, '/') + 1 - top);

		if (guessed || !path || strncmp(path, top, folder) || strchr(path + folder, '/'))
			r = error_set(err, EPERM,
				"%s: stands on %s, which it names itself and %s; if you trust it: dach run --disk %s,format=qcow2",
				name, chain.file[i].name,
				guessed ? "its own name does not say .qcow2"
					: "lies in another folder",
				name);
		free(path);
	}
	disk_spec_free(&chain);
	free(top);
	return r;
}

static int guess(struct disk_spec *spec, struct error *err)
{
	struct disk_file *file = &spec->file[0];
	int fd = open(file->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
	enum guess kind;

	if (fd < 0)
		return error_set(err, errno, "%s: %s", file->name, strerror(errno));
	r = guess_file(fd, file->name, &kind, err);
	close(fd);
	if (r)
		return r;
	if (kind == GUESS_PACKED)
		return error_set(err, ENOTSUP, "%s: is packed; unpack it first", file->name);
	if (kind != GUESS_RAW && kind != GUESS_QCOW2)
		return error_set(err, ENOTSUP,
			"%s: is %s; 'dach image import %s' makes an image of it", file->name,
			guess_name(kind), file->name);
	file->format = kind == GUESS_QCOW2 ? DISK_QCOW2 : DISK_RAW;
	return 0;
}

int keep_parse(const char *word, struct disk_spec *spec, struct error *err)
{
	const char *name;
	bool said;
	int r = disk_spec_parse(word, spec, err);

	if (r)
		return r;
	name = spec->file[0].name;
	said = strstr(word + strlen(name), ",format=") || ends_in(name, ".qcow2");
	spec->readonly = true;
	if (!said)
		r = guess(spec, err);
	if (!r && spec->file[0].format == DISK_QCOW2)
		r = check_chain(name, !said, err);
	if (r)
		disk_spec_free(spec);
	return r;
}

static uint64_t when(const struct stat *st)
{
	return (uint64_t)st->st_mtim.tv_sec * 1000000000 + (uint64_t)st->st_mtim.tv_nsec;
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
			(int)(strlen(name) - strlen(ending_of(name))), name);
	if (n >= (int)sizeof keep->overlay)
		return error_set(err, ENAMETOOLONG, "%s: name too long", name);
	snprintf(id, sizeof id, "%.*s.id",
		(int)(strlen(keep->overlay) - strlen(ending_of(keep->overlay))), keep->overlay);
	if (access(keep->overlay, F_OK))
		return make(base, size, &st, id, keep, err);
	r = check_overlay(keep, name, &st, err);
	if (!r && size)
		r = error_set(err, EEXIST,
			"%s: is there already; 'dach image resize %s SIZE' gives it another size",
			keep->overlay, keep->overlay);
	return r ? r : read_id(id, name, &st, keep, err);
}
