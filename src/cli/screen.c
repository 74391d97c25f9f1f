/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's screen from the command line: its picture, its keys, a viewer. All by way of the daemon. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <png.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/rfb.h"
#include "client/client.h"

/* A guest by any of its names, for xl's sentence about one that is not there; then its screen. */
static int open_screen(struct cli *cli, int *fd)
{
	struct error err = {""};
	json_t *guest;
	int status = call_guest(cli, "GET", cli->words[0], "", NULL, &guest);

	*fd = -1;
	if (status)
		return status;
	status = client_screen(cli->client, json_get_text(guest, "uuid"), fd, &err)
		? cli_fail(cli, &err)
		: 0;
	json_decref(guest);
	return status;
}

/* The picture */

static int write_picture(struct cli *cli, const char *name, const struct rfb *rfb,
	const uint8_t *pixels)
{
	png_image image = {.version = PNG_IMAGE_VERSION,
		.width = rfb->width,
		.height = rfb->height,
		.format = PNG_FORMAT_RGB};
	bool is_output = !strcmp(name, "-"), is_file, good;
	FILE *out = is_output ? stdout : fopen(name, "we");
	int why = errno;
	struct stat st;

	if (!out)
		return cli_say(cli, "%s: %s", name, strerror(why));
	/* What is no file, a device or a pipe, is nothing of ours to take away. */
	is_file = !is_output && !fstat(fileno(out), &st) && S_ISREG(st.st_mode);
	errno = 0;
	good = png_image_write_to_stdio(&image, out, 0, pixels, 0, NULL) && !fflush(out);
	why = errno;
	if (!is_output && fclose(out) && good) {
		good = false;
		why = errno;
	}
	if (good)
		return 0;
	if (is_file)
		unlink(name);
	return cli_say(cli, "%s: cannot be written: %s", name, why ? strerror(why) : image.message);
}

static int screenshot(struct cli *cli)
{
	struct error err = {""};
	char name[256];
	uint8_t *pixels;
	struct rfb rfb;
	int fd, status;

	if (!cli_words(cli))
		return cli->status;
	status = open_screen(cli, &fd);
	if (status)
		return status;
	snprintf(name, sizeof name, "%s.png", cli->words[0]);
	if (rfb_begin(&rfb, fd, &err) || rfb_picture(&rfb, &pixels, &err)) {
		status = cli_fail(cli, &err);
	} else {
		status = write_picture(cli, cli->words[1] ? cli->words[1] : name, &rfb, pixels);
		free(pixels);
	}
	close(fd);
	return status;
}

/* Keys */

#define SHIFT 0xffe1u

static const struct {
	const char *name;
	uint32_t keysym;
} keys[] = {
	{"alt", 0xffe9},
	{"altgr", 0xfe03},
	{"backspace", 0xff08},
	{"capslock", 0xffe5},
	{"ctrl", 0xffe3},
	{"delete", 0xffff},
	{"down", 0xff54},
	{"end", 0xff57},
	{"enter", 0xff0d},
	{"esc", 0xff1b},
	{"home", 0xff50},
	{"insert", 0xff63},
	{"left", 0xff51},
	{"menu", 0xff67},
	{"numlock", 0xff7f},
	{"pagedown", 0xff56},
	{"pageup", 0xff55},
	{"pause", 0xff13},
	{"plus", '+'},
	{"print", 0xff61},
	{"right", 0xff53},
	{"scrolllock", 0xff14},
	{"shift", SHIFT},
	{"space", ' '},
	{"super", 0xffeb},
	{"sysrq", 0xff15},
	{"tab", 0xff09},
	{"up", 0xff52},
};

/* 0: there is no such key. */
static uint32_t keysym_of(const char *name, size_t len)
{
	unsigned n = 0;
	char end;

	if (len == 1 && *name > ' ' && *name <= '~')
		return (uint8_t)*name;
	if ((*name == 'f' || *name == 'F') && len <= 3 &&
		sscanf(name + 1, "%2u%c", &n, &end) >= 1 && n >= 1 && n <= 12)
		return 0xffbe + n - 1;
	for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++)
		if (strlen(keys[i].name) == len && !strncasecmp(keys[i].name, name, len))
			return keys[i].keysym;
	return 0;
}

