/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CALL(name) SCMP_SYS(name)
/* The argument without its flags. */
#define SOCKET_TYPE (~(uint32_t)(SOCK_CLOEXEC | SOCK_NONBLOCK))

/* Tables of calls, several a line where one reason is theirs. */
/* clang-format off */
static const int loop[] = {
	CALL(pread64),    /* kernel and initrd at a reset; the guest's memory for a core */
	CALL(fdatasync),  /* disks are made stable when they are closed */
	CALL(arch_prctl), /* the translator's register where the loop looks into a vCPU */
};

static const int vcpu[] = {
	CALL(arch_prctl), /* the translator's register for its vCPU, on hosts without FSGSBASE */
	CALL(preadv2),    /* a read that the page cache answers is done at once */
	CALL(poll),       /* a terminal that is slow */
};

static const int disk[] = {
	CALL(preadv), CALL(pwritev),
	CALL(fsync), CALL(fdatasync), /* the guest's flush */
	CALL(fallocate),              /* the guest's discard and write-zeroes */
	CALL(pwrite64),               /* the latter, where a file system cannot */
	CALL(pread64), /* with pwrite64: cache=none and a buffer that the host's disk cannot take */
	CALL(sysinfo), /* qsort(): what a qcow2 image gives back is sorted */
	/* A device that KVM notifies by an eventfd: its thread makes it, waits, and does the rest. */
	CALL(eventfd2), CALL(read), CALL(preadv2),
	CALL(lseek), /* where a file has holes */
	CALL(dup),   /* one that another process has as yet is looked at first ... */
	CALL(fadvise64), /* ... and then read anew */
};

/* A disk on a server: its connection, and who makes the next one. */
static const int remote[] = {
	CALL(readv), CALL(poll), CALL(sendto), CALL(recvmsg), CALL(shutdown),
};

/* The disk, and the files in memory that are filled from it and handed over. */
static const int reader[] = {
	CALL(read), CALL(pread64), CALL(pwrite64), CALL(lseek), CALL(ftruncate),
	CALL(memfd_create), CALL(sendmsg), CALL(dup), CALL(preadv),
};

/* What the reader hands over; that it has gone. */
static const int reader_owner[] = {CALL(recvmsg), CALL(wait4)};

/*
 * Files in a folder, by one name at a time. openat2() may do what its flags say, and those are out of sight: the folder is
 * all that there is (sandbox_folder()). mknod() stands below.
 */
static const int server[] = {
	CALL(recvfrom), CALL(sendto), CALL(openat2), CALL(statx), CALL(lseek), CALL(getdents64), CALL(pread64), CALL(pwritev2),
	CALL(ftruncate), CALL(fallocate), CALL(copy_file_range), CALL(fsync), CALL(fdatasync), CALL(fstatfs), CALL(fchmod),
	CALL(fchmodat), CALL(utimensat), CALL(readlinkat), CALL(fgetxattr), CALL(fsetxattr), CALL(flistxattr), CALL(fremovexattr), CALL(mkdirat), CALL(symlinkat), CALL(linkat), CALL(unlinkat),
	CALL(renameat), CALL(renameat2), 452, /* fchmodat2 */
};

/* Clients of the screen, the monitor, and the time. */
static const int screen[] = {
	CALL(poll), CALL(accept4), CALL(recvfrom), CALL(sendto),
};

/* User-mode networking: what libslirp does with the host's sockets, and waits for. */
static const int sockets[] = {
	CALL(bind), CALL(connect), CALL(listen), CALL(accept), CALL(accept4), CALL(getsockname),
	CALL(getpeername), CALL(sendto), CALL(recvfrom), CALL(recvmsg), CALL(shutdown), CALL(read),
	CALL(poll), CALL(ppoll),
};

/* A tap's frames: by readv() as well as the writev() of everybody. One that comes later makes its own event. */
static const int tap[] = {CALL(read), CALL(readv), CALL(poll), CALL(eventfd2)};

/* A debugger's connection: its listening socket is open already. */
static const int debugger[] = {
	CALL(accept), CALL(accept4), CALL(sendto), CALL(recvfrom), CALL(shutdown),
};
/* A profile: a timer of each vCPU's thread, made by that thread; qsort() asks for the memory's size. */
static const int profile[] = {
	CALL(timer_create), CALL(timer_settime), CALL(timer_delete), CALL(sysinfo),
};
/* clang-format on */

