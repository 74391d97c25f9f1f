/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lists of system calls, looked at as the kernel does: the filter of each kind of thread is exported and
 * run here for every number that there is and for the arguments that matter. doc/system-calls.md is what comes
 * of it; a list that changes changes that page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monitor/sandbox.h"
#include "vmm/calls.h"

#define NUMBERS 1024 /* more than there are system calls */
#define READER 4321  /* some process */
#define SERVER 4322  /* another, */
#define SCREEN 4323  /* a third, */
#define SOCKET 77    /* and the way to the second */
#define PAGE_PATH TEST_SOURCE_DIR "/../../doc/system-calls.md"

/* The filters */

static const struct role {
	const char *name;
	unsigned role;
} roles[] = {
	{"loop", CALLS_LOOP},
	{"vcpu", CALLS_VCPU},
	{"disk", CALLS_DISK},
	{"net", CALLS_NET},
	{"reader", CALLS_READER},
	{"share", CALLS_SHARE},
	{"server", CALLS_SERVER},
	{"screen", CALLS_SCREEN},
};
#define ROLES (sizeof roles / sizeof *roles)
#define NET 3

static struct filter {
	struct sock_filter code[4096];
	unsigned len;
} filters[ROLES];

/* What a filter says, and whether it looked at an argument for it. */
struct verdict {
	uint32_t action;
	bool by_arguments;
};

static bool jumps(const struct sock_filter *at, uint32_t a)
{
	switch (BPF_OP(at->code)) {
	case BPF_JEQ:
		return a == at->k;
	case BPF_JGT:
		return a > at->k;
	case BPF_JGE:
		return a >= at->k;
	case BPF_JSET:
		return a & at->k;
	}
	fail_msg("a jump that is not known: %#x", at->code);
	return false;
}

static struct verdict run(const struct filter *filter, const struct seccomp_data *data)
{
	struct verdict verdict = {0};
	uint32_t a = 0;

	for (unsigned pc = 0; pc < filter->len; pc++) {
		const struct sock_filter *at = &filter->code[pc];

		switch (BPF_CLASS(at->code)) {
		case BPF_LD:
			assert_int_equal(at->code, BPF_LD | BPF_W | BPF_ABS);
			memcpy(&a, (const char *)data + at->k, sizeof a);
			verdict.by_arguments |= at->k >= offsetof(struct seccomp_data, args);
			break;
		case BPF_ALU:
			assert_int_equal(at->code, BPF_ALU | BPF_AND | BPF_K);
			a &= at->k;
			break;
		case BPF_JMP:
			if (BPF_OP(at->code) == BPF_JA)
				pc += at->k;
			else
				pc += jumps(at, a) ? at->jt : at->jf;
			break;
		case BPF_RET:
			verdict.action = at->k;
			return verdict;
		default:
			fail_msg("an instruction that is not known: %#x", at->code);
		}
	}
	fail_msg("a filter without an end");
	return verdict;
}

static struct verdict ask(unsigned role, int nr, const uint64_t args[6])
{
	struct seccomp_data data = {.nr = nr, .arch = AUDIT_ARCH_X86_64};

	if (args)
		memcpy(data.args, args, sizeof data.args);
	return run(&filters[role], &data);
}

static bool allows(unsigned role, int nr, uint64_t a, uint64_t b, uint64_t c)
{
	return ask(role, nr, (const uint64_t[6]){a, b, c}).action == SECCOMP_RET_ALLOW;
}

/* A daemon's monitor that has all there is: KVM, a network, a disk with a kernel on it, Landlock. */
static int make_filters(void **state)
{
	struct vmm_needs needs = {.kvm = true,
		.user = true,
		.tap = true,
		.native = true,
		.clones = true,
		.reader = READER,
		.shares = 1,
		.server = {SERVER},
		.share = {SOCKET},
		.screen = SCREEN};
	const struct sandbox sandbox = {.doors = true,
		.few_files = true,
		.calls = vmm_calls,
		.ctx = &needs};

	for (unsigned i = 0; i < ROLES; i++) {
		FILE *file = tmpfile();

		if (!file || calls_export(roles[i].role, &sandbox, fileno(file), NULL))
			return -1;
		rewind(file);
		filters[i].len = fread(filters[i].code, sizeof *filters[i].code, 4096, file);
		fclose(file);
		if (!filters[i].len || filters[i].len == 4096)
			return -1;
	}
	return 0;
}

/* What they let through */