#define TOGETHER 8

/* "ctrl+alt+delete"; how many, 0: it is none. */
static unsigned read_keys(const char *word, uint32_t keysym[TOGETHER])
{
	unsigned count = 0;

	for (const char *at = word; count < TOGETHER;) {
		size_t len = strcspn(at + 1, "+") + 1; /* "+" itself is a key */

		keysym[count] = *at ? keysym_of(at, len) : 0;
		if (!keysym[count++])
			return 0;
		if (!at[len])
			return count;
		at += len + 1;
	}
	return 0;
}

static bool needs_shift(uint32_t keysym)
{
	return keysym < 0x80 &&
		strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ!@#$%^&*()_+{}|:\"~<>?", (int)keysym);
}

/* Pressed in their order, let go in the opposite one. */
static int press(struct rfb *rfb, const uint32_t *keysym, unsigned count, struct error *err)
{
	bool shift = count == 1 && needs_shift(*keysym);
	int r = shift ? rfb_key(rfb, SHIFT, true, err) : 0;

	for (unsigned i = 0; !r && i < count; i++)
		r = rfb_key(rfb, keysym[i], true, err);
	for (unsigned i = count; !r && i--;)
		r = rfb_key(rfb, keysym[i], false, err);
	return !r && shift ? rfb_key(rfb, SHIFT, false, err) : r;
}

static int type_text(struct rfb *rfb, const char *text, struct error *err)
{
	int r = 0;

	for (; !r && *text; text++) {
		uint32_t keysym = *text == '\n' ? 0xff0d : *text == '\t' ? 0xff09 : (uint8_t)*text;

		r = press(rfb, &keysym, 1, err);
	}
	return r;
}

enum { TEXT = 1 };

static const struct option_spec key_options[] = {
	{"text", TEXT, NULL, "the words are texts, typed character by character on a US keyboard"},
	{NULL, 0, NULL, NULL},
};

static int check_words(struct cli *cli, bool text)
{
	uint32_t keysym[TOGETHER];

	for (const char *const *word = cli->words + 1; *word; word++) {
		for (const char *at = *word; text && *at; at++)
			if ((uint8_t)*at > '~')
				return cli_say(cli, "'%s' has characters that no US keyboard has",
					*word);
		if (!text && !read_keys(*word, keysym))
			return cli_say(cli, "'%s' is no key (see dach send-key --help)", *word);
	}
	return 0;
}

static int send_key(struct cli *cli)
{
	struct error err = {""};
	uint32_t keysym[TOGETHER];
	bool text = false;
	struct rfb rfb;
	int id, fd, r, status;

	while ((id = cli_option(cli)) > 0)
		text |= id == TEXT;
	if (id == CLI_END)
		return cli->status;
	status = check_words(cli, text);
	if (!status)
		status = open_screen(cli, &fd);
	if (status)
		return status;
	r = rfb_begin(&rfb, fd, &err);
	for (const char *const *word = cli->words + 1; !r && *word; word++)
		r = text ? type_text(&rfb, *word, &err)
			 : press(&rfb, keysym, read_keys(*word, keysym), &err);
	/* Who goes lets go of all keys: not before they are pressed. */
	if (!r)
		r = rfb_settle(&rfb, &err);
	close(fd);
	return r ? cli_fail(cli, &err) : 0;
}

/* A viewer */

static int listen_here(uint16_t *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 1) ||
		getsockname(fd, (struct sockaddr *)&at, &size))
		return -errno;
	*port = ntohs(at.sin_port);
	return fd;
}

/* Whose connection from that port of 127.0.0.1 to ours it is: as Linux tells it. False: not this user's. */
static bool is_ours(uint16_t from, uint16_t to)
{
	FILE *table = fopen("/proc/net/tcp", "re");
	char line[512];
	bool ours = false;

	while (table && !ours && fgets(line, sizeof line, table)) {
		unsigned local, local_port, remote, remote_port, state, uid;

		if (sscanf(line, " %*u: %x:%x %x:%x %x %*x:%*x %*x:%*x %*x %u", &local, &local_port,
			    &remote, &remote_port, &state, &uid) == 6)
			ours = local_port == from && remote_port == to &&
				local == htonl(INADDR_LOOPBACK) && uid == getuid();
	}
	if (table)
		fclose(table);
	return ours;
}

