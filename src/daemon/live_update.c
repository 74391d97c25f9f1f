/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/live_update.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/launch.h"
#include "daemon/life.h"
#include "daemon/monitor.h"
#include "daemon/note.h"
#include "daemon/nvram.h"
#include "daemon/op.h"
#include "daemon/process.h"
#include "daemon/resources.h"
#include "daemon/saved.h"

#define OP_UPDATED "updated while it runs" /* operation_kind.machine */
#define ENDING_NS \
	5000000000ull /* of an old one that is to end, and has nothing of the guest any more */
#define PATIENCE_NS 60000000000ull /* of a new monitor that was told to go, and does not answer */

struct live_update {
	struct guest *guest;  /* NULL: nothing of it counts any more */
	struct operation *op; /* waits for it; or NULL */
	unsigned calls;       /* that have yet to come back to this */
	int socket[2];        /* what the old monitor offers comes there: ours, and its */
	int line[2];          /* between the two: the old one's end, and the new one's */
	struct guest_handed handed;
	struct monitor *next; /* the new one; once it has the guest, NULL ... */
	struct monitor *old;  /* ... and the old one is here */
	struct loop_fd
		process; /* likewise the new one's, and then the old one's; without a descriptor: it has ended */
	pid_t pid;
	struct loop_timer timer;
	bool asked;      /* the old one has been told to hand the guest over, ... */
	bool failed;     /* ... and has said that it did not and still has it, ... */
	bool lost;       /* ... or that it may have, and has it no more */
	bool there;      /* the new one has the guest, ... */
	int r;           /* why it did not */
	bool told;       /* ... which who waits has been told */
	json_t *figures; /* what the old one says of it; or NULL */
	char why[GUEST_TEXT_MAX];
};

static void decide(struct live_update *update);

/* The end of it */

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* The guest knows nothing of it any more; it is freed with the last call that comes back. */
static void release(struct live_update *update)
{
	if (!update->guest && !update->calls)
		free(update);
}

/* One has come back: whether it counts. */
static bool counts(struct live_update *update)
{
	update->calls--;
	if (update->guest)
		return true;
	release(update);
	return false;
}

static void close_process(struct live_update *update)
{
	if (update->process.ready)
		loop_fd_remove(update->guest->daemon->loop, &update->process);
	update->process.ready = NULL;
	close_one(&update->process.fd);
}

void live_update_free(struct guest *guest)
{
	struct live_update *update = guest->update;
	struct operation *op = update ? update->op : NULL;
	struct error err = {0};

	if (!update)
		return;
	guest->update = NULL;
	if (resources_change(guest, &err))
		guest_log(guest, "keeps the limits of two monitors", err.text);
	loop_timer_cancel(&update->timer);
	close_process(update);
	json_decref(update->figures);
	close_one(&update->handed.ram);
	close_one(&update->handed.variables);
	for (unsigned i = 0; i < LIMIT_NETWORKS; i++)
		close_one(&update->handed.net[i]);
	for (unsigned i = 0; i < 2; i++) {
		close_one(&update->socket[i]);
		close_one(&update->line[i]);
	}
	update->guest = NULL;
	update->op = NULL;
	update->calls++;
	monitor_close(update->next);
	monitor_close(update->old);
	update->calls--;
	release(update);
	if (op)
		op_refuse(op, -EPIPE, "the guest has ended meanwhile");
}

static void kill_process(void *ctx)
{
	const struct live_update *update = ctx;

	if (update->process.fd >= 0)
		pidfd_send_signal(update->process.fd, SIGKILL, NULL, 0);
}

/* The guest stays where it was, as it was. */
static void refuse(struct live_update *update, int r)
{
	struct guest *guest = update->guest;
	struct operation *op = update->op;
	char why[GUEST_TEXT_MAX];

	snprintf(why, sizeof why, "%s", update->why);
	update->op = NULL;
	kill_process(update);
	live_update_free(guest);
	launch_remove_next(guest);
	note_forget(guest, NOTE_UPDATING);
	guest_log(guest, "stays in its monitor", why);
	if (op)
		op_refuse(op, r, why);
}

static json_int_t figure(const json_t *answer, const char *key)
{
	const json_int_t value = json_integer_value(json_object_get(answer, key));

	return value < 0 ? 0 : value;
}

