/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine becomes a container, or a container a machine, with the same root file system: an image of the store is made of it, of
 * which the guest is the other kind then. What the guest was stays as it is until that is done.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "cli/call.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "cli/options.h"
#include "image/create.h"
#include "image/import_root.h"
#include "image/store.h"

enum { TO = 1, IMAGE, KERNEL, SIZE };

static const struct option_spec options[] = {
	{"to", TO, "KIND", "what it becomes: machine or container"},
	{"image", IMAGE, "NAME", "of the image that is made (the guest's)"},
	{"kernel", KERNEL, "IMAGE", "whose kernel a machine gets (the first that has one)"},
	{"size", SIZE, "SIZE", "of a machine's disk (4G)"},
	{NULL, 0, NULL, NULL},
};

/* Fields of the one kind that mean nothing to the other. */
static const char *const containers[] = {"root", "template", "layers", "upper", "init", "command",
	"env", "user", "workdir", "privileged", "pids", NULL};
static const char *const machines[] = {"kernel", "ramdisk", "cmdline", "bootloader", "boot",
	"firmware", "disks", "cpus", "cpus_soft", "agent", "qemu_agent", "cpu_model", "ssh_key",
	"engine", "native", "vnc", "vnc_listen", "vnc_password", "serial", "type", NULL};

struct conversion {
	struct cli *cli;
	const json_t *guest; /* as it was when it was asked for */
	json_t *config;      /* its configuration, likewise */
	bool to_machine;
	struct root_request request;
	struct image image;
	char log[PATH_MAX];
};

static void show(void *ctx, const char *line)
{
	fprintf(stderr, "  %s\n", line);
}

static const char *text(const struct conversion *conversion, const char *key)
{
	return json_get_text(conversion->config, key);
}

static int import(struct conversion *conversion, struct error *err)
{
	conversion->request.progress = show;
	return import_root(&conversion->request, &conversion->image, conversion->log, err);
}

/* A container's root */

/* What the daemon names, the topmost first, and the template last; false: it does not fit. */
static bool write_layers(const struct conversion *conversion, char *options_, size_t size,
	struct error *err)
{
	json_t *places = json_copy(json_object_get(conversion->guest, "files")), *place;
	size_t i, n = (size_t)snprintf(options_, size, "lowerdir=");
	bool good = !json_array_append(places, json_object_get(conversion->config, "template"));

	json_array_foreach(places, i, place)
	{
		const char *path = json_string_value(place);

		if (!path || strpbrk(path, ":,\\"))
			good = false;
		if (good && n < size)
			n += (size_t)snprintf(options_ + n, size - n, "%s%s", i ? ":" : "", path);
	}
	json_decref(places);
	if (good && n < size)
		return true;
	error_set(err, ENAMETOOLONG,
		"the names of the container's layers are too long, or have colons or commas");
	return false;
}

/* The whole of it at place, in mounts of our own; or the template alone, in which case no overlay is needed. */
static int mount_root(const struct conversion *conversion, const char *place, const char **from,
	struct error *err)
{
	char layers[4096];

	if (!json_is_array(json_object_get(conversion->guest, "files")))
		return error_set(err, EPROTO,
			"the daemon does not say where the container's files are");
	if (!json_array_size(json_object_get(conversion->guest, "files"))) {
		*from = text(conversion, "template");
		return 0;
	}
	if (!write_layers(conversion, layers, sizeof layers, err))
		return -EINVAL;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("overlay", place, "overlay", MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC,
			layers))
		return error_set(err, errno, "the container's root cannot be put together: %s",
			strerror(errno));
	*from = place;
	return 0;
}

static int has_init(const char *root, struct error *err)
{
	char path[PATH_MAX + 16];
	static const char *const inits[] = {"sbin/init", "usr/sbin/init", "lib/systemd/systemd"};

	for (unsigned i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/%s", root, inits[i]);
		if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return 0;
	}
	return error_set(err, ENOENT,
		"the container's root has no /sbin/init: as a machine it would run nothing ('dach image import' makes an "
		"image of it, and 'dach run IMAGE --' runs its command)");
}

