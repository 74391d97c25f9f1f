/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chain/chain.h"
#include "cli/cli.h"
#include "cli/command.h"
#include "cli/image.h"
#include "cli/options.h"
#include "cli/run_commit.h"
#include "cli/run_firmware.h"
#include "cli/run_from.h"
#include "cli/run_link.h"
#include "cli/run_screen.h"
#include "cli/run_seed.h"
#include "cli/run_share.h"
#include "cli/script.h"
#include "image/keep.h"
#include "image/layer.h"
#include "image/store.h"
#include "vmm/vmm.h"

#define MEMORY_DEFAULT (1ull << 30)

enum {
	KERNEL = 1,
	INITRD,
	CMDLINE,
	MEMORY,
	VCPUS,
	DISK,
	NET,
	STATS,
	GDB,
	TEST_DEVICES,
	TEST_VENDOR,
	NO_WINDOWS,
	PERF_MAP,
	PROFILE,
	SYMBOLS,
	SAVE,
	LAZY,
	RESTORE,
	CODE_CACHE,
	GRACE,
	NO_REBOOT,
	TIMEOUT,
	CONSOLE,
	QUIET,
	EPHEMERAL,
	ENV,
	WORKDIR,
	USER,
	KEEP,
	VERBOSE,
	OVERLAY,
	DISK_SIZE,
	COMMIT,
	SHARE,
	FROM,
	VNC,
	VNC_PASSWORD,
};

