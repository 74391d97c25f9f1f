/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "machine/chipset/ps2.h"
#include "machine/vga/registers.h"
#include "machine/vga/vga.h"
#include "monitor/sandbox.h"
#include "virtio/tablet.h"
#include "vmm/screen_listen.h"
#include "vnc/server.h"

#define BIOS_MAX (256u << 10)
_Static_assert(VNC_POINTER_MAX == VIRTIO_TABLET_MAX, "edges");

#define LATER 100000000u /* ns until a machine that is being saved is looked at again */

struct screen {
	const struct vmm_config *config;
	struct guest_monitor *monitor;
	struct machine *machine;
	struct memory_region region;
	uint8_t *bios;
	size_t bios_size;
	struct vga *vga;
	struct virtio_tablet *tablet;
	pid_t pid;
	int socket;
	struct loop_fd events;
	bool watched;
	struct loop_timer place;
	bool placing; /* the timer is there */
};

/* The VGA BIOS */

/* Debian's, of the package seabios, and where others have it. */
static const char *const bios_paths[] = {"/usr/share/seabios/vgabios-stdvga.bin",
	"/usr/share/qemu/vgabios-stdvga.bin", "/usr/share/qemu/vgabios/vgabios-stdvga.bin"};

static int read_bios(struct screen *screen, struct error *err)
{
	ssize_t n = -1;
	int fd = -1;

	for (unsigned i = 0; fd < 0 && i < sizeof bios_paths / sizeof *bios_paths; i++)
		fd = open(bios_paths[i], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, ENOENT,
			"a screen needs the VGA BIOS vgabios-stdvga.bin: install the package seabios");
	screen->bios = malloc(BIOS_MAX);
	if (screen->bios)
		n = pread(fd, screen->bios, BIOS_MAX, 0);
	close(fd);
	if (n < 512)
		return error_set(err, EIO, "the VGA BIOS (vgabios-stdvga.bin) cannot be read");
	screen->bios_size = (size_t)n;
	return 0;
}

/* The characters of a kernel that is started without the BIOS: those 16 lines high, the first of which is blank. */
static const uint8_t *find_glyphs(const struct screen *screen)
{
	static const uint8_t face[16] = {0, 0, 0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd, 0x99, 0x81, 0x81,
		0x7e};
	const uint8_t *at = memmem(screen->bios, screen->bios_size, face, sizeof face);
	size_t before = at ? (size_t)(at - screen->bios) : 0;

	return before >= 16 && screen->bios_size - before + 16 >= VGA_GLYPHS ? at - 16 : NULL;
}

/* The process */

static int wall_in(const struct screen *screen, struct error *err)
{
	struct vmm_needs needs = {.kvm = false};
	const struct sandbox walls = {.calls = vmm_calls, .ctx = &needs};
	int r = monitor_restrict(screen->monitor, false, false, err);

	if (!r &&
		(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) ||
			setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, 0}) ||
			setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, 64}) ||
			prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)))
		r = error_set(err, errno, "no limits for who shows the screen: %s",
			strerror(errno));
	return r ? r : sandbox_calls(CALLS_SCREEN, &walls, err);
}

/* Nothing stays open but its sockets, from 0 on: the memory is mapped. False: that cannot be. */
static bool keep_sockets(int socket, struct vnc_door door[VNC_DOORS])
{
	int *kept[1 + VNC_DOORS] = {&socket}, count = 1;

	for (unsigned i = 0; i < VNC_DOORS; i++)
		if (door[i].fd >= 0)
			kept[count++] = &door[i].fd;
	for (int i = 0; i < count; i++) {
		*kept[i] = fcntl(*kept[i], F_DUPFD, 64);
		if (*kept[i] < 0)
			return false;
	}
	for (int i = 0; i < count; i++) {
		if (dup2(*kept[i], i) < 0)
			return false;
		*kept[i] = i;
	}
	return !close_range((unsigned)count, ~0u, 0);
}

