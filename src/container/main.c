/* SPDX-License-Identifier: Apache-2.0 */
/* dach-ct: the monitor of a daemon's container. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/remove_tree.h"
#include "container/container.h"
#include "container/internal.h"
#include "container/own_ids.h"

int main(int argc, char **argv)
{
	static const struct monitor_program program = {"dach-ct", "One container's monitor.",
		container_run_launched};

	if (argc == 2 && !strcmp(argv[1], CONTAINER_SEALED)) {
		int r = seal_ourselves((char *const[]){argv[0], NULL});

		fprintf(stderr, "dach-ct: no copy of it in memory: %s\n", strerror(-r));
		return END_STATUS_SETUP;
	}
	if (argc == 3 && !strcmp(argv[1], CONTAINER_REMOVE)) {
		struct error err = {""};

		if (geteuid() && own_ids_enter(0, &err))
			fprintf(stderr, "dach-ct: %s: %s\n", argv[2], err.text);
		remove_tree(argv[2]);
		return 0;
	}
	return monitor_main(argc, argv, &program);
}
