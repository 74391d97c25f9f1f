/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

#define BLOCK (64u << 10)
#define PAGE 4096u

/* The "QEMU" note, as crash reads it: numbers in this order, little-endian, no gaps. */
struct core_segment {
	uint32_t selector, limit, flags, pad;
	uint64_t base;
};
struct core_cpu {
	uint32_t version, size;
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8_15[8], rip, rflags;
	struct core_segment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
	uint64_t cr[5], kernel_gs_base;
};

/* A note's header and its name, padded to 8 bytes as both names happen to fill. */
struct core_note {
	Elf64_Nhdr header;
	char name[8];
};

/* As it lies in the file: a note's header is 20 bytes. */
struct core_vcpu {
	struct core_note status_note;
	struct elf_prstatus status;
	struct core_note cpu_note;
	struct core_cpu cpu;
} __attribute__((packed));

struct core {
	struct machine *machine;
	int fd;
	bool seekable;
	struct guest_job *job;
	struct error *err;    /* of the job */
	uint64_t offset;      /* written, or skipped */
	uint64_t read, total; /* bytes of the guest's memory */
	/* Memory's map as it was at the begin: the guest may change it, its bytes stay where they are. */
	struct memory_region region[REGIONS_MAX];
	unsigned regions;
	unsigned vcpus;
	bool reads; /* counted among memory's readers */
	uint8_t *block;
	struct core_vcpu vcpu[];
};

/* Registers */

static struct core_note make_note(const char *name, uint32_t type, uint32_t size)
{
	struct core_note note = {.header = {strlen(name) + 1, size, type}};

	memcpy(note.name, name, strlen(name) + 1);
	return note;
}

static void fill_status(struct elf_prstatus *status, const struct cpu_state *s, unsigned index)
{
	/* The order of Linux's user_regs_struct. */
	const unsigned long long reg[ELF_NGREG] = {s->gpr[15], s->gpr[14], s->gpr[13], s->gpr[12],
		s->gpr[RBP], s->gpr[RBX], s->gpr[11], s->gpr[10], s->gpr[9], s->gpr[8], s->gpr[RAX],
		s->gpr[RCX], s->gpr[RDX], s->gpr[RSI], s->gpr[RDI], ~0ull, s->rip,
		s->seg[SEG_CS].selector, s->rflags, s->gpr[RSP], s->seg[SEG_SS].selector,
		s->seg[SEG_FS].base, s->seg[SEG_GS].base, s->seg[SEG_DS].selector,
		s->seg[SEG_ES].selector, s->seg[SEG_FS].selector, s->seg[SEG_GS].selector};

	status->pr_pid = index + 1;
	memcpy(status->pr_reg, reg, sizeof reg);
}

static struct core_segment segment(const struct segment *from)
{
	return (struct core_segment){.selector = from->selector,
		.limit = from->limit,
		.flags = (uint32_t)from->attr << 8,
		.base = from->base};
}

static struct core_segment table(const struct table_register *from)
{
	return (struct core_segment){.limit = from->limit, .base = from->base};
}

static void fill_cpu(struct core_cpu *cpu, const struct cpu_state *s)
{
	*cpu = (struct core_cpu){
		.version = 1,
		.size = sizeof *cpu,
		.rax = s->gpr[RAX],
		.rbx = s->gpr[RBX],
		.rcx = s->gpr[RCX],
		.rdx = s->gpr[RDX],
		.rsi = s->gpr[RSI],
		.rdi = s->gpr[RDI],
		.rsp = s->gpr[RSP],
		.rbp = s->gpr[RBP],
		.rip = s->rip,
		.rflags = s->rflags,
		.cs = segment(&s->seg[SEG_CS]),
		.ds = segment(&s->seg[SEG_DS]),
		.es = segment(&s->seg[SEG_ES]),
		.fs = segment(&s->seg[SEG_FS]),
		.gs = segment(&s->seg[SEG_GS]),
		.ss = segment(&s->seg[SEG_SS]),
		.ldt = segment(&s->ldtr),
		.tr = segment(&s->tr),
		.gdt = table(&s->gdtr),
		.idt = table(&s->idtr),
		.cr = {s->cr0, 0, s->cr2, s->cr3, s->cr4},
		.kernel_gs_base = s->kernel_gs_base,
	};
	memcpy(cpu->r8_15, s->gpr + 8, sizeof cpu->r8_15);
}

static void read_registers(struct core *core)
{
	const struct engine *engine = machine_engine(core->machine);

	for (unsigned i = 0; i < core->vcpus; i++) {
		struct core_vcpu *vcpu = &core->vcpu[i];
		struct elf_prstatus status = {0};
		struct cpu_state state;
		struct core_cpu cpu;

		engine->vcpu_get_state(machine_vcpu(core->machine, i), &state);
		vcpu->status_note = make_note("CORE", NT_PRSTATUS, sizeof status);
		fill_status(&status, &state, i);
		vcpu->status = status;
		vcpu->cpu_note = make_note("QEMU", 0, sizeof cpu);
		fill_cpu(&cpu, &state);
		vcpu->cpu = cpu;
	}
}

/* Writing */

static int put(struct core *core, const void *data, size_t len)
{
	int r = job_write(core->job, core->fd, "dump-core: the file", data, len,
		core->seekable ? (int64_t)core->offset : -1, core->err);

	core->offset += r ? 0 : len;
	return r;
}

