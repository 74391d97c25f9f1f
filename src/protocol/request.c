/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/request.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/fields.h"
#include "protocol/limits.h"

static const char *const triggers[] = {
	[TRIGGER_NMI] = "nmi",
	[TRIGGER_RESET] = "reset",
	[TRIGGER_POWER] = "power",
	NULL,
};

static const char *const thens[] = {
	[SAVE_THEN_END] = "end",
	[SAVE_THEN_WAIT] = "wait",
	[SAVE_THEN_RUN] = "run",
	[SAVE_THEN_PAUSE] = "pause",
	NULL,
};

static int read_key(const char *text, char *to)
{
	if (strlen(text) != 1 || !isalnum((unsigned char)*text))
		return -EINVAL;
	strcpy(to, text);
	return 0;
}

static int read_name(const char *text, char *to)
{
	if (strlen(text) > REQUEST_NAME_MAX)
		return -EINVAL;
	strcpy(to, text);
	return 0;
}

static int read_vdev(const char *text, char *to)
{
	if (strlen(text) > LIMIT_VDEV)
		return -EINVAL;
	strcpy(to, text);
	return 0;
}

static const struct field nothing[] = {{.key = NULL}};

static const struct field trigger[] = {
	FIELD_ROW(ENUM, monitor_request, trigger, .needed = true, .names = triggers),
	FIELD_ROW(COUNT, monitor_request, vcpu, .max = LIMIT_VCPUS - 1),
	{.key = NULL},
};

static const struct field sysrq[] = {
	FIELD_ROW(TEXT, monitor_request, key, .needed = true, .max = 1, .read = read_key,
		.pattern = "^[0-9A-Za-z]$"),
	{.key = NULL},
};

static const struct field memory_set[] = {
	FIELD_ROW(NUMBER, monitor_request, memory, .needed = true, .min = LIMIT_MEMORY_MIN,
		.max = LIMIT_MEMORY_MAX),
	{.key = NULL},
};

static const struct field dump_core[] = {
	FIELD_ROW(BOOL, monitor_request, live),
	{.key = NULL},
};

static const struct field save[] = {
	FIELD_ROW(ENUM, monitor_request, then, .names = thens),
	{.key = NULL},
};

static const struct field disk_file[] = {
	FIELD_ROW(COUNT, monitor_request, disk, .max = LIMIT_DISKS - 1),
	FIELD_ROW(TEXT, monitor_request, name, .needed = true, .max = REQUEST_NAME_MAX,
		.read = read_name),
	FIELD_ROW(BOOL, monitor_request, first),
	{.key = NULL},
};

static const struct field disk_layer[] = {
	FIELD_ROW(COUNT, monitor_request, disks, .needed = true, .min = 1, .max = LIMIT_DISKS),
	{.key = NULL},
};

static const char *const copy_kinds[] = {
	[DISK_COPY_STREAM] = "stream",
	[DISK_COPY_COMMIT] = "commit",
	[DISK_COPY_MERGE] = "merge",
	[DISK_COPY_BACKUP] = "backup",
	[DISK_COPY_MIRROR] = "mirror",
	NULL,
};
static const char *const copy_formats[] = {[DISK_RAW] = "raw", [DISK_QCOW2] = "qcow2", NULL};

static int read_checkpoint(const char *text, char *to)
{
	if (strlen(text) > LIMIT_CHECKPOINT)
		return -EINVAL;
	strcpy(to, text);
	return 0;
}

#define CHECKPOINT_ROW(member) \
	FIELD_ROW(TEXT, monitor_request, member, .max = LIMIT_CHECKPOINT, .read = read_checkpoint)

static const struct field disk_copy[] = {
	FIELD_ROW(ENUM, monitor_request, kind, .needed = true, .names = copy_kinds),
	FIELD_ROW(COUNT, monitor_request, disk, .max = LIMIT_DISKS - 1),
	FIELD_ROW(TEXT, monitor_request, name, .max = REQUEST_NAME_MAX, .read = read_name),
	FIELD_ROW(ENUM, monitor_request, format, .names = copy_formats),
	FIELD_ROW(NUMBER, monitor_request, rate, .max = INT64_MAX),
	CHECKPOINT_ROW(since),
	CHECKPOINT_ROW(checkpoint),
	{.key = NULL},
};

