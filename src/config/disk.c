/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/spec.h"
#include "domain/vdev.h"
#include "protocol/disk.h"

#define SHOWN(piece) (int)((piece)->size > 80 ? 80 : (piece)->size), (piece)->start

struct disk_parse {
	const struct cfg_value *value;
	const struct config_reader *reader;
	struct domain_disk *disk;
	struct error *err;
	unsigned position; /* of the next piece without a name */
	bool access_given, target_given;
};

static int complain(struct disk_parse *p, const struct piece *piece, const char *says)
{
	struct cfg_place place = piece_place(p->value, piece->start);

	return cfg_error(p->err, EINVAL, &place, "'%.*s' %s", SHOWN(piece), says);
}

static bool is_access(const struct piece *piece, bool *writable)
{
	*writable = piece_is(piece, "w") || piece_is(piece, "rw") || piece_is(piece, "w!");
	return *writable || piece_is(piece, "r") || piece_is(piece, "ro");
}

static int take_access(struct disk_parse *p, const struct piece *piece)
{
	if (!piece->size)
		return 0;
	p->access_given = true;
	if (is_access(piece, &p->disk->writable))
		return 0;
	return complain(p, piece, "is not an access mode: r, ro, w or rw");
}

static int take_format(struct disk_parse *p, const struct piece *piece)
{
	char name[16];

	if (!piece->size)
		return 0;
	snprintf(name, sizeof name, "%.*s", piece->size > 15 ? 15 : (int)piece->size, piece->start);
	if (domain_format_find(name, &p->disk->format))
		return complain(p, piece, "is not a disk format: raw, qcow2, qcow, vhd or qed");
	return 0;
}

/* Behind "ioemu:", which xm's files for HVM guests put before a disk's name. */
static struct piece skip_ioemu(struct piece name)
{
	const size_t size = strlen("ioemu:");

	if (name.size > size && !memcmp(name.start, "ioemu:", size))
		return (struct piece){name.start + size, name.size - size};
	return name;
}

/* The name, and behind a colon what it is. */
static int take_vdev(struct disk_parse *p, const struct piece *piece)
{
	struct piece name = skip_ioemu(*piece), kind = {"", 0};
	const char *colon = memchr(name.start, ':', name.size);
	struct vdev vdev;
	int r;

	if (colon) {
		kind = (struct piece){colon + 1, name.start + name.size - colon - 1};
		name.size = colon - name.start;
		if (piece_is(&kind, "cdrom"))
			p->disk->cdrom = true;
		else if (!piece_is(&kind, "disk"))
			return complain(p, &kind, "is not a kind of drive: cdrom or disk");
	}
	r = piece_take(&name, &p->disk->vdev, p->err);
	if (r)
		return r;
	if (!p->disk->vdev || vdev_parse(p->disk->vdev, &vdev))
		return complain(p, &name, "is not a disk's name: like xvda, xvda2, hda or sda");
	return 0;
}

static bool is_word_of(const char *name, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(name, *words))
			return true;
	return false;
}

/* One of the words in front of a target: what names a format or a script sets it. 1: it was the last. */
static int take_prefix(struct disk_parse *p, const struct piece *word)
{
	static const char *const hints[] = {"file", "phy", "tap", "tap2", "aio", "tapdisk", "ioemu",
		"sync", "ram", NULL};
	static const char *const scripts[] = {"iscsi", "nbd", "enbd", "drbd", NULL};
	struct piece shown = {word->start, word->size + 1};
	enum domain_format format;
	char name[16];

	snprintf(name, sizeof name, "%.*s", word->size > 15 ? 15 : (int)word->size, word->start);
	if (is_word_of(name, hints))
		return 0;
	if (is_word_of(name, scripts)) {
		free(p->disk->script);
		if (asprintf(&p->disk->script, "block-%s", name) >= 0)
			return 1; /* what follows is the script's, with its colons */
		p->disk->script = NULL;
		return error_nomem(p->err);
	}
	if (domain_format_find(name, &format) || format == DOMAIN_EMPTY)
		return complain(p, &shown,
			"is none of file: phy: tap: tap2: tapdisk: aio: raw: qcow: qcow2: vhd: "
			"iscsi: nbd: enbd: drbd: (a path with a colon begins with / or ./)");
	p->disk->format = format;
	return 0;
}

/* An export of an NBD server's; "nbd:" alone is a script's. */
static bool is_remote(const struct piece *target)
{
	return target->size > 3 && disk_is_remote(target->start);
}

