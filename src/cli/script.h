/* SPDX-License-Identifier: Apache-2.0 */
/* Finds that standard input is a script which the shell that started us is still reading. */
#ifndef DACH_CLI_SCRIPT_H
#define DACH_CLI_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

/* False too where /proc does not tell. */
bool script_is_input(void);
/* A process with these arguments, each with a zero behind it, is a shell that reads its standard input. */
bool script_shell_reads(const char *arguments, size_t len);

#endif
