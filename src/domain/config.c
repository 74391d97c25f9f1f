/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "domain/kind.h"
#include "domain/vdev.h"
#include "protocol/fields.h"
#include "protocol/disk.h"
#include "protocol/network.h"

#define MEMORY_DEFAULT (128u << 10)
#define MEMORY_MAX (16ull << 30) /* 16 TiB */
#define NUMBER_MAX UINT32_MAX
#define DIGITS "0123456789"
#define NAME_CHARACTERS DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.+@:-"

static const char *const kinds[] = {"machine", "container", NULL};
static const char *const actions[] = {"destroy", "restart", "rename-restart", "preserve",
	"coredump-destroy", "coredump-restart", "soft-reset", NULL};
static const char *const host_shutdowns[] = {"default", "suspend", "shutdown", "destroy", "ignore",
	NULL};
static const char *const hdtypes[] = {"ide", "ahci", NULL};
static const char *const formats[] = {"raw", "qcow", "qcow2", "vhd", "qed", "empty", NULL};

/* A text that may be left out, and is then NULL. */
#define STRING(structure, member, most) FIELD_ROW(STRING, structure, member, .min = 1, .max = most)
#define ACTION(member, preset) \
	FIELD_ROW(ENUM, domain_config, member, .names = actions, .number = preset)
#define STRINGS(key, structure, member, count, most) \
	FIELD_STRINGS_ROW(key, structure, member, count, DOMAIN_STRING_MAX, most)

static const struct field disk_fields[] = {
	STRING(domain_disk, target, DOMAIN_STRING_MAX),
	FIELD_ROW(ENUM, domain_disk, format, .names = formats, .number = DOMAIN_RAW),
	FIELD_ROW(STRING, domain_disk, vdev, .min = 1, .max = VDEV_NAME_MAX - 1, .text = ""),
	FIELD_ROW(BOOL, domain_disk, writable),
	FIELD_ROW(BOOL, domain_disk, cdrom),
	FIELD_ROW(BOOL, domain_disk, discard, .number = true),
	STRING(domain_disk, script, DOMAIN_STRING_MAX),
	STRING(domain_disk, backend, DOMAIN_NAME_MAX),
	STRING(domain_disk, hint, DOMAIN_NAME_MAX),
	FIELD_ROW(BOOL, domain_disk, direct_io),
	FIELD_ROW(ENUM, domain_disk, errors, .names = disk_errors_names),
	FIELD_ROW(BOOL, domain_disk, temporary),
	{.key = NULL},
};

static int read_mac(const char *text, char *to)
{
	return domain_mac_parse(text, to);
}

static int read_uuid(const char *text, char *to)
{
	return domain_uuid_parse(text, to);
}

static const struct field vif_fields[] = {
	FIELD_ROW(COUNT, domain_vif, devid, .max = LIMIT_NETWORKS - 1),
	FIELD_ROW(TEXT, domain_vif, mac, .max = DOMAIN_MAC_LEN, .read = read_mac),
	STRING(domain_vif, bridge, DOMAIN_NAME_MAX),
	STRING(domain_vif, ip, DOMAIN_STRING_MAX),
	STRING(domain_vif, model, DOMAIN_NAME_MAX),
	STRING(domain_vif, vifname, DOMAIN_NAME_MAX),
	STRING(domain_vif, script, DOMAIN_STRING_MAX),
	STRING(domain_vif, gatewaydev, NET_LINK_TEXT),
	STRING(domain_vif, backend, DOMAIN_NAME_MAX),
	STRING(domain_vif, type, DOMAIN_NAME_MAX),
	STRING(domain_vif, mode, DOMAIN_NAME_MAX),
	STRINGS("forward", domain_vif, forward, forwards, DOMAIN_FORWARDS_MAX),
	FIELD_STRINGS_ROW("allow", domain_vif, allow, allows, NET_NAME_TEXT, LIMIT_ALLOWS),
	FIELD_ROW(NUMBER, domain_vif, rate, .max = 1ull << 40),
	FIELD_ROW(COUNT, domain_vif, rate_interval, .max = NUMBER_MAX),
	FIELD_ROW(COUNT, domain_vif, mtu, .max = 65535),
	FIELD_ROW(COUNT, domain_vif, vlan, .max = NET_VLAN_MAX),
	FIELD_ROW(BOOL, domain_vif, isolated),
	FIELD_ROW(CHOICE, domain_vif, filter),
	{.key = NULL},
};

