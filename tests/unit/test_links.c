/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps, bridges and what a guest may send there, in a network namespace of the test's own: a bridge with two
 * taps, of which one is the guest's and the other its neighbour's. What the guest sends is written to its
 * tap, and what the neighbour gets is read from the other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "links/filter.h"
#include "links/program.h"
#include "links/tap.h"
#include "net/frame.h"

#include "links_rig.h"

#define GUEST "02:00:00:00:00:01"
#define OTHER "02:00:00:00:00:02"

static const uint8_t guest_mac[6] = {2, 0, 0, 0, 0, 1};
static int guest = -1, neighbour = -1;

/* Frames, put together from text: words of hexadecimal digits, addresses of all kinds, other text as it is. */

struct frame {
	uint8_t byte[256];
	size_t len;
	size_t full; /* without what makes it long enough for a wire, which a host may cut off */
};

static void put(struct frame *frame, const void *bytes, size_t len)
{
	assert_true(frame->len + len <= sizeof frame->byte);
	memcpy(frame->byte + frame->len, bytes, len);
	frame->len += len;
}

static void put_word(struct frame *frame, const char *word)
{
	uint8_t bytes[16];
	unsigned value;

	if (strchr(word, '.') && inet_pton(AF_INET, word, bytes) == 1) {
		put(frame, bytes, 4);
	} else if (strlen(word) == 17 && word[2] == ':') {
		for (unsigned i = 0; i < 6; i++) {
			assert_int_equal(sscanf(word + 3 * i, "%2x", &value), 1);
			bytes[i] = value;
		}
		put(frame, bytes, 6);
	} else if (strchr(word, ':') && inet_pton(AF_INET6, word, bytes) == 1) {
		put(frame, bytes, 16);
	} else {
		for (; *word; word += 2) {
			assert_int_equal(sscanf(word, "%2x", &value), 1);
			bytes[0] = value;
			put(frame, bytes, 1);
		}
	}
}

/* Lengths and checksum: a host that looks (br_netfilter) lets nothing through that is not right. */
static void complete(struct frame *frame)
{
	uint8_t *ip = frame->byte + 14;
	const size_t len = frame->len - 14;
	uint16_t sum;

	if (frame->byte[12] == 0x08 && !frame->byte[13]) {
		ip[2] = len >> 8;
		ip[3] = len;
		sum = ~checksum_add(ip, 20);
		memcpy(ip + 10, &sum, 2);
	} else if (frame->byte[12] == 0x86 && frame->byte[13] == 0xdd) {
		ip[4] = (len - 40) >> 8;
		ip[5] = len - 40;
	}
}

static void make(struct frame *frame, const char *text)
{
	char copy[512], *rest = copy, *word;

	frame->len = 0;
	assert_true(strlen(text) < sizeof copy);
	strcpy(copy, text);
	while ((word = strsep(&rest, " ")))
		put_word(frame, word);
	complete(frame);
	frame->full = frame->len;
	while (frame->len < 60)
		put(frame, "", 1);
}

static void send_frame(const struct frame *frame)
{
	struct virtio_net_hdr_v1 header = {0};
	const struct iovec iov[2] = {{&header, sizeof header},
		{(void *)(uintptr_t)frame->byte, frame->len}};

	assert_int_equal(writev(guest, iov, 2), sizeof header + frame->len);
}

static bool is(const uint8_t *buf, ssize_t n, const struct frame *frame)
{
	const size_t head = sizeof(struct virtio_net_hdr_v1);

	return n >= (ssize_t)(head + frame->full) && !memcmp(buf + head, frame->byte, frame->full);
}

/* Does the neighbour get the first, before the second? What the host itself says does not count. */
static bool got(const struct frame *first, const struct frame *second)
{
	uint8_t buf[2048];
	struct pollfd wait = {neighbour, POLLIN, 0};
	bool came = false;

	for (;;) {
		const ssize_t n = read(neighbour, buf, sizeof buf);

		came |= is(buf, n, first);
		if (is(buf, n, second))
			return came;
		if (n < 0 && poll(&wait, 1, 30000) <= 0)
			fail_msg(
				"nothing comes through, not even behind the frame that %02x%02x begins",
				first->byte[12], first->byte[13]);
	}
}

