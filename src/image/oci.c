/* SPDX-License-Identifier: Apache-2.0 */
#include "image/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"

#define PART_MAX (4u << 20) /* bytes of a description */
#define INDEX_DEPTH 3       /* an index may name others */
#define SHA256 "sha256:"
#define REF_NAME "org.opencontainers.image.ref.name"

struct layout {
	char folder[PATH_MAX];
	const char *name; /* of the image; NULL: the only one */
};

static int check_digest(const char *path, const char *digest, SHA2_CTX *sha, struct error *err)
{
	char hex[SHA256_DIGEST_STRING_LENGTH];

	SHA256End(sha, hex);
	return strcmp(digest + strlen(SHA256), hex)
		? error_set(err, EBADMSG, "%s: it is damaged, or another file: its SHA-256 is %s",
			  path, hex)
		: 0;
}

/* digest: what it has to be; NULL: nobody says. */
static json_t *read_json(const char *path, const char *digest, struct error *err)
{
	char *text;
	size_t size;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	int r = fd < 0 ? -errno : io_read_file(fd, PART_MAX, &text, &size);
	SHA2_CTX sha;
	json_t *json;

	if (fd >= 0)
		close(fd);
	if (r) {
		error_set(err, -r, "%s: %s", path, strerror(-r));
		return NULL;
	}
	SHA256Init(&sha);
	SHA256Update(&sha, (const uint8_t *)text, size);
	json = digest && check_digest(path, digest, &sha, err) ? NULL
							       : json_parse(text, size, path, err);
	free(text);
	return json;
}

/* A file of the layout, however large. */
static int check_file(const char *path, const char *digest, struct error *err)
{
	static uint8_t bytes[64 << 10];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW), r;
	struct stat st;
	SHA2_CTX sha;
	ssize_t n = 0;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		if (fd >= 0)
			close(fd);
		return error_set(err, ENOENT, "%s: a layer that is not there", path);
	}
	SHA256Init(&sha);
	while ((n = read(fd, bytes, sizeof bytes)) > 0)
		SHA256Update(&sha, bytes, (size_t)n);
	r = n ? error_set(err, errno, "%s: %s", path, strerror(errno))
	      : check_digest(path, digest, &sha, err);
	close(fd);
	return r;
}

/* Lowercase, and nothing that would lead elsewhere. */
static bool is_digest(const char *digest)
{
	const size_t len = strlen(SHA256);

	return !strncmp(digest, SHA256, len) &&
		strspn(digest + len, "0123456789abcdef") == SHA256_DIGEST_LENGTH * 2 &&
		!digest[len + SHA256_DIGEST_LENGTH * 2];
}

static int part_path(const struct layout *layout, const json_t *descriptor, char *path, size_t size,
	struct error *err)
{
	const char *digest = json_get_text(descriptor, "digest");

	if (!is_digest(digest))
		return error_set(err, EINVAL, "%s: '%.80s' is no digest of a part by SHA-256",
			layout->folder, digest);
	if (snprintf(path, size, "%s/blobs/sha256/%s", layout->folder, digest + strlen(SHA256)) >=
		(int)size)
		return error_set(err, ENAMETOOLONG, "%s: name too long", layout->folder);
	return 0;
}

static json_t *read_part(const struct layout *layout, const json_t *descriptor, struct error *err)
{
	char path[PATH_MAX + 256];

	return part_path(layout, descriptor, path, sizeof path, err)
		? NULL
		: read_json(path, json_get_text(descriptor, "digest"), err);
}

static bool is_ours(const json_t *descriptor)
{
	const json_t *platform = json_object_get(descriptor, "platform");

	return !platform ||
		(!strcmp(json_get_text(platform, "architecture"), "amd64") &&
			!strcmp(json_get_text(platform, "os"), "linux"));
}

