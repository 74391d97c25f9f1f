/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory in a saved state. */
#ifndef DACH_MACHINE_DESCRIBE_H
#define DACH_MACHINE_DESCRIBE_H

#include <stdint.h>

#include "state/state.h"

struct memory;

/*
 * What is not read-only or zero; loading, all is zeros before. Sections "memory", many: runs of pages. Where
 * memory is beside the stream (state_pages()), "memory-map": which pages there are.
 */
void memory_describe(struct memory *mem, struct state *s);

/* memory_pages.c: the latter. Saving, all pages are here. */
void memory_save_pages(struct memory *mem, struct state *s);
void memory_load_pages(struct memory *mem, struct state *s);
bool memory_page_is_zero(const uint8_t *page);

#endif