#define TO "ff:ff:ff:ff:ff:ff"
#define FROM GUEST
#define ARP(sender, ip) "0806 0001 0800 06 04 0002 " sender " " ip " " OTHER " 10.0.0.9"
#define IP(protocol, from, to) "0800 4500 0000 0000 0000 40 " protocol " 0000 " from " " to
#define IP6(next, hops, from, to) "86dd 60000000 0000 " next " " hops " " from " " to
#define NA(target) "88 00 0000 a0000000 " target " 02 01 " GUEST
#define NS(target) "87 00 0000 00000000 " target

#define OWN_LL "fe80::ff:fe00:1" /* of the MAC */

/* What always comes through: sent behind each that should not, it tells that that will not come any more. */
static const char *const good =
	TO " " FROM " " IP("11", "10.0.0.1", "10.0.0.9") " 1000 2000 0010 0000";

struct attempt {
	const char *what, *frame;
	bool listed; /* goes through where addresses are listed, */
	bool any;    /* and where none are */
};

enum filtered { NOT, BY_LIST, BY_OTHERS };

static const struct attempt attempts[] = {
	{"its own datagram",
		TO " " FROM " " IP("11", "10.0.0.1", "10.0.0.9") " 1000 0035 0010 0000", true,
		true},
	{"another MAC", TO " " OTHER " " IP("11", "10.0.0.1", "10.0.0.9") " 1000 0035 0010 0000",
		false, false},
	{"an address that is not its own",
		TO " " FROM " " IP("11", "10.0.0.5", "10.0.0.9") " 1000 0035 0010 0000", false,
		true},
	{"the bridge's address",
		TO " " FROM " " IP("11", "10.0.0.254", "10.0.0.9") " 1000 0035 0010 0000", false,
		false},
	{"ARP for its own", TO " " FROM " " ARP(GUEST, "10.0.0.1"), true, true},
	{"ARP that asks whether one is free", TO " " FROM " " ARP(GUEST, "0.0.0.0"), true, true},
	{"ARP as another card", TO " " FROM " " ARP(OTHER, "10.0.0.1"), false, false},
	{"ARP for another's", TO " " FROM " " ARP(GUEST, "10.0.0.5"), false, true},
	{"ARP for the bridge's", TO " " FROM " " ARP(GUEST, "10.0.0.254"), false, false},
	{"ARP of longer addresses", TO " " FROM " 0806 0001 86dd 06 10 0002 " GUEST " 10.0.0.1",
		false, false},
	{"a question to DHCP",
		TO " " FROM " " IP("11", "0.0.0.0", "255.255.255.255") " 0044 0043 0010 0000", true,
		true},
	{"an answer of DHCP",
		TO " " FROM " " IP("11", "10.0.0.1", "255.255.255.255") " 0043 0044 0010 0000",
		false, false},
	{"a VLAN tag",
		TO " " FROM " 8100 0005 " IP("11", "10.0.0.1", "10.0.0.9") " 1000 0035 0010 0000",
		false, false},
	{"a VLAN tag of no VLAN", TO " " FROM " 8100 0000 " IP("11", "10.0.0.1", "10.0.0.9"), false,
		false},
	{"two tags", TO " " FROM " 88a8 0005 8100 0006 " IP("11", "10.0.0.1", "10.0.0.9"), false,
		false},
	{"a bridge's own words", "01:80:c2:00:00:00 " FROM " 0026 424203 0000 00 00", false, false},
	{"LLDP", "01:80:c2:00:00:0e " FROM " 88cc 0207", false, false},
	{"PPPoE", TO " " FROM " 8863 1109 0000 0000", false, false},
	{"IPv6 from its own on the link",
		"33:33:00:00:00:01 " FROM
		" " IP6("11", "40", OWN_LL, "ff02::1") " 1000 0035 0008 0000",
		true, true},
	{"IPv6 from what is made of its MAC",
		"33:33:00:00:00:01 " FROM
		" " IP6("11", "40", "2001:db8::ff:fe00:1", "ff02::1") " 1000 0035 0008 0000",
		true, true},
	{"IPv6 from another's",
		"33:33:00:00:00:01 " FROM
		" " IP6("11", "40", "2001:db8::5", "ff02::1") " 1000 0035 0008 0000",
		false, true},
	{"IPv6 from the bridge's",
		"33:33:00:00:00:01 " FROM
		" " IP6("11", "40", "2001:db8::fe", "ff02::1") " 1000 0035 0008 0000",
		false, false},
	{"its own in a neighbour advertisement",
		"33:33:00:00:00:01 " FROM
		" " IP6("3a", "ff", OWN_LL, "ff02::1") " " NA("2001:db8::1"),
		true, true},
	{"another's in one",
		"33:33:00:00:00:01 " FROM
		" " IP6("3a", "ff", OWN_LL, "ff02::1") " " NA("2001:db8::5"),
		false, true},
	{"the bridge's in one",
		"33:33:00:00:00:01 " FROM
		" " IP6("3a", "ff", OWN_LL, "ff02::1") " " NA("2001:db8::fe"),
		false, false},
	{"whether its own is free",
		"33:33:ff:00:00:01 " FROM
		" " IP6("3a", "ff", "::", "ff02::1:ff00:1") " " NS(OWN_LL),
		true, true},
	{"whether another's is free, again and again",
		"33:33:ff:00:00:05 " FROM
		" " IP6("3a", "ff", "::", "ff02::1:ff00:5") " " NS("2001:db8::5"),
		false, true},
	{"a router advertisement",
		"33:33:00:00:00:01 " FROM
		" " IP6("3a", "ff", OWN_LL, "ff02::1") " 86 00 0000 40 00 0708",
		false, false},
	{"one behind a header of options",
		"33:33:00:00:00:01 " FROM " " IP6("3c", "ff", OWN_LL,
			"ff02::1") " 3a 00 01 04 00000000 86 00 0000 40 00 0708",
		false, false},
	{"one in a fragment",
		"33:33:00:00:00:01 " FROM
		" " IP6("2c", "ff", OWN_LL, "ff02::1") " 3a 00 0001 00000001 86 00 0000 40 00 0708",
		false, false},
	{"its rest in another",
		"33:33:00:00:00:01 " FROM
		" " IP6("2c", "ff", OWN_LL, "ff02::1") " 3a 00 0008 00000001 40 00 0708 00000000",
		false, false},
	{"a redirect",
		"33:33:00:00:00:01 " FROM
		" " IP6("3a", "ff", OWN_LL, "ff02::1") " 89 00 0000 00000000",
		false, false},
	{"an answer of DHCPv6",
		"33:33:00:00:00:01 " FROM
		" " IP6("11", "40", OWN_LL, "ff02::1") " 0223 0222 0008 0000",
		false, false},
};

