/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk from which cloud-init (and what else knows its data source NoCloud) learns at a guest's first
 * start who it is and who may log in: a FAT file system labelled "cidata" with
 *
 *   meta-data       who it is: one that finds another instance-id than last time starts as a new one;
 *                   its host name, and the keys that may log in as its usual user and as root
 *   vendor-data     root's password, and that root may log in; user-data overrides it
 *   user-data       the user's own, byte by byte
 *   network-config  likewise; without it the guest takes DHCP
 */
#ifndef DACH_SEED_SEED_H
#define DACH_SEED_SEED_H

#include <stddef.h>

#include "base/error.h"

#define SEED_TEXT_MAX (1u << 20) /* bytes of user-data, network-config, keys */

/* Each may be NULL but the instance. */
struct seed {
	const char *instance;
	const char *hostname; /* as seed_check_hostname() */
	const char *ssh_keys; /* public keys, one a line */
	const char *password; /* root's; no control characters */
	const char *user_data, *network;
	size_t user_data_size, network_size;
};

/* Letters, digits, '-' and '.', none of the parts longer than 63. -EINVAL and a sentence. */
int seed_check_hostname(const char *hostname, struct error *err);
/* Each line that is not empty or a comment begins as a public key does. what begins the sentence. */
int seed_check_keys(const char *what, const char *keys, struct error *err);
/* Random, as a UUID is written. */
int seed_new_instance(char instance[37], struct error *err);

/* Into an empty file. */
int seed_write(const struct seed *seed, int fd, struct error *err);
/* Into a new file in memory that nobody can change any more: its descriptor, open for reading and writing. */
int seed_make(const struct seed *seed, int *fd, struct error *err);

#endif
