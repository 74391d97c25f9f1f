/* SPDX-License-Identifier: Apache-2.0 */
/* dach-vmm: the monitor of a daemon's guest. */
#include "vmm/vmm.h"

int main(int argc, char **argv)
{
	static const struct monitor_program program = {"dach-vmm", "One guest's monitor.",
		vmm_run_launched};

	return monitor_main(argc, argv, &program);
}