/* Without a filter all come through, or the rest would say nothing; but what no bridge takes further. */
static void try_all(enum filtered how)
{
	struct frame frame, after;

	for (unsigned i = 0; i < sizeof attempts / sizeof *attempts; i++) {
		const struct attempt *at = &attempts[i];
		const bool through = how == NOT ? strncmp(at->frame, "01:80:c2:00:00:0e", 17) != 0
			: how == BY_LIST        ? at->listed
						: at->any;

		make(&frame, at->frame);
		send_frame(&frame);
		make(&after, good);
		send_frame(&after);
		if (got(&frame, &after) != through)
			fail_msg("%s %s through", at->what, through ? "does not come" : "comes");
	}
}

static void load_filter(char *const *address, unsigned count)
{
	static char *const other[] = {"10.0.0.254", "2001:db8::fe"};
	const struct filter filter = {"guest", guest_mac, address, count, other, 2};
	struct error err = {""};

	if (filter_load(&filter, 1, &err))
		fail_msg("%s", err.text);
}

static void test_filter(void **state)
{
	static char *const own[] = {"10.0.0.1", "2001:db8::1"};
	char *before = rig_rules(), *after;

	try_all(NOT);
	load_filter(own, 2);
	try_all(BY_LIST);
	load_filter(NULL, 0);
	try_all(BY_OTHERS);
	load_filter(own, 2);
	load_filter(own, 2);
	try_all(BY_LIST);
	assert_int_equal(filter_remove("guest", NULL), 0);
	after = rig_rules();
	assert_string_equal(before, after);
	/* That there was none is no error. */
	assert_int_equal(filter_remove("guest", NULL), 0);
	free(before);
	free(after);
}

