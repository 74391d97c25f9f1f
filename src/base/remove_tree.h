/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DACH_BASE_REMOVE_TREE_H
#define DACH_BASE_REMOVE_TREE_H

/*
 * Removes the folder with all that is in it, as many files as there are, as deep as they lie; no link is followed. What cannot
 * go stays. May be called between fork and exec.
 */
void remove_tree(const char *path);

#endif
