/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_model.h"

#include <string.h>

static const uint8_t zeroes[MODEL_SECTOR];

uint64_t model_hash(const void *sector)
{
	const uint64_t *word = sector;
	uint64_t hash = 0;

	for (unsigned i = 0; i < MODEL_SECTOR / 8; i++)
		hash = (hash ^ word[i]) * 0x9e3779b97f4a7c15ull + (hash >> 29);
	return hash;
}

void model_announce(struct model *model, uint64_t offset, const void *bytes, uint64_t length)
{
	for (uint64_t at = 0; at < length; at += MODEL_SECTOR) {
		struct model_sector *sector = &model->sector[(offset + at) / MODEL_SECTOR];
		uint64_t hash = model_hash(bytes ? (const uint8_t *)bytes + at : zeroes);

		if (sector->count < MODEL_PENDING)
			sector->pending[sector->count] = hash;
		if (sector->count <= MODEL_PENDING)
			sector->count++;
	}
}

void model_flushed(struct model *model)
{
	for (uint64_t i = 0; i < MODEL_SECTORS; i++) {
		if (!model->sector[i].count)
			continue;
		model->sector[i].count = 0;
		model->sector[i].stable = model_hash(model->bytes + i * MODEL_SECTOR);
	}
}

static bool may_be(const struct model_sector *sector, uint64_t hash)
{
	if (hash == sector->stable || sector->count > MODEL_PENDING)
		return true;
	for (unsigned i = 0; i < sector->count; i++)
		if (sector->pending[i] == hash)
			return true;
	return false;
}

int64_t model_accept(struct model *model, const uint8_t *bytes)
{
	for (uint64_t i = 0; i < model->size / MODEL_SECTOR; i++)
		if (!may_be(&model->sector[i], model_hash(bytes + i * MODEL_SECTOR)))
			return (int64_t)i;
	memcpy(model->bytes, bytes, model->size);
	for (uint64_t i = 0; i < MODEL_SECTORS; i++)
		model->sector[i] = (struct model_sector){
			.stable = model_hash(model->bytes + i * MODEL_SECTOR)};
	return -1;
}
