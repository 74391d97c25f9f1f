/* SPDX-License-Identifier: Apache-2.0 */
#include "debug/gdb.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/local_socket.h"
#include "debug/stub.h"
#include "debug/access.h"
#include "machine/machine.h"

/* Answers that the debugger has not read yet; one that lets more pile up is dropped. */
#define OUTPUT_MAX (1u << 20)

struct gdb {
	struct loop *loop;
	struct machine *machine;
	struct stub *stub;
	struct loop_fd listener, peer;
	bool closing;
	uint8_t *output;
	size_t output_len, output_room;
};

static void peer_close(struct gdb *s)
{
	if (s->peer.fd < 0)
		return;
	loop_fd_remove(s->loop, &s->peer);
	close(s->peer.fd);
	s->peer.fd = -1;
	s->output_len = 0;
	s->closing = false;
	stub_release(s->stub);
	stub_destroy(s->stub);
	s->stub = NULL;
}

/* Writes what it can. False: the peer is gone. */
static bool flush(struct gdb *s)
{
	size_t done = 0;

	while (done < s->output_len) {
		ssize_t n = send(s->peer.fd, s->output + done, s->output_len - done,
			MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0)
			break;
		done += n;
	}
	memmove(s->output, s->output + done, s->output_len - done);
	s->output_len -= done;
	s->peer.events = s->output_len ? POLLIN | POLLOUT : POLLIN;
	return true;
}

/* Called within stub_input(): nothing may be closed here. */
static void server_send(void *ctx, const void *data, size_t len)
{
	struct gdb *s = ctx;

	if (s->peer.fd < 0 || s->closing)
		return;
	if (s->output_len + len > s->output_room) {
		size_t room = (s->output_len + len) * 2;
		uint8_t *more = room <= OUTPUT_MAX ? realloc(s->output, room) : NULL;

		if (!more) {
			s->closing = true;
			return;
		}
		s->output = more;
		s->output_room = room;
	}
	memcpy(s->output + s->output_len, data, len);
	s->output_len += len;
}

static void server_detached(void *ctx)
{
	struct gdb *s = ctx;

	flush(s);
	s->closing = true;
}

static struct machine *server_machine(void *ctx)
{
	return ((struct gdb *)ctx)->machine;
}

static unsigned target_vcpus(void *ctx)
{
	return machine_vcpus(server_machine(ctx));
}

static void target_pause(void *ctx)
{
	machine_pause(server_machine(ctx));
}

static void target_resume(void *ctx, int only)
{
	if (only < 0)
		machine_resume(server_machine(ctx));
	else
		machine_resume_one(server_machine(ctx), only);
}

static void target_debug(void *ctx, unsigned vcpu, const struct engine_debug *debug)
{
	struct machine *m = server_machine(ctx);

	machine_engine(m)->vcpu_debug(machine_vcpu(m, vcpu), debug);
}

static void target_get_state(void *ctx, unsigned vcpu, struct cpu_state *state)
{
	struct machine *m = server_machine(ctx);

	machine_engine(m)->vcpu_get_state(machine_vcpu(m, vcpu), state);
}

static int target_set_state(void *ctx, unsigned vcpu, const struct cpu_state *state)
{
	struct machine *m = server_machine(ctx);

	return machine_engine(m)->vcpu_set_state(machine_vcpu(m, vcpu), state, NULL);
}

static int target_read(void *ctx, unsigned vcpu, uint64_t gva, void *buf, size_t len)
{
	return access_read(server_machine(ctx), vcpu, gva, buf, len);
}

static int target_write(void *ctx, unsigned vcpu, uint64_t gva, const void *buf, size_t len)
{
	return access_write(server_machine(ctx), vcpu, gva, buf, len);
}

static void target_kill(void *ctx)
{
	machine_stop(server_machine(ctx));
}

static void target_command(void *ctx, const char *line, FILE *out)
{
	access_command(server_machine(ctx), line, out);
}

static const struct stub_target target = {
	.vcpus = target_vcpus,
	.pause = target_pause,
	.resume = target_resume,
	.debug = target_debug,
	.get_state = target_get_state,
	.set_state = target_set_state,
	.read = target_read,
	.write = target_write,
	.kill = target_kill,
	.command = target_command,
	.send = server_send,
	.detached = server_detached,
};

