/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel that a guest's own disk would start, as pygrub takes it from there: the disk is one
 * file system or has partitions (MBR or GPT); on the first partition that has one (active ones
 * first) a boot loader's configuration names kernel, initial ramdisk and command line (menu.h), which
 * may be on another partition:
 *
 *   /boot/grub/grub.cfg, /grub/grub.cfg, the same below grub2/
 *   /boot/grub/menu.lst, /boot/grub/grub.conf, the same below /grub
 *   /loader/entries, /boot/loader/entries
 *   extlinux.conf in /boot/extlinux, /boot, /extlinux or /; syslinux.cfg likewise
 *
 * and where none is on any of them, what newest.h finds is taken, with root= for the file system that
 * has a system on it.
 *
 * The disk is the guest's: nothing in it is trusted, and everything has a bound. ext4 and its
 * elders are left to libext2fs, which is a lot of code: who calls this is to be a process with nothing to lose
 * (vmm/kernel_reader.h).
 */
#ifndef DACH_BOOTDISK_BOOTDISK_H
#define DACH_BOOTDISK_BOOTDISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "bootdisk/partition.h"

#define BOOTDISK_FILE_MAX (512ull << 20) /* kernel, ramdisk: bytes */
#define BOOTDISK_PATH_MAX 1024u
#define BOOTDISK_CMDLINE_MAX 4096u

/* What a boot loader would write to the disk when it starts the kernel, at that place of the disk. */
#define BOOTDISK_SAVED_MAX 1024u
struct bootdisk_saved {
	uint64_t offset;
	uint32_t size; /* bytes; 0: nothing. Both are multiples of 512. */
	uint8_t bytes[BOOTDISK_SAVED_MAX];
};

struct bootdisk_found {
	char kernel[BOOTDISK_PATH_MAX]; /* their paths on the disk, for messages */
	char ramdisk[BOOTDISK_PATH_MAX];
	char cmdline[BOOTDISK_CMDLINE_MAX];
	uint64_t ramdisk_size; /* bytes; 0: there is none */
	struct bootdisk_saved saved;
};

/*
 * disk: only read; its name begins every sentence. The kernel
 * becomes what the file kernel holds, the ramdisk what ramdisk holds (several, one behind the other);
 * neither larger than max bytes, which BOOTDISK_FILE_MAX bounds in turn. After a failure
 * both files hold anything.
 *
 * writable: the caller writes found->saved to the disk before the kernel runs. Without, an entry for the
 * next start alone, which would have to be cleared so, does not count.
 */
int bootdisk_load(const struct disk_bytes *disk, const char *name, bool writable, uint64_t max,
	int kernel, int ramdisk, struct bootdisk_found *found, struct error *err);

#endif
