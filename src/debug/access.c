/* SPDX-License-Identifier: Apache-2.0 */
#include "debug/access.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "debug/stub.h"
#include "machine/machine.h"

#define PAGE 4096u

/* Where gva is, and how much of len lies in the same page. */
static int locate(struct machine *machine, unsigned vcpu, uint64_t gva, size_t len, uint64_t *gpa,
	size_t *n)
{
	if (vcpu == STUB_PHYSICAL) {
		*gpa = gva;
		*n = len;
		return 0;
	}
	*n = PAGE - (gva & (PAGE - 1));
	if (*n > len)
		*n = len;
	return machine_engine(machine)->vcpu_translate(machine_vcpu(machine, vcpu), gva, gpa);
}

int access_read(struct machine *machine, unsigned vcpu, uint64_t gva, void *buf, size_t len)
{
	char *to = buf;
	uint64_t gpa;
	size_t n;

	for (; len; gva += n, to += n, len -= n)
		if (locate(machine, vcpu, gva, len, &gpa, &n) < 0 ||
			memory_read(machine_memory(machine), gpa, to, n) < 0)
			return -EFAULT;
	return 0;
}

int access_write(struct machine *machine, unsigned vcpu, uint64_t gva, const void *buf, size_t len)
{
	const char *from = buf;
	uint64_t gpa;
	size_t n;

	for (; len; gva += n, from += n, len -= n)
		if (locate(machine, vcpu, gva, len, &gpa, &n) < 0 ||
			memory_write(machine_memory(machine), gpa, from, n) < 0)
			return -EFAULT;
	return 0;
}

static void dump_block(struct machine *machine, const char *where, FILE *out)
{
	const struct engine *engine = machine_engine(machine);
	char *end;
	uint64_t gva, gpa;

	errno = 0;
	gva = strtoull(where, &end, 0);
	if (errno || end == where || *end) {
		fputs("block ADDRESS (guest virtual, as processor 0 sees it)\n", out);
		return;
	}
	if (!engine->vm_dump_block)
		fprintf(out, "the engine \"%s\" has no blocks\n", engine->name);
	else if (engine->vcpu_translate(machine_vcpu(machine, 0), gva, &gpa) < 0)
		fputs("nothing is mapped there\n", out);
	else
		engine->vm_dump_block(machine_vm(machine), gpa, out);
}

void access_command(struct machine *machine, const char *line, FILE *out)
{
	if (!strcmp(line, "stats"))
		machine_stats(machine, out);
	else if (!strcmp(line, "dump"))
		machine_dump(machine, out);
	else if (!strncmp(line, "block ", 6))
		dump_block(machine, line + 6, out);
	else if (!strcmp(line, "power"))
		machine_power_button(machine);
	else if (!strcmp(line, "reset"))
		machine_reset(machine);
	else
		fputs("stats          counters\n"
		      "dump           every processor's registers\n"
		      "block ADDRESS  translated code beside the guest's\n"
		      "power          press the power button\n"
		      "reset          reset the guest\n",
			out);
}
