/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seeing where a guest spends its time: names of translated code for perf, and a
 * profile of our own. A timer of each vCPU's processor time interrupts it; the
 * handler notes the guest instruction under way.
 */
#ifndef DACH_CPU_TRANSLATE_PROFILE_H
#define DACH_CPU_TRANSLATE_PROFILE_H

#include "cpu/translate/vm.h"

/* Catches the timers' signal, once for the process, if a profile is asked for. */
int profile_setup(const struct engine_profile *wanted, struct error *err);
/* On the vCPU's own thread, before it first runs; nothing if no profile is asked for. */
int profile_thread_start(struct vcpu *v, struct error *err);
void profile_thread_end(struct vcpu *v);
/* Writes what was asked for. No vCPU runs. */
void profile_report(struct translate_vm *vm);

#endif
