/* SPDX-License-Identifier: Apache-2.0 */
/* Symbol tables: text and ELF. */
#include "base/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = {""};
	struct symbols *s;
	uint64_t offset;

	if (symbols_parse(data, size, "input", &s, &err))
		return 0;
	for (unsigned shift = 0; shift < 64; shift += 3)
		symbols_find(s, ~0ull >> shift, &offset);
	symbols_address(s, "main");
	symbols_free(s);
	return 0;
}
