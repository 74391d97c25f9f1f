/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent in a guest and its monitor say to each other, over a port of a virtio console
 * (AGENT_PORT): frames, each a header and its payload. Numbers are little-endian, as both are.
 *
 * A session is one command with its streams; the monitor numbers them from 1, and session 0 is the
 * guest itself. Bytes of a stream are sent only as far as the other side has given room for them
 * (AGENT_CREDIT); at first AGENT_WINDOW. Neither side trusts the other: a frame that breaks a rule ends
 * the conversation.
 */
#ifndef DACH_PROTOCOL_AGENT_H
#define DACH_PROTOCOL_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AGENT_PORT "dach.agent.0"
#define AGENT_VERSION 2u
/* As which the kernel starts it: alone, as the guest's only system, or beside the system's own. */
#define AGENT_ALONE "/dach-alone"
#define AGENT_BESIDE "/dach-agent"
/*
 * Or as which a container's keeper starts it there, for one command: who wants it has the other end of this descriptor, and
 * speaks as the monitor does, of session 1; AGENT_READY tells him when the command begins.
 */
#define AGENT_WITHIN "/dach-within"
#define AGENT_CALLER 3
/*
 * Or as a container's first process, where it has no init of its own: its words are then what it is started by, this, a user, a folder
 * and the command (agent/init.c).
 */
#define AGENT_INIT "/dach-init"
/* Or as which somebody starts it in a system that runs, from a file of this name: beside it, too. */
#define AGENT_SENT "/dach-sent"
#define AGENT_SESSIONS 16u
#define AGENT_WINDOW (256u << 10) /* bytes of a stream that may be on the way */
#define AGENT_DATA_MAX (32u << 10)
#define AGENT_OPEN_MAX (1u << 20) /* bytes of a command, its environment and all */

enum agent_frame_type {
	/* From the monitor */
	AGENT_OPEN = 1, /* struct agent_open: begins the session */
	AGENT_SIGNAL,   /* u32: a signal for the command and its process group */
	AGENT_RESIZE,   /* u16 columns, u16 rows: of its terminal */
	AGENT_CLOSE, /* nobody waits for the command any more: it is hung up on, and killed when that is not enough */
	AGENT_POWEROFF, /* session 0: everything ends, file systems are written, the guest is off */
	/* From both */
	AGENT_DATA,   /* bytes of a stream */
	AGENT_EOF,    /* no more of them */
	AGENT_CREDIT, /* u32: room for so many more */
	/* From the agent */
	AGENT_HELLO, /* session 0, u32 AGENT_VERSION: it is there, and knows of no session */
	AGENT_READY, /* session 0: the root is there, commands may come */
	AGENT_EXIT, /* u32: the exit status; 128 and the signal that ended it. The session is over, also a closed one */
	AGENT_FAILED, /* u32: status, then a sentence. The session is over; session 0: the guest cannot go on */
	/* From the monitor: session 0, struct agent_mount: before the first command, and beside a system after each AGENT_HELLO */
	AGENT_MOUNT,
	/* From the monitor: session 0, u64 ns since 1970: what time it is, for one that is alone and has said AGENT_READY */
	AGENT_TIME,
	AGENT_TYPES,
};

enum agent_stream { AGENT_STDIN, AGENT_STDOUT, AGENT_STDERR, AGENT_STREAMS };

/* What a shell says of a command that cannot be run, and that is not there. */
#define AGENT_STATUS_NOT_RUN 126u
#define AGENT_STATUS_NOT_FOUND 127u

struct agent_header {
	uint32_t length; /* bytes of payload that follow */
	uint16_t session;
	uint8_t type;   /* enum agent_frame_type */
	uint8_t stream; /* DATA, EOF, CREDIT; else 0 */
};

/* No payload of this type is longer; 0: there is no such type, or no stream of it. */
bool agent_header_valid(const struct agent_header *header, bool from_monitor);

/* What a session is. */
enum agent_what {
	AGENT_COMMAND,
	AGENT_SHELL, /* the user's own, as a login has it; argv is empty */
	AGENT_PACK,  /* its output is what lies at argv[0], as pack/pack.h has it */
	/* Its input is, for argv[0]: there as argv[1] where that is a folder; argv[2] "owners": with those. */
	AGENT_UNPACK,
	AGENT_WHATS,
};

/* A command. Pointers are the caller's, or into the payload that was read. */
struct agent_open {
	enum agent_what what;
	bool terminal; /* on one, of this size; its output is all AGENT_STDOUT */
	uint16_t columns, rows;
	const char *user;        /* a name or number; "": root */
	const char *folder;      /* where it runs; "": the user's own */
	const char *const *argv; /* ends with NULL */
	const char *const *env;  /* NAME=VALUE, on top of the usual; ends with NULL */
};

/* The payload, the caller's to free(). NULL: out of memory, or longer than AGENT_OPEN_MAX (*size is 0). */
char *agent_open_write(const struct agent_open *open, size_t *size);
/*
 * payload ends with a zero, which counts, or is refused. words: the caller's to free(), holds argv and env.
 * false: it is none.
 */
bool agent_open_read(const char *payload, size_t size, struct agent_open *open,
	const char ***words);

/* A folder of the host's that the guest is to mount. Strings as above. */
struct agent_mount {
	bool read_only;
	bool overlay;     /* what the guest writes stays in its memory */
	const char *tag;  /* of the virtio-fs device (virtio 1.2, 5.11.4): no '/' and no comma */
	const char *path; /* absolute; what is missing of it is made */
};
#define AGENT_MOUNT_MAX 2048u /* bytes */
#define AGENT_TAG_MAX 36u

/* As agent_open_write(), and agent_open_read(). */
char *agent_mount_write(const struct agent_mount *mount, size_t *size);
bool agent_mount_read(const char *payload, size_t size, struct agent_mount *mount);

#endif
