/* SPDX-License-Identifier: Apache-2.0 */
/* xl's tables to the letter. What is expected here was written by hand, after xl 4.17. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/format.h"

static const char host_row[] =
	"{'name': 'Domain-0', 'domid': 0, 'state': 'running', 'flags': 'r-----',"
	" 'memory': 8127488, 'vcpus': 4, 'cpu_time': 1234567890123, 'uptime': 183906, 'vcpu': ["
	"  {'id': 0, 'online': true, 'running': true, 'blocked': false, 'cpu': 0,"
	"   'cpu_time': 617283945061, 'affinity': 'all', 'affinity_soft': 'all'},"
	"  {'id': 1, 'online': true, 'running': false, 'blocked': true, 'cpu': 1,"
	"   'cpu_time': 617283945062, 'affinity': 'all', 'affinity_soft': 'all'}]}";

static const char web[] =
	"{'uuid': '0f3a4b5c-1111-2222-3333-444455556666', 'name': 'vm02.my.flat', 'domid': 7,"
	" 'state': 'running', 'flags': '-b----', 'memory': 262144, 'memory_max': 524288,"
	" 'vcpus': 2, 'cpu_time': 3449000000, 'uptime': 86399,"
	" 'scheduler': {'weight': 512, 'cap': 50},"
	" 'vcpu': [{'id': 0, 'online': true, 'running': false, 'blocked': true, 'cpu': 3,"
	"   'cpu_time': 3400000000, 'affinity': '0-3,5', 'affinity_soft': 'none'},"
	"  {'id': 1, 'online': false, 'running': false, 'blocked': false, 'cpu': null,"
	"   'cpu_time': 49000000, 'affinity': '1', 'affinity_soft': 'all'}],"
	" 'networks': [{'index': 0, 'mac': '00:16:3e:01:02:03', 'backend': 0, 'state': 4,"
	"   'rx_bytes': 4096, 'rx_packets': 4, 'tx_bytes': 10239, 'tx_packets': 9},"
	"  {'index': 1, 'mac': '00:16:3e:0a:0b:0c', 'backend': 0, 'state': 4,"
	"   'rx_bytes': 0, 'rx_packets': 0, 'tx_bytes': 1, 'tx_packets': 1}],"
	" 'disks': [{'vdev': 'xvda2', 'number': 51714, 'backend': 0, 'state': 4, 'path': '/d',"
	"   'format': 'raw', 'access': 'w', 'rd_ops': 12, 'rd_bytes': 6144, 'wr_ops': 3,"
	"   'wr_bytes': 1024},"
	"  {'vdev': 'hdc', 'number': 5632, 'backend': 0, 'state': 4, 'path': null,"
	"   'format': 'raw', 'access': 'r', 'rd_ops': 0, 'rd_bytes': 0, 'wr_ops': 0,"
	"   'wr_bytes': 0}]}";

static const char crashed[] =
	"{'uuid': '0f3a4b5c-1111-2222-3333-444455556667', 'name': 'a-name-of-just-forty-one-letters-so-it-is',"
	" 'domid': 65534, 'state': 'shutdown', 'flags': '---sc-', 'shutdown_reason': 'crash',"
	" 'memory': 1048576, 'vcpus': 128, 'cpu_time': 99999950000000}";

static const char off[] =
	"{'uuid': '0f3a4b5c-1111-2222-3333-444455556668', 'name': 'kept', 'domid': null,"
	" 'state': 'off', 'flags': '------', 'memory': 131072, 'vcpus': 1, 'cpu_time': 0}";

/* Quotes of JSON are written as ' here. */
static json_t *json_of(const char *text)
{
	char *copy = strdup(text);
	json_error_t error;
	json_t *json;

	for (char *c = copy; *c; c++)
		if (*c == '\'')
			*c = '"';
	json = json_loads(copy, JSON_DECODE_ANY, &error);
	if (!json)
		fail_msg("%s in %s", error.text, copy);
	free(copy);
	return json;
}

struct page {
	char *text;
	size_t size;
	FILE *out;
};

static FILE *begin(struct page *page)
{
	page->out = open_memstream(&page->text, &page->size);
	assert_non_null(page->out);
	return page->out;
}

