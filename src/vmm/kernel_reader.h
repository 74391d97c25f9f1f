/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel on the guest's first disk (bootdisk/bootdisk.h), read by a process that can do nothing
 * else: no files, no sockets, no rights, a list of system calls of its own, and memory that is not the
 * monitor's. So a disk that takes over the library that reads it has taken over nothing. It gives two
 * sealed files in memory, and is asked again for each start of the guest, since the guest may have
 * installed another kernel. It has a limited time for an answer, of a processor for all of them, and
 * ends with the monitor.
 */
#ifndef DACH_VMM_KERNEL_READER_H
#define DACH_VMM_KERNEL_READER_H

#include <sys/types.h>

#include "base/error.h"
#include "monitor/monitor.h"
#include "vmm/config.h"

struct bootdisk_saved;
struct machine_file;
struct kernel_reader;

/* Starts it, before there is any other thread; reads nothing. */
int kernel_reader_create(const struct vmm_config *config, struct guest_monitor *monitor,
	struct kernel_reader **reader, struct error *err);
/* Ends it, and waits until it is gone; files and strings go with it. NULL is allowed. */
void kernel_reader_destroy(struct kernel_reader *reader);
/* The process, for who lists what this one may call (vmm_needs.reader); 0: there is none. */
pid_t kernel_reader_pid(const struct kernel_reader *reader);

/*
 * Within some 30 seconds. What to start now: files (initrd's descriptor -1: there is none) and a command line that the reader
 * owns, and changes the next time. The configuration's own command line and initial ramdisk follow
 * the disk's.
 */
int kernel_reader_read(struct kernel_reader *reader, struct machine_file *kernel,
	struct machine_file *initrd, const char **cmdline, struct error *err);
/*
 * What the disk's boot loader would have written to the disk when it started that kernel (GRUB: that an
 * entry for one start alone has had it): the caller's to write there. size is 0 for nothing, and always
 * for a disk that the guest may not write to.
 */
const struct bootdisk_saved *kernel_reader_saved(const struct kernel_reader *reader);
/* They have been loaded: both files are closed. */
void kernel_reader_drop(struct kernel_reader *reader);

#endif
