/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "machine/memory_base.h"
#include "machine/memory_lazy.h"

#define MIB 0x100000ull
#define HUGE_PAGE 0x200000ull
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static int check_size(uint64_t size, struct error *err)
{
	struct sysinfo info;
	uint64_t host;

	if (!size || size % MIB)
		return error_set(err, EINVAL, "guest memory must be a whole number of MiB");
	if (sysinfo(&info) < 0)
		return 0;
	host = (uint64_t)info.totalram * info.mem_unit;
	if (size > host)
		return error_set(err, ENOMEM,
			"the guest wants %llu MiB of memory, but this host has %llu MiB",
			(unsigned long long)(size / MIB), (unsigned long long)(host / MIB));
	return 0;
}

static bool collapse(void *at)
{
	/* what has no page at all cannot be collapsed */
	*(volatile char *)at = *(volatile char *)at;
	return !madvise(at, HUGE_PAGE, MADV_COLLAPSE);
}

/*
 * A memfd gets huge pages only where the host's policy for shared memory allows them, and most
 * hosts say "never"; but since Linux 6.1 whoever asks for one gets it, policy or not (the engine does,
 * piece by piece). Guests that compute lose up to half their speed without huge pages: where none are
 * to be had, private memory it is.
 */
static bool gets_huge_pages(void *at, bool made)
{
	char text[128];
	int fd = open("/sys/kernel/mm/transparent_hugepage/shmem_enabled", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

	if (fd >= 0)
		close(fd);
	text[len > 0 ? len : 0] = 0;
	if (strstr(text, "[deny]"))
		return false;
	if (len > 0 && !strstr(text, "[never]"))
		return true;
	return made && collapse(at);
}

/* Nothing is before guest memory and behind it: whatever goes astray there is seen. */
#define GUARD 4096u

/* Maps at a huge page boundary, so that whole huge pages fit. fd -1: private memory. */
static uint8_t *map_aligned(int fd, uint64_t size)
{
	int kind = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	uint64_t room = size + HUGE_PAGE + 2 * GUARD;
	uint8_t *area =
		mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *host;

	if (area == MAP_FAILED)
		return NULL;
	host = (uint8_t *)(((uintptr_t)area + GUARD + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
	if (mmap(host, size, PROT_READ | PROT_WRITE, kind | MAP_NORESERVE | MAP_FIXED, fd, 0) ==
		MAP_FAILED) {
		munmap(area, room);
		return NULL;
	}
	/* A process that the monitor starts has no part in it, and does not keep it from being sealed. */
	madvise(host, size, MADV_DONTFORK);
	if (host - GUARD > area)
		munmap(area, host - GUARD - area);
	if (area + room > host + size + GUARD)
		munmap(host + size + GUARD, area + room - (host + size + GUARD));
	return host;
}

static void unmap(uint8_t *host, uint64_t size)
{
	munmap(host - GUARD, size + 2 * GUARD);
}

static uint64_t all(const struct memory *mem)
{
	return mem->size + mem->room;
}

static void lay_out(struct memory *mem, uint64_t room)
{
	uint64_t size = mem->size + room;

	mem->room = room;
	mem->low = size < MEMORY_LOW_END ? size : MEMORY_LOW_END;
	page_door_init(&mem->door, mem->host, size);
	memory_ram(mem, 0, mem->low, &mem->region[0]);
	mem->regions = memory_ram(mem, MEMORY_HIGH_START, size - mem->low, &mem->region[1]) ? 2 : 1;
}

/* None is made where devices would be in its way. */
static uint64_t room_behind(uint64_t size, uint64_t room)
{
	return size > MEMORY_LOW_END || room > MEMORY_LOW_END - size ? 0 : room;
}

/* *fd -1: this kernel makes none. */
static int make_file(uint64_t size, int *fd, struct error *err)
{
	*fd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd >= 0 && ftruncate(*fd, size) < 0)
		return error_set(err, errno, "cannot make the guest's memory: %s", strerror(errno));
	return 0;
}

/* A new file, or private memory, in mem->fd and mem->host. */
static int make_ram(struct memory *mem, uint64_t size, bool makes_huge_pages, struct error *err)
{
	int r = make_file(size, &mem->fd, err);

	if (r)
		return r;
	mem->host = map_aligned(mem->fd, size);
	if (mem->host && mem->fd >= 0 && size >= HUGE_PAGE &&
		!gets_huge_pages(mem->host, makes_huge_pages)) {
		unmap(mem->host, size);
		close(mem->fd);
		mem->fd = -1;
		mem->host = map_aligned(-1, size);
	}
	return 0;
}

static int map_ram(struct memory *mem, uint64_t size, uint64_t *room, int fd, struct error *err)
{
	struct stat st;
	uint64_t is;

	mem->fd = fd;
	if (fstat(fd, &st))
		return error_set(err, errno, "the guest's memory: %s", strerror(errno));
	is = st.st_size < 0 ? 0 : (uint64_t)st.st_size;
	if (!S_ISREG(st.st_mode) || is < size || is > size + *room || is % MIB)
		return error_set(err, EINVAL,
			"the guest's memory is not of the size that it should have");
	*room = is - size;
	mem->host = map_aligned(fd, is);
	return 0;
}

/* fd -1: it is made. */
static int create(struct memory *mem, uint64_t size, uint64_t room, bool makes_huge_pages, int fd,
	struct error *err)
{
	int r = check_size(size, err);

	memset(mem, 0, sizeof *mem);
	mutex_init(&mem->base_lock);
	mem->fd = fd;
	room = room_behind(size, room);
	if (!r)
		r = fd < 0 ? make_ram(mem, size + room, makes_huge_pages, err)
			   : map_ram(mem, size, &room, fd, err);
	if (!r && !mem->host)
		r = error_set(err, errno, "cannot map the guest's memory: %s", strerror(errno));
	if (r) {
		memory_destroy(mem);
		return r;
	}
	mem->size = size;
	mem->makes_huge_pages = makes_huge_pages && mem->fd >= 0;
	madvise(mem->host, size + room, MADV_HUGEPAGE);
	madvise(mem->host, size + room, MADV_DONTDUMP);
	lay_out(mem, room);
	return 0;
}

int memory_create(struct memory *mem, uint64_t size, uint64_t room, bool makes_huge_pages,
	struct error *err)
{
	return create(mem, size, room, makes_huge_pages, -1, err);
}

int memory_create_file(struct memory *mem, uint64_t size, uint64_t room, bool makes_huge_pages,
	struct error *err)
{
	int fd, r = make_file(size + room_behind(size, room), &fd, err);

	if (!r)
		return create(mem, size, room, makes_huge_pages, fd, err);
	if (fd >= 0)
		close(fd);
	return r;
}

int memory_adopt(struct memory *mem, uint64_t size, uint64_t room, bool makes_huge_pages, int fd,
	struct error *err)
{
	return create(mem, size, room, makes_huge_pages, fd, err);
}

void memory_keep_room(struct memory *mem, uint64_t room)
{
	uint64_t was = all(mem), is = mem->size + room;
	struct error ignored;

	/* There is room only where all RAM is below MEMORY_LOW_END. What else was added or taken away stays so. */
	if (is >= was || memory_remove(mem, is, was - is, &ignored))
		return;
	/* The guard moves up to the end; nothing of the file, which may be sealed one day, is mapped there. */
	if (mmap(mem->host + is, GUARD, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return;
	munmap(mem->host + is + GUARD, was - is);
	if (mem->fd >= 0 && ftruncate(mem->fd, is)) {
		/* It is larger than what is mapped of it. */
	}
	page_door_destroy(&mem->door);
	page_door_init(&mem->door, mem->host, is);
	mem->room = room;
	mem->low = is;
}

void memory_destroy(struct memory *mem)
{
	if (mem->host) {
		mem->engine = NULL;
		memory_base_end(mem);
		page_door_destroy(&mem->door);
		unmap(mem->host, all(mem));
	}
	if (mem->fd >= 0)
		close(mem->fd);
	memset(mem, 0, sizeof *mem);
	mem->fd = -1;
}

bool memory_ram(struct memory *mem, uint64_t gpa, uint64_t size, struct memory_region *region)
{
	uint64_t high = mem->size + mem->room - mem->low, offset = gpa;

	if (gpa >= MEMORY_HIGH_START) {
		offset = gpa - MEMORY_HIGH_START;
		if (offset >= high || size > high - offset)
			return false;
		offset += mem->low;
	} else if (gpa >= mem->low || size > mem->low - gpa) {
		return false;
	}
	*region = (struct memory_region){.gpa = gpa,
		.size = size,
		.host = mem->host + offset,
		.fd = mem->fd,
		.offset = mem->fd < 0 ? 0 : offset,
		.door = &mem->door,
		.door_page = offset / REGION_PAGE};
	return size;
}

int memory_region_create(struct memory_region *region, uint64_t gpa, uint64_t size,
	struct error *err)
{
	*region = (struct memory_region){.gpa = gpa,
		.size = size,
		.door = malloc(sizeof *region->door)};
	region->fd = memfd_create("guest-memory", MFD_CLOEXEC);
	if (!region->door || region->fd < 0 || ftruncate(region->fd, size) < 0 ||
		!(region->host = map_aligned(region->fd, size))) {
		int r = error_set(err, errno, "cannot make %llu KiB of guest memory: %s",
			(unsigned long long)(size >> 10), strerror(errno));

		if (region->fd >= 0)
			close(region->fd);
		free(region->door);
		*region = (struct memory_region){0};
		return r;
	}
	page_door_init(region->door, region->host, size);
	madvise(region->host, size, MADV_DONTDUMP);
	return 0;
}

void memory_region_destroy(struct memory_region *region)
{
	if (!region->host)
		return;
	page_door_destroy(region->door);
	free(region->door);
	unmap(region->host, region->size);
	close(region->fd);
	*region = (struct memory_region){0};
}

void memory_prepare(struct memory *mem, uint64_t gpa, uint64_t len)
{
	uint8_t *host = memory_ptr(mem, gpa, len);
	uint64_t start, end;

	/* What stands on frozen memory costs a page for each page that is touched. */
	if (!host || !mem->makes_huge_pages || page_door_is_lazy(&mem->door) ||
		(uint64_t)(host - mem->host) >= all(mem))
		return;
	start = (uint64_t)(host - mem->host) & ~(HUGE_PAGE - 1);
	end = (uint64_t)(host - mem->host) + len;
	for (; start < end && start + HUGE_PAGE <= all(mem); start += HUGE_PAGE)
		collapse(mem->host + start);
}

/* Host memory of one file, or of none, back to the host. */
static bool give_back(int fd, void *host, uint64_t len)
{
	return !madvise(host, len, fd < 0 ? MADV_DONTNEED : MADV_REMOVE);
}

void memory_discard(struct memory *mem, uint64_t gpa, uint64_t len)
{
	uint8_t *host = memory_ptr(mem, gpa, len);
	bool private = host && mem->fd < 0 && (uint64_t)(host - mem->host) < all(mem);

	if (host && give_back(private ? -1 : 0, host, len))
		memory_written(mem, gpa, len);
}

uint64_t memory_low_end(const struct memory *mem)
{
	return mem->low - mem->room;
}

void memory_clear(struct memory *mem)
{
	memory_lazy_end(mem);
	memory_base_end(mem);
	if (page_door_is_lazy(&mem->door))
		memory_end_lazy(mem, &mem->door);
	if (!give_back(mem->fd, mem->host, all(mem)))
		memset(mem->host, 0, all(mem));
	for (unsigned i = 0; i < mem->regions; i++)
		if ((uint64_t)(mem->region[i].host - mem->host) < all(mem))
			memory_written(mem, mem->region[i].gpa, mem->region[i].size);
}
