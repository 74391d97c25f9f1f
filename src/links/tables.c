/* SPDX-License-Identifier: Apache-2.0 */
#include "links/tables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libmnl/libmnl.h>

#include "links/program.h"

#define TABLE TABLES_PREFIX
#define BUFFER 32768
#define TRIES 16

int tables_watch(int *fd, struct error *err)
{
	struct mnl_socket *socket =
		mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r = 0;

	*fd = -1;
	if (!socket ||
		mnl_socket_bind(socket, 1u << (NFNLGRP_NFTABLES - 1), MNL_SOCKET_AUTOPID) < 0 ||
		(*fd = dup(mnl_socket_get_fd(socket))) < 0)
		r = error_set(err, errno, "changes of nftables: %s", strerror(errno));
	if (socket)
		mnl_socket_close(socket);
	return r;
}

static int see(const struct nlmsghdr *message, void *ctx)
{
	bool *ours = ctx;
	const struct nlattr *attr;

	if (message->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE))
		return MNL_CB_OK;
	mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME)
			*ours |= !strncmp(mnl_attr_get_str(attr), TABLE, strlen(TABLE));
	}
	return MNL_CB_OK;
}

bool tables_changed(int fd)
{
	static char buffer[BUFFER];
	bool ours = false;
	ssize_t n;

	while ((n = read(fd, buffer, sizeof buffer)) > 0)
		mnl_cb_run(buffer, (size_t)n, 0, 0, see, &ours);
	/* ENOBUFS: there was more than it holds. */
	return ours || (n < 0 && errno == ENOBUFS);
}

void tables_put_begin(FILE *out, const char *list, const char *family, const char *name)
{
	if (!list || tables_has(list, family, name))
		fprintf(out, "add table %s " TABLE "%s\ndelete table %s " TABLE "%s\n", family,
			name, family, name);
	fprintf(out, "table %s " TABLE "%s {\n", family, name);
}

int tables_load(void (*put)(FILE *out, const char *list, const void *ctx), const void *ctx,
	struct error *err)
{
	static const char *const load[] = {"nft", "-f", "-", NULL};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int r = out ? 0 : -ENOMEM;

	if (out) {
		char *list = tables_list();

		put(out, list, ctx);
		free(list);
		r = fclose(out) ? -ENOMEM : 0;
	}
	r = r ? error_nomem(err) : program_run(load, text, NULL, err);
	free(text);
	return r;
}

int tables_load_many(unsigned count, tables_load_some *load, tables_told *told, void *ctx)
{
	struct error err = {""};
	int r = load(ctx, 0, count, &err);
	const bool each = r && r != -ETIMEDOUT;

	for (unsigned i = 0; i < count; i++) {
		if (each && r != -ETIMEDOUT) {
			err.text[0] = 0;
			r = load(ctx, i, 1, &err);
		}
		told(ctx, i, r, err.text);
	}
	return r == -ETIMEDOUT ? r : 0;
}

/* Asking the kernel */

static const struct {
	const char *name;
	uint8_t number;
} families[] = {{"ip", NFPROTO_IPV4}, {"ip6", NFPROTO_IPV6}, {"inet", NFPROTO_INET},
	{"arp", NFPROTO_ARP}, {"bridge", NFPROTO_BRIDGE}, {"netdev", NFPROTO_NETDEV}};
#define FAMILIES (sizeof families / sizeof *families)

static const char *family_name(uint8_t number)
{
	for (unsigned i = 0; i < FAMILIES; i++)
		if (families[i].number == number)
			return families[i].name;
	return "?";
}

static uint8_t family_number(const char *name)
{
	for (unsigned i = 0; i < FAMILIES; i++)
		if (!strcmp(families[i].name, name))
			return families[i].number;
	return NFPROTO_UNSPEC;
}

static struct nlmsghdr *put_request(void *at, uint16_t type, uint16_t flags, uint8_t family,
	uint16_t resource)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(at);
	struct nfgenmsg *info;

	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST | flags;
	request->nlmsg_seq = 1;
	info = mnl_nlmsg_put_extra_header(request, sizeof *info);
	info->nfgen_family = family;
	info->version = NFNETLINK_V0;
	info->res_id = htons(resource);
	return request;
}

