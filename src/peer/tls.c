/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "peer/identity.h"
#include "peer/pack.h"

/* Only what both sides have: they are of one kind. */
#define CIPHERS \
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305"
#define RECORD (16u << 10)

struct tls {
	gnutls_session_t session;
	gnutls_certificate_credentials_t own;
	int socket, owner;
	/* What has come, and nobody has taken. */
	size_t from, to;
	char came[RECORD];
};

static int broken(int code, struct error *err)
{
	if (code == GNUTLS_E_CERTIFICATE_REQUIRED || code == GNUTLS_E_NO_CERTIFICATE_FOUND)
		return error_set(err, EPROTO, "it has no certificate");
	if (code == GNUTLS_E_PREMATURE_TERMINATION || code == GNUTLS_E_PULL_ERROR ||
		code == GNUTLS_E_PUSH_ERROR)
		return error_set(err, EPROTO, "it has ended the connection");
	return error_set(err, EPROTO, "no TLS as hosts speak it with each other: %s",
		gnutls_strerror(code));
}

static bool again(int code)
{
	return code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED;
}

/* One that always has something more to say does not get more time. */
static int in_time(uint64_t deadline, struct error *err)
{
	return clock_now() < deadline ? 0 : error_set(err, ETIMEDOUT, "it does not answer in time");
}

/* Until the session can go on. */
static int wait_for(struct tls *tls, uint64_t deadline, struct error *err)
{
	const uint64_t now = clock_now();
	struct pollfd wait[] =
		{{tls->socket, gnutls_record_get_direction(tls->session) ? POLLOUT : POLLIN, 0},
			{tls->owner, 0, 0}};
	int n = now < deadline ? poll(wait, 2, (int)((deadline - now) / 1000000) + 1) : 0;

	if (n > 0 && wait[1].revents)
		return error_set(err, ECANCELED, "it is not waited for any more");
	if (n < 0 && errno != EINTR)
		return error_set(err, errno, "poll: %s", strerror(errno));
	return n ? 0 : in_time(deadline, err);
}

int tls_create(int socket, int owner, bool caller, const char *pem, struct tls **out,
	struct error *err)
{
	const gnutls_datum_t text = {(unsigned char *)(uintptr_t)pem, (unsigned)strlen(pem)};
	struct tls *tls = calloc(1, sizeof *tls);
	int r = tls ? gnutls_certificate_allocate_credentials(&tls->own) : GNUTLS_E_MEMORY_ERROR;

	if (!r)
		r = gnutls_certificate_set_x509_key_mem(tls->own, &text, &text,
			GNUTLS_X509_FMT_PEM);
	if (!r)
		r = gnutls_init(&tls->session,
			(caller ? GNUTLS_CLIENT : GNUTLS_SERVER) | GNUTLS_NONBLOCK |
				GNUTLS_NO_TICKETS | GNUTLS_NO_SIGNAL);
	if (!r)
		r = gnutls_priority_set_direct(tls->session, CIPHERS, NULL);
	if (!r)
		r = gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->own);
	if (r) {
		tls_destroy(tls);
		return error_set(err, EINVAL, "this host's key: %s", gnutls_strerror(r));
	}
	if (!caller)
		gnutls_certificate_server_set_request(tls->session, GNUTLS_CERT_REQUIRE);
	tls->socket = socket;
	tls->owner = owner;
	fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
	gnutls_transport_set_int(tls->session, socket);
	*out = tls;
	return 0;
}

void tls_destroy(struct tls *tls)
{
	if (!tls)
		return;
	if (tls->session)
		gnutls_deinit(tls->session);
	if (tls->own)
		gnutls_certificate_free_credentials(tls->own);
	free(tls);
}

int tls_handshake(struct tls *tls, uint64_t deadline, char fingerprint[PEER_FINGERPRINT_LEN + 1],
	struct error *err)
{
	const gnutls_datum_t *chain;
	unsigned count = 0;
	int code, r = 0;

	do {
		code = gnutls_handshake(tls->session);
		if (again(code))
			r = wait_for(tls, deadline, err);
		else if (code < 0 && gnutls_error_is_fatal(code))
			r = broken(code, err);
		if (!r)
			r = in_time(deadline, err);
	} while (code < 0 && !r);
	if (r)
		return r;
	chain = gnutls_certificate_get_peers(tls->session, &count);
	if (!chain || !count || identity_fingerprint_of(chain->data, chain->size, fingerprint))
		return error_set(err, EPROTO, "it has no certificate");
	return 0;
}

int tls_write(struct tls *tls, const void *data, size_t len, uint64_t deadline, struct error *err)
{
	const char *at = data;
	int r = 0;

	while (len && !r) {
		ssize_t n = gnutls_record_send(tls->session, at, len);

		if (n > 0) {
			at += n;
			len -= (size_t)n;
		} else {
			r = again((int)n) ? wait_for(tls, deadline, err) : broken((int)n, err);
		}
		if (!r && len)
			r = in_time(deadline, err);
	}
	return r;
}

/* More of what comes, where nothing waits: how many bytes, 0 at its end; negative: of GnuTLS. */
static int receive(struct tls *tls)
{
	ssize_t n = gnutls_record_recv(tls->session, tls->came, sizeof tls->came);

	tls->from = 0;
	tls->to = n > 0 ? (size_t)n : 0;
	return (int)n;
}

int tls_read_line(struct tls *tls, size_t max, uint64_t deadline, char **line, size_t *len,
	struct error *err)
{
	char *text = malloc(max + 1);
	int r = text ? 0 : error_nomem(err);