static void expect(struct page *page, const char *expected)
{
	fclose(page->out);
	assert_string_equal(page->text, expected);
	free(page->text);
}

static void list(void **state)
{
	static const char *const rows[] = {host_row, web, crashed, off};
	struct page page;
	FILE *out = begin(&page);

	format_list_head(out, false, false, false);
	for (size_t i = 0; i < 4; i++) {
		json_t *guest = json_of(rows[i]);

		format_list_row(out, guest, false, false, false);
		json_decref(guest);
	}
	expect(&page,
		"Name                                        ID   Mem VCPUs\tState\tTime(s)\n"
		"Domain-0                                     0  7937     4     r-----    1234.6\n"
		"vm02.my.flat                                 7   256     2     -b----       3.4\n"
		"a-name-of-just-forty-one-letters-so-it-is 65534  1024   128     ---sc-   99999.9\n"
		"kept                                         -   128     1     ------       0.0\n");
}

/* What it asks for, and what it has now; the host; one of which hardly anything is said. */
static void list_long(void **state)
{
	json_t *rows = json_pack("[o, o, o]", json_of(host_row), json_of(web), json_of(off));
	json_t *config = json_of(
		"{'name': 'vm02.my.flat', 'uuid': '0f3a4b5c-1111-2222-3333-444455556666', 'type': 'hvm',"
		" 'memory_kib': 524288, 'vcpus': 2, 'maxvcpus': 4, 'cpu_weight': 512, 'cap': 50,"
		" 'kernel': '/boot/vmlinuz', 'ramdisk': '/boot/initrd.img', 'cmdline': 'root=/dev/xvda2',"
		" 'boot': 'cd', 'disks': [{'target': '/d', 'vdev': 'xvda2', 'writable': true,"
		" 'hint': 'phy'}, {'format': 'empty', 'vdev': 'hdc', 'cdrom': true, 'discard': false}],"
		" 'vifs': [{'mac': '00:16:3e:01:02:03', 'bridge': 'xenbr0', 'vifname': 'web0',"
		" 'rate': 1000000, 'type': 'ioemu'}, {}],"
		" 'on_reboot': 'rename-restart', 'on_crash': 'coredump-destroy', 'kept': {'vnc': 1}}");
	static const char expected[] =
		"[{'domid': 0, 'config': {"
		"'c_info': {'type': 'pv', 'name': 'Domain-0',"
		" 'uuid': '00000000-0000-0000-0000-000000000000', 'run_hotplug_scripts': 'True'},"
		" 'b_info': {'max_vcpus': 4, 'avail_vcpus': [0, 1, 2, 3], 'max_memkb': 8127488,"
		" 'target_memkb': 8127488, 'sched_params': {}, 'type.pv': {}}}},"
		" {'domid': 7, 'config': {"
		"'c_info': {'type': 'hvm', 'name': 'vm02.my.flat',"
		" 'uuid': '0f3a4b5c-1111-2222-3333-444455556666', 'run_hotplug_scripts': 'True'},"
		" 'b_info': {'max_vcpus': 4, 'avail_vcpus': [0, 1], 'max_memkb': 524288,"
		" 'target_memkb': 262144, 'sched_params': {'weight': 512, 'cap': 50},"
		" 'kernel': '/boot/vmlinuz', 'cmdline': 'root=/dev/xvda2',"
		" 'ramdisk': '/boot/initrd.img', 'type.hvm': {'boot': 'cd'}},"
		" 'disks': [{'pdev_path': '/d', 'vdev': 'xvda2', 'backend': 'phy', 'format': 'raw',"
		" 'readwrite': 1}, {'vdev': 'hdc', 'backend': 'qdisk', 'format': 'empty',"
		" 'removable': 1, 'readwrite': 0, 'is_cdrom': 1, 'discard_enable': 'False'}],"
		" 'nics': [{'devid': 0, 'mac': '00:16:3e:01:02:03', 'bridge': 'xenbr0',"
		" 'ifname': 'web0', 'nictype': 'vif_ioemu', 'rate_bytes_per_interval': 50000,"
		" 'rate_interval_usecs': 50000}, {'devid': 1, 'nictype': 'vif'}],"
		" 'on_reboot': 'restart_rename', 'on_crash': 'coredump_destroy',"
		" 'on_soft_reset': 'soft_reset'}},"
		" {'domid': null, 'config': {"
		"'c_info': {'type': 'pv', 'name': 'kept', 'run_hotplug_scripts': 'True'},"
		" 'b_info': {'max_vcpus': 1, 'avail_vcpus': [0], 'max_memkb': 131072,"
		" 'target_memkb': 131072, 'sched_params': {}, 'type.pv': {}},"
		" 'disks': [], 'nics': [], 'on_reboot': 'restart', 'on_soft_reset': 'soft_reset'}}]";
	json_t *shown;
	char *text;

	json_object_set_new(json_array_get(rows, 1), "memory_target", json_integer(262144));
	json_object_set_new(json_array_get(rows, 1), "config", config);
	json_object_set_new(json_array_get(rows, 2), "config", json_of("{'name': 'kept'}"));
	shown = format_xl_list(rows);
	text = json_dumps(shown, JSON_PRESERVE_ORDER);
	for (char *c = text; *c; c++)
		if (*c == '"')
			*c = '\'';
	assert_string_equal(text, expected);
	free(text);
	json_decref(shown);
	json_decref(rows);
}

