/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine that never runs, over an engine that only keeps registers, with a
 * disk, a console and a source of randomness: something to save and to load.
 */
#ifndef DACH_TESTS_STATE_RIG_H
#define DACH_TESTS_STATE_RIG_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block_rig.h"
#include "bytes.h"
#include "machine/machine.h"
#include "state/file.h"
#include "state/internal.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/rng.h"

#define RIG_MIB 0x100000ull
#define RIG_CPUS 2u

struct engine_vcpu {
	struct cpu_state state;
};

struct engine_vm {
	struct engine_vcpu vcpu[RIG_CPUS];
};

static inline int rig_vm_create(const struct engine_vm_config *config, struct engine_vm **vm,
	struct error *err)
{
	*vm = aligned_alloc(64, sizeof **vm);
	memset(*vm, 0, sizeof **vm);
	return 0;
}

static inline void rig_vm_destroy(struct engine_vm *vm)
{
	free(vm);
}

static inline int rig_map(struct engine_vm *vm, const struct memory_region *region,
	struct error *err)
{
	return 0;
}

static inline int rig_unmap(struct engine_vm *vm, uint64_t gpa, uint64_t size, struct error *err)
{
	return 0;
}

static inline int rig_door(struct engine_vm *vm, uint64_t gpa, uint64_t size, struct error *err)
{
	return 0;
}

static inline void rig_written(struct engine_vm *vm, uint64_t gpa, uint64_t size)
{
}

static inline int rig_vcpu_create(struct engine_vm *vm, unsigned index, struct engine_vcpu **vcpu,
	struct error *err)
{
	*vcpu = &vm->vcpu[index];
	cpu_state_reset(&(*vcpu)->state);
	return 0;
}

static inline void rig_vcpu_destroy(struct engine_vcpu *vcpu)
{
}

static inline void rig_kick(struct engine_vcpu *vcpu, bool force)
{
}

static inline void rig_nmi(struct engine_vcpu *vcpu)
{
}

static inline void rig_get(struct engine_vcpu *vcpu, struct cpu_state *state)
{
	*state = vcpu->state;
}

static inline int rig_set(struct engine_vcpu *vcpu, const struct cpu_state *state,
	struct error *err)
{
	vcpu->state = *state;
	return 0;
}

static const struct engine rig_engine = {
	.name = "none",
	.vm_create = rig_vm_create,
	.vm_destroy = rig_vm_destroy,
	.vm_map = rig_map,
	.vm_unmap = rig_unmap,
	.vm_door = rig_door,
	.vm_written = rig_written,
	.vcpu_create = rig_vcpu_create,
	.vcpu_destroy = rig_vcpu_destroy,
	.vcpu_kick = rig_kick,
	.vcpu_nmi = rig_nmi,
	.vcpu_get_state = rig_get,
	.vcpu_set_state = rig_set,
};

struct rig {
	struct cpuid_policy policy;
	struct loop *loop;
	struct machine *machine;
	struct block_device *image;
	struct virtio_blk *blk;
	struct virtio_rng *rng;
	struct virtio_console *console;
};

static inline bool rig_devices(struct rig *rig)
{
	const struct virtio_console_owner backend = {.sized = false};

	return !virtio_blk_create(machine_pci(rig->machine), machine_memory(rig->machine),
		       rig->image, "rig", &rig->blk, NULL) &&
		!virtio_console_create(machine_pci(rig->machine), machine_memory(rig->machine),
			&backend, &rig->console, NULL) &&
		!virtio_rng_create(machine_pci(rig->machine), machine_memory(rig->machine),
			&rig->rng, NULL);
}

/* The file of a ROM from which machines start that are opened from now on; -1: they have no firmware. */
static int rig_rom = -1;

