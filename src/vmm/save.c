/* SPDX-License-Identifier: Apache-2.0 */
/* The files that dach run's guest is saved to and restored from. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state/file.h"
#include "vmm/internal.h"

/* Who gives a guest to a monitor has counted what it takes: a state does not make it larger. */
static int check_size(const struct vmm_config *config, const struct machine_head *head,
	struct error *err)
{
	if (head->vcpus == config->vcpus && head->memory == config->memory)
		return 0;
	return error_set(err, EINVAL,
		"%s: of a guest with %u processors and %llu MiB, and this one has %u and %llu",
		config->restore_from, head->vcpus, (unsigned long long)head->memory >> 20,
		config->vcpus, (unsigned long long)config->memory >> 20);
}

int save_open(struct vmm *vmm, struct error *err)
{
	struct vmm_config *config = &vmm->config;
	int r;

	if (config->save_to) {
		vmm->save = open(config->save_to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (vmm->save < 0)
			return error_set(err, errno, "%s: %s", config->save_to, strerror(errno));
	}
	if (!config->restore_from)
		return 0;
	vmm->restore = config->given ? config->restore_fd
				     : open(config->restore_from, O_RDONLY | O_CLOEXEC);
	if (vmm->restore < 0)
		return error_set(err, errno, "%s: %s", config->restore_from, strerror(errno));
	r = config->arriving ? arrive_open(vmm, err)
			     : move_open(&vmm->move, vmm->restore, config->restore_from, err);
	if (!r && config->given)
		r = check_size(config, &vmm->move.head, err);
	config->vcpus = vmm->move.head.vcpus;
	config->memory = vmm->move.head.memory;
	return r;
}

/* The job */

struct save {
	struct vmm *vmm;
	const char *name;
	int fd;
	bool given; /* the file came with a request, and is closed in the end */
	enum request_then then;
	void (*over)(struct save *save, int r, const struct error *err); /* or NULL */
	struct guest_job *job;
	struct state *state;
	struct error err; /* the state's */
	bool frozen;
	uint64_t seen, written;
	/* A file: memory has its places in it, and the stream comes behind, when all of it is known. */
	bool file;
	uint64_t places_end; /* of what memory there was */
	struct state_pages pages;
	/* What the loop's thread has written, which does not wait for files: the job's thread does. */
	bool direct;
	struct moment_text text;
	/* A snapshot: its disks get new images when all is written. */
	bool snapshot;
	struct layers layers;
	uint64_t since; /* it stands still, ns */
};

/* Where it is next; a file's stream is kept until its end. */
static int flush(struct save *save)
{
	int r;

	if (save->file)
		return 0;
	r = job_write(save->job, save->fd, save->name, save->text.bytes, save->text.size, -1,
		&save->err);
	save->text.size = 0;
	return r;
}

static int write_pages(void *ctx, uint64_t gpa, const void *data, size_t len)
{
	struct save *save = ctx;

	save->written += len;
	if (gpa + len > save->places_end)
		save->places_end = gpa + len;
	return job_write(save->job, save->fd, save->name, data, len,
		(int64_t)(STATE_FILE_MEMORY + gpa), NULL);
}

/* A pipe or socket has nothing to make stable. */
static int make_stable(int fd)
{
	return fsync(fd) < 0 && errno != EINVAL && errno != EROFS ? -errno : 0;
}

/* The header is last, and on the disk after all that it speaks of. */
int save_finish_file(struct guest_job *job, int fd, const char *name,
	const struct moment_text *stream, uint64_t places_end, struct error *err)
{
	struct state_file_header header;
	uint64_t at = STATE_FILE_MEMORY + places_end;
	int r = job_write(job, fd, name, stream->bytes, stream->size, (int64_t)at, err);

	if (!r && (r = make_stable(fd)))
		error_set(err, -r, "%s: %s", name, strerror(-r));
	if (r)
		return r;
	state_file_header(&header, at, stream->size);
	r = job_write(job, fd, name, &header, sizeof header, 0, err);
	if (!r && (r = make_stable(fd)))
		error_set(err, -r, "%s: %s", name, strerror(-r));
	return r;
}

static int write_state(void *ctx, const void *data, size_t len)
{
	struct save *save = ctx;

	save->written += len;
	if (save->direct && !save->file)
		return job_write(save->job, save->fd, save->name, data, len, -1, NULL);
	return moment_text_add(&save->text, data, len);
}

static int seen(void *ctx, uint64_t bytes)
{
	struct save *save = ctx;

	save->seen += bytes;
	job_progress(save->job, save->seen, machine_memory(save->vmm->machine)->size);
	return job_check(save->job, NULL);
}

static int begin(void *ctx, struct error *err)
{
	const struct state_io io = {.write = write_state, .seen = seen, .ctx = ctx};
	struct save *save = ctx;
	int r = state_save(&io, save->name, &save->state, &save->err);

	save->pages = (struct state_pages){.write = write_pages, .ctx = save};
	if (!r && save->file)
		state_beside(save->state, &save->pages);
	if (!r)
		r = machine_save_begin(save->vmm->machine, save->state);
	save->frozen = !r;
	save->since = clock_now();
	return r ? error_set(err, -r, "%s", save->err.text) : 0;
}

static void save_devices(void *ctx)
{
	struct save *save = ctx;

	machine_save_devices(save->vmm->machine, save->state);
}

static void put_now(void *ctx)
{
	struct save *save = ctx;

	layers_put(&save->layers);
}

/* The last that can fail: until then the guest's disks are what they were. */
static int put_layers(struct save *save)
{
	int r;

	if (!save->snapshot || !layers_any(&save->layers))
		return 0;
	r = layers_open(&save->layers, &save->vmm->devices, &save->err);
	if (!r)
		r = layers_hold(&save->layers, &save->err);
	return r ? r : job_call(save->job, put_now, save, &save->err);
}

static int run(void *ctx, struct guest_job *job, struct error *err)
{
	struct save *save = ctx;
	int r;

	save->job = job;
	r = flush(save);
	if (!r) {
		save->direct = true;
		machine_save_memory(save->vmm->machine, save->state);
		save->direct = false;
		r = job_call(job, save_devices, save, err);
	}
	/* The state speaks of disks that have all that was written: the monitor may be killed next. */
	if (!r)
		r = devices_settle(&save->vmm->devices);
	if (!r)
		r = flush(save);
	save->direct = true;
	if (!r)
		r = state_finish(save->state);
	if (!r && save->file)
		r = save_finish_file(job, save->fd, save->name, &save->text, save->places_end,
			&save->err);
	else if (!r)
		r = make_stable(save->fd);
	if (!r)
		r = put_layers(save);
	if (!r || job_check(job, err))
		return r ? -ECANCELED : 0;
	return error_set(err, -r, "%s", save->err.text[0] ? save->err.text : strerror(-r));
}

static void go_on(void *ctx)
{
	struct vmm *vmm = ctx;

	vmm->saved = false;
	machine_save_end(vmm->machine);
}

/* It stays frozen where no more of it is to happen. */
static void saved(struct vmm *vmm, enum request_then then)
{
	switch (then) {
	case SAVE_THEN_END:
		vmm->saved = true;
		machine_stop(vmm->machine);
		break;
	case SAVE_THEN_WAIT:
		vmm->saved = true;
		monitor_hold(vmm->monitor, go_on, vmm);
		break;
	case SAVE_THEN_PAUSE:
		monitor_pause(vmm->monitor);
		go_on(vmm);
		break;
	case SAVE_THEN_RUN:
		go_on(vmm);
		break;
	}
}

static json_t *done(void *ctx, int r, const struct error *err)
{
	struct save *save = ctx;
	struct vmm *vmm = save->vmm;
	json_t *fields = r ? NULL : json_pack("{s:I}", "bytes", (json_int_t)save->written);

	if (!r && save->snapshot)
		json_object_set_new(fields, "pause",
			json_integer((json_int_t)(clock_now() - save->since)));
	if (save->over)
		save->over(save, r, err);
	if (!r)
		saved(vmm, save->then);
	else if (save->frozen)
		machine_save_end(vmm->machine);
	if (save->given)
		close(save->fd);
	state_destroy(save->state);
	if (save->snapshot)
		vmm->layering--;
	layers_close(&save->layers);
	moment_text_free(&save->text);
	free(save);
	return fields;
}

static int start(struct vmm *vmm, const struct save *like, const struct control_asker *asker,
	struct error *err)
{
	struct save *save = malloc(sizeof *save);
	const struct job_spec spec = {
		.word = like->snapshot ? "snapshot" : "save",
		.pauses = true,
		.watched = asker && like->then != SAVE_THEN_END,
		.begin = begin,
		.run = run,
		.done = done,
		.ctx = save,
	};
	int flags = fcntl(like->fd, F_GETFL);
	struct stat st;

	if (!save) {
		struct layers layers = like->layers;

		layers_close(&layers);
		if (like->given)
			close(like->fd);
		return error_nomem(err);
	}
	*save = *like;
	save->vmm = vmm;
	if (save->snapshot) {
		vmm->layering++;
		vmm_allow_file(vmm, DISK_QCOW2, 0);
	}
	save->file = !fstat(save->fd, &st) && S_ISREG(st.st_mode);
	if (lseek(save->fd, 0, SEEK_SET) < 0 && flags >= 0)
		fcntl(save->fd, F_SETFL, flags | O_NONBLOCK);
	return monitor_job(vmm->monitor, &spec, asker, err);
}

/* A guest that cannot be saved goes on. */
static void tell_terminal(struct save *save, int r, const struct error *err)
{
	if (!r)
		return;
	fprintf(stderr, "dach: the guest %s: %s\n", r == -ECANCELED ? "is not saved" : "goes on",
		err->text);
	/* One that never began leaves the file to the one that goes on. */
	if (save->frozen && ftruncate(save->fd, 0) < 0 && errno != EINVAL)
		fprintf(stderr, "dach: %s: %s\n", save->name, strerror(errno));
}

void save_guest(void *ctx)
{
	struct vmm *vmm = ctx;
	const struct save like = {.name = vmm->config.save_to,
		.fd = vmm->save,
		.over = tell_terminal};

	start(vmm, &like, NULL, NULL);
}

int save_request(struct vmm *vmm, const struct control_asker *asker, enum request_then then, int fd,
	struct error *err)
{
	const struct save like = {.name = "save: the file", .fd = fd, .given = true, .then = then};
	int r;

	if (fd < 0)
		return error_set(err, EBADF, "save: no file came with the request");
	r = start(vmm, &like, asker, err);
	return r ? r : REQUEST_LATER;
}

int save_snapshot(struct vmm *vmm, const struct control_asker *asker, struct layers *layers, int fd,
	struct error *err)
{
	const struct save like = {.name = "snapshot: the file",
		.fd = fd,
		.given = true,
		.then = SAVE_THEN_RUN,
		.snapshot = true,
		.layers = *layers};
	int r = start(vmm, &like, asker, err);

	return r ? r : REQUEST_LATER;
}

void save_close(struct vmm *vmm)
{
	if (vmm->save >= 0)
		close(vmm->save);
	if (vmm->restore >= 0 && !vmm->config.given)
		close(vmm->restore);
	move_close(&vmm->move);
	vmm->save = vmm->restore = -1;
}
