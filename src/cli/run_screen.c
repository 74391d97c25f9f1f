/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_screen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/limits.h"

/* More characters would be as good as none: nobody is to think that they count. */
static int check(const char *file, const char *password, struct error *err)
{
	size_t length = strlen(password);

	if (length && length <= LIMIT_VNC_PASSWORD)
		return 0;
	return error_set(err, EINVAL,
		"--vnc-password: %s: its first line has %zu characters, VNC's passwords have 1 to %d",
		file, length, LIMIT_VNC_PASSWORD);
}

int run_screen_password(struct vmm_config *config, const char *file, struct error *err)
{
	FILE *in = fopen(file, "re");
	char line[256] = "";
	int r;

	if (!in)
		return error_set(err, errno, "--vnc-password: %s: %s", file, strerror(errno));
	if (!fgets(line, sizeof line, in))
		line[0] = 0;
	fclose(in);
	line[strcspn(line, "\n")] = 0;
	r = check(file, line, err);
	if (r)
		return r;
	run_screen_free(config);
	config->vnc_password = strdup(line);
	return config->vnc_password ? 0 : error_nomem(err);
}

void run_screen_free(struct vmm_config *config)
{
	free((char *)config->vnc_password);
	config->vnc_password = NULL;
}
