/* SPDX-License-Identifier: Apache-2.0 */
#include "block/remote.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/thread.h"
#include "block/file.h"
#include "nbd/address.h"
#include "nbd/client.h"

#define SECOND 1000000000ull
#define BEGIN_NS (10 * SECOND) /* for a server to tell of its export */
#define CONNECT_MS 60000       /* for who makes connections to have one, or none */
#define DATA_NS (60 * SECOND)  /* for an answer's data, once its head has come */
#define RETRY_NS SECOND        /* from one attempt to the next */
#define TELL_NS (60 * SECOND)  /* from one line about a server that comes and goes to the next */
#define PIECE_BYTES (4u << 20) /* one request moves, if the server may */
#define PIECE_BUFFERS 64u
#define LENGTH_MAX (1u << 30) /* of one without data */

/* A request that is being sent, or was, and whose answer somebody waits for. */
struct slot {
	uint64_t cookie;
	struct iovec *iov; /* where data of the answer go */
	unsigned count;
	bool changes; /* what is not stable when it is answered */
	bool done;
	int result;
	struct slot *next;
};

struct remote {
	int connector;
	bool read_only, through;
	char *name;
	char export_name[NBD_EXPORT_MAX + 1];
	struct nbd_export export; /* the first connection's: all others are the same disk */
	struct mutex lock;
	pthread_cond_t changed;
	int fd GUARDED_BY(lock);         /* -1: no connection */
	bool broken GUARDED_BY(lock);    /* the connection is of no use any more */
	unsigned users GUARDED_BY(lock); /* requests that this connection has, or is to have */
	bool connecting GUARDED_BY(lock), sending GUARDED_BY(lock), reading GUARDED_BY(lock);
	uint8_t asked GUARDED_BY(lock);   /* of the connector, so far */
	bool alone GUARDED_BY(lock);      /* there is no connector any more */
	bool answered GUARDED_BY(lock);   /* something, on this connection */
	bool fruitless GUARDED_BY(lock);  /* and on the last one nothing */
	uint64_t retry GUARDED_BY(lock);  /* not before */
	uint64_t until GUARDED_BY(lock);  /* for all; 0: none was lost since it answered */
	uint64_t told GUARDED_BY(lock);   /* when it was last told that the server has gone */
	bool is_told GUARDED_BY(lock);    /* and that it is back is to be told, too */
	uint64_t cookie GUARDED_BY(lock); /* the last one */
	struct slot *slots GUARDED_BY(lock);
	uint64_t written GUARDED_BY(lock), stable GUARDED_BY(lock); /* writes that were answered */
	bool lost GUARDED_BY(lock); /* some of those may not have become stable */
};

/* What is asked of the server; the array of buffers is not changed. */
struct demand {
	enum nbd_command command;
	uint16_t flags;
	uint64_t offset;
	uint32_t length;
	const struct iovec *iov; /* at most PIECE_BUFFERS */
	unsigned count;
};

bool remote_is_socket(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISSOCK(st.st_mode);
}

/* Connections */

union one_fd {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

/* One message of the connector's: whether it answers that question. *fd -1: it has none, and text says why. */
static int hear_connector(const struct remote *remote, uint8_t asked, int *fd, char *text,
	size_t size)
{
	union one_fd file = {.room = {0}};
	struct iovec iov = {text, size - 1};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &file,
		.msg_controllen = sizeof file};
	struct pollfd wait = {remote->connector, POLLIN, 0};
	struct cmsghdr *header;
	ssize_t n = poll(&wait, 1, CONNECT_MS) > 0
		? recvmsg(remote->connector, &message, MSG_CMSG_CLOEXEC)
		: -1;

	*fd = -1;
	if (n <= 0)
		return n ? -ETIMEDOUT : -EPIPE;
	text[n] = 0;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(header), sizeof *fd);
	if ((uint8_t)text[0] == asked)
		return 0;
	if (*fd >= 0) /* of one that was given up */
		close(*fd);
	return -EAGAIN;
}

static int get_connection(const struct remote *remote, uint8_t asked, int *fd, struct error *err)
{
	char text[sizeof err->text];
	int r = -EAGAIN;

	if (send(remote->connector, &asked, 1, MSG_NOSIGNAL) != 1)
		r = -EPIPE;
	while (r == -EAGAIN)
		r = hear_connector(remote, asked, fd, text, sizeof text);
	if (r)
		return error_set(err, -r, "%s: no connection to its server%s", remote->name,
			r == -EPIPE ? " any more: who makes them has ended" : " in time");
	return *fd < 0 ? error_set(err, EIO, "%s: %s", remote->name, text + 1) : 0;
}

