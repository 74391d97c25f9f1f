/* SPDX-License-Identifier: Apache-2.0 */
#include "links/tables.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <libmnl/libmnl.h>

#include "links/program.h"

#define TABLE "dach-"
#define BUFFER 32768

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

char *tables_list(void)
{
	static const char *const list[] = {"nft", "list", "tables", NULL};
	char *text;

	return program_run(list, NULL, &text, NULL) ? NULL : text ? text : strdup("");
}

bool tables_has(const char *list, const char *family, const char *name)
{
	char line[128];
	const char *at;

	snprintf(line, sizeof line, "table %s " TABLE "%s\n", family, name);
	at = strstr(list, line);
	return at && (at == list || at[-1] == '\n');
}
