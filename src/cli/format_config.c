/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's configuration as xl prints it: libxl_domain_config's members, in its order. */
#include <string.h>

#include "cli/call.h"
#include "cli/format.h"

#define INTERVAL_DEFAULT 50000 /* microseconds over which xl holds a rate */

static bool has(const json_t *object, const char *key)
{
	return json_object_get(object, key) != NULL;
}

static void put_text(json_t *to, const char *name, const json_t *from, const char *key)
{
	if (*json_get_text(from, key))
		json_object_set(to, name, json_object_get(from, key));
}

static void put_number(json_t *to, const char *name, const json_t *from, const char *key)
{
	if (has(from, key))
		json_object_set(to, name, json_object_get(from, key));
}

/* xl's names of actions: our words with '_', and rename-restart the other way round. */
static void put_action(json_t *to, const char *key, const json_t *config, const char *preset)
{
	const char *action = json_get_text(config, key);
	char name[32];

	action = *action ? action : preset;
	if (!strcmp(action, "destroy"))
		return; /* what xl leaves out */
	snprintf(name, sizeof name, "%s",
		strcmp(action, "rename-restart") ? action : "restart_rename");
	for (char *c = name; *c; c++)
		if (*c == '-')
			*c = '_';
	json_object_set_new(to, key, json_string(name));
}

static json_t *create_info(const json_t *config, const char *type)
{
	json_t *info = json_pack("{s:s}", "type", type);

	/* Never the last: scripts look for a name with a comma behind it. */
	json_object_set_new(info, "name", json_string(json_get_text(config, "name")));
	put_text(info, "uuid", config, "uuid");
	json_object_set_new(info, "run_hotplug_scripts", json_string("True"));
	return info;
}

static json_t *available(long long vcpus)
{
	json_t *list = json_array();

	for (long long n = 0; n < vcpus; n++)
		json_array_append_new(list, json_integer(n));
	return list;
}

static long long number_or(const json_t *object, const char *key, long long preset)
{
	return has(object, key) ? json_get_number(object, key) : preset;
}

/* guest: what it has now, where it is known; else what its configuration says. */
static json_t *build_info(const json_t *config, const json_t *guest, const char *type)
{
	long long vcpus = number_or(config, "vcpus", 1);
	long long memory = number_or(config, "memory_kib", 128 << 10);
	json_t *info = json_object(), *sched = json_object(), *own = json_object();
	char name[16];

	json_object_set_new(info, "max_vcpus", json_integer(number_or(config, "maxvcpus", vcpus)));
	json_object_set_new(info, "avail_vcpus", available(vcpus));
	json_object_set_new(info, "max_memkb",
		json_integer(
			number_or(guest, "memory_max", number_or(config, "maxmem_kib", memory))));
	json_object_set_new(info, "target_memkb",
		json_integer(number_or(guest, "memory_target", memory)));
	put_number(sched, "weight", config, "cpu_weight");
	put_number(sched, "cap", config, "cap");
	json_object_set_new(info, "sched_params", sched);
	put_text(info, "kernel", config, "kernel");
	put_text(info, "cmdline", config, "cmdline");
	put_text(info, "ramdisk", config, "ramdisk");
	put_text(info, "bootloader", config, "bootloader");
	if (!strcmp(type, "hvm")) {
		put_text(own, "firmware", config, "firmware");
		put_text(own, "hdtype", config, "hdtype");
		put_text(own, "boot", config, "boot");
		put_number(own, "serial_list", config, "serial");
	}
	snprintf(name, sizeof name, "type.%.8s", type);
	json_object_set_new(info, name, own);
	return info;
}

/* "phy" and "tap" where the file said so; QEMU's otherwise, as for an image in a file. */
static const char *backend(const json_t *disk)
{
	const char *hint = json_get_text(disk, "hint");

	if (!strcmp(hint, "phy"))
		return "phy";
	return strncmp(hint, "tap", 3) ? "qdisk" : "tap";
}

