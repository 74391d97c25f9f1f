/* SPDX-License-Identifier: Apache-2.0 */
/* The gdb stub: what gdb says, and what gdb would never say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "debug/registers.h"
#include "stub_rig.h"

struct test {
	struct rig rig;
	struct stub *stub;
};

static int setup(void **state)
{
	struct test *t = calloc(1, sizeof *t);

	t->stub = stub_create(&rig_target, &t->rig);
	for (unsigned i = 0; i < RIG_SIZE; i++)
		t->rig.memory[i] = i;
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct test *t = *state;

	stub_destroy(t->stub);
	free(t);
	return 0;
}

/* Sends one packet and returns the content of the answer, "" if there is none. */
static const char *ask(struct test *t, const char *content, size_t len)
{
	static char answer[sizeof t->rig.sent];
	char packet[3 * PACKET_MAX];
	uint8_t sum = 0;
	char *start, *end;
	int n;

	for (size_t i = 0; i < len; i++)
		sum += content[i];
	packet[0] = '$';
	memcpy(packet + 1, content, len);
	n = snprintf(packet + 1 + len, 4, "#%02x", sum);
	t->rig.sent_len = 0;
	t->rig.sent[0] = '\0';
	stub_input(t->stub, packet, 1 + len + n);
	start = memrchr(t->rig.sent, '$', t->rig.sent_len);
	if (!start)
		return "";
	snprintf(answer, sizeof answer, "%s", start + 1);
	end = strrchr(answer, '#');
	assert_non_null(end);
	sum = 0;
	for (char *c = answer; c < end; c++)
		sum += *c;
	assert_int_equal(strtoul(end + 1, NULL, 16), sum);
	*end = '\0';
	return answer;
}

#define ASK(t, text) ask(t, text, strlen(text))

static void test_registers(void **state)
{
	struct test *t = *state;
	char all[PACKET_MAX], one[64];
	size_t at = 0;

	t->rig.state[0].gpr[RBX] = 0x1122334455667788;
	t->rig.state[1].cr3 = 0xabc000;
	t->rig.state[0].seg[SEG_FS].selector = 0x1234;
	t->rig.state[0].seg[SEG_FS].attr = 0xffff;
	assert_string_equal(ASK(t, "p1"), "8877665544332211");
	assert_string_equal(ASK(t, "p16"), "34120000");
	snprintf(all, sizeof all, "%s", ASK(t, "g"));
	for (unsigned i = 0; i < registers_count(); i++) {
		snprintf(one, sizeof one, "p%x", i);
		assert_memory_equal(ASK(t, one), all + at, 2 * registers_size(i));
		at += 2 * registers_size(i);
	}
	assert_int_equal(strlen(all), at);
	/* Written back as read, nothing changes. */
	char write[PACKET_MAX + 1] = "G";
	strcat(write, all);
	assert_string_equal(ASK(t, write), "OK");
	assert_string_equal(ASK(t, "g"), all);
	assert_string_equal(ASK(t, "P10=0001000000000080"), "OK");
	assert_int_equal(t->rig.state[0].rip, 0x8000000000000100);
	assert_string_equal(ASK(t, "P10=ad0b000000000000"), "E22");
	assert_string_equal(ASK(t, "Hg2"), "OK");
	assert_string_equal(ASK(t, "P0=0500000000000000"), "OK");
	assert_int_equal(t->rig.state[1].gpr[RAX], 5);
	assert_int_equal(t->rig.state[0].gpr[RAX], 0);
}

/* Vector registers that were never saved read as a processor starts, and become valid. */
static void test_vectors(void **state)
{
	struct test *t = *state;
	struct cpu_state *s = &t->rig.state[0];
	uint8_t reg[REGISTER_MAX] = {1, 2, 3};

	memset(s->xsave, 0xff, 512);
	for (unsigned i = 0; i < registers_count(); i++)
		if (registers_size(i) == 16) {
			registers_read(s, i, reg);
			assert_int_equal(reg[0], 0);
			reg[0] = 7;
			registers_write(s, i, reg);
			break;
		}
	assert_int_equal(s->xsave[512], 2);
	assert_int_equal(s->xsave[160], 7);
	assert_int_equal(s->xsave[160 + 16], 0);
	assert_int_equal(s->xsave[160 + 256], 0xff);
}

