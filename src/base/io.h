/* SPDX-License-Identifier: Apache-2.0 */
/* Reading whole files. */
#ifndef DACH_BASE_IO_H
#define DACH_BASE_IO_H

#include <sys/types.h>

/*
 * Reads from the descriptor's offset until size bytes are there or the file ends, however few a single
 * read() gives. Returns how many, or a negative errno.
 */
ssize_t io_read(int fd, void *to, size_t size);

#endif
