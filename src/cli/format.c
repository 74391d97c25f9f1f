/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/format.h"

#include <string.h>

#include "cli/call.h"

#define FLAGS 6
#define NS 1e9
/* Of a ring or an event channel that is not there: xl's value for "unknown". */
#define NONE (-1)

static bool is_off(const json_t *guest)
{
	return !json_is_integer(json_object_get(guest, "domid"));
}

/* The guest's six letters; slot 5 is set by a reason only while 's' is. */
static const char *flags(const json_t *guest)
{
	const char *text = json_get_text(guest, "flags");

	return strlen(text) == FLAGS ? text : "------";
}

static bool is_shut(const json_t *guest)
{
	return flags(guest)[3] == 's';
}

static unsigned reason_code(const json_t *guest)
{
	static const char letters[] = "-rscwS";
	const char *at = strchr(letters, flags(guest)[4]);

	return at && *at ? at - letters : 0;
}

void format_list_head(FILE *out, bool verbose, bool numa, bool kind)
{
	fputs("Name                                        ID   Mem VCPUs\tState\tTime(s)", out);
	if (verbose)
		fputs("   UUID                            Reason-Code\tSecurity Label", out);
	if (numa)
		fputs(" NODE Affinity", out);
	if (kind)
		fputs("  Kind", out);
	putc('\n', out);
}

static const char *uuid(const json_t *guest)
{
	const char *text = json_get_text(guest, "uuid");

	return *text ? text : FORMAT_NO_UUID;
}

const char *format_name(const json_t *guest)
{
	const char *ref = json_get_text(guest, "ref");

	return *ref ? ref : json_get_text(guest, "name");
}

void format_list_row(FILE *out, const json_t *guest, bool verbose, bool numa, bool kind)
{
	char id[16] = "-";

	if (!is_off(guest))
		snprintf(id, sizeof id, "%d", (int)json_get_number(guest, "domid"));
	fprintf(out, "%-40s %5s %5lu %5d     %s  %8.1f", format_name(guest), id,
		(unsigned long)(json_get_number(guest, "memory") / 1024),
		(int)json_get_number(guest, "vcpus"), flags(guest),
		json_get_number(guest, "cpu_time") / NS);
	if (verbose) {
		fprintf(out, " %s", uuid(guest));
		if (is_shut(guest))
			fprintf(out, " %8x", reason_code(guest));
		else
			fprintf(out, " %8s", "-");
		fprintf(out, " %16s", "-");
	}
	if (numa)
		fputs(" all", out);
	if (kind)
		fprintf(out, "  %s",
			*json_get_text(guest, "kind") ? json_get_text(guest, "kind") : "host");
	putc('\n', out);
}

void format_vm_list_head(FILE *out)
{
	fputs("UUID                                  ID    name\n", out);
}

void format_vm_list_row(FILE *out, const json_t *guest)
{
	fprintf(out, "%s  %d    %-30s\n", uuid(guest), (int)json_get_number(guest, "domid"),
		format_name(guest));
}

void format_vcpu_list_head(FILE *out)
{
	fprintf(out, "%-32s %5s %5s %5s %5s %9s %s\n", "Name", "ID", "VCPU", "CPU", "State",
		"Time(s)", "Affinity (Hard / Soft)");
}

static const char *affinity(const json_t *vcpu, const char *key)
{
	const char *text = json_get_text(vcpu, key);

	return *text ? text : "all";
}

void format_vcpu_list_rows(FILE *out, const json_t *guest)
{
	json_t *vcpu;
	size_t i;

	json_array_foreach(json_object_get(guest, "vcpu"), i, vcpu)
	{
		fprintf(out, "%-32s %5u %5u", format_name(guest),
			(unsigned)json_get_number(guest, "domid"),
			(unsigned)json_get_number(vcpu, "id"));
		if (json_get_true(vcpu, "online"))
			fprintf(out, "%5u %3c%c- ", (unsigned)json_get_number(vcpu, "cpu"),
				json_get_true(vcpu, "running") ? 'r' : '-',
				json_get_true(vcpu, "blocked") ? 'b' : '-');
		else
			fprintf(out, "%5c %3c%cp ", '-', '-', '-');
		fprintf(out, "%9.1f  %s / %s\n", json_get_number(vcpu, "cpu_time") / NS,
			affinity(vcpu, "affinity"), affinity(vcpu, "affinity_soft"));
	}
}

void format_network_list_head(FILE *out)
{
	fprintf(out, "%-3s %-2s %-17s %-6s %-5s %-6s %5s/%-5s %-30s\n", "Idx", "BE", "Mac Addr.",
		"handle", "state", "evt-ch", "tx-", "rx-ring-ref", "BE-path");
}

void format_network_list_rows(FILE *out, const json_t *guest)
{
	json_t *network;
	size_t i;

	json_array_foreach(json_object_get(guest, "networks"), i, network)
	{
		int index = json_get_number(network, "index");
		int backend = json_get_number(network, "backend");
		char path[80];

		snprintf(path, sizeof path, "/local/domain/%d/backend/vif/%d/%d", backend,
			(int)json_get_number(guest, "domid"), index);
		/* No blank behind the address: so it is in xl. */
		fprintf(out, "%-3d %-2d %s%6d %5d %6d %5d/%-11d %-30s\n", index, backend,
			json_get_text(network, "mac"), index,
			(int)json_get_number(network, "state"), NONE, NONE, NONE, path);
	}
}

void format_block_list_head(FILE *out)
{
	fprintf(out, "%-5s %-3s %-6s %-5s %-6s %-8s %-30s\n", "Vdev", "BE", "handle", "state",
		"evt-ch", "ring-ref", "BE-path");
}

void format_block_list_rows(FILE *out, const json_t *guest)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(guest, "disks"), i, disk)
	{
		int number = json_get_number(disk, "number");
		int backend = json_get_number(disk, "backend");
		int domid = json_get_number(guest, "domid");
		char path[80];

		snprintf(path, sizeof path, "/local/domain/%d/backend/vbd/%d/%d", backend, domid,
			number);
		fprintf(out, "%-5d %-3d %-6d %-5d %-6d %-8d %-30s\n", number, backend, domid,
			(int)json_get_number(disk, "state"), NONE, NONE, path);
	}
}

void format_sched_pool(FILE *out, bool credit2)
{
	/* There is one pool, and these are the values that xl shows where nobody changed them. */
	if (credit2)
		fputs("Cpupool Pool-0: ratelimit=1000us\n", out);
	else
		fputs("Cpupool Pool-0: tslice=30ms ratelimit=1000us migration-delay=0us\n", out);
}

void format_sched_head(FILE *out)
{
	fprintf(out, "%-33s %4s %6s %4s\n", "Name", "ID", "Weight", "Cap");
}

void format_sched_row(FILE *out, const json_t *guest)
{
	const json_t *scheduler = json_object_get(guest, "scheduler");
	int weight = json_get_number(scheduler, "weight");

	fprintf(out, "%-33s %4d %6d %4d\n", format_name(guest),
		(int)json_get_number(guest, "domid"), weight ? weight : 256,
		(int)json_get_number(scheduler, "cap"));
}
