/* SPDX-License-Identifier: Apache-2.0 */
/* The server of a shared folder: what a guest may ask, and a hostile one does; nothing outside is reached. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "share_rig.h"

#define ROOT FUSE_ROOT_ID
#define INSIDE "inside"

/* Each test has a folder with a file "secret" and a folder "inside", which is shared. */
static char top[32];
static int root = -1;
static struct share_rig rig;

static void serve(const struct share_options *options)
{
	struct error err = {""};

	share_server_destroy(rig.server);
	assert_int_equal(share_server_create(root, options, &rig.server, &err), 0);
	assert_int_equal(share_begin(&rig), 0);
}

static void write_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static const char *read_file(const char *name)
{
	static char text[256];
	int fd = open(name, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	close(fd);
	text[n > 0 ? n : 0] = 0;
	return n < 0 ? "none" : text;
}

static int set_up(void **state)
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

static int clean_up(void **state)
{
	char command[64];

	share_server_destroy(rig.server);
	rig.server = NULL;
	close(root);
	snprintf(command, sizeof command, "rm -rf %s", top);
	return chdir("/") || system(command);
}

/* The node of a name, which must be there. */
static uint64_t look(uint64_t folder, const char *name)
{
	const struct fuse_entry_out *out = share_out(&rig);

	assert_int_equal(share_ask_names(&rig, FUSE_LOOKUP, folder, NULL, 0, name, NULL), 0);
	assert_true(out->nodeid != 0);
	return out->nodeid;
}

static int open_node(uint64_t node, uint32_t flags, uint64_t *handle)
{
	const struct fuse_open_in in = {.flags = flags};
	int r = share_ask(&rig, FUSE_OPEN, node, &in, sizeof in);

	*handle = r ? 0 : ((const struct fuse_open_out *)share_out(&rig))->fh;
	return r;
}

static int read_node(uint64_t node, uint64_t handle, uint32_t size)
{
	const struct fuse_read_in in = {.fh = handle, .size = size};

	return share_ask(&rig, FUSE_READ, node, &in, sizeof in);
}

static int write_node(uint64_t node, uint64_t handle, uint64_t offset, uint32_t flags,
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

static int set_attr(uint64_t node, const struct fuse_setattr_in *in)
{
	return share_ask(&rig, FUSE_SETATTR, node, in, sizeof *in);
}

static int create(uint64_t folder, const char *name, uint32_t mode, uint64_t *node,
	uint64_t *handle)
{
	const struct fuse_create_in in = {.flags = O_RDWR, .mode = S_IFREG | mode};
	int r = share_ask_names(&rig, FUSE_CREATE, folder, &in, sizeof in, name, NULL);
	const struct fuse_entry_out *out = share_out(&rig);

	*node = r ? 0 : out->nodeid;
	*handle = r ? 0 : ((const struct fuse_open_out *)(out + 1))->fh;
	return r;
}

static void names(void **state)
{
	static char text[300];
	static const char *const bad[] = {"", ".", "..", "/", "a/b", "../secret", "/etc/passwd",
		"inside/"};
	const struct fuse_mkdir_in dir = {.mode = 0755};
	const struct fuse_mknod_in node = {.mode = S_IFREG | 0644};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(share_ask_names(&rig, FUSE_LOOKUP, ROOT, NULL, 0, bad[i], NULL),
			-EINVAL);
		assert_int_equal(share_ask_names(&rig, FUSE_UNLINK, ROOT, NULL, 0, bad[i], NULL),
			-EINVAL);
		assert_int_equal(share_ask_names(&rig, FUSE_MKDIR, ROOT, &dir, sizeof dir, bad[i],
					 NULL),
			-EINVAL);
		assert_int_equal(share_ask_names(&rig, FUSE_MKNOD, ROOT, &node, sizeof node, bad[i],
					 NULL),
			-EINVAL);
		assert_int_equal(share_ask_names(&rig, FUSE_SYMLINK, ROOT, NULL, 0, bad[i], "x"),
			-EINVAL);
		assert_int_equal(share_ask_names(&rig, FUSE_RENAME, ROOT,
					 &(struct fuse_rename_in){ROOT}, 8, "x", bad[i]),
			-EINVAL);
	}
	/* Too long; without an end; without a second one. */
	memset(text, 'a', 299);
	assert_int_equal(share_ask(&rig, FUSE_LOOKUP, ROOT, text, 300), -EINVAL);
	assert_int_equal(share_ask(&rig, FUSE_LOOKUP, ROOT, text, 100), -EINVAL);
	assert_int_equal(share_ask(&rig, FUSE_SYMLINK, ROOT, "a", 2), -EINVAL);
	assert_int_equal(share_ask(&rig, FUSE_SYMLINK, ROOT, "a\0b", 3), -EINVAL);
	assert_int_equal(share_ask_names(&rig, FUSE_RENAME, ROOT, &(struct fuse_rename_in){ROOT}, 8,
				 "x", NULL),
		-EINVAL);
}

/* Links are the guest's to follow; here nothing goes through one. */
static void links(void **state)
{
	const struct fuse_mkdir_in dir = {.mode = 0755};
	uint64_t link, made, handle;

	assert_int_equal(symlink("../secret", INSIDE "/file"), 0);
	assert_int_equal(symlink("../other", INSIDE "/folder"), 0);
	link = look(ROOT, "file");
	assert_int_equal(share_ask(&rig, FUSE_READLINK, link, NULL, 0), 0);
	assert_memory_equal(share_out(&rig), "../secret", 9);
	assert_int_equal(open_node(link, O_RDWR | O_TRUNC, &handle), -ENXIO);
	assert_int_equal(create(ROOT, "file", 0644, &made, &handle), -EEXIST);
	assert_int_equal(set_attr(link, &(struct fuse_setattr_in){.valid = FATTR_MODE}),
		-EOPNOTSUPP);
	assert_true(set_attr(link, &(struct fuse_setattr_in){.valid = FATTR_SIZE}) < 0);
	link = look(ROOT, "folder");
	assert_int_equal(share_ask_names(&rig, FUSE_LOOKUP, link, NULL, 0, "secret", NULL),
		-ENOTDIR);
	assert_int_equal(share_ask_names(&rig, FUSE_MKDIR, link, &dir, sizeof dir, "new", NULL),
		-ENOTDIR);
	assert_string_equal(read_file("secret"), "secret");
	assert_int_equal(rmdir("other"), 0); /* it is empty */
}

static void kinds(void **state)
{
	static const uint32_t others[] = {S_IFCHR | 0666, S_IFBLK | 0666, S_IFDIR | 0755,
		S_IFLNK | 0777, 0644};
	const struct fuse_mknod_in pipe = {.mode = S_IFIFO | 0666};
	struct stat st;
	uint64_t node, handle;

	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		const struct fuse_mknod_in device = {.mode = others[i], .rdev = 0x103};

		assert_int_equal(share_ask_names(&rig, FUSE_MKNOD, ROOT, &device, sizeof device,
					 "device", NULL),
			-EPERM);
	}
	/* A pipe would make who opens it wait. */
	assert_int_equal(share_ask_names(&rig, FUSE_MKNOD, ROOT, &pipe, sizeof pipe, "pipe", NULL),
		0);
	assert_int_equal(open_node(look(ROOT, "pipe"), O_RDONLY, &handle), -ENXIO);
	assert_int_equal(create(ROOT, "pipe", 0644, &node, &handle), -EEXIST);
	/* Nobody becomes another by a file of the guest's. */
	assert_int_equal(create(ROOT, "file", 06755, &node, &handle), 0);
	assert_int_equal(set_attr(node,
				 &(struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 07755}),
		0);
	assert_int_equal(stat(INSIDE "/file", &st), 0);
	assert_int_equal(st.st_mode & 07777, 01755);
	assert_int_equal(set_attr(node, &(struct fuse_setattr_in){.valid = FATTR_UID, .uid = 0}),
		0);
	assert_int_equal(set_attr(node, &(struct fuse_setattr_in){.valid = FATTR_UID, .uid = 12}),
		-EPERM);
}

