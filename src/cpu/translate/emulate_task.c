/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/emulate.h"
enum outcome task_switch(struct vcpu *v, uint16_t selector, enum task_cause cause, uint64_t next,
	bool has_error, uint32_t error, unsigned ext)
{
	return fault_raise_error(v, EXC_TS, (selector & 0xfffc) | ext);
}
