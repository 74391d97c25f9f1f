/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What memory the control groups that this process is in may use (cgroups(7), cgroup-v2 "memory.max", version 1's
 * memory.limit_in_bytes): a guest that comes to more is killed by Linux, without a word.
 */
#ifndef DACH_VMM_ALLOWANCE_H
#define DACH_VMM_ALLOWANCE_H

#include <stdint.h>

/* Bytes; UINT64_MAX: there is no limit. groups: this process's (/proc/self/cgroup); root: /sys/fs/cgroup. */
uint64_t allowance_memory(const char *groups, const char *root);

#endif
