/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kernel_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "bootdisk/bootdisk.h"
#include "domain/boot.h"
#include "machine/machine.h"
#include "monitor/sandbox.h"
#include "vmm/calls.h"

#define SECONDS_MAX 20 /* of a processor's time for one start: a file system may lead in circles */
#define NAME_ROOM (BOOTDISK_PATH_MAX + 4096u)

/* What the process is asked. */
#define ASK_READ 'r'
#define ASK_DROP 'd'

struct answer {
	int result;
	struct error err;
	struct bootdisk_found found;
};

struct kernel_reader {
	const struct vmm_config *config;
	struct guest_monitor *monitor; /* for the walls */
	pid_t pid;
	int socket, disk, kernel, initrd;
	struct answer answer;
	char kernel_name[NAME_ROOM], initrd_name[NAME_ROOM];
	char *cmdline;
};

/* The process */

/* The configuration's ramdisk behind the disk's. Both are archives, which begin at multiples of 4. */
static int append(const struct kernel_reader *reader, int more, struct bootdisk_found *found,
	struct error *err)
{
	char chunk[65536];
	off_t from = 0;
	ssize_t n;

	if (more < 0 || !found->ramdisk_size)
		return 0;
	found->ramdisk_size = (found->ramdisk_size + 3) & ~3ull;
	while ((n = pread(more, chunk, sizeof chunk, from)) > 0) {
		from += n;
		if (io_pwrite_all(reader->initrd, chunk, n, found->ramdisk_size))
			return error_set(err, EIO, "a file in memory cannot be written");
		found->ramdisk_size += (uint64_t)n;
	}
	return n ? error_set(err, errno, "initial ramdisk: %s", strerror(errno)) : 0;
}

static int wall_in(struct guest_monitor *monitor, struct error *err)
{
	static const char *const none[] = {NULL};
	struct vmm_needs needs = {.kvm = false};
	const struct sandbox walls = {.calls = vmm_calls, .ctx = &needs};
	int r = monitor_restrict(monitor, none, false, err);

	return r ? r : sandbox_calls(CALLS_READER, &walls, err);
}

/* Only what it needs stays open; the numbers are new, so that none is in the way of another. */
static bool take_descriptors(struct kernel_reader *reader, int *more)
{
	int *const kept[] = {&reader->socket, &reader->disk, &reader->kernel, &reader->initrd,
		more};
	const int count = sizeof kept / sizeof *kept;

	for (int i = 0; i < count; i++)
		*kept[i] = *kept[i] < 0 ? -1 : fcntl(*kept[i], F_DUPFD, 64);
	for (int i = 0; i < count; i++) {
		if (*kept[i] >= 0 && dup2(*kept[i], 3 + i) < 0)
			return false;
		*kept[i] = *kept[i] < 0 ? -1 : 3 + i;
	}
	return !close_range(3 + count - (*more < 0), ~0u, 0) && !close_range(0, 2, 0);
}

static void limit_time(void)
{
	struct rlimit seconds;
	struct timespec used;

	getrlimit(RLIMIT_CPU, &seconds);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	seconds.rlim_cur = (rlim_t)used.tv_sec + SECONDS_MAX;
	setrlimit(RLIMIT_CPU, &seconds);
}

/* A place on the disk is one in its file, if there is but one. */
static bool is_writable(const struct disk_spec *disk)
{
	return !disk->readonly && disk->files == 1 && disk->file[0].format == DISK_RAW;
}

static void process(struct kernel_reader *reader)
{
	const struct vmm_config *config = reader->config;
	struct answer *answer = &reader->answer;
	int more = config->given ? config->initrd_fd : -1;
	struct error walls = {""};
	bool good = take_descriptors(reader, &more) && !wall_in(reader->monitor, &walls);
	char ask;

	while (read(reader->socket, &ask, 1) == 1) {
		if (ask == ASK_DROP) {
			if (ftruncate(reader->kernel, 0) || ftruncate(reader->initrd, 0))
				break;
			continue;
		}
		memset(answer, 0, sizeof *answer);
		limit_time();
		if (good)
			answer->result = bootdisk_load(reader->disk, config->disk[0].file[0].name,
				is_writable(&config->disk[0]), config->memory, reader->kernel,
				reader->initrd, &answer->found, &answer->err);
		else
			answer->result = error_set(&answer->err, EPERM, "%s",
				walls.text[0] ? walls.text : "no process to read the disk");
		if (good && !answer->result)
			answer->result = append(reader, more, &answer->found, &answer->err);
		if (io_write_all(reader->socket, answer, sizeof *answer))
			break;
	}
	_exit(0);
}

/* The monitor's side */

