/* SPDX-License-Identifier: Apache-2.0 */
/* What monitor and agent say to each other, and the port over which they do. */
#include "agent_rig.h"

static const char *const argv[] = {"sh", "-c", "echo \"$A\"", "", NULL};
static const char *const env[] = {"A=b c", "EMPTY=", NULL};
static const struct agent_open whole = {AGENT_COMMAND, true, 80, 25, "nobody:tty", "/tmp", argv,
	env};

static void test_open_round(void **state)
{
	struct agent_open got;
	const char **words;
	size_t size;
	char *payload = agent_open_write(&whole, &size);

	assert_non_null(payload);
	assert_true(agent_open_read(payload, size, &got, &words));
	assert_true(got.terminal);
	assert_int_equal(got.columns, 80);
	assert_int_equal(got.rows, 25);
	assert_string_equal(got.user, "nobody:tty");
	assert_string_equal(got.folder, "/tmp");
	for (unsigned i = 0; i < 4; i++)
		assert_string_equal(got.argv[i], argv[i]);
	assert_null(got.argv[4]);
	assert_string_equal(got.env[0], "A=b c");
	assert_string_equal(got.env[1], "EMPTY=");
	assert_null(got.env[2]);
	free(words);
	free(payload);
}

/* Each payload that is cut or has another byte somewhere is refused, or is one within its bounds. */
static void test_open_hostile(void **state)
{
	struct agent_open got;
	const char **words;
	size_t size;
	char *payload = agent_open_write(&whole, &size), *copy;

	for (size_t cut = 0; cut < size; cut++) {
		copy = malloc(cut ? cut : 1); /* its end is where it ends */
		memcpy(copy, payload, cut);
		assert_false(agent_open_read(copy, cut, &got, &words));
		assert_null(words);
		free(copy);
	}
	copy = malloc(size);
	for (size_t at = 0; at < size; at++)
		for (unsigned value = 0; value < 256; value++) {
			memcpy(copy, payload, size);
			copy[at] = value;
			if (agent_open_read(copy, size, &got, &words))
				for (const char *const *word = got.argv; *word; word++)
					assert_in_range(*word - copy, 16, size - 1);
			free(words);
		}
	free(copy);
	free(payload);
}

static void test_open_long(void **state)
{
	char *text = calloc(1, AGENT_OPEN_MAX);
	const char *const words[] = {text, NULL}, *const none[] = {NULL};
	const struct agent_open open_ = {.user = "", .folder = "", .argv = words, .env = none};
	size_t size;

	memset(text, 'x', AGENT_OPEN_MAX - 1);
	assert_null(agent_open_write(&open_, &size));
	assert_int_equal(size, 0);
	free(text);
}

static void test_mount(void **state)
{
	const struct agent_mount mount = {.read_only = true,
		.overlay = true,
		.tag = "dach0",
		.path = "/mnt/a b"};
	static char long_path[AGENT_MOUNT_MAX + 2] = "/";
	struct agent_mount got;
	size_t size;
	char *payload = agent_mount_write(&mount, &size);

	assert_non_null(payload);
	assert_true(agent_mount_read(payload, size, &got));
	assert_true(got.read_only && got.overlay);
	assert_string_equal(got.tag, "dach0");
	assert_string_equal(got.path, "/mnt/a b");
	for (size_t cut = 0; cut < size; cut++)
		assert_false(agent_mount_read(payload, cut, &got));
	payload[0] |= 4; /* a bit that means nothing */
	assert_false(agent_mount_read(payload, size, &got));
	payload[0] &= ~4;
	payload[4] = '/'; /* a tag that leads somewhere */
	assert_false(agent_mount_read(payload, size, &got));
	payload[4] = 'd';
	payload[10] = 'm'; /* a path that does not begin at the root */
	assert_false(agent_mount_read(payload, size, &got));
	free(payload);
	memset(long_path + 1, 'x', AGENT_MOUNT_MAX);
	assert_null(
		agent_mount_write(&(struct agent_mount){.tag = "dach0", .path = long_path}, &size));
}

static void test_headers(void **state)
{
	static const struct {
		struct agent_header header;
		bool monitor, agent;
	} rows[] = {
		{{1, 1, AGENT_DATA, AGENT_STDIN}, true, false},
		{{1, 1, AGENT_DATA, AGENT_STDOUT}, false, true},
		{{1, 1, AGENT_DATA, AGENT_STDERR}, false, true},
		{{1, 1, AGENT_DATA, 3}, false, false},
		{{0, 1, AGENT_DATA, AGENT_STDOUT}, false, false},
		{{AGENT_DATA_MAX + 1, 1, AGENT_DATA, AGENT_STDOUT}, false, false},
		{{4, 1, AGENT_CREDIT, AGENT_STDIN}, false, true},
		{{4, 1, AGENT_CREDIT, AGENT_STDOUT}, true, false},
		{{3, 1, AGENT_CREDIT, AGENT_STDOUT}, false, false},
		{{0, 1, AGENT_EOF, AGENT_STDIN}, true, false},
		{{4, 0, AGENT_HELLO, 0}, false, true},
		{{4, 1, AGENT_EXIT, 0}, false, true},
		{{4, 1, AGENT_EXIT, 1}, false, false},
		{{2000, 1, AGENT_FAILED, 0}, false, false},
		{{100, 1, AGENT_OPEN, 0}, true, false},
		{{AGENT_OPEN_MAX + 1, 1, AGENT_OPEN, 0}, false, false},
		{{0, 0, 0, 0}, false, false},
		{{0, 0, AGENT_TYPES, 0}, false, false},
		{{0, 0, 255, 0}, false, false},
	};

	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(agent_header_valid(&rows[i].header, true), rows[i].monitor);
		assert_int_equal(agent_header_valid(&rows[i].header, false), rows[i].agent);
	}
}

