/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kernel_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "block/reader.h"
#include "bootdisk/bootdisk.h"
#include "domain/boot.h"
#include "machine/machine.h"
#include "monitor/sandbox.h"
#include "vmm/calls.h"
#include "vmm/connector.h"

/* A file system may lead in circles: how long one answer may take, and how much of a processor all may. */
#define ANSWER_SECONDS 30
#define CPU_SECONDS 600
#define NAME_ROOM (BOOTDISK_PATH_MAX + 4096u)
#define KERNEL_FLAGS (MFD_CLOEXEC | MFD_ALLOW_SEALING)
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* What one byte asks for. With a result of 0 the two files come along, sealed. */
struct answer {
	int result;
	struct error err;
	struct bootdisk_found found;
};

union answer_files {
	struct cmsghdr header;
	char room[CMSG_SPACE(2 * sizeof(int))];
};

struct kernel_reader {
	const struct vmm_config *config;
	struct guest_monitor *monitor; /* for the walls */
	pid_t pid;
	int socket;
	int disk[LIMIT_CHAIN]; /* a descriptor for each of its files */
	int kernel,
		initrd; /* the process's own; then the monitor's, from an answer until it drops them */
	struct answer answer;
	char kernel_name[NAME_ROOM], initrd_name[NAME_ROOM];
	char *cmdline;
};

static void close_files(struct kernel_reader *reader)
{
	if (reader->kernel >= 0)
		close(reader->kernel);
	if (reader->initrd >= 0)
		close(reader->initrd);
	reader->kernel = reader->initrd = -1;
}

/* The process */

/* The configuration's ramdisk behind the disk's. Both are archives, which begin at multiples of 4. */
static int append(const struct kernel_reader *reader, int more, struct bootdisk_found *found,
	struct error *err)
{
	char chunk[65536];
	off_t from = 0;
	ssize_t n;

	if (more < 0 || (!found->ramdisk_size && !reader->config->machine.agent))
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

/*
 * All it may do from here on. It goes when the monitor goes: the system forgets that wish when a process
 * becomes another user, so it is told then.
 */
static int wall_in(const struct kernel_reader *reader, struct error *err)
{
	const rlim_t seconds = reader->config->no_reboot ? ANSWER_SECONDS : CPU_SECONDS;
	const rlim_t bytes = reader->config->memory;
	struct vmm_needs needs = {.remote = connector_needed(&reader->config->disk[0])};
	const struct sandbox walls = {.calls = vmm_calls, .ctx = &needs};
	int r = monitor_restrict(reader->monitor, false, false, err);

	if (!r &&
		(setrlimit(RLIMIT_CPU, &(struct rlimit){seconds, seconds}) ||
			setrlimit(RLIMIT_FSIZE, &(struct rlimit){bytes, bytes}) ||
			setrlimit(RLIMIT_NOFILE, &(struct rlimit){32, 32}) ||
			prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)))
		r = error_set(err, errno, "no limits for who reads the disk: %s", strerror(errno));
	return r ? r : sandbox_calls(CALLS_READER, &walls, err);
}

/* Only what it needs stays open; the numbers are new, so that none is in the way of another. */
static bool take_descriptors(struct kernel_reader *reader, int *more)
{
	int *kept[2 + LIMIT_CHAIN] = {&reader->socket, more};
	int count = 2;

	for (unsigned i = 0; i < reader->config->disk[0].files; i++)
		kept[count++] = &reader->disk[i];

	for (int i = 0; i < count; i++)
		*kept[i] = *kept[i] < 0 ? -1 : fcntl(*kept[i], F_DUPFD, 64);
	for (int i = 0; i < count; i++) {
		if (*kept[i] >= 0 && dup2(*kept[i], 3 + i) < 0)
			return false;
		*kept[i] = *kept[i] < 0 ? -1 : 3 + i;
	}
	if (*more < 0)
		close(4); /* whatever it was */
	return !close_range(3 + count, ~0u, 0) && !close_range(0, 2, 0);
}

static bool read_bytes(void *ctx, uint64_t offset, void *buf, size_t len)
{
	return !block_reader_read(ctx, offset, buf, len);
}