static json_t *disks(const json_t *config)
{
	json_t *list = json_array(), *disk, *to;
	size_t i;

	json_array_foreach(json_object_get(config, "disks"), i, disk)
	{
		const char *format = json_get_text(disk, "format");

		to = json_object();
		put_text(to, "backend_domname", disk, "backend");
		put_text(to, "pdev_path", disk, "target");
		put_text(to, "vdev", disk, "vdev");
		json_object_set_new(to, "backend", json_string(backend(disk)));
		json_object_set_new(to, "format", json_string(*format ? format : "raw"));
		put_text(to, "script", disk, "script");
		if (json_get_true(disk, "cdrom"))
			json_object_set_new(to, "removable", json_integer(1));
		json_object_set_new(to, "readwrite", json_integer(json_get_true(disk, "writable")));
		if (json_get_true(disk, "cdrom"))
			json_object_set_new(to, "is_cdrom", json_integer(1));
		if (json_get_true(disk, "direct_io"))
			json_object_set_new(to, "direct_io_safe", json_true());
		if (json_is_false(json_object_get(disk, "discard")))
			json_object_set_new(to, "discard_enable", json_string("False"));
		json_array_append_new(list, to);
	}
	return list;
}

static void put_rate(json_t *to, const json_t *vif)
{
	long long rate = json_get_number(vif, "rate");
	long long interval = number_or(vif, "rate_interval", INTERVAL_DEFAULT);

	if (rate <= 0)
		return;
	json_object_set_new(to, "rate_bytes_per_interval",
		json_integer((json_int_t)((double)rate * (double)interval / 1e6)));
	json_object_set_new(to, "rate_interval_usecs", json_integer(interval));
}

static json_t *nics(const json_t *config)
{
	json_t *list = json_array(), *vif, *to;
	size_t i;

	json_array_foreach(json_object_get(config, "vifs"), i, vif)
	{
		const char *type = json_get_text(vif, "type");

		to = json_object();
		put_text(to, "backend_domname", vif, "backend");
		json_object_set_new(to, "devid", json_integer((json_int_t)i));
		put_number(to, "mtu", vif, "mtu");
		put_text(to, "model", vif, "model");
		put_text(to, "mac", vif, "mac");
		put_text(to, "ip", vif, "ip");
		put_text(to, "bridge", vif, "bridge");
		put_text(to, "ifname", vif, "vifname");
		put_text(to, "script", vif, "script");
		put_text(to, "gatewaydev", vif, "gatewaydev");
		json_object_set_new(to, "nictype",
			json_string(strcmp(type, "ioemu") ? "vif" : "vif_ioemu"));
		put_rate(to, vif);
		json_array_append_new(list, to);
	}
	return list;
}

json_t *format_xl_config(const json_t *config, const json_t *guest)
{
	const char *type = json_get_text(config, "type");
	json_t *to = json_object();

	type = *type ? type : "pv";
	json_object_set_new(to, "c_info", create_info(config, type));
	json_object_set_new(to, "b_info", build_info(config, guest, type));
	json_object_set_new(to, "disks", disks(config));
	json_object_set_new(to, "nics", nics(config));
	put_action(to, "on_poweroff", config, "destroy");
	put_action(to, "on_reboot", config, "restart");
	put_action(to, "on_watchdog", config, "destroy");
	put_action(to, "on_crash", config, "destroy");
	put_action(to, "on_soft_reset", config, "soft-reset");
	return to;
}

/* The host has no configuration of its own. */
static json_t *host_config(const json_t *host)
{
	json_t *config = json_pack("{s:s, s:s, s:I, s:I}", "name", json_get_text(host, "name"),
		"uuid", FORMAT_NO_UUID, "vcpus", (json_int_t)json_get_number(host, "vcpus"),
		"memory_kib", (json_int_t)json_get_number(host, "memory"));
	json_t *full = format_xl_config(config, NULL);
	json_t *to = json_pack("{s:O, s:O}", "c_info", json_object_get(full, "c_info"), "b_info",
		json_object_get(full, "b_info"));

	json_decref(config);
	json_decref(full);
	return to;
}

json_t *format_xl_list(const json_t *rows)
{
	json_t *all = json_array(), *guest;
	size_t i;

	json_array_foreach(rows, i, guest)
	{
		json_t *config = json_object_get(guest, "config");
		json_t *domid = json_object_get(guest, "domid");

		json_array_append_new(all,
			json_pack("{s:O, s:o}", "domid", domid, "config",
				config ? format_xl_config(config, guest) : host_config(guest)));
	}
	return all;
}
