/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations on an image, held against a model in memory:
 *
 *	qcow2_ops DISK TWIN SEED OPERATIONS        does them; TWIN gets what the disk must hold
 *	qcow2_ops DISK TWIN SEED OPERATIONS kill   the same, but the host crashes now and then, and forgets
 *	qcow2_ops DISK TWIN SEED OPERATIONS wait   opens it, says so and waits for the end of its input first
 *
 * DISK is as behind --disk. After each crash the image must be free of errors but for leaks, here and for
 * qemu-img, and hold what was flushed.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "block_rig.h"
#include "disk_model.h"
#include "lossy_disk.h"

#define AT_ONCE 4u
#define LENGTH_MAX (256u << 10)
#define SNAPSHOTS 3u
#define NEVER ~0u

struct saved {
	bool there;
	uint64_t size;
	uint8_t *bytes;
};

static struct run {
	const char *disk;
	char path[4096];
	unsigned random;
	bool kills;
	struct block_device *block;
	struct model *model;
	struct saved saved[SNAPSHOTS];
} run;

static _Noreturn void fail(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
	_exit(1);
}

static unsigned pick(unsigned below)
{
	return (unsigned)(((uint64_t)rand_r(&run.random) << 16 ^ (uint64_t)rand_r(&run.random)) %
		below);
}

struct op {
	struct block_request request;
	struct iovec iov[2];
	uint8_t *bytes;
	int result;
	struct op_wait *wait;
};

struct op_wait {
	pthread_mutex_t lock;
	pthread_cond_t done;
	unsigned left;
};

static void op_done(struct block_request *request, int result)
{
	struct op *op = (struct op *)request;

	pthread_mutex_lock(&op->wait->lock);
	op->result = result;
	op->wait->left--;
	pthread_cond_signal(&op->wait->done);
	pthread_mutex_unlock(&op->wait->lock);
}

/* All of them at once; their ranges do not meet. */
static void perform(struct op *ops, unsigned count)
{
	struct op_wait wait = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, count};

	for (unsigned i = 0; i < count; i++) {
		struct op *op = &ops[i];
		size_t half = op->request.length / 2;

		op->wait = &wait;
		op->iov[0] = (struct iovec){op->bytes, half};
		op->iov[1] = (struct iovec){op->bytes ? op->bytes + half : NULL,
			op->request.length - half};
		op->request.iov = op->iov;
		op->request.iov_count = 2;
		op->request.done = op_done;
		block_submit(run.block, &op->request);
	}
	pthread_mutex_lock(&wait.lock);
	while (wait.left)
		pthread_cond_wait(&wait.done, &wait.lock);
	pthread_mutex_unlock(&wait.lock);
	for (unsigned i = 0; i < count; i++)
		if (ops[i].result)
			fail("operation %d at %llu, %llu bytes: %s", ops[i].request.op,
				(unsigned long long)ops[i].request.offset,
				(unsigned long long)ops[i].request.length,
				strerror(-ops[i].result));
}

static void read_range(uint64_t offset, uint64_t length, uint8_t *bytes)
{
	struct op op = {.request = {.op = BLOCK_READ, .offset = offset, .length = length},
		.bytes = bytes};

	perform(&op, 1);
}

static void flush(void)
{
	struct op op = {.request = {.op = BLOCK_FLUSH}};

	perform(&op, 1);
	model_flushed(run.model);
}

static void open_disk(void)
{
	struct error err = {""};

	if (rig_block_open(run.disk, &run.block, &err))
		fail("%s", err.text);
	if (block_size(run.block) > MODEL_MAX)
		fail("the disk is too large for the model");
	run.model->size = block_size(run.block);
}

static void fill(uint8_t *bytes, uint64_t length)
{
	unsigned what = pick(8);

	for (uint64_t i = 0; i < length; i += 4) {
		unsigned word = what ? (unsigned)rand_r(&run.random) : 0;

		memcpy(bytes + i, &word, 4);
	}
}

/* A range of its own part of the disk, so that none meets another. */
static bool choose_range(struct op *op, unsigned part, unsigned parts)
{
	const uint64_t sectors = run.model->size / BLOCK_SECTOR / parts;
	uint64_t most = pick(4) ? 16 : LENGTH_MAX / BLOCK_SECTOR, first, count;

	if (!sectors)
		return false;
	first = pick((unsigned)sectors);
	if (most > sectors - first)
		most = sectors - first;
	count = 1 + pick((unsigned)most);
	if (!pick(3) && first % 8 + count > 8) { /* whole pages, as file systems have them */
		count = (count + 7) & ~7ull;
		first &= ~7ull;
		count = count > sectors - first ? sectors - first : count;
	}
	op->request.offset = (part * sectors + first) * BLOCK_SECTOR;
	op->request.length = count * BLOCK_SECTOR;
	return true;
}

