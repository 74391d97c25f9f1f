/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of the command line. Each gets its own words, argv[0] being the verb. */
#ifndef DACH_CLI_CLI_H
#define DACH_CLI_CLI_H

/* Exit status: what everything but a guest's own end gives when it fails. */
#define CLI_FAILURE 1

/* They return the program's exit status. */
int cli_run(int argc, char **argv);
int cli_image(int argc, char **argv);

#endif