/* "tap:qcow2:" and the like before a path, as old files have it. All of them are kept as a hint. */
static int take_prefixes(struct disk_parse *p, struct piece *target)
{
	const char *start = target->start;
	int r = 0;

	if (is_remote(target))
		return 0;
	while (!r) {
		const char *colon = memchr(target->start, ':', target->size);
		const char *slash = memchr(target->start, '/', target->size);

		if (!colon || (slash && slash < colon))
			break;
		r = take_prefix(p, &(struct piece){target->start, colon - target->start});
		target->size -= colon + 1 - target->start;
		target->start = colon + 1;
	}
	if (r < 0 || target->start == start)
		return r < 0 ? r : 0;
	return piece_take(&(struct piece){start, target->start - start - 1}, &p->disk->hint,
		p->err);
}

static int take_target(struct disk_parse *p, struct piece target)
{
	int r = take_prefixes(p, &target);

	p->target_given = true;
	return r ? r : piece_take(&target, &p->disk->target, p->err);
}

static void warn_missing(struct disk_parse *p, const struct piece *name)
{
	struct cfg_place place = piece_place(p->value, name->start);

	spec_warn(p->reader, &place, "'%.*s' has no effect yet", SHOWN(name));
}

/* What xl replicates a disk by. */
static bool is_colo(const struct piece *key)
{
	static const char *const keys[] = {"colo-host", "colo-port", "colo-export", "active-disk",
		"hidden-disk", NULL};

	for (unsigned n = 0; keys[n]; n++)
		if (piece_is(key, keys[n]))
			return true;
	return false;
}

static int take_flag(struct disk_parse *p, const struct piece *piece, bool *known)
{
	struct domain_disk *disk = p->disk;

	*known = true;
	if (piece_is(piece, "cdrom") || piece_is(piece, "devtype=cdrom"))
		disk->cdrom = true;
	else if (piece_is(piece, "discard"))
		disk->discard = true;
	else if (piece_is(piece, "no-discard"))
		disk->discard = false;
	else if (piece_is(piece, "direct-io-safe"))
		disk->direct_io = true;
	else if (piece_is(piece, "trusted") || piece_is(piece, "untrusted"))
		; /* between a driver and what serves it in another domain */
	else if (piece_is(piece, "colo"))
		warn_missing(p, piece);
	else
		*known = false;
	return 0;
}

static int take_errors(struct disk_parse *p, const struct piece *piece)
{
	for (int i = 0; i < DISK_ERRORS; i++)
		if (piece_is(piece, disk_errors_names[i])) {
			p->disk->errors = (enum disk_errors)i;
			return 0;
		}
	return complain(p, piece, "is not what comes of errors: report or wait");
}

static int take_named(struct disk_parse *p, const struct piece *piece, const struct piece *key,
	const struct piece *value)
{
	struct cfg_place place;

	if (piece_is(key, "format"))
		return take_format(p, value);
	if (piece_is(key, "vdev"))
		return take_vdev(p, value);
	if (piece_is(key, "access"))
		return take_access(p, value);
	if (piece_is(key, "script"))
		return piece_take(value, &p->disk->script, p->err);
	if (piece_is(key, "backend"))
		return piece_take(value, &p->disk->backend, p->err);
	if (piece_is(key, "backendtype"))
		return piece_take(value, &p->disk->hint, p->err);
	if (piece_is(key, "devtype")) {
		if (piece_is(value, "disk"))
			return 0;
		return complain(p, value, "is not a kind of drive: cdrom or disk");
	}
	if (piece_is(key, "errors"))
		return take_errors(p, value);
	if (piece_is(key, "specification")) {
		if (!value->size || piece_is(value, "xen") || piece_is(value, "virtio"))
			return 0; /* every disk here is virtio's */
		return complain(p, value, "is not a specification: xen or virtio");
	}
	if (is_colo(key)) {
		warn_missing(p, key);
		return 0;
	}
	place = piece_place(p->value, piece->start);
	return cfg_error(p->err, EINVAL, &place,
		"'%.*s=' is not a property of a disk: target, format, vdev, access, devtype, script, "
		"backend, backendtype or errors",
		SHOWN(key));
}

/* Pieces without a name stand in order: target, format, vdev, access. */
static int take_positional(struct disk_parse *p, const struct piece *piece)
{
	switch (p->position++) {
	case 0:
		return take_target(p, *piece);
	case 1:
		return take_format(p, piece);
	case 2:
		return piece->size ? take_vdev(p, piece) : 0;
	case 3:
		return piece->size ? take_access(p, piece) : 0;
	}
	if (!piece->size)
		return 0;
	return complain(p, piece,
		"is one too many: target, format, vdev, access are all that need no name");
}

