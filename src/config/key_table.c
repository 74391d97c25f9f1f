/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each key of xl.cfg and xm, once. What dach.cfg(5) lists comes from here (tests/unit/test_config.c holds
 * it against this table and prints what it should be).
 */
#include "config/keys.h"

#include <string.h>

#define MIB_MAX (LIMIT_MEMORY_MAX >> 10)

/* Sets the field of domain/config.c of that name, within its bounds. */
#define FIELD(name_, field_)                                        \
	{                                                           \
		.name = name_, .effect = KEY_FIELD, .field = field_ \
	}
/* The same within bounds of its own: a stored configuration may be of an older daemon's. */
#define FIELD_WITHIN(name_, field_, form_, least, most)                                           \
	{                                                                                         \
		.name = name_, .effect = KEY_FIELD, .field = field_, .form = form_, .min = least, \
		.max = most                                                                       \
	}
/* Has a reader of its own. */
#define READ(name_, field_, read_)                                                 \
	{                                                                          \
		.name = name_, .effect = KEY_FIELD, .field = field_, .read = read_ \
	}
#define MISSING(name_, help_)                                       \
	{                                                           \
		.name = name_, .effect = KEY_MISSING, .help = help_ \
	}
#define KEPT(name_)                               \
	{                                         \
		.name = name_, .effect = KEY_KEPT \
	}