static void list_more(void **state)
{
	struct page page;
	FILE *out = begin(&page);
	json_t *guest = json_of(web), *dead = json_of(crashed);

	format_list_head(out, true, false, false);
	format_list_row(out, guest, true, false, false);
	format_list_row(out, dead, true, false, false);
	format_list_head(out, false, true, false);
	format_list_row(out, guest, false, true, false);
	expect(&page,
		"Name                                        ID   Mem VCPUs\tState\tTime(s)"
		"   UUID                            Reason-Code\tSecurity Label\n"
		"vm02.my.flat                                 7   256     2     -b----       3.4 "
		"0f3a4b5c-1111-2222-3333-444455556666        -                -\n"
		"a-name-of-just-forty-one-letters-so-it-is 65534  1024   128     ---sc-   99999.9 "
		"0f3a4b5c-1111-2222-3333-444455556667        3                -\n"
		"Name                                        ID   Mem VCPUs\tState\tTime(s)"
		" NODE Affinity\n"
		"vm02.my.flat                                 7   256     2     -b----       3.4 all\n");
	json_decref(guest);
	json_decref(dead);
}

static void vm_list(void **state)
{
	struct page page;
	FILE *out = begin(&page);
	json_t *host = json_of(host_row), *guest = json_of(web);

	format_vm_list_head(out);
	format_vm_list_row(out, host);
	format_vm_list_row(out, guest);
	expect(&page,
		"UUID                                  ID    name\n"
		"00000000-0000-0000-0000-000000000000  0    Domain-0                      \n"
		"0f3a4b5c-1111-2222-3333-444455556666  7    vm02.my.flat                  \n");
	json_decref(host);
	json_decref(guest);
}

static void vcpu_list(void **state)
{
	struct page page;
	FILE *out = begin(&page);
	json_t *host = json_of(host_row), *guest = json_of(web);

	format_vcpu_list_head(out);
	format_vcpu_list_rows(out, host);
	format_vcpu_list_rows(out, guest);
	expect(&page,
		"Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)\n"
		"Domain-0                             0     0    0   r--     617.3  all / all\n"
		"Domain-0                             0     1    1   -b-     617.3  all / all\n"
		"vm02.my.flat                         7     0    3   -b-       3.4  0-3,5 / none\n"
		"vm02.my.flat                         7     1    -   --p       0.0  1 / all\n");
	json_decref(host);
	json_decref(guest);
}

static void network_list(void **state)
{
	struct page page;
	FILE *out = begin(&page);
	json_t *guest = json_of(web);

	format_network_list_head(out);
	format_network_list_rows(out, guest);
	expect(&page,
		"Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       \n"
		"0   0  00:16:3e:01:02:03     0     4     -1    -1/-1          /local/domain/0/backend/vif/7/0\n"
		"1   0  00:16:3e:0a:0b:0c     1     4     -1    -1/-1          /local/domain/0/backend/vif/7/1\n");
	json_decref(guest);
}

