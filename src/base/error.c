/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int error_set(struct error *err, int code, const char *fmt, ...)
{
	if (err && !err->text[0]) {
		va_list args;

		va_start(args, fmt);
		vsnprintf(err->text, sizeof err->text, fmt, args);
		va_end(args);
		for (char *c = err->text; *c; c++)
			if ((unsigned char)*c < ' ' || *c == 127)
				*c = '?';
	}
	return -code;
}

int error_nomem(struct error *err)
{
	return error_set(err, ENOMEM, "out of memory");
}
