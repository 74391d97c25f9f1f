/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DACH_CPU_TRANSLATE_DUMP_H
#define DACH_CPU_TRANSLATE_DUMP_H

#include <stdio.h>

#include "cpu/translate/vm.h"

/*
 * Prints all blocks that hold the guest physical address, guest code beside host code. No vCPU is
 * running. Walks all blocks: for people, not for programs.
 */
void dump_blocks(struct translate_vm *vm, uint64_t gpa, FILE *out);

#endif
