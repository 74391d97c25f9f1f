/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/cli.h"

#define MANY CLI_WORDS_MAX

const struct cli_verb cli_verbs[] = {
	{"create", cli_create, NULL, cli_create_options, 0, MANY, "[FILE] [KEY=VALUE]...",
		"Start a guest that a configuration file describes"},
	{"list", cli_list, NULL, cli_list_options, 0, MANY, "[GUEST]...", "Show the guests"},
	{"console", cli_console, NULL, cli_console_options, 1, 1, "GUEST",
		"Sit down at a guest's console; Ctrl+] leaves"},
	{"shutdown", cli_shutdown, NULL, cli_shutdown_options, 0, MANY, "-a | GUEST...",
		"Ask a guest to switch itself off"},
	{"reboot", cli_reboot, NULL, cli_reboot_options, 0, MANY, "-a | GUEST...",
		"Ask a guest to start again"},
	{"destroy", cli_destroy, NULL, cli_destroy_options, 0, MANY, "-a | GUEST...",
		"End a guest at once"},
	{"pause", cli_pause, NULL, NULL, 1, MANY, "GUEST...", "Hold a guest's processors"},
	{"unpause", cli_unpause, NULL, NULL, 1, MANY, "GUEST...", "Let a paused guest go on"},
	{"rename", cli_rename, NULL, NULL, 2, 2, "GUEST NAME", "Give a guest another name"},
	{"trigger", cli_trigger, NULL, NULL, 2, 3, "GUEST nmi|reset|power [VCPU]",
		"Press a button of a guest's machine"},
	{"sysrq", cli_sysrq, NULL, NULL, 2, 2, "GUEST LETTER",
		"Press a magic SysRq key in a guest"},
	{"dump-core", cli_dump_core, NULL, cli_dump_core_options, 2, 2, "GUEST FILE",
		"Write a guest's memory as a core file"},
	{"new", cli_new, NULL, cli_new_options, 0, MANY, "[FILE] [KEY=VALUE]...",
		"Keep a guest from a configuration file, to start it later"},
	{"start", cli_start, NULL, cli_start_options, 1, MANY, "GUEST...",
		"Start a kept guest that is off"},
	{"delete", cli_delete, NULL, NULL, 1, MANY, "GUEST...", "Forget a kept guest that is off"},
	{"autostart", cli_autostart, NULL, NULL, 1, 2, "GUEST [on|off]",
		"Start a kept guest together with the daemon, or no longer"},
	{"mem-set", cli_mem_set, NULL, NULL, 2, 2, "GUEST SIZE",
		"Set the memory a guest has now (MiB, or with b, k, m, g, t)"},
	{"mem-max", cli_mem_max, NULL, NULL, 2, 2, "GUEST SIZE",
		"Set the memory a guest can have at most (MiB, or with b, k, m, g, t)"},
	{"vcpu-list", cli_vcpu_list, NULL, NULL, 0, MANY, "[GUEST]...",
		"Show guests' virtual processors"},
	{"vcpu-pin", cli_vcpu_pin, NULL, cli_vcpu_pin_options, 3, 4,
		"GUEST VCPU|all HARD|all|- [SOFT|all|-]",
		"Say on which processors a virtual one may run"},
	{"sched-credit", cli_sched_credit, NULL, cli_sched_credit_options, 0, 0, "",
		"Show or set guests' shares of the processors"},
	{"sched-credit2", cli_sched_credit, NULL, cli_sched_credit_options, 0, 0, "",
		"The same, as newer scripts call it"},
	{"block-list", cli_block_list, NULL, NULL, 0, MANY, "GUEST...", "Show guests' disks"},
	{"network-list", cli_network_list, NULL, NULL, 0, MANY, "GUEST...",
		"Show guests' network interfaces"},
	{"info", cli_info, NULL, cli_info_options, 0, 1, "[FIELD]", "Tell about this host"},
	{"top", cli_top, NULL, cli_top_options, 0, 0, "", "Watch the guests"},
	{"uptime", cli_uptime, NULL, cli_uptime_options, 0, MANY, "[GUEST]...",
		"Show for how long guests have been up"},
	{"dmesg", cli_dmesg, NULL, cli_dmesg_options, 0, 0, "", "Show what the daemon did lately"},
	{"log", cli_dmesg, NULL, cli_dmesg_options, 0, 0, "", "The same, as xm called it"},
	{"events", cli_events, NULL, NULL, 0, 0, "", "Show what happens, as it happens"},
	{"vm-list", cli_vm_list, NULL, NULL, 0, 0, "", "Show guests with their UUIDs"},
	{"domid", cli_domid, NULL, NULL, 1, 1, "NAME", "Show the ID of a guest's name"},
	{"domname", cli_domname, NULL, NULL, 1, 1, "ID", "Show the name of a guest's ID"},
	{"domstate", cli_domstate, NULL, NULL, 1, 1, "GUEST", "Show a guest's state in a word"},
	{"run", NULL, cli_run, NULL, 0, 0, "",
		"Start a guest in the foreground, its console on this terminal"},
	{"image", NULL, cli_image, NULL, 0, 0, "",
		"Create, list and delete images to start guests from"},
	{NULL, NULL, NULL, NULL, 0, 0, NULL, NULL},
};

const char *cli_verb_missing(const char *name)
{
	static const char *const names[] = {"save", "restore", "suspend", "resume", "migrate",
		"migrate-receive", "vcpu-set", "block-attach", "block-detach", "network-attach",
		"network-detach", "cd-insert", "cd-eject", "vncviewer", "config-update",
		"cpupool-list", "cpupool-create", "pci-attach", "pci-detach", "pci-list"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(name, names[i]))
			return "is a verb of xl that is not there yet";
	return NULL;
}
