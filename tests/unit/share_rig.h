/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's side of a shared folder for tests: requests of FUSE, straight to the server. */
#ifndef DACH_TESTS_SHARE_RIG_H
#define DACH_TESTS_SHARE_RIG_H

#include <linux/fuse.h>
#include <stdint.h>
#include <string.h>

#include "share/message.h"
#include "share/server.h"

struct share_rig {
	struct share_server *server;
	uint64_t ask[SHARE_BYTES_MAX / 8], answer[SHARE_BYTES_MAX / 8 + 1];
	size_t len;  /* of the answer */
	size_t room; /* for it */
};

/* in: what is behind the header. The answer's error, 0 or a negative errno; 1: there was none. */
static inline int share_ask(struct share_rig *rig, uint32_t op, uint64_t node, const void *in,
	size_t size)
{
	struct fuse_in_header header = {.len = (uint32_t)(sizeof header + size),
		.opcode = op,
		.unique = 77,
		.nodeid = node};
	const struct fuse_out_header *out = (const struct fuse_out_header *)rig->answer;

	memcpy(rig->ask, &header, sizeof header);
	if (size)
		memcpy((char *)rig->ask + sizeof header, in, size);
	rig->len = share_server_answer(rig->server, rig->ask, header.len, rig->answer, rig->room);
	return rig->len ? out->error : 1;
}

static inline const void *share_out(const struct share_rig *rig)
{
	return (const char *)rig->answer + sizeof(struct fuse_out_header);
}

/* A fixed part, and up to two names behind it. */
static inline int share_ask_names(struct share_rig *rig, uint32_t op, uint64_t node,
	const void *fixed, size_t size, const char *name, const char *other)
{
	char in[2048];

	if (size)
		memcpy(in, fixed, size);
	strcpy(in + size, name);
	size += strlen(name) + 1;
	if (other) {
		strcpy(in + size, other);
		size += strlen(other) + 1;
	}
	return share_ask(rig, op, node, in, size);
}

static inline int share_begin(struct share_rig *rig)
{
	const struct fuse_init_in in = {.major = FUSE_KERNEL_VERSION,
		.minor = 36,
		.flags = ~0u,
		.max_readahead = 1 << 17};

	rig->room = SHARE_BYTES_MAX;
	return share_ask(rig, FUSE_INIT, 0, &in, sizeof in);
}

#endif
