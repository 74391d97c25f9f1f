/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: the process that holds the rights that a container is made with. It has mounts of its own, in which the
 * container's root file system is put together (root.h), so that these are gone when it and the container are. A child of it
 * calls liblxc's start, which returns when the container has ended; others enter it.
 *
 * It hears its monitor alone, over a socket of packets that are struct keeper_message. When the monitor is gone it ends
 * the container, and itself.
 */
#ifndef DACH_CONTAINER_KEEPER_H
#define DACH_CONTAINER_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "protocol/end.h"
#include "protocol/launch.h"

enum keeper_word {
	/* From the monitor */
	KEEPER_START,
	KEEPER_FREEZE, /* answered by DONE when it stands still */
	KEEPER_THAW,   /* likewise */
	KEEPER_ASK,    /* asks its init to shut down */
	KEEPER_END,    /* ends it now */
	KEEPER_EXEC, /* who wants a command there is at the other end of the socket that comes along (protocol/agent.h) */
	/* The link `text` of this host's is the container's eth and `status` from now on. Answered by DONE */
	KEEPER_LINK,
	/* The folder that comes along is at `text` there, to be read only where `status` is 1; and no longer. Answered likewise */
	KEEPER_FOLDER,
	KEEPER_NO_FOLDER,
	/* From the keeper */
	/* What has the same number has been done. status: 0 or a negative errno, with the sentence. The first one, unasked: all is made that is needed to start */
	KEEPER_DONE,
	KEEPER_RUNS,  /* after START: it is up, as liblxc has it, and its init about to begin */
	KEEPER_ENDED, /* the container is gone; the last message */
};

struct keeper_message {
	uint32_t word;
	uint32_t number; /* of what is answered; DONE: of what that answers, 0: nothing */
	int32_t status;  /* ENDED: as in end_report; of others a number */
	uint32_t reason; /* ENDED: enum end_reason */
	char text[sizeof((struct error *)0)->text];
};

#define KEEPER_EXECS 16u /* commands at once */

/* A packet; fd -1: none goes along. 0 or a negative errno. */
int keeper_send(int socket, const struct keeper_message *message, int fd);
/* Waits for one. *fd: what came along, or -1. -EPIPE: the other end is gone. */
int keeper_receive(int socket, struct keeper_message *message, int *fd);

/* In a process of its own, until the container has ended. console: the terminal that is the container's console. */
_Noreturn void keeper_run(const struct launch_spec *spec, int socket, const char *console);

#endif