/* The new one has it, and the old one has said how that was, or is not heard any more. */
static void tell(struct live_update *update)
{
	const json_t *answer = update->figures;
	struct operation *op = update->op;
	const struct guest *guest = update->guest;
	char stood[48] = "";

	if (answer)
		snprintf(stood, sizeof stood, "it stood still for %lld us",
			(long long)figure(answer, "pause") / 1000);
	guest_log(guest, "goes on in a new monitor", stood);
	update->op = NULL;
	update->told = true;
	if (op)
		op_finish(op,
			json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "uuid", guest->config.uuid,
				"name", guest->config.name, "pause", figure(answer, "pause"),
				"time", figure(answer, "time"), "bytes", figure(answer, "bytes"),
				"rounds", figure(answer, "rounds")));
}

static void forget(struct guest *guest)
{
	live_update_free(guest);
	launch_remove_next(guest);
}

static void decide(struct live_update *update)
{
	const bool ended = update->process.fd < 0;

	if (update->there && !update->told && (update->figures || update->failed || update->lost))
		tell(update);
	if (update->there && ended && update->told)
		live_update_free(update->guest);
	else if (!update->there && (update->failed || (ended && !update->asked)))
		refuse(update, update->r ? update->r : -EIO);
	else if (!update->there && update->asked && !ended)
		loop_timer_arm(&update->timer, clock_now() + PATIENCE_NS);
	/* It was given away, and who had it is no more: the old one ends, and is helped if it does not. */
	else if (!update->there && (update->lost || update->figures))
		life_end_monitor(update->guest);
	/* Of one that another daemon had asked nobody knows: it goes on in the old one, or that ends by itself. */
	else if (!update->there && update->told)
		forget(update->guest);
}

bool live_update_may_come(const struct guest *guest)
{
	const struct live_update *update = guest->update;

	return update && update->asked && !update->there && update->process.fd >= 0;
}

void live_update_ended(struct guest *guest)
{
	if (guest->reason == END_MIGRATED && note_is_there(guest, NOTE_UPDATING) &&
		!note_is_there(guest, NOTE_DEPARTING)) {
		guest->reason = END_CRASH;
		snprintf(guest->text, sizeof guest->text,
			"its new monitor ended when it had just been handed over to it");
	}
	live_update_free(guest);
}

/* The processes */

static void process_ended(void *ctx, short revents)
{
	struct live_update *update = ctx;

	close_process(update);
	if (!update->why[0])
		snprintf(update->why, sizeof update->why,
			"the new monitor has ended before it had the guest");
	decide(update);
}

static void watch(struct live_update *update)
{
	if (update->process.fd < 0)
		return;
	update->process = (struct loop_fd){.fd = update->process.fd,
		.events = POLLIN,
		.ready = process_ended,
		.ctx = update};
	loop_fd_add(update->guest->daemon->loop, &update->process);
}

/* The guest's process, or none, becomes the update's, and the other way round. Neither is watched. */
static void swap(struct live_update *update)
{
	struct guest *guest = update->guest;
	const struct loop_fd process = {.fd = guest->process.fd};
	const pid_t pid = guest->pid;

	if (guest->process.ready)
		loop_fd_remove(guest->daemon->loop, &guest->process);
	if (update->process.ready)
		loop_fd_remove(guest->daemon->loop, &update->process);
	guest->process = (struct loop_fd){.fd = update->process.fd};
	guest->pid = update->pid;
	update->process = process;
	update->pid = pid;
}

/* The new monitor */

static void ignore(void *ctx, const struct monitor_event *event)
{
}

/* Its process' end says more. */
static void ignore_end(void *ctx, const char *why)
{
}

static const struct monitor_client nobody = {NULL, ignore, ignore_end};

/* It has the guest. */
static void answered(void *ctx, int r, json_t *answer, const char *text)
{
	struct live_update *update = ctx;
	struct guest *guest = update->guest;
	struct monitor *next = update->next;
	struct error err = {0};

	if (!counts(update) || r)
		return;
	update->there = true;
	loop_timer_arm(&update->timer, clock_now() + ENDING_NS);
	if (launch_take_next(guest, &err))
		guest_log(guest, "goes on in a new monitor, whose files cannot be named", err.text);
	else
		note_forget(guest, NOTE_UPDATING);
	update->next = NULL;
	update->old = guest->monitor;
	if (update->old)
		monitor_set_client(update->old, &nobody);
	swap(update);
	watch(update);
	life_adopt(guest, next, answer);
	decide(update);
}

