/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "machine/boot/boot.h"

#define UNPACKED_MAX (512 * MIB)
#define PACKED_MAX (256 * MIB)
#define XZ_MEMORY (128 * MIB) /* its dictionary; kernels take 32 MiB of it at most */
#define CHUNK 65536u

/* Packed content: its first bytes, and from it to the mapping; size: how much has come. */
struct packing {
	size_t magic_size;
	const char *magic;
	int (*unpack)(const struct boot_image *image, uint8_t *to, uint64_t room, uint64_t *size,
		struct error *err);
};

static int damaged(const struct boot_image *image, const char *how, struct error *err)
{
	return error_set(err, ENOEXEC, "%s: a %s kernel that is damaged or truncated",
		image->file->name, how);
}

static int too_large(const struct boot_image *image, uint64_t room, struct error *err)
{
	return error_set(err, ENOMEM,
		"%s: unpacked, the kernel does not fit into the guest's %llu MiB of memory",
		image->file->name, (unsigned long long)(room / MIB));
}

static int unpack_gzip(const struct boot_image *image, uint8_t *to, uint64_t room, uint64_t *size,
	struct error *err)
{
	z_stream z = {.next_out = to, .avail_out = (uInt)room};
	uint8_t chunk[CHUNK];
	uint64_t at = 0;
	int state = Z_OK, r = 0;

	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return error_nomem(err);
	while (!r && state == Z_OK) {
		uint64_t left = image->size - at;

		if (!z.avail_in) {
			z.avail_in = (uInt)(left < CHUNK ? left : CHUNK);
			z.next_in = chunk;
			r = z.avail_in ? boot_file_read(image->file, at, chunk, z.avail_in, err)
				       : damaged(image, "gzip'd", err);
			at += z.avail_in;
		}
		if (!r)
			state = inflate(&z, Z_NO_FLUSH);
		if (!r && state == Z_OK && !z.avail_out)
			r = too_large(image, room, err);
	}
	*size = room - z.avail_out;
	inflateEnd(&z);
	return r || state == Z_STREAM_END ? r : damaged(image, "gzip'd", err);
}

/* The two below want the whole of it, and then need no window beside. */
static uint8_t *read_whole(const struct boot_image *image, struct error *err)
{
	uint8_t *bytes = image->size > PACKED_MAX ? NULL : malloc(image->size);

	if (!bytes)
		error_set(err, ENOMEM, "%s: no memory to unpack it", image->file->name);
	else if (!boot_file_read(image->file, 0, bytes, image->size, err))
		return bytes;
	free(bytes);
	return NULL;
}

static int unpack_zstd(const struct boot_image *image, uint8_t *to, uint64_t room, uint64_t *size,
	struct error *err)
{
	uint8_t *from = read_whole(image, err);
	size_t frame, got;

	if (!from)
		return -ENOMEM;
	/* One frame; what stands behind it is nothing. */
	frame = ZSTD_findFrameCompressedSize(from, image->size);
	got = ZSTD_isError(frame) ? frame : ZSTD_decompress(to, room, from, frame);
	free(from);
	if (ZSTD_getErrorCode(got) == ZSTD_error_dstSize_tooSmall)
		return too_large(image, room, err);
	if (ZSTD_isError(got))
		return damaged(image, "zstd-compressed", err);
	*size = got;
	return 0;
}

static int unpack_xz(const struct boot_image *image, uint8_t *to, uint64_t room, uint64_t *size,
	struct error *err)
{
	uint8_t *from = read_whole(image, err);
	lzma_stream xz = LZMA_STREAM_INIT;
	lzma_ret r;

	if (!from)
		return -ENOMEM;
	xz.next_in = from;
	xz.avail_in = image->size;
	xz.next_out = to;
	xz.avail_out = room;
	r = lzma_stream_decoder(&xz, XZ_MEMORY, 0);
	if (r == LZMA_OK)
		r = lzma_code(&xz, LZMA_FINISH);
	*size = room - xz.avail_out;
	lzma_end(&xz);
	free(from);
	if (r == LZMA_STREAM_END)
		return 0;
	return xz.avail_out ? damaged(image, "xz-compressed", err) : too_large(image, room, err);
}

static const struct packing packings[] = {
	{2, "\x1f\x8b", unpack_gzip},
	{4, "\x28\xb5\x2f\xfd", unpack_zstd},
	{6, "\xfd\x37zXZ", unpack_xz},
};

static const struct packing *packing_of(const struct boot_image *image)
{
	for (size_t i = 0; i < sizeof packings / sizeof *packings; i++)
		if (image->head_size > packings[i].magic_size &&
			!memcmp(image->head, packings[i].magic, packings[i].magic_size))
			return &packings[i];
	return NULL;
}

int boot_unpack(struct boot_image *image, uint64_t memory, struct error *err)
{
	const struct packing *packing = packing_of(image);
	/* Only what is written to takes memory. */
	uint64_t room = memory < UNPACKED_MAX ? memory : UNPACKED_MAX, size;
	uint8_t *bytes;
	int r;

	if (!packing)
		return 0;
	bytes = mmap(NULL, room, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (bytes == MAP_FAILED)
		return error_set(err, ENOMEM, "%s: no memory to unpack it", image->file->name);
	r = packing->unpack(image, bytes, room, &size, err);
	if (!r && !size)
		r = error_set(err, EINVAL, "%s: is empty when it is unpacked", image->file->name);
	if (r) {
		munmap(bytes, room);
		return r;
	}
	image->unpacked = bytes;
	image->unpacked_room = room;
	image->size = size;
	image->head_size = size < BOOT_HEAD_SIZE ? size : BOOT_HEAD_SIZE;
	memcpy(image->head, bytes, image->head_size);
	return 0;
}

void boot_image_free(struct boot_image *image)
{
	if (image->unpacked)
		munmap(image->unpacked, image->unpacked_room);
	image->unpacked = NULL;
}