static int begin(const struct remote *remote, int fd, struct nbd_export *export, struct error *err)
{
	const struct nbd_wire wire = {fd, clock_now() + BEGIN_NS};
	int r = nbd_begin(&wire, remote->export_name, remote->name, export, err);

	if (!r && !remote->read_only && export->flags & NBD_READ_ONLY)
		return error_set(err, EROFS,
			"%s: its server lets it only be read (%s,ro does that)", remote->name,
			remote->name);
	if (!r && remote->export.size &&
		(export->size != remote->export.size || export->flags != remote->export.flags ||
			export->smallest > remote->export.smallest ||
			export->most < remote->export.most))
		return error_set(err, EINVAL, "%s: its server has another disk there now",
			remote->name);
	return r;
}

/* A connection is made, without the lock; there is none, and nobody uses one. */
static int connect_now(struct remote *remote, struct error *err) REQUIRES(remote->lock)
{
	struct nbd_export export;
	const uint8_t asked = ++remote->asked;
	int fd = -1, r;

	remote->connecting = true;
	mutex_unlock(&remote->lock);
	r = get_connection(remote, asked, &fd, err);
	if (!r) {
		r = begin(remote, fd, &export, err);
		if (r)
			close(fd);
	}
	mutex_lock(&remote->lock);
	remote->connecting = false;
	if (!r && !remote->export.size)
		remote->export = export;
	remote->fd = r ? -1 : fd;
	remote->broken = false;
	remote->alone = r == -EPIPE;
	remote->answered = false;
	if (r)
		remote->retry = clock_now() + RETRY_NS;
	pthread_cond_broadcast(&remote->changed);
	return r;
}

static void close_broken(struct remote *remote) REQUIRES(remote->lock)
{
	if (remote->fd >= 0)
		close(remote->fd);
	remote->fd = -1;
}

/* 0, and there is a connection; or -EIO: there is none now. */
static int be_connected(struct remote *remote) REQUIRES(remote->lock)
{
	struct error err = {""};

	while (remote->fd < 0 || remote->broken) {
		if (remote->connecting || remote->users) {
			mutex_wait(&remote->lock, &remote->changed);
			continue;
		}
		close_broken(remote);
		if (remote->alone || clock_now() < remote->retry || connect_now(remote, &err))
			return -EIO;
		if (remote->is_told)
			fprintf(stderr, "dach: %s: its server is there again\n", remote->name);
		remote->is_told = false;
	}
	return 0;
}

/* Whoever sends or reads notices, and nobody begins to. */
static void lose(struct remote *remote) REQUIRES(remote->lock)
{
	const uint64_t now = clock_now();

	if (remote->broken)
		return;
	remote->broken = true;
	/* Once at once; not one after the other to who only takes them. */
	if (!remote->answered && remote->fruitless)
		remote->retry = now + RETRY_NS;
	remote->fruitless = !remote->answered;
	shutdown(remote->fd, SHUT_RDWR);
	remote->lost |= remote->written != remote->stable;
	remote->stable = remote->written;
	if (!remote->told || now - remote->told > TELL_NS) {
		fprintf(stderr, "dach: %s: the connection to its server is lost; trying again\n",
			remote->name);
		remote->told = now;
		remote->is_told = true;
	}
	pthread_cond_broadcast(&remote->changed);
}

/* Requests */

static struct slot *find_slot(struct remote *remote, uint64_t cookie) REQUIRES(remote->lock)
{
	struct slot *slot = remote->slots;

	while (slot && (slot->cookie != cookie || slot->done))
		slot = slot->next;
	return slot;
}

static void remove_slot(struct remote *remote, const struct slot *slot) REQUIRES(remote->lock)
{
	struct slot **at = &remote->slots;

	while (*at != slot)
		at = &(*at)->next;
	*at = slot->next;
}

/* The next answer, whosever it is: its slot stays until nobody reads. False: it was none. */
static bool read_one(struct remote *remote, int fd) EXCLUDES(remote->lock)
{
	struct nbd_wire wire = {fd, 0};
	struct slot *slot;
	uint64_t cookie;
	int result;

	if (!nbd_read_answer(&wire, &cookie, &result))
		return false;
	mutex_lock(&remote->lock);
	slot = find_slot(remote, cookie);
	mutex_unlock(&remote->lock);
	wire.deadline = clock_now() + DATA_NS;
	if (!slot || (!result && !wire_read_vector(&wire, slot->iov, slot->count)))
		return false;
	mutex_lock(&remote->lock);
	remote->answered = true;
	remote->until = 0;
	slot->result = result;
	slot->done = true;
	remote->written += !result && slot->changes; /* here: the connection may be lost next */
	mutex_unlock(&remote->lock);
	return true;
}

