/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/document.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "vmm/vmm.h"

#define FD_MIN (DOCUMENT_FD + 1)
#define FD_MAX 1023
#define NAME_MAX_BYTES 4096
#define KIB_MAX (1ull << 32) /* 4 TiB */
#define NO_NUMBER INT64_MIN

static int bad(struct error *err, const char *key, const char *what)
{
	return error_set(err, EINVAL, "configuration: %s: %s", key, what);
}

/* Every key is one of these, which a NULL ends. */
static int check_keys(json_t *object, const char *const *known, struct error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		const char *const *at = known;

		while (*at && strcmp(*at, key))
			at++;
		if (!*at)
			return bad(err, key, "unknown (is the daemon newer than this monitor?)");
	}
	return 0;
}

/* Fields that are left out keep the default; without one (NULL, NO_NUMBER) they are needed. */
static int get_string(json_t *object, const char *key, const char *fallback, const char **to,
	struct error *err)
{
	json_t *value = json_object_get(object, key);

	*to = fallback;
	if (!value)
		return fallback ? 0 : bad(err, key, "is missing");
	if (!json_is_string(value) || json_string_length(value) > NAME_MAX_BYTES)
		return bad(err, key, "not a string of at most 4096 bytes");
	*to = json_string_value(value);
	return 0;
}

static int get_number(json_t *object, const char *key, int64_t fallback, int64_t min, int64_t max,
	int64_t *to, struct error *err)
{
	json_t *value = json_object_get(object, key);

	*to = fallback;
	if (!value)
		return fallback == NO_NUMBER ? bad(err, key, "is missing") : 0;
	if (!json_is_integer(value) || json_integer_value(value) < min ||
		json_integer_value(value) > max)
		return error_set(err, EINVAL,
			"configuration: %s: not a number from %" PRId64 " to %" PRId64, key, min,
			max);
	*to = json_integer_value(value);
	return 0;
}

static int get_bool(json_t *object, const char *key, bool *to, struct error *err)
{
	json_t *value = json_object_get(object, key);

	*to = json_is_true(value);
	return !value || json_is_boolean(value) ? 0 : bad(err, key, "neither true nor false");
}

/* Keeps the list ascending, and each number once. */
static int note_fd(struct vmm_document *document, const char *key, int fd, struct error *err)
{
	unsigned at = document->fds;

	if (at == DOCUMENT_FDS_MAX)
		return bad(err, key, "too many descriptors");
	for (; at && document->fd[at - 1] >= fd; at--)
		if (document->fd[at - 1] == fd)
			return bad(err, key, "a descriptor that is used twice");
	memmove(&document->fd[at + 1], &document->fd[at],
		(document->fds - at) * sizeof *document->fd);
	document->fd[at] = fd;
	document->fds++;
	return 0;
}

/* -1 where it is left out, unless it is needed. */
static int get_fd(struct vmm_document *document, json_t *object, const char *key, bool needed,
	int *to, struct error *err)
{
	int64_t fd;
	int r = get_number(object, key, needed ? NO_NUMBER : -1, FD_MIN, FD_MAX, &fd, err);

	*to = r ? -1 : fd;
	return r || fd < 0 ? r : note_fd(document, key, fd, err);
}

/* {"fd": N, "name": "..."} */
static int get_file(struct vmm_document *document, const char *key, int *fd, const char **name,
	struct error *err)
{
	static const char *const known[] = {"fd", "name", NULL};
	json_t *file = json_object_get(document->root, key);
	int r;

	*fd = -1;
	if (!file)
		return 0;
	if (!json_is_object(file))
		return bad(err, key, "not an object");
	r = check_keys(file, known, err);
	if (!r)
		r = get_fd(document, file, "fd", true, fd, err);
	return r ? r : get_string(file, "name", key, name, err);
}

static int get_disk(struct vmm_document *document, unsigned i, json_t *disk, struct error *err)
{
	static const char *const known[] = {"fd", "name", "vdev", "readonly", NULL};
	struct vmm_given *given = &document->given;
	int r = json_is_object(disk) ? check_keys(disk, known, err)
				     : bad(err, "disks", "not an object");

	if (!r)
		r = get_fd(document, disk, "fd", true, &given->disk[i].fd, err);
	if (!r)
		r = get_bool(disk, "readonly", &given->disk[i].read_only, err);
	if (!r)
		r = get_string(disk, "vdev", "", &given->disk[i].vdev, err);
	return r ? r : get_string(disk, "name", "disk", &document->config.disk[i], err);
}

static int get_disks(struct vmm_document *document, struct error *err)
{
	json_t *disks = json_object_get(document->root, "disks");
	int r = 0;

	if (disks && (!json_is_array(disks) || json_array_size(disks) > VMM_DISKS_MAX))
		return bad(err, "disks", "not a list of at most 8");
	for (unsigned i = 0; !r && i < json_array_size(disks); i++) {
		r = get_disk(document, i, json_array_get(disks, i), err);
		document->config.disks++;
	}
	if (!r && !document->config.kernel && !document->config.disks)
		return bad(err, "kernel", "is missing, and there is no disk to take it from");
	return r;
}

static int get_networks(struct vmm_document *document, struct error *err)
{
	static const char *const known[] = {"spec", NULL};
	json_t *nets = json_object_get(document->root, "networks");
	int r = 0;

	if (nets && (!json_is_array(nets) || json_array_size(nets) > VMM_NETS_MAX))
		return bad(err, "networks", "not a list of at most 4");
	for (unsigned i = 0; !r && i < json_array_size(nets); i++) {
		json_t *net = json_array_get(nets, i);

		r = json_is_object(net) ? check_keys(net, known, err)
					: bad(err, "networks", "not an object");
		if (!r)
			r = get_string(net, "spec", NULL, &document->config.net[i], err);
		document->config.nets++;
	}
	return r;
}

