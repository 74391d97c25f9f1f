/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection with another host's daemon, as a dach-peer that this daemon starts: TLS and what comes over it are read there
 * (protocol/peer.h). The daemon hears of a question or an answer, and never waits. What is carried afterwards goes on without the
 * daemon.
 */
#ifndef DACH_DAEMON_PEER_LINE_H
#define DACH_DAEMON_PEER_LINE_H

#include <jansson.h>

#include "base/error.h"

struct daemon;
struct peer_line;

/*
 * The answer to a call: r as of peer_answer_read(), or -EPIPE and the like: no such host was reached. Where r is 0, line is to be given
 * to peer_line_carry() or peer_line_end(), now or later; answer is the line's.
 */
typedef void peer_line_done(void *ctx, struct peer_line *line, int r, const json_t *answer,
	const char *text);
/*
 * Calls the one who has this certificate, and asks (ask is taken). done is called once, later; or, at the daemon's end, not. A failure
 * here: nobody is called.
 */
int peer_line_call(struct daemon *daemon, const char *address, const char *fingerprint, json_t *ask,
	peer_line_done *done, void *ctx, struct error *err);
/* One who has called; socket is taken. Too many who have not said yet who they are: the oldest of those from where most of them call is ended. */
void peer_line_take(struct daemon *daemon, int socket);

struct daemon *peer_line_daemon(const struct peer_line *line);
/* Answers what was asked (taken); fd: what is carried then (taken), or -1: nothing. The line is gone afterwards. */
void peer_line_answer(struct peer_line *line, json_t *answer, int fd);
/* fd is taken, and the line is gone. */
void peer_line_carry(struct peer_line *line, int fd);
void peer_line_end(struct peer_line *line);
/* All of them, and nobody is told. */
void peer_lines_end(struct daemon *daemon);

#endif
