/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which system calls a monitor's threads may make: a list for each kind of thread, every call with its
 * reason. All others kill the process. What every monitor needs stands in calls.c; the kind of guest
 * adds what its own threads need (guest_ops.calls).
 */
#ifndef DACH_MONITOR_CALLS_H
#define DACH_MONITOR_CALLS_H

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Kinds of threads, as bits; the guest's own are 1 << 1 to 1 << 15. */
#define CALLS_LOOP 1u     /* the event loop, and jobs */
#define CALLS_ALL 0xffffu /* one list for every thread of the process, those already there too */
/* From 1 << 16 on: processes of their own. */
#define CALLS_PROCESS(n) (0x10000u << (n))

struct sandbox;

/* A list that is being made. Errors stick: the functions below then do nothing. */
struct calls {
	scmp_filter_ctx filter;
	int r;
	bool few_files; /* no file can be opened but the few that Landlock or an empty root leaves */
	bool opens;
};

void calls_allow_list(struct calls *calls, const int *list, size_t count);
#define CALLS_ALLOW(calls, list) calls_allow_list(calls, list, sizeof list / sizeof *list)
/* Only where this argument has this value, or this value under the mask. */
void calls_allow_value(struct calls *calls, int call, unsigned arg, uint64_t value);
void calls_allow_masked(struct calls *calls, int call, unsigned arg, uint64_t mask, uint64_t value);
/* Only where these arguments, which are ints, have these values under these masks. */
struct calls_arg {
	unsigned arg;
	uint32_t mask, value;
};
void calls_allow_args(struct calls *calls, int call, const struct calls_arg *args, size_t count);
/* The call fails with this errno; arg NULL: whatever its arguments. */
void calls_refuse(struct calls *calls, int call, int code, const struct scmp_arg_cmp *arg);
/* Files may be opened to be read where only a few can be; elsewhere none. */
void calls_allow_reading(struct calls *calls);

/* Writes to fd what calls_load() would load: a program of struct sock_filter, for who looks into it. */
int calls_export(unsigned roles, const struct sandbox *sandbox, int fd, struct error *err);
/* For this thread and those that it starts from now on. PR_SET_NO_NEW_PRIVS is set. */
int calls_load(unsigned roles, const struct sandbox *sandbox, struct error *err);

#endif
