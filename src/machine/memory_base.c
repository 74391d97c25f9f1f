/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/memory_base_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

#define PAGE REGION_PAGE
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static uint64_t words(uint64_t pages)
{
	return (pages + 63) / 64;
}

static uint64_t file_size(uint64_t pages)
{
	return pages * PAGE + words(pages) * sizeof(uint64_t) + sizeof(struct memory_layer);
}

void layer_close(struct layer *layer)
{
	if (layer->map)
		munmap(layer->map, layer->size);
	if (layer->fd >= 0)
		close(layer->fd);
	*layer = (struct layer){.fd = -1};
}

int layer_open(struct layer *layer, int fd, struct error *err)
{
	struct memory_layer end;
	struct stat st;

	*layer = (struct layer){.fd = fd};
	if (fstat(fd, &st) || st.st_size < sizeof end)
		return error_set(err, EINVAL, "frozen memory of another form");
	layer->size = (uint64_t)st.st_size;
	layer->map = mmap(NULL, layer->size, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
	if (layer->map == MAP_FAILED) {
		layer->map = NULL;
		return error_set(err, errno, "cannot map frozen memory: %s", strerror(errno));
	}
	madvise(layer->map, layer->size, MADV_DONTDUMP);
	memcpy(&end, layer->map + layer->size - sizeof end, sizeof end);
	layer->pages = end.pages;
	if (memcmp(end.magic, MEMORY_LAYER_MAGIC, sizeof end.magic) || !layer->pages ||
		layer->pages > layer->size / PAGE || file_size(layer->pages) != layer->size)
		return error_set(err, EINVAL, "frozen memory of another form");
	layer->has = (const uint64_t *)(layer->map + layer->pages * PAGE);
	return 0;
}

static bool is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS;
}

const uint8_t *layer_find(const struct memory_base *base, uint64_t page)
{
	for (unsigned i = base->count; i--;)
		if (page < base->layer[i].pages && page_bit(base->layer[i].has, page))
			return base->layer[i].map + page * PAGE;
	return NULL;
}

/* page_door.h */
static int bring(void *ctx, uint64_t first, uint64_t count, void *to)
{
	const struct memory_base *base = ctx;

	for (uint64_t i = 0; i < count; i++) {
		const uint8_t *from = layer_find(base, first + i);

		if (from)
			memcpy((uint8_t *)to + i * PAGE, from, PAGE);
	}
	return 0;
}

static void base_free(struct memory_base *base)
{
	for (unsigned i = 0; base && i < base->count; i++)
		layer_close(&base->layer[i]);
	free(base);
}

void memory_base_end(struct memory *mem)
{
	struct memory_base *base;

	mutex_lock(&mem->base_lock);
	base = mem->base;
	if (base) {
		memory_end_lazy(mem, &mem->door);
		madvise(mem->host, mem->door.pages * PAGE, MADV_HUGEPAGE);
		mem->base = NULL;
	}
	mutex_unlock(&mem->base_lock);
	base_free(base);
}

/* From now on nothing of RAM is here but `here` (NULL: nothing) and what comes from its base, page by page. */
static int begin(struct memory *mem, struct memory_base *base, const uint64_t *here,
	struct error *err)
{
	/* A page that is touched is to cost a page, whatever the host's policy is; unless all of them are about to come. */
	madvise(mem->host, mem->door.pages * PAGE, base->whole ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return memory_begin_lazy(mem, &mem->door, here, 1, bring, base, err);
}

int memory_stand_on(struct memory *mem, const int *fd, unsigned count, struct error *err)
{
	struct memory_base *base = calloc(1, sizeof *base);
	int r = base ? 0 : error_nomem(err);

	if (!r && (!count || count > MEMORY_LAYERS))
		r = error_set(err, EINVAL, "frozen memory of %u layers", count);
	if (!r && mem->fd < 0)
		r = error_set(err, ENOTSUP, "guest memory that is private stands on no other");
	for (unsigned i = 0; !r && i < count; i++) {
		int copy = fcntl(fd[i], F_DUPFD_CLOEXEC, 0);

		base->count = i + 1;
		base->layer[i].fd = copy;
		/* Before it is looked at: what could still change would not be what was looked at. */
		r = is_sealed(copy)
			? layer_open(&base->layer[i], copy, err)
			: error_set(err, EINVAL, "frozen memory that could still change");
	}
	/* What was tried when it was made. */
	if (!r)
		madvise(mem->host, mem->door.pages * PAGE, MADV_REMOVE);
	if (!r)
		r = begin(mem, base, NULL, err);
	if (r) {
		base_free(base);
		return r;
	}
	mem->base = base;
	mem->base_number++;
	return 0;
}

/* --- freezing --------------------------------------------------------------------------------- */

static int new_file(uint64_t size, int *fd, struct error *err)
{
	*fd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd >= 0 && !ftruncate(*fd, (off_t)size))
		return 0;
	return error_set(err, errno, "no memory for what the guest changes: %s", strerror(errno));
}