	*len = 0;
	while (!r) {
		if (tls->from == tls->to) {
			int n;

			r = in_time(deadline, err);
			if (r)
				break;
			n = receive(tls);
			if (again(n))
				r = wait_for(tls, deadline, err);
			else if (n <= 0)
				r = broken(n ? n : GNUTLS_E_PREMATURE_TERMINATION, err);
			continue;
		}
		text[*len] = tls->came[tls->from++];
		if (text[*len] == '\n')
			break;
		if (++*len > max)
			r = error_set(err, EPROTO, "what it says is too long");
	}
	if (r) {
		free(text);
		return r;
	}
	text[*len] = 0;
	*line = text;
	return 0;
}

/* Carrying */

struct carriage {
	struct tls *tls;
	int line;
	struct pieces *pieces;
	bool ending;               /* the line has ended, which is to be passed on */
	bool away_over, here_over; /* from the line; to it */
	bool line_full, tls_wants; /* it takes no more now; it waits for its socket */
	/* What goes away, of a piece. */
	const uint8_t *away;
	size_t away_left;
	/* What comes: a piece as far as it is here, and of what was in it what has not gone to the line. */
	size_t came;
	const uint8_t *here;
	size_t here_left;
	uint8_t out[PACK_HEAD + PACK_PIECE], in[PACK_HEAD + PACK_PIECE];
};

/* From the line into TLS. Whether anything went. */
static bool go_away(struct carriage *at)
{
	ssize_t n;

	if (at->away_over)
		return false;
	if (!at->away_left && !at->ending) {
		n = read(at->line, at->out + PACK_HEAD, PACK_PIECE);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return false;
		at->ending = n <= 0;
		if (n > 0)
			at->away_left =
				pieces_pack(at->pieces, at->out, (size_t)n, clock_now(), &at->away);
	}
	if (at->ending) {
		n = gnutls_bye(at->tls->session, GNUTLS_SHUT_WR);
		at->tls_wants = again((int)n);
		at->away_over = !at->tls_wants;
		return at->away_over;
	}
	n = gnutls_record_send(at->tls->session, at->away, at->away_left);
	at->tls_wants = again((int)n);
	if (n > 0) {
		at->away += n;
		at->away_left -= (size_t)n;
	} else if (!at->tls_wants) {
		at->away_over = at->here_over = true;
	}
	return !at->tls_wants;
}

/* More of the piece that comes; whether it is whole, and unpacked, or why not. */
static int gather(struct carriage *at)
{
	struct tls *tls = at->tls;
	size_t stored = 0, len = 0, wanted = PACK_HEAD, part;

	if (at->came >= PACK_HEAD) {
		if (pieces_read_head(at->in, &stored, &len))
			return -EPROTO;
		wanted += stored;
	}
	part = wanted - at->came < tls->to - tls->from ? wanted - at->came : tls->to - tls->from;
	memcpy(at->in + at->came, tls->came + tls->from, part);
	tls->from += part;
	at->came += part;
	if (at->came < wanted || !stored)
		return 0;
	at->came = 0;
	at->here_left = len;
	return pieces_unpack(at->pieces, at->in + PACK_HEAD, stored, len, &at->here);
}

/* The line takes nothing any more: that is the end of both ways. */
static bool put_here(struct carriage *at)
{
	ssize_t n = send(at->line, at->here, at->here_left, MSG_NOSIGNAL);

	at->line_full = n < 0 && (errno == EAGAIN || errno == EINTR);
	if (n > 0) {
		at->here += n;
		at->here_left -= (size_t)n;
	} else if (!at->line_full) {
		at->away_over = at->here_over = true;
	}
	return !at->line_full;
}

static bool come_here(struct carriage *at)
{
	struct tls *tls = at->tls;
	int came;

	if (at->here_over)
		return false;
	if (at->here_left)
		return put_here(at);
	if (tls->from == tls->to) {
		came = receive(tls);
		if (again(came) || (came < 0 && !gnutls_error_is_fatal(came)))
			return false;
		if (came <= 0) {
			shutdown(at->line, SHUT_WR);
			at->here_over = true;
			/* A line that broke takes nothing either. */
			at->away_over |= came < 0;
			return true;
		}
	}
	if (gather(at))
		at->away_over = at->here_over = true;
	return true;
}

/* What there is to wait for when neither direction goes on. */
static void await(const struct carriage *at)
{
	struct pollfd wait[] = {{at->tls->socket, 0, 0}, {at->line, 0, 0}};

	if (!at->here_over && !at->line_full)
		wait[0].events |= POLLIN;
	if (at->tls_wants)
		wait[0].events |= POLLOUT;
	if (!at->away_over && !at->tls_wants) {
		wait[1].events |= POLLIN;
		pieces_starves(at->pieces, clock_now());
	}
	if (at->line_full)
		wait[1].events |= POLLOUT;
	/* One that is not waited for would tell its hang-up again and again. */
	for (unsigned i = 0; i < 2; i++)
		if (!wait[i].events)
			wait[i].fd = -1;
	poll(wait, 2, -1);
}

void tls_carry(struct tls *tls, int line)
{
	struct carriage *at = line < 0 ? NULL : calloc(1, sizeof *at);

	if (at)
		at->pieces = pieces_create();
	if (!at || !at->pieces) {
		free(at);
		gnutls_bye(tls->session, GNUTLS_SHUT_WR);
		return;
	}
	at->tls = tls;
	at->line = line;
	fcntl(line, F_SETFL, fcntl(line, F_GETFL) | O_NONBLOCK);
	while (!at->away_over || !at->here_over) {
		const bool away = go_away(at), here = come_here(at);

		if (!away && !here && (!at->away_over || !at->here_over))
			await(at);
	}
	pieces_destroy(at->pieces);
	free(at);
}
