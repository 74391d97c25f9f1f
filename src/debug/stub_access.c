/* SPDX-License-Identifier: Apache-2.0 */
/* gdb's packets that read and write registers, memory and the list of breakpoints. */
#include "debug/stub_private.h"
#include "debug/registers.h"

void stub_read_registers(struct stub *stub)
{
	uint8_t reg[REGISTER_MAX];

	stub->target->get_state(stub->ctx, stub->current, &stub->state);
	packet_start(&stub->out);
	for (unsigned i = 0; i < registers_count(); i++) {
		registers_read(&stub->state, i, reg);
		packet_hex(&stub->out, reg, registers_size(i));
	}
	stub_send(stub);
}

static void set_state(struct stub *stub)
{
	if (stub->target->set_state(stub->ctx, stub->current, &stub->state) < 0)
		stub_answer_error(stub);
	else
		stub_answer(stub, "OK");
}

/* Fewer registers than there are leave the rest as they are. */
void stub_write_registers(struct stub *stub, struct cursor *c)
{
	uint8_t reg[REGISTER_MAX];

	stub->target->get_state(stub->ctx, stub->current, &stub->state);
	for (unsigned i = 0; i < registers_count() && cursor_left(c); i++) {
		if (!cursor_hex(c, reg, registers_size(i))) {
			stub_answer_error(stub);
			return;
		}
		registers_write(&stub->state, i, reg);
	}
	set_state(stub);
}

void stub_read_register(struct stub *stub, struct cursor *c)
{
	uint8_t reg[REGISTER_MAX];
	uint64_t n;

	if (!cursor_number(c, &n) || n >= registers_count()) {
		stub_answer_error(stub);
		return;
	}
	stub->target->get_state(stub->ctx, stub->current, &stub->state);
	registers_read(&stub->state, n, reg);
	packet_start(&stub->out);
	packet_hex(&stub->out, reg, registers_size(n));
	stub_send(stub);
}

void stub_write_register(struct stub *stub, struct cursor *c)
{
	uint8_t reg[REGISTER_MAX];
	uint64_t n;

	if (!cursor_number(c, &n) || n >= registers_count() || !cursor_take(c, '=') ||
		!cursor_hex(c, reg, registers_size(n))) {
		stub_answer_error(stub);
		return;
	}
	stub->target->get_state(stub->ctx, stub->current, &stub->state);
	registers_write(&stub->state, n, reg);
	set_state(stub);
}

static unsigned memory_of(const struct stub *stub)
{
	return stub->physical ? STUB_PHYSICAL : stub->current;
}

void stub_read_memory(struct stub *stub, struct cursor *c)
{
	uint64_t address, len;

	if (!cursor_pair(c, &address, &len)) {
		stub_answer_error(stub);
		return;
	}
	/* gdb takes less than it asked for. */
	if (len > sizeof stub->memory - 8)
		len = sizeof stub->memory - 8;
	if (stub->target->read(stub->ctx, memory_of(stub), address, stub->memory, len) < 0) {
		stub_answer(stub, "E14");
		return;
	}
	packet_start(&stub->out);
	packet_hex(&stub->out, stub->memory, len);
	stub_send(stub);
}

void stub_write_memory(struct stub *stub, struct cursor *c, bool binary)
{
	uint64_t address, len;
	bool ok =
		cursor_pair(c, &address, &len) && cursor_take(c, ':') && len <= sizeof stub->memory;

	if (ok)
		ok = binary ? cursor_binary(c, stub->memory, len)
			    : cursor_hex(c, stub->memory, len);
	if (!ok)
		stub_answer_error(stub);
	else if (len &&
		stub->target->write(stub->ctx, memory_of(stub), address, stub->memory, len) < 0)
		stub_answer(stub, "E14");
	else
		stub_answer(stub, "OK");
}

/* Software and hardware breakpoints are the same to an engine. */
void stub_change_breakpoint(struct stub *stub, struct cursor *c, bool insert)
{
	uint64_t type, address, kind;
	unsigned i;

	if (!cursor_number(c, &type) || !cursor_take(c, ',') || !cursor_pair(c, &address, &kind)) {
		stub_answer_error(stub);
		return;
	}
	if (type > 1) {
		stub_answer(stub, "");
		return;
	}
	for (i = 0; i < stub->breakpoints && stub->breakpoint[i] != address; i++)
		;
	if (insert && i == STUB_BREAKPOINTS) {
		stub_answer(stub, "E28");
		return;
	}
	if (insert && i == stub->breakpoints)
		stub->breakpoint[stub->breakpoints++] = address;
	if (!insert && i < stub->breakpoints)
		stub->breakpoint[i] = stub->breakpoint[--stub->breakpoints];
	stub_answer(stub, "OK");
}
