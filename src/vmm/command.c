/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"
#include "vmm/agent.h"

#define SESSION 1u
#define PATIENCE_S 60u /* for a guest to be ready: then a line says that it is not */
#define OFF_S 30u      /* for a guest to write its file systems and be off */

struct command {
	const struct vmm_command *what;
	struct guest_monitor *monitor;
	struct machine *machine;
	struct agent *agent;
	struct loop_timer late, off;
	struct loop_work credit_work;
	size_t written[AGENT_STREAMS];   /* atomic: not yet told to the agent */
	bool reader_gone[AGENT_STREAMS]; /* atomic */
	/* The loop's thread: */
	uint32_t in_room;                 /* the command takes so much input */
	uint32_t out_room[AGENT_STREAMS]; /* and may send so much */
	uint16_t columns, rows;
	bool running, ended, input_over, asked, hung_up;
	bool sick; /* it ended because of the guest, not of the command */
	uint32_t status;
	struct error error;
};

static void stop(void *ctx)
{
	struct command *command = ctx;

	machine_stop(command->machine);
}

/* All is said; of disks that are kept the guest writes what it still has. */
static void finish(struct command *command)
{
	command->ended = true;
	command->running = false;
	loop_timer_cancel(&command->late);
	if (command->what->keeps && !agent_send(command->agent, 0, AGENT_POWEROFF, 0, NULL, 0))
		loop_timer_arm(&command->off, clock_now() + OFF_S * 1000000000ull);
	else
		machine_stop(command->machine);
}

static void fail(struct command *command, uint32_t status, const char *why, size_t len)
{
	command->sick = status == END_STATUS_COMMAND;
	command->status = status;
	error_set(&command->error, EIO, "%.*s", (int)len, why);
	finish(command);
}

static void tell_late(void *ctx)
{
	if (!((struct command *)ctx)->what->quiet)
		fprintf(stderr,
			"dach run: the guest is not ready after %u seconds; --verbose shows what it says\n",
			PATIENCE_S);
}

/* By itself the guest knows it to half a second: what it reads at its start, the RTC, has whole ones. */
static int send_time(struct command *command)
{
	struct timespec now;
	uint64_t ns;

	clock_gettime(CLOCK_REALTIME, &now);
	ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	return agent_send(command->agent, 0, AGENT_TIME, 0, &ns, sizeof ns);
}

static void begin(struct command *command)
{
	const struct vmm_command *what = command->what;
	const struct agent_open open = {.terminal = what->terminal,
		.columns = command->columns,
		.rows = command->rows,
		.user = what->user ? what->user : "",
		.folder = what->folder ? what->folder : "",
		.argv = what->argv,
		.env = what->env};
	size_t size;
	char *payload = agent_open_write(&open, &size);
	static const char none[] = "the command and its environment are longer than 1 MiB";

	loop_timer_cancel(&command->late);
	if (!payload || send_time(command) ||
		agent_send_mounts(command->agent, what->share, what->shares) ||
		agent_send(command->agent, SESSION, AGENT_OPEN, 0, payload, size)) {
		fail(command, END_STATUS_COMMAND, none, sizeof none - 1);
	} else {
		command->running = true;
		command->in_room = AGENT_WINDOW;
		command->out_room[AGENT_STDOUT] = command->out_room[AGENT_STDERR] = AGENT_WINDOW;
		if (command->input_over)
			command_input_over(command);
		monitor_room(command->monitor);
	}
	free(payload);
}

/* Room that was given is more than what comes, or the guest does as it likes. */
static void take_output(struct command *command, const struct agent_header *header,
	const char *payload)
{
	uint32_t *room = &command->out_room[header->stream];
	static const char flood[] = "the guest's agent sends more than there is room for";

	if (header->length > *room) {
		fail(command, END_STATUS_COMMAND, flood, sizeof flood - 1);
		return;
	}
	*room -= header->length;
	monitor_stream(command->monitor, header->stream, (const uint8_t *)payload, header->length);
}

static uint32_t number_of(const char *payload)
{
	uint32_t number;

	memcpy(&number, payload, sizeof number);
	return number;
}

static void frame_of_session(struct command *command, const struct agent_header *header,
	const char *payload)
{
	switch (header->type) {
	case AGENT_DATA:
		take_output(command, header, payload);
		break;
	case AGENT_CREDIT:
		if (number_of(payload) <= AGENT_WINDOW - command->in_room)
			command->in_room += number_of(payload);
		monitor_room(command->monitor);
		break;
	case AGENT_EXIT:
		command->status = number_of(payload) & 255;
		finish(command);
		break;
	case AGENT_FAILED:
		fail(command, number_of(payload) & 255, payload + 4, header->length - 4);
		break;
	}
}