/* Those of taps that are gone go; those of others stay, and others' tables. */
static void test_sweep(void **state)
{
	struct filter filter = {"guest", guest_mac, NULL, 0, NULL, 0};
	char made[NET_LINK_TEXT + 1];
	struct error err = {""};
	char *text;
	int fd;

	assert_int_equal(filter_load(&filter, 1, &err), 0);
	assert_int_equal(tap_make("dach%d", made, &fd, &err), 0);
	assert_string_equal(made, "dach0");
	filter.tap = made;
	assert_int_equal(filter_load(&filter, 1, &err), 0);
	RUN("nft", "add table netdev mine");
	RUN("nft", "add table netdev dach-");
	filter_sweep();
	text = rig_rules();
	assert_non_null(strstr(text, "dach-dach0"));
	free(text);
	close(fd);
	filter_sweep();
	text = rig_rules();
	assert_null(strstr(text, "dach-dach0"));
	assert_non_null(strstr(text, "dach-guest"));
	assert_non_null(strstr(text, "netdev mine"));
	free(text);
	RUN("nft", "delete table netdev mine; delete table netdev dach-");
	assert_int_equal(filter_remove("guest", &err), 0);
}

static void test_refusals(void **state)
{
	struct error err = {""};
	struct link link;
	int fd;

#define NEXT (err.text[0] = 0, &err)
	assert_int_equal(link_find("nobody", &link, NEXT), -ENODEV);
	assert_int_equal(link_find_bridge("x: ", "nobody", &link, NEXT), -ENOENT);
	assert_string_equal(err.text, "x: this host has no bridge 'nobody'; it has br0");
	assert_int_equal(link_find_bridge("", "guest", &link, NEXT), -EINVAL);
	assert_string_equal(err.text, "this host has a link, but no bridge 'guest'; it has br0");
	assert_int_equal(tap_make("br0", NULL, &fd, NEXT), -EEXIST);
	assert_string_equal(err.text, "br0: this host has a link of that name already");
	assert_int_equal(tap_take("nobody", &fd, NEXT), -ENODEV);
	assert_int_equal(tap_take("br0", &fd, NEXT), -EINVAL);
	assert_int_equal(tap_take("guest", &fd, NEXT), -EBUSY);
	assert_int_equal(link_find("guest", &link, NEXT), 0);
	assert_string_equal(link.kind, "tun");
	assert_true(link.up);
	assert_memory_equal(link.mac, "\xfe\xff\xff\xff\xff\xff", 6);
}

static void test_addresses(void **state)
{
	char address[LINK_ADDRESSES_MAX][NET_ADDRESS_TEXT + 1];
	struct error err = {""};
	struct link link;
	int count;
	bool found = false;

	assert_int_equal(link_find("br0", &link, &err), 0);
	count = link_addresses(link.index, address, &err);
	assert_true(count >= 1);
	for (int i = 0; i < count; i++)
		found |= !strcmp(address[i], "10.0.0.254");
	assert_true(found);
	/* A tap speaks for nobody. */
	assert_int_equal(link_find("guest", &link, &err), 0);
	assert_int_equal(link_addresses(link.index, address, &err), 0);
}