/* The disk as it is now: who writes to it has flushed. */
static int load(struct kernel_reader *reader, struct answer *answer)
{
	const struct vmm_config *config = reader->config;
	const struct disk_spec *disk = &config->disk[0];
	struct disk_bytes bytes = {.read = read_bytes};
	struct block_image *image;
	int r = block_reader_open(disk, reader->disk, &image, &answer->err);

	if (r)
		return r;
	bytes.ctx = image;
	bytes.size = block_reader_size(image);
	r = bootdisk_load(&bytes, disk->file[0].name, !disk->readonly, config->memory,
		reader->kernel, reader->initrd, &answer->found, &answer->err);
	block_reader_close(image);
	return r;
}

/* Fills the files, which nobody can change any more then: the monitor need not trust us to let them be. */
static int fill(struct kernel_reader *reader, int more, struct answer *answer)
{
	int r;

	if (reader->kernel < 0 || reader->initrd < 0)
		return error_set(&answer->err, errno, "no files in memory: %s", strerror(errno));
	r = load(reader, answer);
	if (!r)
		r = append(reader, more, &answer->found, &answer->err);
	if (!r &&
		(fcntl(reader->kernel, F_ADD_SEALS, SEALS) ||
			fcntl(reader->initrd, F_ADD_SEALS, SEALS)))
		r = error_set(&answer->err, errno, "a file in memory: %s", strerror(errno));
	return r;
}

/* One message; sizes of both are kept by the socket. */
static int send_answer(const struct kernel_reader *reader)
{
	union answer_files files = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec text = {(void *)&reader->answer, sizeof reader->answer};
	struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1};
	const int fds[2] = {reader->kernel, reader->initrd};

	if (!reader->answer.result) {
		files.header.cmsg_len = CMSG_LEN(sizeof fds);
		memcpy(CMSG_DATA(&files.header), fds, sizeof fds);
		message.msg_control = &files;
		message.msg_controllen = sizeof files;
	}
	return sendmsg(reader->socket, &message, MSG_NOSIGNAL) == sizeof reader->answer ? 0 : -EIO;
}

static void process(struct kernel_reader *reader)
{
	const struct vmm_config *config = reader->config;
	struct answer *answer = &reader->answer;
	int more = config->given ? config->initrd_fd : -1;
	struct error walls = {""};
	bool good = take_descriptors(reader, &more) && !wall_in(reader, &walls), told = true;
	char ask;

	while (told && read(reader->socket, &ask, 1) == 1) {
		memset(answer, 0, sizeof *answer);
		reader->kernel = good ? memfd_create("kernel", KERNEL_FLAGS) : -1;
		reader->initrd = good ? memfd_create("ramdisk", KERNEL_FLAGS) : -1;
		answer->result = good
			? fill(reader, more, answer)
			: error_set(&answer->err, EPERM, "%s",
				  walls.text[0] ? walls.text : "no process to read the disk");
		told = !send_answer(reader);
		close_files(reader);
	}
	_exit(0);
}

/* The monitor's side */

