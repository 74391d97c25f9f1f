/* SPDX-License-Identifier: Apache-2.0 */
/* The image room: names, the store, programs that are run, requests that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "block_rig.h"
#include "protocol/limits.h"
#include "image/create.h"
#include "image/process.h"
#include "image/store.h"
#include "image/tree.h"
#include "image/work.h"

static char root[] = "/tmp/dach-test-XXXXXX";

static int set_up(void **state)
{
	if (!mkdtemp(root))
		return -1;
	return setenv("XDG_DATA_HOME", root, 1);
}

static int tear_down(void **state)
{
	return tree_remove(root);
}

static void names(void **state)
{
	static const char *const good[] = {"a", "debian", "web-1.old_2", "0"};
	static const char *const bad[] = {"", ".", "..", ".hidden", "-x", "a/b", "a b", "a\n",
		"\xc3\xa4", "12345678901234567890123456789012345678901234567890123456789012345"};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_int_equal(image_check_name("image", good[i], NULL), 0);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(image_check_name("image", bad[i], NULL), -EINVAL);
}

/* In a container, or under cron, there may be no HOME. */
static void a_home_without_HOME(void **state)
{
	const char *home = getenv("HOME");
	char *saved = home ? strdup(home) : NULL, expected[256], path[256];
	const struct passwd *user = getpwuid(geteuid());

	assert_non_null(user);
	snprintf(expected, sizeof expected, "%s/dach/images", root);
	assert_int_equal(folder_data("dach/images", path, sizeof path, NULL), 0);
	assert_string_equal(path, expected);
	setenv("XDG_DATA_HOME", "relative", 1); /* the specification: to be ignored */
	setenv("HOME", "/here", 1);
	assert_int_equal(folder_data("dach", path, sizeof path, NULL), 0);
	assert_string_equal(path, "/here/.local/share/dach");
	unsetenv("HOME");
	snprintf(expected, sizeof expected, "%s/.local/share/dach", user->pw_dir);
	assert_int_equal(folder_data("dach", path, sizeof path, NULL), 0);
	assert_string_equal(path, expected);
	setenv("XDG_DATA_HOME", root, 1);
	if (saved)
		setenv("HOME", saved, 1);
	free(saved);
}

static void count(void *ctx, const struct image *image)
{
	if (!strncmp(image->path, root, strlen(root)))
		++*(unsigned *)ctx;
}

static void make(const char *name)
{
	char dir[200], disk[256];

	snprintf(dir, sizeof dir, "%s/dach/images/%s", root, name);
	assert_int_equal(
		tree_write(dir, "image.conf", 0644, NULL,
			"dist book\033worm\nhostname h\ncreated today\ncmdline root=/dev/vda rw\nnonsense\n"),
		0);
	assert_int_equal(tree_write(dir, "disk.raw", 0600, NULL, "%s", ""), 0);
	snprintf(disk, sizeof disk, "%s/disk.raw", dir);
	assert_int_equal(truncate(disk, 1 << 20), 0);
}

static void store(void **state)
{
	struct image *image = malloc(sizeof *image);
	struct error err = {""};
	unsigned images = 0;
	char path[256];

	assert_int_equal(image_find("one", image, &err), -ENOENT);
	make("one");
	make("two");
	assert_int_equal(image_find("one", image, NULL), 0);
	assert_string_equal(image->name, "one");
	assert_string_equal(image->dist, "book?worm");
	assert_string_equal(image->cmdline, "root=/dev/vda rw");
	assert_int_equal(image->size, 1 << 20);
	assert_int_equal(image_list(count, &images, NULL), 0);
	assert_int_equal(images, 2);
	/* By its path too. */
	snprintf(path, sizeof path, "%s/dach/images/one", root);
	assert_int_equal(image_find(path, image, NULL), 0);
	assert_string_equal(image->name, "one");
	assert_int_equal(image_delete("one", NULL), 0);
	assert_int_equal(image_delete("one", NULL), -ENOENT);
	assert_int_equal(image_delete("../two", NULL), -ENOENT);
	images = 0;
	assert_int_equal(image_list(count, &images, NULL), 0);
	assert_int_equal(images, 1);
	free(image);
}

/* Where both folders of images are one, each is shown once. */
static void one_store_is_listed_once(void **state)
{
	struct image *image = malloc(sizeof *image);
	unsigned before = 0, images = 0;
	char path[200];

	make("once");
	assert_int_equal(image_list(count, &before, NULL), 0);
	snprintf(path, sizeof path, "%s/dach/images", root);
	setenv("DACH_IMAGES", path, 1);
	assert_int_equal(image_list(count, &images, NULL), 0);
	unsetenv("DACH_IMAGES");
	assert_true(images > 0);
	assert_int_equal(images, before);
	/* It is looked into beside the user's own, and is where new ones go. */
	setenv("XDG_DATA_HOME", "/nonexistent", 1);
	setenv("DACH_IMAGES", path, 1);
	assert_int_equal(image_find("once", image, NULL), 0);
	assert_int_equal(image_store_dir(image->path, sizeof image->path, NULL), 0);
	assert_string_equal(image->path, path);
	unsetenv("DACH_IMAGES");
	setenv("XDG_DATA_HOME", root, 1);
	assert_int_equal(image_delete("once", NULL), 0);
	free(image);
}