static int get_keep(struct vmm_document *document, struct error *err)
{
	static const char *const name[] = {"poweroff", "crash", "reboot"};
	static const unsigned end[] = {END_POWEROFF, END_CRASH, END_REBOOT};
	json_t *keep = json_object_get(document->root, "keep");

	if (keep && !json_is_array(keep))
		return bad(err, "keep", "not a list");
	for (unsigned i = 0; i < json_array_size(keep); i++) {
		const char *text = json_string_value(json_array_get(keep, i));
		unsigned k = 0;

		while (text && k < 3 && strcmp(text, name[k]))
			k++;
		if (!text || k == 3)
			return bad(err, "keep", "not one of crash, poweroff, reboot");
		document->given.keep |= 1u << end[k];
	}
	return 0;
}

static int get_memory(struct vmm_document *document, struct error *err)
{
	int64_t memory, maxmem;
	int r = get_number(document->root, "memory", NO_NUMBER, 1024, KIB_MAX, &memory, err);

	if (!r)
		r = get_number(document->root, "maxmem", memory, 1024, KIB_MAX, &maxmem, err);
	if (r)
		return r;
	if (memory % 1024 || maxmem % 1024)
		return bad(err, "memory", "not a whole number of MiB");
	if (memory > maxmem)
		return bad(err, "memory", "more than maxmem");
	document->config.memory = (uint64_t)maxmem << 10;
	document->given.target = (uint64_t)memory << 10;
	return 0;
}

static int get_user(struct vmm_document *document, struct error *err)
{
	int64_t uid, gid;
	int r = get_number(document->root, "uid", -1, 1, UINT32_MAX - 1, &uid, err);

	if (!r)
		r = get_number(document->root, "gid", uid, 1, UINT32_MAX - 1, &gid, err);
	if (r || uid < 0)
		return r;
	document->given.has_user = true;
	document->given.uid = uid;
	document->given.gid = gid;
	return 0;
}

static int get_guest(struct vmm_document *document, struct error *err)
{
	struct vmm_config *config = &document->config;
	struct vmm_given *given = &document->given;
	json_t *root = document->root;
	int64_t number;
	int r = get_string(root, "name", NULL, &given->name, err);

	if (!r)
		r = get_string(root, "uuid", "", &given->uuid, err);
	if (!r)
		r = get_number(root, "domid", 0, 0, UINT32_MAX, &number, err);
	given->domid = r ? 0 : number;
	if (!r)
		r = get_string(root, "engine", "auto", &config->engine, err);
	if (!r)
		r = get_number(root, "vcpus", 1, 1, VMM_VCPUS_MAX, &number, err);
	config->vcpus = r ? 0 : number;
	if (!r)
		r = get_string(root, "cmdline", "", &config->cmdline, err);
	if (!r)
		r = get_bool(root, "paused", &given->paused, err);
	return r;
}

static int get_files(struct vmm_document *document, struct error *err)
{
	struct vmm_config *config = &document->config;
	struct vmm_given *given = &document->given;
	json_t *root = document->root;
	int r = get_file(document, "kernel", &given->kernel, &config->kernel, err);

	if (!r)
		r = get_file(document, "initrd", &given->initrd, &config->initrd, err);
	if (!r)
		r = get_fd(document, root, "control", false, &given->control, err);
	if (!r)
		r = get_fd(document, root, "console", false, &given->console, err);
	if (!r)
		r = get_fd(document, root, "lock", false, &given->lock, err);
	if (!r)
		r = get_fd(document, root, "status", false, &given->status, err);
	return r;
}

static int get_all(struct vmm_document *document, struct error *err)
{
	static const char *const known[] = {"version", "name", "domid", "uuid", "engine", "memory",
		"maxmem", "vcpus", "kernel", "initrd", "cmdline", "disks", "networks", "control",
		"console", "lock", "status", "paused", "keep", "uid", "gid", NULL};
	int64_t version;
	int r;

	if (!json_is_object(document->root))
		return error_set(err, EINVAL, "configuration: not a JSON object");
	r = get_number(document->root, "version", NO_NUMBER, DOCUMENT_VERSION, DOCUMENT_VERSION,
		&version, err);
	if (!r)
		r = check_keys(document->root, known, err);
	if (!r)
		r = get_guest(document, err);
	if (!r)
		r = get_memory(document, err);
	if (!r)
		r = get_files(document, err);
	if (!r)
		r = get_disks(document, err);
	if (!r)
		r = get_networks(document, err);
	if (!r)
		r = get_keep(document, err);
	return r ? r : get_user(document, err);
}

int document_parse(const char *text, size_t len, struct vmm_document *document, struct error *err)
{
	json_error_t where;
	int r;

	memset(document, 0, sizeof *document);
	if (len > DOCUMENT_MAX)
		return error_set(err, E2BIG, "configuration: more than %u bytes", DOCUMENT_MAX);
	document->root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	if (!document->root)
		return error_set(err, EINVAL, "configuration: line %d, column %d: %s", where.line,
			where.column, where.text);
	document->config.given = &document->given;
	r = get_all(document, err);
	if (r)
		document_free(document);
	return r;
}

void document_free(struct vmm_document *document)
{
	json_decref(document->root);
	memset(document, 0, sizeof *document);
}
