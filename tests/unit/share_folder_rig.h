/* SPDX-License-Identifier: Apache-2.0 */
/* A shared folder and its server for a test each, and what a guest asks for most. */
#ifndef DACH_TESTS_SHARE_FOLDER_RIG_H
#define DACH_TESTS_SHARE_FOLDER_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "share_rig.h"

#define ROOT FUSE_ROOT_ID
#define INSIDE "inside"

/* Each test has a folder with a file "secret" and a folder "inside", which is shared. */
static char top[32];
static int root = -1;
static struct share_rig rig;

static inline void serve(const struct share_options *options)
{
	struct error err = {""};

	share_server_destroy(rig.server);
	assert_int_equal(share_server_create(root, options, &rig.server, &err), 0);
	assert_int_equal(share_begin(&rig), 0);
}

static inline void write_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static inline const char *read_file(const char *name)
{
	static char text[256];
	int fd = open(name, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	close(fd);
	text[n > 0 ? n : 0] = 0;
	return n < 0 ? "none" : text;
}

static inline int set_up(void **state)
{
	strcpy(top, "/tmp/dach-test-XXXXXX");
	if (!mkdtemp(top) || chdir(top) || mkdir(INSIDE, 0755))
		return -1;
	write_file("secret", "secret");
	mkdir("other", 0755);
	root = open(INSIDE, O_PATH | O_DIRECTORY);
	serve(&(struct share_options){.files = 64});
	return 0;
}

static inline int clean_up(void **state)
{
	char command[64];

	share_server_destroy(rig.server);
	rig.server = NULL;
	close(root);
	snprintf(command, sizeof command, "rm -rf %s", top);
	return chdir("/") || system(command);
}

/* The node of a name, which must be there. */
static inline uint64_t look(uint64_t folder, const char *name)
{
	const struct fuse_entry_out *out = share_out(&rig);

	assert_int_equal(share_ask_names(&rig, FUSE_LOOKUP, folder, NULL, 0, name, NULL), 0);
	assert_true(out->nodeid != 0);
	return out->nodeid;
}

static inline int open_node(uint64_t node, uint32_t flags, uint64_t *handle)
{
	const struct fuse_open_in in = {.flags = flags};
	int r = share_ask(&rig, FUSE_OPEN, node, &in, sizeof in);

	*handle = r ? 0 : ((const struct fuse_open_out *)share_out(&rig))->fh;
	return r;
}

static inline int read_node(uint64_t node, uint64_t handle, uint32_t size)
{
	const struct fuse_read_in in = {.fh = handle, .size = size};

	return share_ask(&rig, FUSE_READ, node, &in, sizeof in);
}

static inline int write_node(uint64_t node, uint64_t handle, uint64_t offset, uint32_t flags,
	const char *text)
{
	const struct fuse_write_in in = {.fh = handle,
		.offset = offset,
		.size = (uint32_t)strlen(text),
		.flags = flags};
	char both[256];

	memcpy(both, &in, sizeof in);
	memcpy(both + sizeof in, text, in.size);
	return share_ask(&rig, FUSE_WRITE, node, both, sizeof in + in.size);
}

static inline int set_attr(uint64_t node, const struct fuse_setattr_in *in)
{
	return share_ask(&rig, FUSE_SETATTR, node, in, sizeof *in);
}

static inline int create(uint64_t folder, const char *name, uint32_t mode, uint64_t *node,
	uint64_t *handle)
{
	const struct fuse_create_in in = {.flags = O_RDWR, .mode = S_IFREG | mode};
	int r = share_ask_names(&rig, FUSE_CREATE, folder, &in, sizeof in, name, NULL);
	const struct fuse_entry_out *out = share_out(&rig);

	*node = r ? 0 : out->nodeid;
	*handle = r ? 0 : ((const struct fuse_open_out *)(out + 1))->fh;
	return r;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, clean_up)

#endif
