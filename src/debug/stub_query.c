/* SPDX-License-Identifier: Apache-2.0 */
/* gdb's q packets. */
#include <stdlib.h>
#include <string.h>

#include "debug/stub_private.h"
#include "debug/registers.h"

static void thread_list(struct stub *stub)
{
	packet_start(&stub->out);
	for (unsigned i = 0; i < stub_vcpus(stub); i++) {
		packet_text(&stub->out, i ? "," : "m");
		packet_number(&stub->out, i + 1);
	}
	stub_send(stub);
}

static void thread_info(struct stub *stub, struct cursor *c)
{
	unsigned vcpu = 0;
	char text[32];

	if (!stub_thread_id(stub, c, &vcpu)) {
		stub_answer_error(stub);
		return;
	}
	snprintf(text, sizeof text, "processor %u", vcpu);
	packet_start(&stub->out);
	packet_hex(&stub->out, text, strlen(text));
	stub_send(stub);
}

static void description(struct stub *stub, struct cursor *c)
{
	uint64_t offset, len;
	size_t room;

	if (!stub->xml)
		stub->xml = registers_xml(&stub->xml_len);
	if (!stub->xml || !cursor_pair(c, &offset, &len)) {
		stub_answer_error(stub);
		return;
	}
	packet_start(&stub->out);
	if (offset > stub->xml_len)
		offset = stub->xml_len;
	room = packet_room(&stub->out) - 1;
	if (len > room)
		len = room;
	if (len < stub->xml_len - offset) {
		packet_text(&stub->out, "m");
	} else {
		packet_text(&stub->out, "l");
		len = stub->xml_len - offset;
	}
	packet_binary(&stub->out, stub->xml + offset, len);
	stub_send(stub);
}

/* "monitor LINE" */
static void command(struct stub *stub, struct cursor *c)
{
	size_t len = cursor_left(c) / 2, text_len = 0;
	char *text = NULL;
	FILE *out;

	if (!stub->target->command || cursor_left(c) % 2 || len >= sizeof stub->memory ||
		!cursor_hex(c, stub->memory, len)) {
		stub_answer_error(stub);
		return;
	}
	stub->memory[len] = '\0';
	out = open_memstream(&text, &text_len);
	if (!out) {
		stub_answer_error(stub);
		return;
	}
	stub->target->command(stub->ctx, (char *)stub->memory, out);
	fclose(out);
	/* As console output, piece by piece; then the answer. */
	for (size_t at = 0; text && at < text_len; at += PACKET_MAX / 4) {
		size_t piece = text_len - at < PACKET_MAX / 4 ? text_len - at : PACKET_MAX / 4;

		packet_start(&stub->out);
		packet_text(&stub->out, "O");
		packet_hex(&stub->out, text + at, piece);
		stub_send(stub);
	}
	free(text);
	stub_answer(stub, "OK");
}

void stub_query(struct stub *stub, struct cursor *c)
{
	if (cursor_word(c, "Supported")) {
		packet_start(&stub->out);
		packet_text(&stub->out, "PacketSize=");
		packet_number(&stub->out, PACKET_MAX);
		packet_text(&stub->out,
			";qXfer:features:read+;QStartNoAckMode+;vContSupported+;"
			"hwbreak+;swbreak+");
		stub_send(stub);
	} else if (cursor_word(c, "Xfer:features:read:target.xml:")) {
		description(stub, c);
	} else if (cursor_word(c, "fThreadInfo")) {
		thread_list(stub);
	} else if (cursor_word(c, "sThreadInfo")) {
		stub_answer(stub, "l");
	} else if (cursor_word(c, "ThreadExtraInfo,")) {
		thread_info(stub, c);
	} else if (cursor_word(c, "Rcmd,")) {
		command(stub, c);
	} else if (cursor_word(c, "qemu.PhyMemMode")) {
		stub_answer(stub, stub->physical ? "1" : "0");
	} else if (cursor_word(c, "Attached")) {
		stub_answer(stub, "1");
	} else if (cursor_word(c, "C")) {
		packet_start(&stub->out);
		packet_text(&stub->out, "QC");
		packet_number(&stub->out, stub->current + 1);
		stub_send(stub);
	} else {
		stub_answer(stub, "");
	}
}

/* Q packets. qemu.PhyMemMode is QEMU's: what m, M and X are about from then on. */
void stub_set(struct stub *stub, struct cursor *c)
{
	uint64_t value;

	if (cursor_word(c, "StartNoAckMode")) {
		stub_answer(stub, "OK");
		stub->no_ack = true;
	} else if (cursor_word(c, "qemu.PhyMemMode:") && cursor_number(c, &value)) {
		stub->physical = value;
		stub_answer(stub, "OK");
	} else {
		stub_answer(stub, "");
	}
}
