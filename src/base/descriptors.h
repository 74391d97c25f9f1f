/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that go from one process to another, over a Unix socket of messages (SOCK_SEQPACKET): unix(7), SCM_RIGHTS. */
#ifndef DACH_BASE_DESCRIPTORS_H
#define DACH_BASE_DESCRIPTORS_H

#define DESCRIPTORS_MAX 64u

/* All of them (at most DESCRIPTORS_MAX) in one message; they stay the caller's. Does not wait. 0 or a negative errno. */
int descriptors_send(int socket, const int *fd, unsigned count);
/*
 * One such message, which has come already: how many are in it, at most room, and the caller's; or a negative errno,
 * -EPROTO where it is none. Whatever they are is to be looked at: they may be anything.
 */
int descriptors_receive(int socket, int *fd, unsigned room);

#endif
