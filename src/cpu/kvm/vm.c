/* SPDX-License-Identifier: Apache-2.0 */
/* Making and unmaking: the VM, its memory, its vCPUs. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/kvm/kvm.h"

/* Three pages below 4 GiB that Intel processors need for real mode; no device is there. */
#define KVM_TSS_GPA 0xfffbd000u
#define KVM_IDENTITY_MAP_GPA 0xfffbc000ull

/* MSRs that machine/ answers for; KVM would otherwise take them itself. */
static const struct {
	uint32_t first, count;
	bool apic; /* KVM does take them if the local APICs are its own */
} machine_msrs[] = {
	{0x11, 2, false},                               /* the paravirtual clock, old */
	{0x4b564d00, 4, false},                         /* and new, and KVM's other MSRs */
	{0x4b564d05, 11, false}, {0x4b564d04, 1, true}, /* paravirtual end of interrupt */
	{0x1b, 1, true},                                /* IA32_APIC_BASE */
	{0x6e0, 1, true},                               /* IA32_TSC_DEADLINE */
};

static void kick_handler(int signal)
{
}

static int check_capabilities(int kvm, struct error *err)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = {
		{KVM_CAP_USER_MEMORY, "user memory"},
		{KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
		{KVM_CAP_X86_USER_SPACE_MSR, "MSR exits"},
		{KVM_CAP_X86_MSR_FILTER, "MSR filters"},
		{KVM_CAP_VCPU_EVENTS, "vCPU events"},
	};

	for (unsigned i = 0; i < sizeof needed / sizeof *needed; i++)
		if (ioctl(kvm, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return error_set(err, ENOTSUP,
				"this host's KVM is too old: it has no %s (Linux 5.10 does)",
				needed[i].name);
	return 0;
}

/* What is used where it is there, and done without where it is not. */
static void probe_extras(struct kvm_vm *vm)
{
	int debug = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2);

	vm->any_write = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD_ANY_LENGTH) > 0;
	vm->debug = debug > 0 ? debug : 0;
}

/* Makes the machine's MSRs exits, and all that KVM does not know too. */
static int filter_msrs(struct kvm_vm *vm, struct error *err)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args[0] = KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |
			KVM_MSR_EXIT_REASON_FILTER,
	};
	struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_ALLOW};
	uint8_t none[2] = {0};
	unsigned n = 0;

	for (unsigned i = 0; i < sizeof machine_msrs / sizeof *machine_msrs; i++)
		if (!machine_msrs[i].apic || !vm->apics)
			filter.ranges[n++] = (struct kvm_msr_filter_range){
				.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
				.nmsrs = machine_msrs[i].count,
				.base = machine_msrs[i].first,
				.bitmap = none,
			};
	if (ioctl(vm->fd, KVM_ENABLE_CAP, &cap) < 0 ||
		ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &filter) < 0)
		return error_set(err, errno, "KVM: MSR exits: %s", strerror(errno));
	return 0;
}

static void destroy_vm(struct kvm_vm *vm)
{
	if (!vm)
		return;
	kvm_absent_end(vm);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm >= 0)
		close(vm->kvm);
	mutex_destroy(&vm->lock);
	mutex_destroy(&vm->slots);
	free(vm);
}

static int vm_create(const struct engine_vm_config *config, struct engine_vm **out,
	struct error *err)
{
	struct sigaction action = {.sa_handler = kick_handler};
	uint64_t identity = KVM_IDENTITY_MAP_GPA;
	struct kvm_vm *vm = calloc(1, sizeof *vm);
	int rc, size;

	*out = NULL;
	if (!vm)
		return error_set(err, ENOMEM, "KVM: out of memory");
	vm->fd = vm->absent.fd = vm->absent.stop = -1;
	mutex_init(&vm->lock);
	mutex_init(&vm->slots);
	vm->vcpus = config->vcpus;
	vm->cpuid = config->cpuid;
	vm->callbacks = config->callbacks;
	vm->ctx = config->ctx;
	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0) {
		rc = error_set(err, errno, "/dev/kvm: %s", strerror(errno));
		goto fail;
	}
	rc = check_capabilities(vm->kvm, err);
	if (rc)
		goto fail;
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vm->fd < 0 || size < (int)sizeof(struct kvm_run)) {
		rc = error_set(err, errno ? errno : EIO, "KVM cannot make a virtual machine: %s",
			strerror(errno));
		goto fail;
	}
	vm->run_size = size;
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
		ioctl(vm->fd, KVM_SET_TSS_ADDR, KVM_TSS_GPA) < 0) {
		rc = error_set(err, errno, "KVM: task state address: %s", strerror(errno));
		goto fail;
	}
	probe_extras(vm);
	rc = config->no_apics ? 0 : kvm_irqchip_init(vm, err);
	if (!rc)
		rc = filter_msrs(vm, err);
	if (rc)
		goto fail;
	sigaction(KVM_KICK_SIGNAL, &action, NULL);
	*out = (struct engine_vm *)vm;
	return 0;
fail:
	destroy_vm(vm);
	return rc;
}

static void vm_written(struct engine_vm *e, uint64_t gpa, uint64_t size)
{
}

