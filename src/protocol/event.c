/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/event.h"

#include <errno.h>

#include "protocol/fields.h"

const char *const guest_states[] = {
	[GUEST_RUNNING] = "running",
	[GUEST_PAUSED] = "paused",
	[GUEST_SAVED] = "saved",
	[GUEST_ENDED] = "ended",
	NULL,
};

const char *const vcpu_states[] = {
	[VCPU_RUNNING] = "running",
	[VCPU_HALTED] = "halted",
	[VCPU_PAUSED] = "paused",
	[VCPU_WAITING] = "waiting",
	NULL,
};

const char *const event_words[] = {
	[EVENT_PAUSED] = "paused",
	[EVENT_UNPAUSED] = "unpaused",
	[EVENT_KEPT] = "kept",
	[EVENT_ENDED] = "ended",
	[EVENT_MEMORY] = "memory",
	[EVENT_JOB] = "job",
	NULL,
};

static bool has_reason(enum event_kind kind)
{
	return kind == EVENT_KEPT || kind == EVENT_ENDED;
}

json_t *event_write(const struct monitor_event *event)
{
	json_t *json = json_pack("{s:s}", "event", event_words[event->kind]);

	if (has_reason(event->kind))
		json_object_set_new(json, "reason", json_string(end_word(event->reason)));
	if (event->kind == EVENT_MEMORY)
		json_object_set(json, "memory", event->memory);
	if (event->kind == EVENT_JOB)
		json_object_set_new(json, "job", fields_write(job_report_fields, &event->job));
	return json;
}

int event_read(const json_t *json, struct monitor_event *event)
{
	int kind = field_find_name(event_words, json_string_value(json_object_get(json, "event")));

	if (kind < 0)
		return kind;
	*event = (struct monitor_event){.kind = kind};
	if (has_reason(event->kind)) {
		event->reason = end_find(json_string_value(json_object_get(json, "reason")));
		if (event->reason == END_NONE)
			event->reason = END_CRASH;
	}
	if (event->kind == EVENT_MEMORY)
		event->memory = json_object_get(json, "memory");
	if (event->kind == EVENT_JOB)
		return fields_read(job_report_fields, json_object_get(json, "job"), &event->job, "",
			NULL);
	return 0;
}
