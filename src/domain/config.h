/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest of either kind is to be: the one description that the command line makes from a
 * configuration file (src/config/), the API carries, the store keeps and the daemon starts from.
 * Names and defaults are xl's (xl.cfg(5)). Nothing in it is opened or looked up.
 *
 * Every string belongs to the configuration (malloc), is valid UTF-8 without control characters,
 * and may be NULL where that is said.
 */
#ifndef DACH_DOMAIN_CONFIG_H
#define DACH_DOMAIN_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/container_spec.h"
#include "protocol/disk.h"
#include "protocol/end.h"
#include "protocol/fields.h"
#include "protocol/firmware.h"
#include "protocol/limits.h"
#include "protocol/machine_spec.h"
#include "protocol/share.h"

/* What is kept; what can be started may be less: see domain_config_check_limits(). */
#define DOMAIN_NAME_MAX LIMIT_NAME
#define DOMAIN_STRING_MAX LIMIT_STRING
#define DOMAIN_CMDLINE_MAX LIMIT_CMDLINE
#define DOMAIN_VCPUS_MAX 512
#define DOMAIN_DISKS_MAX 64
#define DOMAIN_VIFS_MAX 64
#define DOMAIN_FORWARDS_MAX 64
#define DOMAIN_SERIALS_MAX 4
#define DOMAIN_KEPT_MAX 65536 /* bytes of all kept values as text */
#define DOMAIN_UUID_LEN LIMIT_UUID
#define DOMAIN_MAC_LEN 17
#define DOMAIN_WEIGHT_DEFAULT 256

enum domain_kind { DOMAIN_MACHINE, DOMAIN_CONTAINER };

/* What to do when a guest has ended. coredump-*: a core file first. */
enum domain_action {
	DOMAIN_DESTROY,
	DOMAIN_RESTART,
	DOMAIN_RENAME_RESTART, /* keep the old one under another name, start anew */
	DOMAIN_PRESERVE,       /* keep it, ended, until it is destroyed */
	DOMAIN_COREDUMP_DESTROY,
	DOMAIN_COREDUMP_RESTART,
	DOMAIN_SOFT_RESET, /* on_soft_reset only */
};

/* What becomes of it when the host goes down; the host's settings are the default. */
/* What disks with IDE's names (hda) are drives of, with firmware. */
enum domain_hdtype { DOMAIN_HD_IDE, DOMAIN_HD_AHCI };

enum domain_host_shutdown {
	DOMAIN_HOST_DEFAULT,
	DOMAIN_HOST_SUSPEND,
	DOMAIN_HOST_SHUTDOWN,
	DOMAIN_HOST_DESTROY,
	DOMAIN_HOST_IGNORE,
};

enum domain_format {
	DOMAIN_RAW,
	DOMAIN_QCOW,
	DOMAIN_QCOW2,
	DOMAIN_VHD,
	DOMAIN_QED,
	DOMAIN_EMPTY, /* a drive without a medium */
};

struct domain_disk {
	char *target; /* an absolute path, the address of an NBD server's export, or what the script takes; NULL: an empty drive */
	enum domain_format format;
	char *vdev; /* "xvda2", "hda", ...; see domain/vdev.h */
	bool writable;
	bool cdrom;
	bool discard;  /* the guest may give space back */
	char *script;  /* NULL: none */
	char *backend; /* NULL: this host */
	char *hint;    /* what the file said of who serves it: "phy", "qdisk", "tap:aio"; or NULL */
	bool direct_io; /* direct-io-safe */
	enum disk_errors errors;
	bool temporary; /* the file goes when the daemon forgets the guest */
};

struct domain_vif {
	unsigned
		devid; /* its number, where that is not its place in the list: domain_vif_devid() */
	char mac[DOMAIN_MAC_LEN + 1]; /* small letters, ':'; "" until domain_config_complete() */
	char *bridge;                 /* NULL: the host's default network */
	char *ip;                     /* blanks between several; NULL */
	char *model;                  /* "virtio", "e1000", ...; NULL: virtio */
	char *vifname;                /* the host's interface; NULL: one is named */
	char *script; /* what puts its link where it belongs (daemon/script.h); NULL: vif-bridge */
	char *gatewaydev; /* with vif-route: the host's link whose address the guest's has, too; NULL */
	char *backend;
	char *type;     /* "vif", "ioemu" as the file said; NULL */
	char *mode;     /* "user": over this host's sockets; "bridge"; NULL: whatever the
	                             daemon's privilege allows */
	char **forward; /* with user: tcp:ADDR:PORT-ADDR:PORT (net/net.h) */
	unsigned forwards;
	char **allow; /* with user: all that it reaches outside (protocol/network.h); none: anything */
	unsigned allows;
	uint64_t rate;            /* bytes a second; 0: no limit */
	unsigned rate_interval;   /* microseconds over which rate is held; 0: 50 ms */
	unsigned mtu;             /* 0: the network's */
	unsigned vlan;            /* of its bridge; 0: as the bridge or the network has it */
	bool isolated;            /* it reaches no neighbour that is isolated, too */
	enum field_choice filter; /* CHOICE_NO: it may pretend to be another on its bridge */
};

struct domain_config {
	enum domain_kind kind;
	char *name;                     /* 1 to DOMAIN_NAME_MAX bytes */
	char uuid[DOMAIN_UUID_LEN + 1]; /* small letters; "" until domain_config_complete() */
	char *type; /* "pv", "pvh", "hvm" as the file said; all are one machine */