static void announce(const struct op *op)
{
	const uint64_t offset = op->request.offset, length = op->request.length;

	if (op->request.op == BLOCK_READ)
		return;
	model_announce(run.model, offset, op->request.op == BLOCK_WRITE ? op->bytes : NULL, length);
	if (op->request.op == BLOCK_WRITE)
		memcpy(run.model->bytes + offset, op->bytes, length);
	else if (op->request.op == BLOCK_WRITE_ZEROES)
		memset(run.model->bytes + offset, 0, length);
}

static void compare(uint64_t offset, const uint8_t *bytes, uint64_t length)
{
	if (memcmp(run.model->bytes + offset, bytes, length))
		for (uint64_t i = 0; i < length; i++)
			if (run.model->bytes[offset + i] != bytes[i])
				fail("wrong byte at %llu", (unsigned long long)(offset + i));
}

/* What a discard has left is what was there, or zeroes. */
static void see_discard(uint64_t offset, uint64_t length, uint8_t *bytes)
{
	static const uint8_t zeroes[BLOCK_SECTOR];

	read_range(offset, length, bytes);
	for (uint64_t i = 0; i < length; i += BLOCK_SECTOR)
		if (!memcmp(bytes + i, zeroes, BLOCK_SECTOR))
			memset(run.model->bytes + offset + i, 0, BLOCK_SECTOR);
	compare(offset, bytes, length);
}

static void do_ranges(void)
{
	static uint8_t bytes[AT_ONCE][LENGTH_MAX];
	static const enum block_op kinds[] = {BLOCK_WRITE, BLOCK_WRITE, BLOCK_WRITE, BLOCK_WRITE,
		BLOCK_READ, BLOCK_READ, BLOCK_DISCARD, BLOCK_WRITE_ZEROES};
	const unsigned parts = 1 + pick(AT_ONCE);
	struct op ops[AT_ONCE] = {0};

	for (unsigned i = 0; i < parts; i++) {
		ops[i].bytes = bytes[i];
		ops[i].request.op = kinds[pick(8)];
		ops[i].request.unmap = pick(2);
		if (!choose_range(&ops[i], i, parts))
			return;
		if (ops[i].request.op == BLOCK_WRITE)
			fill(bytes[i], ops[i].request.length);
		announce(&ops[i]);
	}
	perform(ops, parts);
	for (unsigned i = 0; i < parts; i++) {
		if (ops[i].request.op == BLOCK_READ)
			compare(ops[i].request.offset, bytes[i], ops[i].request.length);
		else if (ops[i].request.op == BLOCK_DISCARD)
			see_discard(ops[i].request.offset, ops[i].request.length, bytes[i]);
	}
}

static void check_result(int r, const struct error *err)
{
	/* An image whose counts are one bit wide has no room for snapshots. */
	if (r && !strstr(err->text, "too narrow") && !strstr(err->text, "that do not know"))
		fail("%s", err->text);
}

static void do_snapshot(void)
{
	unsigned n = pick(SNAPSHOTS), what = pick(3);
	struct saved *saved = &run.saved[n];
	struct error err = {""};
	char name[16];
	int r;

	snprintf(name, sizeof name, "s%u", n);
	if (!saved->there) {
		r = block_snapshot(run.block, BLOCK_SNAPSHOT_CREATE, name, &err);
		check_result(r, &err);
		if (r)
			return;
		saved->there = true;
		saved->size = run.model->size;
		if (!saved->bytes)
			saved->bytes = malloc(MODEL_MAX);
		memcpy(saved->bytes, run.model->bytes, saved->size);
	} else if (what == 0 && !run.kills) {
		r = block_snapshot(run.block, BLOCK_SNAPSHOT_APPLY, name, &err);
		check_result(r, &err);
		if (r)
			return;
		memcpy(run.model->bytes, saved->bytes, saved->size);
		run.model->size = saved->size;
	} else {
		check_result(block_snapshot(run.block, BLOCK_SNAPSHOT_DELETE, name, &err), &err);
		saved->there = false;
	}
	model_flushed(run.model);
}

static void do_resize(void)
{
	uint64_t size = (1ull << 20) + pick((MODEL_MAX - (1u << 20)) / 512) * 512ull;
	struct error err = {""};
	int r = block_resize(run.block, size, true, &err);

	check_result(r, &err);
	if (r)
		return;
	if (size > run.model->size)
		memset(run.model->bytes + run.model->size, 0, size - run.model->size);
	run.model->size = size;
}

static void do_one(void)
{
	unsigned what = pick(1000);

	if (what < 60) {
		flush();
	} else if (what < 66) {
		block_close(run.block);
		model_flushed(run.model);
		open_disk();
	} else if (what < 72) {
		do_snapshot();
	} else if (what < 75 && !run.kills) {
		do_resize();
	} else {
		do_ranges();
	}
}

