/* SPDX-License-Identifier: Apache-2.0 */
/* The server of a shared folder: what a guest may ask. */
#include "share_folder_rig.h"

#include <errno.h>
#include <sys/xattr.h>

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

/* A file without a name is opened again for as much as it is open for, also where another has its name now. */
static void nameless(void **state)
{
	uint64_t node, handle, again;

	write_file(INSIDE "/file", "text");
	node = look(ROOT, "file");
	assert_int_equal(open_node(node, O_RDONLY, &handle), 0);
	assert_int_equal(share_ask_names(&rig, FUSE_UNLINK, ROOT, NULL, 0, "file", NULL), 0);
	write_file(INSIDE "/file", "other");
	assert_int_equal(open_node(node, O_RDONLY, &again), 0);
	assert_int_equal(read_node(node, again, 100), 0);
	assert_memory_equal(share_out(&rig), "text", 4);
	assert_int_equal(open_node(node, O_WRONLY, &again), -ESTALE);
	assert_int_equal(open_node(node, O_RDONLY | O_TRUNC, &again), -ESTALE);
	assert_int_equal(open_node(node, O_RDONLY | O_SYNC, &again), -ESTALE);
	assert_int_equal(create(ROOT, "new", 0600, &node, &handle), 0);
	assert_int_equal(share_ask_names(&rig, FUSE_UNLINK, ROOT, NULL, 0, "new", NULL), 0);
	assert_int_equal(write_node(node, handle, 0, 0, "bytes"), 0);
	assert_int_equal(open_node(node, O_WRONLY | O_TRUNC, &again), 0);
	assert_int_equal(write_node(node, again, 0, 0, "x"), 0);
	assert_int_equal(share_ask(&rig, FUSE_GETATTR, node, NULL, 0), 0);
	assert_int_equal(((const struct fuse_attr_out *)share_out(&rig))->attr.size, 1);
	assert_string_equal(read_file(INSIDE "/file"), "other");
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

static int get_attribute(uint64_t node, const char *name, uint32_t size)
{
	const struct fuse_getxattr_in in = {.size = size};

	return share_ask_names(&rig, FUSE_GETXATTR, node, &in, sizeof in, name, NULL);
}

/* "name", a zero, and the value, of which size bytes are said to be there. */
static int set_attribute(uint64_t node, const char *name, const char *value, uint32_t size)
{
	const uint32_t fixed[2] = {size, 0};
	char in[512];
	size_t len = sizeof fixed;

	memcpy(in, fixed, sizeof fixed);
	strcpy(in + len, name);
	len += strlen(name) + 1;
	memcpy(in + len, value, strlen(value));
	return share_ask(&rig, FUSE_SETXATTR, node, in, len + strlen(value));
}

static int list_attributes(uint64_t node, uint32_t size)
{
	const struct fuse_getxattr_in in = {.size = size};

	return share_ask(&rig, FUSE_LISTXATTR, node, &in, sizeof in);
}

/* The user's are there, both ways; others are not, and no file that is none of the folder's is asked. */
static void attributes(void **state)
{
	static const char *const others[] = {"security.capability", "system.posix_acl_access",
		"trusted.x", "user", "usera", ""};
	char value[16];
	uint64_t file, link;

	write_file(INSIDE "/file", "x");
	if (setxattr(INSIDE "/file", "user.here", "7", 1, 0) && errno == ENOTSUP)
		skip();
	assert_int_equal(symlink("../secret", INSIDE "/link"), 0);
	file = look(ROOT, "file");
	link = look(ROOT, "link");
	assert_int_equal(set_attribute(file, "user.there", "value", 5), 0);
	assert_int_equal(getxattr(INSIDE "/file", "user.there", value, sizeof value), 5);
	assert_int_equal(get_attribute(file, "user.there", 0), 0);
	assert_int_equal(*(const uint32_t *)share_out(&rig), 5);
	assert_int_equal(get_attribute(file, "user.there", 4), -ERANGE);
	assert_int_equal(get_attribute(file, "user.there", 100), 0);
	assert_int_equal(rig.len, sizeof(struct fuse_out_header) + 5);
	assert_memory_equal(share_out(&rig), "value", 5);
	assert_int_equal(list_attributes(file, 0), 0);
	assert_int_equal(*(const uint32_t *)share_out(&rig), 21);
	assert_int_equal(list_attributes(file, 20), -ERANGE);
	assert_int_equal(list_attributes(file, 100), 0);
	assert_int_equal(rig.len, sizeof(struct fuse_out_header) + 21);
	assert_int_equal(share_ask(&rig, FUSE_REMOVEXATTR, file, "user.there", 11), 0);
	assert_int_equal(get_attribute(file, "user.there", 100), -ENODATA);
	assert_int_equal(set_attribute(ROOT, "user.folder", "", 0), 0);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		assert_int_equal(get_attribute(file, others[i], 100), -EOPNOTSUPP);
		assert_int_equal(set_attribute(file, others[i], "x", 1), -EOPNOTSUPP);
	}
	assert_int_equal(set_attribute(file, "user.x", "x", 2), -EINVAL);
	assert_int_equal(set_attribute(file, "user.x", "x", UINT32_MAX), -EINVAL);
	assert_int_equal(share_ask(&rig, FUSE_REMOVEXATTR, file, "user.x", 6), -EINVAL);
	assert_int_equal(set_attribute(link, "user.x", "x", 1), -EPERM);
	assert_int_equal(get_attribute(link, "user.x", 100), -ENODATA);
	assert_int_equal(list_attributes(link, 100), 0);
	assert_int_equal(rig.len, sizeof(struct fuse_out_header));
	rig.room = sizeof(struct fuse_out_header) + 4;
	assert_int_equal(get_attribute(file, "user.here", 0), -EIO);
	assert_int_equal(list_attributes(file, 100), -ERANGE);
	rig.room = SHARE_BYTES_MAX;
	serve(&(struct share_options){.files = 64, .read_only = true});
	file = look(ROOT, "file");
	assert_int_equal(get_attribute(file, "user.here", 100), 0);
	assert_int_equal(set_attribute(file, "user.here", "8", 1), -EROFS);
	assert_int_equal(share_ask(&rig, FUSE_REMOVEXATTR, file, "user.here", 10), -EROFS);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {TEST(names), TEST(links), TEST(kinds),
		TEST(read_only), TEST(names_change), TEST(nameless), TEST(append), TEST(cached),
		TEST(deep), TEST(listing), TEST(attributes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