/* The viewer's connection, or -1: it has ended before. */
static int accept_viewer(int listening, uint16_t port, pid_t viewer)
{
	struct sockaddr_in peer;
	socklen_t size = sizeof peer;
	int fd;

	for (;;) {
		struct pollfd wait = {listening, POLLIN, 0};

		if (poll(&wait, 1, 200) > 0) {
			fd = accept4(listening, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
			if (fd >= 0 && is_ours(ntohs(peer.sin_port), port))
				return fd;
			if (fd >= 0)
				close(fd);
		} else if (waitpid(viewer, NULL, WNOHANG | WNOWAIT) > 0 || kill(viewer, 0)) {
			return -1;
		}
	}
}

/* Bytes from one to the other; false: that end is over. */
static bool carry(int from, int to)
{
	char data[65536];
	ssize_t n = recv(from, data, sizeof data, 0), sent = 0;

	while (n > sent) {
		ssize_t part = send(to, data + sent, n - sent, MSG_NOSIGNAL);

		if (part < 0)
			return false;
		sent += part;
	}
	return n > 0;
}

static void relay(int one, int other)
{
	struct pollfd fds[2] = {{one, POLLIN, 0}, {other, POLLIN, 0}};

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		if (fds[0].revents && !carry(one, other))
			return;
		if (fds[1].revents && !carry(other, one))
			return;
	}
}

static pid_t start_viewer(uint16_t port)
{
	const char *program = getenv("VNCVIEWER");
	char where[32];
	pid_t pid;

	snprintf(where, sizeof where, "127.0.0.1::%u", port);
	pid = fork();
	if (pid)
		return pid;
	execlp(program ? program : "vncviewer", program ? program : "vncviewer", where, NULL);
	fprintf(stderr, "dach vncviewer: %s: %s%s\n", program ? program : "vncviewer",
		strerror(errno),
		program ? "" : " (install tigervnc-viewer, or name another by VNCVIEWER)");
	_exit(127);
}

static int show(struct cli *cli, int screen)
{
	uint16_t port = 0;
	int listening = listen_here(&port), viewer_fd, status = 0;
	pid_t viewer;

	if (listening < 0)
		return cli_say(cli, "no socket for a viewer: %s", strerror(-listening));
	viewer = start_viewer(port);
	if (viewer < 0)
		return cli_say(cli, "no process for a viewer: %s", strerror(errno));
	viewer_fd = accept_viewer(listening, port, viewer);
	close(listening);
	if (viewer_fd >= 0) {
		relay(screen, viewer_fd);
		close(viewer_fd);
	}
	while (waitpid(viewer, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : CLI_FAILURE;
}

enum { AUTOPASS = 1 };

static const struct option_spec viewer_options[] = {
	{"autopass", AUTOPASS, NULL, "as xl has it: no password is asked for in any case"},
	{"a", AUTOPASS, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

static int vncviewer(struct cli *cli)
{
	int id, fd, status;

	while ((id = cli_option(cli)) > 0)
		;
	if (id == CLI_END)
		return cli->status;
	status = open_screen(cli, &fd);
	if (status)
		return status;
	status = show(cli, fd);
	close(fd);
	return status;
}

static const char key_more[] =
	"KEY is a character, or f1 to f12, enter, esc, tab, space, backspace, delete, insert, home, end,\n"
	"pageup, pagedown, up, down, left, right, print, pause, sysrq, menu, plus, ctrl, alt, altgr, shift,\n"
	"super, capslock, numlock, scrolllock; several at once as in ctrl+alt+delete.\n";

const struct cli_verb cli_screen_verbs[] = {
	{"screenshot", "GUEST [FILE]",
		"Write what a guest's screen shows to a file (GUEST.png), or -", 1, 2,
		.run = screenshot, .plain = true},
	{"send-key", "GUEST KEY...", "Press keys of a guest's keyboard", 2, CLI_WORDS_MAX,
		.options = key_options, .run = send_key, .more = key_more, .plain = true},
	{"vncviewer", "GUEST", "Show a guest's screen in a viewer (vncviewer, or VNCVIEWER's)", 1,
		1, .options = viewer_options, .run = vncviewer, .plain = true},
	{.name = NULL},
};