static void destroy_vcpu(struct kvm_vcpu *vcpu)
{
	if (!vcpu)
		return;
	if (vcpu->vm->vcpu[vcpu->index] == vcpu)
		vcpu->vm->vcpu[vcpu->index] = NULL;
	if (vcpu->run != MAP_FAILED)
		munmap(vcpu->run, vcpu->vm->run_size);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	free(vcpu);
}

/* The rate goes with a guest that moves; scaling it is not something that all processors can. */
static int check_tsc(struct kvm_vcpu *vcpu, struct error *err)
{
	int64_t wanted = vcpu->vm->cpuid->tsc_khz, khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);

	if (khz <= 0 || llabs(wanted - khz) * 2000 <= khz)
		return 0;
	return error_set(err, ENOTSUP,
		"the guest's TSC runs at %lld kHz, this host's at %lld: it cannot go on here",
		(long long)wanted, (long long)khz);
}

static int vcpu_create(struct engine_vm *e, unsigned index, struct engine_vcpu **out,
	struct error *err)
{
	struct kvm_vm *vm = kvm_vm(e);
	struct kvm_vcpu *vcpu = calloc(1, sizeof *vcpu);
	int rc;

	*out = NULL;
	if (!vcpu || index >= KVM_VCPUS) {
		free(vcpu);
		return error_set(err, ENOMEM, "KVM: no memory, or more than %u processors",
			KVM_VCPUS);
	}
	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->run = MAP_FAILED;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, index);
	if (vcpu->fd < 0) {
		rc = error_set(err, errno, "KVM cannot make processor %u: %s", index,
			strerror(errno));
		goto fail;
	}
	vcpu->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		rc = error_set(err, errno, "KVM: processor %u: %s", index, strerror(errno));
		goto fail;
	}
	rc = check_tsc(vcpu, err);
	if (!rc)
		rc = kvm_cpuid_set(vcpu, err);
	if (rc)
		goto fail;
	vm->vcpu[index] = vcpu;
	*out = (struct engine_vcpu *)vcpu;
	return 0;
fail:
	destroy_vcpu(vcpu);
	return rc;
}

static int vcpu_translate(struct engine_vcpu *e, uint64_t gva, uint64_t *gpa)
{
	struct kvm_vcpu *vcpu = kvm_vcpu(e);
	struct kvm_translation t = {.linear_address = gva};

	if (ioctl(vcpu->fd, KVM_TRANSLATE, &t) < 0 || !t.valid)
		return -EFAULT;
	*gpa = t.physical_address;
	return 0;
}

static void vm_stats(struct engine_vm *e, FILE *out)
{
	struct kvm_vm *vm = kvm_vm(e);
	static const char *const name[KVM_EXIT_REASONS] = {
		[KVM_EXIT_EXCEPTION] = "exception",
		[KVM_EXIT_IO] = "io",
		[KVM_EXIT_DEBUG] = "debug",
		[KVM_EXIT_HLT] = "halt",
		[KVM_EXIT_MMIO] = "mmio",
		[KVM_EXIT_IRQ_WINDOW_OPEN] = "irq_window",
		[KVM_EXIT_SHUTDOWN] = "shutdown",
		[KVM_EXIT_FAIL_ENTRY] = "fail_entry",
		[KVM_EXIT_INTR] = "signal",
		[KVM_EXIT_SET_TPR] = "set_tpr",
		[KVM_EXIT_INTERNAL_ERROR] = "internal_error",
		[KVM_EXIT_IOAPIC_EOI] = "ioapic_eoi",
		[KVM_EXIT_X86_RDMSR] = "rdmsr",
		[KVM_EXIT_X86_WRMSR] = "wrmsr",
		[KVM_EXIT_REASONS - 1] = "other",
	};

	for (unsigned i = 0; i < KVM_EXIT_REASONS; i++)
		if (name[i])
			fprintf(out, "kvm_exit_%s %" PRIu64 "\n", name[i], vm->exits[i]);
	fprintf(out, "kvm_interrupts %" PRIu64 "\n", vm->interrupts);
	fprintf(out, "kvm_kicks %" PRIu64 "\n", vm->kicks);
}

static void vm_destroy(struct engine_vm *e)
{
	destroy_vm(kvm_vm(e));
}

static void vcpu_destroy(struct engine_vcpu *e)
{
	destroy_vcpu(kvm_vcpu(e));
}

const struct engine engine_kvm = {
	.name = "kvm",
	.kind = CPUID_KVM,
	.apic = &kvm_apic_ops,
	.probe = kvm_probe,
	.vm_create = vm_create,
	.vm_destroy = vm_destroy,
	.vm_map = kvm_map,
	.vm_unmap = kvm_unmap,
	.vm_protect = kvm_protect,
	.vm_written = vm_written,
	.vm_door = kvm_door,
	.vm_log_collect = kvm_log_collect,
	.vm_notify_fd = kvm_notify_fd,
	.vcpu_create = vcpu_create,
	.vcpu_destroy = vcpu_destroy,
	.vcpu_run = kvm_vcpu_run,
	.vcpu_kick = kvm_vcpu_kick,
	.vcpu_nmi = kvm_vcpu_nmi,
	.vcpu_get_state = kvm_vcpu_get_state,
	.vcpu_set_state = kvm_vcpu_set_state,
	.vcpu_debug = kvm_vcpu_debug,
	.vcpu_interruptible = kvm_vcpu_interruptible,
	.vcpu_translate = vcpu_translate,
	.vm_stats = vm_stats,
};