/* Somebody puts another thing into a file's or a folder's place between two requests. */
static void replaced(void **state)
{
	const struct fuse_mkdir_in dir = {.mode = 0755};
	const struct fuse_setattr_in chmod_in = {.valid = FATTR_MODE, .mode = 0777},
				     cut = {.valid = FATTR_SIZE, .size = 0},
				     touch = {.valid = FATTR_MTIME, .mtime = 1};
	uint64_t file, folder, handle;
	char name[32];

	write_file(INSIDE "/file", "text");
	mkdir(INSIDE "/folder", 0755);
	file = look(ROOT, "file");
	folder = look(ROOT, "folder");
	assert_int_equal(unlink(INSIDE "/file"), 0);
	assert_int_equal(symlink("../secret", INSIDE "/file"), 0);
	assert_int_equal(rename(INSIDE "/folder", "moved"), 0);
	assert_int_equal(symlink("../other", INSIDE "/folder"), 0);
	assert_int_equal(open_node(file, O_RDWR | O_TRUNC, &handle), -ESTALE);
	assert_int_equal(set_attr(file, &chmod_in), -ESTALE);
	assert_int_equal(set_attr(file, &cut), -ESTALE);
	assert_int_equal(set_attr(file, &touch), -ESTALE);
	assert_int_equal(share_ask(&rig, FUSE_GETATTR, file, NULL, 0), -ESTALE);
	assert_int_equal(share_ask_names(&rig, FUSE_LINK, ROOT, &(struct fuse_link_in){file}, 8,
				 "second", NULL),
		-ESTALE);
	assert_int_equal(share_ask_names(&rig, FUSE_MKDIR, folder, &dir, sizeof dir, "new", NULL),
		-ESTALE);
	/* Another file by the same name is another file. */
	unlink(INSIDE "/file");
	write_file(INSIDE "/file", "other");
	link(INSIDE "/file", INSIDE "/kept"); /* so that its number stays its own */
	file = look(ROOT, "file");
	unlink(INSIDE "/file");
	write_file(INSIDE "/file", "third");
	assert_int_equal(open_node(file, O_RDWR | O_TRUNC, &handle), -ESTALE);
	assert_string_equal(read_file(INSIDE "/file"), "third");
	assert_string_equal(read_file("secret"), "secret");
	assert_int_equal(rmdir("other"), 0);
	/* A folder that is open here when it is moved out is still what was shared, and no way up. */
	mkdir(INSIDE "/open", 0755);
	folder = look(ROOT, "open");
	assert_int_equal(share_ask_names(&rig, FUSE_MKDIR, folder, &dir, sizeof dir, "new", NULL),
		0);
	assert_int_equal(rename(INSIDE "/open", "outside"), 0);
	snprintf(name, sizeof name, "..");
	assert_int_equal(share_ask_names(&rig, FUSE_LOOKUP, folder, NULL, 0, name, NULL), -EINVAL);
}