static void block_list(void **state)
{
	struct page page;
	FILE *out = begin(&page);
	json_t *guest = json_of(web);

	format_block_list_head(out);
	format_block_list_rows(out, guest);
	expect(&page,
		"Vdev  BE  handle state evt-ch ring-ref BE-path                       \n"
		"51714 0   7      4     -1     -1       /local/domain/0/backend/vbd/7/51714\n"
		"5632  0   7      4     -1     -1       /local/domain/0/backend/vbd/7/5632\n");
	json_decref(guest);
}

static void sched_credit(void **state)
{
	struct page page;
	FILE *out = begin(&page);
	json_t *host = json_of(host_row), *guest = json_of(web);

	format_sched_pool(out, false);
	format_sched_pool(out, true);
	format_sched_head(out);
	format_sched_row(out, host);
	format_sched_row(out, guest);
	expect(&page,
		"Cpupool Pool-0: tslice=30ms ratelimit=1000us migration-delay=0us\n"
		"Cpupool Pool-0: ratelimit=1000us\n"
		"Name                                ID Weight  Cap\n"
		"Domain-0                             0    256    0\n"
		"vm02.my.flat                         7    512   50\n");
	json_decref(host);
	json_decref(guest);
}

static void uptime(void **state)
{
	const struct tm now = {.tm_hour = 9, .tm_min = 5, .tm_sec = 7};
	struct page page;
	FILE *out = begin(&page);
	json_t *host = json_of(host_row), *guest = json_of(web);

	format_uptime_head(out);
	format_uptime_row(out, host);
	format_uptime_row(out, guest);
	format_uptime_short(out, host, &now);
	json_object_set_new(guest, "uptime", json_integer(86400 + 61));
	format_uptime_short(out, guest, &now);
	format_uptime_row(out, guest);
	expect(&page,
		"Name                                ID Uptime\n"
		"Domain-0                             0 2 days,  3:05:06\n"
		"vm02.my.flat                         7 23:59:59\n"
		" 09:05:07 up 2 days,  3:05, Domain-0 (0)\n"
		" 09:05:07 up 1 day,  0:01, vm02.my.flat (7)\n"
		"vm02.my.flat                         7 1 day,  0:01:01\n");
	json_decref(host);
	json_decref(guest);
}

static const char host_facts[] =
	"{'host': 'sirius', 'release': '6.1.0-18-amd64', 'version': '#1 SMP', 'machine': 'x86_64',"
	" 'nr_cpus': 4, 'max_cpu_id': 7, 'nr_nodes': 1, 'cores_per_socket': 2,"
	" 'threads_per_core': 2, 'cpu_mhz': 2400.06,"
	" 'hw_caps': '178bf3ff:76da320b:2e500800:244037ff:0000000f:219c91a9:00400004:00000500',"
	" 'virt_caps': '', 'total_memory': 8388608, 'free_memory': 1049599,"
	" 'dach_version': '0.1.0', 'cgroup': 'v1', 'walls': ['namespaces'], 'engines': ["
	"  {'name': 'translate', 'available': true, 'reason': ''},"
	"  {'name': 'kvm', 'available': false, 'reason': 'no /dev/kvm'}]}";