static void frame(void *ctx, const struct agent_header *header, const char *payload)
{
	struct command *command = ctx;

	if (command->ended)
		return;
	if (header->session == SESSION && command->running)
		frame_of_session(command, header, payload);
	if (header->session)
		return;
	if (header->type == AGENT_READY && !command->running)
		begin(command);
	else if (header->type == AGENT_FAILED)
		fail(command, END_STATUS_COMMAND, payload + 4, header->length - 4);
}

static void gone(void *ctx, const char *why)
{
	struct command *command = ctx;
	static const char closed[] = "the guest's agent has ended before the command did";

	if (command->ended || (!why && !command->running))
		return;
	if (!why)
		why = closed;
	fail(command, END_STATUS_COMMAND, why, strlen(why));
}

/* What the front asks */

size_t command_input(struct command *command, const uint8_t *data, size_t len)
{
	size_t done = 0;

	if (command->ended)
		return len; /* nobody wants it */
	while (command->running && done < len && command->in_room) {
		size_t n = len - done < AGENT_DATA_MAX ? len - done : AGENT_DATA_MAX;

		if (n > command->in_room)
			n = command->in_room;
		if (agent_send(command->agent, SESSION, AGENT_DATA, AGENT_STDIN, data + done, n))
			break;
		command->in_room -= n;
		done += n;
	}
	return done;
}

void command_input_over(struct command *command)
{
	command->input_over = true;
	if (command->running)
		agent_send(command->agent, SESSION, AGENT_EOF, AGENT_STDIN, NULL, 0);
}

static void give_room(void *ctx)
{
	struct command *command = ctx;

	if (!command->running)
		return;
	for (unsigned stream = AGENT_STDOUT; stream < AGENT_STREAMS; stream++) {
		size_t n = __atomic_exchange_n(&command->written[stream], 0, __ATOMIC_ACQ_REL);

		command->out_room[stream] += n;
		if (n)
			agent_send_number(command->agent, SESSION, AGENT_CREDIT, stream, n);
		/* As a program whose reader has gone would be told. */
		if (__atomic_load_n(&command->reader_gone[stream], __ATOMIC_ACQUIRE) &&
			!command->hung_up) {
			command->hung_up = true;
			agent_send_number(command->agent, SESSION, AGENT_SIGNAL, 0, SIGPIPE);
		}
	}
}

void command_written(struct command *command, unsigned stream, size_t len, bool reader_gone)
{
	__atomic_add_fetch(&command->written[stream], len, __ATOMIC_ACQ_REL);
	if (reader_gone)
		__atomic_store_n(&command->reader_gone[stream], true, __ATOMIC_RELEASE);
	loop_post(monitor_loop(command->monitor), &command->credit_work);
}

void command_resize(struct command *command, unsigned columns, unsigned rows)
{
	command->columns = columns;
	command->rows = rows;
	if (command->running)
		agent_send_number(command->agent, SESSION, AGENT_RESIZE, 0,
			(columns & 0xffff) | rows << 16);
}

void command_ask(struct command *command)
{
	int signal = monitor_asked_by(command->monitor);

	if (!command->running && !command->ended)
		machine_stop(command->machine);
	else if (!command->asked)
		agent_send_number(command->agent, SESSION, AGENT_SIGNAL, 0,
			signal ? signal : SIGTERM);
	command->asked = true;
}

void command_result(const struct command *command, struct end_report *end)
{
	if (command->ended) {
		end->reason = END_POWEROFF;
		end->status = command->status;
		end->error = command->error;
	} else {
		end->status = END_STATUS_COMMAND;
		if (end->reason != END_KILLED)
			error_set(&end->error, EIO, "the guest has ended before the command did");
	}
	if (command->ended ? command->sick : end->reason != END_KILLED)
		monitor_show_console(command->monitor);
}

/* Life */

int command_create(const struct vmm_command *what, struct guest_monitor *monitor,
	struct machine *machine, struct command **out, struct error *err)
{
	struct command *command = calloc(1, sizeof *command);
	const struct agent_owner owner = {command, frame, gone};
	int r;

	if (!command)
		return error_nomem(err);
	command->what = what;
	command->monitor = monitor;
	command->machine = machine;
	command->credit_work = (struct loop_work){.run = give_room, .ctx = command};
	loop_timer_init(&command->late, monitor_loop(monitor), tell_late, command);
	loop_timer_init(&command->off, monitor_loop(monitor), stop, command);
	r = agent_create(machine_pci(machine), machine_memory(machine), monitor_loop(monitor),
		&owner, &command->agent, err);
	if (r) {
		command_destroy(command);
		return r;
	}
	loop_timer_arm(&command->late, clock_now() + PATIENCE_S * 1000000000ull);
	*out = command;
	return 0;
}

void command_destroy(struct command *command)
{
	if (!command)
		return;
	loop_timer_cancel(&command->late);
	loop_timer_cancel(&command->off);
	loop_unpost(monitor_loop(command->monitor), &command->credit_work);
	agent_destroy(command->agent);
	free(command);
}
