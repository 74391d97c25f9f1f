/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/links.h"
#include "daemon/plug.h"

unsigned plug_vif_find(const struct domain_config *config, unsigned devid)
{
	unsigned n = 0;

	while (n < config->vifs && domain_vif_devid(config, n) != devid)
		n++;
	return n;
}

static int check_mac(const struct domain_config *config, unsigned at, struct error *err)
{
	for (unsigned n = 0; n < config->vifs; n++)
		if (n != at && !strcmp(config->vif[n].mac, config->vif[at].mac))
			return error_set(err, EEXIST,
				"the guest has a network with the MAC address %s already",
				config->vif[at].mac);
	return 0;
}

/* It gets the lowest number that is free: all behind its place have one of their own. */
int plug_vif_with(const struct guest *guest, const json_t *vif, struct domain_config *to,
	unsigned *at, struct error *err)
{
	const struct domain_config *config = &guest->config;
	json_t *vifs, *json = plug_open_config(guest, "vifs", &vifs, err), *copy;
	int r;

	memset(to, 0, sizeof *to);
	if (!json)
		return -EINVAL;
	*at = 0;
	while (*at < config->vifs && domain_vif_devid(config, *at) == *at)
		++*at;
	copy = json_deep_copy(vif);
	json_object_del(copy, "devid");
	json_array_insert_new(vifs, *at, copy);
	r = plug_close_config(json, to, err);
	if (!r)
		r = domain_config_complete(to, err);
	if (!r)
		r = check_mac(to, *at, err);
	if (r)
		domain_config_free(to);
	return r;
}

int plug_vif_without(const struct guest *guest, unsigned at, struct domain_config *to,
	struct error *err)
{
	json_t *vifs, *json = plug_open_config(guest, "vifs", &vifs, err);

	memset(to, 0, sizeof *to);
	if (!json)
		return -EINVAL;
	for (unsigned n = at + 1; n < guest->config.vifs; n++)
		json_object_set_new(json_array_get(vifs, n), "devid",
			json_integer(domain_vif_devid(&guest->config, n)));
	json_array_remove(vifs, at);
	return plug_close_config(json, to, err);
}

int plug_vif_take_out(struct guest *guest, unsigned at, struct error *err)
{
	char name[NET_LINK_TEXT + 1];
	struct domain_config config;
	int r;

	links_name(guest, at, name);
	r = plug_vif_without(guest, at, &config, err);
	if (!r)
		r = plug_commit(guest, &config, err);
	links_drop(guest, name);
	return r;
}

/* One comes or goes at a time: a monitor that lacks one lacks this one. */
int plug_vif_settle(struct guest *guest, const json_t *note, const json_t *info, struct error *err)
{
	const unsigned at = plug_vif_find(&guest->config, json_get_number(note, "devid"));
	const json_t *networks = json_object_get(info, "networks");

	if (!info || at == guest->config.vifs || json_array_size(networks) >= guest->config.vifs)
		return 0;
	guest_log(guest, "has a network less, which its monitor has not",
		guest->config.vif[at].mac);
	return plug_vif_take_out(guest, at, err);
}