static inline bool rig_open(struct rig *rig, uint64_t disk_size)
{
	int disk = memfd_create("disk", 0);
	struct machine_config config = {
		.engine = &rig_engine,
		.cpuid = &rig->policy,
		.vcpus = RIG_CPUS,
		.memory = RIG_MIB,
		.restore = true,
		.firmware = {rig_rom, rig_rom < 0 ? NULL : "rom"},
		.kernel = {-1, ""},
		.initrd = {-1, ""},
	};
	char path[32];
	bool ok;

	memset(rig, 0, sizeof *rig);
	rig->policy = (struct cpuid_policy){.leaf = {{.leaf = 0xd,
						    .subleaf = 2,
						    .indexed = true,
						    .eax = 256,
						    .ebx = 576}},
		.count = 1,
		.xcr0 = 7,
		.xsave_size = 832,
		.area = {{0, 0, 576}, {0, 0, 256}, 0, MXCSR_BITS},
		.phys_bits = 46,
		.virt_bits = 48,
		.tsc_khz = 2000000};
	snprintf(path, sizeof path, "/proc/self/fd/%d", disk);
	ok = !loop_create(&rig->loop, NULL);
	config.loop = rig->loop;
	ok = ok && !machine_create(&config, &rig->machine, NULL) &&
		!machine_boot(rig->machine, NULL) && !ftruncate(disk, disk_size) &&
		!rig_block_open(path, &rig->image, NULL) && rig_devices(rig);
	close(disk);
	if (ok)
		machine_pause(rig->machine);
	return ok;
}

static inline void rig_close(struct rig *rig)
{
	virtio_rng_destroy(rig->rng);
	virtio_console_destroy(rig->console);
	virtio_blk_destroy(rig->blk);
	block_close(rig->image);
	machine_destroy(rig->machine);
	loop_destroy(rig->loop);
}

static inline int rig_save(struct rig *rig, struct bytes *to, struct error *err)
{
	const struct state_io io = {.write = bytes_write, .ctx = to};
	struct state *s;
	int r = state_save(&io, "saved", &s, err);

	if (r)
		return r;
	machine_save(rig->machine, s);
	r = state_finish(s);
	state_destroy(s);
	return r;
}

static inline int rig_load(struct rig *rig, struct bytes *from, struct error *err)
{
	const struct state_io io = {.read = bytes_read, .ctx = from};
	struct machine_head head = {0};
	struct state *s;
	int r = state_load(&io, "saved", &s, err);

	if (r)
		return r;
	machine_describe_head(&head, s);
	machine_load(rig->machine, s);
	r = state_finish(s);
	state_destroy(s);
	return r ? r : machine_load_end(rig->machine, err);
}

/* The same as files: memory has its places in fd, an empty file. */
static inline int rig_write_pages(void *ctx, uint64_t gpa, const void *data, size_t len)
{
	return pwrite(*(int *)ctx, data, len, STATE_FILE_MEMORY + gpa) == (ssize_t)len ? 0 : -EIO;
}

static inline int rig_save_file(struct rig *rig, int fd, struct error *err)
{
	const struct state_pages pages = {.write = rig_write_pages, .ctx = &fd};
	const uint64_t at = STATE_FILE_MEMORY + RIG_MIB;
	struct state_file_header header;
	struct bytes b = {0};
	struct state *s;
	int r = state_save(BYTES_TO(&b), "saved", &s, err);

	if (r)
		return r;
	state_beside(s, &pages);
	machine_save(rig->machine, s);
	r = state_finish(s);
	state_destroy(s);
	state_file_header(&header, at, b.len);
	if (!r &&
		(pwrite(fd, b.data, b.len, (off_t)at) != (ssize_t)b.len ||
			pwrite(fd, &header, sizeof header, 0) != sizeof header))
		r = -EIO;
	free(b.data);
	return r;
}

/* 1: it is no file of this form. later: memory comes from it for as long as the machine is there. */
static inline int rig_load_file_as(struct rig *rig, int fd, bool later, struct error *err)
{
	static struct state_file file;
	struct machine_head head = {0};
	struct state *s;
	int r = state_file_open(&file, fd, "saved", err);

	if (r <= 0)
		return r ? r : 1;
	file.pages.later = later;
	r = state_file_load(&file, &s, err);
	if (r)
		return r;
	machine_describe_head(&head, s);
	machine_load(rig->machine, s);
	r = state_finish(s);
	state_destroy(s);
	return r ? r : machine_load_end(rig->machine, err);
}

static inline int rig_load_file(struct rig *rig, int fd, struct error *err)
{
	return rig_load_file_as(rig, fd, false, err);
}

/* After somebody has changed bytes in sections: their checksums are right again. */
static inline void bytes_seal(struct bytes *b)
{
	size_t at = sizeof(struct state_header);
	uint32_t crc = 0;

	while (b->len - at >= sizeof(struct state_section)) {
		struct state_section *section = (void *)(b->data + at);

		at += sizeof *section;
		if (section->length > b->len - at)
			return;
		crc = state_checksum(crc, section, sizeof *section - sizeof section->crc);
		crc = state_checksum(crc, section + 1, section->length);
		memcpy(&section->crc, &crc, sizeof crc);
		at += section->length;
	}
}

#endif
