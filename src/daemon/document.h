/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a monitor is given: the files that its guest's configuration names, opened as the guest's
 * owner may, and the document that tells what they are (src/vmm/document.h has the format).
 */
#ifndef DACH_DAEMON_DOCUMENT_H
#define DACH_DAEMON_DOCUMENT_H

#include "daemon/guest.h"

#define DOCUMENT_FIRST_FD 3 /* the document; the others follow */
#define DOCUMENT_DISKS_MAX 8
#define DOCUMENT_NETS_MAX 4
#define DOCUMENT_FILES_MAX (DOCUMENT_DISKS_MAX + 8)

struct document_files {
	int kernel, initrd, disk[DOCUMENT_DISKS_MAX];
	unsigned disks;
	int control, console, lock, status; /* launch.c's to open */
	int null, output;                   /* standard input, output and error */
	int document;
	unsigned user; /* whom the monitor becomes; 0: nobody else */
	/* After document_write(): all in the order of their numbers, from DOCUMENT_FIRST_FD. */
	int fd[DOCUMENT_FILES_MAX];
	unsigned count;
};

void document_files_init(struct document_files *files);
void document_files_close(struct document_files *files);
/* Kernel, initial ramdisk, disks. The sentence names the file. */
int document_open(const struct guest *guest, struct document_files *files, struct error *err);
/* The text, the caller's to free(); files->fd follows, its first place left for the document. */
int document_write(const struct guest *guest, struct document_files *files, char **text,
	struct error *err);

#endif
