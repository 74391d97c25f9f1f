/* SPDX-License-Identifier: Apache-2.0 */
/* Making an image: a Debian root file system that boots as a guest. */
#ifndef DACH_IMAGE_CREATE_H
#define DACH_IMAGE_CREATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "image/store.h"

#define IMAGE_DIST_DEFAULT "bookworm"
#define IMAGE_SIZE_DEFAULT (4ull << 30)
#define IMAGE_SIZE_MIN (1ull << 30)
#define IMAGE_SIZE_MAX (64ull << 40)

struct image_request {
	const char *name;
	const char *dist;     /* Debian's code name for it */
	uint64_t size;        /* bytes */
	const char *include;  /* further packages, separated by commas; "" for none */
	const char *password; /* root's; NULL: make one up and keep it in the image's folder */
	const char *ssh_key;  /* a file with a public key that may log in as root; NULL: none */
	const char *hostname; /* NULL: the name */
	const char *output;   /* the folder to make the image's folder in; NULL: the store */
	bool keep_root; /* the root stays beside the disk, too: IMAGE_ROOT in the image's folder. As root */
	/* Told what goes on, a line at a time. */
	void (*progress)(void *ctx, const char *line);
	void *ctx;
};

/* What there is to tell at the end. */
struct image_result {
	struct image image;
	char password[128];
	char log[PATH_MAX];
};

/*
 * Takes a minute or so. SIGINT, SIGTERM and SIGHUP end it with -EINTR; on every
 * failure nothing is left but the log, which err then names. The caller is
 * single-threaded.
 */
int image_create(const struct image_request *request, struct image_result *result,
	struct error *err);

#endif