/* ioctl is many calls in one: only these of its requests. */
static void allow_ioctls(struct calls *calls, unsigned roles)
{
	static const struct {
		unsigned roles, request;
	} requests[] = {
		/* how much has come on one of libslirp's sockets */
		{CALLS_NET, FIONREAD},
		/* Disks that are block devices; how large they are is asked when they are made. */
		{CALLS_DISK, BLKDISCARD},
		{CALLS_DISK, BLKZEROOUT},
		{CALLS_DISK | CALLS_READER, BLKGETSIZE64},
	};

	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
		if (requests[i].roles & roles)
			calls_allow_value(calls, CALL(ioctl), 1, requests[i].request);
}

/* KVM's descriptors: what each kind of thread asks of them once the guest has been made. */
static void allow_kvm(struct calls *calls, unsigned roles)
{
	static const struct {
		unsigned roles, request;
	} requests[] = {
		{CALLS_VCPU, KVM_RUN},
		/* a processor's state: at a start by its own thread, else by the loop's */
		{CALLS_VCPU | CALLS_LOOP, KVM_GET_REGS},
		{CALLS_VCPU | CALLS_LOOP, KVM_SET_REGS},
		{CALLS_VCPU | CALLS_LOOP, KVM_GET_SREGS},
		{CALLS_VCPU | CALLS_LOOP, KVM_SET_SREGS},
		{CALLS_VCPU | CALLS_LOOP, KVM_GET_DEBUGREGS},
		{CALLS_VCPU | CALLS_LOOP, KVM_SET_DEBUGREGS},
		{CALLS_VCPU | CALLS_LOOP, KVM_GET_XSAVE},
		{CALLS_VCPU | CALLS_LOOP, KVM_SET_XSAVE},
		{CALLS_VCPU | CALLS_LOOP, KVM_GET_XCRS},
		{CALLS_VCPU | CALLS_LOOP, KVM_SET_XCRS},
		{CALLS_VCPU | CALLS_LOOP, KVM_GET_MSRS},
		{CALLS_VCPU | CALLS_LOOP, KVM_SET_MSRS},
		{CALLS_VCPU | CALLS_LOOP, KVM_GET_VCPU_EVENTS},
		{CALLS_VCPU | CALLS_LOOP, KVM_SET_VCPU_EVENTS},
		{CALLS_VCPU | CALLS_LOOP, KVM_GET_LAPIC},
		{CALLS_VCPU | CALLS_LOOP, KVM_SET_LAPIC},
		{CALLS_VCPU | CALLS_LOOP, KVM_GET_MP_STATE},
		{CALLS_VCPU | CALLS_LOOP, KVM_SET_MP_STATE},
		{CALLS_VCPU | CALLS_LOOP, KVM_GET_DEVICE_ATTR}, /* the offset of its TSC */
		{CALLS_VCPU | CALLS_LOOP, KVM_SET_DEVICE_ATTR},
		{CALLS_VCPU | CALLS_LOOP, KVM_SET_GUEST_DEBUG},
		{CALLS_VCPU | CALLS_LOOP, KVM_TRANSLATE},
		/* interrupts; the guest moves a device's registers, a reset does, or who makes the device */
		{CALLS_VCPU | CALLS_LOOP, KVM_NMI},
		{CALLS_VCPU | CALLS_LOOP, KVM_INTERRUPT},
		{CALLS_VCPU | CALLS_LOOP | CALLS_DISK | CALLS_NET, KVM_IOEVENTFD},
		{CALLS_VCPU | CALLS_LOOP | CALLS_DISK | CALLS_NET, KVM_SIGNAL_MSI},
		{CALLS_VCPU | CALLS_LOOP | CALLS_DISK | CALLS_NET, KVM_SET_GSI_ROUTING},
		/* guest memory, which only the loop's thread and jobs change and read for changes */
		{CALLS_LOOP, KVM_SET_USER_MEMORY_REGION},
		{CALLS_LOOP, KVM_GET_DIRTY_LOG},
		{CALLS_LOOP, KVM_CHECK_EXTENSION},
	};

	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
		if (requests[i].roles & roles)
			calls_allow_value(calls, CALL(ioctl), 1, requests[i].request);
}

