/* SPDX-License-Identifier: Apache-2.0 */
/* Disk images in tests. */
#ifndef DACH_TESTS_BLOCK_RIG_H
#define DACH_TESTS_BLOCK_RIG_H

#include "block/block.h"
#include "chain/chain.h"

/* FILE[,ro]..., as behind --disk. */
static inline int rig_block_open(const char *words, struct block_device **block, struct error *err)
{
	struct disk_spec spec;
	int r = disk_spec_parse(words, &spec, err);

	if (r)
		return r;
	if (spec.file[0].format == DISK_QCOW2)
		r = chain_resolve(&spec, &chain_own_rights, false, err);
	if (!r)
		r = block_open(&spec, block, err);
	disk_spec_free(&spec);
	return r;
}

#endif
