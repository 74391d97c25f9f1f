/* SPDX-License-Identifier: Apache-2.0 */
/* What is noted of guests' links, by which they are mended and removed. */
#include "daemon/links.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/launch.h"
#include "daemon/links_internal.h"
#include "daemon/script.h"
#include "links/filter.h"
#include "links/tables.h"
#include "links/veth.h"

#define FILE_MAX (LIMIT_NETWORKS * ((LIMIT_ADDRESSES + LINK_ADDRESSES_MAX + 2) * 64u + 16384))
#define BLANKS " \t"

static int filter_of(const struct filtered_link *entry, uint8_t mac[NET_MAC_LEN],
	struct filter *filter, struct error *err)
{
	struct net_spec spec = {.kind = NET_TAP};

	memcpy(spec.mac, entry->mac, sizeof spec.mac);
	if (!net_spec_mac(&spec, mac))
		return error_set(err, EINVAL, "%s: no MAC address", entry->tap);
	*filter = (struct filter){entry->tap, mac, entry->address, entry->addresses, entry->other,
		entry->others};
	return 0;
}

void filtered_free(struct filtered_link *entry)
{
	for (unsigned i = 0; i < entry->addresses; i++)
		free(entry->address[i]);
	for (unsigned i = 0; i < entry->others; i++)
		free(entry->other[i]);
}

int filtered_add(char **list, unsigned *count, const char *text, struct error *err)
{
	if (*count == LIMIT_ADDRESSES)
		return error_set(err, EINVAL, "more than %u addresses", LIMIT_ADDRESSES);
	list[*count] = strdup(text);
	if (!list[*count])
		return error_nomem(err);
	(*count)++;
	return 0;
}

int filtered_add_addresses(const char *text, char **list, unsigned *count, struct error *err)
{
	char *copy = strdup(text ? text : ""), *save = NULL;
	int r = copy ? 0 : error_nomem(err);

	for (char *word = r ? NULL : strtok_r(copy, BLANKS, &save); word && !r;
		word = strtok_r(NULL, BLANKS, &save)) {
		char address[NET_ADDRESS_TEXT + 1];
		bool ipv6;

		r = net_read_address(word, address, &ipv6)
			? error_set(err, EINVAL, "ip: '%.100s' is not an address", word)
			: filtered_add(list, count, address, err);
	}
	free(copy);
	return r;
}

int filtered_load(const struct filtered_link *const *entry, unsigned count, struct error *err)
{
	struct filter *filter = calloc(count ? count : 1, sizeof *filter);
	uint8_t(*mac)[NET_MAC_LEN] = calloc(count ? count : 1, sizeof *mac);
	int r = filter && mac ? 0 : error_nomem(err);

	for (unsigned i = 0; !r && i < count; i++)
		r = filter_of(entry[i], mac[i], &filter[i], err);
	if (!r)
		r = filter_load(filter, count, err);
	free(filter);
	free(mac);
	return r;
}

/* Its file's lines; free() afterwards, NULL: there is none. */
static char *read_links(const struct guest *guest)
{
	char *text = NULL;
	size_t size;
	int fd;

	if (launch_open_file(guest, LINKS_FILE, O_RDONLY, &fd, NULL))
		return NULL;
	if (io_read_file(fd, FILE_MAX, &text, &size))
		text = NULL;
	close(fd);
	return text;
}

static void each_line(const struct guest *guest,
	void (*act)(const struct guest *guest, void *ctx, char *line), void *ctx)
{
	char *text = read_links(guest), *rest = text, *line;

	while (text && (line = strsep(&rest, "\n")))
		if (*line)
			act(guest, ctx, line);
	free(text);
}

/* While the link is there, if it still is. */
static void run_offline(const struct guest *guest, void *ctx, char *line)
{
	struct error err = {""};

	if (*line == SCRIPT_NOTE && script_leave(line, &err))
		guest_log(guest, "the script of its link has failed", err.text);
}

static void remove_line(const struct guest *guest, void *ctx, char *line)
{
	struct link link;
	struct error err = {""};

	if (*line == SCRIPT_NOTE)
		return;
	line[strcspn(line, " ")] = 0;
	if (*line == LINKS_PAIR) {
		if (!net_check_link("", line + 1, NULL) && veth_remove(line + 1, &err))
			guest_log(guest, "its link stays", err.text);
		return;
	}
	/* Where there is such a link again, it is another's, and so is its filter. */
	if (!net_check_link("", line, NULL) && link_find(line, &link, NULL) == -ENODEV &&
		filter_remove(line, &err))
		guest_log(guest, "what filtered its link stays", err.text);
}

