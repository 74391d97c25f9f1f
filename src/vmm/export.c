/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "disk-export": a disk as it is when this begins, to be read by whoever connects to a socket (nbd/server.h), while the
 * guest goes on. What it writes over is kept in a file that came before (block/copy.h). A job; each client has a thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"
#include "block/copy.h"
#include "nbd/server.h"
#include "vmm/internal.h"

#define CLIENTS_MAX 16u
#define HANDSHAKE_MS 30000u
#define LOOK_MS 200
#define QUIET_NS 1000000000ull /* after the last client, before it is over */
#define STACK (256u << 10)

struct exporting;

struct export_client {
	struct exporting *exporting;
	pthread_t thread;
	int fd;    /* -1: there is none */
	bool gone; /* atomic */
};

struct exporting {
	struct vmm *vmm;
	struct block_device *disk;
	struct disk_spec scratch; /* its file */
	int listener;
	bool persistent;
	struct points points;
	struct block_copy *copy;
	struct nbd_source source;
	struct export_client client[CLIENTS_MAX];
	unsigned clients;
	bool had_any;
	uint64_t quiet_since;
	uint64_t read; /* atomic, bytes */
};

static int source_read(void *ctx, uint64_t offset, uint64_t length, void *to)
{
	struct exporting *exporting = ctx;

	__atomic_add_fetch(&exporting->read, length, __ATOMIC_RELAXED);
	return block_copy_read(exporting->copy, offset, length, to);
}

static int source_find_zero(void *ctx, uint64_t offset, uint64_t *length, bool *zero)
{
	struct exporting *exporting = ctx;

	return block_copy_find_zero(exporting->copy, offset, length, zero);
}

static bool source_changed(void *ctx, uint64_t offset, uint64_t *length)
{
	struct exporting *exporting = ctx;

	return block_copy_changed(exporting->copy, offset, length);
}

static void *serve_client(void *ctx)
{
	struct export_client *client = ctx;

	pthread_setname_np(pthread_self(), "export");
	nbd_serve(client->fd, &client->exporting->source, HANDSHAKE_MS);
	shutdown(client->fd, SHUT_RDWR);
	__atomic_store_n(&client->gone, true, __ATOMIC_RELEASE);
	return NULL;
}

static void reap(struct exporting *exporting, bool all)
{
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		struct export_client *client = &exporting->client[i];

		if (client->fd < 0 || !(all || __atomic_load_n(&client->gone, __ATOMIC_ACQUIRE)))
			continue;
		if (all)
			shutdown(client->fd, SHUT_RDWR);
		pthread_join(client->thread, NULL);
		close(client->fd);
		client->fd = -1;
		exporting->quiet_since = clock_now();
		exporting->clients--;
	}
}

static void welcome(struct exporting *exporting, int fd)
{
	struct export_client *client = exporting->client;

	while (client->fd >= 0)
		client++;
	*client = (struct export_client){.exporting = exporting, .fd = fd};
	if (thread_start(&client->thread, STACK, serve_client, client)) {
		client->fd = -1;
		close(fd);
		return;
	}
	exporting->clients++;
	exporting->had_any = true;
}

static bool is_over(const struct exporting *exporting)
{
	return !exporting->persistent && exporting->had_any && !exporting->clients &&
		clock_now() - exporting->quiet_since > QUIET_NS;
}

static int serve(struct exporting *exporting, struct guest_job *job, struct error *err)
{
	struct pollfd listener = {exporting->listener, POLLIN, 0};
	int fd, r = 0;

	while (!r && !is_over(exporting)) {
		/* Whoever is too many waits. */
		listener.events = exporting->clients < CLIENTS_MAX ? POLLIN : 0;
		if (poll(&listener, 1, LOOK_MS) > 0 && listener.revents & POLLIN) {
			fd = accept4(exporting->listener, NULL, NULL, SOCK_CLOEXEC);
			if (fd >= 0)
				welcome(exporting, fd);
		}
		reap(exporting, false);
		job_progress(job, __atomic_load_n(&exporting->read, __ATOMIC_RELAXED),
			exporting->source.size);
		r = job_check(job, err);
	}
	return r;
}

static int run(void *ctx, struct guest_job *job, struct error *err)
{
	struct exporting *exporting = ctx;
	const struct disk_file scratch = exporting->scratch.file[0];
	int r;

	exporting->scratch.file[0].fd = -1;
	vmm_allow_file(exporting->vmm, DISK_RAW, block_size(exporting->disk));
	r = block_copy_begin(exporting->disk, BLOCK_EXPORT, &scratch, &exporting->points.of,
		LAYERS_HOLD, &exporting->copy, err);
	if (r)
		return r;
	exporting->source = (struct nbd_source){.ctx = exporting,
		.bitmap = exporting->points.of.since,
		.changed = source_changed,
		.name = "",
		.size = block_size(exporting->disk),
		.read = source_read,
		.find_zero = source_find_zero};
	r = serve(exporting, job, err);
	/* Nobody else comes, and those who wait find that out. */
	shutdown(exporting->listener, SHUT_RDWR);
	reap(exporting, true);
	block_copy_close(exporting->copy);
	return r;
}

static void exporting_free(struct exporting *exporting)
{
	for (unsigned i = 0; i < exporting->scratch.files; i++)
		if (exporting->scratch.file[i].fd >= 0)
			close(exporting->scratch.file[i].fd);
	disk_spec_free(&exporting->scratch);
	close(exporting->listener);
	free(exporting);
}

static json_t *done(void *ctx, int r, const struct error *err)
{
	struct exporting *exporting = ctx;

	disk_leave(exporting->vmm, exporting->disk);
	exporting_free(exporting);
	return NULL;
}

int export_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, int fd, struct error *err)
{
	struct exporting *exporting = calloc(1, sizeof *exporting);
	struct stat st;
	const struct job_spec spec = {.word = "disk-export",
		.run = run,
		.done = done,
		.ctx = exporting};
	int r;

	if (fd < 0 || !exporting) {
		free(exporting);
		if (fd >= 0)
			close(fd);
		return fd < 0
			? error_set(err, EBADF, "disk-export: no socket came with the request")
			: error_nomem(err);
	}
	exporting->vmm = vmm;
	exporting->listener = fd;
	exporting->persistent = request->persistent;
	points_take(&exporting->points, request);
	exporting->scratch = vmm->plugging.next;
	vmm->plugging.next = (struct disk_spec){.files = 0};
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		exporting->client[i].fd = -1;
	if (exporting->scratch.files != 1 || exporting->scratch.file[0].format != DISK_RAW ||
		fstat(exporting->scratch.file[0].fd, &st) || st.st_nlink)
		r = error_set(err, EBADF,
			"disk-export: one raw file without a name has to come before");
	else
		r = disk_use(vmm, request->disk, &exporting->disk, err);
	if (r) {
		exporting_free(exporting);
		return r;
	}
	r = monitor_job(vmm->monitor, &spec, asker, err);
	return r ? r : REQUEST_LATER;
}