/* In mounts of its own: what is mounted beneath the folder is not the folder's. 0, or what went wrong. */
static int among_mounts(void)
{
	const struct fuse_setattr_in chmod_in = {.valid = FATTR_MODE, .mode = 0777};
	uint64_t file, folder, handle;

	if (unshare(CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0)) ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return 77; /* this host gives none */
	root = open(INSIDE, O_PATH | O_DIRECTORY);
	serve(&(struct share_options){.files = 64});
	file = look(ROOT, "file");
	folder = look(ROOT, "folder");
	if (mount("secret", INSIDE "/file", NULL, MS_BIND, NULL) ||
		mount("other", INSIDE "/folder", NULL, MS_BIND, NULL))
		return 1;
	if (share_ask_names(&rig, FUSE_LOOKUP, ROOT, NULL, 0, "file", NULL) != -EXDEV ||
		share_ask_names(&rig, FUSE_LOOKUP, ROOT, NULL, 0, "folder", NULL) != -EXDEV)
		return 2;
	if (set_attr(file, &chmod_in) != -EXDEV || open_node(file, O_RDWR, &handle) != -EXDEV ||
		share_ask(&rig, FUSE_GETATTR, file, NULL, 0) != -EXDEV)
		return 3;
	if (share_ask_names(&rig, FUSE_LOOKUP, folder, NULL, 0, "x", NULL) != -EXDEV)
		return 4;
	return 0;
}

