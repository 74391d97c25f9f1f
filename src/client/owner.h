/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose a guest is, where its name alone does not say: the daemon writes UID/NAME, people USER/NAME. Users'
 * names are looked up here, so that the daemon waits for no directory of users.
 */
#ifndef DACH_CLIENT_OWNER_H
#define DACH_CLIENT_OWNER_H

#include <jansson.h>
#include <stddef.h>

/* USER/NAME as UID/NAME in buf; the same pointer where it is something else or does not fit. */
const char *owner_number(const char *ref, char *buf, size_t size);
/* The other way, in each guest of an answer that has one or a list of them. */
void owner_name(json_t *answer);

#endif