void links_remove(const struct guest *guest)
{
	each_line(guest, run_offline, NULL);
	each_line(guest, remove_line, NULL);
	launch_remove_file(guest, LINKS_FILE);
}

void links_drop(const struct guest *guest, const char *name)
{
	char *text = read_links(guest), *rest = text, *line;
	const size_t len = strlen(name);
	struct error err = {""};
	int fd = -1, r = text ? launch_open_file(guest, LINKS_FILE, O_WRONLY, &fd, &err) : 0;

	while (!r && text && (line = strsep(&rest, "\n"))) {
		const size_t size = strlen(line);

		const bool script = *line == SCRIPT_NOTE, pair = *line == LINKS_PAIR;

		if (strncmp(line + script + pair, name, len) ||
			line[len + script + pair] != (pair ? 0 : ' '))
			continue;
		(script ? run_offline : remove_line)(guest, NULL, line);
		/* Lines of nothing in its place: the others are there at any moment. */
		memset(line, '\n', size);
		r = io_pwrite_all(fd, line, size, line - text);
		if (r)
			error_set(&err, -r, "%s", strerror(-r));
	}
	if (r)
		guest_log(guest, "what it has of links cannot be noted", err.text);
	if (fd >= 0)
		close(fd);
	free(text);
}

/* What is to be loaded of all guests, at once. */
struct mending {
	const char *list; /* the tables that there are; NULL: not asked */
	struct filtered_link **entry;
	const struct guest **guest; /* of each */
	unsigned count, room;
};

static struct filtered_link *mending_add(struct mending *mending, const struct guest *guest)
{
	if (mending->count == mending->room) {
		const unsigned room = 2 * mending->room + 16;
		struct filtered_link **entry = reallocarray(mending->entry, room, sizeof *entry);
		const struct guest **guests;

		if (!entry)
			return NULL;
		mending->entry = entry;
		guests = reallocarray(mending->guest, room, sizeof *guests);
		if (!guests)
			return NULL;
		mending->guest = guests;
		mending->room = room;
	}
	mending->entry[mending->count] = calloc(1, sizeof **mending->entry);
	mending->guest[mending->count] = guest;
	return mending->entry[mending->count];
}

static void restore_line(const struct guest *guest, void *ctx, char *line)
{
	struct mending *mending = ctx;
	struct filtered_link *entry;
	struct link link;
	char *save = NULL, *word;

	if (*line == LINKS_PAIR || *line == SCRIPT_NOTE || !(entry = mending_add(mending, guest)))
		return;
	word = strtok_r(line, " ", &save);
	snprintf(entry->tap, sizeof entry->tap, "%s", word ? word : "");
	word = strtok_r(NULL, " ", &save);
	snprintf(entry->mac, sizeof entry->mac, "%s", word ? word : "");
	while ((word = strtok_r(NULL, " ", &save)))
		filtered_add_addresses(word + (*word == '-'),
			*word == '-' ? entry->other : entry->address,
			*word == '-' ? &entry->others : &entry->addresses, NULL);
	if (net_check_link("", entry->tap, NULL) || link_find(entry->tap, &link, NULL) ||
		(mending->list && tables_has(mending->list, "netdev", entry->tap))) {
		filtered_free(entry);
		free(entry);
		return;
	}
	mending->count++;
}

static int load_some(void *ctx, unsigned first, unsigned count, struct error *err)
{
	const struct mending *mending = ctx;
	const struct filtered_link *const *all =
		(const struct filtered_link *const *)mending->entry;

	return count ? filtered_load(all + first, count, err) : 0;
}

/* Of a slow nft the whole daemon's log tells once. */
static void told(void *ctx, unsigned i, int r, const char *text)
{
	const struct mending *mending = ctx;

	if (r && r != -ETIMEDOUT)
		guest_log(mending->guest[i], "nothing filters its link", text);
}

int links_mend(struct daemon *daemon, const char *list)
{
	struct mending mending = {.list = list};
	int r;

	for (const struct guest *at = daemon->guests; at; at = at->next)
		if (at->domid)
			each_line(at, restore_line, &mending);
	r = tables_load_many(mending.count, load_some, told, &mending);
	for (unsigned i = 0; i < mending.count; i++) {
		filtered_free(mending.entry[i]);
		free(mending.entry[i]);
	}
	free(mending.entry);
	free(mending.guest);
	return r ? r : (int)mending.count;
}

void links_sweep(const struct daemon *daemon)
{
	if (daemon->root)
		filter_sweep();
}