const struct field domain_config_fields[] = {
	FIELD_ROW(ENUM, domain_config, kind, .names = kinds, .number = DOMAIN_MACHINE),
	FIELD_ROW(STRING, domain_config, name, .min = 1, .max = DOMAIN_NAME_MAX, .text = ""),
	FIELD_ROW(TEXT, domain_config, uuid, .max = DOMAIN_UUID_LEN, .read = read_uuid),
	STRING(domain_config, type, DOMAIN_NAME_MAX),
	FIELD_ROW_AS(NUMBER, "memory_kib", domain_config, memory, .min = LIMIT_MEMORY_MIN,
		.max = MEMORY_MAX, .number = MEMORY_DEFAULT),
	FIELD_ROW_AS(NUMBER, "maxmem_kib", domain_config, maxmem, .max = MEMORY_MAX),
	FIELD_ROW(COUNT, domain_config, vcpus, .min = 1, .max = DOMAIN_VCPUS_MAX, .number = 1),
	FIELD_ROW(COUNT, domain_config, maxvcpus, .max = DOMAIN_VCPUS_MAX),
	STRINGS("cpus", domain_config, cpus, cpus_count, DOMAIN_VCPUS_MAX),
	STRINGS("cpus_soft", domain_config, cpus_soft, cpus_soft_count, DOMAIN_VCPUS_MAX),
	FIELD_ROW(COUNT, domain_config, cpu_weight, .min = 1, .max = 65535,
		.number = DOMAIN_WEIGHT_DEFAULT),
	FIELD_ROW(COUNT, domain_config, cap, .max = DOMAIN_VCPUS_MAX * 100),
	FIELD_ROW(COUNT, domain_config, io_weight, .max = 10000),
	STRING(domain_config, kernel, DOMAIN_STRING_MAX),
	STRING(domain_config, ramdisk, DOMAIN_STRING_MAX),
	FIELD_ROW(STRING, domain_config, cmdline, .max = DOMAIN_CMDLINE_MAX, .text = ""),
	STRING(domain_config, bootloader, DOMAIN_STRING_MAX),
	STRING(domain_config, boot, DOMAIN_NAME_MAX),
	STRING(domain_config, firmware, DOMAIN_STRING_MAX),
	FIELD_ROW(ENUM, domain_config, hdtype, .names = hdtypes),
	FIELD_LIST_ROW("disks", domain_config, disk, disks, disk_fields, DOMAIN_DISKS_MAX),
	FIELD_LIST_ROW("vifs", domain_config, vif, vifs, vif_fields, DOMAIN_VIFS_MAX),
	FIELD_LIST_ROW("shares", domain_config, share, shares, share_spec_fields, LIMIT_SHARES),
	ACTION(on_poweroff, DOMAIN_DESTROY),
	ACTION(on_reboot, DOMAIN_RESTART),
	ACTION(on_crash, DOMAIN_DESTROY),
	ACTION(on_watchdog, DOMAIN_DESTROY),
	ACTION(on_soft_reset, DOMAIN_SOFT_RESET),
	FIELD_ROW(ENUM, domain_config, on_host_shutdown, .names = host_shutdowns),
	STRINGS("serial", domain_config, serial, serials, DOMAIN_SERIALS_MAX),
	FIELD_PART_AT(domain_config, machine, machine_spec_fields),
	STRING(domain_config, root, DOMAIN_STRING_MAX),
	STRING(domain_config, template, DOMAIN_STRING_MAX),
	FIELD_PART_AT(domain_config, container, container_spec_fields),
	FIELD_STRINGS_ROW("layers", domain_config, layer, layers, DOMAIN_UUID_LEN,
		CONTAINER_LAYERS),
	FIELD_ROW(TEXT, domain_config, upper, .max = DOMAIN_UUID_LEN, .read = read_uuid),
	FIELD_ROW(OBJECT, domain_config, kept, .max = DOMAIN_KEPT_MAX),
	{.key = NULL},
};

