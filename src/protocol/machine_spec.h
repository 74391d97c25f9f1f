/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a guest's machine is to be, in all that passes unchanged from where people say it to the machine:
 * an xl.cfg, the API, the store, the launch description, options of `dach run`. Each of those takes these
 * fields from the one table, so that a further one is a member here, a row in machine_spec.c, and a row
 * in config/key_table.c for its name in an xl.cfg; what it does is its user's (vmm/).
 *
 * What each of them says in a way of its own (memory, vcpus, disks, networks, kernels) is not here.
 */
#ifndef DACH_PROTOCOL_MACHINE_SPEC_H
#define DACH_PROTOCOL_MACHINE_SPEC_H

#include "protocol/fields.h"

/* Which of its programs run as they are, beside the translator, where the host can have that (cpu/engine.h). */
enum machine_native {
	NATIVE_AUTO, /* those that compute */
	NATIVE_NEVER,
	NATIVE_ALWAYS, /* all that can, to test */
};

struct machine_spec {
	char *engine;    /* "auto", "translate", "kvm" */
	char *cpu_model; /* as cpuid_model_parse() takes it; NULL: what the engine offers */
	enum machine_native native;
	bool agent; /* commands can be run in it: `dach exec`; our agent is started beside its system */
	bool qemu_agent; /* the same by the qemu-guest-agent that it has */
	bool vnc; /* it has a screen, a keyboard and a mouse, shown by VNC: `dach vncviewer` */
	char *vnc_listen; /* where else, if there is a password: ADDRESS or ADDRESS:DISPLAY; NULL: 127.0.0.1 */
	char *vnc_password; /* which is asked for there; NULL: it is shown nowhere else */
	char *ssh_key; /* who may log in to a guest with cloud-init: a line of authorized_keys */
};

extern const struct field machine_spec_fields[];

#endif
