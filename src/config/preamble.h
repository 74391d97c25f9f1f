/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Python at the beginning of Xen 3's stock example for HVM guests, which stands in many files since.
 * All that it does is to set arch_libdir.
 */
#ifndef DACH_CONFIG_PREAMBLE_H
#define DACH_CONFIG_PREAMBLE_H

#include <stddef.h>

#define PREAMBLE_KEY "arch_libdir"
#define PREAMBLE_VALUE "lib64" /* on this processor */

/* If text begins with these lines: how many there are, without the last one's end. 0: it does not. */
unsigned preamble_lines(const char *text, size_t size);

#endif
