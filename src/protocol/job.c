/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/job.h"

#include <errno.h>
#include <string.h>

const char *const job_states[] = {
	[JOB_RUNNING] = "running",
	[JOB_CANCELLING] = "cancelling",
	[JOB_DONE] = "done",
	[JOB_FAILED] = "failed",
	[JOB_CANCELLED] = "cancelled",
	NULL,
};

static int read_word(const char *text, char *to)
{
	size_t len = strlen(text);

	if (!len || len > JOB_WORD_MAX ||
		strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") != len)
		return -EINVAL;
	strcpy(to, text);
	return 0;
}

#define NUMBER(member, least)                                                       \
	{                                                                           \
		.key = #member, .kind = FIELD_NUMBER, FIELD_AT(job_report, member), \
		.needed = true, .min = least, .max = INT64_MAX                      \
	}

const struct field job_report_fields[] = {
	NUMBER(id, 1),
	{.key = "job",
		.kind = FIELD_TEXT,
		FIELD_AT(job_report, job),
		.needed = true,
		.max = JOB_WORD_MAX,
		.read = read_word},
	{.key = "state",
		.kind = FIELD_ENUM,
		FIELD_AT(job_report, state),
		.needed = true,
		.names = job_states},
	NUMBER(done, 0),
	NUMBER(total, 0),
	{.key = NULL},
};
