/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <zlib.h>

#include "machine/boot/boot.h"

#define UNPACKED_MAX (512 * MIB)
#define CHUNK 65536u

static int damaged(const struct boot_image *image, struct error *err)
{
	return error_set(err, ENOEXEC, "%s: a gzip'd kernel that is damaged or truncated",
		image->file->name);
}

/* From the file to the mapping; size: how much has come. */
static int inflate_file(const struct boot_image *image, uint8_t *to, uint64_t room, uint64_t *size,
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
				       : damaged(image, err);
			at += z.avail_in;
		}
		if (!r)
			state = inflate(&z, Z_NO_FLUSH);
		if (!r && state == Z_OK && !z.avail_out)
			r = error_set(err, ENOMEM,
				"%s: unpacked, the kernel does not fit into the guest's %llu MiB of memory",
				image->file->name, (unsigned long long)(room / MIB));
	}
	*size = room - z.avail_out;
	inflateEnd(&z);
	return r || state == Z_STREAM_END ? r : damaged(image, err);
}

bool boot_is_gzip(const struct boot_image *image)
{
	return image->head_size > 2 && image->head[0] == 0x1f && image->head[1] == 0x8b;
}

int boot_unpack(struct boot_image *image, uint64_t memory, struct error *err)
{
	/* Only what is written to takes memory. */
	uint64_t room = memory < UNPACKED_MAX ? memory : UNPACKED_MAX, size;
	uint8_t *bytes = mmap(NULL, room, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int r;

	if (bytes == MAP_FAILED)
		return error_set(err, ENOMEM, "%s: no memory to unpack it", image->file->name);
	r = inflate_file(image, bytes, room, &size, err);
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
