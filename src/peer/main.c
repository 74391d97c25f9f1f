/* SPDX-License-Identifier: Apache-2.0 */
/* dach-peer: one connection with another host's daemon (protocol/peer.h); dachd starts it. */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/io.h"
#include "base/json.h"
#include "base/loop.h"
#include "monitor/sandbox.h"
#include "peer/tls.h"
#include "protocol/limits.h"
#include "protocol/peer.h"

/* Where the other side says nothing: names and connecting; the handshake with the line that follows it; its answer. */
#define CALL_SECONDS 30
#define HELLO_SECONDS 20u
#define HELLO_NS (HELLO_SECONDS * 1000000000ull)
#define ANSWER_SECONDS 90u /* another daemon may be making disks for the guest */
#define ANSWER_NS (ANSWER_SECONDS * 1000000000ull)
#define GRACE_SECONDS 10u /* more than that, and it is GnuTLS that does not come back */
/* A line over which nothing is acknowledged for so long is broken. */
#define SILENCE_MS 60000
#define ORDER_MAX (2 * PEER_LINE_MAX)

struct connection {
	struct peer_order order;
	char *pem;
	int socket;
	struct tls *tls;
	char host[PEER_HOST_MAX + 1]; /* the other side, for people */
};

/* The order */

static int read_order(struct connection *at, struct error *err)
{
	char *text = NULL, *pem;
	size_t size;
	json_t *json = NULL;
	int r = io_read_file(PEER_ORDER, ORDER_MAX, &text, &size);

	close(PEER_ORDER);
	pem = r ? NULL : strchr(text, '\n');
	if (!pem) {
		free(text);
		return error_set(err, EINVAL, "no order");
	}
	*pem++ = 0;
	at->pem = strdup(pem);
	json = json_parse(text, strlen(text), "the order", err);
	r = at->pem && json ? fields_read(peer_order_fields, json, &at->order, "", err) : -EINVAL;
	json_decref(json);
	free(text);
	return r;
}

/* The connection */

static int reach(const struct addrinfo *place, int *out)
{
	int fd = socket(place->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), code = 0;
	struct pollfd wait = {fd, POLLOUT, 0};
	socklen_t size = sizeof code;

	if (fd < 0)
		return -errno;
	if (connect(fd, place->ai_addr, place->ai_addrlen) && errno != EINPROGRESS)
		code = errno;
	else if (poll(&wait, 1, (int)(HELLO_NS / 1000000)) <= 0)
		code = ETIMEDOUT;
	else
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size);
	if (code)
		close(fd);
	else
		*out = fd;
	return -code;
}

/* A name server, or several addresses, that do not answer; or one who keeps GnuTLS busy. */
static void too_late(int signal)
{
	static const char text[] = "!it does not answer in time\n";

	_exit(write(PEER_CONTROL, text, sizeof text - 1) != sizeof text - 1);
}

static int dial(struct connection *at, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *places = NULL;
	char service[8];
	unsigned port;
	int r = peer_address_read(at->order.address, at->host, &port, err), code;

	if (r)
		return r;
	snprintf(service, sizeof service, "%u", port);
	alarm(CALL_SECONDS);
	code = getaddrinfo(at->host, service, &hints, &places);
	if (code)
		return error_set(err, EHOSTUNREACH, "%s", gai_strerror(code));
	r = -EHOSTUNREACH;
	for (const struct addrinfo *place = places; r && place; place = place->ai_next)
		r = reach(place, &at->socket);
	freeaddrinfo(places);
	alarm(0);
	return r ? error_set(err, -r, "port %s: %s%s", service, strerror(-r),
			   r == -ECONNREFUSED ? " (does its dachd listen? dachd(8))" : "")
		 : 0;
}

static void name_caller(struct connection *at)
{
	struct sockaddr_storage from;
	socklen_t size = sizeof from;

	if (getpeername(at->socket, (struct sockaddr *)&from, &size) ||
		getnameinfo((struct sockaddr *)&from, size, at->host, sizeof at->host, NULL, 0,
			NI_NUMERICHOST))
		strcpy(at->host, "?");
}

static void settle_socket(int fd)
{
	const int on = 1, silence = SILENCE_MS;
	static const char congestion[] = "bbr";

	/*
	 * Where the kernel has it: a line that loses a frame in a hundred stays full by it, and by those that take a loss for
	 * congestion it is nearly empty.
	 */
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, sizeof congestion - 1);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){SILENCE_MS / 4000}, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &(int){SILENCE_MS / 4000}, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence, sizeof silence);
}

/* The walls: it has two sockets and its key, and needs nothing else. */

static void peer_calls(void *ctx, struct calls *calls, unsigned roles)
{
	/* GnuTLS writes records in parts, and looks whose process it is before it takes a random number. */
	static const int own[] = {SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto),
		SCMP_SYS(sendmsg), SCMP_SYS(shutdown), SCMP_SYS(getrusage), SCMP_SYS(gettimeofday),
		SCMP_SYS(time), SCMP_SYS(getuid), SCMP_SYS(getppid), SCMP_SYS(alarm)};

	CALLS_ALLOW(calls, own);
	/* A host may have told GnuTLS to let the kernel do it, and does without. */
	calls_refuse(calls, SCMP_SYS(setsockopt), ENOPROTOOPT, NULL);
}

