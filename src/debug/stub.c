/* SPDX-License-Identifier: Apache-2.0 */
#include "debug/stub.h"

#include <stdlib.h>
#include <string.h>

#include "debug/stub_private.h"

void stub_send(struct stub *stub)
{
	packet_end(&stub->out);
	stub->target->send(stub->ctx, stub->out.content, stub->out.len);
}

void stub_answer(struct stub *stub, const char *text)
{
	packet_start(&stub->out);
	packet_text(&stub->out, text);
	stub_send(stub);
}

void stub_answer_error(struct stub *stub)
{
	stub_answer(stub, "E22");
}

static void answer_stop(struct stub *stub)
{
	packet_start(&stub->out);
	packet_text(&stub->out, "T");
	packet_hex(&stub->out, &(uint8_t){stub->signal}, 1);
	packet_text(&stub->out, "thread:");
	packet_number(&stub->out, stub->stopped + 1);
	packet_text(&stub->out, ";");
	stub_send(stub);
}

bool stub_thread_id(struct stub *stub, struct cursor *c, unsigned *vcpu)
{
	uint64_t id;

	if (cursor_word(c, "-1"))
		return true;
	if (!cursor_number(c, &id) || id > stub_vcpus(stub))
		return false;
	if (id)
		*vcpu = id - 1;
	return true;
}

static void tell_breakpoints(struct stub *stub, int step)
{
	struct engine_debug debug = {.breakpoints = stub->breakpoints};

	memcpy(debug.breakpoint, stub->breakpoint, stub->breakpoints * sizeof *stub->breakpoint);
	for (unsigned i = 0; i < stub_vcpus(stub); i++) {
		debug.step = (int)i == step;
		stub->target->debug(stub->ctx, i, &debug);
	}
}

/* step: the vCPU that goes one instruction; only: the one that runs; or -1. */
static void go(struct stub *stub, int step, int only)
{
	tell_breakpoints(stub, step);
	stub->stepping = step;
	stub->running = true;
	stub->target->resume(stub->ctx, only);
}

void stub_stopped(struct stub *stub, unsigned vcpu, int signal)
{
	if (!stub->running || vcpu >= stub_vcpus(stub))
		return;
	stub->running = false;
	stub->current = stub->stopped = vcpu;
	stub->signal = signal;
	answer_stop(stub);
}

void stub_exited(struct stub *stub, unsigned status)
{
	stub->running = false;
	packet_start(&stub->out);
	packet_text(&stub->out, "W");
	packet_hex(&stub->out, &(uint8_t){status}, 1);
	stub_send(stub);
}

void stub_release(struct stub *stub)
{
	if (stub->running && (stub->breakpoints || stub->stepping >= 0)) {
		stub->target->pause(stub->ctx);
		stub->running = false;
	}
	stub->breakpoints = 0;
	if (!stub->running)
		go(stub, -1, -1);
}

bool stub_running(const struct stub *stub)
{
	return stub->running;
}

/* c, s and their forms with an address. */
static void resume(struct stub *stub, struct cursor *c, bool step)
{
	uint64_t address;

	if (cursor_left(c)) {
		if (!cursor_number(c, &address)) {
			stub_answer_error(stub);
			return;
		}
		stub->target->get_state(stub->ctx, stub->current, &stub->state);
		stub->state.rip = address;
		if (stub->target->set_state(stub->ctx, stub->current, &stub->state) < 0) {
			stub_answer_error(stub);
			return;
		}
	}
	go(stub, step ? (int)stub->current : -1, step ? (int)stub->current : -1);
}

/*
 * vCont;action[:thread]... The first action that names a vCPU counts for it. At most one steps;
 * if none of the others is told to go on, it runs alone.
 */
static void resume_threads(struct stub *stub, struct cursor *c)
{
	int step = -1, alone = -1;
	bool others = false, any = false;

	while (cursor_take(c, ';')) {
		char action = cursor_left(c) ? *c->at++ : 0;
		unsigned vcpu = ~0u;
		uint64_t signal;

		if ((action == 'C' || action == 'S') && !cursor_number(c, &signal))
			break;
		if (cursor_take(c, ':') && !stub_thread_id(stub, c, &vcpu))
			break;
		if (action == 's' || action == 'S') {
			if (step < 0)
				step = vcpu == ~0u ? stub->current : vcpu;
		} else if (action == 'c' || action == 'C') {
			if (vcpu == ~0u)
				others = true;
			else if (step < 0 && alone < 0)
				alone = vcpu;
			else if ((int)vcpu != step)
				others = true;
		} else {
			break;
		}
		any = true;
	}
	if (!any || cursor_left(c)) {
		stub_answer_error(stub);
		return;
	}
	if (stub_vcpus(stub) == 1)
		others = false;
	go(stub, step, others ? -1 : step >= 0 ? step : alone);
}

