/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A monitor's configuration as the daemon hands it over: one JSON object, up to
 * DOCUMENT_MAX bytes, in the file at descriptor 3 of a new dach-vmm.
 *
 *   {"version": 1,
 *    "name": "web", "domid": 7, "uuid": "5f0c...",
 *    "engine": "auto",                  "auto", "translate" or "kvm"
 *    "memory": 262144,                  KiB: what the guest is to use at first
 *    "maxmem": 524288,                  KiB of memory that it is made with; memory if left out
 *    "vcpus": 2,
 *    "kernel": {"fd": 4, "name": "/boot/vmlinuz"},                    left out: the first disk's own;
 *                                       initrd and cmdline then follow what the disk has for it
 *    "initrd": {"fd": 5, "name": "/boot/initrd.img"},                 may be left out
 *    "cmdline": "root=/dev/vda ro",                                   may be left out
 *    "disks": [{"fd": 6, "name": "/srv/web.img", "readonly": false,    up to 8
 *               "vdev": "xvda2"}],      what the disk's command line calls it; may be left out
 *    "networks": [{"spec": "user,mac=00:16:3e:00:00:01"}],            up to 4, as for dach run --net
 *    "control": 7, "console": 8,        listening Unix sockets, each may be left out
 *    "lock": 9,                         a file that is locked (flock) for as long as the monitor lives
 *    "status": 10,                      an empty file: see status.h
 *    "paused": false,
 *    "keep": ["crash"],                 at these ends (crash, poweroff, reboot) the guest stays, paused,
 *                                       until it is destroyed
 *    "uid": 64000, "gid": 64000}        whom to become, when started as root; left out: a number
 *                                       made of domid, see sandbox.h
 *
 * memory and maxmem are whole MiB. Each "fd" is the number of an open descriptor from 4 on, used
 * once; "name" is for messages. Keys that are not here are refused: an older monitor is not to
 * start a guest without something that it does not know.
 */
#ifndef DACH_VMM_DOCUMENT_H
#define DACH_VMM_DOCUMENT_H

#include <stddef.h>

#include "base/error.h"
#include "vmm/config.h"

#define DOCUMENT_FD 3
#define DOCUMENT_VERSION 1
#define DOCUMENT_MAX (64u << 10)
#define DOCUMENT_FDS_MAX (VMM_DISKS_MAX + 8)

struct json_t;

struct vmm_document {
	struct vmm_config config; /* its given is the next */
	struct vmm_given given;
	int fd[DOCUMENT_FDS_MAX]; /* all that it names, ascending */
	unsigned fds;
	struct json_t *root; /* the strings lie in it */
};

/* Whatever it is that the text holds. Nothing to free after a failure. No descriptor is touched. */
int document_parse(const char *text, size_t len, struct vmm_document *document, struct error *err);
void document_free(struct vmm_document *document);

#endif
