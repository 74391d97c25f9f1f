/* SPDX-License-Identifier: Apache-2.0 */
/* Which of two versions is the newer: in parts of letters and of digits, as rpm compares them. */
#ifndef DACH_BOOTDISK_VERSION_H
#define DACH_BOOTDISK_VERSION_H

/* Less than, equal to or greater than 0, as strcmp() says it. ~ sorts before the end, ^ behind it. */
int version_compare(const char *left, const char *right);

#endif
