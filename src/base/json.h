/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON (jansson) as everybody here wants it: parsed with a sentence for people, and members looked up.
 * Objects whose members are a structure's are read and written by a table: protocol/fields.h.
 */
#ifndef DACH_BASE_JSON_H
#define DACH_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/*
 * The value that the len bytes hold, the caller's to json_decref(). A key that is there twice is
 * refused. NULL: the sentence begins with `what` and names line and column.
 */
json_t *json_parse(const char *text, size_t len, const char *what, struct error *err);

/* Members of an object; 0, "" or false if it is not there or of another type. NULL is allowed. */
long long json_get_number(const json_t *object, const char *key);
double json_get_float(const json_t *object, const char *key);
const char *json_get_text(const json_t *object, const char *key);
bool json_get_true(const json_t *object, const char *key);

#endif
