/* SPDX-License-Identifier: Apache-2.0 */
#include "image/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "chain/chain.h"
#include "image/guess.h"

static bool ends_in(const char *name, const char *end)
{
	size_t size = strlen(name), len = strlen(end);

	return size > len && !strcmp(name + size - len, end);
}

const char *source_ending(const char *name)
{
	static const char *const endings[] = {".qcow2", ".img", ".raw", ".vmdk", ".vdi", ".vhd",
		".vhdx", ".qed", ".ova"};

	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
		if (ends_in(name, endings[i]))
			return endings[i];
	return "";
}

/* All that it stands on lies beside it. The chain is in spec then. */
static int resolve(struct disk_spec *spec, bool guessed, struct error *err)
{
	const char *name = spec->file[0].name;
	char *top = realpath(name, NULL);
	size_t folder;
	int r;

	if (!top)
		return error_set(err, errno, "%s: %s", name, strerror(errno));
	folder = (size_t)(strrchr(top, '/') + 1 - top);
	r = chain_resolve(spec, &chain_own_rights, false, err);
	for (unsigned i = 1; !r && i < spec->files; i++) {
		char *path = realpath(spec->file[i].name, NULL);

		name = spec->file[0].name;
		if (guessed || !path || strncmp(path, top, folder) || strchr(path + folder, '/'))
			r = error_set(err, EPERM,
				"%s: stands on %s, which it names itself and %s; if you trust it: dach run --disk %s,format=qcow2",
				name, spec->file[i].name,
				guessed ? "its own name does not say .qcow2"
					: "lies in another folder",
				name);
		free(path);
	}
	free(top);
	return r;
}

/* A disk within a file: its beginning tells what it is. */
static int guess_within(int fd, const struct ova *ova, enum guess *kind)
{
	uint8_t head[GUESS_HEAD];
	ssize_t n = io_pread_all(fd, head, sizeof head, ova->disk_offset);

	if (n < 0)
		return (int)n;
	*kind = guess_bytes(head, (size_t)n < ova->disk_size ? (size_t)n : ova->disk_size, NULL);
	return 0;
}

static int take_ova(int fd, struct image_source *source, struct error *err)
{
	const char *name = source->spec.file[0].name;
	struct convert_foreign *foreign = &source->foreign;
	int r = ova_read(fd, name, &source->ova, err);

	if (!r && guess_within(fd, &source->ova, &foreign->kind))
		r = error_set(err, EIO, "%s: cannot be read", name);
	if (!r && !guess_driver(foreign->kind))
		r = error_set(err, ENOTSUP, "%s: its disk is %s", name, guess_name(foreign->kind));
	foreign->offset = source->ova.disk_offset;
	foreign->size = source->ova.disk_size;
	return r;
}

static int guess(struct image_source *source, struct error *err)
{
	struct disk_file *file = &source->spec.file[0];
	int fd = open(file->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
	enum guess kind;

	if (fd < 0)
		return error_set(err, errno, "%s: %s", file->name, strerror(errno));
	r = guess_file(fd, file->name, &kind, err);
	if (!r && kind == GUESS_PACKED)
		r = error_set(err, ENOTSUP, "%s: is packed; unpack it first", file->name);
	source->ours = kind == GUESS_RAW || kind == GUESS_QCOW2;
	source->foreign.kind = kind;
	if (!r && !source->ours && !realpath(file->name, source->path))
		r = error_set(err, errno, "%s: %s", file->name, strerror(errno));
	if (!r && kind == GUESS_OVA)
		r = take_ova(fd, source, err);
	close(fd);
	if (kind == GUESS_QCOW2)
		file->format = DISK_QCOW2;
	return r;
}

int source_open(const char *word, struct image_source *source, struct error *err)
{
	const char *name;
	bool said;
	int r;

	memset(source, 0, sizeof *source);
	source->ours = true;
	source->foreign.path = source->path;
	r = disk_spec_parse(word, &source->spec, err);
	if (r)
		return r;
	name = source->spec.file[0].name;
	said = strstr(word + strlen(name), ",format=") || ends_in(name, ".qcow2");
	source->spec.readonly = true;
	if (!said)
		r = guess(source, err);
	if (!r && source->ours && source->spec.file[0].format == DISK_QCOW2)
		r = resolve(&source->spec, !said, err);
	if (r)
		source_free(source);
	return r;
}

void source_free(struct image_source *source)
{
	disk_spec_free(&source->spec);
}

int source_convert(const struct image_source *source, const char *path, enum disk_format format,
	const struct convert_watch *watch, struct error *err)
{
	if (source->ours)
		return convert_own(&source->spec, path, format, watch, err);
	return convert_from(&source->foreign, path, format, watch, err);
}