static _Noreturn void process(const struct screen *screen, int socket, int listening,
	const uint8_t *memory)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGUSR1, SIGUSR2,
		SIGXFSZ, SIGPIPE};
	struct vnc_server server = {.monitor = 0,
		.memory = memory,
		.name = "dach",
		.door = {{listening, screen->config->vnc_password},
			{screen->config->given ? screen->config->screen_fd : -1, NULL}}};
	struct error err = {""};
	int r;

	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_IGN);
	prctl(PR_SET_NAME, "dach-vnc", 0, 0, 0);
	if (!keep_sockets(socket, server.door))
		_exit(1);
	/* Not even by accident: this process never writes to what the guest sees. */
	munmap(screen->region.host, screen->region.size);
	r = wall_in(screen, &err);
	/* The first message is how that went. */
	if (send(0, err.text, strlen(err.text) + 1, MSG_NOSIGNAL) >= 0 && !r)
		vnc_serve(&server, &err);
	_exit(0);
}

/* The monitor's side */

static int hear_begin(const struct screen *screen, struct error *err)
{
	char text[sizeof err->text] = "";

	if (recv(screen->socket, text, sizeof text - 1, 0) <= 0)
		return error_set(err, EIO, "the process that shows the screen has ended");
	return *text ? error_set(err, EIO, "VNC: %s", text) : 0;
}

static int start(struct screen *screen, int listening, struct error *err)
{
	const int reader = vga_memory_reader(&screen->region);
	void *memory = MAP_FAILED;
	int sockets[2];

	if (reader >= 0)
		memory = mmap(NULL, VGA_MEMORY + VGA_PAGE, PROT_READ, MAP_SHARED, reader, 0);
	if (reader >= 0)
		close(reader);
	if (memory == MAP_FAILED)
		return error_set(err, ENOMEM, "no memory for the screen: %s", strerror(errno));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets)) {
		munmap(memory, VGA_MEMORY + VGA_PAGE);
		return error_set(err, errno, "no process for the screen: %s", strerror(errno));
	}
	screen->socket = sockets[0];
	screen->pid = fork();
	if (!screen->pid)
		process(screen, sockets[1], listening, memory);
	munmap(memory, VGA_MEMORY + VGA_PAGE);
	close(sockets[1]);
	if (screen->pid < 0)
		return error_set(err, errno, "no process for the screen: %s", strerror(errno));
	return hear_begin(screen, err);
}

/* The one on an address or a path of its own; -1 without. */
static int open_door(const struct vmm_config *config, int *fd, struct error *err)
{
	char said[160];

	*fd = -1;
	if (!config->vnc)
		return 0;
	if (!screen_is_unix(config->vnc) && !config->vnc_password)
		return error_set(err, EINVAL,
			"--vnc %s: a password is needed (--vnc-password FILE), or a Unix socket "
			"(--vnc unix:PATH)",
			config->vnc);
	if (screen_is_unix(config->vnc) && config->given)
		return error_set(err, EINVAL, "vnclisten: %s is no address", config->vnc);
	*fd = screen_listen(config->vnc, said, sizeof said, err);
	/* Where it is is another's, that of which this one is a copy: the daemon shows it all the same. */
	if (*fd == -EADDRINUSE && (config->renew || config->layers)) {
		fprintf(stderr, "dach: %s\n", err->text);
		err->text[0] = 0;
		*fd = -1;
		return 0;
	}
	if (*fd < 0)
		return *fd;
	if (!config->quiet)
		fprintf(stderr, "dach: the screen is shown by VNC on %s\n", said);
	return 0;
}

static int open_vnc(struct screen *screen, struct error *err)
{
	int fd, r = open_door(screen->config, &fd, err);

	if (r)
		return r;
	r = start(screen, fd, err);
	if (fd >= 0)
		close(fd);
	/* Who connects there is the process's alone. */
	if (screen->config->given && screen->config->screen_fd >= 0)
		close(screen->config->screen_fd);
	return r;
}

int screen_open(const struct vmm_config *config, struct guest_monitor *monitor, struct screen **out,
	struct error *err)
{
	struct screen *screen;
	int r;

