/* SPDX-License-Identifier: Apache-2.0 */
/* Commands in a daemon's guest: a caller on one side, an agent on the other, and either may lie. */
#include "agent_rig.h"

#include <sys/socket.h>
#include <unistd.h>

#include "vmm/exec.h"

static const char *const argv[] = {"true", NULL}, *const env[] = {NULL};

static const struct share_spec shares[] = {
	{.folder = "/srv/by-hand"},
	{.folder = "/srv/data", .path = "/data", .read_only = true},
};

static int set_up_with(void **state, unsigned count)
{
	struct guest *guest = calloc(1, sizeof *guest);
	struct error err;

	rig_open(&guest->rig);
	assert_int_equal(loop_create(&guest->loop, &err), 0);
	assert_int_equal(exec_create(&guest->rig.pci, &guest->rig.mem, guest->loop,
				 &(struct exec_config){.share = shares, .shares = count},
				 &guest->exec, &err),
		0);
	rig_config_write(&guest->rig, PCI_COMMAND, 4, 6);
	open_port(guest);
	*state = guest;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, 0);
}

static int set_up_shares(void **state)
{
	return set_up_with(state, 2);
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

/* A caller's end. */
static int call(struct guest *guest)
{
	struct error err = {""};
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	assert_int_equal(exec_take(guest->exec, ends[1], &err), 0);
	return ends[0];
}

static void put(int fd, unsigned session, unsigned type, unsigned stream, const void *payload,
	size_t size)
{
	const struct agent_header header = {size, session, type, stream};

	assert_int_equal(send(fd, &header, sizeof header, MSG_NOSIGNAL), sizeof header);
	assert_int_equal(send(fd, payload, size, MSG_NOSIGNAL), size);
}

static void put_open(int fd)
{
	const struct agent_open what = {.user = "", .folder = "", .argv = argv, .env = env};
	size_t size;
	char *payload = agent_open_write(&what, &size);

	put(fd, 1, AGENT_OPEN, 0, payload, size);
	free(payload);
}

/* The loop does what it has to, however often that makes something new. */
static void work(struct guest *guest)
{
	for (unsigned i = 0; i < 4; i++)
		settle(guest);
}

static void say_frame(struct guest *guest, unsigned session, unsigned type, unsigned stream,
	const void *payload, size_t size)
{
	char bytes[2048];
	const struct agent_header header = {size, session, type, stream};

	memcpy(bytes, &header, sizeof header);
	memcpy(bytes + sizeof header, payload, size);
	say(guest, TX, bytes, sizeof header + size);
}

static void say_number(struct guest *guest, unsigned session, unsigned type, unsigned stream,
	uint32_t number)
{
	say_frame(guest, session, type, stream, &number, sizeof number);
}

static void be_ready(struct guest *guest)
{
	say_number(guest, 0, AGENT_HELLO, 0, AGENT_VERSION);
	say_frame(guest, 0, AGENT_READY, 0, "", 0);
	work(guest);
}

/* The next frame for the caller; false: his end, without one. */
static bool got(int fd, unsigned type, char *payload, size_t size)
{
	struct agent_header header;
	ssize_t n = recv(fd, &header, sizeof header, 0);

	if (n <= 0) {
		assert_int_equal(n, 0);
		return false;
	}
	assert_int_equal(n, sizeof header);
	assert_int_equal(header.session, 1);
	assert_int_equal(header.type, type);
	memset(payload, 0, size);
	assert_true(header.length < size);
	if (header.length)
		assert_int_equal(recv(fd, payload, header.length, 0), header.length);
	return true;
}

/* What the guest hears next: its header, and the session's number. */
static unsigned hears(struct guest *guest, unsigned slot, unsigned type)
{
	struct agent_header header;
	const char *bytes;
	size_t size;

	give(guest, RX, slot);
	work(guest);
	bytes = heard(guest, RX, &size);
	assert_true(size >= sizeof header);
	memcpy(&header, bytes, sizeof header);
	assert_int_equal(header.type, type);
	return header.session;
}

static void test_a_command(void **state)
{
	struct guest *guest = *state;
	char payload[2048];
	uint32_t status;
	unsigned session;
	int fd = call(guest);

	put_open(fd);
	put(fd, 1, AGENT_DATA, AGENT_STDIN, "in", 2);
	work(guest);
	be_ready(guest);
	session = hears(guest, 0, AGENT_OPEN);
	assert_true(session);
	assert_true(got(fd, AGENT_READY, payload, sizeof payload));
	say_frame(guest, session, AGENT_DATA, AGENT_STDOUT, "out", 3);
	say_number(guest, session, AGENT_EXIT, 0, 7);
	work(guest);
	assert_true(got(fd, AGENT_DATA, payload, sizeof payload));
	assert_string_equal(payload, "out");
	assert_true(got(fd, AGENT_EXIT, payload, sizeof payload));
	memcpy(&status, payload, sizeof status);
	assert_int_equal(status, 7);
	assert_false(got(fd, 0, payload, sizeof payload));
	close(fd);
	work(guest);
}

/* Each breaks a rule: the connection ends, the guest hears of no more than its end, and the next one is served. */
static void test_callers_that_lie(void **state)
{
	static const struct {
		unsigned session, type, stream, size;
		bool first; /* instead of AGENT_OPEN */
	} rows[] = {
		{1, AGENT_DATA, AGENT_STDIN, 4, true},
		{2, AGENT_SIGNAL, 0, 4, false},
		{0, AGENT_POWEROFF, 0, 0, false},
		{1, AGENT_EXIT, 0, 4, false},
		{1, AGENT_OPEN, 0, 20, false},
		{1, AGENT_OPEN, 0, 20, true},
		{1, AGENT_CREDIT, AGENT_STDOUT, 4, false},
		{1, AGENT_DATA, AGENT_STDOUT, 4, false},
		{1, 99, 0, 4, false},
	};
	static const char bytes[32] = {1, 2, 3, 4};
	struct guest *guest = *state;
	char payload[2048];

	be_ready(guest);
	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		int fd = call(guest);

		if (!rows[i].first) {
			put_open(fd);
			work(guest);
			assert_true(got(fd, AGENT_READY, payload, sizeof payload));
		}
		put(fd, rows[i].session, rows[i].type, rows[i].stream, bytes, rows[i].size);
		work(guest);
		assert_false(got(fd, 0, payload, sizeof payload));
		close(fd);
	}
	work(guest);
}

