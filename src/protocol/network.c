/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/network.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/limits.h"

#define FORWARD_FORM "tcp|udp:ADDR:PORT-ADDR:PORT (ADDR: 10.0.2.15, [::1], or nothing)"

#define LINK_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

static const char *const kinds[] =
	{[NET_USER] = "user", [NET_NONE] = "none", [NET_TAP] = "tap", NULL};

const char *const net_model_words[] = {[NET_VIRTIO] = "virtio", [NET_E1000] = "e1000", NULL};

/* Not one of IPv4 in another dress. */
static int read_addr6(const char *text, char *to)
{
	struct in6_addr addr;

	if (inet_pton(AF_INET6, text, &addr) != 1 || IN6_IS_ADDR_V4MAPPED(&addr) ||
		IN6_IS_ADDR_MULTICAST(&addr))
		return -EINVAL;
	return inet_ntop(AF_INET6, &addr, to, NET_ADDR6_TEXT + 1) ? 0 : -EINVAL;
}

static const struct field forward_fields[] = {
	FIELD_ROW(BOOL, net_forward, udp),
	FIELD_ROW(COUNT, net_forward, host_addr, .max = UINT32_MAX),
	FIELD_ROW(COUNT, net_forward, guest_addr, .max = UINT32_MAX),
	FIELD_ROW(COUNT, net_forward, host_port, .min = 1, .max = 65535),
	FIELD_ROW(COUNT, net_forward, guest_port, .min = 1, .max = 65535),
	FIELD_ROW(TEXT, net_forward, host_addr6, .max = NET_ADDR6_TEXT, .read = read_addr6),
	FIELD_ROW(TEXT, net_forward, guest_addr6, .max = NET_ADDR6_TEXT, .read = read_addr6),
	{.key = NULL},
};

static bool mac_bytes(const char *text, uint8_t mac[NET_MAC_LEN])
{
	unsigned byte[NET_MAC_LEN];
	int end = 0;

	if (strlen(text) != NET_MAC_TEXT ||
		strspn(text, "0123456789abcdefABCDEF:") != NET_MAC_TEXT ||
		sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3],
			&byte[4], &byte[5], &end) != NET_MAC_LEN ||
		end != NET_MAC_TEXT)
		return false;
	for (unsigned i = 0; i < NET_MAC_LEN; i++)
		mac[i] = byte[i];
	return true;
}

int net_read_mac(const char *text, char *to)
{
	uint8_t mac[NET_MAC_LEN];

	if (!mac_bytes(text, mac) || (mac[0] & 1))
		return -EINVAL;
	for (unsigned i = 0; i <= NET_MAC_TEXT; i++)
		to[i] = tolower((unsigned char)text[i]);
	return 0;
}

const struct field net_spec_fields[] = {
	FIELD_ROW(ENUM, net_spec, kind, .needed = true, .names = kinds),
	FIELD_ROW(ENUM, net_spec, model, .names = net_model_words),
	FIELD_ROW(TEXT, net_spec, mac, .max = NET_MAC_TEXT, .read = net_read_mac),
	FIELD_ROW(BOOL, net_spec, loopback),
	FIELD_LIST_ROW("forwards", net_spec, forward, forwards, forward_fields, LIMIT_FORWARDS),
	FIELD_STRINGS_ROW("allow", net_spec, allow, allows, NET_NAME_TEXT, LIMIT_ALLOWS),
	FIELD_ROW(FD, net_spec, fd, .min = LIMIT_FD_MIN, .max = LIMIT_FD_MAX),
	FIELD_ROW(COUNT, net_spec, mtu, .max = NET_MTU_MAX),
	FIELD_ROW(NUMBER, net_spec, rate, .max = NET_RATE_MAX),
	FIELD_ROW(COUNT, net_spec, rate_interval, .max = UINT32_MAX),
	FIELD_STRINGS_ROW("announced", net_spec, announced, announceds, NET_ADDRESS_TEXT,
		LIMIT_ADDRESSES + 2),
	{.key = NULL},
};

static bool parse_port(const char *text, unsigned *port)
{
	unsigned value = 0;

	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9' || value > 65535)
			return false;
		value = 10 * value + (*c - '0');
	}
	*port = value;
	return value > 0 && value <= 65535;
}

