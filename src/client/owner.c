/* SPDX-License-Identifier: Apache-2.0 */
#include "client/owner.h"

#include <ctype.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USER_MAX 64 /* bytes of a user's name, with its end */

static bool all_digits(const char *text)
{
	return *text && !text[strspn(text, "0123456789")];
}

const char *owner_number(const char *ref, char *buf, size_t size)
{
	const char *slash = strchr(ref, '/');
	char user[USER_MAX];
	const struct passwd *entry;

	if (!slash || slash == ref || slash - ref >= USER_MAX)
		return ref;
	memcpy(user, ref, slash - ref);
	user[slash - ref] = 0;
	entry = all_digits(user) ? NULL : getpwnam(user);
	if (!entry || snprintf(buf, size, "%u%s", entry->pw_uid, slash) >= size)
		return ref;
	return buf;
}

/* Of use in a command, and to be read back as it was. */
static bool is_plain(const char *user)
{
	if (!*user || all_digits(user) || strlen(user) >= USER_MAX)
		return false;
	for (; *user; user++)
		if (!isalnum((unsigned char)*user) && !strchr("._-", *user))
			return false;
	return true;
}

static void name_one(json_t *guest)
{
	const char *ref = json_string_value(json_object_get(guest, "ref"));
	const char *slash = ref ? strchr(ref, '/') : NULL;
	const struct passwd *entry;
	char *end;
	unsigned long uid = slash ? strtoul(ref, &end, 10) : 0;

	if (!slash || end != slash || !isdigit((unsigned char)*ref) || uid > UINT32_MAX)
		return;
	entry = getpwuid((uid_t)uid);
	if (entry && is_plain(entry->pw_name))
		json_object_set_new(guest, "ref", json_sprintf("%s%s", entry->pw_name, slash));
}

void owner_name(json_t *answer)
{
	json_t *guest;
	size_t i;

	name_one(answer);
	json_array_foreach(json_object_get(answer, "guests"), i, guest)
	{
		name_one(guest);
	}
}