static const struct field disk_resize[] = {
	FIELD_ROW(COUNT, monitor_request, disk, .max = LIMIT_DISKS - 1),
	FIELD_ROW(NUMBER, monitor_request, size, .needed = true, .min = 512, .max = INT64_MAX),
	{.key = NULL},
};

static const struct field disk_open[] = {
	FIELD_ROW(TEXT, monitor_request, name, .needed = true, .max = REQUEST_NAME_MAX,
		.read = read_name),
	FIELD_ROW(ENUM, monitor_request, format, .names = copy_formats),
	FIELD_ROW(BOOL, monitor_request, first),
	{.key = NULL},
};

static const struct field disk_attach[] = {
	FIELD_ROW(COUNT, monitor_request, disk, .max = LIMIT_DISKS - 1),
	FIELD_ROW(TEXT, monitor_request, vdev, .needed = true, .max = LIMIT_VDEV,
		.read = read_vdev),
	FIELD_ROW(BOOL, monitor_request, readonly),
	{.key = NULL},
};

static const struct field disk_detach[] = {
	FIELD_ROW(COUNT, monitor_request, disk, .max = LIMIT_DISKS - 1),
	FIELD_ROW(TEXT, monitor_request, vdev, .needed = true, .max = LIMIT_VDEV,
		.read = read_vdev),
	FIELD_ROW(COUNT, monitor_request, seconds, .max = 3600),
	FIELD_ROW(BOOL, monitor_request, force),
	{.key = NULL},
};

static int read_link(const char *text, char *to)
{
	if (net_check_link("", text, NULL))
		return -EINVAL;
	snprintf(to, NET_LINK_TEXT + 1, "%s", text);
	return 0;
}

static const struct field net_attach[] = {
	FIELD_ROW(COUNT, monitor_request, network, .max = LIMIT_NETWORKS - 1),
	FIELD_ROW(TEXT, monitor_request, mac, .needed = true, .max = NET_MAC_TEXT,
		.read = net_read_mac),
	FIELD_ROW(TEXT, monitor_request, link, .max = NET_LINK_TEXT, .read = read_link),
	FIELD_ROW(COUNT, monitor_request, mtu, .max = NET_MTU_MAX),
	FIELD_ROW(ENUM, monitor_request, model, .names = net_model_words),
	FIELD_ROW(NUMBER, monitor_request, rate, .max = NET_RATE_MAX),
	FIELD_ROW(COUNT, monitor_request, rate_interval, .max = UINT32_MAX),
	{.key = NULL},
};

static const struct field share_attach[] = {
	FIELD_ROW(TEXT, monitor_request, name, .needed = true, .max = REQUEST_NAME_MAX,
		.read = read_name),
	FIELD_ROW(BOOL, monitor_request, readonly),
	{.key = NULL},
};

static const struct field share_detach[] = {
	FIELD_ROW(TEXT, monitor_request, name, .needed = true, .max = REQUEST_NAME_MAX,
		.read = read_name),
	{.key = NULL},
};

static const struct field net_detach[] = {
	FIELD_ROW(COUNT, monitor_request, network, .max = LIMIT_NETWORKS - 1),
	FIELD_ROW(TEXT, monitor_request, mac, .needed = true, .max = NET_MAC_TEXT,
		.read = net_read_mac),
	FIELD_ROW(COUNT, monitor_request, seconds, .max = 3600),
	FIELD_ROW(BOOL, monitor_request, force),
	{.key = NULL},
};

static int read_forward(const char *text, char *to)
{
	struct net_forward forward;

	if (strlen(text) > NET_FORWARD_TEXT || net_forward_parse(text, &forward, NULL))
		return -EINVAL;
	strcpy(to, text);
	return 0;
}

static const struct field net_forward[] = {
	FIELD_ROW(COUNT, monitor_request, network, .max = LIMIT_NETWORKS - 1),
	FIELD_ROW(TEXT, monitor_request, mac, .needed = true, .max = NET_MAC_TEXT,
		.read = net_read_mac),
	FIELD_ROW(TEXT, monitor_request, forward, .needed = true, .max = NET_FORWARD_TEXT,
		.read = read_forward),
	FIELD_ROW(BOOL, monitor_request, remove),
	{.key = NULL},
};