/* [ADDR]:PORT, cut up in place. An ADDR that is left out leaves *addr and addr6 alone. */
static bool parse_endpoint(char *text, uint32_t *addr, char *addr6, unsigned *port)
{
	char *colon = strrchr(text, ':');
	struct in_addr parsed;

	if (!colon || !parse_port(colon + 1, port))
		return false;
	*colon = 0;
	if (!*text)
		return true;
	if (*text == '[' && colon[-1] == ']') {
		colon[-1] = 0;
		return !read_addr6(text + 1, addr6);
	}
	if (inet_pton(AF_INET, text, &parsed) != 1)
		return false;
	*addr = ntohl(parsed.s_addr);
	return true;
}

/* In place. */
static bool parse_forward(char *text, struct net_forward *forward)
{
	char *guest = strchr(text, '-');

	forward->udp = !strncmp(text, "udp:", 4);
	if (!guest || (!forward->udp && strncmp(text, "tcp:", 4)))
		return false;
	*guest++ = 0;
	return parse_endpoint(text + 4, &forward->host_addr, forward->host_addr6,
		       &forward->host_port) &&
		parse_endpoint(guest, &forward->guest_addr, forward->guest_addr6,
			&forward->guest_port);
}

int net_forward_parse(const char *text, struct net_forward *forward, struct error *err)
{
	char buf[NET_FORWARD_TEXT + 1];

	*forward = (struct net_forward){.host_addr = INADDR_LOOPBACK};
	if (strlen(text) >= sizeof buf || !parse_forward(strcpy(buf, text), forward))
		return error_set(err, EINVAL, "fwd=%s: not of the form %s", text, FORWARD_FORM);
	if (*forward->host_addr6 ? forward->guest_addr : *forward->guest_addr6)
		return error_set(err, EINVAL,
			"fwd=%s: one end is of IPv4 and the other of IPv6; both have to be of one",
			text);
	/* libslirp would find it out at the first datagram, if by then it has heard of the guest. */
	if (*forward->host_addr6 && forward->udp && !*forward->guest_addr6)
		return error_set(err, EINVAL,
			"fwd=%s: UDP over IPv6 needs the guest's address, too: -[ADDR]:PORT", text);
	return 0;
}

bool net_forward_same(const struct net_forward *a, const struct net_forward *b)
{
	return a->udp == b->udp && a->host_port == b->host_port &&
		!strcmp(a->host_addr6, b->host_addr6) &&
		(*a->host_addr6 || a->host_addr == b->host_addr);
}

bool net_forward_loopback(const struct net_forward *forward)
{
	return *forward->host_addr6 ? !strcmp(forward->host_addr6, "::1")
				    : forward->host_addr >> 24 == 127;
}

static int parse_mac(const char *text, char *to, struct error *err)
{
	uint8_t mac[NET_MAC_LEN];

	if (!net_read_mac(text, to))
		return 0;
	if (mac_bytes(text, mac))
		return error_set(err, EINVAL,
			"--net: mac=%s: a multicast address, not a network card's", text);
	return error_set(err, EINVAL, "--net: mac=%s: not six bytes like 02:00:00:12:34:56", text);
}

bool net_spec_mac(const struct net_spec *spec, uint8_t mac[NET_MAC_LEN])
{
	return mac_bytes(spec->mac, mac);
}

static int add_forward(struct net_spec *spec, const char *text, struct error *err)
{
	struct net_forward *forward;

	if (spec->forwards == LIMIT_FORWARDS)
		return error_set(err, EINVAL, "--net: more than %u forwarded ports",
			LIMIT_FORWARDS);
	forward = reallocarray(spec->forward, spec->forwards + 1, sizeof *forward);
	if (!forward)
		return error_nomem(err);
	spec->forward = forward;
	return net_forward_parse(text, &forward[spec->forwards++], err);
}

