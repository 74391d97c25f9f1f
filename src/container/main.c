/* SPDX-License-Identifier: Apache-2.0 */
/* dach-ct: the monitor of a daemon's container. */
#include "container/container.h"

int main(int argc, char **argv)
{
	static const struct monitor_program program = {"dach-ct", "One container's monitor.",
		container_run_launched};

	return monitor_main(argc, argv, &program);
}
