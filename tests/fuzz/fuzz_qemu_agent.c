/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same where the guest's agent is qemu-guest-agent, whose lines the guest sends; and the bytes as the answer that comes
 * later than a fuzzer waits.
 */
#define QEMU_AGENT true
#define LLVMFuzzerTestOneInput fuzz_conversation
#include "fuzz_exec.c"
#undef LLVMFuzzerTestOneInput

#include "base/json.h"
#include "vmm/qemu_words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *answer = json_parse((const char *)data, size, "answer", NULL);
	struct qemu_status status;

	if (!answer)
		return fuzz_conversation(data, size);
	qemu_words_status(answer, &status);
	json_decref(answer);
	return 0;
}