int net_check_link(const char *where, const char *name, struct error *err)
{
	if (strlen(name) > NET_LINK_TEXT)
		return error_set(err, EINVAL,
			"%s'%s' is %zu characters long; the name of a link has %d at most", where,
			name, strlen(name), NET_LINK_TEXT);
	if (!isalnum((unsigned char)*name) || name[strspn(name, LINK_CHARACTERS)])
		return error_set(err, EINVAL,
			"%s'%s' is no name for a link: letters, digits and, behind the first, ._-",
			where, name);
	return 0;
}

int net_read_address(const char *text, char to[NET_ADDRESS_TEXT + 1], bool *ipv6)
{
	char buf[NET_ADDRESS_TEXT + 1 + 4];
	char *length;
	uint8_t bytes[16];
	unsigned bits;

	*ipv6 = strchr(text, ':') != NULL;
	if (strlen(text) >= sizeof buf)
		return -EINVAL;
	strcpy(buf, text);
	length = strchr(buf, '/');
	if (length) {
		*length++ = 0;
		bits = strspn(length, "0123456789") == strlen(length) && *length ? atoi(length)
										 : 129;
		if (strlen(length) > 3 || bits > (*ipv6 ? 128u : 32u))
			return -EINVAL;
	}
	if (inet_pton(*ipv6 ? AF_INET6 : AF_INET, buf, bytes) != 1)
		return -EINVAL;
	return inet_ntop(*ipv6 ? AF_INET6 : AF_INET, bytes, to, NET_ADDRESS_TEXT + 1) ? 0 : -EINVAL;
}

