/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image says that it runs: start.json as it lies beside a root, and a container's configuration (OCI) of which it is made,
 * which is then one that is read without a word.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "protocol/image_start.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_text(const void *text, size_t size, struct image_start *start)
{
	int fd = memfd_create("start", MFD_CLOEXEC), r;
	struct error err = {""};

	if (fd < 0 || io_write_all(fd, text, size) || lseek(fd, 0, SEEK_SET))
		abort();
	r = image_start_read_file(fd, "start.json", start, &err);
	close(fd);
	if (!r == !!*err.text)
		abort();
	return r;
}

static void use(struct image_start *start)
{
	size_t length = strlen(start->user) + strlen(start->folder);

	for (const char **word = start->argv; *word; word++)
		length += strlen(*word);
	for (const char **word = start->env; *word; word++)
		if (!strchr(*word, '='))
			abort();
	if (length > 1 << 20)
		abort();
	image_start_free(start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *config = json_loadb((const char *)data, size, JSON_ALLOW_NUL, NULL), *made;
	struct image_start start;
	char *text;

	if (!read_text(data, size, &start))
		use(&start);
	made = config ? image_start_of(config) : NULL;
	text = made ? json_dumps(made, 0) : NULL;
	/* Variables that are none are refused, not taken. */
	if (text && !read_text(text, strlen(text), &start))
		use(&start);
	free(text);
	json_decref(made);
	json_decref(config);
	return 0;
}
