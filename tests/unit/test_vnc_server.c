/* SPDX-License-Identifier: Apache-2.0 */
/* The VNC server's doors: silent clients and wrong passwords keep nobody out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "machine/vga/registers.h"
#include "machine/vga/vga.h"
#include "socket_rig.h"
#include "vnc/internal.h"

#define CLIENTS 8 /* that a door takes */

struct rig {
	struct sockaddr_un at[VNC_DOORS];
	socklen_t at_len[VNC_DOORS];
	int first[VNC_DOORS]; /* a client that says nothing */
	int monitor;
	struct vnc_server server;
	pthread_t thread;
};

static void *serve(void *ctx)
{
	struct error err = {""};

	vnc_serve(ctx, &err);
	return NULL;
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof *rig);
	int monitor[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, monitor), 0);
	rig->monitor = monitor[0];
	rig->server.monitor = monitor[1];
	rig->server.memory = calloc(1, VGA_MEMORY + VGA_PAGE);
	rig->server.name = "web";
	for (unsigned i = 0; i < VNC_DOORS; i++) {
		rig->server.door[i] =
			(struct vnc_door){make_socket(&rig->first[i]), i ? NULL : "secret"};
		rig->at_len[i] = sizeof rig->at[i];
		assert_int_equal(getsockname(rig->server.door[i].fd, (struct sockaddr *)&rig->at[i],
					 &rig->at_len[i]),
			0);
	}
	assert_int_equal(pthread_create(&rig->thread, NULL, serve, &rig->server), 0);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	close(rig->monitor);
	pthread_join(rig->thread, NULL);
	close(rig->server.monitor);
	for (unsigned i = 0; i < VNC_DOORS; i++) {
		close(rig->server.door[i].fd);
		close(rig->first[i]);
	}
	free((void *)rig->server.memory);
	free(rig);
	return 0;
}

static void hear(int fd, void *bytes, size_t len)
{
	assert_int_equal(recv(fd, bytes, len, MSG_WAITALL), len);
}

static void say(int fd, const void *bytes, size_t len)
{
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

/* One that has been accepted. */
static int connect_to(const struct rig *rig, unsigned door)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char version[12];

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 60},
		sizeof(struct timeval));
	assert_int_equal(connect(fd, (const struct sockaddr *)&rig->at[door], rig->at_len[door]),
		0);
	hear(fd, version, sizeof version);
	return fd;
}

/* As far as the challenge: the answer that this password has to it. */
static int challenged(const struct rig *rig, const char *password, uint8_t answer[VNC_CHALLENGE])
{
	uint8_t challenge[VNC_CHALLENGE], offer[2];
	int fd = connect_to(rig, 0);

	say(fd, "RFB 003.008\n", 12);
	hear(fd, offer, 2);
	assert_int_equal(offer[1], 2);
	say(fd, "\2", 1);
	hear(fd, challenge, sizeof challenge);
	vnc_password_answer(password, challenge, answer);
	return fd;
}

/* The server's word about an answer: 0 when it was right. */
static uint32_t verdict(int fd)
{
	uint8_t bytes[4];

	hear(fd, bytes, 4);
	return bytes[3];
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void silent_clients_keep_nobody_out(void **state)
{
	struct rig *rig = *state;
	uint8_t answer[VNC_CHALLENGE], bytes[24 + 3];
	int silent[4 * CLIENTS], in[CLIENTS];

	for (unsigned i = 0; i < 4 * CLIENTS; i++)
		silent[i] = connect_to(rig, i % VNC_DOORS);
	/* Those who are in stay, whoever comes. */
	for (unsigned i = 0; i < CLIENTS; i++) {
		in[i] = challenged(rig, "secret", answer);
		say(in[i], answer, sizeof answer);
		assert_int_equal(verdict(in[i]), 0);
		say(in[i], "\1", 1);
		hear(in[i], bytes, sizeof bytes);
	}
	/* The other door is open still. */
	close(connect_to(rig, 1));
	for (unsigned i = 0; i < CLIENTS; i++) {
		say(in[i], "\3\0\0\0\0\0\0\1\0\1", 10);
		hear(in[i], bytes, 4);
		close(in[i]);
	}
	for (unsigned i = 0; i < 4 * CLIENTS; i++)
		close(silent[i]);
}

static void passwords_come_one_a_second(void **state)
{
	struct rig *rig = *state;
	uint8_t wrong[VNC_CHALLENGE], also[VNC_CHALLENGE], right[VNC_CHALLENGE];
	/* All are connected before the first of them says anything. */
	int first = challenged(rig, "Secret", wrong), second = challenged(rig, "secret", right),
	    third = challenged(rig, "sEcret", also);
	int64_t begin = now_ms();

	say(first, wrong, sizeof wrong);
	assert_int_equal(verdict(first), 1);
	say(third, also, sizeof also);
	say(second, right, sizeof right);
	/* New ones are accepted meanwhile. */
	close(connect_to(rig, 0));
	assert_int_equal(verdict(second), 0); /* its connection is older */
	assert_true(now_ms() - begin >= 1000);
	assert_int_equal(verdict(third), 1);
	close(first);
	close(second);
	close(third);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(silent_clients_keep_nobody_out, setup, teardown),
		cmocka_unit_test_setup_teardown(passwords_come_one_a_second, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
