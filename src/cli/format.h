/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of xl 4.17, byte for byte, out of what the API answers (doc/openapi.json). Functions of
 * their arguments alone: tests/unit/test_cli_format.c holds them to the letter. What is missing or
 * of another type in the JSON is printed as 0, "" or "-".
 */
#ifndef DACH_CLI_FORMAT_H
#define DACH_CLI_FORMAT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

/* What stands for the UUID of who has none. */
#define FORMAT_NO_UUID "00000000-0000-0000-0000-000000000000"

/* By what the caller reaches a guest: its name, or USER/NAME where others have one of that name. */
const char *format_name(const json_t *guest);

/* A row is for a guest or for domain0, and has six words; a guest that is off has - for an ID. */
void format_list_head(FILE *out, bool verbose, bool numa, bool kind);
void format_list_row(FILE *out, const json_t *guest, bool verbose, bool numa, bool kind);

/*
 * What list -l prints of such rows, and what create -n prints of a configuration (our JSON): in the
 * shape of xl's JSON, what has its default left out as there. guest: what it has now, or NULL. The
 * caller's to json_decref().
 */
json_t *format_xl_list(const json_t *rows);
json_t *format_xl_config(const json_t *config, const json_t *guest);

void format_vm_list_head(FILE *out);
void format_vm_list_row(FILE *out, const json_t *guest);

/* A row for each virtual processor. */
void format_vcpu_list_head(FILE *out);
void format_vcpu_list_rows(FILE *out, const json_t *guest);

void format_network_list_head(FILE *out);
void format_network_list_rows(FILE *out, const json_t *guest);

void format_block_list_head(FILE *out);
void format_block_list_rows(FILE *out, const json_t *guest);

/* Which of xl's two schedulers is imitated: credit has a longer line about the pool. */
void format_sched_pool(FILE *out, bool credit2);
void format_sched_head(FILE *out);
void format_sched_row(FILE *out, const json_t *guest);

/* now: for the short form, which begins with the time of day. */
void format_uptime_head(FILE *out);
void format_uptime_row(FILE *out, const json_t *guest);
void format_uptime_short(FILE *out, const json_t *guest, const struct tm *now);

/* only: a prefix that chooses lines, of which then the value alone is printed; NULL: all. */
void format_info(FILE *out, const json_t *host, const char *only);
void format_info_numa(FILE *out, const json_t *host);

/* One moment of top, in the columns of xentop -b. */
struct format_top_row {
	const json_t *guest;
	double cpu_percent;
	long long host_memory; /* KiB */
};
void format_top_head(FILE *out);
void format_top_row(FILE *out, const struct format_top_row *row);

#endif