bool net_is_name(const char *text)
{
	static const char all[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	const char *label = text;
	size_t len;

	if (strlen(text) > NET_NAME_TEXT)
		return false;
	for (;; label += len + 1) {
		len = strspn(label, all);
		if (!len || len > 63 || label[0] == '-' || label[len - 1] == '-')
			return false;
		if (label[len] != '.')
			break;
	}
	/* The last one is no number: that would be an address, or meant for one. */
	return !label[len] && strspn(label, "0123456789") != len;
}

int net_check_destination(const char *text, bool *ipv6)
{
	char address[NET_ADDRESS_TEXT + 1];
	const char *slash = strchr(text, '/');
	size_t digits;

	if (net_read_address(text, address, ipv6))
		return -EINVAL;
	if (!slash)
		return 0;
	digits = strspn(slash + 1, "0123456789");
	return digits && digits <= 3 && !slash[1 + digits] && atoi(slash + 1) <= (*ipv6 ? 128 : 32)
		? 0
		: -EINVAL;
}

int net_check_allowed(const char *where, const char *text, struct error *err)
{
	bool ipv6;

	if (!net_check_destination(text, &ipv6) || net_is_name(text))
		return 0;
	return error_set(err, EINVAL,
		"%s'%s' is neither an address nor a network, as 10.0.0.0/8, nor a name, as deb.debian.org",
		where, text);
}

static int add_text(char ***list, unsigned *count, const char *text, struct error *err)
{
	char **more = reallocarray(*list, *count + 1, sizeof *more);

	if (!more)
		return error_nomem(err);
	*list = more;
	more[*count] = strdup(text);
	if (!more[*count])
		return error_nomem(err);
	(*count)++;
	return 0;
}

static int add_allowed(struct net_spec *spec, const char *text, struct error *err)
{
	int r = net_check_allowed("--net: allow=", text, err);

	if (r)
		return r;
	if (spec->allows == LIMIT_ALLOWS)
		return error_set(err, EINVAL, "--net: more than %u destinations", LIMIT_ALLOWS);
	return add_text(&spec->allow, &spec->allows, text, err);
}

static int add_address(struct net_spec *spec, const char *text, struct error *err)
{
	char address[NET_ADDRESS_TEXT + 1];
	bool ipv6;

	if (net_read_address(text, address, &ipv6))
		return error_set(err, EINVAL, "--net: ip=%s: not an address", text);
	if (spec->addresses == LIMIT_ADDRESSES)
		return error_set(err, EINVAL, "--net: more than %u addresses", LIMIT_ADDRESSES);
	return add_text(&spec->address, &spec->addresses, address, err);
}

static int parse_user(struct net_spec *spec, const char *option, struct error *err)
{
	if (!strncmp(option, "fwd=", 4))
		return add_forward(spec, option + 4, err);
	if (!strncmp(option, "allow=", 6))
		return add_allowed(spec, option + 6, err);
	if (!strcmp(option, "loopback")) {
		spec->loopback = true;
		return 0;
	}
	if (!strncmp(option, "hostfwd=", 8)) /* QEMU's */
		return error_set(err, EINVAL,
			"--net: '%s': ports are forwarded by fwd=" FORWARD_FORM, option);
	return error_set(err, EINVAL,
		"--net: unknown option '%s' (fwd=..., allow=..., loopback, mac=...)", option);
}

static int parse_link(struct net_spec *spec, const char *option, struct error *err)
{
	unsigned mtu;

	if (!strncmp(option, "mtu=", 4)) {
		if (!parse_port(option + 4, &mtu) || mtu < NET_MTU_MIN)
			return error_set(err, EINVAL, "--net: %s: not from %d to %d", option,
				NET_MTU_MIN, NET_MTU_MAX);
		spec->mtu = mtu;
		return 0;
	}
	if (*spec->bridge && !strncmp(option, "ip=", 3))
		return add_address(spec, option + 3, err);
	if (*spec->bridge && !strncmp(option, "vifname=", 8)) {
		snprintf(spec->tap, sizeof spec->tap, "%s", option + 8);
		return net_check_link("--net: vifname=", option + 8, err);
	}
	if (*spec->bridge && !strcmp(option, "filter=off")) {
		spec->unfiltered = true;
		return 0;
	}
	return error_set(err, EINVAL, "--net: unknown option '%s' (%smtu=..., mac=...)", option,
		*spec->bridge ? "ip=..., vifname=..., filter=off, " : "");
}

static int parse_model(struct net_spec *spec, const char *name, struct error *err)
{
	const int found = field_find_name(net_model_words, name);

	if (found < 0)
		return error_set(err, EINVAL, "--net: model=%s: there are virtio and e1000", name);
	spec->model = (enum net_model)found;
	return 0;
}

static int parse_option(struct net_spec *spec, const char *option, struct error *err)
{
	if (!strncmp(option, "model=", 6))
		return parse_model(spec, option + 6, err);
	if (!strncmp(option, "mac=", 4))
		return parse_mac(option + 4, spec->mac, err);
	return spec->kind == NET_TAP ? parse_link(spec, option, err)
				     : parse_user(spec, option, err);
}

/* bridge=NAME, tap=NAME */
static int parse_link_name(struct net_spec *spec, const char *word, struct error *err)
{
	const bool bridge = *word == 'b';
	const char *name = strchr(word, '=') + 1;

	spec->kind = NET_TAP;
	snprintf(bridge ? spec->bridge : spec->tap, NET_LINK_TEXT + 1, "%s", name);
	return net_check_link(bridge ? "--net: bridge=" : "--net: tap=", name, err);
}

int net_spec_parse(const char *text, struct net_spec *spec, struct error *err)
{
	char *copy = strdup(text), *rest = copy, *word;
	int r = 0;

	memset(spec, 0, sizeof *spec);
	spec->fd = -1;
	if (!copy)
		return error_nomem(err);
	word = strsep(&rest, ",");
	if (!strcmp(word, "user"))
		spec->kind = NET_USER;
	else if (!strcmp(word, "none") && !rest)
		spec->kind = NET_NONE;
	else if (!strncmp(word, "bridge=", 7) || !strncmp(word, "tap=", 4))
		r = parse_link_name(spec, word, err);
	else
		r = error_set(err, EINVAL,
			"--net %s: not none, user[,fwd=...][,allow=...][,loopback][,mac=...], bridge=NAME or tap=NAME",
			text);
	while (!r && (word = strsep(&rest, ",")))
		r = parse_option(spec, word, err);
	free(copy);
	if (r)
		net_spec_free(spec);
	return r;
}

void net_spec_free(struct net_spec *spec)
{
	free(spec->forward);
	for (unsigned i = 0; i < spec->addresses; i++)
		free(spec->address[i]);
	free(spec->address);
	for (unsigned i = 0; i < spec->allows; i++)
		free(spec->allow[i]);
	free(spec->allow);
	memset(spec, 0, sizeof *spec);
	spec->fd = -1;
}
