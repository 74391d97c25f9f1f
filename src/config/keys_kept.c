/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/keys.h"
#include "config/spec.h"

/* What xl and xm know and what changes nothing here, or not yet. In order, for bsearch(). */
static const char *const known[] = {"access_control", "acpi", "acpi_firmware", "acpi_laptop_slate",
	"acpi_s3", "acpi_s4", "altp2m", "apic", "argo", "blkif", "bootargs", "bootloader_args",
	"bootloader_restrict", "bootloader_user", "channel", "claim_mode", "cpu", "cpuid",
	"description", "device_model", "device_model_args", "device_model_args_hvm",
	"device_model_args_pv", "device_model_override", "device_model_stubdomain_cmdline",
	"device_model_stubdomain_init_seclabel", "device_model_stubdomain_memory",
	"device_model_stubdomain_override", "device_model_stubdomain_seclabel", "device_model_user",
	"device_model_version", "device_tree", "dhcp", "dm_restrict", "driver_domain", "dtdev",
	"event_channels", "fda", "fdb", "features", "gateway", "gfx_passthru", "gic_version",
	"grant_usage", "guest_os_type", "hap", "hdtype", "hostname", "hpet", "init_seclabel",
	"iomem", "ioports", "ip", "irqs", "isa", "keymap", "llc_colors", "loader", "localtime",
	"machine_address_size", "max_grant_frames", "max_grant_version", "max_maptrack_frames",
	"mca_caps", "mmio_hole", "monitor", "monitor_path", "monitor_serial", "ms_vm_genid",
	"msr_relaxed", "nested_hvm", "nestedhvm", "netif", "netmask", "nfs_root", "nfs_server",
	"nodes", "nographic", "nomigrate", "nr_spis", "nx", "on_xend_start", "on_xend_stop", "oos",
	"opengl", "p9", "pae", "parallel", "passthrough", "pci", "pci_msitranslate",
	"pci_permissive", "pci_power_mgmt", "pci_seize", "pool", "pvcalls", "pvh", "pvshim",
	"pvshim_cmdline", "pvshim_extra", "pvshim_path", "rdm", "rdm_mem_boundary",
	"rtc_timeoffset", "scsi", "sdl", "seclabel", "shadow_memory", "smbios", "smbios_firmware",
	"snapshot", "soundhw", "spice", "spice_clipboard_sharing", "spiceagent_mouse",
	"spicedisable_ticketing", "spicehost", "spicepasswd", "spiceport", "spicetls_port",
	"spiceusbredirection", "spicevdagent", "stdvga", "superpages",
	"suppress_spurious_page_faults", "sve", "system_firmware", "tee", "timer_mode", "tpm",
	"trap_unmapped_accesses", "tsc_mode", "usb", "usbctrl", "usbdevice", "usbversion",
	"vcpu_avail", "vfb", "vga", "vhpt", "videoram", "viridian", "virtio", "vkb", "vkbd", "vmid",
	"vmtrace_buf_kb", "vnc", "vncconsole", "vncdisplay", "vnclisten", "vncpasswd", "vncunused",
	"vncviewer", "vnuma", "vpt_align", "vscsi", "vsnd", "vtpm", "vuart", "x86_emulation",
	"xauthority", "xen_platform_pci", "xenstore_feature_mask"};

/* Every key that has a field, for the guess at what was meant. */
static const char *const taken[] = {"name", "memory", "maxmem", "vcpus", "maxvcpus", "cpus",
	"cpus_soft", "cpu_weight", "cap", "io_weight", "kernel", "ramdisk", "cmdline", "root",
	"extra", "bootloader", "boot", "firmware", "bios", "type", "builder", "uuid", "disk", "vif",
	"serial", "on_poweroff", "on_reboot", "on_crash", "on_watchdog", "on_soft_reset", "engine",
	"cpu_model"};

/* Whoever writes one of these expects something that does not come. */
static const char *const missing[] = {"channel", "dtdev", "p9", "pci", "sdl", "spice", "usbctrl",
	"usbdev", "vfb", "vkb", "vnc", "vscsi", "vsnd", "vtpm"};

static int compare(const void *a, const void *b)
{
	return strcmp(a, *(const char *const *)b);
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* How many letters must be changed, added or taken away; long keys are no slips of the finger. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[32], la = strlen(a), lb = strlen(b);

	if (la > 30 || lb > 30)
		return 30;
	for (unsigned j = 0; j <= lb; j++)
		row[j] = j;
	for (unsigned i = 1; i <= la; i++) {
		unsigned corner = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= lb; j++) {
			unsigned change = corner + (a[i - 1] != b[j - 1]);

			corner = row[j];
			row[j] = least(change, 1 + least(row[j], row[j - 1]));
		}
	}
	return row[lb];
}

static const char *meant(const char *key)
{
	unsigned best = strlen(key) > 4 ? 3 : 2;
	const char *found = NULL;

	for (unsigned n = 0; n < sizeof taken / sizeof *taken; n++) {
		unsigned far = distance(key, taken[n]);

		if (far < best) {
			best = far;
			found = taken[n];
		}
	}
	return found;
}

static json_t *as_json(const struct cfg_value *value)
{
	json_t *list;

	if (value->kind == CFG_NUMBER)
		return json_integer(value->number);
	if (value->kind == CFG_STRING)
		return json_string(value->text); /* NULL if it is not UTF-8 */
	list = json_array();
	for (unsigned n = 0; list && n < value->items; n++) {
		json_t *item =
			value->item[n].kind == CFG_NONE ? json_null() : as_json(&value->item[n]);

		if (!item || json_array_append_new(list, item)) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static int keep(const struct cfg_setting *setting, struct domain_config *config, struct error *err)
{
	json_t *value = as_json(&setting->value);

	if (!value)
		return cfg_error(err, EINVAL, &setting->value.at, "'%s' is not valid UTF-8",
			setting->key);
	if (!config->kept)
		config->kept = json_object();
	if (!config->kept || json_object_set_new(config->kept, setting->key, value))
		return error_set(err, ENOMEM, "out of memory");
	return 0;
}

/* Not when it says no: 0, '' or []. */
static void warn_missing(const struct cfg_setting *setting, const struct config_reader *reader)
{
	const struct cfg_value *value = &setting->value;
	bool wanted = value->kind == CFG_LIST ? value->items
		: value->kind == CFG_NUMBER   ? value->number
					      : value->text[0] && strcmp(value->text, "0");

	if (wanted &&
		bsearch(setting->key, missing, sizeof missing / sizeof *missing, sizeof *missing,
			compare))
		spec_warn(reader, &setting->at, "'%s' has no effect yet", setting->key);
}

int keys_keep(struct cfg *cfg, const struct config_reader *reader, struct domain_config *config,
	struct error *err)
{
	int r = 0;

	for (unsigned n = 0; !r && n < cfg->settings; n++) {
		struct cfg_setting *setting = &cfg->setting[n];
		const char *guess;

		if (setting->used || setting->value.kind == CFG_NONE)
			continue;
		if (bsearch(setting->key, known, sizeof known / sizeof *known, sizeof *known,
			    compare)) {
			r = keep(setting, config, err);
			warn_missing(setting, reader);
			continue;
		}
		guess = meant(setting->key);
		spec_warn(reader, &setting->at, "unknown key '%.80s' is ignored%s%s%s",
			setting->key, guess ? "; is it '" : "", guess ? guess : "",
			guess ? "' that is meant?" : "");
	}
	return r;
}