static const struct option_spec options[] = {
	{"kernel", KERNEL, "FILE",
		"a Linux kernel (bzImage), or an ELF file with a PVH entry (the first disk's own)"},
	{"initrd", INITRD, "FILE", "its initial RAM disk"},
	{"cmdline", CMDLINE, "STRING",
		"its command line; after the image's or disk's own, if there is one"},
	RUN_FIRMWARE_OPTIONS,
	{"memory", MEMORY, "SIZE", "in MiB, or like 512M, 2G (1024)"},
	{"vcpus", VCPUS, "N", "virtual processors (1)"},
	{"disk", DISK, "FILE[,ro][,ide|,ahci][,cdrom][,format=raw|qcow2][,cache=...][,errors=wait]",
		"a disk, raw unless its name ends in .qcow2; again for more"},
	{"ephemeral", EPHEMERAL, NULL, "throw away what the guest writes to its disks"},
	{"from", FROM, "SNAPSHOT",
		"go on from that of the GUEST in the image's place, and throw it away at the end"},
	{"overlay", OVERLAY, "FILE", "keep what it writes to FILE there (FILE.overlay.qcow2)"},
	{"disk-size", DISK_SIZE, "SIZE", "of an overlay that is made (that of its FILE)"},
	RUN_SEED_OPTIONS,
	{"net", NET,
		"none|user[,fwd=...][,allow=...][,loopback]|bridge=NAME|tap=NAME [,model=e1000]",
		"none (without an image), over this host's sockets, or on a bridge of it; again for more"},
	{"vnc", VNC, "[ADDRESS]:DISPLAY|ADDRESS|unix:PATH",
		"a screen, a keyboard and a mouse, shown by VNC there (none)"},
	{"vnc-password", VNC_PASSWORD, "FILE",
		"which who looks is asked for: the first line there"},
	{"stats", STATS, NULL, "counters on standard error at the end"},
	{"profile", PROFILE, "FILE", "where the guest's time went, written at the end"},
	{"no-windows", NO_WINDOWS, NULL, "without the translator's second tier, to compare"},
	{"perf-map", PERF_MAP, NULL, "/tmp/perf-PID.map, so that perf names translated code"},
	{"symbols", SYMBOLS, "FILE", "the guest kernel's, for both: System.map, kallsyms or ELF"},
	{"code-cache", CODE_CACHE, "SIZE", "the most memory for translated code (256M)"},
	{"grace", GRACE, "SECONDS", "before a guest that was asked to end is ended (90)"},
	{"no-reboot", NO_REBOOT, NULL, "end with status 5 when the guest wants to start again"},
	{"timeout", TIMEOUT, "SECONDS", "end it after so long, with status 124"},
	{"console", CONSOLE, "FILE", "what the guest says goes there; standard input is not read"},
	{"quiet", QUIET, NULL, "no lines of our own on standard error but errors"},
	{"env", ENV, "NAME[=VALUE]", "for the command; again for more"},
	{"workdir", WORKDIR, "DIR", "where the command runs (its user's home)"},
	{"user", USER, "NAME[:GROUP]", "who runs it (root)"},
	{"share", SHARE, "DIR[:PATH][,ro|,overlay]",
		"a folder of this host, for a command at PATH (/mnt); again for more"},
	{"keep", KEEP, NULL, "keep what the command writes to the disks"},
	{"commit", COMMIT, "NAME",
		"keep what it writes as a new image, beside the one it starts from"},
	{"verbose", VERBOSE, NULL,
		"also what its firmware says; beside a command: what the guest does"},
	{"gdb", GDB, "ADDRESS", "wait for a debugger: unix:PATH or 127.0.0.1:PORT"},
	{"test-devices", TEST_DEVICES, NULL, NULL},
	{"test-vendor", TEST_VENDOR, "NAME", NULL},
	{"save-to", SAVE, "FILE", NULL},
	{"restore-from", RESTORE, "FILE", NULL},
	{"lazy", LAZY, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

/* Options whose value "list" shows what there is. */
static const struct {
	const char *option;
	void (*show)(void);
} lists[] = {{"engine", cli_engines}, {"cpu", cli_cpus}};

/* What the words said, with the strings that we had to make. */
struct run_request {
	struct vmm_config config;
	struct command_words words;
	bool no_net, ephemeral;
	const char *overlay; /* NULL: beside the file */
	struct run_commit commit;
	const char *from;   /* a snapshot's name; NULL: none */
	bool own;           /* options that a machine from a snapshot does not have */
	uint64_t disk_size; /* 0: that of the file */
	struct run_seed seed;
	void (*list)(void); /* only to be shown something */
	struct image found;
	struct image_start start; /* that it has */
	char kernel[PATH_MAX + 16], initrd[PATH_MAX + 16];
	char *cmdline;
};

static const char more[] =
	"With a command, its standard streams are these, its status is the exit status, and what it\n"
	"writes to the disks is thrown away unless --keep says otherwise; 125 is a failure of ours.\n"
	"fwd=tcp:127.0.0.1:PORT-:PORT hands connections to a port of this host to one of the\n"
	"guest's. Ctrl+] ends the guest. SIGTERM, or a terminal that goes away, presses its power\n"
	"button; a second SIGTERM ends it, and so does --grace.\n"
	"Exit status: 0 it powered off, 1 it never started, 2 it was ended, 3 it crashed,\n"
	"4 the engine failed, 5 it wanted to start again (--no-reboot), 124 it took too long\n"
	"(--timeout).\n";

static int take_machine(struct run_request *request, const struct field *field, const char *value,
	struct error *err)
{
	char where[32];

	for (unsigned n = 0; n < sizeof lists / sizeof *lists; n++)
		if (value && !strcmp(value, "list") && !strcmp(lists[n].option, field->option))
			request->list = lists[n].show;
	snprintf(where, sizeof where, "--%s: ", field->option);
	return field_read_word(field, value, &request->config.machine, where, err);
}

#define MEMBER(member) offsetof(struct vmm_config, member)

/* Options that only set a member: a text, or a flag. */
static const struct {
	int id;
	bool flag;
	size_t member;
} plain[] = {
	{KERNEL, false, MEMBER(kernel)},
	{INITRD, false, MEMBER(initrd)},
	{CMDLINE, false, MEMBER(cmdline)},
	{PROFILE, false, MEMBER(profile)},
	{SYMBOLS, false, MEMBER(symbols)},
	{GDB, false, MEMBER(gdb)},
	{SAVE, false, MEMBER(save_to)}, /* on SIGUSR2; until there are verbs for it */
	{RESTORE, false, MEMBER(restore_from)},
	{LAZY, true, MEMBER(lazy)}, /* with the former */
	{CONSOLE, false, MEMBER(console)},
	{VNC, false, MEMBER(vnc)},
	{NO_REBOOT, true, MEMBER(no_reboot)},
	{QUIET, true, MEMBER(quiet)},
	{VERBOSE, true, MEMBER(verbose)},
	{STATS, true, MEMBER(stats)},
	{TEST_DEVICES, true, MEMBER(test_devices)},
	{NO_WINDOWS, true, MEMBER(no_windows)},
	{PERF_MAP, true, MEMBER(perf_map)},
};

static bool take_plain(struct vmm_config *config, int id, const char *value)
{
	for (unsigned n = 0; n < sizeof plain / sizeof *plain; n++) {
		void *to = (char *)config + plain[n].member;

		if (plain[n].id != id)
			continue;
		if (plain[n].flag)
			*(bool *)to = true;
		else
			*(const char **)to = value;
		return true;
	}
	return false;
}

/* Into ns. */
static int take_seconds(const char *option, const char *value, uint64_t *to, struct error *err)
{
	uint64_t number;
	int r = option_number(option, value, 1, 30 * 86400, &number, err);

	*to = r ? 0 : number * 1000000000;
	return r;
}

static bool take_name(struct run_request *request, int id, const char *value)
{
	const char **to = id == OVERLAY ? &request->overlay
		: id == COMMIT          ? &request->commit.name
		: id == FROM            ? &request->from
					: NULL;

	if (to)
		*to = value;
	return to;
}

static int take_option(struct run_request *request, int id, const char *value, struct error *err)
{
	struct vmm_config *config = &request->config;
	uint64_t number;
	int r;

	if (take_plain(config, id, value) || take_name(request, id, value))
		return 0;
	if (run_seed_has(id))
		return run_seed_take(&request->seed, id, value, err);
	if (run_firmware_has(id))
		return run_firmware_take(config, id, value, err);
	switch (id) {
	case MEMORY:
		r = option_size("--memory", value, 1ull << 20, &config->memory, err);
		return r || config->memory ? r
					   : error_set(err, EINVAL, "--memory: a guest needs some");
	case GRACE:
		return take_seconds("--grace", value, &config->grace, err);
	case TIMEOUT:
		return take_seconds("--timeout", value, &config->timeout, err);
	case VCPUS:
		r = option_number("--vcpus", value, 1, LIMIT_VCPUS, &number, err);
		config->vcpus = r ? 0 : number;
		return r;
	case EPHEMERAL:
		request->ephemeral = true;
		return 0;
	case ENV:
		return command_env(&request->words, value, err);
	case WORKDIR:
		request->words.command.folder = value;
		return 0;
	case USER:
		request->words.command.user = value;
		return 0;
	case KEEP:
		request->words.keep = true;
		return 0;
	case SHARE:
		return run_share_add(config, value, err);
	case DISK_SIZE:
		return option_size("--disk-size", value, 1ull << 20, &request->disk_size, err);
	case DISK:
		if (config->disks == LIMIT_DISKS)
			return error_set(err, EINVAL, "--disk: %u at most", LIMIT_DISKS);
		return disk_spec_parse(value, &config->disk[config->disks++], err);
	case NET:
		if (!strcmp(value, "none")) {
			request->no_net = true;
			return 0;
		}
		if (config->nets == LIMIT_NETWORKS)
			return error_set(err, EINVAL, "--net: %u at most", LIMIT_NETWORKS);
		return net_spec_parse(value, &config->net[config->nets++], err);
	case VNC_PASSWORD:
		return run_screen_password(config, value, err);
	case TEST_VENDOR:
		if (strlen(value) != 12)
			return error_set(err, EINVAL, "--test-vendor: 12 characters");
		config->test_vendor = value;
		return 0;
	case CODE_CACHE:
		r = option_size("--code-cache", value, 1ull << 20, &number, err);
		if (!r && (number < VMM_CODE_CACHE_MIN || number > VMM_CODE_CACHE_MAX))
			return error_set(err, EINVAL, "--code-cache: 4M to 2047M");
		config->code_cache = r ? 0 : (uint32_t)number;
		return r;
	}
	if (id >= CLI_FIELD)
		return take_machine(request, &machine_spec_fields[id - CLI_FIELD], value, err);
	return id; /* an error already told */
}

static int room_for_first(const struct vmm_config *config, struct error *err)
{
	if (config->disks < LIMIT_DISKS)
		return 0;
	return error_set(err, EINVAL, "--disk: %d at most beside the image's", LIMIT_DISKS - 1);
}

/* The disk that is started from, before those that options named, and a network if they said nothing of one. */
static void put_first(struct run_request *request, const struct disk_spec *disk)
{
	struct vmm_config *config = &request->config;

	memmove(config->disk + 1, config->disk, config->disks * sizeof *config->disk);
	config->disk[0] = *disk;
	config->disks++;
	if (!config->nets && !request->no_net)
		config->net[config->nets++] = (struct net_spec){.kind = NET_USER, .fd = -1};
}

/*
 * Kernel, disk and network of an image, where no option says otherwise. The kernel beside the disk is that
 * of its first day: the disk's own goes before it.
 */
static int use_image(struct run_request *request, const char *image, struct error *err)
{
	struct vmm_config *config = &request->config;
	const char *own = config->cmdline;
	struct disk_spec disk;
	int r = image_find(image, &request->found, err);

	if (!r)
		r = room_for_first(config, err);
	if (r)
		return r;
	snprintf(request->kernel, sizeof request->kernel, "%s/vmlinuz", request->found.path);
	snprintf(request->initrd, sizeof request->initrd, "%s/initrd.img", request->found.path);
	/* The drivers alone, for a command: older images have only what a system starts from. */
	if (request->words.command.argv) {
		char run[PATH_MAX + 16];

		snprintf(run, sizeof run, "%s/run.img", request->found.path);
		if (!access(run, R_OK))
			strcpy(request->initrd, run);
	}
	if (!config->kernel && !config->firmware && !access(request->kernel, F_OK)) {
		config->own_kernel = !config->initrd;
		config->kernel = request->kernel;
		config->initrd = config->initrd ? config->initrd : request->initrd;
	}
	if (asprintf(&request->cmdline, "%s%s%s", request->found.cmdline, own[0] ? " " : "", own) <
		0) {
		request->cmdline = NULL;
		return error_nomem(err);
	}
	config->cmdline = request->cmdline;
	r = disk_spec_of_file(request->found.disk, false, &disk, err);
	if (r)
		return r;
	disk.file[0].format = request->found.format;
	put_first(request, &disk);
	if (!request->words.command.argv)
		return 0;
	r = image_start_read(request->found.path, &request->start, err);
	return r ? r : command_start(&request->words, &request->start, err);
}

/* A disk as it was downloaded, which nobody writes to. */
static int use_file(struct run_request *request, const char *word, struct error *err)
{
	struct vmm_config *config = &request->config;
	struct disk_spec disk, kept;
	struct keep keep;
	int r = room_for_first(config, err);

	if (!r)
		r = keep_parse(word, &image_progress, &disk, err);
	if (r)
		return r;
	/* What is thrown away is put on top of it as of any other disk. */
	disk.readonly = false;
	if (request->ephemeral) {
		put_first(request, &disk);
		return 0;
	}
	r = keep_open(&disk, request->overlay, request->disk_size, &keep, err);
	if (!r)
		r = disk_spec_of_file(keep.overlay, false, &kept, err);
	disk_spec_free(&disk);
	if (r)
		return r;
	kept.file[0].format = DISK_QCOW2;
	put_first(request, &kept);
	strcpy(request->seed.instance, keep.instance);
	if (keep.fresh && !config->quiet)
		fprintf(stderr, "dach run: what the guest changes is kept in %s\n", keep.overlay);
	return 0;
}

/* The files that disks are made of, and, if nothing is to be kept, another on top. */
static int complete_disks(struct run_request *request, struct error *err)
{
	struct vmm_config *config = &request->config;
	const bool ephemeral = request->ephemeral || (config->command && !config->command->keeps);
	int r = 0;

	for (unsigned i = 0; !r && i < config->disks; i++) {
		struct disk_spec *disk = &config->disk[i];

		if (disk->file[0].format == DISK_QCOW2)
			r = chain_resolve(disk, &chain_own_rights, false, err);
		if (!r && ephemeral && !disk->readonly)
			r = layer_ephemeral(disk, i ? 0 : request->disk_size, err);
	}
	return r;
}

/* What neither an option nor an image says. */
static void set_defaults(struct vmm_config *config, const struct image *image)
{
	if (!config->memory)
		config->memory = image->memory ? image->memory : MEMORY_DEFAULT;
	if (!config->vcpus)
		config->vcpus = image->vcpus ? image->vcpus : 1;
}

static int begin_commit(struct run_request *request, const char *image, struct error *err)
{
	if (!request->words.command.argv || !image || keep_is_file(image))
		return error_set(err, EINVAL,
			"--commit needs an image of the store, and a command");
	if (request->ephemeral)
		return error_set(err, EINVAL, "--ephemeral excludes --commit");
	request->words.keep = true;
	return run_commit_begin(&request->commit, image, err);
}

static int complete_image(struct run_request *request, const char *image, struct error *err)
{
	if (request->commit.name) {
		int r = begin_commit(request, image, err);

		if (r)
			return r;
		image = request->commit.path; /* the command writes to that */
	}
	if (request->no_net && request->config.nets)
		return error_set(err, EINVAL, "--net none excludes another --net");
	if (request->ephemeral && (request->overlay || request->words.keep))
		return error_set(err, EINVAL, "--ephemeral excludes --%s",
			request->overlay ? "overlay" : "keep");
	if (!(image && keep_is_file(image)) &&
		(request->overlay || (request->disk_size && !request->ephemeral)))
		return error_set(err, EINVAL, "%s needs a disk's FILE in an image's place",
			request->overlay ? "--overlay" : "--disk-size");
	if (image) {
		int r = keep_is_file(image) ? use_file(request, image, err)
					    : use_image(request, image, err);

		if (r)
			return r;
	} else if (!request->config.kernel && !request->config.disks && !request->config.firmware)
		return error_set(err, EINVAL,
			"an image, --kernel FILE or --disk FILE is needed (see dach run --help)");
	if (!request->config.kernel && request->config.initrd)
		return error_set(err, EINVAL, "--initrd needs a --kernel beside it");
	if (run_firmware_complete(&request->config, request->words.command.argv != NULL, err))
		return -EINVAL;
	set_defaults(&request->config, &request->found);
	if (request->words.command.argv)
		return command_complete(&request->words, &request->config, err);
	return 0;
}

/* All that the options and the image leave to do. */
static int complete(struct run_request *request, const char *image, struct error *err)
{
	int r = run_share_complete(&request->config, request->words.command.argv != NULL, err);

	if (!r)
		r = complete_image(request, image, err);
	if (!r)
		r = complete_disks(request, err);
	if (!r)
		r = run_seed_complete(&request->seed, &request->config, err);
	return r ? r : run_link_open(&request->config, err);
}

static void free_request(struct run_request *request)
{
	for (unsigned i = 0; i < request->config.nets; i++)
		net_spec_free(&request->config.net[i]);
	for (unsigned i = 0; i < request->config.disks; i++)
		disk_spec_free(&request->config.disk[i]);
	run_share_free(&request->config);
	run_screen_free(&request->config);
	fields_free(machine_spec_fields, &request->config.machine);
	free(request->cmdline);
	command_free(&request->words);
	image_start_free(&request->start);
	run_seed_free(&request->seed);
	free(request);
}

/* What may be said of a machine that is there already. */
static bool is_for_snapshot(int id)
{
	return id == FROM || id == EPHEMERAL || id == ENV || id == WORKDIR || id == USER ||
		id == TIMEOUT || id == QUIET;
}

/* A status that is none of the command's. */
static int own_failure(const struct run_request *request)
{
	return request->words.command.argv ? END_STATUS_COMMAND : CLI_FAILURE;
}

/* Until the options are read. The verb's exit status where it ends with that, or negative. */
static int read_options(struct cli *cli, struct run_request *request, struct error *err)
{
	int id, r = 0;

	while (!r && (id = cli_option(cli)) > 0) {
		request->own |= !is_for_snapshot(id);
		r = take_option(request, id, cli->value, err);
	}
	if (r || (id == CLI_END && cli->status))
		return own_failure(request);
	if (!request->list)
		return id == CLI_END ? 0 : -1;
	request->list();
	return 0;
}

static int run_guest(struct run_request *request, struct error *err)
{
	struct end_report end;

	if (!request->config.console && !request->config.quiet && !request->config.command &&
		script_is_input())
		fputs("dach run: standard input is the shell's script, and the guest gets the rest of it; "
		      "</dev/null keeps that for the shell\n",
			stderr);
	vmm_run(&request->config, &end);
	*err = end.error;
	if (end.status != END_STATUS_SETUP || end.reason != END_ERROR)
		return end.status;
	run_commit_undo(&request->commit);
	return own_failure(request);
}

static int run(struct cli *cli)
{
	struct run_request *request = calloc(1, sizeof *request);
	struct error err = {""};
	int status;

	if (!request || fields_default(machine_spec_fields, &request->config.machine)) {
		free(request);
		return cli_say(cli, "out of memory");
	}
	request->config.cmdline = "";
	request->commit.undoer = -1;
	command_take(&request->words, cli);
	status = read_options(cli, request, &err);
	if (status < 0 && request->from) {
		const struct run_from from = {request->from, &request->words,
			request->config.timeout, request->own};

		status = run_from(cli, &from, &err);
	} else if (status < 0 && complete(request, cli->words[0], &err)) {
		status = own_failure(request);
		run_commit_undo(&request->commit);
	} else if (status < 0) {
		status = run_guest(request, &err);
	}
	if (err.text[0])
		cli_fail(cli, &err);
	free_request(request);
	return status;
}

/* Status 2 is a guest's that was ended from outside. */
const struct cli_verb cli_run_verbs[] = {
	{"run", "IMAGE | FILE | --kernel FILE | --disk FILE | --from SNAPSHOT GUEST [-- COMMAND...]",
		"Start a guest in the foreground, its console on this terminal", 0, 1,
		.options = options, .fields = machine_spec_fields, .run = run, .more = more,
		.plain = true, .usage = CLI_FAILURE},
	{.name = NULL},
};