	uint64_t memory, maxmem;  /* KiB; maxmem >= memory */
	unsigned vcpus, maxvcpus; /* maxvcpus >= vcpus >= 1 */
	/*
	 * Where each vCPU may run, as in "0-3,^1", "all", "nodes:0" (host/cpuset.h reads it): hard
	 * and soft affinity. Entry n is vCPU n's; those without one run anywhere.
	 */
	char **cpus, **cpus_soft;
	unsigned cpus_count, cpus_soft_count;
	unsigned cpu_weight; /* 1 to 65535, DOMAIN_WEIGHT_DEFAULT: an even share */
	unsigned cap;        /* percent of one processor; 0: no limit */
	unsigned io_weight;  /* 1 to 10000; 0: the host's default */

	char *kernel, *ramdisk; /* absolute paths; NULL: see bootloader */
	char *cmdline;          /* never NULL */
	char *bootloader;       /* "pygrub": the kernel on the first disk; NULL */
	char *boot;             /* letters of c d n; NULL */
	char *firmware;         /* "bios", "uefi", ...; NULL */
	enum domain_hdtype hdtype;

	struct domain_disk *disk;
	unsigned disks;
	struct domain_vif *vif;
	unsigned vifs;
	struct share_spec *share; /* folders of the host's */
	unsigned shares;

	enum domain_host_shutdown on_host_shutdown;
	enum domain_action on_poweroff, on_reboot, on_crash, on_watchdog, on_soft_reset;

	char **serial; /* where each port leads: "pty", "none", ...; without any: "pty" */
	unsigned serials;
	struct machine_spec machine;

	/*
	 * Of a container, one of them: a folder that is its root, or one that its root begins as, and what it writes is
	 * its own, kept by the daemon. Absolute paths; NULL.
	 */
	char *root, *template;
	struct container_spec container;
	/*
	 * Over the template, by names that the daemon gives: what nobody writes to any more, the lowest first, and what it writes
	 * to, "" for its UUID (daemon/container_files.h).
	 */
	char **layer;
	unsigned layers;
	char upper[DOMAIN_UUID_LEN + 1];

	/* Keys of xl.cfg that have no field here (vnc, vfb, acpi, ...): an object. NULL: none. */
	json_t *kept;
};

/* Its fields, as the API and the store have them. */
extern const struct field domain_config_fields[];

/* All defaults: no name, 128 MiB, one vCPU, no devices. -ENOMEM. */
int domain_config_init(struct domain_config *config);
/* Frees what it holds and leaves it empty (all zero). An all-zero one is allowed. */
void domain_config_free(struct domain_config *config);

/*
 * Is it sound and within its bounds? -EINVAL and a sentence that begins with the field's name.
 * Paths are not looked at beyond being absolute.
 */
int domain_config_check(const struct domain_config *config, struct error *err);

/* Not a drive that is empty. */
bool domain_disk_has_medium(const struct domain_disk *disk);
/* The number of a network, which stays what it is when others come and go; they ascend. Below LIMIT_NETWORKS. */
unsigned domain_vif_devid(const struct domain_config *config, unsigned n);

/*
 * Is it more than a guest can be started with (protocol/limits.h), or not of a form that can? Beside domain_config_check(), since
 * configurations that were kept by an older daemon are to be read, whatever they ask for.
 */
int domain_config_check_limits(const struct domain_config *config, struct error *err);

/*
 * What firmware it starts with: none where a kernel or a bootloader is named; else the one that it names, or, of type
 * hvm, a BIOS, as xl has it. -EINVAL: it cannot be had so, with a sentence that begins with the field's name.
 */
int domain_config_firmware(const struct domain_config *config, enum firmware *firmware,
	struct error *err);

/*
 * Is there something to boot: a kernel, or a bootloader to find one, or firmware; of a container, its root? Asked before a
 * guest starts.
 */
int domain_config_check_boot(const struct domain_config *config, struct error *err);

/* What its on_... want after such an end. */
enum domain_action domain_config_after(const struct domain_config *config, enum end_reason reason);

/* Fills in what is left open: UUID, MAC addresses (00:16:3e:...), maxmem, maxvcpus. */
int domain_config_complete(struct domain_config *config, struct error *err);

/*
 * As JSON, and back. Fields that have their default are left out; memory_kib and maxmem_kib carry
 * their unit in their name, the rest is named as above. Reading takes any JSON value: a key that it
 * does not know is -EINVAL, as is whatever domain_config_check() refuses; config is all zero then.
 * maxmem and maxvcpus default to memory and vcpus.
 */
int domain_config_to_json(const struct domain_config *config, json_t **json, struct error *err);
int domain_config_from_json(const json_t *json, struct domain_config *config, struct error *err);
int domain_config_copy(const struct domain_config *from, struct domain_config *to,
	struct error *err);

/* "machine", ...; "destroy", "coredump-restart", ...; "raw", "qcow2", ... */
const char *domain_kind_name(enum domain_kind kind);
const char *domain_action_name(enum domain_action action);
const char *domain_format_name(enum domain_format format);
/* -EINVAL: no such name; nothing is said. */
int domain_action_find(const char *name, enum domain_action *action);
int domain_format_find(const char *name, enum domain_format *format);

/* Puts the address in small letters with leading zeroes into mac. -EINVAL: none, or a group's. */
int domain_mac_parse(const char *text, char mac[DOMAIN_MAC_LEN + 1]);
/* With or without dashes, in small letters with dashes afterwards. */
int domain_uuid_parse(const char *text, char uuid[DOMAIN_UUID_LEN + 1]);
/* One that nobody has. */
int domain_uuid_make(char uuid[DOMAIN_UUID_LEN + 1], struct error *err);

#endif
