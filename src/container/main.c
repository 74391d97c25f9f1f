/* SPDX-License-Identifier: Apache-2.0 */
/* dach-ct: the monitor of a daemon's container. */
#include <stdio.h>
#include <string.h>

#include "container/container.h"
#include "container/internal.h"

int main(int argc, char **argv)
{
	static const struct monitor_program program = {"dach-ct", "One container's monitor.",
		container_run_launched};

	if (argc == 2 && !strcmp(argv[1], CONTAINER_SEALED)) {
		int r = seal_ourselves((char *const[]){argv[0], NULL});

		fprintf(stderr, "dach-ct: no copy of it in memory: %s\n", strerror(-r));
		return END_STATUS_SETUP;
	}
	return monitor_main(argc, argv, &program);
}