const char *domain_kind_name(enum domain_kind kind)
{
	return kinds[kind];
}

const char *domain_action_name(enum domain_action action)
{
	return actions[action];
}

const char *domain_format_name(enum domain_format format)
{
	return formats[format];
}

int domain_action_find(const char *name, enum domain_action *action)
{
	int r = field_find_name(actions, name);

	if (r < 0)
		return r;
	*action = r;
	return 0;
}

int domain_format_find(const char *name, enum domain_format *format)
{
	int r = field_find_name(formats, name);

	if (r < 0)
		return r;
	*format = r;
	return 0;
}

int domain_mac_parse(const char *text, char mac[DOMAIN_MAC_LEN + 1])
{
	unsigned byte[6];
	int end = 0;

	if (strspn(text, "0123456789abcdefABCDEF:") != strlen(text) ||
		sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3],
			&byte[4], &byte[5], &end) != 6 ||
		text[end] || (byte[0] & 1) ||
		!(byte[0] | byte[1] | byte[2] | byte[3] | byte[4] | byte[5]))
		return -EINVAL;
	snprintf(mac, DOMAIN_MAC_LEN + 1, "%02x:%02x:%02x:%02x:%02x:%02x", byte[0] & 255,
		byte[1] & 255, byte[2] & 255, byte[3] & 255, byte[4] & 255, byte[5] & 255);
	return 0;
}

int domain_uuid_parse(const char *text, char uuid[DOMAIN_UUID_LEN + 1])
{
	bool dashes = strlen(text) == DOMAIN_UUID_LEN;
	const char *c = text;

	if (!dashes && strlen(text) != 32)
		return -EINVAL;
	for (unsigned n = 0; n < DOMAIN_UUID_LEN; n++) {
		bool dash = n == 8 || n == 13 || n == 18 || n == 23;

		if (dash ? dashes && *c != '-' : !isxdigit((unsigned char)*c))
			return -EINVAL;
		uuid[n] = dash ? '-' : tolower((unsigned char)*c);
		c += !dash || dashes;
	}
	uuid[DOMAIN_UUID_LEN] = 0;
	return 0;
}

int domain_config_init(struct domain_config *config)
{
	memset(config, 0, sizeof *config);
	if (!fields_default(domain_config_fields, config))
		return 0;
	domain_config_free(config);
	return -ENOMEM;
}

void domain_config_free(struct domain_config *config)
{
	fields_free(domain_config_fields, config);
	memset(config, 0, sizeof *config);
}

/*
 * A name must not be mistaken for an ID, a UUID, an option or a folder, and is given to terminals and
 * shells as it is: plain characters only.
 */