/* By their names, our own descriptors: those for the device are opened later, and may be written to, or connect. */
static int open_disk(struct kernel_reader *reader, struct error *err)
{
	const struct disk_spec *disk = &reader->config->disk[0];

	for (unsigned i = 0; i < disk->files; i++) {
		const struct disk_file *file = &disk->file[i];
		int r = 0;

		reader->disk[i] = file->fd;
		if (file->fd < 0)
			r = connector_start(file->name, &reader->config->owner, &reader->disk[i],
				err);
		if (r)
			return r;
		if (reader->disk[i] < 0)
			reader->disk[i] = open(file->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (reader->disk[i] < 0)
			return error_set(err, errno, "%s: %s", file->name, strerror(errno));
	}
	return 0;
}

static void close_disk(struct kernel_reader *reader)
{
	const struct disk_spec *disk = &reader->config->disk[0];

	for (unsigned i = 0; i < disk->files; i++)
		if (disk->file[i].fd < 0 && reader->disk[i] >= 0)
			close(reader->disk[i]);
}

static int start_process(struct kernel_reader *reader, struct error *err)
{
	const struct timeval patience = {.tv_sec = ANSWER_SECONDS};
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		return error_set(err, errno, "no process to read the disk: %s", strerror(errno));
	reader->socket = sockets[0];
	setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	reader->pid = fork();
	if (!reader->pid) {
		reader->socket = sockets[1];
		process(reader);
	}
	close(sockets[1]);
	return reader->pid < 0
		? error_set(err, errno, "no process to read the disk: %s", strerror(errno))
		: 0;
}

int kernel_reader_create(const struct vmm_config *config, struct guest_monitor *monitor,
	struct kernel_reader **out, struct error *err)
{
	struct kernel_reader *reader = calloc(1, sizeof *reader);
	int r;

	*out = NULL;
	if (!reader)
		return error_nomem(err);
	reader->config = config;
	reader->monitor = monitor;
	reader->socket = reader->kernel = reader->initrd = -1;
	for (unsigned i = 0; i < LIMIT_CHAIN; i++)
		reader->disk[i] = -1;
	r = open_disk(reader, err);
	if (!r)
		r = start_process(reader, err);
	close_disk(reader);
	if (r)
		kernel_reader_destroy(reader);
	else
		*out = reader;
	return r;
}

/* It ends when it reads the end; one that does not has been taken over, or is lost in its disk. */
static void end_process(struct kernel_reader *reader)
{
	if (reader->socket >= 0)
		close(reader->socket);
	reader->socket = -1;
	if (reader->pid > 0 && !kill(reader->pid, SIGKILL))
		waitpid(reader->pid, NULL, 0);
	reader->pid = -1;
}

void kernel_reader_destroy(struct kernel_reader *reader)
{
	if (!reader)
		return;
	end_process(reader);
	close_files(reader);
	free(reader->cmdline);
	free(reader);
}

pid_t kernel_reader_pid(const struct kernel_reader *reader)
{
	return reader ? reader->pid : 0;
}

/* Both files, and nobody can write to them. */
static bool take_files(struct kernel_reader *reader, struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int fds[2] = {-1, -1};

	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
		header->cmsg_len > CMSG_LEN(0) && header->cmsg_len <= CMSG_LEN(sizeof fds))
		memcpy(fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
	reader->kernel = fds[0];
	reader->initrd = fds[1];
	for (unsigned i = 0; i < 2; i++)
		if (fds[i] < 0 || fcntl(fds[i], F_GET_SEALS) != SEALS)
			return false;
	return true;
}

static bool receive_answer(struct kernel_reader *reader)
{
	struct iovec text = {&reader->answer, sizeof reader->answer};
	union answer_files files;
	struct msghdr message = {.msg_iov = &text,
		.msg_iovlen = 1,
		.msg_control = &files,
		.msg_controllen = sizeof files};
	ssize_t n;

	do
		n = recvmsg(reader->socket, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return false;
	return (take_files(reader, &message) || reader->answer.result) &&
		n == sizeof reader->answer;
}

static int ask(struct kernel_reader *reader, struct error *err)
{
	struct answer *answer = &reader->answer;

	close_files(reader);
	if (write(reader->socket, "r", 1) != 1 || !receive_answer(reader)) {
		close_files(reader);
		end_process(reader);
		answer->found.saved.size = 0;
		return error_set(err, EIO,
			"%s: reading a kernel from it failed: its file system is damaged, or made to be",
			reader->config->disk[0].file[0].name);
	}
	/* The other side is not trusted: strings end, and errors are errors. */
	answer->err.text[sizeof answer->err.text - 1] = 0;
	answer->found.kernel[BOOTDISK_PATH_MAX - 1] = 0;
	answer->found.ramdisk[BOOTDISK_PATH_MAX - 1] = 0;
	answer->found.cmdline[BOOTDISK_CMDLINE_MAX - 1] = 0;
	if (answer->found.saved.size > BOOTDISK_SAVED_MAX || reader->config->disk[0].readonly)
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
	close_files(reader);
}
