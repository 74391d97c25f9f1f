/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/keys.h"
#include "config/spec.h"

/*
 * What xl and xm know and what has no field here. missing: whoever writes it expects something that
 * does not come yet. In order, for bsearch().
 */
static const struct kept_key {
	const char *name;
	bool missing;
} kept[] = {
	{"access_control", false},
	{"acpi", false},
	{"acpi_firmware", false},
	{"acpi_laptop_slate", false},
	{"acpi_s3", false},
	{"acpi_s4", false},
	{"altp2m", false},
	{"apic", false},
	{"argo", false},
	{"blkif", false},
	{"bootargs", false},
	{"bootloader_args", false},
	{"bootloader_restrict", false},
	{"bootloader_user", false},
	{"channel", true},
	{"claim_mode", false},
	{"cpu", false},
	{"cpuid", false},
	{"description", false},
	{"device_model", false},
	{"device_model_args", false},
	{"device_model_args_hvm", false},
	{"device_model_args_pv", false},
	{"device_model_override", false},
	{"device_model_stubdomain_cmdline", false},
	{"device_model_stubdomain_init_seclabel", false},
	{"device_model_stubdomain_memory", false},
	{"device_model_stubdomain_override", false},
	{"device_model_stubdomain_seclabel", false},
	{"device_model_user", false},
	{"device_model_version", false},
	{"device_tree", false},
	{"dhcp", false},
	{"dm_restrict", false},
	{"driver_domain", false},
	{"dtdev", true},
	{"event_channels", false},
	{"fda", false},
	{"fdb", false},
	{"features", false},
	{"gateway", false},
	{"gfx_passthru", false},
	{"gic_version", false},
	{"grant_usage", false},
	{"guest_os_type", false},
	{"hap", false},
	{"hdtype", false},
	{"hostname", false},
	{"hpet", false},
	{"init_seclabel", false},
	{"iomem", false},
	{"ioports", false},
	{"ip", false},
	{"irqs", false},
	{"isa", false},
	{"keymap", false},
	{"llc_colors", false},
	{"loader", false},
	{"localtime", false},
	{"machine_address_size", false},
	{"max_grant_frames", false},
	{"max_grant_version", false},
	{"max_maptrack_frames", false},
	{"mca_caps", false},
	{"mmio_hole", false},
	{"monitor", false},
	{"monitor_path", false},
	{"monitor_serial", false},
	{"ms_vm_genid", false},
	{"msr_relaxed", false},
	{"nested_hvm", false},
	{"nestedhvm", false},
	{"netif", false},
	{"netmask", false},
	{"nfs_root", false},
	{"nfs_server", false},
	{"nodes", false},
	{"nographic", false},
	{"nomigrate", false},
	{"nr_spis", false},
	{"nx", false},
	{"on_xend_start", false},
	{"on_xend_stop", false},
	{"oos", false},
	{"opengl", false},
	{"p9", true},
	{"pae", false},
	{"parallel", false},
	{"passthrough", false},
	{"pci", true},
	{"pci_msitranslate", false},
	{"pci_permissive", false},
	{"pci_power_mgmt", false},
	{"pci_seize", false},
	{"pool", false},
	{"pvcalls", false},
	{"pvh", false},
	{"pvshim", false},
	{"pvshim_cmdline", false},
	{"pvshim_extra", false},
	{"pvshim_path", false},
	{"rdm", false},
	{"rdm_mem_boundary", false},
	{"rtc_timeoffset", false},
	{"scsi", false},
	{"sdl", true},
	{"seclabel", false},
	{"shadow_memory", false},
	{"smbios", false},
	{"smbios_firmware", false},
	{"snapshot", false},
	{"soundhw", false},
	{"spice", true},
	{"spice_clipboard_sharing", false},
	{"spiceagent_mouse", false},
	{"spicedisable_ticketing", false},
	{"spicehost", false},
	{"spicepasswd", false},
	{"spiceport", false},
	{"spicetls_port", false},
	{"spiceusbredirection", false},
	{"spicevdagent", false},
	{"stdvga", false},
	{"superpages", false},
	{"suppress_spurious_page_faults", false},
	{"sve", false},
	{"system_firmware", false},
	{"tee", false},
	{"timer_mode", false},
	{"tpm", false},
	{"trap_unmapped_accesses", false},
	{"tsc_mode", false},
	{"usb", false},
	{"usbctrl", true},
	{"usbdev", true},
	{"usbdevice", false},
	{"usbversion", false},
	{"vcpu_avail", false},
	{"vfb", true},
	{"vga", false},
	{"vhpt", false},
	{"videoram", false},
	{"viridian", false},
	{"virtio", false},
	{"vkb", true},
	{"vkbd", false},
	{"vmid", false},
	{"vmtrace_buf_kb", false},
	{"vnc", true},
	{"vncconsole", false},
	{"vncdisplay", false},
	{"vnclisten", false},
	{"vncpasswd", false},
	{"vncunused", false},
	{"vncviewer", false},
	{"vnuma", false},
	{"vpt_align", false},
	{"vscsi", true},
	{"vsnd", true},
	{"vtpm", true},
	{"vuart", false},
	{"x86_emulation", false},
	{"xauthority", false},
	{"xen_platform_pci", false},
	{"xenstore_feature_mask", false},
};

const char *keys_kept(unsigned n, bool *missing)
{
	if (n >= sizeof kept / sizeof *kept)
		return NULL;
	*missing = kept[n].missing;
	return kept[n].name;
}

static int compare(const void *a, const void *b)
{
	return strcmp(a, ((const struct kept_key *)b)->name);
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

	for (unsigned n = 0; keys_taken(n); n++) {
		unsigned far = distance(key, keys_taken(n));

		if (far < best) {
			best = far;
			found = keys_taken(n);
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

	if (wanted)
		spec_warn(reader, &setting->at, "'%s' has no effect yet", setting->key);
}

int keys_keep(struct cfg *cfg, const struct config_reader *reader, struct domain_config *config,
	struct error *err)
{
	int r = 0;

	for (unsigned n = 0; !r && n < cfg->settings; n++) {
		struct cfg_setting *setting = &cfg->setting[n];
		const struct kept_key *found;
		const char *guess;

		if (setting->used || setting->value.kind == CFG_NONE)
			continue;
		found = bsearch(setting->key, kept, sizeof kept / sizeof *kept, sizeof *kept,
			compare);
		if (found) {
			r = keep(setting, config, err);
			if (found->missing)
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