static void info(void **state)
{
	struct page page;
	FILE *out = begin(&page);
	json_t *host = json_of(host_facts);

	format_info(out, host, NULL);
	expect(&page,
		"host                   : sirius\n"
		"release                : 6.1.0-18-amd64\n"
		"version                : #1 SMP\n"
		"machine                : x86_64\n"
		"nr_cpus                : 4\n"
		"max_cpu_id             : 7\n"
		"nr_nodes               : 1\n"
		"cores_per_socket       : 2\n"
		"threads_per_core       : 2\n"
		"cpu_mhz                : 2400.060\n"
		"hw_caps                : "
		"178bf3ff:76da320b:2e500800:244037ff:0000000f:219c91a9:00400004:00000500\n"
		"virt_caps              :\n"
		"total_memory           : 8192\n"
		"free_memory            : 1024\n"
		"sharing_freed_memory   : 0\n"
		"sharing_used_memory    : 0\n"
		"outstanding_claims     : 0\n"
		"free_cpus              : 0\n"
		"xen_major              : 4\n"
		"xen_minor              : 17\n"
		"xen_extra              : -dach-0.1.0\n"
		"xen_version            : 4.17-dach-0.1.0\n"
		"xen_caps               : xen-3.0-x86_64\n"
		"xen_scheduler          : credit\n"
		"xen_pagesize           : 4096\n"
		"platform_params        : virt_start=0xffff800000000000\n"
		"xen_changeset          : \n"
		"xen_commandline        : \n"
		"cc_compiler            : \n"
		"cc_compile_by          : \n"
		"cc_compile_domain      : \n"
		"cc_compile_date        : \n"
		"build_id               : \n"
		"xend_config_format     : 4\n"
		"dach_version           : 0.1.0\n"
		"engines                : translate\n"
		"cgroup                 : v1\n"
		"walls                  : namespaces (not: landlock)\n");
	out = begin(&page);
	format_info(out, host, "total_memory");
	format_info(out, host, "nr_");
	format_info(out, host, "virt_caps");
	expect(&page, "8192\n4\n1\n");
	json_object_set_new(host, "virt_caps", json_string("hvm hvm_directio"));
	out = begin(&page);
	format_info(out, host, "virt_caps");
	expect(&page, "hvm hvm_directio\n");
	out = begin(&page);
	format_info_numa(out, host);
	expect(&page,
		"cpu_topology           :\n"
		"cpu:    core    socket     node\n"
		"  0:       0        0        0\n"
		"  1:       0        0        0\n"
		"  2:       1        0        0\n"
		"  3:       1        0        0\n"
		"device topology        :\n"
		"device           node\n"
		"No device topology data available\n"
		"numa_info              :\n"
		"node:    memsize    memfree    distances\n"
		"   0:      8192       1024      10\n");
	json_decref(host);
}

static void top(void **state)
{
	struct page page;
	FILE *out = begin(&page);
	json_t *host = json_of(host_row), *guest = json_of(web);
	const struct format_top_row rows[] = {{host, 101.25, 8388608}, {guest, 0.5, 8388608}};

	format_top_head(out);
	format_top_row(out, &rows[0]);
	format_top_row(out, &rows[1]);
	expect(&page,
		"      NAME  STATE   CPU(sec) CPU(%)     MEM(k) MEM(%)  MAXMEM(k) MAXMEM(%) VCPUS NETS "
		"NETTX(k) NETRX(k) VBDS   VBD_OO   VBD_RD   VBD_WR  VBD_RSECT  VBD_WSECT SSID\n"
		"  Domain-0 -----r       1234  101.2    8127488   96.9   no limit       n/a     4    0 "
		"       0        0    0        0        0        0          0          0    0\n"
		"vm02.my.flat --b---          3    0.5     262144    3.1     524288       6.2     2    2 "
		"      10        4    2        0       12        3         12          2    0\n");
	json_decref(host);
	json_decref(guest);
}

/* What is of another type than it should be is printed as nothing, not followed. */
static void nonsense(void **state)
{
	static const char *const bad[] = {"{}", "[]", "7", "null",
		"{'name': 7, 'domid': 'x', 'flags': 'r', 'memory': [], 'vcpus': {}, 'vcpu': 'x',"
		" 'networks': {'index': 1}, 'disks': [7, null], 'scheduler': 4, 'engines': [1],"
		" 'hw_caps': 1, 'uptime': -1, 'cpu_time': true}",
		"{'name': 'x', 'vcpu': [[]], 'networks': [{}], 'disks': [{}]}"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		json_t *json = json_of(bad[i]);
		const struct format_top_row row = {json, 0, 0};
		struct page page;
		FILE *out = begin(&page);

		format_list_row(out, json, true, true, false);
		format_vm_list_row(out, json);
		format_vcpu_list_rows(out, json);
		format_network_list_rows(out, json);
		format_block_list_rows(out, json);
		format_sched_row(out, json);
		format_uptime_row(out, json);
		format_info(out, json, NULL);
		format_top_row(out, &row);
		fclose(out);
		assert_true(page.size > 100);
		free(page.text);
		json_decref(json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list),
		cmocka_unit_test(list_long),
		cmocka_unit_test(list_more),
		cmocka_unit_test(vm_list),
		cmocka_unit_test(vcpu_list),
		cmocka_unit_test(network_list),
		cmocka_unit_test(block_list),
		cmocka_unit_test(sched_credit),
		cmocka_unit_test(uptime),
		cmocka_unit_test(info),
		cmocka_unit_test(top),
		cmocka_unit_test(nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