static void mounts(void **state)
{
	struct stat st;
	int status;
	pid_t pid;

	write_file(INSIDE "/file", "text");
	mkdir(INSIDE "/folder", 0755);
	pid = fork();
	if (!pid)
		_exit(among_mounts());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
	assert_int_equal(stat("secret", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
}

/* Numbers that are nobody's, or another's. */
static void forged(void **state)
{
	uint64_t file, folder, handle, dir;
	const struct fuse_open_in open_in = {.flags = O_RDONLY};

	write_file(INSIDE "/file", "text");
	mkdir(INSIDE "/folder", 0755);
	file = look(ROOT, "file");
	folder = look(ROOT, "folder");
	assert_int_equal(open_node(file, O_RDONLY, &handle), 0);
	assert_int_equal(share_ask(&rig, FUSE_OPENDIR, folder, &open_in, sizeof open_in), 0);
	dir = ((const struct fuse_open_out *)share_out(&rig))->fh;
	for (uint64_t id = 4; id < 200; id++)
		assert_int_equal(share_ask(&rig, FUSE_GETATTR, id, NULL, 0), -ESTALE);
	assert_int_equal(share_ask(&rig, FUSE_GETATTR, UINT64_MAX, NULL, 0), -ESTALE);
	assert_int_equal(share_ask(&rig, FUSE_GETATTR, 0, NULL, 0), -ESTALE);
	assert_int_equal(read_node(file, 99, 10), -EBADF);
	assert_int_equal(read_node(file, UINT64_MAX, 10), -EBADF);
	assert_int_equal(read_node(folder, dir, 10), -EBADF);
	assert_int_equal(share_ask(&rig, FUSE_READDIR, file,
				 &(struct fuse_read_in){.fh = handle, .size = 4096},
				 sizeof(struct fuse_read_in)),
		-EBADF);
	assert_int_equal(share_ask(&rig, FUSE_READDIRPLUS, ROOT,
				 &(struct fuse_read_in){.fh = dir, .size = 4096},
				 sizeof(struct fuse_read_in)),
		-EBADF);
	assert_int_equal(share_ask(&rig, FUSE_RELEASE, folder, &(struct fuse_release_in){.fh = dir},
				 sizeof(struct fuse_release_in)),
		-EBADF);
	assert_int_equal(write_node(file, handle, 0, 0, "x"), -EBADF); /* to be read alone */
	/* Forgotten more often than it was known; while it is open. */
	assert_int_equal(share_ask(&rig, FUSE_FORGET, file, &(struct fuse_forget_in){UINT64_MAX},
				 sizeof(struct fuse_forget_in)),
		0);
	assert_int_equal(read_node(file, handle, 10), 0);
	assert_int_equal(share_ask(&rig, FUSE_RELEASE, file,
				 &(struct fuse_release_in){.fh = handle},
				 sizeof(struct fuse_release_in)),
		0);
	assert_int_equal(share_ask(&rig, FUSE_GETATTR, file, NULL, 0), -ESTALE);
	share_ask(&rig, FUSE_FORGET, ROOT, &(struct fuse_forget_in){UINT64_MAX}, 8);
	assert_int_equal(share_ask(&rig, FUSE_GETATTR, ROOT, NULL, 0), 0);
}

/* Each operation with less than it needs, with too little room, and of the wrong length. */
static void cut_short(void **state)
{
	static const char zeros[256];
	struct fuse_in_header *header = (struct fuse_in_header *)rig.ask;
	struct fuse_write_in in = {.size = 1000};
	uint64_t node, link;

	assert_int_equal(symlink("away", INSIDE "/link"), 0);
	link = look(ROOT, "link");
	for (uint32_t op = 0; op < 100; op++)
		for (size_t size = 0; size < 100; size++) {
			if (op == FUSE_DESTROY || op == FUSE_INIT)
				continue;
			rig.room = SHARE_BYTES_MAX;
			share_ask(&rig, op, ROOT, zeros, size);
			assert_int_equal(((struct fuse_out_header *)rig.answer)->len, rig.len);
			for (rig.room = 16; rig.room < 200; rig.room += 23) {
				memset(rig.answer, 0x5a, 512);
				share_ask(&rig, op, ROOT, zeros, size);
				assert_true(rig.len <= rig.room && rig.len >= 16);
				assert_int_equal(((uint8_t *)rig.answer)[rig.room], 0x5a);
			}
		}
	rig.room = 0;
	for (uint32_t op = 0; op < 100; op++)
		for (size_t size = 0; size < 100; size += 33)
			if (op != FUSE_DESTROY)
				assert_int_equal(share_ask(&rig, op, ROOT, zeros, size), 1);
	share_ask(&rig, FUSE_READLINK, link, NULL, 0);
	rig.room = SHARE_BYTES_MAX;
	assert_int_equal(share_ask(&rig, FUSE_GETATTR, ROOT, NULL, 0), 0);
	header->len++;
	share_server_answer(rig.server, rig.ask, sizeof *header, rig.answer, rig.room);
	assert_int_equal(((struct fuse_out_header *)rig.answer)->error, -EINVAL);
	share_server_answer(rig.server, rig.ask, 3, rig.answer, rig.room);
	assert_int_equal(((struct fuse_out_header *)rig.answer)->error, -EINVAL);
	assert_int_equal(share_ask(&rig, 4096, ROOT, NULL, 0), -ENOSYS);
	assert_int_equal(share_ask(&rig, FUSE_GETXATTR, ROOT, zeros, 64), -ENOSYS);
	/* What it says it writes is more than it has. */
	assert_int_equal(share_begin(&rig), 0); /* nothing is open */
	assert_int_equal(create(ROOT, "new", 0644, &node, &in.fh), 0);
	assert_int_equal(share_ask(&rig, FUSE_WRITE, node, &in, sizeof in), -EINVAL);
}

static void before_init(void **state)
{
	struct error err;

	share_server_destroy(rig.server);
	assert_int_equal(share_server_create(root, &(struct share_options){.files = 64},
				 &rig.server, &err),
		0);
	assert_int_equal(share_ask(&rig, FUSE_GETATTR, ROOT, NULL, 0), -EIO);
	assert_int_equal(share_ask(&rig, FUSE_INIT, 0, &(struct fuse_init_in){.major = 8}, 16),
		-EPROTO);
	assert_int_equal(share_ask(&rig, FUSE_INIT, 0,
				 &(struct fuse_init_in){.major = 7, .minor = 30}, 16),
		-EPROTO);
	assert_int_equal(share_begin(&rig), 0);
	/* A guest that starts anew has nothing open, and knows nothing. */
	write_file(INSIDE "/file", "text");
	look(ROOT, "file");
	assert_int_equal(share_begin(&rig), 0);
	assert_int_equal(share_ask(&rig, FUSE_GETATTR, 2, NULL, 0), -ESTALE);
}

static void read_only(void **state)
{
	const struct fuse_mkdir_in dir = {.mode = 0755};
	const struct fuse_mknod_in node = {.mode = S_IFREG | 0644};
	uint64_t file, made, handle;

	write_file(INSIDE "/file", "text");
	serve(&(struct share_options){.files = 64, .read_only = true});
	file = look(ROOT, "file");
	assert_int_equal(open_node(file, O_RDONLY, &handle), 0);
	assert_int_equal(read_node(file, handle, 100), 0);
	assert_int_equal(rig.len, sizeof(struct fuse_out_header) + 4);
	assert_int_equal(write_node(file, handle, 0, 0, "x"), -EROFS);
	assert_int_equal(open_node(file, O_WRONLY, &handle), -EROFS);
	assert_int_equal(open_node(file, O_RDONLY | O_TRUNC, &handle), -EROFS);
	assert_int_equal(create(ROOT, "new", 0644, &made, &handle), -EROFS);
	assert_int_equal(share_ask_names(&rig, FUSE_MKDIR, ROOT, &dir, sizeof dir, "new", NULL),
		-EROFS);
	assert_int_equal(share_ask_names(&rig, FUSE_MKNOD, ROOT, &node, sizeof node, "new", NULL),
		-EROFS);
	assert_int_equal(share_ask_names(&rig, FUSE_UNLINK, ROOT, NULL, 0, "file", NULL), -EROFS);
	assert_int_equal(share_ask_names(&rig, FUSE_SYMLINK, ROOT, NULL, 0, "new", "x"), -EROFS);
	assert_int_equal(share_ask_names(&rig, FUSE_RENAME, ROOT, &(struct fuse_rename_in){ROOT}, 8,
				 "file", "new"),
		-EROFS);
	assert_int_equal(set_attr(file, &(struct fuse_setattr_in){.valid = FATTR_MODE}), -EROFS);
}

/* What is open outlives its name, and a name that goes elsewhere takes the file along. */
static void names_change(void **state)
{
	uint64_t node, handle, folder;
	struct stat st;

	mkdir(INSIDE "/folder", 0755);
	folder = look(ROOT, "folder");
	assert_int_equal(create(ROOT, "file", 0600, &node, &handle), 0);
	assert_int_equal(share_ask_names(&rig, FUSE_RENAME, ROOT, &(struct fuse_rename_in){folder},
				 8, "file", "moved"),
		0);
	assert_int_equal(share_ask(&rig, FUSE_GETATTR, node, NULL, 0), 0);
	assert_int_equal(set_attr(node,
				 &(struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0640}),
		0);
	assert_int_equal(stat(INSIDE "/folder/moved", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(share_ask_names(&rig, FUSE_UNLINK, folder, NULL, 0, "moved", NULL), 0);
	assert_int_equal(write_node(node, handle, 0, 0, "still"), 0);
	assert_int_equal(share_ask(&rig, FUSE_GETATTR, node, NULL, 0), 0);
	assert_int_equal(((const struct fuse_attr_out *)share_out(&rig))->attr.size, 5);
	assert_int_equal(((const struct fuse_attr_out *)share_out(&rig))->attr.nlink, 0);
	assert_int_equal(set_attr(node, &(struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 2}),
		0);
	assert_int_equal(share_ask_names(&rig, FUSE_LOOKUP, folder, NULL, 0, "moved", NULL), 0);
	assert_int_equal(((const struct fuse_entry_out *)share_out(&rig))->nodeid, 0);
}

/* Both at the end of one file, whatever each thinks where that is. */
static void append(void **state)
{
	uint64_t node, first, second;

	write_file(INSIDE "/log", "");
	node = look(ROOT, "log");
	assert_int_equal(open_node(node, O_WRONLY | O_APPEND, &first), 0);
	assert_int_equal(open_node(node, O_WRONLY | O_APPEND, &second), 0);
	assert_int_equal(write_node(node, first, 0, O_APPEND, "one"), 0);
	assert_int_equal(write_node(node, second, 0, O_APPEND, "two"), 0);
	assert_int_equal(write_node(node, second, 0, 0, "O"), 0);
	assert_string_equal(read_file(INSIDE "/log"), "Onetwo");
}

/* What the guest has in memory is good for as long as nobody else has written. */
static void cached(void **state)
{
	const struct fuse_open_out *out = share_out(&rig);
	uint64_t node, handle;

	write_file(INSIDE "/file", "text");
	node = look(ROOT, "file");
	assert_int_equal(open_node(node, O_RDONLY, &handle), 0);
	assert_int_equal(out->open_flags & FOPEN_KEEP_CACHE, 0);
	assert_int_equal(open_node(node, O_RDONLY, &handle), 0);
	assert_int_equal(out->open_flags & FOPEN_KEEP_CACHE, FOPEN_KEEP_CACHE);
	write_file(INSIDE "/file", "longer text");
	assert_int_equal(open_node(node, O_RDONLY, &handle), 0);
	assert_int_equal(out->open_flags & FOPEN_KEEP_CACHE, 0);
}

/* More folders than may be open, each in the one before; then two that come to be within each other. */
static void deep(void **state)
{
	const struct fuse_mkdir_in dir = {.mode = 0755};
	uint64_t at[200] = {ROOT}, a, b;

	for (unsigned i = 1; i < 200; i++) {
		assert_int_equal(share_ask_names(&rig, FUSE_MKDIR, at[i - 1], &dir, sizeof dir, "d",
					 NULL),
			0);
		at[i] = ((const struct fuse_entry_out *)share_out(&rig))->nodeid;
	}
	for (unsigned i = 0; i < 200; i += 7)
		assert_int_equal(share_ask(&rig, FUSE_GETATTR, at[199 - i], NULL, 0), 0);
	/* One below the other when it was last seen, and then the other way round. */
	assert_int_equal(share_ask_names(&rig, FUSE_MKDIR, ROOT, &dir, sizeof dir, "a", NULL), 0);
	a = look(ROOT, "a");
	assert_int_equal(share_ask_names(&rig, FUSE_MKDIR, a, &dir, sizeof dir, "b", NULL), 0);
	b = look(a, "b");
	assert_int_equal(share_ask_names(&rig, FUSE_LOOKUP, b, NULL, 0, "x", NULL), 0);
	assert_int_equal(rename(INSIDE "/a/b", INSIDE "/b"), 0);
	assert_int_equal(rename(INSIDE "/a", INSIDE "/b/a"), 0);
	assert_int_equal(look(b, "a"), a);
	for (unsigned i = 0; i < 200; i += 3)
		share_ask_names(&rig, FUSE_LOOKUP, at[i], NULL, 0, "d", NULL);
	share_ask_names(&rig, FUSE_LOOKUP, a, NULL, 0, "x", NULL);
	assert_int_equal(look(ROOT, "b"), b);
	assert_int_equal(share_ask_names(&rig, FUSE_LOOKUP, a, NULL, 0, "x", NULL), 0);
}

/* Every entry once, in pieces, and again from the middle. */
static void listing(void **state)
{
	const struct fuse_open_in open_in = {.flags = O_RDONLY};
	struct fuse_read_in in = {.size = 1000};
	bool seen[300] = {false};
	uint64_t middle = 0;
	char name[32];

	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof name, INSIDE "/%03u", i);
		write_file(name, "");
	}
	assert_int_equal(share_ask(&rig, FUSE_OPENDIR, ROOT, &open_in, sizeof open_in), 0);
	in.fh = ((const struct fuse_open_out *)share_out(&rig))->fh;
	for (unsigned count = 0;;) {
		const char *at = share_out(&rig);
		size_t left;

		assert_int_equal(share_ask(&rig, FUSE_READDIRPLUS, ROOT, &in, sizeof in), 0);
		left = rig.len - sizeof(struct fuse_out_header);
		if (!left) {
			assert_int_equal(count, 302);
			break;
		}
		while (left) {
			const struct fuse_direntplus *entry = (const struct fuse_direntplus *)at;
			const size_t size = FUSE_DIRENTPLUS_SIZE(entry);

			assert_true(size <= left);
			if (entry->dirent.name[0] != '.') {
				const int number = atoi(entry->dirent.name);

				assert_true(number >= 0 && number < 300 && !seen[number]);
				assert_true(entry->entry_out.nodeid != 0);
				seen[number] = true;
			} else {
				assert_int_equal(entry->entry_out.nodeid, 0);
			}
			in.offset = entry->dirent.off;
			if (++count == 150)
				middle = in.offset;
			at += size;
			left -= size;
		}
	}
	in.offset = middle;
	assert_int_equal(share_ask(&rig, FUSE_READDIR, ROOT, &in, sizeof in), 0);
	assert_true(rig.len > 100);
	in.size = 8;
	in.offset = 0;
	assert_int_equal(share_ask(&rig, FUSE_READDIR, ROOT, &in, sizeof in), -EINVAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, clean_up)
	static const struct CMUnitTest tests[] = {TEST(names), TEST(links), TEST(kinds),
		TEST(mounts), TEST(replaced), TEST(forged), TEST(cut_short), TEST(before_init),
		TEST(read_only), TEST(names_change), TEST(append), TEST(cached), TEST(deep),
		TEST(listing)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
