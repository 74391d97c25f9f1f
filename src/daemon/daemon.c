/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/io.h"
#include "daemon/container_files.h"
#include "daemon/guest.h"
#include "daemon/launch.h"
#include "daemon/life.h"
#include "daemon/links.h"
#include "daemon/network.h"
#include "daemon/operation.h"
#include "daemon/peers.h"
#include "daemon/resources.h"
#include "daemon/rules.h"
#include "host/walls.h"
#include "protocol/walls.h"

#define POLICY "/etc/dach/policy"
/* For how long, and how often, it is tried again to start guests with the host. */
#define LATE_SECONDS 5
#define LATE_TRIES 60

static int read_boot(struct daemon *daemon, struct error *err)
{
	const char *path = "/proc/sys/kernel/random/boot_id";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, daemon->boot, STORE_BOOT_LEN);

	if (fd >= 0)
		close(fd);
	return n == STORE_BOOT_LEN ? 0 : error_set(err, EIO, "%s: cannot be read", path);
}

/*
 * A lock of this process alone (fcntl(2)): a child between fork and exec does not hold it, so that a
 * daemon that was killed in that moment can be started again.
 */
static int lock_folder(const char *folder, int *fd, struct error *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[PATH_MAX + 16];

	snprintf(path, sizeof path, "%s/lock", folder);
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	if (fcntl(*fd, F_SETLK, &lock))
		return error_set(err, EBUSY, "%s: another dachd has this folder", folder);
	return 0;
}

/* One daemon per folder: whoever comes second says so and leaves all as it is. */
static int take_folder(struct daemon *daemon, struct error *err)
{
	char path[PATH_MAX + 16];
	int r = folder_state(daemon->state, sizeof daemon->state, err);

	if (!r)
		r = folder_run(daemon->run, sizeof daemon->run, err);
	if (!r)
		r = folder_make(daemon->state, 0700, err);
	if (!r)
		r = folder_make(daemon->run, 0755, err);
	if (r)
		return r;
	r = lock_folder(daemon->state, &daemon->lock_fd, err);
	if (!r)
		r = lock_folder(daemon->run, &daemon->run_lock_fd, err);
	if (r)
		return r;
	snprintf(path, sizeof path, "%s/guests", daemon->run);
	return folder_make(path, 0700, err);
}

static int load_one(void *ctx, const struct record *record)
{
	struct daemon *daemon = ctx;
	struct error err = {0};
	struct guest *guest;
	int r = guest_from_record(daemon, record, &guest, &err);

	if (!r && (r = snapshots_load(guest, &err)))
		guest_free(guest);
	if (!r) {
		guest_add(guest);
		return 0;
	}
	/* Left in the store: a dachd that can read it may come. */
	daemon->unread = true;
	log_add(&daemon->log, GUEST_LABEL ": cannot be read from the store: %s", record->name,
		err.text);
	return r == -ENOMEM ? r : 0;
}

static int load_network(void *ctx, const char *name, const char *text)
{
	struct daemon *daemon = ctx;
	struct error err = {0};
	int r = network_load(daemon, text, &err);

	if (r && r != -ENOMEM)
		log_add(&daemon->log, "network %.64s: cannot be read from the store: %s", name,
			err.text);
	return r == -ENOMEM ? r : 0;
}

static int load_peer(void *ctx, const char *name, const char *text)
{
	struct daemon *daemon = ctx;
	struct error err = {0};
	int r = peers_load(daemon, text, &err);

	if (r && r != -ENOMEM)
		log_add(&daemon->log, "host %.64s: cannot be read from the store: %s", name,
			err.text);
	return r == -ENOMEM ? r : 0;
}

static int open_store(struct daemon *daemon, struct error *err)
{
	char path[PATH_MAX + 16];
	mode_t old = umask(077);
	int r;

	snprintf(path, sizeof path, "%s/dach.db", daemon->state);
	r = store_open(path, &daemon->store, err);
	umask(old);
	if (!r)
		r = store_load(daemon->store, load_one, daemon, err);
	if (!r)
		r = store_load_networks(daemon->store, load_network, daemon, err);
	if (!r)
		r = store_load_peers(daemon->store, load_peer, daemon, err);
	return r;
}

static unsigned snapshot(struct daemon *daemon, struct guest ***guests)
{
	unsigned count = 0;

	for (struct guest *at = daemon->guests; at; at = at->next)
		count++;
	*guests = calloc(count + 1, sizeof **guests);
	count = 0;
	for (struct guest *at = daemon->guests; at && *guests; at = at->next)
		(*guests)[count++] = at;
	return count;
}

