/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers that gdb sees, in the order of its 'g' packet, and the target
 * description that says so (gdb manual, appendix G; the amd64 core, SSE and
 * segment features, and one of our own for the system registers).
 */
#ifndef DACH_DEBUG_REGISTERS_H
#define DACH_DEBUG_REGISTERS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cpu/state.h"

#define REGISTER_MAX 16 /* bytes of the widest register */

unsigned registers_count(void);
/* Bytes of register n; 0 if there is no such register. */
unsigned registers_size(unsigned n);
/* Little-endian. buf has REGISTER_MAX bytes. */
void registers_read(const struct cpu_state *state, unsigned n, uint8_t *buf);
void registers_write(struct cpu_state *state, unsigned n, const uint8_t *buf);
/* The target description; the caller frees it. NULL when out of memory. */
char *registers_xml(size_t *len);

#endif
