/* SPDX-License-Identifier: Apache-2.0 */
/* Our agent, brought by qemu-guest-agent: a caller on one side, one that plays that agent on the other, and lies. */
#include "agent_rig.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "vmm/exec.h"
#include "vmm/qemu_words.h"

static const char *const env[] = {"A=b c", NULL}, *const argv[] = {"cat", "-n", NULL};

static void work(struct guest *guest)
{
	for (unsigned i = 0; i < 4; i++)
		settle(guest);
}

static void answer(struct guest *guest, const char *line)
{
	say(guest, TX, line, strlen(line));
	work(guest);
}

/* The loop's timers run until it hears something. */
static void await(struct guest *guest)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	for (unsigned i = 0; i < 10000; i++) {
		work(guest);
		if (guest->ring[RX].used->idx != guest->ring[RX].seen)
			break;
		nanosleep(&pause, NULL);
	}
}

/* What it is asked next: an object, the caller's to json_decref(). */
static json_t *hears(struct guest *guest, const char *command)
{
	static unsigned slot;
	char line[8192];
	size_t used = 0, size;
	json_t *asked;
	const char *from;

	do {
		give(guest, RX, slot++ % 8);
		await(guest);
		from = heard(guest, RX, &size);
		assert_true(used + size < sizeof line);
		memcpy(line + used, from, size);
		used += size;
	} while (line[used - 1] != '\n');
	from = line;
	if (*from == '\xff')
		from++, used--;
	asked = json_loadb(from, used, 0, NULL);
	assert_non_null(asked);
	assert_string_equal(json_string_value(json_object_get(asked, "execute")), command);
	return asked;
}

static void hears_only(struct guest *guest, const char *command)
{
	json_decref(hears(guest, command));
}

static void synchronize(struct guest *guest)
{
	json_t *asked = hears(guest, "guest-sync-delimited");
	char line[64];

	snprintf(line, sizeof line, "\xff{\"return\": %lld}\n",
		json_integer_value(json_object_get(json_object_get(asked, "arguments"), "id")));
	json_decref(asked);
	answer(guest, "{\"return\": {\"of\": \"before\"}}\n{\"ret");
	answer(guest, line);
}

static int program;

static int set_up(void **state)
{
	struct guest *guest = calloc(1, sizeof *guest);
	struct exec_config config = {.qemu = true};
	struct error err;

	config.program = program = memfd_create("program", MFD_CLOEXEC);
	assert_int_equal(io_pwrite_all(program, "a program", 9, 0), 0);
	rig_open(&guest->rig);
	assert_int_equal(loop_create(&guest->loop, &err), 0);
	assert_int_equal(exec_create(&guest->rig.pci, &guest->rig.mem, guest->loop, &config,
				 &guest->exec, &err),
		0);
	rig_config_write(&guest->rig, PCI_COMMAND, 4, 6);
	open_port_of(guest, "org.qemu.guest_agent.0");
	work(guest);
	*state = guest;
	return 0;
}

static int tear_down(void **state)
{
	struct guest *guest = *state;

	exec_destroy(guest->exec);
	loop_destroy(guest->loop);
	rig_close(&guest->rig);
	close(program);
	free(guest);
	return 0;
}

/* A caller who asks for this. */
static int call(struct guest *guest, const struct agent_open *what)
{
	struct agent_header header = {0, 1, AGENT_OPEN, 0};
	struct error err = {""};
	size_t size;
	char *payload = agent_open_write(what, &size);
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	assert_int_equal(exec_take(guest->exec, ends[1], &err), 0);
	header.length = size;
	assert_int_equal(send(ends[0], &header, sizeof header, 0), sizeof header);
	assert_int_equal(send(ends[0], payload, size, 0), size);
	free(payload);
	work(guest);
	return ends[0];
}

static bool hears_nothing(struct guest *guest)
{
	give(guest, RX, 0);
	work(guest);
	return guest->ring[RX].used->idx == guest->ring[RX].seen;
}

static void got_failure(int fd, uint32_t status, const char *says)
{
	struct agent_header header;
	char bytes[1024] = "";

	assert_int_equal(recv(fd, &header, sizeof header, 0), sizeof header);
	assert_int_equal(header.type, AGENT_FAILED);
	assert_int_equal(recv(fd, bytes, header.length, 0), header.length);
	assert_memory_equal(bytes, &status, sizeof status);
	if (!strstr(bytes + 4, says))
		fail_msg("%s", bytes + 4);
	close(fd);
}

static const struct agent_open usual = {.user = "", .folder = "/etc", .argv = argv, .env = env};

static void frame(struct guest *guest, unsigned type, const void *payload, size_t size)
{
	const struct agent_header header = {size, 0, type, 0};
	uint8_t bytes[64];

	memcpy(bytes, &header, sizeof header);
	memcpy(bytes + sizeof header, payload, size);
	say(guest, TX, bytes, sizeof header + size);
	work(guest);
}