static void keeps_what_it_does_not_know(void **state)
{
	char dir[200], path[256];
	struct error err = {""};

	make("mine");
	snprintf(dir, sizeof dir, "%s/dach/images/mine", root);
	assert_int_equal(tree_write(dir, "notes", 0600, NULL, "mine\n"), 0);
	assert_int_equal(image_delete("mine", &err), -ENOTEMPTY);
	snprintf(path, sizeof path, "%s/notes", dir);
	assert_int_equal(access(path, F_OK), 0);
}

static void keeps_what_is_in_use(void **state)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char disk[256];
	int fd;

	make("busy");
	snprintf(disk, sizeof disk, "%s/dach/images/busy/disk.raw", root);
	fd = open(disk, O_RDWR);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_int_equal(image_delete("busy", NULL), -EBUSY);
	close(fd);
	assert_int_equal(image_delete("busy", NULL), 0);
}

/* A word at the beginning of an image's disk, written or read through its layers. */
static void disk_word(const char *name, bool write, char word[512])
{
	struct image *image = malloc(sizeof *image);
	struct block_device *block;
	struct error err = {""};
	char words[PATH_MAX + 64];

	assert_int_equal(image_find(name, image, &err), 0);
	snprintf(words, sizeof words, "%s,format=%s", image->disk, disk_format_name(image->format));
	if (rig_block_open(words, &block, &err))
		fail_msg("%s", err.text);
	assert_int_equal(rig_block_run(block, write ? BLOCK_WRITE : BLOCK_READ, 0, word, 512), 0);
	block_close(block);
	free(image);
}

static void holds(const char *name, const char *expected)
{
	char word[512];

	disk_word(name, false, word);
	assert_string_equal(word, expected);
}

static void writes(const char *name, const char *text)
{
	char word[512] = "";

	strcpy(word, text);
	disk_word(name, true, word);
}

static void clones(void **state)
{
	struct image *image = malloc(sizeof *image);
	struct block_device *block;
	struct error err = {""};
	char disk[256], name[16];

	make("first");
	snprintf(disk, sizeof disk, "%s/dach/images/first/disk.raw", root);
	assert_int_equal(truncate(disk, 1 << 20), 0);
	writes("first", "one");
	assert_int_equal(image_clone("first", "second", NULL, &err), 0);
	assert_int_equal(image_clone("first", "third", NULL, &err), 0);
	assert_int_equal(image_clone("first", "third", NULL, &err), -EEXIST);
	assert_int_equal(image_clone("first", "../x", NULL, &err), -EINVAL);
	assert_int_equal(image_clone("none", "x", NULL, &err), -ENOENT);
	writes("first", "two");
	holds("second", "one");
	writes("second", "three");
	assert_int_equal(image_clone("second", "fourth", NULL, &err), 0);
	/* Each has what it stands on. */
	assert_int_equal(image_delete("second", &err), 0);
	holds("fourth", "three");
	holds("third", "one");
	assert_int_equal(image_delete("first", &err), 0);
	holds("third", "one");
	/* A disk that is larger than what is below is so in the clone as well. */
	assert_int_equal(image_find("third", image, &err), 0);
	assert_int_equal(rig_block_open(image->disk, &block, &err), 0);
	assert_int_equal(block_resize(block, 2 << 20, false, &err), 0);
	block_close(block);
	assert_int_equal(image_clone("third", "large", NULL, &err), 0);
	assert_int_equal(image_find("large", image, &err), 0);
	assert_int_equal(image->size, 2 << 20);
	err.text[0] = 0;
	for (unsigned i = 0; i < LIMIT_CHAIN; i++) {
		writes("large", "more");
		snprintf(name, sizeof name, "c%u", i);
		if (image_clone("large", name, NULL, &err))
			break;
		assert_int_equal(image_delete(name, NULL), 0);
	}
	assert_non_null(strstr(err.text, "no more layers"));
	holds("large", "more");
	assert_int_equal(image_delete("large", &err), 0);
	assert_int_equal(image_delete("third", &err), 0);
	assert_int_equal(image_delete("fourth", &err), 0);
	free(image);
}