static void peer_ready(void *ctx, short revents)
{
	struct gdb *s = ctx;
	uint8_t buf[4096];
	ssize_t n = 1;

	if (revents & (POLLIN | POLLHUP | POLLERR)) {
		n = recv(s->peer.fd, buf, sizeof buf, MSG_DONTWAIT);
		if (n > 0)
			stub_input(s->stub, buf, n);
		else if (n < 0 && (errno == EAGAIN || errno == EINTR))
			n = 1;
	}
	if (n <= 0 || s->closing || !flush(s))
		peer_close(s);
}

static void listener_ready(void *ctx, short revents)
{
	struct gdb *s = ctx;
	int one = 1, fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (s->peer.fd >= 0) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	s->stub = stub_create(&target, s);
	if (!s->stub) {
		close(fd);
		return;
	}
	machine_pause(s->machine);
	s->peer = (struct loop_fd){.fd = fd, .events = POLLIN, .ready = peer_ready, .ctx = s};
	loop_fd_add(s->loop, &s->peer);
}

void gdb_stopped(struct gdb *s, unsigned vcpu)
{
	if (!s->stub) {
		/* A stop that nobody waits for any more. */
		machine_resume(s->machine);
		return;
	}
	stub_stopped(s->stub, vcpu, STUB_SIGTRAP);
	if (s->closing || !flush(s))
		peer_close(s);
}

static int listen_tcp(struct gdb *s, const char *address, struct error *err)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	const char *colon = strrchr(address, ':');
	char host[INET_ADDRSTRLEN], *end = NULL;
	unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
	size_t len = colon ? (size_t)(colon - address) : 0;
	int one = 1;

	if (!port || port > 65535 || *end || len >= sizeof host)
		return error_set(err, EINVAL,
			"--gdb: \"%.100s\" is neither unix:PATH nor 127.0.0.1:PORT", address);
	memcpy(host, address, len);
	host[len] = '\0';
	if (inet_pton(AF_INET, host, &in.sin_addr) != 1 || ntohl(in.sin_addr.s_addr) >> 24 != 127)
		return error_set(err, EINVAL,
			"--gdb: \"%s\" is not an address of this host alone "
			"(127.0.0.1): a debugger may do anything to the guest",
			host);
	in.sin_port = htons(port);
	s->listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listener.fd < 0)
		return error_set(err, errno, "--gdb: socket: %s", strerror(errno));
	setsockopt(s->listener.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(s->listener.fd, (struct sockaddr *)&in, sizeof in) < 0 ||
		listen(s->listener.fd, 1) < 0)
		return error_set(err, errno, "--gdb: %s: %s", address, strerror(errno));
	return 0;
}

int gdb_create(struct machine *machine, const char *address, struct gdb **out, struct error *err)
{
	struct gdb *s = calloc(1, sizeof *s);
	int rc;

	*out = NULL;
	if (!s)
		return error_set(err, ENOMEM, "--gdb: out of memory");
	s->machine = machine;
	s->loop = machine_loop(machine);
	s->peer.fd = -1;
	s->listener =
		(struct loop_fd){.fd = -1, .events = POLLIN, .ready = listener_ready, .ctx = s};
	if (!strncmp(address, "unix:", 5))
		rc = s->listener.fd = local_socket_listen(address + 5, 1, err);
	else
		rc = listen_tcp(s, address, err);
	if (rc < 0) {
		if (s->listener.fd >= 0)
			close(s->listener.fd);
		free(s);
		return rc;
	}
	machine_pause(machine);
	loop_fd_add(s->loop, &s->listener);
	*out = s;
	return 0;
}

void gdb_destroy(struct gdb *s)
{
	if (!s)
		return;
	if (s->peer.fd >= 0) {
		stub_exited(s->stub, 0);
		flush(s);
		loop_fd_remove(s->loop, &s->peer);
		close(s->peer.fd);
		stub_destroy(s->stub);
	}
	loop_fd_remove(s->loop, &s->listener);
	close(s->listener.fd);
	free(s->output);
	free(s);
}
