/* SPDX-License-Identifier: Apache-2.0 */
/* Also a part of the agent itself, so without what our libraries have. */
#include "protocol/agent.h"

#include <stdlib.h>
#include <string.h>

enum side { MONITOR = 1, AGENT = 2 };

/* By type: who sends it, with how many bytes, at least and at most. */
static const struct {
	uint8_t from;
	bool stream;
	uint32_t min, max;
} rules[AGENT_TYPES] = {
	[AGENT_OPEN] = {MONITOR, false, sizeof(uint32_t) * 4, AGENT_OPEN_MAX},
	[AGENT_SIGNAL] = {MONITOR, false, 4, 4},
	[AGENT_RESIZE] = {MONITOR, false, 4, 4},
	[AGENT_CLOSE] = {MONITOR, false, 0, 0},
	[AGENT_POWEROFF] = {MONITOR, false, 0, 0},
	[AGENT_DATA] = {MONITOR | AGENT, true, 1, AGENT_DATA_MAX},
	[AGENT_EOF] = {MONITOR | AGENT, true, 0, 0},
	[AGENT_CREDIT] = {MONITOR | AGENT, true, 4, 4},
	[AGENT_HELLO] = {AGENT, false, 4, 4},
	[AGENT_READY] = {AGENT, false, 0, 0},
	[AGENT_EXIT] = {AGENT, false, 4, 4},
	[AGENT_FAILED] = {AGENT, false, 4, 1024},
	[AGENT_MOUNT] = {MONITOR, false, sizeof(uint32_t) + 4, AGENT_MOUNT_MAX},
	[AGENT_TIME] = {MONITOR, false, 8, 8},
};

bool agent_header_valid(const struct agent_header *header, bool from_monitor)
{
	const enum side side = from_monitor ? MONITOR : AGENT;
	bool in;

	if (header->type >= AGENT_TYPES || !(rules[header->type].from & side))
		return false;
	if (header->length < rules[header->type].min || header->length > rules[header->type].max)
		return false;
	if (!rules[header->type].stream)
		return !header->stream;
	/* Whose room it is told of is the other's stream. */
	in = (header->type == AGENT_CREDIT) != from_monitor;
	return in ? header->stream == AGENT_STDIN
		  : header->stream == AGENT_STDOUT || header->stream == AGENT_STDERR;
}

/*
 * The payload: four u32 (terminal | what << 8, columns << 16 | rows, words of argv, words of env), then texts,
 * each with a zero behind it: user, folder, argv, env.
 */
struct fixed {
	uint32_t kind, size, argc, envc;
};
#define TERMINAL 1u
#define WHAT_SHIFT 8

static size_t add(char *to, size_t at, const char *text)
{
	size_t size = strlen(text) + 1;

	if (to)
		memcpy(to + at, text, size);
	return at + size;
}

/* to NULL: only counts. */
static size_t write_all(const struct agent_open *open, char *to)
{
	struct fixed fixed = {(open->terminal ? TERMINAL : 0) | (uint32_t)open->what << WHAT_SHIFT,
		(uint32_t)open->columns << 16 | open->rows, 0, 0};
	size_t at = add(to, sizeof fixed, open->user);

	at = add(to, at, open->folder);
	for (; open->argv[fixed.argc]; fixed.argc++)
		at = add(to, at, open->argv[fixed.argc]);
	for (; open->env[fixed.envc]; fixed.envc++)
		at = add(to, at, open->env[fixed.envc]);
	if (to)
		memcpy(to, &fixed, sizeof fixed);
	return at;
}

char *agent_open_write(const struct agent_open *open, size_t *size)
{
	char *payload = NULL;

	*size = write_all(open, NULL);
	if (*size <= AGENT_OPEN_MAX)
		payload = malloc(*size);
	if (payload)
		write_all(open, payload);
	else
		*size = 0;
	return payload;
}

/* The next text of the payload; NULL: there is none. */
static const char *take(const char **at, const char *end)
{
	const char *text = *at;

	if (text == end)
		return NULL;
	*at = text + strlen(text) + 1;
	return text;
}

bool agent_open_read(const char *payload, size_t size, struct agent_open *open, const char ***words)
{
	const char *at = payload + sizeof(struct fixed), *end = payload + size;
	struct fixed fixed;
	const char **word;
	uint64_t count;
	bool good;

	*words = NULL;
	if (size <= sizeof fixed || payload[size - 1])
		return false;
	memcpy(&fixed, payload, sizeof fixed);
	count = (uint64_t)fixed.argc + fixed.envc;
	if ((fixed.kind & 255) > TERMINAL || fixed.kind >> WHAT_SHIFT >= AGENT_WHATS ||
		!fixed.argc != (fixed.kind >> WHAT_SHIFT == AGENT_SHELL) || count > size)
		return false;
	word = *words = calloc(count + 2, sizeof *word);
	if (!word)
		return false;
	*open = (struct agent_open){.what = fixed.kind >> WHAT_SHIFT,
		.terminal = fixed.kind & TERMINAL,
		.columns = fixed.size >> 16,
		.rows = fixed.size & 0xffff,
		.user = take(&at, end),
		.folder = take(&at, end),
		.argv = word,
		.env = word + fixed.argc + 1};
	good = open->user && open->folder;
	for (uint64_t i = 0; good && i < count; i++)
		good = (word[i + (i >= fixed.argc)] = take(&at, end)) != NULL;
	if (good && at == end && (!fixed.argc || *open->argv[0]))
		return true;
	free(word);
	*words = NULL;
	return false;
}

/* The payload: a u32 (bits), then tag and path. */
enum { READ_ONLY = 1, OVERLAY = 2 };

char *agent_mount_write(const struct agent_mount *mount, size_t *size)
{
	const uint32_t bits = (mount->read_only ? READ_ONLY : 0) | (mount->overlay ? OVERLAY : 0);
	char *payload;

	*size = add(NULL, add(NULL, sizeof bits, mount->tag), mount->path);
	payload = *size <= AGENT_MOUNT_MAX ? malloc(*size) : NULL;
	if (!payload) {
		*size = 0;
		return NULL;
	}
	memcpy(payload, &bits, sizeof bits);
	add(payload, add(payload, sizeof bits, mount->tag), mount->path);
	return payload;
}

bool agent_mount_read(const char *payload, size_t size, struct agent_mount *mount)
{
	const char *at = payload + sizeof(uint32_t), *end = payload + size;
	uint32_t bits;

	if (size <= sizeof bits || payload[size - 1])
		return false;
	memcpy(&bits, payload, sizeof bits);
	*mount = (struct agent_mount){.read_only = bits & READ_ONLY,
		.overlay = bits & OVERLAY,
		.tag = take(&at, end),
		.path = take(&at, end)};
	return bits <= (READ_ONLY | OVERLAY) && mount->tag && mount->path && at == end &&
		*mount->tag && strlen(mount->tag) <= AGENT_TAG_MAX && !strpbrk(mount->tag, "/,") &&
		mount->path[0] == '/';
}