/* A guest that only reads the disk goes on doing so; one that writes keeps it from being cloned. */
static void clones_what_is_read(void **state)
{
	char disk[256], words[300], word[512];
	struct block_device *block;
	struct error err = {""};

	make("base");
	snprintf(disk, sizeof disk, "%s/dach/images/base/disk.raw", root);
	assert_int_equal(truncate(disk, 1 << 20), 0);
	writes("base", "one");
	assert_int_equal(rig_block_open(disk, &block, &err), 0);
	assert_int_equal(image_clone("base", "copy", NULL, &err), -EBUSY);
	assert_non_null(strstr(err.text, "in use"));
	block_close(block);
	snprintf(words, sizeof words, "%s,ro", disk);
	assert_int_equal(rig_block_open(words, &block, &err), 0);
	if (image_clone("base", "copy", NULL, &err))
		fail_msg("%s", err.text);
	writes("base", "two");
	writes("copy", "three");
	assert_int_equal(rig_block_run(block, BLOCK_READ, 0, word, 512), 0);
	assert_string_equal(word, "one");
	block_close(block);
	assert_int_equal(image_delete("base", &err), 0);
	holds("copy", "three");
	assert_int_equal(image_delete("copy", &err), 0);
}

static void take_line(void *ctx, const char *line)
{
	strcat(ctx, line);
	strcat(ctx, "|");
}

static int run(const char *const *argv, char *lines, int signals, struct error *err)
{
	const struct process process = {.argv = argv,
		.dir = root,
		.log = -1,
		.signals = signals,
		.line = lines ? take_line : NULL,
		.ctx = lines};

	return process_run(&process, err);
}

static void programs(void **state)
{
	static const char *const print[] = {"printf", "%s\\n", "a b; $(id)", "second", NULL};
	static const char *const fail[] = {"false", NULL};
	static const char *const none[] = {"dach-no-such-program", NULL};
	struct error err = {""};
	char lines[256] = "";

	assert_int_equal(run(print, lines, -1, &err), 0);
	assert_string_equal(lines, "a b; $(id)|second|");
	assert_int_equal(run(fail, NULL, -1, &err), -EIO);
	assert_string_equal(err.text, "false: failed with status 1");
	assert_int_equal(run(none, NULL, -1, NULL), -ENOENT);
}

static void programs_end_on_signals(void **state)
{
	static const char *const sleep[] = {"sleep", "100", NULL};
	sigset_t set, old;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &old);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	kill(getpid(), SIGTERM);
	assert_int_equal(run(sleep, NULL, fd, NULL), -EINTR);
	close(fd);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static void progress(void *ctx, const char *line)
{
}

static void refuses(struct image_request request)
{
	struct image_result *result = calloc(1, sizeof *result);
	struct error err = {""};

	request.name = request.name ? request.name : "new";
	request.dist = request.dist ? request.dist : "bookworm";
	request.include = request.include ? request.include : "";
	request.size = request.size ? request.size : IMAGE_SIZE_DEFAULT;
	request.progress = progress;
	assert_int_not_equal(image_create(&request, result, &err), 0);
	assert_true(err.text[0] != 0);
	free(result);
}

static void refuses_requests(void **state)
{
	char path[256];

	refuses((struct image_request){.name = "../new"});
	refuses((struct image_request){.name = "a_b"}); /* no host name */
	refuses((struct image_request){.dist = "book worm"});
	refuses((struct image_request){.dist = "--help"});
	refuses((struct image_request){.dist = "noble"}); /* another distribution's */
	refuses((struct image_request){.size = 1});
	refuses((struct image_request){.size = UINT64_MAX});
	refuses((struct image_request){.include = "a,,b"});
	refuses((struct image_request){.include = "$(id)"});
	refuses((struct image_request){.include = "a b"});
	refuses((struct image_request){.hostname = "-x"});
	refuses((struct image_request){.hostname = ""});
	refuses((struct image_request){.password = ""});
	refuses((struct image_request){.password = "two\nlines"});
	refuses((struct image_request){.ssh_key = "/dev/null"});
	refuses((struct image_request){.ssh_key = "/nonexistent"});
	refuses((struct image_request){.output = "/dev/null/x"});
	snprintf(path, sizeof path, "%s/dach/images/new", root);
	assert_int_equal(access(path, F_OK), -1);
}

/* Programs of the test's own in front of the host's. */
static void fake(const char *name, const char *script)
{
	char dir[200];

	snprintf(dir, sizeof dir, "%s/bin", root);
	assert_int_equal(tree_write(dir, name, 0755, NULL, "#!/bin/sh\n%s\n", script), 0);
}

static unsigned entries(const char *dir)
{
	DIR *open = opendir(dir);
	struct dirent *entry;
	unsigned n = 0;

	while (open && (entry = readdir(open)))
		n += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	if (open)
		closedir(open);
	return n;
}