static int connect_next(struct live_update *update, struct error *err)
{
	struct guest *guest = update->guest;
	int fd, r = launch_connect(guest, "control.next", &fd, err);

	if (!r)
		r = monitor_create(guest->daemon->loop, fd, &nobody, &update->next, err);
	if (r)
		return r;
	update->calls++;
	monitor_call(update->next, &(struct monitor_request){.verb = REQUEST_INFO}, -1, 0, answered,
		update);
	return 0;
}

static int start_next(struct live_update *update, struct error *err)
{
	struct guest *guest = update->guest;
	int r;

	guest->state_fd = update->line[1];
	guest->state_name = strdup("its monitor until now");
	guest->arriving = true;
	guest->handed = &update->handed;
	update->line[1] = -1;
	swap(update);
	r = guest->state_name ? launch_start_next(guest, err) : error_nomem(err);
	swap(update);
	guest->handed = NULL;
	guest->arriving = false;
	guest_drop_state(guest);
	life_watch(guest);
	watch(update);
	return r ? r : connect_next(update, err);
}

/* The old one */

static void handed_over(void *ctx, int r, json_t *answer, const char *text)
{
	struct live_update *update = ctx;
	const struct monitor *old;

	if (!counts(update))
		return;
	old = update->there ? update->old : update->guest->monitor;
	/* Without its word nobody knows how far it was. */
	update->lost =
		r == -ENOTRECOVERABLE || r == -EPIPE || (r && (!old || monitor_is_closed(old)));
	update->failed = r && !update->lost;
	update->r = r;
	if (!r)
		update->figures = json_incref(answer);
	else
		snprintf(update->why, sizeof update->why, "%s", text);
	decide(update);
}

static bool is_network(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && (S_ISCHR(st.st_mode) || S_ISSOCK(st.st_mode));
}

/* Nothing else that the monitor might send is to reach another. */
static int take(struct live_update *update, const json_t *answer, struct error *err)
{
	const json_t *networks = json_object_get(answer, "networks"), *network;
	const bool memory = json_get_true(answer, "memory");
	const bool variables = json_get_true(answer, "variables");
	int fd[2 + LIMIT_NETWORKS], count, used = 0, r = 0;
	struct stat st;
	size_t i;

	count = descriptors_receive(update->socket[0], fd, 2 + LIMIT_NETWORKS);
	if (count != (int)json_array_size(networks) + memory + variables)
		r = -EPROTO;
	if (!r && memory) {
		update->handed.ram = fd[used++];
		r = !fstat(update->handed.ram, &st) && S_ISREG(st.st_mode) ? 0 : -EPROTO;
	}
	if (!r && variables) {
		update->handed.variables = fd[used++];
		r = guest_nvram_is(update->guest, update->handed.variables) ? 0 : -EPROTO;
	}
	json_array_foreach(networks, i, network)
	{
		const uint64_t n = (uint64_t)json_get_number(network, "network");
		const uint64_t mtu = (uint64_t)json_get_number(network, "mtu");

		if (r || n >= LIMIT_NETWORKS || update->handed.net[n] >= 0 || mtu > NET_MTU_MAX ||
			!is_network(fd[used])) {
			r = -EPROTO;
			break;
		}
		update->handed.net[n] = fd[used++];
		update->handed.mtu[n] = (unsigned)mtu;
	}
	for (; used < count; used++)
		close(fd[used]);
	return r ? error_set(err, -r, "the guest's monitor has not offered what it should") : 0;
}

static bool has_variables(const struct guest *guest)
{
	enum firmware firmware;

	return !domain_config_firmware(&guest->config, &firmware, NULL) &&
		firmware == FIRMWARE_UEFI;
}