/* Behind RAM: which pages are in it. */
static int write_end(int fd, uint64_t pages, const uint64_t *has, struct error *err)
{
	struct memory_layer end = {.pages = pages};
	uint64_t bytes = words(pages) * sizeof *has;
	int r = ftruncate(fd, (off_t)file_size(pages)) ? -errno : 0;

	memcpy(end.magic, MEMORY_LAYER_MAGIC, sizeof end.magic);
	if (!r)
		r = io_pwrite_all(fd, has, bytes, (off_t)(pages * PAGE));
	if (!r)
		r = io_pwrite_all(fd, &end, sizeof end, (off_t)(pages * PAGE + bytes));
	return r ? error_set(err, -r, "cannot freeze the guest's memory: %s", strerror(-r)) : 0;
}

static uint64_t *pages_here(const struct memory *mem)
{
	uint64_t count = words(mem->door.pages), *has = malloc(count * sizeof *has);

	if (has && mem->door.here)
		memcpy(has, mem->door.here, count * sizeof *has);
	else if (has)
		memset(has, 0xff, count * sizeof *has);
	return has;
}

/* What all layers but the first have, and RAM itself, in one file; *has then tells of it. */
static int merge(const struct memory *mem, uint64_t *has, int fd, struct error *err)
{
	struct memory_base upper = {.count = mem->base->count - 1};
	uint64_t size = mem->door.pages * PAGE;
	uint8_t *to = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (to == MAP_FAILED)
		return error_set(err, errno, "no room to freeze the guest's memory in: %s",
			strerror(errno));
	memcpy(upper.layer, mem->base->layer + 1, upper.count * sizeof *upper.layer);
	for (uint64_t i = 0; i < mem->door.pages; i++) {
		const uint8_t *from =
			page_bit(has, i) ? mem->host + i * PAGE : layer_find(&upper, i);

		if (!from)
			continue;
		memcpy(to + i * PAGE, from, PAGE);
		page_bit_set(has, i);
	}
	munmap(to, size);
	return 0;
}

/* The file that is to be frozen, open once more: RAM's own, or one that it and the layers were made one in. */
static int make_layer(struct memory *mem, bool merges, struct layer *layer, struct error *err)
{
	uint64_t *has = pages_here(mem);
	int fd = -1, r = has ? 0 : error_nomem(err);

	if (!r && merges)
		r = new_file(mem->door.pages * PAGE, &fd, err);
	else if (!r && (fd = fcntl(mem->fd, F_DUPFD_CLOEXEC, 0)) < 0)
		r = error_set(err, errno, "cannot freeze the guest's memory: %s", strerror(errno));
	if (!r && merges)
		r = merge(mem, has, fd, err);
	if (!r)
		r = write_end(fd, mem->door.pages, has, err);
	if (!r)
		r = layer_open(layer, fd, err);
	else if (fd >= 0)
		close(fd);
	if (r)
		layer_close(layer);
	free(has);
	return r;
}

/* Where RAM is, another file is, under the same number; old is what it was. */
static int change_file(struct memory *mem, int fd, int old, struct error *err)
{
	uint64_t size = mem->door.pages * PAGE;

	if (dup3(fd, mem->fd, O_CLOEXEC) < 0)
		return error_set(err, errno, "cannot freeze the guest's memory: %s",
			strerror(errno));
	if (mmap(mem->host, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
		    fd, 0) == MAP_FAILED) {
		int code = errno;

		dup3(old, mem->fd, O_CLOEXEC);
		return error_set(err, code, "cannot freeze the guest's memory: %s", strerror(code));
	}
	madvise(mem->host, size, MADV_DONTDUMP);
	return 0;
}

/* The last layer is in its place; a page that is looked for is looked for there from now on. */
static void put_layer(struct memory_base *base, bool merges, const struct layer *layer)
{
	for (; merges && base->count > 1; base->count--)
		layer_close(&base->layer[base->count - 1]);
	base->layer[base->count++] = *layer;
}

/* --- what it need not have of its own -------------------------------------------------------- */

static bool is_as_below(const struct memory *mem, uint64_t page)
{
	static const uint8_t zeros[PAGE];
	const uint8_t *below = layer_find(mem->base, page);

	return !memcmp(mem->host + page * PAGE, below ? below : zeros, PAGE);
}