/* Another way into the kernel (32-bit numbers, x32) is none. */
static void no_other_numbers(void **state)
{
	for (unsigned i = 0; i < ROLES; i++)
		for (int nr = 0; nr < NUMBERS; nr++) {
			struct seccomp_data data = {.nr = nr, .arch = AUDIT_ARCH_I386};

			assert_int_equal(run(&filters[i], &data).action, SECCOMP_RET_KILL_PROCESS);
			data = (struct seccomp_data){.nr = nr | 0x40000000,
				.arch = AUDIT_ARCH_X86_64};
			assert_int_equal(run(&filters[i], &data).action, SECCOMP_RET_KILL_PROCESS);
		}
}

static const int families[][3] = {
	{AF_INET, SOCK_STREAM, 0},
	{AF_INET, SOCK_DGRAM, 0},
	{AF_INET, SOCK_DGRAM, IPPROTO_ICMP},
	{AF_INET6, SOCK_STREAM, 0},
	{AF_INET6, SOCK_DGRAM, 0},
	{AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6},
};

static bool is_allowed_socket(int family, int type, int protocol)
{
	for (unsigned i = 0; i < sizeof families / sizeof *families; i++)
		if (family == families[i][0] && type == families[i][1] &&
			protocol == families[i][2])
			return true;
	return false;
}