/* It is asked once, ours comes, and has the command. */
static void test_brought(void **state)
{
	struct guest *guest = *state;
	const uint32_t version = AGENT_VERSION;
	const struct agent_header *header;
	struct agent_header ready;
	json_t *asked, *arguments;
	size_t size;
	int fd = call(guest, &usual), other;

	synchronize(guest);
	asked = hears(guest, "guest-exec");
	arguments = json_object_get(asked, "arguments");
	assert_string_equal(json_string_value(json_object_get(arguments, "path")), "/bin/sh");
	assert_string_equal(json_string_value(json_object_get(arguments, "input-data")),
		"YSBwcm9ncmFt");
	assert_non_null(
		strstr(json_string_value(json_array_get(json_object_get(arguments, "arg"), 1)),
			AGENT_SENT));
	json_decref(asked);
	other = call(guest, &usual);
	answer(guest, "{\"return\": {\"pid\": 77}}\n");
	hears_only(guest, "guest-exec-status");
	answer(guest, "{\"return\": {\"exited\": false}}\r\n");
	hears_only(guest, "guest-exec-status");
	answer(guest, "{\"return\": {\"exited\": true, \"exitcode\": 0}}\n");
	assert_true(hears_nothing(guest));
	guest->rig.slot = 2;
	rig_config_write(&guest->rig, PCI_COMMAND, 4, 6);
	open_port(guest);
	work(guest);
	frame(guest, AGENT_HELLO, &version, sizeof version);
	frame(guest, AGENT_READY, "", 0);
	assert_int_equal(recv(fd, &ready, sizeof ready, 0), sizeof ready);
	assert_int_equal(ready.type, AGENT_READY);
	assert_int_equal(recv(other, &ready, sizeof ready, 0), sizeof ready);
	give(guest, RX, 0);
	await(guest);
	header = heard(guest, RX, &size);
	assert_true(size >= sizeof *header);
	assert_int_equal(header->type, AGENT_OPEN);
	close(fd);
	close(other);
	work(guest);
}

/* One that goes in the middle is asked again when it comes back. */
static void test_goes_and_comes(void **state)
{
	struct guest *guest = *state;
	int fd = call(guest, &usual);

	synchronize(guest);
	hears_only(guest, "guest-exec");
	answer(guest, "{\"return\": {\"pid\": 77}}\n");
	hears_only(guest, "guest-exec-status");
	control(guest, VIRTIO_CONSOLE_PORT_OPEN, 0);
	work(guest);
	control(guest, VIRTIO_CONSOLE_PORT_OPEN, 1);
	work(guest);
	synchronize(guest);
	hears_only(guest, "guest-exec");
	close(fd);
}

/* Whatever it says, the callers get one sentence and the next one is served. */
static void test_failures(void **state)
{
	static const struct {
		const char *start, *status, *says;
	} rows[] = {
		{"{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"guest-exec is disabled\"}}\n",
			NULL, "refuses: guest-exec is disabled"},
		{"{\"error\": 7}\n", NULL, "refuses"},
		{"[]\n", NULL, "does not say what it has started"},
		{"{\"return\": {\"pid\": -1}}\n", NULL, "does not say what it has started"},
		{"nonsense\n", NULL, "what is no answer"},
		{"{\"return\": {\"pid\": 1}}\n", "{\"return\": 7}\n", "that makes sense"},
		{"{\"return\": {\"pid\": 1}}\n",
			"{\"return\": {\"exited\": true, \"err-data\": \"abc\"}}\n",
			"that makes sense"},
		{"{\"return\": {\"pid\": 1}}\n",
			"{\"return\": {\"exited\": true, \"err-data\": 7}}\n", "that makes sense"},
		{"{\"return\": {\"pid\": 1}}\n",
			"{\"return\": {\"exited\": true, \"exitcode\": 1, \"err-data\": \"bm93aGVyZQpsaW5lCg==\"}}\n",
			"could not start our agent: nowhere"},
		{"{\"return\": {\"pid\": 1}}\n",
			"{\"return\": {\"exited\": true, \"signal\": 9}}\n",
			"could not start our agent"},
	};
	struct guest *guest = *state;

	synchronize(guest);
	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		int fd = call(guest, &usual);

		hears_only(guest, "guest-exec");
		answer(guest, rows[i].start);
		if (rows[i].status) {
			hears_only(guest, "guest-exec-status");
			answer(guest, rows[i].status);
		}
		got_failure(fd, 125, rows[i].says);
		work(guest);
		if (!strcmp(rows[i].start, "nonsense\n"))
			synchronize(guest);
	}
	answer(guest, "{\"return\": {}}\n\n\xff\n");
}

/* What would be a hundred times as much once it is read; in a text it is nothing but text. */
static void test_many_values(void **state)
{
	struct guest *guest = *state;
	char line[4096];
	int fd;

	synchronize(guest);
	for (unsigned many = 0; many < 2; many++) {
		size_t size = snprintf(line, sizeof line, "{\"return\": {\"pid\": 7, \"x\": %s",
			many ? "[" : "\"\\\"");

		for (unsigned i = 0; i < 300; i++)
			size += snprintf(line + size, sizeof line - size, many ? "{}," : "{,");
		snprintf(line + size, sizeof line - size, "%s}}\n", many ? "0]" : "\"");
		fd = call(guest, &usual);
		hears_only(guest, "guest-exec");
		answer(guest, line);
		if (!many) {
			hears_only(guest, "guest-exec-status");
			answer(guest, "{\"return\": {\"exited\": true, \"exitcode\": 1}}\n");
		}
		got_failure(fd, 125, many ? "what is no answer" : "could not start");
		work(guest);
	}
}

static void test_shutdown(void **state)
{
	struct guest *guest = *state;

	assert_int_equal(exec_shutdown(guest->exec), -ENOTSUP);
	assert_int_equal(exec_shutdown(NULL), -ENOTSUP);
	synchronize(guest);
	assert_int_equal(exec_shutdown(guest->exec), 0);
	work(guest);
	hears_only(guest, "guest-shutdown");
	control(guest, VIRTIO_CONSOLE_PORT_OPEN, 0);
	work(guest);
	assert_int_equal(exec_shutdown(guest->exec), -ENOTSUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_brought, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_goes_and_comes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_values, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_shutdown, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