/* Takes such pages out of `here`, and puts them into `gone`; holes, which a look would fill, are passed by. */
static bool find_equal(struct memory *mem, uint64_t most, uint64_t *here, uint64_t *gone)
{
	struct memory_base *base = mem->base;
	uint64_t page = base->looked;
	bool any = false;
	off_t data, hole;

	base->looked = 0;
	while ((data = lseek(mem->fd, (off_t)(page * PAGE), SEEK_DATA)) >= 0 &&
		(hole = lseek(mem->fd, data, SEEK_HOLE)) > data) {
		for (page = data / PAGE; page < hole / PAGE && page < mem->door.pages; page++) {
			if (!page_bit(here, page))
				continue;
			if (!most--) {
				base->looked = page;
				return any;
			}
			if (!is_as_below(mem, page))
				continue;
			here[page / 64] &= ~(1ull << page % 64);
			gone[page / 64] |= 1ull << page % 64;
			any = true;
		}
		page = hole / PAGE;
	}
	return any;
}

static void give_back(struct memory *mem, const uint64_t *gone)
{
	uint64_t end;

	for (uint64_t at = 0; at < mem->door.pages; at = end + 1) {
		for (end = at; end < mem->door.pages && page_bit(gone, end);)
			end++;
		if (end > at)
			madvise(mem->host + at * PAGE, (end - at) * PAGE, MADV_REMOVE);
	}
}

void memory_base_trim(struct memory *mem, uint64_t pages)
{
	struct memory_base *base = mem->base;
	uint64_t *here, *gone;

	if (!base || base->whole || mem->readers)
		return;
	mutex_lock(&mem->base_lock);
	here = pages_here(mem);
	gone = calloc(words(mem->door.pages), sizeof *gone);
	/* They are asked for again before they go; where that fails nothing has changed. */
	if (here && gone && find_equal(mem, pages, here, gone) && !begin(mem, base, here, NULL))
		give_back(mem, gone);
	mutex_unlock(&mem->base_lock);
	free(here);
	free(gone);
}

int memory_freeze_check(const struct memory *mem, struct error *err)
{
	if (mem->engine->kind != CPUID_TRANSLATE)
		return error_set(err, ENOTSUP,
			"a guest under KVM cannot be copied while it runs (--engine translate can)");
	if (mem->fd < 0)
		return error_set(err, ENOTSUP,
			"the guest's memory is private, since this host gives shared memory no huge pages");
	if (mem->readers)
		return error_set(err, EBUSY,
			"the guest's memory is being read for a core file or a snapshot");
	if (mem->lazy)
		return error_set(err, EAGAIN,
			"the guest's memory is still being read from what it was restored from");
	return 0;
}

int memory_freeze(struct memory *mem, bool whole, struct error *err)
{
	bool merges = mem->base && mem->base->count == MEMORY_LAYERS;
	struct memory_base *base = mem->base;
	struct layer layer = {.fd = -1};
	bool was_whole = base && base->whole;
	int fd = -1, old = -1, r = memory_freeze_check(mem, err);

	if (!r && !base && !(base = calloc(1, sizeof *base)))
		r = error_nomem(err);
	if (!r)
		r = make_layer(mem, merges, &layer, err);
	if (!r)
		r = new_file(mem->door.pages * PAGE, &fd, err);
	if (!r && (old = fcntl(mem->fd, F_DUPFD_CLOEXEC, 0)) < 0)
		r = error_set(err, errno, "cannot freeze the guest's memory: %s", strerror(errno));
	if (!r)
		r = change_file(mem, fd, old, err);
	if (!r) {
		base->whole = whole;
		r = begin(mem, base, NULL, err);
		if (r)
			change_file(mem, old, old, NULL);
	}
	if (!r) {
		put_layer(base, merges, &layer);
		mem->base = base;
		mem->base_number++;
	} else {
		if (base)
			base->whole = was_whole;
		layer_close(&layer);
		if (!mem->base)
			free(base);
	}
	if (fd >= 0)
		close(fd);
	if (old >= 0)
		close(old);
	return r;
}

unsigned memory_base_layers(const struct memory *mem)
{
	return mem->base ? mem->base->count : 0;
}

int memory_layers(struct memory *mem, int fd[MEMORY_LAYERS], unsigned *count, struct error *err)
{
	const struct memory_base *base = mem->base;

	*count = base ? base->count : 0;
	for (unsigned i = 0; i < *count; i++) {
		fd[i] = base->layer[i].fd;
		if (!is_sealed(fd[i]) && fcntl(fd[i], F_ADD_SEALS, SEALS | F_SEAL_SEAL))
			return error_set(err, errno,
				"the guest's frozen memory cannot be sealed: %s", strerror(errno));
	}
	return 0;
}