static void test_more_input_than_room(void **state)
{
	static const char bytes[AGENT_DATA_MAX];
	struct guest *guest = *state;
	char payload[2048];
	int fd = call(guest);

	be_ready(guest);
	put_open(fd);
	for (unsigned sent = 0; sent < AGENT_WINDOW; sent += sizeof bytes) {
		work(guest);
		put(fd, 1, AGENT_DATA, AGENT_STDIN, bytes, sizeof bytes);
	}
	work(guest);
	assert_true(got(fd, AGENT_READY, payload, sizeof payload));
	put(fd, 1, AGENT_DATA, AGENT_STDIN, bytes, 1);
	work(guest);
	assert_false(got(fd, 0, payload, sizeof payload));
	close(fd);
}

/* An agent that sends more than there is room for fails that command; frames of no command are nothing. */
static void test_agents_that_lie(void **state)
{
	struct guest *guest = *state;
	char bytes[1024] = "", payload[2048];
	unsigned session;
	int fd = call(guest);

	be_ready(guest);
	put_open(fd);
	work(guest);
	session = hears(guest, 0, AGENT_OPEN);
	assert_true(got(fd, AGENT_READY, payload, sizeof payload));
	say_number(guest, session + 1, AGENT_EXIT, 0, 0);
	say_number(guest, session, AGENT_CREDIT, AGENT_STDIN, 1);
	for (unsigned i = 0; i < 5; i++)
		say_frame(guest, session, AGENT_EOF, AGENT_STDERR, "", 0);
	work(guest);
	assert_true(got(fd, AGENT_EOF, payload, sizeof payload));
	for (unsigned sent = 0; sent < AGENT_WINDOW; sent += sizeof bytes) {
		say_frame(guest, session, AGENT_DATA, AGENT_STDOUT, bytes, sizeof bytes);
		work(guest);
		assert_true(got(fd, AGENT_DATA, payload, sizeof payload));
	}
	say_frame(guest, session, AGENT_DATA, AGENT_STDOUT, "x", 1);
	work(guest);
	assert_true(got(fd, AGENT_FAILED, payload, sizeof payload));
	assert_string_equal(payload + 4, "the guest's agent sends more than there is room for");
	assert_false(got(fd, 0, payload, sizeof payload));
	assert_int_equal(hears(guest, 1, AGENT_CLOSE), session);
	close(fd);
}

