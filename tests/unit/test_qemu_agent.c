/* SPDX-License-Identifier: Apache-2.0 */
/* Commands by qemu-guest-agent: a caller on one side, one that plays that agent on the other, and lies. */
#include "agent_rig.h"

#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

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

static int set_up(void **state)
{
	struct guest *guest = calloc(1, sizeof *guest);
	struct error err;

	rig_open(&guest->rig);
	assert_int_equal(loop_create(&guest->loop, &err), 0);
	assert_int_equal(exec_create(&guest->rig.pci, &guest->rig.mem, guest->loop,
				 &(struct exec_config){.qemu = true}, &guest->exec, &err),
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

static void put(struct guest *guest, int fd, unsigned type, const void *payload, size_t size)
{
	const struct agent_header header = {size, 1, type, 0};

	assert_int_equal(send(fd, &header, sizeof header, 0), sizeof header);
	assert_int_equal(send(fd, payload, size, 0), size);
	work(guest);
}

static void got(int fd, unsigned type, unsigned stream, const void *payload, size_t size)
{
	struct agent_header header = {0, 0, 0, 0};
	char bytes[1024] = "";

	assert_int_equal(recv(fd, &header, sizeof header, 0), sizeof header);
	assert_int_equal(header.type, type);
	assert_int_equal(header.stream, stream);
	assert_true(header.length < sizeof bytes);
	if (header.length)
		assert_int_equal(recv(fd, bytes, header.length, 0), header.length);
	if (payload && (header.length != size || memcmp(bytes, payload, size)))
		fail_msg("%.*s", (int)header.length, bytes);
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

static void test_a_command(void **state)
{
	struct guest *guest = *state;
	static const char *const words[] = {"sh", "/etc", "env", "A=b c", "cat", "-n"};
	json_t *asked, *arguments, *list;
	int fd = call(guest, &usual);

	synchronize(guest);
	got(fd, AGENT_READY, 0, "", 0);
	put(guest, fd, AGENT_DATA, "in\n", 3);
	got(fd, AGENT_CREDIT, AGENT_STDIN, "\3\0\0\0", 4);
	put(guest, fd, AGENT_EOF, "", 0);
	asked = hears(guest, "guest-exec");
	arguments = json_object_get(asked, "arguments");
	list = json_object_get(arguments, "arg");
	for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
		assert_string_equal(json_string_value(json_array_get(list, 2 + i)), words[i]);
	assert_int_equal(json_array_size(list), 8);
	assert_string_equal(json_string_value(json_object_get(arguments, "input-data")), "aW4K");
	assert_true(json_is_true(json_object_get(arguments, "capture-output")));
	json_decref(asked);
	answer(guest, "{\"return\": {\"pid\": 77}}\n");
	hears_only(guest, "guest-exec-status");
	answer(guest, "{\"return\": {\"exited\": false}}\r\n");
	put(guest, fd, AGENT_SIGNAL, "\x0f\0\0\0", 4);
	asked = hears(guest, "guest-exec");
	list = json_object_get(json_object_get(asked, "arguments"), "arg");
	assert_non_null(strstr(json_string_value(json_array_get(list, 1)), "kill -15 -77"));
	json_decref(asked);
	answer(guest, "{\"return\": {\"pid\": 78}}\n");
	hears_only(guest, "guest-exec-status"); /* of 78, which is forgotten then */
	answer(guest, "{\"return\": {\"exited\": true, \"exitcode\": 0}}\n");
	hears_only(guest, "guest-exec-status");
	answer(guest,
		"{\"return\": {\"exited\": true, \"signal\": 15, \"out-data\": \"b3V0\", "
		"\"err-data\": \"ZXJyCg==\"}}\n");
	got(fd, AGENT_DATA, AGENT_STDOUT, "out", 3);
	got(fd, AGENT_DATA, AGENT_STDERR, "err\n", 4);
	got(fd, AGENT_EOF, AGENT_STDOUT, "", 0);
	got(fd, AGENT_EOF, AGENT_STDERR, "", 0);
	got(fd, AGENT_EXIT, 0, "\x8f\0\0\0", 4);
	close(fd);
	work(guest);
}

/* One with a terminal gets its lines as that wants them, and is not asked for input; who has gone is hung up on. */
static void test_terminal_and_leaving(void **state)
{
	struct guest *guest = *state;
	const struct agent_open what = {.terminal = true,
		.user = "ann:staff",
		.folder = "",
		.argv = argv,
		.env = env + 1};
	json_t *asked;
	int fd;

	synchronize(guest);
	fd = call(guest, &what);
	got(fd, AGENT_READY, 0, "", 0);
	asked = hears(guest, "guest-exec");
	assert_string_equal(json_string_value(json_array_get(json_object_get(json_object_get(asked,
										     "arguments"),
								     "arg"),
				    9)),
		"--");
	json_decref(asked);
	answer(guest, "{\"return\": {\"pid\": 5}}\n");
	hears_only(guest, "guest-exec-status");
	answer(guest,
		"{\"return\": {\"exited\": true, \"exitcode\": 3, \"out-data\": \"YQpiCg==\"}}\n");
	got(fd, AGENT_DATA, AGENT_STDOUT, "a\r\nb\r\n", 6);
	close(fd);
	work(guest);
	fd = call(guest, &what);
	hears_only(guest, "guest-exec");
	close(fd);
	work(guest);
	answer(guest, "{\"return\": {\"pid\": 6}}\n");
	hears_only(guest, "guest-exec"); /* kill -1 */
	answer(guest, "{\"return\": {\"pid\": 7}}\n");
	hears_only(guest, "guest-exec-status");
	answer(guest, "{\"return\": {\"exited\": true}}\n");
	hears_only(guest, "guest-exec-status");
	answer(guest, "{\"return\": {\"exited\": true, \"signal\": 1}}\n");
}

static void test_refusals(void **state)
{
	struct guest *guest = *state;
	static const char *const bad[] = {"\xff", NULL};
	struct agent_open what = usual;
	int fd;

	synchronize(guest);
	what.what = AGENT_SHELL;
	what.argv = env + 1;
	fd = call(guest, &what);
	got(fd, AGENT_READY, 0, "", 0);
	got_failure(fd, 125, "neither shells nor copies");
	what = (struct agent_open){.user = "", .folder = "", .argv = bad, .env = env};
	fd = call(guest, &what);
	got(fd, AGENT_READY, 0, "", 0);
	got_failure(fd, 126, "UTF-8");
	fd = call(guest, &usual);
	got(fd, AGENT_READY, 0, "", 0);
	put(guest, fd, AGENT_EOF, "", 0);
	hears_only(guest, "guest-exec");
	answer(guest,
		"{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"guest-exec is disabled\"}}\n");
	got_failure(fd, 126, "guest-exec is disabled");
	work(guest);
}

/* Whatever it says, the caller gets one sentence and the next one is served. */
static void test_agents_that_lie(void **state)
{
	static const struct {
		const char *start, *status, *says;
	} rows[] = {
		{"[]\n", NULL, "does not say what it has started"},
		{"{\"return\": {\"pid\": -1}}\n", NULL, "does not say what it has started"},
		{"nonsense\n", NULL, "what is no answer"},
		{"{\"return\": {\"pid\": 1}}\n", "{\"return\": 7}\n",
			"nothing of the command that makes sense"},
		{"{\"return\": {\"pid\": 1}}\n",
			"{\"return\": {\"exited\": true, \"out-data\": \"abc\"}}\n", "makes sense"},
		{"{\"return\": {\"pid\": 1}}\n",
			"{\"return\": {\"exited\": true, \"out-data\": \"YQ==\", \"err-data\": 7}}\n",
			"makes sense"},
		{"{\"return\": {\"pid\": 1}}\n",
			"{\"return\": {\"exited\": true, \"exitcode\": 4, \"out-truncated\": true}}\n",
			"its status was 4"},
	};
	struct guest *guest = *state;

	synchronize(guest);
	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		int fd = call(guest, &usual);

		got(fd, AGENT_READY, 0, "", 0);
		put(guest, fd, AGENT_EOF, "", 0);
		hears_only(guest, "guest-exec");
		answer(guest, rows[i].start);
		if (rows[i].status) {
			hears_only(guest, "guest-exec-status");
			answer(guest, rows[i].status);
		}
		got_failure(fd, 125, rows[i].says);
		work(guest);
		if (i == 2)
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
		got(fd, AGENT_READY, 0, "", 0);
		put(guest, fd, AGENT_EOF, "", 0);
		hears_only(guest, "guest-exec");
		answer(guest, line);
		if (many) {
			got_failure(fd, 125, "what is no answer");
			break;
		}
		hears_only(guest, "guest-exec-status");
		answer(guest, "{\"return\": {\"exited\": true, \"exitcode\": 0}}\n");
		got(fd, AGENT_EOF, AGENT_STDOUT, "", 0);
		close(fd);
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

/* What a command has put out, as the agent carries it. */
static void test_output(void **state)
{
	static const struct {
		const char *text, *bytes;
	} good[] = {{"", ""}, {"YQ==", "a"}, {"YWI=", "ab"}, {"YWJj", "abc"},
		{"/+9hYmM=", "\xff\xef\x61\x62\x63"}};
	static const char *const bad[] = {"a", "abc", "ab=c", "====", "YQ=a", "Y===", "\xc3\xbc=="};
	struct qemu_status status;
	json_t *answer;

	for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
		size_t size = strlen(good[i].bytes);

		answer = json_pack("{s:b, s:i, s:s}", "exited", 1, "exitcode", 0, "out-data",
			good[i].text);
		assert_int_equal(qemu_words_status(answer, false, &status), 0);
		assert_int_equal(bytes_size(&status.out[AGENT_STDOUT]), size);
		if (size)
			assert_memory_equal(status.out[AGENT_STDOUT].at, good[i].bytes, size);
		bytes_free(&status.out[AGENT_STDOUT]);
		json_decref(answer);
	}
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		answer = json_pack("{s:b, s:i, s:s}", "exited", 1, "exitcode", 0, "out-data",
			bad[i]);
		if (qemu_words_status(answer, false, &status) != -EINVAL)
			fail_msg("%s", bad[i]);
		json_decref(answer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_command, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_terminal_and_leaving, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_agents_that_lie, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_values, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_shutdown, set_up, tear_down),
		cmocka_unit_test(test_output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
