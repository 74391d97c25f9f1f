/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors that a person reads. A function that can fail returns 0 or a negative
 * errno and, where the cause is known, leaves one sentence in the struct error
 * that its last argument points to: what happened, to what, what to do.
 */
#ifndef DACH_BASE_ERROR_H
#define DACH_BASE_ERROR_H

struct error {
	char text[512]; /* always terminated; empty while nothing failed */
};

/*
 * Sets the sentence (printf style) and returns -code. err may be NULL. A second
 * call keeps the first sentence: the deepest place knows best. A name in it
 * comes from outside as often as not: bytes that no terminal should get
 * (control characters, escape) are replaced by '?'.
 */
int error_set(struct error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* No memory: the sentence, and -ENOMEM. */
int error_nomem(struct error *err);

#endif