/* TCP, UDP and echo requests of both families; close-on-exec or not is all the same. */
static void allow_sockets(struct calls *calls)
{
	static const struct {
		uint32_t family, type, protocol;
	} kinds[] = {
		{AF_INET, SOCK_STREAM, 0},
		{AF_INET, SOCK_DGRAM, 0},
		{AF_INET, SOCK_DGRAM, IPPROTO_ICMP},
		{AF_INET6, SOCK_STREAM, 0},
		{AF_INET6, SOCK_DGRAM, 0},
		{AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6},
	};
	static const struct {
		uint32_t level, name;
	} options[] = {
		{SOL_SOCKET, SO_REUSEADDR},
		{SOL_SOCKET, SO_OOBINLINE},
		{IPPROTO_TCP, TCP_NODELAY},
		{IPPROTO_IP, IP_TTL},
		{IPPROTO_IP, IP_RECVERR},
		{IPPROTO_IPV6, IPV6_UNICAST_HOPS},
		{IPPROTO_IPV6, IPV6_RECVERR},
		{IPPROTO_IPV6, IPV6_V6ONLY},
	};
	static const uint32_t read_options[] = {SO_ERROR, SO_ACCEPTCONN};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		calls_allow_args(calls, CALL(socket),
			(struct calls_arg[]){{0, ~0u, kinds[i].family},
				{1, SOCKET_TYPE, kinds[i].type}, {2, ~0u, kinds[i].protocol}},
			3);
	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		calls_allow_args(calls, CALL(setsockopt),
			(struct calls_arg[]){{1, ~0u, options[i].level}, {2, ~0u, options[i].name}},
			2);
	for (size_t i = 0; i < sizeof read_options / sizeof *read_options; i++)
		calls_allow_args(calls, CALL(getsockopt),
			(struct calls_arg[]){{1, ~0u, SOL_SOCKET}, {2, ~0u, read_options[i]}}, 2);
}

/*
 * resolv.conf may change while the guest runs, so libslirp looks at it again.
 * Behind Landlock or in an empty root that is the only file to be opened, apart
 * from disks that are open anyway; without, none can be, and a new name server
 * needs a new start.
 */
static void allow_network(struct calls *calls)
{
	CALLS_ALLOW(calls, sockets);
	allow_sockets(calls);
	/* No other families; who asks for one (if_nametoindex) tries the next. */
	calls_refuse(calls, CALL(socket), EAFNOSUPPORT, &SCMP_A0(SCMP_CMP_LT, AF_INET, 0));
	calls_refuse(calls, CALL(socket), EAFNOSUPPORT, &SCMP_A0(SCMP_CMP_GT, AF_INET6, 0));
	/* What libslirp tries where the host lets nobody send echo requests. */
	calls_refuse(calls, CALL(socket), EACCES,
		&SCMP_A1(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, SOCK_RAW));
	/* Name servers on link-local addresses. */
	calls_allow_value(calls, CALL(ioctl), 1, SIOCGIFINDEX);
	calls_allow_reading(calls);
}