static void set_thread(struct stub *stub, struct cursor *c)
{
	unsigned vcpu = stub->current;
	char what = cursor_left(c) ? *c->at++ : 0;

	if ((what != 'g' && what != 'c') || !stub_thread_id(stub, c, &vcpu)) {
		stub_answer_error(stub);
		return;
	}
	stub->current = vcpu;
	stub_answer(stub, "OK");
}

static void detach(struct stub *stub)
{
	stub_answer(stub, "OK");
	stub_release(stub);
	stub->target->detached(stub->ctx);
}

/* Packets about running and about the connection; false if it is none of them. */
static bool control_packet(struct stub *stub, char kind, struct cursor *c)
{
	uint64_t signal;

	switch (kind) {
	case '?':
		answer_stop(stub);
		return true;
	case 'C':
	case 'S': /* a signal for the guest: there is no such thing */
		if (!cursor_number(c, &signal)) {
			stub_answer_error(stub);
			return true;
		}
		cursor_take(c, ';');
		resume(stub, c, kind == 'S');
		return true;
	case 'c':
	case 's':
		resume(stub, c, kind == 's');
		return true;
	case 'v':
		if (cursor_word(c, "Cont?"))
			stub_answer(stub, "vCont;c;C;s;S");
		else if (cursor_word(c, "Cont"))
			resume_threads(stub, c);
		else if (cursor_word(c, "Kill")) {
			stub_answer(stub, "OK");
			stub->target->kill(stub->ctx);
		} else
			stub_answer(stub, "");
		return true;
	case 'k':
		stub->target->kill(stub->ctx);
		return true;
	case 'D':
		detach(stub);
		return true;
	}
	return false;
}

static void packet(struct stub *stub)
{
	struct cursor c = {stub->in.content, stub->in.content + stub->in.len};
	char kind = cursor_left(&c) ? *c.at++ : 0;
	unsigned vcpu = 0;

	/* While the guest runs there is little to say. */
	if (stub->running && kind != 'k' && kind != 'D')
		return;
	if (control_packet(stub, kind, &c))
		return;
	switch (kind) {
	case 'g':
		stub_read_registers(stub);
		break;
	case 'G':
		stub_write_registers(stub, &c);
		break;
	case 'p':
		stub_read_register(stub, &c);
		break;
	case 'P':
		stub_write_register(stub, &c);
		break;
	case 'm':
		stub_read_memory(stub, &c);
		break;
	case 'M':
	case 'X':
		stub_write_memory(stub, &c, kind == 'X');
		break;
	case 'Z':
	case 'z':
		stub_change_breakpoint(stub, &c, kind == 'Z');
		break;
	case 'H':
		set_thread(stub, &c);
		break;
	case 'T':
		if (stub_thread_id(stub, &c, &vcpu))
			stub_answer(stub, "OK");
		else
			stub_answer_error(stub);
		break;
	case 'q':
		stub_query(stub, &c);
		break;
	case 'Q':
		stub_set(stub, &c);
		break;
	default:
		stub_answer(stub, "");
	}
}

void stub_input(struct stub *stub, const void *data, size_t len)
{
	const uint8_t *byte = data;

	for (size_t i = 0; i < len; i++) {
		switch (packet_byte(&stub->in, byte[i])) {
		case PACKET_NONE:
			break;
		case PACKET_OK:
			if (!stub->no_ack)
				stub->target->send(stub->ctx, "+", 1);
			packet(stub);
			break;
		case PACKET_BAD:
			if (!stub->no_ack)
				stub->target->send(stub->ctx, "-", 1);
			break;
		case PACKET_NACK:
			if (stub->out.len && !stub->no_ack)
				stub->target->send(stub->ctx, stub->out.content, stub->out.len);
			break;
		case PACKET_INTERRUPT:
			if (stub->running) {
				stub->target->pause(stub->ctx);
				stub_stopped(stub, stub->current, STUB_SIGINT);
			}
			break;
		}
	}
}

struct stub *stub_create(const struct stub_target *target, void *ctx)
{
	struct stub *stub = calloc(1, sizeof *stub);

	if (!stub)
		return NULL;
	stub->target = target;
	stub->ctx = ctx;
	stub->signal = STUB_SIGTRAP;
	stub->stepping = -1;
	return stub;
}

void stub_destroy(struct stub *stub)
{
	if (!stub)
		return;
	free(stub->xml);
	free(stub);
}