/* Each may be freed, renumbered and joined by others while we go through them. */
static void recover(struct daemon *daemon)
{
	struct guest **guests;
	unsigned count = snapshot(daemon, &guests);

	launch_unmark_strangers(daemon);
	for (unsigned i = 0; i < count; i++)
		life_recover(guests[i]);
	free(guests);
}

/*
 * In the run folder, so that it is so once for each of the host's starts: that a daemon has started guests since then
 * (the host's boot), and behind that the UUIDs of those that still wait.
 */
static int open_autostarted(struct daemon *daemon)
{
	char path[PATH_MAX + 16];

	snprintf(path, sizeof path, "%s/autostarted", daemon->run);
	return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* Is this the host's first daemon since it was started? */
static bool first_of_boot(struct daemon *daemon)
{
	char boot[STORE_BOOT_LEN + 1] = "";
	const int fd = open_autostarted(daemon);
	bool first;

	if (fd < 0)
		return false;
	first = read(fd, boot, STORE_BOOT_LEN) != STORE_BOOT_LEN || strcmp(boot, daemon->boot);
	if (first &&
		(ftruncate(fd, 0) || pwrite(fd, daemon->boot, STORE_BOOT_LEN, 0) != STORE_BOOT_LEN))
		log_add(&daemon->log, "%s/autostarted: %s", daemon->run, strerror(errno));
	close(fd);
	return first;
}

static void note_waiting(struct daemon *daemon)
{
	const int fd = open_autostarted(daemon);
	off_t at = STORE_BOOT_LEN;
	int r = fd < 0 ? -errno : 0;

	for (const struct guest *guest = daemon->guests; guest && !r; guest = guest->next)
		if (guest->late && guest->autostart && guest->state == RECORD_OFF) {
			r = io_pwrite_all(fd, guest->config.uuid, DOMAIN_UUID_LEN, at);
			at += DOMAIN_UUID_LEN;
		}
	if (!r && ftruncate(fd, at))
		r = -errno;
	if (r)
		log_add(&daemon->log, "%s/autostarted: %s", daemon->run, strerror(-r));
	if (fd >= 0)
		close(fd);
}

/* Those that a daemon before could not start yet. How many. */
static unsigned read_waiting(struct daemon *daemon)
{
	const int fd = open_autostarted(daemon);
	char uuid[DOMAIN_UUID_LEN + 1] = "";
	off_t at = STORE_BOOT_LEN;
	unsigned count = 0;

	while (fd >= 0 && pread(fd, uuid, DOMAIN_UUID_LEN, at) == DOMAIN_UUID_LEN) {
		struct guest *guest = guest_by_uuid(daemon, uuid);

		if (guest)
			guest->late = true;
		count += guest != NULL;
		at += DOMAIN_UUID_LEN;
	}
	if (fd >= 0)
		close(fd);
	return count;
}

static bool time_can_mend(int r)
{
	static const int passing[] = {ENOENT, ENODEV, EBUSY, ETIMEDOUT, ENOMEM, ENOSPC};

	for (unsigned i = 0; i < sizeof passing / sizeof *passing; i++)
		if (r == -passing[i])
			return true;
	return false;
}

/* How many are still to come. first: of all that start with the host; else of those that could not. */
static unsigned autostart_some(struct daemon *daemon, bool first, bool last)
{
	struct guest **guests;
	const unsigned count = snapshot(daemon, &guests);
	unsigned left = 0;
	bool slow = false;

	for (unsigned i = 0; i < count; i++) {
		struct guest *guest = guests[i];
		struct error err = {0};
		bool again;
		int r;

		if (!guest->autostart || guest->state != RECORD_OFF || !(first || guest->late))
			continue;
		/* The next would have to wait as long; and the daemon waits for each. */
		r = slow ? error_set(&err, ETIMEDOUT, "this host is too slow for another guest")
			 : life_start(guest, false, &err);
		slow = r == -ETIMEDOUT;
		if (!r) {
			if (!first)
				guest_log(guest, "is started", "what it lacked is there");
			continue;
		}
		again = time_can_mend(r) && !last;
		if (first || !again)
			log_add(&daemon->log, GUEST_LABEL ": cannot be started%s: %s",
				guest->config.name, again ? " yet" : "", err.text);
		guest->late = again;
		left += again;
	}
	free(guests);
	note_waiting(daemon);
	return left;
}

static void autostart_later(struct daemon *daemon)
{
	loop_timer_arm(&daemon->late_timer, clock_now() + LATE_SECONDS * 1000000000ull);
}

static void autostart_again(void *ctx)
{
	struct daemon *daemon = ctx;
	const bool last = ++daemon->late_tries >= LATE_TRIES;

	if (daemon->root && !daemon->rules_late && network_retry(daemon) == -ETIMEDOUT)
		rules_later(daemon);
	if (autostart_some(daemon, false, last) && !last)
		autostart_later(daemon);
}

/* What a guest needs, a bridge or a disk of the network's, may come after the daemon. */
static void autostart(struct daemon *daemon, bool boot)
{
	loop_timer_init(&daemon->late_timer, daemon->loop, autostart_again, daemon);
	if (boot ? autostart_some(daemon, true, false) : read_waiting(daemon))
		autostart_later(daemon);
}

static int find_vmm(struct daemon *daemon, struct error *err)
{
	const char *given = getenv("DACH_VMM");

	if (given && snprintf(daemon->vmm, sizeof daemon->vmm, "%s", given) < sizeof daemon->vmm)
		return 0;
	if (!folder_program("dach-vmm", "../libexec/dach/dach-vmm", daemon->vmm,
		    sizeof daemon->vmm))
		return 0;
	return error_set(err, ENOENT,
		"dach-vmm is neither beside this program nor in ../libexec/dach");
}

void daemon_reload(struct daemon *daemon)
{
	struct error err = {0};

	if (policy_load(&daemon->policy, daemon->policy_path, &err))
		log_add(&daemon->log, "the policy stays as it was: %s", err.text);
	else
		log_add(&daemon->log, "policy read");
	peers_listen(daemon);
}

int daemon_create(const struct daemon_options *options, struct daemon **out, struct error *err)
{
	struct daemon *daemon = calloc(1, sizeof *daemon);
	int r;

	*out = NULL;
	if (!daemon)
		return error_nomem(err);
	log_init(&daemon->log, 2);
	if (options->log)
		log_to_file(&daemon->log, options->log);
	daemon->lock_fd = daemon->run_lock_fd = -1;
	daemon->root = geteuid() == 0;
	daemon->policy_path = options->policy ? options->policy : daemon->root ? POLICY : NULL;
	r = find_vmm(daemon, err);
	if (!r)
		r = read_boot(daemon, err);
	if (!r)
		r = cpuset_host_read("/sys", &daemon->cpus, err);
	if (!r)
		r = take_folder(daemon, err);
	if (!r)
		r = policy_load(&daemon->policy, daemon->policy_path, err);
	if (!r)
		r = loop_create(&daemon->loop, err);
	if (!r) {
		engines_init(&daemon->engines, daemon->loop);
		clock_rate_begin(&daemon->clock_rate, daemon->loop);
		r = peers_create(daemon, err);
	}
	if (!r)
		r = open_store(daemon, err);
	if (r) {
		daemon_destroy(daemon);
		return r;
	}
	*out = daemon;
	return 0;
}

static void look_at_walls(struct daemon *daemon)
{
	daemon->walls = host_walls();
	for (unsigned wall = 0; wall < WALLS; wall++)
		if (!(daemon->walls & 1u << wall))
			log_add(&daemon->log, "this host gives guests' monitors no %s%s",
				wall_words[wall],
				daemon->policy.walls & 1u << wall ? ", and the policy wants them"
								  : "");
}

void daemon_begin(struct daemon *daemon)
{
	const bool boot = first_of_boot(daemon);
	int r;

	log_add(&daemon->log, "dachd " DACH_VERSION " in %s", daemon->state);
	look_at_walls(daemon);
	resources_open(daemon);
	r = network_restore(daemon, boot);
	recover(daemon);
	if (r != -ETIMEDOUT)
		r = links_mend(daemon, NULL);
	links_sweep(daemon);
	container_files_begin(daemon);
	rules_begin(daemon, r == -ETIMEDOUT);
	peers_listen(daemon);
	autostart(daemon, boot);
}

void daemon_run(struct daemon *daemon)
{
	loop_run(daemon->loop);
}

void daemon_destroy(struct daemon *daemon)
{
	if (!daemon)
		return;
	while (daemon->guests)
		guest_free(daemon->guests);
	operation_free_all(daemon);
	peers_destroy(daemon);
	network_free_all(daemon);
	rules_end(daemon);
	if (daemon->late_timer.fire)
		loop_timer_cancel(&daemon->late_timer);
	resources_close(daemon);
	engines_free(&daemon->engines);
	clock_rate_end(&daemon->clock_rate);
	store_close(daemon->store);
	loop_destroy(daemon->loop);
	policy_free(&daemon->policy);
	log_free(&daemon->log);
	if (daemon->lock_fd >= 0)
		close(daemon->lock_fd);
	if (daemon->run_lock_fd >= 0)
		close(daemon->run_lock_fd);
	free(daemon);
}
