/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/boot_rom.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

#define ROM_MIN 2048u
#define ROM_MAX (1u << 20)

/* For both firmwares, but that OVMF has a driver for virtio's card itself. */
static const char *const files[NET_MODELS] = {
	[NET_VIRTIO] = "/usr/lib/ipxe/qemu/pxe-virtio.rom",
	[NET_E1000] = "/usr/lib/ipxe/qemu/efi-e1000.rom",
};

/* The file, filled up to a size that a ROM may have. */
static int read_rom(const char *path, struct nic_rom *rom, struct error *err)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	int r = 0;

	if (fd < 0 && errno == ENOENT)
		return error_set(err, ENOENT,
			"boot: to start from the network a guest needs %s: install the package ipxe-qemu",
			path);
	if (fd < 0 || fstat(fd, &st))
		r = error_set(err, errno, "%s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode) || st.st_size < 512 || st.st_size > ROM_MAX)
		r = error_set(err, EINVAL, "%s: not a ROM", path);
	if (!r) {
		rom->size = ROM_MIN;
		while (rom->size < (size_t)st.st_size)
			rom->size *= 2;
		rom->data = calloc(1, rom->size);
		if (!rom->data)
			r = error_nomem(err);
		else if (io_pread_all(fd, rom->data, st.st_size, 0) != st.st_size)
			r = error_set(err, EIO, "%s: cannot be read", path);
	}
	if (fd >= 0)
		close(fd);
	return r;
}

/* Nothing else can be meant than to start from it: the guest is at its beginning, and tries the network first. */
static bool is_needed(const struct vmm_config *config)
{
	return *config->boot == 'n' && !config->restore_from;
}

/* This one cannot be had. */
static int do_without(const struct vmm_config *config, struct nic_rom *rom, int r,
	const struct error *why)
{
	if (is_needed(config))
		return r;
	free(rom->data);
	*rom = (struct nic_rom){0};
	fprintf(stderr, "dach: %s; this one goes on without\n", why->text);
	return 0;
}

int boot_rom_read(const struct vmm_config *config, struct nic_rom rom[NET_MODELS],
	struct error *err)
{
	int r = 0;

	if (!config->firmware || !config->boot || !strchr(config->boot, 'n'))
		return 0;
	for (unsigned i = 0; i < config->nets && !r; i++) {
		const struct net_spec *spec = &config->net[i];
		struct error why = {""};

		if (spec->kind == NET_NONE || rom[spec->model].data ||
			(config->firmware == FIRMWARE_UEFI && spec->model == NET_VIRTIO))
			continue;
		r = read_rom(files[spec->model], &rom[spec->model], &why);
		if (r)
			r = do_without(config, &rom[spec->model], r, &why);
		if (r)
			error_set(err, -r, "%s", why.text);
	}
	return r;
}