/* A negative errno, or 0. */
static int ask(const void *request, size_t size, mnl_cb_t each, void *ctx)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	char *answer = malloc(BUFFER);
	int r = !answer ? -ENOMEM
		: !socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
			mnl_socket_sendto(socket, request, size) < 0
		? -errno
		: 1;

	while (r > 0) {
		const ssize_t n = mnl_socket_recvfrom(socket, answer, BUFFER);

		r = n < 0 ? -1 : mnl_cb_run(answer, n, 1, mnl_socket_get_portid(socket), each, ctx);
		if (r < 0)
			r = errno ? -errno : -EIO;
	}
	free(answer);
	if (socket)
		mnl_socket_close(socket);
	return r;
}

/* Of many. While others load theirs it is interrupted, and asked for again: again() drops what has come of it. */
static int ask_all(const struct nlmsghdr *request, mnl_cb_t each, void (*again)(void *ctx),
	void *ctx)
{
	int r = -EINTR;

	for (unsigned i = 0; i < TRIES && r == -EINTR; i++) {
		again(ctx);
		r = ask(request, request->nlmsg_len, each, ctx);
	}
	return r;
}

static void rewind_text(void *ctx)
{
	rewind(ctx);
}

static void put_name(struct nlmsghdr *request, uint16_t attr, const char *name)
{
	char table[64];

	snprintf(table, sizeof table, TABLE "%s", name);
	mnl_attr_put_strz(request, attr, table);
}

/* A transaction of one. set: NULL, of a change to the table itself. */
static int change(uint16_t type, const char *family, const char *name, const char *set)
{
	char buf[1024];
	struct nlmsghdr *at =
		put_request(buf, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);

	at = put_request(mnl_nlmsg_get_payload_tail(at), NFNL_SUBSYS_NFTABLES << 8 | type,
		NLM_F_ACK, family_number(family), 0);
	put_name(at, set ? NFTA_SET_ELEM_LIST_TABLE : NFTA_TABLE_NAME, name);
	if (set)
		mnl_attr_put_strz(at, NFTA_SET_ELEM_LIST_SET, set);
	at = put_request(mnl_nlmsg_get_payload_tail(at), NFNL_MSG_BATCH_END, 0, AF_UNSPEC,
		NFNL_SUBSYS_NFTABLES);
	return ask(buf, (size_t)((char *)mnl_nlmsg_get_payload_tail(at) - buf), NULL, NULL);
}

int tables_remove(const char *family, const char *name, struct error *err)
{
	const int r = change(NFT_MSG_DELTABLE, family, name, NULL);

	if (r == -ENOENT || r == -EOPNOTSUPP || r == -EPROTONOSUPPORT)
		return 0;
	return r ? error_set(err, -r, "table %s " TABLE "%s: %s", family, name, strerror(-r)) : 0;
}

int tables_empty_set(const char *family, const char *name, const char *set)
{
	/* Without elements that are named all of them go. */
	return change(NFT_MSG_DELSETELEM, family, name, set);
}

/* The attribute of that type in a nest; NULL: it has none. */
static const struct nlattr *within(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *attr;

	if (nest)
		mnl_attr_for_each_nested(attr,
			nest) if (mnl_attr_get_type(attr) == type) return attr;
	return NULL;
}

/* Each behind a byte that tells its length. */
static int take_elements(const struct nlmsghdr *message, void *ctx)
{
	const struct nlattr *list, *element;

	mnl_attr_for_each(list, message, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(list) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		mnl_attr_for_each_nested(element, list)
		{
			const struct nlattr *value =
				within(within(element, NFTA_SET_ELEM_KEY), NFTA_DATA_VALUE);

			if (value && mnl_attr_get_payload_len(value) <= UINT8_MAX) {
				fputc(mnl_attr_get_payload_len(value), ctx);
				fwrite(mnl_attr_get_payload(value), 1,
					mnl_attr_get_payload_len(value), ctx);
			}
		}
	}
	return MNL_CB_OK;
}