/* By its name, our own descriptor: the one for the device is opened later, and may be written to. */
static int open_disk(const struct disk_file *file, int *fd, struct error *err)
{
	*fd = file->fd;
	if (*fd < 0)
		*fd = open(file->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return *fd < 0 ? error_set(err, errno, "%s: %s", file->name, strerror(errno)) : 0;
}

int kernel_reader_create(const struct vmm_config *config, struct guest_monitor *monitor,
	struct kernel_reader **out, struct error *err)
{
	struct kernel_reader *reader = calloc(1, sizeof *reader);
	int sockets[2] = {-1, -1}, r;

	*out = NULL;
	if (!reader)
		return error_nomem(err);
	reader->config = config;
	reader->monitor = monitor;
	reader->disk = -1;
	reader->kernel = memfd_create("kernel", MFD_CLOEXEC);
	reader->initrd = memfd_create("ramdisk", MFD_CLOEXEC);
	r = open_disk(&config->disk[0].file[0], &reader->disk, err);
	if (!r &&
		(reader->kernel < 0 || reader->initrd < 0 ||
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets)))
		r = error_set(err, errno, "no process to read the disk: %s", strerror(errno));
	if (!r) {
		reader->pid = fork();
		if (!reader->pid) {
			reader->socket = sockets[1];
			process(reader);
		}
		if (reader->pid < 0)
			r = error_set(err, errno, "no process to read the disk: %s",
				strerror(errno));
	}
	if (config->disk[0].file[0].fd < 0 && reader->disk >= 0)
		close(reader->disk);
	reader->disk = -1;
	if (sockets[1] >= 0)
		close(sockets[1]);
	reader->socket = sockets[0];
	if (r) {
		kernel_reader_destroy(reader, true);
		return r;
	}
	*out = reader;
	return 0;
}

void kernel_reader_destroy(struct kernel_reader *reader, bool wait)
{
	if (!reader)
		return;
	/* It ends when it reads the end; one that does not has been taken over. */
	if (reader->socket >= 0)
		close(reader->socket);
	if (wait && reader->pid > 0) {
		kill(reader->pid, SIGKILL);
		waitpid(reader->pid, NULL, 0);
	}
	if (reader->kernel >= 0)
		close(reader->kernel);
	if (reader->initrd >= 0)
		close(reader->initrd);
	free(reader->cmdline);
	free(reader);
}

static int ask(struct kernel_reader *reader, struct error *err)
{
	struct answer *answer = &reader->answer;

	if (io_write_all(reader->socket, &(char){ASK_READ}, 1) ||
		io_read_all(reader->socket, answer, sizeof *answer) != sizeof *answer)
		return error_set(err, EIO,
			"%s: reading a kernel from it failed: its file system is damaged, or made to be",
			reader->config->disk[0].file[0].name);
	/* The other side is not trusted: strings end, and errors are errors. */
	answer->err.text[sizeof answer->err.text - 1] = 0;
	answer->found.kernel[BOOTDISK_PATH_MAX - 1] = 0;
	answer->found.ramdisk[BOOTDISK_PATH_MAX - 1] = 0;
	answer->found.cmdline[BOOTDISK_CMDLINE_MAX - 1] = 0;
	if (answer->found.saved.size > BOOTDISK_SAVED_MAX || !is_writable(&reader->config->disk[0]))
		answer->found.saved.size = 0;
	return answer->result ? error_set(err, EINVAL, "%s", answer->err.text) : 0;
}

int kernel_reader_read(struct kernel_reader *reader, struct machine_file *kernel,
	struct machine_file *initrd, const char **cmdline, struct error *err)
{
	const struct vmm_config *config = reader->config;
	const struct bootdisk_found *found = &reader->answer.found;
	const char *own = config->cmdline, *vdev[LIMIT_DISKS] = {NULL};
	char both[BOOTDISK_CMDLINE_MAX + 4096];
	int r = ask(reader, err);

	if (r)
		return r;
	for (unsigned i = 0; i < config->disks; i++)
		vdev[i] = config->disk[i].vdev;
	snprintf(both, sizeof both, "%s%s%s", found->cmdline, *found->cmdline && *own ? " " : "",
		own);
	free(reader->cmdline);
	reader->cmdline = NULL;
	r = domain_boot_cmdline(both, vdev, config->disks, &reader->cmdline, err);
	if (r)
		return r;
	snprintf(reader->kernel_name, sizeof reader->kernel_name, "%s: %s",
		config->disk[0].file[0].name, found->kernel);
	snprintf(reader->initrd_name, sizeof reader->initrd_name, "%s: %s",
		config->disk[0].file[0].name, found->ramdisk);
	*kernel = (struct machine_file){reader->kernel, reader->kernel_name};
	*initrd = (struct machine_file){found->ramdisk_size ? reader->initrd : -1,
		reader->initrd_name};
	*cmdline = reader->cmdline;
	return 0;
}

const struct bootdisk_saved *kernel_reader_saved(const struct kernel_reader *reader)
{
	return &reader->answer.found.saved;
}

void kernel_reader_drop(struct kernel_reader *reader)
{
	/* If it has gone, the next one who asks will be told. */
	if (write(reader->socket, &(char){ASK_DROP}, 1) < 0)
		return;
}