static int check_name(const char *name, struct error *err)
{
	char uuid[DOMAIN_UUID_LEN + 1];

	if (name[0] == '-')
		return error_set(err, EINVAL, "name: '%s' begins like an option", name);
	if (strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
		return error_set(err, EINVAL, "name: '%s' must not be or hold a path", name);
	if (name[strspn(name, NAME_CHARACTERS)])
		return error_set(err, EINVAL,
			"name: '%s' has other characters than letters, digits and _.+@:-", name);
	if (!name[strspn(name, DIGITS)])
		return error_set(err, EINVAL, "name: '%s' would be taken for a domain ID", name);
	if (!domain_uuid_parse(name, uuid))
		return error_set(err, EINVAL, "name: '%s' would be taken for a UUID", name);
	if (!strcmp(name, "Domain-0"))
		return error_set(err, EINVAL, "name: Domain-0 is this host's own");
	return 0;
}

static int check_path(const char *what, const char *path, struct error *err)
{
	if (path && path[0] != '/')
		return error_set(err, EINVAL, "%s: '%s' is not an absolute path", what, path);
	return 0;
}

static int check_disks(const struct domain_config *config, struct error *err)
{
	for (unsigned n = 0; n < config->disks; n++) {
		const struct domain_disk *disk = &config->disk[n];
		struct vdev vdev, other;

		if (vdev_parse(disk->vdev, &vdev))
			return error_set(err, EINVAL,
				"disks[%u].vdev: '%s' is not a disk's name (like xvda, xvda1 or hda)",
				n, disk->vdev);
		for (unsigned k = 0; k < n; k++)
			if (!vdev_parse(config->disk[k].vdev, &other) &&
				vdev_number(&other) == vdev_number(&vdev))
				return error_set(err, EINVAL, "disks[%u].vdev: '%s' is there twice",
					n, disk->vdev);
		if (!disk->target && disk->format != DOMAIN_EMPTY)
			return error_set(err, EINVAL, "disks[%u].target: is missing", n);
		if (!disk->script && !(disk->target && disk_is_remote(disk->target)) &&
			check_path("disks.target", disk->target, err))
			return -EINVAL;
	}
	return 0;
}

enum domain_action domain_config_after(const struct domain_config *config, enum end_reason reason)
{
	switch (end_info(reason)->event) {
	case END_ON_POWEROFF:
		return config->on_poweroff;
	case END_ON_REBOOT:
		return config->on_reboot;
	case END_ON_CRASH:
		return config->on_crash;
	case END_ON_WATCHDOG:
		return config->on_watchdog;
	case END_ON_NOTHING:
		break;
	}
	return DOMAIN_DESTROY;
}

bool domain_disk_has_medium(const struct domain_disk *disk)
{
	return disk->format != DOMAIN_EMPTY && disk->target;
}

unsigned domain_vif_devid(const struct domain_config *config, unsigned n)
{
	return config->vif[n].devid ? config->vif[n].devid : n;
}

static int check_devid(const struct domain_config *config, unsigned n, struct error *err)
{
	if (!n || domain_vif_devid(config, n) > domain_vif_devid(config, n - 1))
		return 0;
	return error_set(err, EINVAL, "vifs[%u]: devid: %u is not above the %u of the one before",
		n, domain_vif_devid(config, n), domain_vif_devid(config, n - 1));
}

static int check_links(const struct domain_vif *vif, unsigned n, struct error *err)
{
	const bool user = vif->mode && !strcmp(vif->mode, "user");
	char where[48];
	int r = 0;

	snprintf(where, sizeof where, "vifs[%u]: vifname: ", n);
	if (vif->vifname && !user)
		r = net_check_link(where, vif->vifname, err);
	snprintf(where, sizeof where, "vifs[%u]: bridge: ", n);
	if (!r && vif->bridge && !user)
		r = net_check_link(where, vif->bridge, err);
	snprintf(where, sizeof where, "vifs[%u]: gatewaydev: ", n);
	if (!r && vif->gatewaydev)
		r = net_check_link(where, vif->gatewaydev, err);
	return r;
}

static int check_allowed(const struct domain_vif *vif, unsigned n, struct error *err)
{
	char where[32];
	int r = 0;

	snprintf(where, sizeof where, "vifs[%u]: allow: ", n);
	if (vif->allows && (vif->bridge || vif->script || (vif->mode && strcmp(vif->mode, "user"))))
		return error_set(err, EINVAL,
			"%sonly of a network in user mode, without a bridge; a network that the daemon keeps has a list "
			"of its own (dach network create --allow)",
			where);
	for (unsigned i = 0; !r && i < vif->allows; i++)
		r = net_check_allowed(where, vif->allow[i], err);
	return r;
}

static int check_forwards(const struct domain_vif *vif, unsigned n, struct error *err)
{
	for (unsigned k = 0; k < vif->forwards; k++) {
		struct net_forward forward;
		struct error why = {""};

		if (net_forward_parse(vif->forward[k], &forward, &why))
			return error_set(err, EINVAL, "vifs[%u]: %s", n, why.text);
	}
	return 0;
}

int domain_config_check_limits(const struct domain_config *config, struct error *err)
{
	unsigned disks = 0;

	for (unsigned n = 0; n < config->disks; n++) {
		const char *format = domain_format_name(config->disk[n].format);

		disks += domain_disk_has_medium(&config->disk[n]);
		if (domain_disk_has_medium(&config->disk[n]) && !disk_format_is_there(format))
			return error_set(err, ENOTSUP, "disks[%u]: format %s is not there yet", n,
				format);
		if (config->disk[n].script)
			return error_set(err, ENOTSUP,
				"disks[%u]: disks that a script brings (%.64s) are not there yet",
				n, config->disk[n].script);
		if (disks > LIMIT_DISKS)
			return error_set(err, EINVAL,
				"disks[%u]: a guest can have %d disks at most", n, LIMIT_DISKS);
	}
	for (unsigned n = 0; n < config->vifs; n++) {
		int r = check_links(&config->vif[n], n, err);

		if (!r)
			r = check_devid(config, n, err);
		if (!r)
			r = check_forwards(&config->vif[n], n, err);
		if (!r)
			r = check_allowed(&config->vif[n], n, err);
		if (r)
			return r;
	}
	if (config->vifs > LIMIT_NETWORKS)
		return error_set(err, EINVAL, "vifs[%d]: a guest can have %d networks at most",
			LIMIT_NETWORKS, LIMIT_NETWORKS);
	if (config->vcpus > LIMIT_VCPUS)
		return error_set(err, EINVAL, "vcpus: a guest can have %d at most, not %u",
			LIMIT_VCPUS, config->vcpus);
	if (config->maxmem > LIMIT_MEMORY_MAX || config->memory > LIMIT_MEMORY_MAX)
		return error_set(err, EINVAL, "%s: a guest can have %llu GiB at most",
			config->memory > LIMIT_MEMORY_MAX ? "memory_kib" : "maxmem_kib",
			LIMIT_MEMORY_MAX >> 20);
	return 0;
}

int domain_config_firmware(const struct domain_config *config, enum firmware *firmware,
	struct error *err)
{
	const bool hvm = config->type && !strcmp(config->type, "hvm");
	int r;

	*firmware = FIRMWARE_NONE;
	if (config->kernel || config->bootloader || !(hvm || config->firmware))
		return 0;
	r = firmware_parse(config->firmware ? config->firmware : "bios", firmware, err);
	if (!r && config->boot)
		r = firmware_check_boot(config->boot, err);
	if (!r && config->machine.agent)
		r = error_set(err, EINVAL,
			"agent: a guest's kernel starts it, and firmware starts none of ours: name a kernel, or "
			"write bootloader = 'pygrub'");
	return r;
}

int domain_config_check_boot(const struct domain_config *config, struct error *err)
{
	const char *name = config->bootloader, *slash = name ? strrchr(name, '/') : NULL;

	enum firmware firmware;
	int r;

	if (config->kind == DOMAIN_CONTAINER)
		return 0; /* it was checked always: nobody has kept others */
	r = domain_config_firmware(config, &firmware, err);
	if (r || firmware || config->kernel)
		return r;
	if (!name)
		return error_set(err, EINVAL,
			"no kernel: name kernel and ramdisk, or write bootloader = 'pygrub' for the kernel "
			"on the guest's first disk, or firmware = 'bios' for the boot loader there");
	if (strcmp(slash ? slash + 1 : name, "pygrub"))
		return error_set(err, EINVAL,
			"bootloader: '%.200s' is not known; 'pygrub' is, which takes the kernel from the "
			"guest's first disk",
			name);
	for (unsigned n = 0; n < config->disks; n++)
		if (config->disk[n].format != DOMAIN_EMPTY)
			return 0;
	return error_set(err, EINVAL, "bootloader: there is no disk that it could start from");
}

static int check_shares(const struct domain_config *config, struct error *err)
{
	char what[32];
	int r = 0;

	for (unsigned n = 0; !r && n < config->shares; n++) {
		const struct share_spec *share = &config->share[n];

		snprintf(what, sizeof what, "shares[%u]", n);
		r = share_spec_check(what, share, err);
		if (config->kind == DOMAIN_CONTAINER) {
			r = r ? r : domain_config_check_share(what, share, err);
			continue;
		}
		if (!r && share->path && !config->machine.agent)
			r = error_set(err, EINVAL,
				"%s: %s is where the guest's agent mounts it, and it has none: write agent = 1, or "
				"leave the path out and mount it in the guest: mount -t virtiofs " SHARE_TAG
				" DIR",
				what, share->path, n);
		if (!r && share->overlay && !share->path)
			r = error_set(err, EINVAL,
				"%s: an overlay is what the guest's agent mounts: say where by DIR:PATH",
				what);
	}
	return r ? r : share_specs_check("shares", config->share, config->shares, err);
}

int domain_config_check(const struct domain_config *config, struct error *err)
{
	int r = fields_check(domain_config_fields, config, "", err);

	if (!r)
		r = check_name(config->name, err);
	if (!r)
		r = check_path("kernel", config->kernel, err);
	if (!r)
		r = check_path("ramdisk", config->ramdisk, err);
	if (!r)
		r = check_path("root", config->root, err);
	if (!r)
		r = check_path("template", config->template, err);
	if (!r)
		r = domain_config_check_kind(config, err);
	if (!r)
		r = check_disks(config, err);
	if (!r)
		r = check_shares(config, err);
	if (!r && config->machine.agent && config->machine.qemu_agent)
		r = error_set(err, EINVAL,
			"qemu_agent: stands in for agent, and both are asked for");
	if (!r && config->ramdisk && !config->kernel)
		r = error_set(err, EINVAL, "ramdisk: needs a kernel beside it");
	if (!r && config->maxmem && config->maxmem < config->memory)
		r = error_set(err, EINVAL, "maxmem: %llu KiB is less than the %llu of memory",
			(unsigned long long)config->maxmem, (unsigned long long)config->memory);
	if (!r && config->maxvcpus && config->maxvcpus < config->vcpus)
		r = error_set(err, EINVAL, "maxvcpus: %u is less than the %u of vcpus",
			config->maxvcpus, config->vcpus);
	return r;
}

static int random_bytes(uint8_t *bytes, size_t size, struct error *err)
{
	if (getrandom(bytes, size, 0) != (ssize_t)size)
		return error_set(err, EIO, "no random numbers from the kernel");
	return 0;
}

int domain_uuid_make(char uuid[DOMAIN_UUID_LEN + 1], struct error *err)
{
	uint8_t b[16];
	int r = random_bytes(b, sizeof b, err);

	if (r)
		return r;
	b[6] = (b[6] & 0x0f) | 0x40; /* RFC 4122, 4.4: version 4 */
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(uuid, DOMAIN_UUID_LEN + 1,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		b[15]);
	return 0;
}

int domain_config_complete(struct domain_config *config, struct error *err)
{
	uint8_t b[3];
	int r;

	if (!config->maxmem)
		config->maxmem = config->memory;
	if (!config->maxvcpus)
		config->maxvcpus = config->vcpus;
	r = config->uuid[0] ? 0 : domain_uuid_make(config->uuid, err);
	if (r)
		return r;
	for (unsigned n = 0; n < config->vifs; n++) {
		if (config->vif[n].mac[0])
			continue;
		r = random_bytes(b, sizeof b, err);
		if (r)
			return r;
		/* Xen's own prefix; its local half is from 00 to 7f, as xl makes them. */
		snprintf(config->vif[n].mac, sizeof config->vif[n].mac, "00:16:3e:%02x:%02x:%02x",
			b[0] & 0x7f, b[1], b[2]);
	}
	return 0;
}

int domain_config_to_json(const struct domain_config *config, json_t **json, struct error *err)
{
	int r = domain_config_check(config, err);

	if (r)
		return r;
	*json = fields_write(domain_config_fields, config);
	return *json ? 0 : error_nomem(err);
}

int domain_config_from_json(const json_t *json, struct domain_config *config, struct error *err)
{
	int r = domain_config_init(config);

	if (r)
		return error_nomem(err);
	r = fields_read(domain_config_fields, json, config, "", err);
	if (!r)
		r = domain_config_check(config, err);
	if (r) {
		domain_config_free(config);
		return r;
	}
	if (!config->maxmem)
		config->maxmem = config->memory;
	if (!config->maxvcpus)
		config->maxvcpus = config->vcpus;
	return 0;
}

int domain_config_copy(const struct domain_config *from, struct domain_config *to,
	struct error *err)
{
	json_t *json;
	int r = domain_config_to_json(from, &json, err);

	if (r) {
		memset(to, 0, sizeof *to);
		return r;
	}
	r = domain_config_from_json(json, to, err);
	json_decref(json);
	return r;
}
