/* SPDX-License-Identifier: Apache-2.0 */
/* The server of a shared folder: what a hostile guest asks, and what others do to the folder meanwhile; nothing outside is reached. */
#include "share_folder_rig.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

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

/* Names change between what is shared and links that lead out, as fast as they can. */
static void *exchange(void *stop)
{
	static const char *const pair[][2] = {{INSIDE "/file", INSIDE "/file2"},
		{INSIDE "/folder", INSIDE "/folder2"}};

	for (unsigned i = 0; !__atomic_load_n((const bool *)stop, __ATOMIC_ACQUIRE); i++)
		renameat2(AT_FDCWD, pair[i & 1][0], AT_FDCWD, pair[i & 1][1], RENAME_EXCHANGE);
	return NULL;
}

/* 0: it is not there in that moment. */
static uint64_t find(uint64_t folder, const char *name)
{
	const struct fuse_entry_out *out = share_out(&rig);

	return share_ask_names(&rig, FUSE_LOOKUP, folder, NULL, 0, name, NULL) ? 0 : out->nodeid;
}

static void ask_file(uint64_t folder, const char *name)
{
	const struct fuse_setattr_in change = {.valid = FATTR_MODE | FATTR_SIZE | FATTR_MTIME,
		.mode = 0666,
		.mtime = 1};
	const uint64_t file = find(folder, name);
	uint64_t handle;

	if (!file)
		return;
	if (!open_node(file, O_RDWR, &handle)) {
		if (!read_node(file, handle, 100) && rig.len > sizeof(struct fuse_out_header))
			assert_int_not_equal(*(const char *)share_out(&rig), 's');
		write_node(file, handle, 0, 0, "bad");
		share_ask(&rig, FUSE_RELEASE, file, &(struct fuse_release_in){.fh = handle},
			sizeof(struct fuse_release_in));
	}
	set_attr(file, &change);
	share_ask_names(&rig, FUSE_LINK, ROOT, &(struct fuse_link_in){file}, 8, "third", NULL);
	share_ask_names(&rig, FUSE_UNLINK, ROOT, NULL, 0, "third", NULL);
}

static void races(void **state)
{
	const struct fuse_mkdir_in dir = {.mode = 0755};
	const struct fuse_rename_in to = {.newdir = ROOT};
	uint64_t folder, file, handle;
	struct stat before, after;
	bool stop = false;
	pthread_t thread;

	write_file("other/in", "secret");
	write_file(INSIDE "/file", "text");
	mkdir(INSIDE "/folder", 0755);
	write_file(INSIDE "/folder/in", "text");
	assert_int_equal(symlink("../secret", INSIDE "/file2"), 0);
	assert_int_equal(symlink("../other", INSIDE "/folder2"), 0);
	assert_int_equal(stat("secret", &before), 0);
	assert_int_equal(pthread_create(&thread, NULL, exchange, &stop), 0);
	for (unsigned i = 0; i < 3000; i++) {
		ask_file(ROOT, i & 1 ? "file" : "file2");
		folder = find(ROOT, i & 1 ? "folder" : "folder2");
		if (!folder)
			continue;
		ask_file(folder, "in");
		share_ask_names(&rig, FUSE_MKDIR, folder, &dir, sizeof dir, "new", NULL);
		share_ask_names(&rig, FUSE_RMDIR, folder, NULL, 0, "new", NULL);
		if (!create(folder, "made", 0644, &file, &handle))
			share_ask(&rig, FUSE_RELEASE, file, &(struct fuse_release_in){.fh = handle},
				sizeof(struct fuse_release_in));
		share_ask_names(&rig, FUSE_RENAME, folder, &to, sizeof to, "made", "moved");
		share_ask_names(&rig, FUSE_UNLINK, folder, NULL, 0, "made", NULL);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	assert_int_equal(stat("secret", &after), 0);
	assert_true(after.st_mode == before.st_mode && after.st_nlink == 1);
	assert_int_equal(after.st_mtime, before.st_mtime);
	assert_string_equal(read_file("secret"), "secret");
	assert_string_equal(read_file("other/in"), "secret");
	assert_int_equal(unlink("other/in"), 0);
	assert_int_equal(rmdir("other"), 0); /* there is nothing else in it */
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
	struct stat before, after;
	int status;
	pid_t pid;

	write_file(INSIDE "/file", "text");
	mkdir(INSIDE "/folder", 0755);
	assert_int_equal(stat("secret", &before), 0);
	pid = fork();
	if (!pid)
		_exit(among_mounts());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
	assert_int_equal(stat("secret", &after), 0);
	assert_int_equal(after.st_mode, before.st_mode);
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
	assert_int_equal(share_ask(&rig, FUSE_BMAP, ROOT, zeros, 64), -ENOSYS);
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

int main(void)
{
	static const struct CMUnitTest tests[] = {TEST(mounts), TEST(replaced), TEST(races),
		TEST(forged), TEST(cut_short), TEST(before_init)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