static void test_the_agent_goes(void **state)
{
	struct guest *guest = *state;
	char payload[2048];
	int fd = call(guest), other;

	be_ready(guest);
	put_open(fd);
	work(guest);
	assert_true(got(fd, AGENT_READY, payload, sizeof payload));
	control(guest, VIRTIO_CONSOLE_PORT_OPEN, 0);
	work(guest);
	assert_true(got(fd, AGENT_FAILED, payload, sizeof payload));
	assert_string_equal(payload + 4, "the guest's agent has ended before the command did");
	close(fd);
	/* Another version's is refused, when it is there. */
	other = call(guest);
	put_open(other);
	control(guest, VIRTIO_CONSOLE_PORT_OPEN, 1);
	say_number(guest, 0, AGENT_HELLO, 0, AGENT_VERSION + 1);
	say_frame(guest, 0, AGENT_READY, 0, "", 0);
	work(guest);
	work(guest);
	assert_true(got(other, AGENT_FAILED, payload, sizeof payload));
	assert_non_null(strstr(payload + 4, "another version's"));
	close(other);
	work(guest);
}

/* Sixteen, also of callers who have gone while their command has not ended. */
static void test_many(void **state)
{
	struct guest *guest = *state;
	struct error err = {""};
	int fd[AGENT_SESSIONS], ends[2];

	be_ready(guest);
	for (unsigned i = 0; i < AGENT_SESSIONS; i++) {
		fd[i] = call(guest);
		put_open(fd[i]);
	}
	work(guest);
	for (unsigned i = 0; i < AGENT_SESSIONS; i++)
		close(fd[i]);
	work(guest);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(exec_take(guest->exec, ends[1], &err), -EBUSY);
	close(ends[0]);
	for (unsigned i = 1; i <= AGENT_SESSIONS; i++)
		say_number(guest, i, AGENT_EXIT, 0, 0);
	work(guest);
	fd[0] = call(guest);
	close(fd[0]);
	work(guest);
	assert_int_equal(exec_take(guest->exec, -1, &err), -EBADF);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(exec_take(NULL, ends[1], &err), -ENOTSUP);
	close(ends[0]);
}

/* Of the folders, an agent that has just come hears of those that it is to mount. */
static void test_folders(void **state)
{
	struct guest *guest = *state;
	struct agent_mount mount;
	char *bytes;

	for (unsigned i = 0; i < 2; i++) {
		say_number(guest, 0, AGENT_HELLO, 0, AGENT_VERSION);
		work(guest);
		assert_int_equal(hears(guest, i, AGENT_MOUNT), 0);
		bytes = memory_ptr(&guest->rig.mem, guest->ring[RX].desc[i].addr, 0x1000);
		assert_true(agent_mount_read(bytes + sizeof(struct agent_header),
			((struct agent_header *)bytes)->length, &mount));
		assert_true(mount.read_only && !mount.overlay);
		assert_string_equal(mount.tag, "dach1");
		assert_string_equal(mount.path, "/data");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_command, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_folders, set_up_shares, tear_down),
		cmocka_unit_test_setup_teardown(test_callers_that_lie, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_more_input_than_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_agents_that_lie, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_agent_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
