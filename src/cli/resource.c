/* SPDX-License-Identifier: Apache-2.0 */
/* Memory and processors. */
#include <stdio.h>
#include <string.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/format.h"

enum { DOMAIN = 1, WEIGHT, CAP, PARAMS, POOL, FORCE, UNCHANGEABLE };

static const struct option_spec vcpu_pin_options[] = {
	{"force", FORCE, NULL, "accepted for xl's sake"},
	{"f", FORCE, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec sched_credit_options[] = {
	{"domain", DOMAIN, "GUEST", "only this one"},
	{"d", DOMAIN, "GUEST", NULL},
	{"weight", WEIGHT, "N", "set its share: 256 is usual, 512 is twice that"},
	{"w", WEIGHT, "N", NULL},
	{"cap", CAP, "PERCENT", "set what it gets at most, of one processor; 0: no limit"},
	{"c", CAP, "PERCENT", NULL},
	{"schedparam", PARAMS, NULL, "the scheduler's own values only"},
	{"s", PARAMS, NULL, NULL},
	{"cpupool", POOL, "POOL", "there is one, Pool-0"},
	{"p", POOL, "POOL", NULL},
	{"tslice_ms", UNCHANGEABLE, "N", NULL},
	{"t", UNCHANGEABLE, "N", NULL},
	{"ratelimit_us", UNCHANGEABLE, "N", NULL},
	{"r", UNCHANGEABLE, "N", NULL},
	{"migration_delay_us", UNCHANGEABLE, "N", NULL},
	{"m", UNCHANGEABLE, "N", NULL},
	{NULL, 0, NULL, NULL},
};

/* In KiB. A bare number counts MiB; xl takes one letter behind it, of which b is a byte. */
static json_t *read_memory(const char *text)
{
	struct error err = {""};
	char number[32];
	size_t len = strlen(text);
	uint64_t unit = 1ull << 20, bytes;

	if (len >= sizeof number || !len)
		return NULL;
	strcpy(number, text);
	if (number[len - 1] == 'b' || number[len - 1] == 'B') {
		number[len - 1] = 0;
		unit = 1;
	}
	if (option_size("", number, unit, &bytes, &err) || (unit == 1 && number[len - 2] > '9') ||
		bytes >> 62)
		return NULL;
	return json_integer((json_int_t)(bytes >> 10));
}

static const struct cli_argument memory_arguments[] = {{"memory", read_memory}, {.key = NULL}};

static int vcpu_list(struct cli *cli)
{
	json_t *list, *guest, *rows = json_array();
	int status;
	size_t i;

	if (!cli_words(cli)) {
		json_decref(rows);
		return cli->status;
	}
	status = call_guests(cli, &list);
	if (!status && !cli->words_count) {
		json_array_append(rows, json_object_get(list, "domain0"));
		json_array_extend(rows, json_object_get(list, "guests"));
	}
	for (i = 0; !status && i < cli->words_count; i++) {
		const char *ref = cli->words[i];

		if (!strcmp(ref, "0") || !strcmp(ref, "Domain-0"))
			guest = json_incref(json_object_get(list, "domain0"));
		else
			status = call_guest(cli, "GET", ref, "", NULL, &guest);
		if (!status)
			json_array_append_new(rows, guest);
	}
	if (!status && cli->json) {
		call_print(rows);
	} else if (!status) {
		format_vcpu_list_head(stdout);
		json_array_foreach(rows, i,
			guest) if (json_is_integer(json_object_get(guest, "domid")))
			format_vcpu_list_rows(stdout, guest);
	}
	json_decref(list);
	json_decref(rows);
	return status;
}

static int vcpu_pin(struct cli *cli)
{
	const char *hard, *soft, *vcpu;
	struct error err = {""};
	char suffix[64];
	uint64_t number;
	json_t *body;
	int id;

	while ((id = cli_option(cli)) > 0)
		;
	if (id == CLI_END)
		return cli->status;
	vcpu = cli->words[1];
	hard = cli->words[2];
	soft = cli->words_count > 3 ? cli->words[3] : "-";
	if (strcmp(vcpu, "all") && option_number("", vcpu, 0, 4095, &number, &err)) {
		fprintf(stderr, "Error: Invalid argument %s as VCPU.\n", vcpu);
		return CLI_FAILURE;
	}
	snprintf(suffix, sizeof suffix, "/vcpus/%.16s/affinity", vcpu);
	body = json_object();
	if (strcmp(hard, "-"))
		json_object_set_new(body, "cpus", json_string(hard));
	if (strcmp(soft, "-"))
		json_object_set_new(body, "soft", json_string(soft));
	return call_act(cli, "PUT", cli->words[0], suffix, body);
}

static int show_shares(struct cli *cli, const char *ref, bool credit2)
{
	json_t *list = NULL, *guest = NULL;
	int status;
	size_t i;

	if (ref && strcmp(ref, "0") && strcmp(ref, "Domain-0"))
		status = call_guest(cli, "GET", ref, "", NULL, &guest);
	else
		status = call_guests(cli, &list);
	if (status)
		return status;
	if (cli->json) {
		call_print(guest ? json_object_get(guest, "scheduler") : list);
	} else if (guest) {
		format_sched_head(stdout);
		format_sched_row(stdout, guest);
	} else {
		if (!ref)
			format_sched_pool(stdout, credit2);
		format_sched_head(stdout);
		format_sched_row(stdout, json_object_get(list, "domain0"));
		json_array_foreach(json_object_get(list, "guests"), i,
			guest) if (!ref && json_is_integer(json_object_get(guest, "domid")))
			format_sched_row(stdout, guest);
		guest = NULL;
	}
	json_decref(guest);
	json_decref(list);
	return 0;
}

static int add_number(struct cli *cli, json_t *body, const char *key, uint64_t min)
{
	struct error err = {""};
	uint64_t number;

	if (option_number(key, cli->value, min, 65535, &number, &err))
		return cli_fail(cli, &err);
	json_object_set_new(body, key, json_integer(number));
	return 0;
}

static int sched_credit(struct cli *cli)
{
	static const char *const shares[] = {"cap", "cpu_weight", NULL};
	const bool credit2 = !strcmp(cli->verb->name, "sched-credit2");
	const char *ref = NULL;
	json_t *body = json_object();
	bool params = false;
	int id, status = 0;

	while (!status && (id = cli_option(cli)) > 0) {
		if (id == DOMAIN)
			ref = cli->value;
		else if (id == WEIGHT)
			status = add_number(cli, body, "weight", 1);
		else if (id == CAP)
			status = add_number(cli, body, "cap", 0);
		else if (id == PARAMS)
			params = true;
		else if (id == POOL && strcmp(cli->value, "Pool-0") && strcmp(cli->value, "0"))
			status = cli_say(cli, "unknown cpupool '%s'", cli->value);
		else if (id == UNCHANGEABLE)
			status = cli_say(cli, "the host's own scheduler has no such value to set");
	}
	if (!status && id == CLI_END)
		status = cli->status;
	else if (!status && !ref && json_object_size(body))
		status = cli_say(cli, "Must specify a domain.");
	else if (!status && params)
		format_sched_pool(stdout, credit2);
	else if (!status && json_object_size(body))
		return call_act_warn(cli, "PUT", ref, "/scheduler", body, shares);
	else if (!status)
		status = show_shares(cli, ref, credit2);
	json_decref(body);
	return status;
}

const struct cli_verb cli_resource_verbs[] = {
	{"mem-set", "GUEST SIZE", "Set the memory a guest has now (MiB, or with b, k, m, g, t)", 2,
		2, .method = "PUT", .path = "/memory", .arguments = memory_arguments,
		.wrong = "invalid memory size: %s\n"},
	{"mem-max", "GUEST SIZE",
		"Set the memory a guest can have at most (MiB, or with b, k, m, g, t)", 2, 2,
		.method = "PUT", .path = "/memory-max", .arguments = memory_arguments,
		.wrong = "invalid memory size: %s\n"},
	{"vcpu-list", "[GUEST]...", "Show guests' virtual processors", 0, CLI_WORDS_MAX,
		.run = vcpu_list},
	{"vcpu-pin", "GUEST VCPU|all HARD|all|- [SOFT|all|-]",
		"Say on which processors a virtual one may run", 3, 4, .options = vcpu_pin_options,
		.run = vcpu_pin},
	{"sched-credit", "", "Show or set guests' shares of the processors", 0, 0,
		.options = sched_credit_options, .run = sched_credit},
	{"sched-credit2", "", "The same, as newer scripts call it", 0, 0,
		.options = sched_credit_options, .run = sched_credit},
	{.name = NULL},
};