static void test_memory(void **state)
{
	struct test *t = *state;

	assert_string_equal(ASK(t, "mffff800000001001,4"), "01020304");
	assert_string_equal(ASK(t, "Mffff800000001001,2:aabb"), "OK");
	assert_string_equal(ASK(t, "mffff800000001000,4"), "00aabb03");
	assert_string_equal(ASK(t, "Xffff800000001002,0:"), "OK");
	assert_string_equal(ASK(t, "Xffff800000001002,2:}\x03q"), "OK");
	assert_string_equal(ASK(t, "mffff800000001000,4"), "00aa2371");
	assert_string_equal(ASK(t, "m0,4"), "E14");
	assert_string_equal(ASK(t, "mffff800000004ffe,4"), "E14");
	assert_string_equal(ASK(t, "mffffffffffffffff,4"), "E14");
	assert_string_equal(ASK(t, "Qqemu.PhyMemMode:1"), "OK");
	assert_string_equal(ASK(t, "m0,4"), "00aa2371");
	assert_string_equal(ASK(t, "Qqemu.PhyMemMode:0"), "OK");
	assert_string_equal(ASK(t, "m0,4"), "E14");
	/* Less than asked for, but not more than a packet holds. */
	assert_in_range(strlen(ASK(t, "mffff800000001000,ffffffffffffffff")), 1000, 8192);
}

static void test_running(void **state)
{
	struct test *t = *state;

	assert_string_equal(ASK(t, "?"), "T05thread:1;");
	assert_string_equal(ASK(t, "Z0,1234,1"), "OK");
	assert_string_equal(ASK(t, "Z1,1234,1"), "OK");
	assert_string_equal(ASK(t, "Z2,1234,1"), "");
	assert_string_equal(ASK(t, "c"), "");
	assert_int_equal(t->rig.only, -1);
	assert_int_equal(t->rig.debug[1].breakpoints, 1);
	assert_int_equal(t->rig.debug[1].breakpoint[0], 0x1234);
	assert_true(stub_running(t->stub));
	/* Deaf while the guest runs. */
	assert_string_equal(ASK(t, "g"), "");
	stub_stopped(t->stub, 1, STUB_SIGTRAP);
	assert_non_null(strstr(t->rig.sent, "T05thread:2;"));
	assert_string_equal(ASK(t, "vCont;s:2"), "");
	assert_int_equal(t->rig.only, 1);
	assert_true(t->rig.debug[1].step && !t->rig.debug[0].step);
	t->rig.sent_len = 0;
	stub_input(t->stub, "\x03", 1);
	assert_int_equal(t->rig.paused, 1);
	assert_non_null(strstr(t->rig.sent, "$T02"));
	assert_string_equal(ASK(t, "vCont;s:1;c"), "");
	assert_int_equal(t->rig.only, -1);
	assert_true(t->rig.debug[0].step && !t->rig.debug[1].step);
	stub_stopped(t->stub, 0, STUB_SIGTRAP);
	/* One that is not running has nothing to tell. */
	t->rig.sent_len = 0;
	stub_stopped(t->stub, 0, STUB_SIGTRAP);
	assert_int_equal(t->rig.sent_len, 0);
	assert_string_equal(ASK(t, "z0,1234,1"), "OK");
	assert_string_equal(ASK(t, "D"), "OK");
	assert_int_equal(t->rig.detached, 1);
	assert_int_equal(t->rig.debug[0].breakpoints, 0);
	ASK(t, "k");
	assert_int_equal(t->rig.killed, 1);
}

static void test_breakpoints(void **state)
{
	struct test *t = *state;
	char text[64];

	for (unsigned i = 0; i < STUB_BREAKPOINTS; i++) {
		snprintf(text, sizeof text, "Z0,%x,1", i * 16);
		assert_string_equal(ASK(t, text), "OK");
	}
	assert_string_equal(ASK(t, "Z0,0,1"), "OK");
	assert_string_equal(ASK(t, "Z0,1,1"), "E28");
	assert_string_equal(ASK(t, "z0,10,1"), "OK");
	assert_string_equal(ASK(t, "Z0,1,1"), "OK");
}