static bool all_zero(const uint8_t *data, size_t len)
{
	return !*data && !memcmp(data, data + 1, len - 1);
}

/* A memfd is read as a file: looking at a page of it in memory would make that page. */
static int put_region(struct core *core, const struct memory_region *region)
{
	int r = job_check(core->job, core->err);

	for (uint64_t at = 0; !r && at < region->size; at += BLOCK) {
		size_t len = region->size - at < BLOCK ? region->size - at : BLOCK;
		bool last = at + len == region->size;

		if (page_door_is_lazy(region->door) &&
			page_door_bring(region->door, region->door_page + at / REGION_PAGE,
				(len + REGION_PAGE - 1) / REGION_PAGE))
			return error_set(core->err, EIO,
				"dump-core: a page of memory cannot be had");
		if (region->fd < 0)
			memcpy(core->block, region->host + at, len);
		else if (pread(region->fd, core->block, len, region->offset + at) != (ssize_t)len)
			return error_set(core->err, EIO,
				"dump-core: cannot read the guest's memory");
		/* The last block is written, so that the file is as long as it says. */
		if (core->seekable && !last && all_zero(core->block, len)) {
			core->offset += len;
			r = job_check(core->job, core->err);
		} else {
			r = put(core, core->block, len);
		}
		core->read += len;
		job_progress(core->job, core->read, core->total);
	}
	return r;
}

static int put_headers(struct core *core)
{
	size_t notes = core->vcpus * sizeof *core->vcpu;
	struct {
		Elf64_Ehdr file;
		Elf64_Phdr part[1 + REGIONS_MAX];
	} head = {
		.file = {.e_type = ET_CORE,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_phoff = sizeof head.file,
			.e_ehsize = sizeof head.file,
			.e_phentsize = sizeof *head.part,
			.e_phnum = 1 + core->regions},
		.part[0] = {.p_type = PT_NOTE,
			.p_offset = sizeof head,
			.p_filesz = notes,
			.p_align = 4},
	};
	uint64_t at = (sizeof head + notes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	uint8_t pad[PAGE] = {0};
	int r;

	memcpy(head.file.e_ident, ELFMAG, SELFMAG);
	head.file.e_ident[EI_CLASS] = ELFCLASS64;
	head.file.e_ident[EI_DATA] = ELFDATA2LSB;
	head.file.e_ident[EI_VERSION] = EV_CURRENT;
	for (unsigned i = 0; i < core->regions; i++) {
		const struct memory_region *region = &core->region[i];

		head.part[1 + i] = (Elf64_Phdr){.p_type = PT_LOAD,
			.p_flags = PF_R | PF_W | PF_X,
			.p_offset = at,
			.p_vaddr = region->gpa,
			.p_paddr = region->gpa,
			.p_filesz = region->size,
			.p_memsz = region->size,
			.p_align = PAGE};
		at += region->size;
	}
	r = put(core, &head, sizeof head);
	if (!r)
		r = put(core, core->vcpu, notes);
	if (!r && core->offset % PAGE)
		r = put(core, pad, PAGE - core->offset % PAGE);
	return r;
}

int core_begin(void *ctx, struct error *err)
{
	struct core *core = ctx;
	struct memory *mem = machine_memory(core->machine);
	bool paused = machine_paused(core->machine);

	machine_pause(core->machine);
	read_registers(core);
	memcpy(core->region, mem->region, mem->regions * sizeof *mem->region);
	core->regions = mem->regions;
	mem->readers++;
	core->reads = true;
	if (!paused)
		machine_resume(core->machine);
	return 0;
}

int core_write(void *ctx, struct guest_job *job, struct error *err)
{
	struct core *core = ctx;
	int r;

	core->job = job;
	core->err = err;
	for (unsigned i = 0; i < core->regions; i++)
		core->total += core->region[i].size;
	job_progress(job, 0, core->total);
	r = put_headers(core);
	for (unsigned i = 0; !r && i < core->regions; i++)
		r = put_region(core, &core->region[i]);
	return r;
}

/* Life */

static void core_destroy(struct core *core)
{
	if (core->reads)
		machine_memory(core->machine)->readers--;
	close(core->fd);
	free(core->block);
	free(core);
}

json_t *core_done(void *ctx, int r, const struct error *err)
{
	struct core *core = ctx;
	json_t *fields = r ? NULL : json_pack("{s:I}", "bytes", (json_int_t)core->offset);

	core_destroy(core);
	return fields;
}

int core_create(struct machine *machine, int fd, struct core **out, struct error *err)
{
	unsigned vcpus = machine_vcpus(machine);
	struct core *core = calloc(1, sizeof *core + vcpus * sizeof *core->vcpu);
	uint8_t *block = malloc(BLOCK);
	int flags = fcntl(fd, F_GETFL);

	*out = NULL;
	if (!core || !block) {
		close(fd);
		free(core);
		free(block);
		return error_nomem(err);
	}
	core->machine = machine;
	core->fd = fd;
	core->block = block;
	core->vcpus = vcpus;
	core->seekable = lseek(fd, 0, SEEK_CUR) >= 0;
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
		core_destroy(core);
		return error_set(err, EBADF, "dump-core: the file is not open for writing");
	}
	if (!core->seekable)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	*out = core;
	return 0;
}
