/* SPDX-License-Identifier: Apache-2.0 */
#include "base/symbols.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

#define FILE_MAX (1ull << 30)
#define REACH (16u << 20)

struct symbol {
	uint64_t address;
	const char *name; /* in text */
};

struct symbols {
	char *text; /* the file, with a zero behind it */
	size_t size;
	struct symbol *symbol;
	size_t count, room;
};

static int add(struct symbols *s, uint64_t address, const char *name)
{
	if (s->count == s->room) {
		size_t room = s->room ? s->room * 2 : 4096;
		struct symbol *more = realloc(s->symbol, room * sizeof *more);

		if (!more)
			return -ENOMEM;
		s->symbol = more;
		s->room = room;
	}
	s->symbol[s->count++] = (struct symbol){address, name};
	return 0;
}

/* --- text ---------------------------------------------------------------------------------- */

/* "ffffffff81000000 T _text", maybe with a tab and a module behind it. */
static int take_line(struct symbols *s, char *line)
{
	char *end, *name;
	uint64_t address = strtoull(line, &end, 16);

	if (end == line || end[0] != ' ' || !end[1] || end[2] != ' ')
		return 0;
	if (!strchr("tTwW", end[1]) || !address)
		return 0;
	name = end + 3;
	name[strcspn(name, "\t\r ")] = 0;
	return name[0] ? add(s, address, name) : 0;
}

static int take_text(struct symbols *s)
{
	char *at = s->text, *line;
	int r = 0;

	while (!r && (line = strsep(&at, "\n")))
		r = take_line(s, line);
	return r;
}

/* --- ELF ------------------------------------------------------------------------------------ */

/* A table of the file, or NULL if it does not lie in it. */
static const void *part(const struct symbols *s, uint64_t offset, uint64_t size)
{
	return offset > s->size || size > s->size - offset ? NULL : s->text + offset;
}

static int take_table(struct symbols *s, const Elf64_Shdr *table, const Elf64_Shdr *names)
{
	const char *text = part(s, names->sh_offset, names->sh_size);
	uint64_t count = table->sh_size / sizeof(Elf64_Sym);
	int r = 0;

	if (!text || !names->sh_size || text[names->sh_size - 1] ||
		!part(s, table->sh_offset, table->sh_size))
		return -EINVAL;
	for (uint64_t i = 0; i < count && !r; i++) {
		Elf64_Sym sym;

		memcpy(&sym, s->text + table->sh_offset + i * sizeof sym, sizeof sym);
		if (ELF64_ST_TYPE(sym.st_info) != STT_FUNC &&
			ELF64_ST_TYPE(sym.st_info) != STT_NOTYPE)
			continue;
		if (sym.st_shndx == SHN_UNDEF || sym.st_shndx >= SHN_LORESERVE || !sym.st_value ||
			sym.st_name >= names->sh_size || !text[sym.st_name])
			continue;
		r = add(s, sym.st_value, text + sym.st_name);
	}
	return r;
}

static bool section(const struct symbols *s, const Elf64_Ehdr *e, unsigned i, Elf64_Shdr *out)
{
	const void *at = part(s, e->e_shoff, (uint64_t)(i + 1) * sizeof *out);

	if (!at || i >= e->e_shnum)
		return false;
	memcpy(out, (const char *)at + i * sizeof *out, sizeof *out);
	return true;
}

static int take_elf(struct symbols *s)
{
	Elf64_Shdr table, names;
	Elf64_Ehdr e;

	if (s->size < sizeof e)
		return -EINVAL;
	memcpy(&e, s->text, sizeof e);
	if (e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_ident[EI_DATA] != ELFDATA2LSB ||
		e.e_shentsize != sizeof table)
		return -EINVAL;
	/* what is stripped still has its dynamic symbols */
	for (unsigned type = SHT_SYMTAB;; type = SHT_DYNSYM) {
		for (unsigned i = 0; section(s, &e, i, &table); i++)
			if (table.sh_type == type)
				return section(s, &e, table.sh_link, &names)
					? take_table(s, &table, &names)
					: -EINVAL;
		if (type == SHT_DYNSYM)
			return 0;
	}
}

/* --- both ------------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

/* Takes s->text; frees all on failure. */
static int parse(struct symbols *s, const char *what, struct symbols **out, struct error *err)
{
	int r = s->size >= 4 && !memcmp(s->text, ELFMAG, 4) ? take_elf(s) : take_text(s);

	if (!r && !s->count)
		r = -EINVAL;
	if (r) {
		symbols_free(s);
		if (r == -ENOMEM)
			return error_set(err, ENOMEM, "%s: no memory for its symbols", what);
		return error_set(err, EINVAL,
			"%s: no symbols in it (System.map, kallsyms as root sees it, or a 64-bit ELF file)",
			what);
	}
	qsort(s->symbol, s->count, sizeof *s->symbol, compare);
	*out = s;
	return 0;
}

static struct symbols *make(size_t size)
{
	struct symbols *s = calloc(1, sizeof *s);

	if (s)
		s->text = malloc(size + 1);
	if (!s || !s->text) {
		free(s);
		return NULL;
	}
	s->text[size] = 0;
	s->size = size;
	return s;
}

int symbols_parse(const void *data, size_t size, const char *what, struct symbols **out,
	struct error *err)
{
	struct symbols *s = make(size);

	*out = NULL;
	if (!s)
		return error_set(err, ENOMEM, "%s: no memory for its symbols", what);
	memcpy(s->text, data, size);
	return parse(s, what, out, err);
}

int symbols_load(int fd, const char *what, struct symbols **out, struct error *err)
{
	struct symbols *s = calloc(1, sizeof *s);
	int r;

	*out = NULL;
	if (!s)
		return error_set(err, ENOMEM, "%s: no memory for its symbols", what);
	r = io_read_file(fd, FILE_MAX, &s->text, &s->size);
	if (r) {
		symbols_free(s);
		return error_set(err, -r, "%s: %s", what, strerror(-r));
	}
	return parse(s, what, out, err);
}

void symbols_free(struct symbols *s)
{
	if (!s)
		return;
	free(s->symbol);
	free(s->text);
	free(s);
}

const char *symbols_find(const struct symbols *s, uint64_t address, uint64_t *offset)
{
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->symbol[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || address - s->symbol[low - 1].address > REACH)
		return NULL;
	*offset = address - s->symbol[low - 1].address;
	return s->symbol[low - 1].name;
}

uint64_t symbols_address(const struct symbols *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++)
		if (!strcmp(s->symbol[i].name, name))
			return s->symbol[i].address;
	return 0;
}
