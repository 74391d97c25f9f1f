/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/status.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *status_reason(enum vmm_end end)
{
	switch (end) {
	case VMM_POWEROFF:
		return "poweroff";
	case VMM_REBOOT:
		return "reboot";
	case VMM_CRASH:
		return "crash";
	case VMM_STOPPED:
		return "killed";
	case VMM_SAVED:
		return "saved";
	case VMM_SETUP:
	case VMM_ENGINE:
	case VMM_TEST:
		break;
	}
	return "error";
}

void status_write(int fd, enum vmm_end end, const struct error *err)
{
	json_t *said = json_pack("{s:s, s:i}", "reason", status_reason(end), "status", (int)end);
	char *text;

	if (fd < 0 || !said) {
		json_decref(said);
		return;
	}
	/* A sentence may quote a name that is no UTF-8: then it goes without. */
	if (err->text[0])
		json_object_set_new(said, "error", json_string(err->text));
	text = json_dumps(said, JSON_ENSURE_ASCII);
	if (text) {
		size_t len = strlen(text);

		text[len] = '\n';
		/* Nobody is left to be told if it fails; the exit status says most of it. */
		if (pwrite(fd, text, len + 1, 0) < 0)
			len = 0;
		free(text);
	}
	json_decref(said);
}