/* Every family, type and protocol; the rest of what can be asked of a socket. */
static void sockets(void **state)
{
	for (unsigned i = 0; i < ROLES; i++)
		for (int family = 0; family < 64; family++)
			for (int type = 0; type < 16; type++)
				for (int protocol = 0; protocol < 300; protocol++)
					assert_int_equal(allows(i, SCMP_SYS(socket), family,
								 type | SOCK_CLOEXEC, protocol),
						i == NET &&
							is_allowed_socket(family, type, protocol));
	assert_true(allows(NET, SCMP_SYS(socket), AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	assert_false(allows(NET, SCMP_SYS(socket), AF_INET, SOCK_STREAM | 0x100, 0));
}

static void socket_options(void **state)
{
	static const int set[][2] = {{SOL_SOCKET, SO_REUSEADDR}, {SOL_SOCKET, SO_OOBINLINE},
		{IPPROTO_TCP, TCP_NODELAY}, {IPPROTO_IP, IP_TTL}, {IPPROTO_IP, IP_RECVERR},
		{IPPROTO_IPV6, IPV6_UNICAST_HOPS}, {IPPROTO_IPV6, IPV6_RECVERR},
		{IPPROTO_IPV6, IPV6_V6ONLY}};

	for (unsigned i = 0; i < ROLES; i++)
		for (int level = 0; level < 300; level++)
			for (int name = 0; name < 256; name++) {
				bool wanted = false;

				for (unsigned k = 0; k < sizeof set / sizeof *set; k++)
					wanted |= level == set[k][0] && name == set[k][1];
				assert_int_equal(allows(i, SCMP_SYS(setsockopt), 5, level, name),
					wanted && i == NET);
				assert_int_equal(allows(i, SCMP_SYS(getsockopt), 5, level, name),
					i == NET && level == SOL_SOCKET &&
						(name == SO_ERROR || name == SO_ACCEPTCONN));
			}
}

/* No processes, no code, no signals to others, no names but threads'. */
static void arguments(void **state)
{
	const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;

	for (unsigned i = 0; i < ROLES; i++) {
		assert_true(allows(i, SCMP_SYS(clone), thread | CLONE_SETTLS, 0, 0));
		for (unsigned bit = 0; bit < 32; bit++) {
			uint64_t flag = 1ull << bit;

			if (flag & thread)
				assert_false(allows(i, SCMP_SYS(clone), thread & ~flag, 0, 0));
		}
		assert_false(allows(i, SCMP_SYS(clone), thread | CLONE_NEWUSER, 0, 0));
		assert_false(allows(i, SCMP_SYS(clone), thread | CLONE_NEWNS, 0, 0));
		for (unsigned prot = 0; prot < 8; prot++) {
			bool fine = !(prot & PROT_EXEC);

			assert_int_equal(allows(i, SCMP_SYS(mmap), 0, 4096, prot), fine);
			assert_int_equal(allows(i, SCMP_SYS(mprotect), 0, 4096, prot), fine);
		}
		for (int option = 0; option < 128; option++)
			assert_int_equal(allows(i, SCMP_SYS(prctl), option, 0, 0),
				option == PR_SET_NAME);
		for (int pid = -1; pid < 100000; pid++) {
			assert_int_equal(allows(i, SCMP_SYS(tgkill), pid, 1, 9), pid == getpid());
			assert_int_equal(allows(i, SCMP_SYS(kill), pid, 9, 0),
				(pid == READER || pid == SERVER || pid == SCREEN) &&
					roles[i].role == CALLS_LOOP);
		}
		for (unsigned flags = 0; flags < O_CLOEXEC << 1; flags++)
			if (flags & (O_ACCMODE | O_CREAT | O_TRUNC) || i != NET)
				assert_false(allows(i, SCMP_SYS(openat), AT_FDCWD, 0, flags));
	}
}

/* The page */

#define NAME(x)       \
	{             \
#x, x \
	}
static const struct named {
	const char *name;
	uint32_t value;
} requests[] = {NAME(TCGETS), NAME(TCSETS), NAME(TCSETSW), NAME(TCSETSF), NAME(TIOCGWINSZ),
	NAME(FIONREAD), NAME(BLKDISCARD), NAME(BLKZEROOUT), NAME(BLKGETSIZE64), NAME(SIOCGIFINDEX),
	NAME(TUNSETOFFLOAD), NAME(KVM_RUN), NAME(KVM_GET_REGS), NAME(KVM_SET_REGS),
	NAME(KVM_GET_SREGS), NAME(KVM_SET_SREGS), NAME(KVM_GET_DEBUGREGS), NAME(KVM_SET_DEBUGREGS),
	NAME(KVM_GET_XSAVE), NAME(KVM_SET_XSAVE), NAME(KVM_GET_XCRS), NAME(KVM_SET_XCRS),
	NAME(KVM_GET_MSRS), NAME(KVM_SET_MSRS), NAME(KVM_GET_VCPU_EVENTS),
	NAME(KVM_SET_VCPU_EVENTS), NAME(KVM_GET_LAPIC), NAME(KVM_SET_LAPIC), NAME(KVM_GET_MP_STATE),
	NAME(KVM_SET_MP_STATE), NAME(KVM_GET_DEVICE_ATTR), NAME(KVM_SET_DEVICE_ATTR),
	NAME(KVM_SET_GUEST_DEBUG), NAME(KVM_TRANSLATE), NAME(KVM_NMI), NAME(KVM_INTERRUPT),
	NAME(KVM_IOEVENTFD), NAME(KVM_SIGNAL_MSI), NAME(KVM_SET_GSI_ROUTING),
	NAME(KVM_SET_USER_MEMORY_REGION), NAME(KVM_GET_DIRTY_LOG), NAME(KVM_CHECK_EXTENSION),
	NAME(SECCOMP_IOCTL_NOTIF_RECV), NAME(SECCOMP_IOCTL_NOTIF_SEND),
	NAME(SECCOMP_IOCTL_NOTIF_ADDFD), {"TCGETS2", 0x802c542a}, {"TCSETS2", 0x402c542b},
	{"TCSETSW2", 0x402c542c}, {"TCSETSF2", 0x402c542d}},
  commands[] = {NAME(F_GETFD), NAME(F_SETFD), NAME(F_GETFL), NAME(F_SETFL), NAME(F_OFD_SETLK),
	  NAME(F_OFD_GETLK), NAME(F_ADD_SEALS), NAME(F_GET_SEALS), NAME(F_DUPFD_CLOEXEC)};

static void head(FILE *out, const char *what)
{
	fprintf(out, "\n| %s |", what);
	for (unsigned i = 0; i < ROLES; i++)
		fprintf(out, " %s |", roles[i].name);
	fputs("\n|---|", out);
	for (unsigned i = 0; i < ROLES; i++)
		fputs("---|", out);
	fputs("\n", out);
}

static const char *cell(struct verdict verdict)
{
	if (verdict.action == SECCOMP_RET_KILL_PROCESS)
		return verdict.by_arguments ? "some" : "";
	if (verdict.action == SECCOMP_RET_ALLOW)
		return verdict.by_arguments ? "some" : "yes";
	return verdict.by_arguments ? "some" : "fails";
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void write_calls(FILE *out)
{
	char *names[NUMBERS];
	unsigned count = 0;
	int nr;

	for (nr = 0; nr < NUMBERS; nr++) {
		bool any = false;

		for (unsigned i = 0; i < ROLES; i++)
			any |= *cell(ask(i, nr, NULL));
		if (!any)
			continue;
		names[count] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, nr);
		/* One that this libseccomp has no name for. */
		if (!names[count] && asprintf(&names[count], "number %d", nr) < 0)
			fail();
		count++;
	}
	qsort(names, count, sizeof *names, by_name);
	head(out, "call");
	for (unsigned n = 0; n < count; n++) {
		fprintf(out, "| %s |", names[n]);
		nr = strncmp(names[n], "number ", 7) ? seccomp_syscall_resolve_name(names[n])
						     : atoi(names[n] + 7);
		for (unsigned i = 0; i < ROLES; i++)
			fprintf(out, " %s |", cell(ask(i, nr, NULL)));
		fputs("\n", out);
		free(names[n]);
	}
}

static void write_values(FILE *out, const char *what, int nr, const struct named *list,
	size_t count)
{
	head(out, what);
	for (size_t n = 0; n < count; n++) {
		fprintf(out, "| %s |", list[n].name);
		for (unsigned i = 0; i < ROLES; i++)
			fprintf(out, " %s |", allows(i, nr, 5, list[n].value, 0) ? "yes" : "");
		fputs("\n", out);
	}
}

static void write_page(FILE *out)
{
	fputs("# Which thread of a monitor may call what\n\n"
	      "A test writes this page from the filters that the kernel is given (`tests/unit/test_calls.c`);\n"
	      "the reasons stand beside each call in `src/monitor/calls.c` and `src/vmm/calls.c`. The\n"
	      "monitor is one of a daemon's guest with KVM, a network, and a disk that its kernel is read\n"
	      "from, a shared folder, and a screen. Roles: the event loop and jobs; a processor's thread; a disk's; a\n"
	      "network's; the process that reads the guest's disk; a folder's device, and who serves it; who shows the screen.\n\n"
	      "yes: with any arguments. some: as far as the arguments are among those below, or for\n"
	      "threads, memory that cannot be executed, files to be read that Landlock allows, how large\n"
	      "files may be, and the process's own threads alone. fails: the call returns an error. Nothing: the process is killed.\n",
		out);
	write_calls(out);
	write_values(out, "request of ioctl", SCMP_SYS(ioctl), requests,
		sizeof requests / sizeof *requests);
	write_values(out, "command of fcntl", SCMP_SYS(fcntl), commands,
		sizeof commands / sizeof *commands);
	fputs("\nSockets, of the network's thread alone: TCP, UDP and echo requests (`SOCK_DGRAM` with ICMP or\n"
	      "ICMPv6), IPv4 and IPv6. Options that are set: SO_REUSEADDR, SO_OOBINLINE, TCP_NODELAY, IP_TTL,\n"
	      "IP_RECVERR, IPV6_UNICAST_HOPS, IPV6_RECVERR, IPV6_V6ONLY; read: SO_ERROR, SO_ACCEPTCONN.\n",
		out);
}

static void the_page_tells_it(void **state)
{
	char *page = NULL, *text = NULL;
	size_t size = 0, room = 0;
	FILE *out = open_memstream(&page, &size), *in = fopen(PAGE_PATH, "re");

	write_page(out);
	fclose(out);
	if (!in || getdelim(&text, &room, 0, in) < 0 || strcmp(text, page)) {
		out = fopen("system-calls.md", "we");
		fputs(page, out);
		fclose(out);
		fail_msg("doc/system-calls.md is not what the filters say: ./system-calls.md is");
	}
	fclose(in);
	free(text);
	free(page);
}

static bool is_named(const struct named *list, size_t count, uint32_t value)
{
	for (size_t n = 0; n < count; n++)
		if (list[n].value == value)
			return true;
	return false;
}

/* Every request and command that a filter knows a number of is on the page, and no other goes through. */
static void no_request_that_is_not_told(void **state)
{
	for (unsigned i = 0; i < ROLES; i++) {
		for (unsigned n = 0; n < filters[i].len; n++)
			for (int near = -1; near <= 1; near++) {
				uint32_t k = filters[i].code[n].k + near;

				if (allows(i, SCMP_SYS(ioctl), 5, k, 0))
					assert_true(is_named(requests,
						sizeof requests / sizeof *requests, k));
				if (allows(i, SCMP_SYS(fcntl), 5, k, 0))
					assert_true(is_named(commands,
						sizeof commands / sizeof *commands, k));
			}
		for (uint32_t k = 0; k < 0x10000; k++)
			if (allows(i, SCMP_SYS(ioctl), 5, k, 0))
				assert_true(
					is_named(requests, sizeof requests / sizeof *requests, k));
		for (unsigned nr = 0; nr < 256; nr++)
			for (unsigned dir = 0; dir < 4; dir++)
				for (unsigned size = 0; size < 64; size++) {
					uint32_t k = _IOC(dir, 0xae, nr, size * 8);

					if (allows(i, SCMP_SYS(ioctl), 5, k, 0))
						assert_true(is_named(requests,
							sizeof requests / sizeof *requests, k));
				}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_other_numbers),
		cmocka_unit_test(sockets),
		cmocka_unit_test(socket_options),
		cmocka_unit_test(arguments),
		cmocka_unit_test(no_request_that_is_not_told),
		cmocka_unit_test(the_page_tells_it),
	};

	return cmocka_run_group_tests(tests, make_filters, NULL);
}