/* Memory is frozen, goes on as another file, and is handed over. */
static void allow_clones(struct calls *calls)
{
	static const int fcntls[] = {F_DUPFD_CLOEXEC, F_ADD_SEALS, F_GET_SEALS};

	calls_allow_value(calls, CALL(memfd_create), 1, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	calls_allow_value(calls, CALL(dup3), 2, O_CLOEXEC);
	/* What of it a snapshot has written goes back to the host. */
	calls_allow_value(calls, CALL(fallocate), 1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	for (size_t i = 0; i < sizeof fcntls / sizeof *fcntls; i++)
		calls_allow_value(calls, CALL(fcntl), 1, (unsigned)fcntls[i]);
}

/* Processes that run user code (cpu/translate/native/): all that they do is by their vCPU's leave. */
static void allow_native(struct calls *calls, unsigned roles)
{
	static const int native[] = {CALL(sched_setaffinity)};
	static const unsigned requests[] = {SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND,
		SECCOMP_IOCTL_NOTIF_ADDFD};

	/* Whoever kicks a vCPU. Descriptors of processes that are not ours we do not have. */
	if (roles & (CALLS_LOOP | CALLS_VCPU | CALLS_DISK | CALLS_NET))
		calls_allow_value(calls, CALL(pidfd_send_signal), 3, 0);
	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
		if (roles & (CALLS_LOOP | CALLS_VCPU))
			calls_allow_value(calls, CALL(ioctl), 1, requests[i]);
	/* Such a process goes where its vCPU's thread has been sent. */
	if (roles & CALLS_VCPU)
		CALLS_ALLOW(calls, native);
	/* That they have ended. */
	if (roles & CALLS_LOOP)
		calls_allow_masked(calls, CALL(wait4), 2, __WALL, __WALL);
}

static void allow_server(struct calls *calls)
{
	static const unsigned kinds[] = {S_IFREG, S_IFIFO, S_IFSOCK};

	CALLS_ALLOW(calls, server);
	/* A file that is open and has no name any more is opened again. */
	calls_allow_value(calls, CALL(fcntl), 1, F_DUPFD_CLOEXEC);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		calls_allow_masked(calls, CALL(mknodat), 2, S_IFMT, kinds[i]);
}

/* A request goes out from where the guest makes it known, or from where the last answer came in. */
static void allow_shares(const struct vmm_needs *needs, struct calls *calls, unsigned roles)
{
	for (unsigned i = 0; i < needs->shares; i++) {
		const uint64_t fd = (unsigned)needs->share[i];

		if (roles & (CALLS_VCPU | CALLS_SHARE))
			calls_allow_value(calls, CALL(sendmsg), 0, fd);
		if (roles & CALLS_SHARE) {
			calls_allow_value(calls, CALL(recvmsg), 0, fd);
			calls_allow_value(calls, CALL(recvfrom), 0, fd);
		}
		/* Its end. */
		if (roles & CALLS_LOOP) {
			calls_allow_value(calls, CALL(shutdown), 0, fd);
			calls_allow_value(calls, CALL(wait4), 0, (unsigned)needs->server[i]);
			calls_allow_value(calls, CALL(kill), 0, (unsigned)needs->server[i]);
		}
	}
}

void vmm_calls(void *ctx, struct calls *calls, unsigned roles)
{
	const struct vmm_needs *needs = ctx;

	if (roles & CALLS_LOOP) {
		CALLS_ALLOW(calls, loop);
		/* How large files may be: disks come while the guest runs. */
		calls_allow_args(calls, CALL(prlimit64),
			(struct calls_arg[]){{0, ~0u, 0}, {1, ~0u, RLIMIT_FSIZE}}, 2);
	}
	if (roles & CALLS_VCPU)
		CALLS_ALLOW(calls, vcpu);
	if (roles & CALLS_DISK) {
		CALLS_ALLOW(calls, disk);
		/* Locked when it is made, after a look at others' locks. */
		calls_allow_value(calls, CALL(fcntl), 1, F_OFD_SETLK);
		calls_allow_value(calls, CALL(fcntl), 1, F_OFD_GETLK);
	}
	if (roles & CALLS_READER) {
		CALLS_ALLOW(calls, reader);
		calls_allow_value(calls, CALL(fcntl), 1, F_ADD_SEALS);
	}
	if (needs->remote && (roles & (CALLS_DISK | CALLS_READER)))
		CALLS_ALLOW(calls, remote);
	if (needs->reader && (roles & CALLS_LOOP)) {
		CALLS_ALLOW(calls, reader_owner);
		calls_allow_value(calls, CALL(fcntl), 1, F_GET_SEALS);
		/* One that does not end. It is not another's number as long as it is not waited for. */
		calls_allow_value(calls, CALL(kill), 0, (unsigned)needs->reader);
	}
	if (roles & CALLS_SERVER)
		allow_server(calls);
	if (roles & CALLS_SCREEN)
		CALLS_ALLOW(calls, screen);
	if (needs->screen && (roles & CALLS_LOOP)) {
		calls_allow_value(calls, CALL(wait4), 0, (unsigned)needs->screen);
		calls_allow_value(calls, CALL(kill), 0, (unsigned)needs->screen);
	}
	allow_shares(needs, calls, roles);
	/* Descriptors, for clones and for another monitor. */
	if (needs->given && (roles & CALLS_LOOP))
		calls_allow_value(calls, CALL(sendmsg), 2, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (needs->clones && (roles & CALLS_LOOP))
		allow_clones(calls);
	if (needs->native)
		allow_native(calls, roles);
	/* Whoever touches memory may be the first. */
	if (needs->lazy && roles & (CALLS_LOOP | CALLS_VCPU | CALLS_DISK | CALLS_NET))
		calls_allow_value(calls, CALL(pread64), 0, (uint64_t)needs->state);
	allow_ioctls(calls, roles);
	if (needs->kvm)
		allow_kvm(calls, roles);
	if (needs->user && (roles & CALLS_NET))
		allow_network(calls);
	if (needs->tap && (roles & CALLS_NET)) {
		CALLS_ALLOW(calls, tap);
		/* The driver has said what it takes. */
		calls_allow_value(calls, CALL(ioctl), 1, TUNSETOFFLOAD);
	}
	if (needs->gdb && (roles & CALLS_LOOP)) {
		CALLS_ALLOW(calls, debugger);
		calls_allow_args(calls, CALL(setsockopt),
			(struct calls_arg[]){{1, ~0u, IPPROTO_TCP}, {2, ~0u, TCP_NODELAY}}, 2);
	}
	if (needs->profile && (roles & CALLS_VCPU))
		CALLS_ALLOW(calls, profile);
}