static const struct field disk_export[] = {
	FIELD_ROW(COUNT, monitor_request, disk, .max = LIMIT_DISKS - 1),
	FIELD_ROW(BOOL, monitor_request, persistent),
	CHECKPOINT_ROW(since),
	CHECKPOINT_ROW(checkpoint),
	{.key = NULL},
};

static const struct field disk_checkpoint[] = {
	FIELD_ROW(COUNT, monitor_request, disk, .max = LIMIT_DISKS - 1),
	FIELD_ROW(TEXT, monitor_request, checkpoint, .needed = true, .max = LIMIT_CHECKPOINT,
		.read = read_checkpoint),
	FIELD_ROW(BOOL, monitor_request, remove),
	{.key = NULL},
};

static const struct field disk_pivot[] = {
	FIELD_ROW(COUNT, monitor_request, disk, .max = LIMIT_DISKS - 1),
	FIELD_ROW(BOOL, monitor_request, drop),
	{.key = NULL},
};

static const struct field clone[] = {
	FIELD_ROW(COUNT, monitor_request, disks, .max = LIMIT_DISKS),
	{.key = NULL},
};

static const struct field migrate[] = {
	FIELD_ROW(COUNT, monitor_request, pause, .max = MIGRATE_PAUSE_MAX),
	FIELD_ROW(NUMBER, monitor_request, rate, .max = INT64_MAX),
	FIELD_ROW(BOOL, monitor_request, storage),
	FIELD_ROW(BOOL, monitor_request, local),
	FIELD_ROW(BOOL, monitor_request, handed),
	{.key = NULL},
};

const char *const migrate_part_names[MIGRATE_PARTS] = {
	[MIGRATE_STOP] = "stop",
	[MIGRATE_MEMORY] = "memory",
	[MIGRATE_DEVICES] = "devices",
	[MIGRATE_DISKS] = "disks",
	[MIGRATE_READY] = "ready",
	[MIGRATE_RUNNING] = "running",
};

static const struct field release[] = {
	FIELD_ROW(BOOL, monitor_request, end),
	{.key = NULL},
};

static const struct field cancel[] = {
	{.key = "job",
		.kind = FIELD_NUMBER,
		FIELD_AT(monitor_request, job),
		.needed = true,
		.min = 1,
		.max = INT64_MAX},
	{.key = NULL},
};

static const struct verb {
	const char *word;
	const struct field *arguments; /* beside id and do */
	bool passed, fd;
} verbs[REQUEST_VERBS] = {
	[REQUEST_INFO] = {"info", nothing, .passed = false},
	[REQUEST_PAUSE] = {"pause", nothing, .passed = true},
	[REQUEST_UNPAUSE] = {"unpause", nothing, .passed = true},
	[REQUEST_SHUTDOWN] = {"shutdown", nothing, .passed = true},
	[REQUEST_REBOOT] = {"reboot", nothing, .passed = true},
	[REQUEST_DESTROY] = {"destroy", nothing, .passed = false},
	[REQUEST_TRIGGER] = {"trigger", trigger, .passed = true},
	[REQUEST_SYSRQ] = {"sysrq", sysrq, .passed = true},
	[REQUEST_MEMORY_SET] = {"memory-set", memory_set, .passed = false},
	[REQUEST_DUMP_CORE] = {"dump-core", dump_core, .fd = true},
	[REQUEST_SAVE] = {"save", save, .fd = true},
	[REQUEST_DISK_FILE] = {"disk-file", disk_file, .fd = true},
	[REQUEST_DISK_LAYER] = {"disk-layer", disk_layer, .passed = false},
	[REQUEST_DISK_COPY] = {"disk-copy", disk_copy, .fd = true},
	[REQUEST_DISK_RESIZE] = {"disk-resize", disk_resize, .passed = false},
	[REQUEST_DISK_OPEN] = {"disk-open", disk_open, .fd = true},
	[REQUEST_DISK_ATTACH] = {"disk-attach", disk_attach, .passed = false},
	[REQUEST_DISK_DETACH] = {"disk-detach", disk_detach, .passed = false},
	[REQUEST_DISK_EXPORT] = {"disk-export", disk_export, .fd = true},
	[REQUEST_DISK_CHECKPOINT] = {"disk-checkpoint", disk_checkpoint, .passed = false},
	[REQUEST_DISK_PIVOT] = {"disk-pivot", disk_pivot, .passed = false},
	[REQUEST_NET_ATTACH] = {"net-attach", net_attach, .fd = true},
	[REQUEST_NET_DETACH] = {"net-detach", net_detach, .passed = false},
	[REQUEST_NET_FORWARD] = {"net-forward", net_forward, .passed = false},
	[REQUEST_SHARE_ATTACH] = {"share-attach", share_attach, .fd = true},
	[REQUEST_SHARE_DETACH] = {"share-detach", share_detach, .passed = false},
	[REQUEST_RELEASE] = {"release", release, .passed = false},
	[REQUEST_CLONE] = {"clone", clone, .fd = true},
	[REQUEST_EXEC] = {"exec", nothing, .fd = true},
	[REQUEST_SNAPSHOT] = {"snapshot", clone, .fd = true},
	[REQUEST_MIGRATE] = {"migrate", migrate, .fd = true},
	[REQUEST_OFFER] = {"offer", nothing, .fd = true},
	[REQUEST_JOBS] = {"jobs", nothing, .passed = false},
	[REQUEST_CANCEL] = {"cancel", cancel, .passed = true},
};