	*out = NULL;
	if (!config->vnc && (!config->given || config->screen_fd < 0))
		return 0;
	screen = calloc(1, sizeof *screen);
	if (!screen)
		return error_nomem(err);
	screen->config = config;
	screen->monitor = monitor;
	screen->socket = screen->pid = -1;
	*out = screen;
	r = read_bios(screen, err);
	if (!r && !find_glyphs(screen))
		r = error_set(err, EINVAL,
			"the VGA BIOS (vgabios-stdvga.bin) has no characters: is the package seabios "
			"whole?");
	if (!r)
		r = vga_memory_create(&screen->region, err);
	return r ? r : open_vnc(screen, err);
}

void screen_needs(const struct screen *screen, struct vmm_needs *needs)
{
	needs->screen = screen ? screen->pid : 0;
}

/* Where the frame buffer is changes while no vCPU runs; a machine that is being saved stays as it is. */
static void place(void *ctx)
{
	struct screen *screen = ctx;
	bool paused = machine_paused(screen->machine);

	if (machine_frozen(screen->machine)) {
		loop_timer_arm(&screen->place, clock_now() + LATER);
		return;
	}
	machine_pause(screen->machine);
	vga_place(screen->vga);
	if (!paused)
		machine_resume(screen->machine);
}

static void moved(void *ctx)
{
	struct screen *screen = ctx;

	loop_timer_arm(&screen->place, clock_now());
}

static void take_event(struct screen *screen, const struct vnc_event *event)
{
	const struct ps2_motion motion = {event->dx, event->dy, event->dz, event->buttons};

	const struct virtio_tablet_state state = {event->x, event->y, event->buttons & 7,
		event->dz < 0       ? -1
			: event->dz ? 1
				    : 0};

	if (event->kind == VNC_KEY)
		machine_key(screen->machine, event->key, event->down);
	else if (event->kind == VNC_POINTER && !virtio_tablet_move(screen->tablet, &state))
		machine_pointer(screen->machine, &motion);
}

static void heard(void *ctx, short revents)
{
	struct screen *screen = ctx;
	struct vnc_event event;
	ssize_t n = read(screen->socket, &event, sizeof event);

	if (n == sizeof event) {
		take_event(screen, &event);
		return;
	}
	loop_fd_remove(monitor_loop(screen->monitor), &screen->events);
	screen->watched = false;
	fputs("dach: the process that shows the screen has ended: there is no picture any more\n",
		stderr);
}

int screen_create(struct screen *screen, struct machine *machine, struct error *err)
{
	struct vga_config config;
	int r;

	if (!screen)
		return 0;
	screen->machine = machine;
	loop_timer_init(&screen->place, monitor_loop(screen->monitor), place, screen);
	screen->placing = true;
	config = (struct vga_config){.region = &screen->region,
		.pci = machine_pci(machine),
		.io = machine_io(machine),
		.mmio = machine_mmio(machine),
		.memory = machine_memory(machine),
		.rom = screen->bios,
		.rom_size = screen->bios_size,
		.glyphs = find_glyphs(screen),
		.moved = moved,
		.ctx = screen};
	r = vga_create(&config, &screen->vga, err);
	if (!r)
		r = virtio_tablet_create(machine_pci(machine), machine_memory(machine),
			&screen->tablet, err);
	if (r)
		return r;
	screen->events = (struct loop_fd){.fd = screen->socket,
		.events = POLLIN,
		.ready = heard,
		.ctx = screen};
	loop_fd_add(monitor_loop(screen->monitor), &screen->events);
	screen->watched = true;
	return 0;
}

unsigned screen_slots(const struct screen *screen, uint8_t slot[SCREEN_SLOTS])
{
	if (!screen)
		return 0;
	slot[0] = vga_slot(screen->vga);
	slot[1] = virtio_tablet_slot(screen->tablet);
	return SCREEN_SLOTS;
}

void screen_destroy(struct screen *screen)
{
	if (!screen)
		return;
	if (screen->watched)
		loop_fd_remove(monitor_loop(screen->monitor), &screen->events);
	if (screen->placing)
		loop_timer_cancel(&screen->place);
	virtio_tablet_destroy(screen->tablet);
	vga_destroy(screen->vga);
	memory_region_destroy(&screen->region);
	if (screen->socket >= 0)
		close(screen->socket);
	if (screen->pid > 0 && !kill(screen->pid, SIGKILL))
		waitpid(screen->pid, NULL, 0);
	free(screen->bios);
	free(screen);
}