static void test_queries(void **state)
{
	struct test *t = *state;
	char text[64], xml[1 << 16] = "";
	size_t at = 0;
	const char *piece;

	assert_non_null(strstr(ASK(t, "qSupported:multiprocess+"), "qXfer:features:read+"));
	assert_string_equal(ASK(t, "qfThreadInfo"), "m1,2");
	assert_string_equal(ASK(t, "qsThreadInfo"), "l");
	assert_string_equal(ASK(t, "qC"), "QC1");
	assert_string_equal(ASK(t, "T2"), "OK");
	assert_string_equal(ASK(t, "T3"), "E22");
	assert_string_equal(ASK(t, "vMustReplyEmpty"), "");
	do {
		snprintf(text, sizeof text, "qXfer:features:read:target.xml:%zx,3e7", at);
		piece = ASK(t, text);
		strcat(xml, piece + 1);
		at += strlen(piece + 1);
		assert_true(at < sizeof xml / 2);
	} while (piece[0] == 'm');
	assert_int_equal(piece[0], 'l');
	assert_non_null(strstr(xml, "</target>"));
	assert_non_null(strstr(xml, "\"fs_base\""));
	assert_string_equal(ASK(t, "qXfer:features:read:target.xml:ffffffffffffffff,fff"), "l");
	ASK(t, "qRcmd,6869");
	assert_non_null(strstr(t->rig.sent, "$O796f7520736169642068690a#"));
	assert_non_null(strstr(t->rig.sent, "$OK#"));
	/* Acknowledgements, until they are switched off. */
	assert_int_equal(t->rig.sent[0], '+');
	ASK(t, "QStartNoAckMode");
	ASK(t, "qC");
	assert_int_equal(t->rig.sent[0], '$');
}

static void test_bad(void **state)
{
	static const char *const bad[] = {"p", "pffff", "p11111111111111111", "P", "P0",
		"P0=", "P0=12", "P0=xx00000000000000", "Pffff=00", "G1", "G0", "m", "m,", "m1",
		"m1,", "mx,1", "m11111111111111111,1", "M", "M0,1", "M0,1:", "M0,1:g0",
		"M0,ffffffffffffffff:00", "X", "X0,1:", "X0,2:}", "X0,ffffffff:0", "Z", "Z0", "Z0,",
		"Z0,1", "H", "Hg", "Hg9", "Hx1", "T", "Tffffffffffffffff", "C", "Cx", "vCont;",
		"vCont;x", "vCont;s:9", "vCont;s:", "vCont;c:1:", "vCont;S", "qThreadExtraInfo,",
		"qRcmd,0", "qRcmd,zz",
		"qXfer:features:read:target.xml:", "qXfer:features:read:target.xml:0", "cx", "sx"};
	struct test *t = *state;
	char *huge = malloc(20000);
	struct rig before;

	memcpy(&before, &t->rig, offsetof(struct rig, sent));
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		const char *answer = ASK(t, bad[i]);

		if (answer[0] != 'E')
			fail_msg("%s: %s", bad[i], answer);
	}
	assert_string_equal(ASK(t, ""), "");
	assert_string_equal(ASK(t, "!"), "");
	assert_memory_equal(&before, &t->rig, offsetof(struct rig, sent));
	/* A wrong checksum, no checksum, a packet that is cut off by another. */
	t->rig.sent_len = 0;
	stub_input(t->stub, "$qC#00", 6);
	assert_memory_equal(t->rig.sent, "-", 2);
	stub_input(t->stub, "$qC#x", 5);
	stub_input(t->stub, "$q$qC#b4", 8);
	assert_non_null(strstr(t->rig.sent, "$QC1#"));
	/* Too long, and what follows is heard again. */
	memset(huge, 'a', 20000);
	huge[0] = '$';
	stub_input(t->stub, huge, 20000);
	t->rig.sent_len = 0;
	stub_input(t->stub, "#00", 3);
	assert_int_equal(t->rig.sent[0], '-');
	assert_string_equal(ASK(t, "qC"), "QC1");
	/* The last answer again. */
	t->rig.sent_len = 0;
	stub_input(t->stub, "-", 1);
	assert_string_equal(t->rig.sent, "$QC1#c5");
	free(huge);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_registers),
		TEST(test_vectors),
		TEST(test_memory),
		TEST(test_running),
		TEST(test_breakpoints),
		TEST(test_queries),
		TEST(test_bad),
	};

	return cmocka_run_group_tests_name("gdb", tests, NULL, NULL);
}