static int pack_container(struct conversion *conversion, struct error *err)
{
	char place[] = "/tmp/dach-root-XXXXXX";
	const char *from = text(conversion, "root");
	int r = 0;

	if (!mkdtemp(place))
		return error_set(err, errno, "%s: %s", place, strerror(errno));
	if (!*from)
		r = mount_root(conversion, place, &from, err);
	if (!r)
		r = has_init(from, err);
	conversion->request.kind = ROOT_FOLDER;
	conversion->request.from = from;
	if (!r)
		r = import(conversion, err);
	umount2(place, MNT_DETACH);
	rmdir(place);
	return r;
}

static json_t *machine_config(const struct conversion *conversion)
{
	char kernel[PATH_MAX + 16], initrd[PATH_MAX + 16];
	json_t *config = json_deep_copy(conversion->config);

	for (unsigned i = 0; containers[i]; i++)
		json_object_del(config, containers[i]);
	snprintf(kernel, sizeof kernel, "%s/vmlinuz", conversion->image.path);
	snprintf(initrd, sizeof initrd, "%s/initrd.img", conversion->image.path);
	json_object_set_new(config, "kind", json_string("machine"));
	json_object_set_new(config, "kernel", json_string(kernel));
	json_object_set_new(config, "ramdisk", json_string(initrd));
	json_object_set_new(config, "cmdline", json_string(conversion->image.cmdline));
	json_object_set_new(config, "disks",
		json_pack("[{s:s, s:s, s:s, s:b}]", "target", conversion->image.disk, "format",
			conversion->image.format == DISK_QCOW2 ? "qcow2" : "raw", "vdev", "xvda",
			"writable", 1));
	return config;
}

/* A machine's root */

/* Its own system is not started: a command of the same machine packs what is on its disk. */
static _Noreturn void pack_there(const char *folder, int out)
{
	/* Without what is mounted in it. */
	static const char script[] =
		"mkdir /run/dach-root && mount -o bind / /run/dach-root && cd /run/dach-root || exit 1; "
		"case $(tar --version 2>/dev/null) in "
		"*GNU*) set -- --xattrs --xattrs-include=security.capability;; esac; "
		"exec tar -c -f - --numeric-owner \"$@\" .";
	const char *const argv[] = {"dach", "run", folder, "--ephemeral", "--timeout", "3600", "--",
		"/bin/sh", "-c", script, NULL};

	dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	execv("/proc/self/exe", (char *const *)argv);
	_exit(127);
}

/* The folder of the image whose disk, and whose kernel, the machine has. */
static int find_image(const struct conversion *conversion, char folder[PATH_MAX], struct error *err)
{
	const json_t *disks = json_object_get(conversion->config, "disks");
	const char *disk = json_get_text(json_array_get(disks, 0), "target");
	const char *slash = strrchr(disk, '/');
	static struct image image;

	snprintf(folder, PATH_MAX, "%.*s", slash ? (int)(slash - disk) : 0, disk);
	if (json_array_size(disks) != 1 || !slash || image_find(folder, &image, NULL) ||
		strcmp(image.disk, disk))
		return error_set(err, ENOTSUP,
			"a machine becomes a container whose only disk is an image's of 'dach image'");
	return 0;
}

static int wait_for(pid_t pid, struct error *err)
{
	int status = 1;

	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	return pid > 0 && !status
		? 0
		: error_set(err, EIO,
			  "what is on the machine's disk could not be packed by a machine");
}

static int pack_machine(struct conversion *conversion, struct error *err)
{
	char folder[PATH_MAX], tar[PATH_MAX + 32], again[64];
	int fd, r = find_image(conversion, folder, err);
	pid_t pid;

	if (r)
		return r;
	snprintf(tar, sizeof tar, "%s/.root-XXXXXX", folder);
	fd = mkostemp(tar, O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "%s: %s", tar, strerror(errno));
	/* Whoever ends us, it goes with us. */
	unlink(tar);
	snprintf(again, sizeof again, "/proc/self/fd/%d", fd);
	show(NULL, "packing what is on its disk, by a machine");
	pid = fork();
	if (!pid)
		pack_there(folder, fd);
	r = wait_for(pid, err);
	conversion->request.kind = ROOT_TAR;
	conversion->request.from = again;
	conversion->request.keep_root = true;
	if (!r)
		r = import(conversion, err);
	close(fd);
	return r;
}

