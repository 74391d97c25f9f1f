/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/spec.h"
#include "domain/vdev.h"

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

/*
 * "tap:qcow2:" and the like before a path, as old files have it. What sets a format does; the rest
 * is kept as a hint.
 */
static int take_prefixes(struct disk_parse *p, struct piece *target)
{
	static const char *const hints[] = {"file", "phy", "tap", "tap2", "aio", "tapdisk", "ioemu",
		"sync", "ram", NULL};
	const char *start = target->start;
	int r;

	for (;;) {
		const char *colon = memchr(target->start, ':', target->size);
		const char *slash = memchr(target->start, '/', target->size);
		struct piece word = {target->start, colon ? colon - target->start : 0};
		unsigned n = 0;
		enum domain_format format;
		char name[16];

		if (!colon || (slash && slash < colon))
			break;
		snprintf(name, sizeof name, "%.*s", word.size > 15 ? 15 : (int)word.size,
			word.start);
		while (hints[n] && strcmp(hints[n], name))
			n++;
		if (!hints[n] && (domain_format_find(name, &format) || format == DOMAIN_EMPTY)) {
			word.size++;
			return complain(p, &word,
				"is none of file: phy: tap: tap2: tapdisk: aio: raw: qcow: "
				"qcow2: vhd: (a path with a colon begins with / or ./)");
		}
		if (!hints[n]) {
			p->disk->format = format;
		}
		target->size -= colon + 1 - target->start;
		target->start = colon + 1;
	}
	if (target->start == start)
		return 0;
	r = piece_take(&(struct piece){start, target->start - start - 1}, &p->disk->hint, p->err);
	if (r || !target->size || *target->start == '/' || strcmp(p->disk->hint, "phy"))
		return r;
	/* A device that is named without its folder. */
	free(p->disk->target);
	p->disk->target = NULL;
	if (asprintf(&p->disk->target, "/dev/%.*s", (int)target->size, target->start) < 0) {
		p->disk->target = NULL;
		return error_nomem(p->err);
	}
	target->size = 0; /* taken */
	return 0;
}

static int take_target(struct disk_parse *p, struct piece target)
{
	int r = take_prefixes(p, &target);

	p->target_given = true;
	if (r || p->disk->target)
		return r;
	return piece_take(&target, &p->disk->target, p->err);
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
	else
		*known = false;
	return 0;
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
	place = piece_place(p->value, piece->start);
	return cfg_error(p->err, EINVAL, &place,
		"'%.*s=' is not a property of a disk: target, format, vdev, access, devtype, script, "
		"backend or backendtype",
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
	return disk->script ? 0 : spec_absolute(p->reader, &disk->target, p->err);
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
