/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: a program that runs in the guest and does what its monitor asks (protocol/agent.h). It is
 * linked statically and needs nothing of the guest's system but its kernel. One thread.
 *
 * The kernel starts it from the initial ramdisk. As AGENT_ALONE it is the guest's only system: it loads
 * the drivers that it needs, mounts the root, brings up the network, and has commands run. As AGENT_BESIDE it
 * starts the guest's own system, and has commands run there. As AGENT_SENT it finds that one running, and does the same.
 * In a container it is not the kernel that starts it: as AGENT_WITHIN it runs one command, as AGENT_INIT it is the init.
 */
#ifndef DACH_AGENT_AGENT_H
#define DACH_AGENT_AGENT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/agent.h"

/* modules.c: loads the module and what it needs from /lib/modules; nothing happens where it is not there. */
void module_load(const char *name);

/* system.c: makes this a system. 0, or -1 with the sentence in why. */
void system_mounts(void);                /* /proc, /sys, /dev */
int system_early(void);                  /* those, the port's driver, and the port */
int system_root(char *why, size_t size); /* root=, or the ramdisk without it */
void system_set_up(void);                /* what is mounted in it, and its name */
void system_network(void);               /* the loopback and the first interface */
_Noreturn void system_poweroff(void);
/* "key=value" of the kernel's command line into value. */
bool system_word(const char *key, char *value, size_t size);
extern int system_proc; /* a folder that is /proc; -1: what is mounted there */
/* Linux out of memory is to end others first; a command is not to inherit that. */
void system_spare(bool spare);

/*
 * beside.c: the first process becomes the guest's init; returns in another one. argv are the first's; their
 * memory is its name.
 */
void beside_begin(char **argv);
/*
 * Or one that runs already: the port is open when this returns 0, in a process that nobody waits for. -1: there is
 * nothing to be done, and status is the exit status; why is on standard error where that is not 0.
 */
int beside_join(char **argv, int *status);
void beside_open_port(void); /* waits until it is there, or is open already */
/* Our root becomes the first process's, which may have gone elsewhere. */
void beside_follow(void);
/*
 * The system is there: the first process has left the ramdisk, or is not going to, and a root that is to be writable is.
 */
bool beside_ready(void);
/* A folder (struct agent_mount), once the system is there; what fails is in the kernel's log. */
void beside_mount(const char *payload, size_t size);

/* network.c: an IPv4 address for the interface, and the way out; false: the kernel refuses. */
bool network_up(const char *name, uint32_t address, unsigned prefix, uint32_t gateway);

/* port.c: the way to the monitor. */
/* sys, dev: folders that are /sys and /dev, which it keeps; waits for it. -1: there is none, or (EBUSY) another has it. */
int port_open(int sys, int dev, unsigned tries);
void port_take(int fd); /* a connection that is there, which it keeps */
void port_close(void);  /* what was to be sent, or has come in part, is dropped */
/* Begins to send; the queue holds what does not go at once. */
void port_send(unsigned session, enum agent_frame_type type, unsigned stream, const void *payload,
	size_t size);
void port_send_number(unsigned session, enum agent_frame_type type, unsigned stream,
	uint32_t number);
size_t port_waiting(void); /* bytes not sent yet */
short port_events(void);   /* what to poll it for */
int port_fd(void);
bool port_write(void); /* false: it is gone */
/* Reads what is there; calls port_frame() for each frame. false: the monitor makes no sense, or is gone. */
bool port_read(void (*frame)(const struct agent_header *header, const char *payload));
void port_flush(void); /* until all is sent */

/* session.c */
void session_frame(const struct agent_header *header, const char *payload);
/* Adds what it waits for; returns how many. The next two take the same array after poll(). */
#define SESSIONS_MAX (2 * AGENT_SESSIONS) /* with those that are about to end */
#define SESSION_FDS (SESSIONS_MAX * AGENT_STREAMS)
unsigned session_poll(struct pollfd *fds);
void session_serve(const struct pollfd *fds, unsigned count);
/* A child has ended. */
void session_child(pid_t pid, int status);
void session_kill_all(void);
/* Nobody knows of them any more: they are hung up on. */
void session_leave_all(void);
bool session_any(void);
/* ms until session_serve() has something to do; -1: nothing that it could wait for. */
int session_timeout(void);

/*
 * device.c: the device that root= names: /dev/..., UUID=... or LABEL=... of a file system (ext4, XFS, btrfs). false:
 * it is not there (yet).
 */
bool device_find(const char *word, char *path, size_t size);

/* init.c: the first process of a container that has a command to run and no init. words: its own, from AGENT_INIT on. */
_Noreturn void init_run(char **words, unsigned count);

/* share.c: with those above it, where they are missing. 0 or an errno. */
int share_make_folders(const char *path);
/* A folder of the host's where the command wants it. 0, or -1 with the sentence in why. */
int share_mount(const struct agent_mount *share, char *why, size_t size);

/* files.c: in a command's process; its exit status. */
int files_serve(const struct agent_open *open_);

/* user.c: who the command is to be. */
struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[64];
	int group_count;
	char name[64], home[256], shell[256];
};
/* name: a name, a number, with ":group" behind it or not. false: there is none. */
bool user_find(const char *name, struct user *user);
#define USER_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
/* This process becomes that, in the folder. Ends with AGENT_STATUS_NOT_RUN, and a line on standard error, where it cannot. */
void user_become(const struct user *user, const char *folder);
/* Of its words, which execvp(3) has not run: likewise, or with AGENT_STATUS_NOT_FOUND. */
_Noreturn void user_cannot_run(const char *program);

#endif