static int wall_in(const struct peer_order *order, struct error *err)
{
	const struct sandbox_lone lone = {.uid = LIMIT_UID_PEERS,
		.gid = LIMIT_UID_PEERS,
		.needed = order->walls};
	const struct sandbox sandbox = {.calls = peer_calls};
	unsigned walls;
	int r = sandbox_lone(&lone, &walls, err);

	return r ? r : sandbox_calls(CALLS_ALL, &sandbox, err);
}

/* Lines */

static bool is_known(const struct peer_order *order, const char *fingerprint)
{
	for (unsigned i = 0; i < order->knowns; i++)
		if (!strcmp(order->known[i], fingerprint))
			return true;
	return false;
}

static int tell(const char *line, size_t len)
{
	int r = io_write_all(PEER_CONTROL, line, len);

	return r ? r : io_write_all(PEER_CONTROL, "\n", 1);
}

/* We have called: it has to be the one that is meant. */
static int ask(struct connection *at, const char *fingerprint, uint64_t deadline, struct error *err)
{
	const struct peer_order *order = &at->order;
	char *line;
	size_t len;
	int r;

	if (strcmp(fingerprint, order->fingerprint))
		return error_set(err, EPROTO,
			"another certificate than the one that is known (%.16s..., not %.16s...): it is not that host, or has been made anew",
			fingerprint, order->fingerprint);
	r = tls_write(at->tls, order->ask, strlen(order->ask), deadline, err);
	if (!r)
		r = tls_write(at->tls, "\n", 1, deadline, err);
	if (!r)
		r = tls_read_line(at->tls, PEER_LINE_MAX, clock_now() + ANSWER_NS, &line, &len,
			err);
	alarm(0);
	if (r)
		return r;
	r = tell(line, len);
	free(line);
	return r;
}

/* The daemon's, with its newline; what it gives behind it stays there. */
static int read_answer(char **line, size_t *len)
{
	char *text = malloc(PEER_LINE_MAX + 1);
	ssize_t n = text ? 1 : -ENOMEM;

	for (*len = 0; n == 1 && *len <= PEER_LINE_MAX; ++*len) {
		n = io_read_all(PEER_CONTROL, text + *len, 1);
		if (n == 1 && text[*len] == '\n') {
			++*len;
			*line = text;
			return 0;
		}
	}
	free(text);
	return n < 0 ? (int)n : -EPIPE;
}

static int answer(struct connection *at, const char *fingerprint, uint64_t deadline,
	struct error *err)
{
	const bool known = is_known(&at->order, fingerprint);
	char *line, from[PEER_FINGERPRINT_LEN + PEER_HOST_MAX + 2];
	size_t len;
	int r = tls_read_line(at->tls, known ? PEER_LINE_MAX : PEER_STRANGER_MAX, deadline, &line,
		&len, err);

	alarm(0);
	if (r)
		return r;
	snprintf(from, sizeof from, "%s %s", fingerprint, at->host);
	r = tell(from, strlen(from));
	if (!r)
		r = tell(line, len);
	free(line);
	if (!r)
		r = read_answer(&line, &len);
	if (r)
		return error_set(err, -r, "its daemon: %s", strerror(-r));
	r = tls_write(at->tls, line, len, clock_now() + HELLO_NS, err);
	free(line);
	return r;
}

static int speak(struct connection *at, struct error *err)
{
	char fingerprint[PEER_FINGERPRINT_LEN + 1];
	uint64_t deadline;
	int r = read_order(at, err);

	if (!r && at->order.address)
		r = dial(at, err);
	else if (!r)
		name_caller(at);
	if (r)
		return r;
	settle_socket(at->socket);
	r = tls_create(at->socket, PEER_CONTROL, at->order.address, at->pem, &at->tls, err);
	if (!r)
		r = wall_in(&at->order, err);
	alarm(HELLO_SECONDS + (at->order.address ? ANSWER_SECONDS : 0) + GRACE_SECONDS);
	deadline = clock_now() + HELLO_NS;
	if (!r)
		r = tls_handshake(at->tls, deadline, fingerprint, err);
	if (r)
		return r;
	return at->order.address ? ask(at, fingerprint, deadline, err)
				 : answer(at, fingerprint, deadline, err);
}

/* What the daemon gives for it; nothing: the other side sees the end. */
static void carry(struct connection *at)
{
	struct pollfd wait = {PEER_CONTROL, POLLIN, 0};
	int line = -1;

	if (poll(&wait, 1, -1) == 1)
		descriptors_receive(PEER_CONTROL, &line, 1);
	close(PEER_CONTROL);
	tls_carry(at->tls, line);
}

int main(int argc, char **argv)
{
	struct connection at = {.socket = PEER_SOCKET};
	struct error err = {""};
	char said[sizeof err.text + PEER_HOST_MAX + 8];

	if (argc > 1 && !strcmp(argv[1], "--version")) {
		puts("dach-peer " DACH_VERSION);
		return 0;
	}
	if (argc > 1 || getsockopt(PEER_CONTROL, SOL_SOCKET, SO_TYPE, &(int){0}, &(socklen_t){4})) {
		puts("usage: dach-peer\n\nA connection with another host's daemon. dachd starts it.");
		return argc > 1 && !strcmp(argv[1], "--help") ? 0 : 1;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGALRM, too_late);
	if (speak(&at, &err)) {
		snprintf(said, sizeof said, "!%s%s%s", at.host, *at.host ? ": " : "", err.text);
		tell(said, strlen(said));
		return 1;
	}
	carry(&at);
	return 0;
}
