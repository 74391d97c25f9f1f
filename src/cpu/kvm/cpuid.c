/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cpu/kvm/kvm.h"

#define MSR_ARCH_CAPABILITIES 0x10a

_Static_assert(sizeof(struct kvm_cpuid2) == offsetof(struct kvm_cpuid_table, entry), "layout");
_Static_assert(sizeof((struct cpuid_policy){0}.leaf) <= 256 * sizeof(struct cpuid_leaf), "size");

static void table_read(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	const struct kvm_cpuid_table *table = ctx;

	memset(out, 0, 4 * sizeof *out);
	for (unsigned i = 0; i < table->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &table->entry[i];

		if (e->function != leaf ||
			((e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) && e->index != subleaf))
			continue;
		out[0] = e->eax;
		out[1] = e->ebx;
		out[2] = e->ecx;
		out[3] = e->edx;
		return;
	}
}

/* The guest's TSC rate as the kernel has measured it, better than we would; 0: it does not say. */
static uint32_t tsc_rate(int kvm)
{
	int vm = ioctl(kvm, KVM_CREATE_VM, 0), vcpu = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0);
	int khz = vcpu < 0 ? 0 : ioctl(vcpu, KVM_GET_TSC_KHZ, 0);

	if (vcpu >= 0)
		close(vcpu);
	if (vm >= 0)
		close(vm);
	return khz > 0 ? khz : 0;
}

int cpuid_kvm_source(struct cpuid_source *source, struct error *err)
{
	struct kvm_cpuid_table *table = calloc(1, sizeof *table);
	struct kvm_one_msr msr = {.nmsrs = 1, .entry.index = MSR_ARCH_CAPABILITIES};
	uint32_t reg[4];
	int rc = 0, fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (!table) {
		rc = error_nomem(err);
		goto out;
	}
	if (fd < 0) {
		rc = error_set(err, errno, "/dev/kvm: %s", strerror(errno));
		goto out;
	}
	table->nent = sizeof table->entry / sizeof *table->entry;
	if (ioctl(fd, KVM_GET_SUPPORTED_CPUID, table) < 0) {
		rc = error_set(err, errno, "/dev/kvm: KVM_GET_SUPPORTED_CPUID: %s",
			strerror(errno));
		goto out;
	}
	if (ioctl(fd, KVM_GET_MSRS, &msr) == 1)
		source->arch_capabilities = msr.entry.data;
	source->read = table_read;
	source->ctx = source->room = table;
	source->tsc_khz = tsc_rate(fd);
	table_read(table, 0xd, 0, reg);
	source->xcr0 &= reg[0] | (uint64_t)reg[3] << 32;
out:
	if (fd >= 0)
		close(fd);
	if (rc)
		free(table);
	return rc;
}

int kvm_cpuid_set(struct kvm_vcpu *vcpu, struct error *err)
{
	const struct cpuid_policy *policy = vcpu->vm->cpuid;
	struct kvm_cpuid_table set;

	memset(&set, 0, sizeof set);
	set.nent = policy->count;
	for (unsigned i = 0; i < policy->count; i++) {
		const struct cpuid_leaf *l = &policy->leaf[i];
		struct kvm_cpuid_entry2 *e = &set.entry[i];
		uint32_t reg[4];

		cpuid_policy_read(policy, l->leaf, l->subleaf, vcpu->index, 0, XCR0_X87, reg);
		e->function = l->leaf;
		e->index = l->subleaf;
		e->flags = l->indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
		e->eax = reg[0];
		e->ebx = reg[1];
		e->ecx = reg[2];
		e->edx = reg[3];
		if (l->leaf == 0x40000001 && !vcpu->vm->apics)
			e->eax &= ~(1u << 6); /* the end of interrupts is the machine's */
	}
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, &set) < 0)
		return error_set(err, errno, "KVM refuses the processor's features: %s",
			strerror(errno));
	/* Refused where there is no such MSR for this guest, and then not needed. */
	kvm_msr_set(vcpu, MSR_ARCH_CAPABILITIES, policy->arch_capabilities);
	return 0;
}