static json_t *container_config(const struct conversion *conversion)
{
	char root[PATH_MAX + 16];
	json_t *config = json_deep_copy(conversion->config);

	for (unsigned i = 0; machines[i]; i++)
		json_object_del(config, machines[i]);
	snprintf(root, sizeof root, "%s/" IMAGE_ROOT, conversion->image.path);
	json_object_set_new(config, "kind", json_string("container"));
	json_object_set_new(config, "template", json_string(root));
	return config;
}

/* Both */

/* What could not be had afterwards is said before anything is made. */
static int check(struct conversion *conversion, struct error *err)
{
	const json_t *guest = conversion->guest;
	const bool container = !strcmp(json_get_text(guest, "kind"), "container");

	if (geteuid())
		return error_set(err, EPERM,
			"only root can make a root file system with its owners of a guest");
	if (container != conversion->to_machine)
		return error_set(err, EINVAL, "the guest is a %s already",
			container ? "container" : "machine");
	if (strcmp(json_get_text(guest, "state"), "off"))
		return error_set(err, EBUSY, "the guest is on: dach shutdown -w %s",
			text(conversion, "name"));
	if (json_array_size(json_object_get(conversion->config, "shares")))
		return error_set(err, ENOTSUP,
			"the guest has folders of this host's, which the other kind has in another way: take them away first");
	if (!conversion->request.name)
		conversion->request.name = text(conversion, "name");
	if (!image_find(conversion->request.name, &conversion->image, NULL)) {
		*conversion->image.path = 0;
		return error_set(err, EEXIST,
			"there is an image %s already: --image names another to be made",
			conversion->request.name);
	}
	return 0;
}

static int convert(struct conversion *conversion, struct error *err)
{
	const int r = conversion->to_machine ? pack_container(conversion, err)
					     : pack_machine(conversion, err);

	if (!r)
		return 0;
	if (*conversion->log)
		fprintf(stderr, "dach convert: %s tells how far it got\n", conversion->log);
	return r;
}

static int take_options(struct cli *cli, struct conversion *conversion)
{
	struct error err = {""};
	const char *to = "";
	int id, r = 0;

	while (!r && (id = cli_option(cli)) > 0) {
		if (id == TO)
			to = cli->value;
		else if (id == IMAGE)
			conversion->request.name = cli->value;
		else if (id == KERNEL)
			conversion->request.kernel = cli->value;
		else
			r = option_size("--size", cli->value, 1ull << 20, &conversion->request.size,
				&err);
	}
	if (!r && id == CLI_END)
		return -1;
	conversion->to_machine = !strcmp(to, "machine");
	if (!r && !conversion->to_machine && strcmp(to, "container"))
		r = error_set(&err, EINVAL, "--to: machine or container");
	if (r)
		cli->status = cli_fail(cli, &err);
	return r ? -1 : 0;
}

static int run(struct cli *cli)
{
	static struct conversion conversion; /* paths make it large */
	const char *ref = cli->words[0];
	struct error err = {""};
	json_t *guest;
	int status;

	conversion = (struct conversion){.cli = cli, .request = {.size = IMAGE_SIZE_DEFAULT}};
	if (take_options(cli, &conversion))
		return cli->status;
	ref = cli->words[0];
	status = call_guest(cli, "GET", ref, "", NULL, &guest);
	if (status)
		return status;
	conversion.guest = guest;
	conversion.config = json_object_get(guest, "config");
	if (check(&conversion, &err) || convert(&conversion, &err))
		status = cli_fail(cli, &err);
	else
		status = call_act(cli, "POST", ref, "/convert",
			json_pack("{s:o, s:O, s:I}", "config",
				conversion.to_machine ? machine_config(&conversion)
						      : container_config(&conversion),
				"told", conversion.config, "ended",
				json_integer_value(
					json_object_get(json_object_get(guest, "last_end"),
						"time"))));
	if (status && *conversion.image.path)
		fprintf(stderr, "dach convert: the image %s was made, and stays\n",
			conversion.image.name);
	json_decref(guest);
	return status;
}

const struct cli_verb cli_convert_verbs[] = {
	{"convert", "GUEST", "Make a container of a machine, or a machine of a container", 1, 1,
		.options = options, .run = run},
	{.name = NULL},
};
