# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# On top of lib.sh: Debian's other kernel, linux-image-amd64, which brings drivers for real machines along.
generic=$DACH_CACHE/generic
cache_lock
if [ ! -d "$generic/boot" ]; then
	package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p')
	mkdir -p "$generic"
	(cd "$generic" && apt-get download -q "$package" >/dev/null 2>&1 && dpkg -x ./*.deb . && rm ./*.deb)
fi
cache_unlock
generic_kernel=$(echo "$generic"/boot/vmlinuz-*)
generic_name=${generic_kernel##*/vmlinuz-}
cloud_name=$(echo "${DACH_TEST_ROOT:-$DACH_CACHE/kernel}"/boot/vmlinuz-*)
cloud_name=${cloud_name##*/vmlinuz-}
# What it takes there to reach a disk with ext4, in the order in which it is loaded.
generic_drivers="drivers/virtio/virtio_ring drivers/virtio/virtio drivers/virtio/virtio_pci_legacy_dev
	drivers/virtio/virtio_pci_modern_dev drivers/virtio/virtio_pci drivers/block/virtio_blk
	lib/crc16 arch/x86/crypto/crc32c-intel crypto/crc32c_generic fs/mbcache fs/jbd2/jbd2 fs/ext4/ext4"
# And to reach those of a SATA or IDE controller.
generic_ata_drivers="lib/crc64 lib/crc-t10dif crypto/crct10dif_common crypto/crct10dif_generic crypto/crc64_rocksoft_generic
	lib/crc64-rocksoft block/t10-pi drivers/scsi/scsi_common drivers/scsi/scsi_mod drivers/ata/libata drivers/ata/libahci
	drivers/ata/ahci drivers/ata/ata_piix drivers/scsi/sd_mod drivers/cdrom/cdrom drivers/scsi/sr_mod"
# The network card of model=e1000.
generic_nic_drivers="drivers/net/ethernet/intel/e1000/e1000"

# generic_put FOLDER NAME...: those of them that are files there
generic_put() {
	generic_to=$1
	shift
	mkdir -p "$generic_to"
	for generic_driver in "$@"; do
		generic_file=$generic/lib/modules/$generic_name/kernel/$generic_driver.ko
		[ ! -e "$generic_file" ] || cp "$generic_file" "$generic_to"
	done
}