static void read_all(uint8_t *bytes)
{
	for (uint64_t at = 0; at < run.model->size; at += LENGTH_MAX) {
		uint64_t left = run.model->size - at;

		read_range(at, left < LENGTH_MAX ? left : LENGTH_MAX, bytes + at);
	}
}

static void begin_model(void)
{
	uint8_t *bytes = malloc(MODEL_MAX);

	if (!bytes)
		fail("out of memory");
	read_all(bytes);
	for (uint64_t i = 0; i < MODEL_SECTORS; i++)
		run.model->sector[i].count = MODEL_PENDING + 1;
	model_accept(run.model, bytes);
	free(bytes);
}

/* No errors; leaks only if the host has crashed. */
static void check_image(bool crashed)
{
	struct block_faults faults;
	struct error err = {""};

	if (block_check(run.block, &faults, &err))
		fail("%s", err.text);
	if (faults.errors || (faults.leaks && !crashed))
		fail("%llu errors and %llu leaks in it", (unsigned long long)faults.errors,
			(unsigned long long)faults.leaks);
}

static void write_twin(const char *twin)
{
	int fd = open(twin, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || io_pwrite_all(fd, run.model->bytes, run.model->size, 0))
		fail("%s cannot be written", twin);
	close(fd);
}

/* In a process of its own, which ends in the crash or after the operations. */
static void live(unsigned operations, unsigned writes)
{
	if (writes != NEVER)
		lossy_begin(run.path, writes, run.random);
	open_disk();
	while (operations--)
		do_one();
	block_close(run.block);
	model_flushed(run.model);
}

/* Unless it says itself that its counts are to be made anew. */
static void ask_qemu(void)
{
	const char *program = getenv("QEMU_IMG");
	uint8_t byte[80] = {0};
	char command[8192];
	int fd = open(run.path, O_RDONLY | O_CLOEXEC), status;

	if (fd < 0 || pread(fd, byte, sizeof byte, 0) < 72)
		fail("%s cannot be read", run.path);
	close(fd);
	if (!program || (byte[7] == 3 && byte[79] & 1))
		return;
	snprintf(command, sizeof command, "%s check -q -f qcow2 '%s' >/dev/null", program,
		run.path);
	status = system(command);
	if (!WIFEXITED(status) || (WEXITSTATUS(status) && WEXITSTATUS(status) != 3))
		fail("qemu-img check finds errors after a crash");
}

static void see_crash(void)
{
	uint8_t *bytes = malloc(MODEL_MAX);
	int64_t wrong;

	if (!bytes)
		fail("out of memory");
	ask_qemu();
	open_disk();
	check_image(true);
	read_all(bytes);
	wrong = model_accept(run.model, bytes);
	if (wrong >= 0)
		fail("after a crash sector %lld is neither what was flushed nor what followed",
			(long long)wrong);
	/* Which snapshots there are only the image knows now. */
	for (unsigned n = 0; n < SNAPSHOTS; n++) {
		char name[16];

		snprintf(name, sizeof name, "s%u", n);
		block_snapshot(run.block, BLOCK_SNAPSHOT_DELETE, name, NULL);
		run.saved[n].there = false;
	}
	block_close(run.block);
	free(bytes);
}

static void live_and_die(unsigned operations)
{
	unsigned seed = run.random, writes = 1 + pick(400);
	pid_t child = fork();
	int status = 0;

	if (!child) {
		run.random = seed;
		live(operations, writes);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		fail("the child ended by itself");
	if (WEXITSTATUS(status) && WEXITSTATUS(status) != LOSSY_CRASHED)
		_exit(1);
	see_crash();
}

int main(int argc, char **argv)
{
	unsigned operations;

	if (argc < 5)
		fail("usage: qcow2_ops DISK TWIN SEED OPERATIONS [kill]");
	run.disk = argv[1];
	snprintf(run.path, sizeof run.path, "%.*s", (int)strcspn(argv[1], ","), argv[1]);
	run.random = (unsigned)strtoul(argv[3], NULL, 0);
	operations = (unsigned)strtoul(argv[4], NULL, 0);
	run.kills = argc > 5 && !strcmp(argv[5], "kill");
	run.model = mmap(NULL, sizeof *run.model, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run.model == MAP_FAILED)
		fail("out of memory");
	open_disk();
	if (argc > 5 && !run.kills) {
		puts("open");
		fflush(stdout);
		while (getchar() != EOF)
			continue;
	}
	begin_model();
	if (run.kills) {
		block_close(run.block);
		for (unsigned done = 0; done < operations; done += 100)
			live_and_die(100);
		open_disk();
	}
	while (!run.kills && operations--)
		do_one();
	flush();
	check_image(run.kills);
	block_close(run.block);
	write_twin(argv[2]);
	return 0;
}
