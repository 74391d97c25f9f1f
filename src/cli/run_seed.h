/* SPDX-License-Identifier: Apache-2.0 */
/* Options of run that tell a guest with cloud-init who it is (seed/seed.h). */
#ifndef DACH_CLI_RUN_SEED_H
#define DACH_CLI_RUN_SEED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cli/options.h"
#include "vmm/config.h"

enum { RUN_SEED_FIRST = 300, SSH_KEY = RUN_SEED_FIRST, HOSTNAME, PASSWORD, USER_DATA, NETWORK };

#define RUN_SEED_OPTIONS                                                                           \
	{"ssh-key", SSH_KEY, "FILE", "a public key that may log in (cloud-init); again for more"}, \
		{"hostname", HOSTNAME, "NAME", "the guest's (cloud-init)"},                        \
		{"password", PASSWORD, "TEXT", "root's (cloud-init)"},                             \
		{"user-data", USER_DATA, "FILE", "for cloud-init"},                                \
	{                                                                                          \
		"network-config", NETWORK, "FILE", "for cloud-init (DHCP)"                         \
	}

/* All zero at first. */
struct run_seed {
	bool wanted;
	char instance[37]; /* whoever knows it fills it in; "": this finds one */
	const char *hostname, *password;
	char *keys, *user_data, *network; /* its own */
	size_t keys_size, user_data_size, network_size;
};

bool run_seed_has(int id);
int run_seed_take(struct run_seed *seed, int id, const char *value, struct error *err);
/* When all options are read and the disks are known. config points into seed then. */
int run_seed_complete(struct run_seed *seed, struct vmm_config *config, struct error *err);
void run_seed_free(struct run_seed *seed);

#endif