const char *request_word(enum request_verb verb)
{
	return verbs[verb].word;
}

const struct field *request_arguments(enum request_verb verb)
{
	return verb < REQUEST_VERBS ? verbs[verb].arguments : nothing;
}

bool request_is_passed(enum request_verb verb)
{
	return verb < REQUEST_VERBS && verbs[verb].passed;
}

bool request_needs_arguments(enum request_verb verb)
{
	const struct field *field = request_arguments(verb);

	while (field->key && !field->needed)
		field++;
	return field->key;
}

bool request_takes_fd(enum request_verb verb)
{
	return verb < REQUEST_VERBS && verbs[verb].fd;
}

enum request_verb request_find(const char *word)
{
	enum request_verb verb = 0;

	while (verb < REQUEST_VERBS && (!word || strcmp(word, verbs[verb].word)))
		verb++;
	return verb;
}

static int read_fields(enum request_verb verb, const json_t *json, const char *where,
	struct monitor_request *request, struct error *err)
{
	const struct field *fields = verbs[verb].arguments;
	int r = fields_read(fields, json, request, where, err);

	return r ? r : fields_check(fields, request, where, err);
}

int request_read_arguments(enum request_verb verb, const json_t *arguments,
	struct monitor_request *request, struct error *err)
{
	json_t *none = json_object();
	int r;

	*request = (struct monitor_request){.verb = verb};
	r = read_fields(verb, arguments ? arguments : none, "", request, err);
	json_decref(none);
	return r;
}

/* Takes id and do out of it: the rest are the arguments. */
static int read_object(json_t *root, struct monitor_request *request, struct error *err)
{
	const char *word = json_string_value(json_object_get(root, "do"));
	json_t *id = json_object_get(root, "id");
	char where[FIELD_WHERE_MAX];

	request->id = json_integer_value(id);
	request->verb = request_find(word);
	if (!json_is_object(root))
		return error_set(err, EINVAL, "control: not a JSON object");
	if (request->verb == REQUEST_VERBS)
		return error_set(err, EINVAL, "control: unknown request '%.64s'", word ? word : "");
	if (id && !json_is_integer(id))
		return error_set(err, EINVAL, "control: id is not a whole number");
	json_object_del(root, "id");
	json_object_del(root, "do");
	snprintf(where, sizeof where, "control: %s: ", verbs[request->verb].word);
	return read_fields(request->verb, root, where, request, err);
}

int request_parse(const char *line, size_t len, struct monitor_request *request, struct error *err)
{
	json_error_t where;
	json_t *root;
	int r;

	*request = (struct monitor_request){.verb = REQUEST_VERBS};
	if (len > REQUEST_MAX)
		return error_set(err, E2BIG, "control: a line of more than %u bytes", REQUEST_MAX);
	root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &where);
	if (!root)
		return error_set(err, EINVAL, "control: column %d: %s", where.column, where.text);
	r = read_object(root, request, err);
	json_decref(root);
	return r;
}

json_t *request_write(const struct monitor_request *request)
{
	json_t *json = fields_write(verbs[request->verb].arguments, request);

	if (json_object_set_new(json, "do", json_string(verbs[request->verb].word)) ||
		json_object_set_new(json, "id", json_integer(request->id))) {
		json_decref(json);
		return NULL;
	}
	return json;
}