/* Read in this order: the lists look at vcpus, and of two spellings the later row counts. */
static const struct key keys[] = {
	FIELD("name", "name"),
	READ("uuid", "uuid", keys_read_uuid),
	READ("type", "type", keys_read_type),
	READ("builder", "type", keys_read_builder), /* its old spelling */
	FIELD_WITHIN("memory", "memory_kib", KEY_MIB, 1, MIB_MAX),
	FIELD_WITHIN("maxmem", "maxmem_kib", KEY_MIB, 1, MIB_MAX),
	FIELD_WITHIN("vcpus", "vcpus", KEY_PLAIN, 1, LIMIT_VCPUS),
	FIELD_WITHIN("maxvcpus", "maxvcpus", KEY_PLAIN, 1, DOMAIN_VCPUS_MAX),
	READ("cpus", "cpus", keys_read_cpus),
	READ("cpus_soft", "cpus_soft", keys_read_cpus_soft),
	FIELD("cpu_weight", "cpu_weight"),
	FIELD("cpu_cap", "cap"), /* xm's */
	FIELD("cap", "cap"),
	FIELD_WITHIN("io_weight", "io_weight", KEY_PLAIN, 1, 10000),
	FIELD_WITHIN("on_poweroff", "on_poweroff", KEY_PLAIN, 0, DOMAIN_COREDUMP_RESTART),
	FIELD_WITHIN("on_reboot", "on_reboot", KEY_PLAIN, 0, DOMAIN_COREDUMP_RESTART),
	FIELD_WITHIN("on_crash", "on_crash", KEY_PLAIN, 0, DOMAIN_COREDUMP_RESTART),
	FIELD_WITHIN("on_watchdog", "on_watchdog", KEY_PLAIN, 0, DOMAIN_COREDUMP_RESTART),
	FIELD("on_soft_reset", "on_soft_reset"),
	FIELD("on_host_shutdown", "on_host_shutdown"),
	FIELD("engine", "engine"),
	FIELD("cpu_model", "cpu_model"),
	FIELD("native", "native"),
	FIELD("agent", "agent"),
	FIELD("qemu_agent", "qemu_agent"),
	FIELD("ssh_key", "ssh_key"),
	FIELD("vnc", "vnc"),
	READ("vnclisten", "vnc_listen", keys_read_vnc_listen),
	READ("vncdisplay", "vnc_listen", keys_read_vnc_listen),
	READ("vncpasswd", "vnc_password", keys_read_vnc_password),
	READ("vfb", "vnc", keys_read_vfb),
	READ("serial", "serial", keys_read_serial),
	FIELD_WITHIN("template", "template", KEY_PATH, 0, 0),
	READ("init", "init", keys_read_words),
	READ("command", "command", keys_read_words),
	READ("env", "env", keys_read_words),
	FIELD("user", "user"),
	FIELD("workdir", "workdir"),
	READ("devices", "devices", keys_read_words),
	FIELD("privileged", "privileged"),
	FIELD("pids", "pids"),
	FIELD_WITHIN("kernel", "kernel", KEY_PATH, 0, 0),
	FIELD_WITHIN("ramdisk", "ramdisk", KEY_PATH, 0, 0),
	READ("cmdline", "cmdline", keys_read_cmdline),
	READ("root", "cmdline", keys_read_root),
	READ("extra", "cmdline", keys_read_root_and_extra),
	FIELD("bootloader", "bootloader"),
	FIELD("boot", "boot"),
	FIELD("firmware", "firmware"),
	FIELD("bios", "firmware"),
	FIELD("hdtype", "hdtype"),
	READ("disk", "disks", keys_read_disks),
	READ("vif", "vifs", keys_read_vifs),
	READ("share", "shares", keys_read_shares),

	MISSING("channel", "a channel to the host beside the console"),
	MISSING("dtdev", "a device of the host by its device tree path"),
	MISSING("p9", "a folder of the host's over 9pfs"),
	MISSING("pci", "the host's PCI devices"),
	MISSING("sdl", "a screen in a window"),
	MISSING("spice", "a screen over SPICE"),
	MISSING("usbctrl", "USB controllers"),
	MISSING("usbdev", "the host's USB devices"),
	MISSING("vdispl", "a screen that is shared with the host"),
	MISSING("vkb", "a keyboard"),
	MISSING("vscsi", "the host's SCSI devices"),
	MISSING("vsnd", "a sound card"),
	MISSING("vtpm", "a TPM"),

	KEPT("access_control"),
	KEPT("acpi"),
	KEPT("acpi_firmware"),
	KEPT("acpi_laptop_slate"),
	KEPT("acpi_s3"),
	KEPT("acpi_s4"),
	KEPT("altp2m"),
	KEPT("altp2mhvm"),
	KEPT("apic"),
	KEPT("argo"),
	KEPT("bios_path_override"),
	KEPT("blkif"),
	KEPT("bootargs"),
	KEPT("bootloader_args"),
	KEPT("bootloader_restrict"),
	KEPT("bootloader_user"),
	KEPT("claim_mode"),
	KEPT("cpu"),
	KEPT("cpuid"),
	KEPT("description"),
	KEPT("device_model"),
	KEPT("device_model_args"),
	KEPT("device_model_args_hvm"),
	KEPT("device_model_args_pv"),
	KEPT("device_model_override"),
	KEPT("device_model_stubdomain_cmdline"),
	KEPT("device_model_stubdomain_init_seclabel"),
	KEPT("device_model_stubdomain_memory"),
	KEPT("device_model_stubdomain_override"),
	KEPT("device_model_stubdomain_seclabel"),
	KEPT("device_model_user"),
	KEPT("device_model_version"),
	KEPT("device_tree"),
	KEPT("dhcp"),
	KEPT("dm_restrict"),
	KEPT("driver_domain"),
	KEPT("e820_host"),
	KEPT("event_channels"),
	KEPT("fda"),
	KEPT("fdb"),
	KEPT("features"),
	KEPT("gateway"),
	KEPT("gfx_passthru"),
	KEPT("gic_version"),
	KEPT("grant_usage"),
	KEPT("guest_os_type"),
	KEPT("hap"),
	KEPT("hostname"),
	KEPT("hpet"),
	KEPT("init_seclabel"),
	KEPT("iomem"),
	KEPT("ioports"),
	KEPT("ip"),
	KEPT("irqs"),
	KEPT("isa"),
	KEPT("keymap"),
	KEPT("llc_colors"),
	KEPT("loader"),
	KEPT("localtime"),
	KEPT("machine_address_size"),
	KEPT("max_event_channels"),
	KEPT("max_grant_frames"),
	KEPT("max_grant_version"),
	KEPT("max_maptrack_frames"),
	KEPT("mca_caps"),
	KEPT("mmio_hole"),
	KEPT("monitor"),
	KEPT("monitor_path"),
	KEPT("monitor_serial"),
	KEPT("ms_vm_genid"),
	KEPT("msr_relaxed"),
	KEPT("nested_hvm"),
	KEPT("nestedhvm"),
	KEPT("netif"),
	KEPT("netmask"),
	KEPT("nfs_root"),
	KEPT("nfs_server"),
	KEPT("nodes"),
	KEPT("nographic"),
	KEPT("nomigrate"),
	KEPT("nr_spis"),
	KEPT("nx"),
	KEPT("on_xend_start"),
	KEPT("on_xend_stop"),
	KEPT("oos"),
	KEPT("opengl"),
	KEPT("pae"),
	KEPT("parallel"),
	KEPT("passthrough"),
	KEPT("pci_msitranslate"),
	KEPT("pci_permissive"),
	KEPT("pci_power_mgmt"),
	KEPT("pci_seize"),
	KEPT("pool"),
	KEPT("pvcalls"),
	KEPT("pvh"),
	KEPT("pvshim"),
	KEPT("pvshim_cmdline"),
	KEPT("pvshim_extra"),
	KEPT("pvshim_path"),
	KEPT("rdm"),
	KEPT("rdm_mem_boundary"),
	KEPT("rtc_timeoffset"),
	KEPT("scsi"),
	KEPT("seclabel"),
	KEPT("shadow_memory"),
	KEPT("smbios"),
	KEPT("smbios_firmware"),
	KEPT("snapshot"),
	KEPT("soundhw"),
	KEPT("spice_clipboard_sharing"),
	KEPT("spice_image_compression"),
	KEPT("spice_streaming_video"),
	KEPT("spiceagent_mouse"),
	KEPT("spicedisable_ticketing"),
	KEPT("spicehost"),
	KEPT("spicepasswd"),
	KEPT("spiceport"),
	KEPT("spicetls_port"),
	KEPT("spiceusbredirection"),
	KEPT("spicevdagent"),
	KEPT("stdvga"),
	KEPT("stubdomain_cmdline"),
	KEPT("stubdomain_kernel"),
	KEPT("stubdomain_memory"),
	KEPT("stubdomain_ramdisk"),
	KEPT("superpages"),
	KEPT("suppress_spurious_page_faults"),
	KEPT("sve"),
	KEPT("system_firmware"),
	KEPT("tee"),
	KEPT("timer_mode"),
	KEPT("tpm"),
	KEPT("trap_unmapped_accesses"),
	KEPT("tsc_mode"),
	KEPT("usb"),
	KEPT("usbdevice"),
	KEPT("usbversion"),
	KEPT("vcpu_avail"),
	KEPT("vendor_device"),
	KEPT("vga"),
	KEPT("vhpt"),
	KEPT("videoram"),
	KEPT("viridian"),
	KEPT("virtio"),
	KEPT("vkb_device"),
	KEPT("vkbd"),
	KEPT("vmid"),
	KEPT("vmtrace_buf_kb"),
	KEPT("vncconsole"),
	KEPT("vncunused"),
	KEPT("vncviewer"),
	KEPT("vnuma"),
	KEPT("vpmu"),
	KEPT("vpt_align"),
	KEPT("vuart"),
	KEPT("x86_emulation"),
	KEPT("xauthority"),
	KEPT("xen_platform_pci"),
	KEPT("xend_suspend_evtchn_compat"),
	KEPT("xenstore_feature_mask"),
};

const struct key *keys_row(unsigned n)
{
	return n < sizeof keys / sizeof *keys ? &keys[n] : NULL;
}

const struct key *keys_find(const char *name)
{
	for (unsigned n = 0; n < sizeof keys / sizeof *keys; n++)
		if (!strcmp(keys[n].name, name))
			return &keys[n];
	return NULL;
}

const struct key *keys_find_field(const char *field)
{
	for (unsigned n = 0; n < sizeof keys / sizeof *keys; n++)
		if (keys[n].field && !strcmp(keys[n].field, field))
			return &keys[n];
	return NULL;
}
