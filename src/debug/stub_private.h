/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the gdb stub share. */
#ifndef DACH_DEBUG_STUB_PRIVATE_H
#define DACH_DEBUG_STUB_PRIVATE_H

#include "debug/stub.h"
#include "debug/packet.h"

struct stub {
	const struct stub_target *target;
	void *ctx;
	bool no_ack, running;
	bool physical;    /* m, M and X are about physical addresses */
	unsigned current; /* the vCPU that g, m and step are about */
	unsigned stopped; /* the one that stopped last */
	int signal;       /* why */
	int stepping;     /* the vCPU that has been told to step, or -1 */
	unsigned breakpoints;
	uint64_t breakpoint[STUB_BREAKPOINTS];
	char *xml;
	size_t xml_len;
	struct packet_reader in;
	struct packet_writer out; /* the last answer is kept for a peer that asks again */
	uint8_t memory[PACKET_MAX / 2];
	struct cpu_state state;
};

static inline unsigned stub_vcpus(const struct stub *stub)
{
	return stub->target->vcpus(stub->ctx);
}

/* Sends stub->out. */
void stub_send(struct stub *stub);
void stub_answer(struct stub *stub, const char *text);
void stub_answer_error(struct stub *stub);
/* A thread id: false if it names no vCPU. 0 and -1 (any, all) leave *vcpu as it is. */
bool stub_thread_id(struct stub *stub, struct cursor *c, unsigned *vcpu);

/* One packet each; what follows its letter is in c. */
void stub_read_registers(struct stub *stub);
void stub_write_registers(struct stub *stub, struct cursor *c);
void stub_read_register(struct stub *stub, struct cursor *c);
void stub_write_register(struct stub *stub, struct cursor *c);
void stub_read_memory(struct stub *stub, struct cursor *c);
void stub_write_memory(struct stub *stub, struct cursor *c, bool binary);
void stub_change_breakpoint(struct stub *stub, struct cursor *c, bool insert);
void stub_query(struct stub *stub, struct cursor *c);
void stub_set(struct stub *stub, struct cursor *c);

#endif