/* The image's manifest, by one index or by those that it names. NULL. */
static json_t *find_manifest(const struct layout *layout, const json_t *index, unsigned depth,
	struct error *err)
{
	const json_t *list = json_object_get(index, "manifests"), *found = NULL;
	json_t *part, *manifest;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);
		const char *name = json_get_text(json_object_get(one, "annotations"), REF_NAME);

		if (!is_ours(one) || (layout->name && !depth && strcmp(name, layout->name)))
			continue;
		if (found && !depth) {
			error_set(err, EINVAL,
				"%s: there are several images in it: %s:NAME is one of them",
				layout->folder, layout->folder);
			return NULL;
		}
		found = found ? found : one;
	}
	if (!found) {
		error_set(err, ENOENT, "%s: no image for Linux on amd64 in it%s%s", layout->folder,
			layout->name ? " is called " : "", layout->name ? layout->name : "");
		return NULL;
	}
	part = read_part(layout, found, err);
	if (!part || !json_object_get(part, "manifests"))
		return part;
	if (depth == INDEX_DEPTH)
		error_set(err, EINVAL, "%s: an index of indices of indices", layout->folder);
	manifest = depth == INDEX_DEPTH ? NULL : find_manifest(layout, part, depth + 1, err);
	json_decref(part);
	return manifest;
}

static int take_layers(const struct layout *layout, const json_t *manifest, struct oci *oci,
	struct error *err)
{
	const json_t *list = json_object_get(manifest, "layers");
	char path[PATH_MAX + 256];

	if (!json_array_size(list))
		return error_set(err, EINVAL, "%s: an image without layers", layout->folder);
	if (json_array_size(list) > FLATTEN_LAYERS_MAX)
		return error_set(err, E2BIG, "%s: more than %u layers", layout->folder,
			FLATTEN_LAYERS_MAX);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *descriptor = json_array_get(list, i);
		int r = part_path(layout, descriptor, path, sizeof path, err);

		if (!r)
			r = check_file(path, json_get_text(descriptor, "digest"), err);
		if (r)
			return r;
		oci->layer[i] = strdup(path);
		if (!oci->layer[i])
			return error_nomem(err);
		oci->layers++;
	}
	return 0;
}

static int take_config(const struct layout *layout, const json_t *manifest, struct oci *oci,
	struct error *err)
{
	json_t *config = read_part(layout, json_object_get(manifest, "config"), err);
	const char *machine = json_get_text(config, "architecture");
	int r = config ? 0 : -EINVAL;

	if (!r && *machine && strcmp(machine, "amd64"))
		r = error_set(err, ENOTSUP, "%s: an image for %.32s, and guests are x86-64",
			layout->folder, machine);
	if (!r)
		oci->config = json_incref(json_object_get(config, "config"));
	json_decref(config);
	return r;
}

/* DIR, or DIR:NAME. */
static int find_layout(const char *place, struct layout *layout, struct error *err)
{
	char path[PATH_MAX + 16];
	const char *colon = strrchr(place, ':');

	layout->name = NULL;
	snprintf(layout->folder, sizeof layout->folder, "%s", place);
	snprintf(path, sizeof path, "%s/index.json", layout->folder);
	if (access(path, F_OK) && colon) {
		snprintf(layout->folder, sizeof layout->folder, "%.*s", (int)(colon - place),
			place);
		snprintf(path, sizeof path, "%s/index.json", layout->folder);
		layout->name = colon + 1;
	}
	if (!access(path, F_OK))
		return 0;
	snprintf(path, sizeof path, "%s/manifest.json", place);
	if (!access(path, F_OK))
		return error_set(err, ENOTSUP,
			"%s: as docker saves it: 'skopeo copy docker-archive:FILE oci:DIR' makes a layout of it",
			place);
	return error_set(err, ENOENT,
		"%s: no folder with an image layout (index.json): 'skopeo copy docker://NAME oci:DIR' fetches one from a registry",
		place);
}

int oci_open(const char *place, struct oci *oci, struct error *err)
{
	struct layout layout;
	char path[PATH_MAX + 16];
	json_t *index, *manifest = NULL;
	int r = find_layout(place, &layout, err);

	memset(oci, 0, sizeof *oci);
	if (r)
		return r;
	snprintf(path, sizeof path, "%s/index.json", layout.folder);
	index = read_json(path, NULL, err);
	if (index)
		manifest = find_manifest(&layout, index, 0, err);
	r = manifest ? take_layers(&layout, manifest, oci, err) : -EINVAL;
	if (!r)
		r = take_config(&layout, manifest, oci, err);
	json_decref(manifest);
	json_decref(index);
	if (r)
		oci_free(oci);
	return r;
}

void oci_free(struct oci *oci)
{
	for (unsigned i = 0; i < oci->layers; i++)
		free(oci->layer[i]);
	json_decref(oci->config);
	memset(oci, 0, sizeof *oci);
}
