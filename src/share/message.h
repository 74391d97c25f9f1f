/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a virtio-fs device and the process that serves its folder say to each other, over a socket that keeps messages
 * apart (SOCK_SEQPACKET): each way a struct share_message, behind which a request or an answer of FUSE is
 * (linux/fuse.h). Neither trusts the other.
 */
#ifndef DACH_SHARE_MESSAGE_H
#define DACH_SHARE_MESSAGE_H

#include <stdint.h>

#define SHARE_DATA_MAX (128u << 10) /* bytes of a file that one request reads or writes */
/* Of a request or an answer: those, FUSE's headers, and names. */
#define SHARE_BYTES_MAX (SHARE_DATA_MAX + 4096u)

struct share_message {
	uint32_t tag; /* of a request; its answer has the same */
	/* Of a request: the answer's bytes at most; 0: none is wanted, else there is one, of 16 or more. Else 0. */
	uint32_t room;
};

#endif