void tables_each_element(const char *family, const char *name, const char *set,
	void (*each)(void *ctx, const uint8_t *value, size_t size), void *ctx)
{
	char buf[512], *elements = NULL;
	struct nlmsghdr *request = put_request(buf, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM,
		NLM_F_DUMP, family_number(family), 0);
	size_t size;
	FILE *out = open_memstream(&elements, &size);

	if (!out)
		return;
	put_name(request, NFTA_SET_ELEM_LIST_TABLE, name);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, set);
	ask_all(request, take_elements, rewind_text, out);
	if (!fclose(out))
		for (size_t at = 0; at < size; at += 1 + (uint8_t)elements[at])
			each(ctx, (const uint8_t *)elements + at + 1, (uint8_t)elements[at]);
	free(elements);
}

static int list_table(const struct nlmsghdr *message, void *ctx)
{
	const struct nfgenmsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof *info)
	{
		if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME)
			fprintf(ctx, "table %s %s\n", family_name(info->nfgen_family),
				mnl_attr_get_str(attr));
	}
	return MNL_CB_OK;
}

char *tables_list(void)
{
	char buf[256], *text = NULL;
	const struct nlmsghdr *request = put_request(buf,
		NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, NLM_F_DUMP, AF_UNSPEC, 0);
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int r;

	if (!out)
		return NULL;
	r = ask_all(request, list_table, rewind_text, out);
	if (!fclose(out) && !r) {
		text[size] = 0; /* what was dropped may have been longer */
		return text;
	}
	free(text);
	return NULL;
}

struct dropping {
	struct tables_chain *chain;
	unsigned count, room;
};

static const char *text_of(const struct nlattr *attr)
{
	return attr ? mnl_attr_get_str(attr) : "";
}

static int take_chain(const struct nlmsghdr *message, void *ctx)
{
	const struct nfgenmsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *all[NFTA_CHAIN_MAX + 1] = {NULL}, *attr, *hook;
	struct dropping *dropping = ctx;

	mnl_attr_for_each(attr, message, sizeof *info)
	{
		if (mnl_attr_get_type(attr) <= NFTA_CHAIN_MAX)
			all[mnl_attr_get_type(attr)] = attr;
	}
	hook = within(all[NFTA_CHAIN_HOOK], NFTA_HOOK_HOOKNUM);
	if (hook && all[NFTA_CHAIN_POLICY] && info->nfgen_family != NFPROTO_NETDEV &&
		ntohl(mnl_attr_get_u32(hook)) == NF_INET_FORWARD &&
		ntohl(mnl_attr_get_u32(all[NFTA_CHAIN_POLICY])) == NF_DROP &&
		dropping->count < dropping->room) {
		struct tables_chain *chain = &dropping->chain[dropping->count++];

		chain->family = family_name(info->nfgen_family);
		snprintf(chain->table, sizeof chain->table, "%s", text_of(all[NFTA_CHAIN_TABLE]));
		snprintf(chain->chain, sizeof chain->chain, "%s", text_of(all[NFTA_CHAIN_NAME]));
	}
	return MNL_CB_OK;
}

static void drop_chains(void *ctx)
{
	struct dropping *dropping = ctx;

	dropping->count = 0;
}

unsigned tables_dropping(struct tables_chain *chain, unsigned room)
{
	struct dropping dropping = {chain, 0, room};
	char buf[256];
	const struct nlmsghdr *request = put_request(buf,
		NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, NLM_F_DUMP, AF_UNSPEC, 0);

	return ask_all(request, take_chain, drop_chains, &dropping) ? 0 : dropping.count;
}

void tables_each(char *list, const char *family, void (*each)(const char *name))
{
	const size_t begin = strlen("table "), len = strlen(family);
	char *line;

	while ((line = strsep(&list, "\n")))
		if (strlen(line) > begin + len && !strncmp(line + begin, family, len) &&
			!strncmp(line + begin + len, " " TABLE, strlen(" " TABLE)))
			each(line + begin + len + strlen(" " TABLE));
}

bool tables_has(const char *list, const char *family, const char *name)
{
	char line[128];
	const char *at;

	snprintf(line, sizeof line, "table %s " TABLE "%s\n", family, name);
	at = strstr(list, line);
	return at && (at == list || at[-1] == '\n');
}
