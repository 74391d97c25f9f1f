/* SPDX-License-Identifier: Apache-2.0 */
/* The loop around translated code, and the signals that end in it. */
#ifndef DACH_CPU_TRANSLATE_RUN_H
#define DACH_CPU_TRANSLATE_RUN_H

#include "cpu/translate/vcpu.h"

/* Runs until something is for the machine. Vectors may be in either place on return. */
enum outcome translate_run(struct vcpu *v);

/* Handlers for what translated code raises (once a process), and this thread's stack for them. */
int signal_setup(struct error *err);
int signal_thread_setup(struct vcpu *v, struct error *err);
void signal_thread_end(struct vcpu *v);

#endif