static bool send_one(int fd, const struct demand *demand, uint64_t cookie)
{
	uint8_t head[NBD_REQUEST_SIZE];
	struct iovec iov[1 + PIECE_BUFFERS] = {{head, sizeof head}};
	const struct nbd_wire wire = {fd, 0};
	unsigned count = demand->command == NBD_CMD_WRITE ? demand->count : 0;

	nbd_put_request(head, demand->command, demand->flags, cookie, demand->offset,
		demand->length);
	for (unsigned i = 0; i < count; i++)
		iov[1 + i] = demand->iov[i];
	return wire_write_vector(&wire, iov, 1 + count);
}

/* One thread at a time; false: the connection has been lost meanwhile. */
static bool take_turn(struct remote *remote, bool *turn) REQUIRES(remote->lock)
{
	while (*turn && !remote->broken)
		mutex_wait(&remote->lock, &remote->changed);
	if (remote->broken)
		return false;
	*turn = true;
	return true;
}

static void end_turn(struct remote *remote, bool *turn, bool good) REQUIRES(remote->lock)
{
	*turn = false;
	if (!good)
		lose(remote);
	pthread_cond_broadcast(&remote->changed);
}

/* Whoever waits for an answer reads what comes if nobody does. */
static void wait_answer(struct remote *remote, const struct slot *slot) REQUIRES(remote->lock)
{
	while (!slot->done && !remote->broken) {
		const int fd = remote->fd;
		bool good;

		if (remote->reading) {
			mutex_wait(&remote->lock, &remote->changed);
			continue;
		}
		take_turn(remote, &remote->reading);
		mutex_unlock(&remote->lock);
		good = read_one(remote, fd);
		mutex_lock(&remote->lock);
		end_turn(remote, &remote->reading, good);
	}
	/* It may be about to write to our buffers. */
	while (!slot->done && remote->reading)
		mutex_wait(&remote->lock, &remote->changed);
}

/* -ENOTCONN: the connection was lost, or there is none. */
static int attempt(struct remote *remote, const struct demand *demand) REQUIRES(remote->lock)
{
	struct iovec iov[PIECE_BUFFERS];
	struct slot slot = {.iov = iov,
		.changes = (demand->command == NBD_CMD_WRITE ||
				   demand->command == NBD_CMD_WRITE_ZEROES) &&
			!(demand->flags & NBD_FLAG_FUA)};

	if (be_connected(remote))
		return -ENOTCONN;
	if (demand->command == NBD_CMD_FLUSH && remote->lost) {
		remote->lost = false;
		fprintf(stderr,
			"dach: %s: what was written before the connection was lost may be lost, too: a flush fails\n",
			remote->name);
		return -EIO;
	}
	slot.cookie = ++remote->cookie;
	slot.count = demand->command == NBD_CMD_READ ? demand->count : 0;
	for (unsigned i = 0; i < slot.count; i++)
		iov[i] = demand->iov[i];
	remote->users++;
	if (take_turn(remote, &remote->sending)) {
		const int fd = remote->fd;
		bool good;

		/* Not before: what is not asked yet has no answer, and who leaves now has nobody at its buffers. */
		slot.next = remote->slots;
		remote->slots = &slot;
		mutex_unlock(&remote->lock);
		good = send_one(fd, demand, slot.cookie);
		mutex_lock(&remote->lock);
		end_turn(remote, &remote->sending, good);
		wait_answer(remote, &slot);
		remove_slot(remote, &slot);
	}
	if (!--remote->users)
		pthread_cond_broadcast(&remote->changed);
	return slot.done ? slot.result : -ENOTCONN;
}

static int perform(struct remote *remote, const struct demand *demand)
{
	uint64_t before;
	int r;

	mutex_lock(&remote->lock);
	for (;;) {
		before = remote->written;
		r = attempt(remote, demand);
		if (r != -ENOTCONN)
			break;
		if (!remote->until)
			remote->until = clock_now() + REMOTE_PATIENCE;
		if (remote->alone || clock_now() >= remote->until) {
			r = -EIO;
			break;
		}
		if (clock_now() < remote->retry)
			mutex_wait_until(&remote->lock, &remote->changed, remote->retry);
	}
	if (!r && demand->command == NBD_CMD_FLUSH && remote->stable < before)
		remote->stable = before;
	mutex_unlock(&remote->lock);
	return r;
}

/* The next of the buffers, as many as one request takes. */
static uint32_t take_buffers(struct iovec **from, unsigned *from_count, uint32_t most,
	struct iovec *to, unsigned *count)
{
	uint32_t taken = 0;

