/* SPDX-License-Identifier: Apache-2.0 */
/* Folders that a guest has filled and nobody wants any more: as many files as it liked, as deep as it liked. */
#ifndef DACH_DAEMON_WASTE_H
#define DACH_DAEMON_WASTE_H

/* Removes it with all that is in it, in a process of its own that nobody waits for. */
void waste_remove(const char *path);
/* What in the folder has a name that ends so: a daemon before this one, or the host, has ended meanwhile. */
void waste_sweep(const char *path, const char *ending);

#endif
