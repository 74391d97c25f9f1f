/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of the NBD protocol (NetworkBlockDevice/nbd, doc/proto.md): the fixed newstyle handshake, structured
 * replies, block status. All numbers on the wire are big-endian.
 */
#ifndef DACH_NBD_NBD_H
#define DACH_NBD_NBD_H

#define NBD_MAGIC 0x4e42444d41474943ull        /* "NBDMAGIC" */
#define NBD_OPTION_MAGIC 0x49484156454f5054ull /* "IHAVEOPT" */
#define NBD_REPLY_MAGIC 0x0003e889045565a9ull  /* of options */
#define NBD_REQUEST_MAGIC 0x25609513u
#define NBD_SIMPLE_MAGIC 0x67446698u
#define NBD_CHUNK_MAGIC 0x668e33efu

/* Handshake flags, the server's and the client's */
#define NBD_FIXED_NEWSTYLE 1u
#define NBD_NO_ZEROES 2u

enum nbd_option {
	NBD_OPT_EXPORT_NAME = 1,
	NBD_OPT_ABORT = 2,
	NBD_OPT_LIST = 3,
	NBD_OPT_STARTTLS = 5,
	NBD_OPT_INFO = 6,
	NBD_OPT_GO = 7,
	NBD_OPT_STRUCTURED_REPLY = 8,
	NBD_OPT_LIST_META_CONTEXT = 9,
	NBD_OPT_SET_META_CONTEXT = 10,
};

#define NBD_REP_ACK 1u
#define NBD_REP_SERVER 2u
#define NBD_REP_INFO 3u
#define NBD_REP_META_CONTEXT 4u
#define NBD_REP_ERR_UNSUP 0x80000001u
#define NBD_REP_ERR_POLICY 0x80000002u
#define NBD_REP_ERR_INVALID 0x80000003u
#define NBD_REP_ERR_TLS_REQD 0x80000005u
#define NBD_REP_ERR_UNKNOWN 0x80000006u
#define NBD_REP_ERR_BLOCK_SIZE_REQD 0x80000008u
#define NBD_REP_ERR_TOO_BIG 0x80000009u

#define NBD_INFO_EXPORT 0u
#define NBD_INFO_BLOCK_SIZE 3u

/* Transmission flags */
#define NBD_HAS_FLAGS 1u
#define NBD_READ_ONLY 2u
#define NBD_SEND_FLUSH 4u
#define NBD_SEND_FUA 8u
#define NBD_SEND_TRIM 32u
#define NBD_SEND_WRITE_ZEROES 64u
#define NBD_SEND_DF 128u
#define NBD_CAN_MULTI_CONN 256u

enum nbd_command {
	NBD_CMD_READ,
	NBD_CMD_WRITE,
	NBD_CMD_DISC,
	NBD_CMD_FLUSH,
	NBD_CMD_TRIM,
	NBD_CMD_CACHE,
	NBD_CMD_WRITE_ZEROES,
	NBD_CMD_BLOCK_STATUS,
};

#define NBD_FLAG_FUA 1u /* it is stable when it is done */
#define NBD_FLAG_NO_HOLE 2u
#define NBD_FLAG_DF 4u
#define NBD_FLAG_REQ_ONE 8u

#define NBD_CHUNK_DONE 1u
#define NBD_CHUNK_NONE 0u
#define NBD_CHUNK_DATA 1u
#define NBD_CHUNK_HOLE 2u
#define NBD_CHUNK_STATUS 5u
#define NBD_CHUNK_ERROR 0x8001u

/* Of base:allocation */
#define NBD_STATE_HOLE 1u
#define NBD_STATE_ZERO 2u
/* Of QEMU's qemu:dirty-bitmap:NAME (docs/interop/nbd there) */
#define NBD_STATE_DIRTY 1u

#define NBD_EPERM 1u
#define NBD_EIO 5u
#define NBD_EINVAL 22u
#define NBD_ENOSPC 28u
#define NBD_EOVERFLOW 75u

#define NBD_LENGTH_MAX (32u << 20) /* of a request's data: what clients may count on */

#endif
