/* SPDX-License-Identifier: Apache-2.0 */
#include "image/overlay.h"

#include <string.h>

#include "image/tree.h"

static const char network[] = "[Match]\n"
			      "Type=ether\n"
			      "\n"
			      "[Network]\n"
			      "DHCP=yes\n";

/*
 * The initrd carries what the guest's disk needs and no more: a smaller one is
 * sooner unpacked.
 */
static const char initramfs_conf[] = "MODULES=list\n"
				     "COMPRESS=zstd\n";
#define MODULES "virtio_pci virtio_blk virtio_console ext4"
static const char initramfs_hook[] = "#!/bin/sh\n"
				     "[ \"$1\" = prereqs ] && exit 0\n"
				     ". /usr/share/initramfs-tools/hook-functions\n"
				     "manual_add_modules " MODULES "\n";

/* No RSA key: it takes a translated guest seconds to find one, and every client of this age has better. */
static const char host_keys[] =
	"[Unit]\n"
	"Description=SSH host keys of this machine alone\n"
	"Before=ssh.service\n"
	"ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key\n"
	"\n"
	"[Service]\n"
	"Type=oneshot\n"
	"ExecStart=ssh-keygen -q -N '' -t ecdsa -f /etc/ssh/ssh_host_ecdsa_key\n"
	"ExecStart=ssh-keygen -q -N '' -t ed25519 -f /etc/ssh/ssh_host_ed25519_key\n"
	"\n"
	"[Install]\n"
	"WantedBy=ssh.service\n";

/* Runs in the guest's root, once, after all packages are there. */
static const char setup[] =
	"set -eu\n"
	"mkdir /.dach/run\n"
	"chpasswd </.dach/password\n"
	"chmod 0700 /root\n"
	"[ ! -d /root/.ssh ] || chmod 0700 /root/.ssh\n"
	"ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf\n"
	"rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/apt/sources.list.d/0000*\n"
	/* Each copy of the image is a machine of its own, and makes its own keys at its first start. */
	"rm -f /etc/ssh/ssh_host_*\n"
	"systemctl enable systemd-networkd systemd-resolved ssh ssh-host-keys >/dev/null 2>&1\n"
	/* Nobody waits for the network before the login, and there is no screen to log in at. */
	"systemctl disable systemd-networkd-wait-online getty@tty1 >/dev/null 2>&1\n"
	"for f in /boot/vmlinuz-*; do cp \"$f\" /.dach/vmlinuz; done\n"
	"for f in /boot/initrd.img-*; do cp \"$f\" /.dach/initrd.img; done\n"
	/* Drivers alone, in an archive for machines that run one command: as small as can be. */
	"kernel=$(basename /lib/modules/*)\n"
	"for module in " MODULES " virtio_net virtiofs overlay; do\n"
	"	modprobe -S \"$kernel\" --show-depends $module\n"
	"done | while read -r verb path; do\n"
	"	[ \"$verb\" != insmod ] || cp --parents \"${path%% *}\" /.dach/run/\n"
	"done\n"
	"cp --parents \"/lib/modules/$kernel/modules.order\" \"/lib/modules/$kernel/modules.builtin\" /.dach/run/\n"
	"depmod -b /.dach/run \"$kernel\"\n"
	"(cd /.dach/run && find . | cpio --quiet -o -H newc) | zstd -q >/.dach/run.img\n"
	"rm -r /.dach/run\n"
	"chmod 0644 /.dach/vmlinuz /.dach/initrd.img /.dach/run.img\n";

static int write_identity(const char *dir, const struct overlay *overlay, struct error *err)
{
	int r = tree_write(dir, "etc/hostname", 0644, err, "%s\n", overlay->hostname);

	if (!r)
		r = tree_write(dir, "etc/hosts", 0644, err,
			"127.0.0.1 localhost\n127.0.1.1 %s\n"
			"::1 localhost ip6-localhost ip6-loopback\n",
			overlay->hostname);
	if (!r)
		r = tree_write(dir, "etc/fstab", 0644, err,
			"UUID=%s / ext4 errors=remount-ro 0 1\n", overlay->uuid);
	return r;
}

/* Debian's own servers, whatever mirror the image was made from. */
static int write_sources(const char *dir, const char *dist, struct error *err)
{
	if (!strcmp(dist, "sid") || !strcmp(dist, "unstable"))
		return tree_write(dir, "etc/apt/sources.list", 0644, err,
			"deb http://deb.debian.org/debian %s main\n", dist);
	return tree_write(dir, "etc/apt/sources.list", 0644, err,
		"deb http://deb.debian.org/debian %s main\n"
		"deb http://deb.debian.org/debian %s-updates main\n"
		"deb http://security.debian.org/debian-security %s-security main\n",
		dist, dist, dist);
}

int overlay_write_early(const char *dir, struct error *err)
{
	int r = tree_write(dir, "etc/initramfs-tools/conf.d/dach", 0644, err, "%s", initramfs_conf);

	if (!r)
		r = tree_write(dir, "etc/initramfs-tools/hooks/dach", 0755, err, "%s",
			initramfs_hook);
	return r;
}

int overlay_write_late(const char *dir, const struct overlay *overlay, struct error *err)
{
	int r = write_identity(dir, overlay, err);

	if (!r)
		r = write_sources(dir, overlay->dist, err);
	if (!r)
		r = tree_write(dir, "etc/systemd/network/80-ethernet.network", 0644, err, "%s",
			network);
	if (!r)
		r = tree_write(dir, "etc/systemd/system/ssh-host-keys.service", 0644, err, "%s",
			host_keys);
	if (!r)
		r = tree_write(dir, "." OVERLAY_DIR "/setup", 0600, err, "%s", setup);
	if (!r)
		r = tree_write(dir, "." OVERLAY_DIR "/password", 0600, err, "root:%s\n",
			overlay->password);
	if (!r && overlay->ssh_key[0])
		r = tree_write(dir, "root/.ssh/authorized_keys", 0600, err, "%s\n",
			overlay->ssh_key);
	return r;
}
