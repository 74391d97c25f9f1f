/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as text (RFC 4648, section 4). */
#ifndef DACH_BASE_BASE64_H
#define DACH_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* The caller's to free(). NULL: out of memory. */
char *base64_write(const void *bytes, size_t size);
/*
 * All of it, in *bytes (the caller's to free()) and *size. -EINVAL: it is none: no other characters, whole groups of four,
 * padding only at the end; -ENOMEM.
 */
int base64_read(const char *text, size_t len, uint8_t **bytes, size_t *size);

#endif