static void offered(void *ctx, int r, json_t *answer, const char *text)
{
	struct live_update *update = ctx;
	struct guest *guest = update->guest;
	struct error err = {0};

	if (!counts(update))
		return;
	if (r)
		error_set(&err, -r, "%s", text);
	else
		r = take(update, answer, &err);
	if (!r && has_variables(guest) && update->handed.variables < 0)
		r = error_set(&err, EOPNOTSUPP,
			"the guest's monitor is of a dach that cannot pass UEFI's variables on");
	if (!r && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, update->line))
		r = error_set(&err, errno, "no connection between two monitors: %s",
			strerror(errno));
	if (!r)
		r = note_write(guest, NOTE_UPDATING, json_object(), &err);
	if (!r)
		r = start_next(update, &err);
	if (r) {
		snprintf(update->why, sizeof update->why, "%s", err.text);
		refuse(update, r);
		return;
	}
	update->asked = true;
	update->calls++;
	monitor_call(guest->monitor,
		&(struct monitor_request){.verb = REQUEST_MIGRATE,
			.local = true,
			.handed = update->handed.ram >= 0},
		update->line[0], 0, handed_over, update);
	close_one(&update->line[0]);
}

/* What is asked for */

static int may_update(const struct guest *guest, struct error *err)
{
	if (guest->held || guest->destroying || guest->ending)
		return error_set(err, EINVAL, "the guest has ended");
	if (guest->update || guest->departing)
		return error_set(err, EBUSY, "the guest is going to another monitor already");
	if (saved_is_noted(guest))
		return error_set(err, EBUSY, "the guest is being saved");
	if (note_is_there(guest, NOTE_LAYERING) || note_is_there(guest, NOTE_MOVING) ||
		guest->committing || guest->plugging || guest->snapshots.busy)
		return error_set(err, EBUSY, "the guest's disks are being changed");
	return 0;
}

static struct live_update *make(struct guest *guest)
{
	struct live_update *update = calloc(1, sizeof *update);

	if (!update)
		return NULL;
	*update = (struct live_update){.guest = guest,
		.socket = {-1, -1},
		.line = {-1, -1},
		.handed = {.ram = -1, .variables = -1},
		.process = {.fd = -1}};
	memset(update->handed.net, -1, sizeof update->handed.net);
	loop_timer_init(&update->timer, guest->daemon->loop, kill_process, update);
	guest->update = update;
	return update;
}

static void begin(struct operation *op)
{
	struct guest *guest = op_running_guest(op);
	struct live_update *update;
	struct error err = {0};
	int r = guest ? may_update(guest, &err) : 0;

	if (!guest)
		return;
	update = r ? NULL : make(guest);
	if (!r && !update)
		r = error_nomem(&err);
	if (!r && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, update->socket))
		r = error_set(&err, errno, "no connection for an update: %s", strerror(errno));
	if (r) {
		if (update) /* else it is another's, which goes on */
			live_update_free(guest);
		op_refuse_error(op, r, &err);
		return;
	}
	update->op = op;
	update->calls++;
	monitor_call(guest->monitor, &(struct monitor_request){.verb = REQUEST_OFFER},
		update->socket[1], OP_VERB_TIMEOUT_MS, offered, update);
	close_one(&update->socket[1]);
}

const struct operation_kind operation_live_update = {"guest_live_update", "Migrated", .guest = true,
	.machine = OP_UPDATED, .run = begin};

/* After another daemon */

void live_update_recover(struct guest *guest)
{
	struct live_update *update;
	struct error err = {0};
	bool there;
	int r;

	if (!note_is_there(guest, NOTE_UPDATING) || !(update = make(guest)))
		return;
	swap(update);
	there = launch_look_next(guest);
	swap(update);
	if (!there) {
		live_update_free(guest);
		return;
	}
	guest_log(guest, "was about to go on in a new monitor", "");
	update->asked = update->told = true;
	watch(update);
	r = connect_next(update, &err);
	if (r == -ENOENT) {
		/* It has the guest: a daemon was killed while its files took the others' places. */
		live_update_free(guest);
		if (launch_take_next(guest, &err))
			guest_log(guest, "its files cannot be named", err.text);
		else
			note_forget(guest, NOTE_UPDATING);
		return;
	}
	/* One that cannot be asked does nothing that anybody would know of. */
	if (r)
		kill_process(update);
	decide(update);
}

void live_update_settle(const struct guest *guest)
{
	/* The note stays: it may have been given away, and end for that. */
	if (!guest->update && note_is_there(guest, NOTE_UPDATING))
		launch_remove_next(guest);
}