static void frame(void *ctx, const struct agent_header *header, const char *payload)
{
	struct guest *guest = ctx;

	guest->frames++;
	guest->last = *header;
	memcpy(guest->payload, payload,
		header->length < sizeof guest->payload ? header->length : sizeof guest->payload);
}

static void gone(void *ctx, const char *why)
{
	struct guest *guest = ctx;

	guest->gone++;
	guest->why = why;
}

static int set_up(void **state)
{
	struct guest *guest = calloc(1, sizeof *guest);
	const struct agent_owner owner = {guest, frame, gone};
	struct error err;

	rig_open(&guest->rig);
	assert_int_equal(loop_create(&guest->loop, &err), 0);
	assert_int_equal(agent_create(&guest->rig.pci, &guest->rig.mem, guest->loop, &owner,
				 &guest->agent, &err),
		0);
	rig_config_write(&guest->rig, PCI_COMMAND, 4, 6);
	open_port(guest);
	*state = guest;
	return 0;
}

static int tear_down(void **state)
{
	struct guest *guest = *state;

	agent_destroy(guest->agent);
	loop_destroy(guest->loop);
	rig_close(&guest->rig);
	free(guest);
	return 0;
}

/* Frames in pieces, several in one, and what does not belong to any stream. */
static void test_frames(void **state)
{
	struct guest *guest = *state;
	struct {
		struct agent_header header;
		char text[8];
	} data = {{8, 7, AGENT_DATA, AGENT_STDOUT}, "12345678"}, two[2] = {data, data};

	for (size_t i = 0; i < sizeof data; i++) {
		settle(guest);
		assert_int_equal(guest->frames, 0);
		say(guest, TX, (char *)&data + i, 1);
	}
	settle(guest);
	assert_int_equal(guest->frames, 1);
	assert_memory_equal(&guest->last, &data.header, sizeof data.header);
	assert_memory_equal(guest->payload, "12345678", 8);
	say(guest, TX, two, sizeof two);
	settle(guest);
	assert_int_equal(guest->frames, 3);
	assert_int_equal(guest->gone, 0);
}

/* What the guest has no buffers for comes when it has some. */
static void test_send(void **state)
{
	struct guest *guest = *state;
	struct agent_header header;
	const char *bytes;
	uint32_t number;
	size_t size;

	assert_int_equal(agent_send_number(guest->agent, 3, AGENT_SIGNAL, 0, 15), 0);
	give(guest, RX, 0);
	settle(guest);
	bytes = heard(guest, RX, &size);
	assert_int_equal(size, sizeof header + 4);
	memcpy(&header, bytes, sizeof header);
	memcpy(&number, bytes + sizeof header, 4);
	assert_int_equal(header.session, 3);
	assert_int_equal(header.type, AGENT_SIGNAL);
	assert_int_equal(number, 15);
}

static void test_rules_broken(void **state)
{
	struct guest *guest = *state;
	struct agent_header header = {4, 1, AGENT_SIGNAL, 0}, good = {4, 0, AGENT_HELLO, 0};

	say(guest, TX, &header, sizeof header);
	settle(guest);
	assert_int_equal(guest->frames, 0);
	assert_int_equal(guest->gone, 1);
	assert_non_null(guest->why);
	assert_int_equal(agent_send(guest->agent, 1, AGENT_CLOSE, 0, NULL, 0), -ENOBUFS);
	/* It is heard no more, */
	say(guest, TX, &good, sizeof good);
	say(guest, TX, "1234", 4);
	settle(guest);
	assert_int_equal(guest->frames, 0);
	/* until another opens the port. */
	control(guest, VIRTIO_CONSOLE_PORT_OPEN, 0);
	control(guest, VIRTIO_CONSOLE_PORT_OPEN, 1);
	settle(guest);
	assert_int_equal(guest->gone, 2);
	assert_null(guest->why);
	say(guest, TX, &good, sizeof good);
	say(guest, TX, "1234", 4);
	settle(guest);
	assert_int_equal(guest->frames, 1);
}

/* More than may be on the way at all, while nobody takes it. */
static void test_flood(void **state)
{
	struct guest *guest = *state;
	static char bytes[0x10000];

	for (unsigned i = 0; i < 200; i++)
		say(guest, TX, bytes, sizeof bytes);
	settle(guest);
	assert_int_equal(guest->gone, 1);
	assert_string_equal(guest->why, "the guest's agent sends more than there is room for");
}

/* The driver goes, and another comes: it is told of the port anew. */
static void test_reset(void **state)
{
	struct guest *guest = *state;

	say(guest, TX, "123", 3); /* the beginning of a frame, which is lost */
	settle(guest);
	open_port(guest);
	settle(guest);
	assert_int_equal(guest->gone, 1);
	assert_null(guest->why);
	guest->gone = 0;
	test_frames(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_round),
		cmocka_unit_test(test_open_hostile),
		cmocka_unit_test(test_open_long),
		cmocka_unit_test(test_mount),
		cmocka_unit_test(test_headers),
		cmocka_unit_test_setup_teardown(test_frames, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_send, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rules_broken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_flood, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reset, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
