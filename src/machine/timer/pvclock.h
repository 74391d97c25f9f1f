/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The paravirtual clock of KVM (Linux Documentation/virt/kvm/x86/msr.rst): the
 * guest names a place in its memory, and finds there how to turn its TSC into
 * nanoseconds since the machine started, and the time of day at that start.
 *
 * MSRs are written by vCPU threads; the lock covers all fields.
 */
#ifndef DACH_MACHINE_TIMER_PVCLOCK_H
#define DACH_MACHINE_TIMER_PVCLOCK_H

#include <stdint.h>

#include "machine/board.h"

extern const struct board_device pvclock_device;

/* How many nanoseconds a TSC tick has: ticks shifted by shift, times mul / 2^32. */
void pvclock_scale(uint32_t tsc_khz, uint32_t *mul, int8_t *shift);

#endif
