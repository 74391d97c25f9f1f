/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A unified kernel image: an EFI program (PE Format, "MS-DOS Stub", "COFF File Header", "Section Table") that
 * has a kernel, its initrd and its command line in sections of their own. What the program is for is done
 * here: it is never run.
 */
#include <errno.h>
#include <string.h>

#include "machine/boot/boot.h"

#define MZ 0x5a4du
#define PE 0x4550u
#define PE_OFFSET 0x3cu /* where the PE header's offset stands */
#define PE_SECTION 40u  /* bytes of an entry in its table */
#define PE_SECTIONS_MAX 64u
#define AMD64 0x8664u

/* 0 beyond the head. */
static uint32_t get(const struct boot_image *image, uint32_t at, unsigned size)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size && at < image->head_size && i < image->head_size - at; i++)
		value |= (uint32_t)image->head[at + i] << (8 * i);
	return value;
}

/* What is in the section: not what fills up the file behind it. */
static struct boot_part part(const struct boot_image *image, uint32_t at)
{
	const uint32_t virtual_size = get(image, at + 8, 4), raw_size = get(image, at + 16, 4);

	return (struct boot_part){get(image, at + 20, 4),
		virtual_size && virtual_size < raw_size ? virtual_size : raw_size};
}

static bool inside(const struct boot_image *image, const struct boot_part *part)
{
	return part->start <= image->size && part->size <= image->size - part->start;
}

int boot_unified(struct boot_image *image, struct error *err)
{
	struct boot_part kernel = {0}, initrd = {0}, cmdline = {0};
	const struct {
		char name[8];
		struct boot_part *part;
	} wanted[] = {{".linux", &kernel}, {".initrd", &initrd}, {".cmdline", &cmdline}};
	const uint32_t pe = get(image, PE_OFFSET, 4), count = get(image, pe + 6, 2);
	uint32_t at = pe + 24 + get(image, pe + 20, 2);

	if (get(image, 0, 2) != MZ || pe > BOOT_HEAD_SIZE || get(image, pe, 4) != PE)
		return 0;
	for (unsigned i = 0; i < count && i < PE_SECTIONS_MAX; i++, at += PE_SECTION)
		for (unsigned k = 0; k < 3 && at + PE_SECTION <= image->head_size; k++)
			/* The first of each: what follows is for other choices of a menu. */
			if (!memcmp(image->head + at, wanted[k].name, 8) && !wanted[k].part->size)
				*wanted[k].part = part(image, at);
	if (!kernel.size)
		return 0;
	if (get(image, pe + 4, 2) != AMD64)
		return error_set(err, ENOEXEC,
			"%s: a unified kernel image for another kind of processor",
			image->file->name);
	if (!inside(image, &kernel) || !inside(image, &initrd) || !inside(image, &cmdline))
		return error_set(err, ENOEXEC, "%s: a unified kernel image that is truncated",
			image->file->name);
	image->initrd = initrd;
	image->cmdline = cmdline;
	image->start = kernel.start;
	image->size = kernel.size;
	image->head_size = kernel.size < BOOT_HEAD_SIZE ? kernel.size : BOOT_HEAD_SIZE;
	return boot_image_read(image, 0, image->head, image->head_size, err);
}
