/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs of 'dach image' that are about a disk's file. */
#ifndef DACH_CLI_IMAGE_H
#define DACH_CLI_IMAGE_H

#include "cli/cli.h"

extern const struct option_spec image_resize_options[];

int image_info(struct cli *cli);
int image_resize(struct cli *cli);

#endif