/* Two that are isolated do not hear each other, and everybody else hears both. */
static void test_isolated(void **state)
{
	const struct tap_port port = {.isolated = true};
	const int first = guest, second = neighbour;
	struct frame from_isolated, from_guest;
	struct error err = {""};
	struct link bridge;
	int one, two;

	assert_int_equal(link_find_bridge("", "br0", &bridge, &err), 0);
	assert_int_equal(tap_make("one", NULL, &one, &err), 0);
	assert_int_equal(tap_make("two", NULL, &two, &err), 0);
	assert_int_equal(tap_join("one", &bridge, &port, &err), 0);
	assert_int_equal(tap_join("two", &bridge, &port, &err), 0);
	make(&from_isolated, "ff:ff:ff:ff:ff:ff 02:00:00:00:00:07 88b5 01");
	make(&from_guest, "ff:ff:ff:ff:ff:ff " GUEST " 88b5 02");
	guest = one;
	send_frame(&from_isolated);
	guest = first;
	send_frame(&from_guest);
	neighbour = two;
	assert_false(got(&from_isolated, &from_guest));
	neighbour = second;
	assert_true(got(&from_isolated, &from_guest));
	close(one);
	close(two);
}

static void test_program(void **state)
{
	static const char *const fails[] = {"sh", "-c", "echo no; echo more; exit 3", NULL},
				 *const late[] = {"sh", "-c", "echo; echo no; exit 3", NULL},
				 *const silent[] = {"sh", "-c", "exit 3", NULL},
				 *const absent[] = {"no-such-program", NULL},
				 *const reads[] = {"cat", NULL};
	struct error err = {""};
	char *text;

	assert_int_equal(program_run(fails, NULL, &text, &err), -EIO);
	assert_string_equal(err.text, "sh: failed: no");
	assert_null(text);
	err.text[0] = 0;
	assert_int_equal(program_run(late, NULL, NULL, &err), -EIO);
	assert_string_equal(err.text, "sh: failed: no");
	err.text[0] = 0;
	assert_int_equal(program_run(silent, NULL, NULL, &err), -EIO);
	assert_string_equal(err.text, "sh: failed: it does not say why");
	err.text[0] = 0;
	assert_int_equal(program_run(absent, NULL, NULL, &err), -ENOENT);
	assert_int_equal(program_run(reads, "what it is given", &text, &err), 0);
	assert_string_equal(text, "what it is given");
	free(text);
	/* As the daemon does. */
	signal(SIGCHLD, SIG_IGN);
	assert_int_equal(program_run(fails, NULL, NULL, NULL), -EIO);
	assert_int_equal(program_run(absent, NULL, NULL, NULL), -ENOENT);
	signal(SIGCHLD, SIG_DFL);
}

/* Whether it has closed its output or not; it would have ended well. */
static void test_program_that_hangs(void **state)
{
	static const char *const scripts[] = {"exec >/dev/null 2>&1; exec sleep 20",
		"exec sleep 20"};

	for (unsigned i = 0; i < 2; i++) {
		const char *const argv[] = {"sh", "-c", scripts[i], NULL};
		struct error err = {""};

		assert_int_equal(program_run_in(argv, NULL, 1, NULL, NULL, &err), -ETIMEDOUT);
		assert_string_equal(err.text, "sh: has not ended within 1 seconds");
	}
}

static int open_bench(void **state)
{
	struct error err = {""};
	struct link bridge;
	int r;

	RUN("ip", "link", "add", "br0", "type", "bridge");
	RUN("ip", "addr", "add", "10.0.0.254/24", "dev", "br0");
	RUN("ip", "link", "set", "br0", "up");
	r = link_find_bridge("", "br0", &bridge, &err);
	if (!r)
		r = tap_make("guest", NULL, &guest, &err);
	if (!r)
		r = tap_make("neighbour", NULL, &neighbour, &err);
	if (!r)
		r = tap_join("guest", &bridge, &(struct tap_port){.mtu = 0}, &err);
	if (!r)
		r = tap_join("neighbour", &bridge, &(struct tap_port){.mtu = 0}, &err);
	if (r)
		print_message("%s\n", err.text);
	return r;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_program),
		cmocka_unit_test(test_program_that_hangs),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_isolated),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_sweep),
	};
	const struct CMUnitTest few[] = {cmocka_unit_test(test_program),
		cmocka_unit_test(test_program_that_hangs)};

	if (!rig_own_network()) {
		print_message(
			"no network of our own, no /dev/net/tun or no nft: most is not tested\n");
		return cmocka_run_group_tests(few, NULL, NULL);
	}
	return cmocka_run_group_tests(tests, open_bench, NULL);
}