/* What the host's apt knows of proxies and mirrors may be secret: not in the log, not among arguments. */
static void tells_no_secrets(void **state)
{
	struct image_request request = {.name = "secret",
		.dist = "bookworm",
		.include = "",
		.size = IMAGE_SIZE_DEFAULT,
		.progress = progress};
	struct image_result *result = calloc(1, sizeof *result);
	const char *old = getenv("PATH");
	char out[200], path[4096], text[4096] = "", *saved = strdup(old);
	struct error err = {""};
	FILE *log;

	fake("apt-config", "echo 'Acquire::http::Proxy \"http://user:geheim@127.0.0.1\";'");
	fake("apt-get", "echo 'bookworm http://user:geheim@127.0.0.1/debian main /key'");
	/* It finds the lines in files, says what it was called with, and fails. */
	fake("mmdebstrap",
		"echo \"$@\"; grep -c geheim apt.conf; grep -cx 'deb .signed-by=\"/key\". http://user:geheim@127.0.0.1/debian bookworm main' apt.list; stat -c %a apt.conf apt.list; exit 7");
	snprintf(path, sizeof path, "%s/bin:%s", root, saved);
	setenv("PATH", path, 1);
	snprintf(out, sizeof out, "%s/out", root);
	request.output = out;
	assert_int_equal(image_create(&request, result, &err), -EIO);
	setenv("PATH", saved, 1);
	assert_string_equal(err.text, "mmdebstrap: failed with status 7");
	log = fopen(result->log, "r");
	assert_non_null(log);
	assert_true(fread(text, 1, sizeof text - 1, log) > 0);
	fclose(log);
	assert_null(strstr(text, "geheim"));
	assert_non_null(
		strstr(text, "--aptopt=apt.conf bookworm root.tar apt.list\n1\n1\n600\n600\n"));
	assert_int_equal(entries(out), 1); /* the log */
	free(saved);
	free(result);
}

/* A log is named where there is one of this run. */
static void names_no_log_of_others(void **state)
{
	struct image_request request = {.name = "there",
		.dist = "bookworm",
		.include = "",
		.size = IMAGE_SIZE_DEFAULT,
		.progress = progress};
	struct image_result *result = calloc(1, sizeof *result);
	char path[200];

	make("there");
	snprintf(path, sizeof path, "%s/dach/images", root);
	request.output = path;
	assert_int_equal(image_create(&request, result, NULL), -EEXIST);
	assert_string_equal(result->log, "");
	assert_int_equal(image_delete("there", NULL), 0);
	free(result);
}

static void what_the_killed_left_goes(void **state)
{
	char dir[200], work[256], path[256];
	int fd;

	snprintf(dir, sizeof dir, "%s/works", root);
	assert_int_equal(tree_make(dir, NULL), 0);
	fd = work_make(dir, "a", work, sizeof work, NULL);
	assert_true(fd >= 0);
	assert_int_equal(tree_write(work, "root/file", 0600, NULL, "x"), 0);
	snprintf(path, sizeof path, "%s/.hidden", dir); /* no work of ours */
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof path, "%s/.-x.abcdef", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(work_sweep(dir), 0); /* its maker lives */
	assert_int_equal(access(work, F_OK), 0);
	close(fd);
	assert_int_equal(work_sweep(dir), 1);
	assert_int_equal(access(work, F_OK), -1);
	assert_int_equal(entries(dir), 2);
	assert_int_equal(work_make("/nonexistent", "a", work, sizeof work, NULL), -ENOENT);
	assert_string_equal(work, "");
}

static void removes_trees(void **state)
{
	char dir[200], path[256];

	snprintf(dir, sizeof dir, "%s/tree", root);
	assert_int_equal(tree_write(dir, "a/b/c/file", 0400, NULL, "x"), 0);
	snprintf(path, sizeof path, "%s/a/link", dir);
	assert_int_equal(symlink("/", path), 0);
	snprintf(path, sizeof path, "%s/a/b", dir);
	assert_int_equal(chmod(path, 0000), 0);
	assert_int_equal(tree_remove(dir), 0);
	assert_int_equal(access(dir, F_OK), -1);
	assert_int_equal(tree_remove(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(a_home_without_HOME),
		cmocka_unit_test(store),
		cmocka_unit_test(one_store_is_listed_once),
		cmocka_unit_test(keeps_what_it_does_not_know),
		cmocka_unit_test(keeps_what_is_in_use),
		cmocka_unit_test(clones),
		cmocka_unit_test(clones_what_is_read),
		cmocka_unit_test(programs),
		cmocka_unit_test(programs_end_on_signals),
		cmocka_unit_test(refuses_requests),
		cmocka_unit_test(tells_no_secrets),
		cmocka_unit_test(names_no_log_of_others),
		cmocka_unit_test(what_the_killed_left_goes),
		cmocka_unit_test(removes_trees),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