/* target,vdev[:cdrom],mode: the second is no format, but a disk's name. */
static bool is_old_form(const char *text)
{
	struct piece target, second, third, key, value;
	struct vdev vdev;
	char name[VDEV_NAME_MAX];
	bool writable;
	size_t size;

	if (!piece_next(&text, &target) || piece_split(&target, &key, &value) ||
		!piece_next(&text, &second) || !piece_next(&text, &third))
		return false;
	second = skip_ioemu(second);
	size = memchr(second.start, ':', second.size)
		? (size_t)((const char *)memchr(second.start, ':', second.size) - second.start)
		: second.size;
	snprintf(name, sizeof name, "%.*s", (int)(size < sizeof name ? size : sizeof name),
		second.start);
	return !vdev_parse(name, &vdev) && is_access(&third, &writable);
}

static int parse_old(struct disk_parse *p)
{
	const char *at = p->value->text;
	struct piece target, vdev, mode, rest;
	int r;

	piece_next(&at, &target);
	piece_next(&at, &vdev);
	piece_next(&at, &mode);
	r = take_target(p, target);
	if (!r)
		r = take_vdev(p, &vdev);
	if (!r)
		r = take_access(p, &mode);
	/* xm took a fourth, the domain that serves the disk. */
	if (!r && piece_next(&at, &rest))
		r = piece_take(&rest, &p->disk->backend, p->err);
	return r;
}

static int parse_new(struct disk_parse *p)
{
	const char *at = p->value->text;
	struct piece piece, key, value;
	int r = 0;

	while (!r && piece_next(&at, &piece)) {
		bool known;

		r = take_flag(p, &piece, &known);
		if (r || known)
			continue;
		if (!piece_split(&piece, &key, &value) ||
			(p->position == 0 && !p->target_given &&
				memchr(key.start, '/', key.size))) {
			r = take_positional(p, &piece);
		} else if (piece_is(&key, "target")) { /* whatever follows is its */
			value = (struct piece){value.start, strlen(value.start)};
			while (value.size && isspace((unsigned char)value.start[value.size - 1]))
				value.size--;
			p->target_given = true;
			return piece_take(&value, &p->disk->target, p->err);
		} else {
			r = take_named(p, &piece, &key, &value);
		}
	}
	return r;
}

/*
 * xl puts /dev/ in front of whatever does not begin with /. A file in the current folder is meant more
 * often today, so that is done to what was said to be a device and to what is there as one.
 */
static bool is_device(const struct domain_disk *disk)
{
	char path[sizeof "/dev/" + DOMAIN_STRING_MAX];

	if (!disk->target || strchr("/.", disk->target[0]))
		return false;
	snprintf(path, sizeof path, "/dev/%s", disk->target);
	return (disk->hint && !strcmp(disk->hint, "phy")) || !access(path, F_OK);
}

static int in_dev(struct domain_disk *disk, struct error *err)
{
	char *target = disk->target;

	if (asprintf(&disk->target, "/dev/%s", target) < 0)
		disk->target = NULL;
	free(target);
	return disk->target ? 0 : error_nomem(err);
}

static int finish(struct disk_parse *p)
{
	struct domain_disk *disk = p->disk;
	const struct cfg_place *at = &p->value->at;

	if (!disk->vdev)
		return cfg_error(p->err, EINVAL, at,
			"the disk has no name in the guest: write TARGET,,xvda,rw or vdev=xvda");
	if (!disk->target && !disk->cdrom)
		return cfg_error(p->err, EINVAL, at,
			"the disk has no target; only a drive with ':cdrom' may be empty");
	if (!disk->target)
		disk->format = DOMAIN_EMPTY;
	else if (disk->format == DOMAIN_EMPTY)
		return cfg_error(p->err, EINVAL, at, "an empty drive has no target");
	if (!p->access_given)
		disk->writable = !disk->cdrom;
	if (disk->cdrom && disk->writable) {
		spec_warn(p->reader, at, "a CD is read-only: its access 'w' is ignored");
		disk->writable = false;
	}
	if (disk->script || (disk->target && disk_is_remote(disk->target)))
		return 0;
	return is_device(disk) ? in_dev(disk, p->err)
			       : spec_absolute(p->reader, &disk->target, p->err);
}

int spec_disk(const struct cfg_value *value, const struct config_reader *reader,
	struct domain_disk *disk, struct error *err)
{
	struct disk_parse p = {.value = value, .reader = reader, .disk = disk, .err = err};
	int r;

	disk->discard = true;
	r = is_old_form(value->text) ? parse_old(&p) : parse_new(&p);
	return r ? r : finish(&p);
}
