/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole reads and writes: they go on after a signal and after a part, until all is done. A descriptor
 * that does not block at once is waited for. Any thread.
 */
#ifndef DACH_BASE_IO_H
#define DACH_BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Read from the descriptor's position, or from offset, until size bytes are there or the file ends.
 * Return how many, or a negative errno.
 */
ssize_t io_read_all(int fd, void *to, size_t size);
ssize_t io_pread_all(int fd, void *to, size_t size, uint64_t offset);

/* Write all of it at the descriptor's position, or at offset. 0 or a negative errno. */
int io_write_all(int fd, const void *from, size_t size);
int io_pwrite_all(int fd, const void *from, size_t size, uint64_t offset);

/*
 * At a program's start: standard streams that are closed become ones that are empty and take nothing, or the files that
 * are opened next would be them. Where that cannot be done, there is no file to be opened either.
 */
void io_hold_streams(void);

/*
 * Reads from the descriptor's position to the end of the file, which need not have a size (/proc, a
 * pipe). *text is the caller's to free() and has a zero behind its *size bytes. -EFBIG: there are more
 * than max; *text is NULL after each failure.
 */
int io_read_file(int fd, size_t max, char **text, size_t *size);

#endif