	for (*count = 0; *from_count && *count < PIECE_BUFFERS && taken < most; ++*count) {
		size_t part = (*from)->iov_len < most - taken ? (*from)->iov_len : most - taken;

		to[*count] = (struct iovec){(*from)->iov_base, part};
		taken += (uint32_t)part;
		file_iov_advance(from, from_count, part);
	}
	return taken;
}

static uint16_t write_flags(const struct remote *remote)
{
	return remote->through && remote->export.flags & NBD_SEND_FUA ? NBD_FLAG_FUA : 0;
}

int remote_transfer(struct remote *remote, bool write, struct iovec *iov, unsigned count,
	uint64_t offset, uint64_t length)
{
	uint32_t most = remote->export.most < PIECE_BYTES ? remote->export.most : PIECE_BYTES;
	int r = 0;

	most -= most % BLOCK_SECTOR;
	while (!r && length) {
		struct iovec piece[PIECE_BUFFERS];
		struct demand demand = {.command = write ? NBD_CMD_WRITE : NBD_CMD_READ,
			.flags = write ? write_flags(remote) : 0,
			.offset = offset,
			.iov = piece};

		demand.length = take_buffers(&iov, &count, most, piece, &demand.count);
		r = perform(remote, &demand);
		offset += demand.length;
		length -= demand.length;
	}
	return r;
}

int remote_flush(struct remote *remote)
{
	const struct demand demand = {.command = NBD_CMD_FLUSH};
	bool needed;

	mutex_lock(&remote->lock);
	needed = remote->lost || remote->written != remote->stable;
	mutex_unlock(&remote->lock);
	return needed && remote->export.flags & NBD_SEND_FLUSH ? perform(remote, &demand) : 0;
}

/* What moves no data. */
static int change_range(struct remote *remote, enum nbd_command command, uint16_t flags,
	uint64_t offset, uint64_t length)
{
	int r = 0;

	while (!r && length) {
		const struct demand demand = {.command = command,
			.flags = flags,
			.offset = offset,
			.length = length < LENGTH_MAX ? (uint32_t)length : LENGTH_MAX};

		r = perform(remote, &demand);
		offset += demand.length;
		length -= demand.length;
	}
	return r;
}

int remote_discard(struct remote *remote, uint64_t offset, uint64_t length)
{
	return remote->export.flags & NBD_SEND_TRIM
		? change_range(remote, NBD_CMD_TRIM, 0, offset, length)
		: 0;
}

int remote_write_zeroes(struct remote *remote, uint64_t offset, uint64_t length, bool unmap)
{
	return remote->export.flags & NBD_SEND_WRITE_ZEROES
		? change_range(remote, NBD_CMD_WRITE_ZEROES,
			  write_flags(remote) | (unmap ? 0 : NBD_FLAG_NO_HOLE), offset, length)
		: -EOPNOTSUPP;
}

/* Beginning and end */

int remote_open(int fd, const char *name, bool read_only, bool through, struct remote **out,
	uint64_t *size, struct error *err)
{
	struct remote *remote = calloc(1, sizeof *remote);
	struct nbd_address *address = malloc(sizeof *address);
	int r = remote && address ? nbd_address_parse(name, address, err) : error_nomem(err);

	if (r) {
		free(address);
		free(remote);
		return r;
	}
	*remote = (struct remote){.connector = fd,
		.read_only = read_only,
		.through = through,
		.fd = -1};
	strcpy(remote->export_name, address->export);
	free(address);
	mutex_init(&remote->lock);
	pthread_cond_init(&remote->changed, NULL);
	remote->name = strdup(name);
	if (!remote->name)
		r = error_nomem(err);
	mutex_lock(&remote->lock);
	if (!r)
		r = connect_now(remote, err);
	mutex_unlock(&remote->lock);
	if (r) {
		remote_close(remote);
		return r;
	}
	if (!read_only && !(remote->export.flags & NBD_SEND_FLUSH))
		fprintf(stderr,
			"dach: %s: its server knows no flush: when what a guest writes is stable is the server's affair\n",
			name);
	*size = remote->export.size;
	*out = remote;
	return 0;
}

void remote_close(struct remote *remote)
{
	uint8_t head[NBD_REQUEST_SIZE];

	if (!remote)
		return;
	if (remote->fd >= 0) {
		const struct nbd_wire wire = {remote->fd, 0};

		nbd_put_request(head, NBD_CMD_DISC, 0, 0, 0, 0);
		if (!remote->broken)
			wire_write(&wire, head, sizeof head, NULL, 0);
		close(remote->fd);
	}
	pthread_cond_destroy(&remote->changed);
	mutex_destroy(&remote->lock);
	free(remote->name);
	free(remote);
}
