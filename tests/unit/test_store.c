/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's store: what is kept, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/store.h"

static char folder[] = "/tmp/dach-store-XXXXXX", path[64];

static int set_up(void **state)
{
	strcpy(folder + sizeof folder - 7, "XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/dach.db", folder);
	return 0;
}

static int tear_down(void **state)
{
	char journal[80];

	snprintf(journal, sizeof journal, "%s-journal", path);
	unlink(journal);
	unlink(path);
	return rmdir(folder);
}

static struct store *open_store(void)
{
	struct store *store;
	struct error err = {0};

	if (store_open(path, &store, &err))
		fail_msg("%s", err.text);
	return store;
}

static struct record sample(const char *uuid, const char *name, unsigned domid)
{
	return (struct record){.uuid = uuid,
		.name = name,
		.config = "{}",
		.owner = 1000,
		.managed = true,
		.state = domid ? RECORD_RUNNING : RECORD_OFF,
		.domid = domid,
		.started = 12,
		.pid = 34,
		.boot = "b",
		.reason = "crash",
		.text = "why",
		.ended = 56};
}

struct seen {
	unsigned count;
	char names[128];
	struct record last;
};

static int see(void *ctx, const struct record *record)
{
	struct seen *seen = ctx;

	seen->count++;
	strcat(seen->names, record->name);
	seen->last = *record;
	seen->last.uuid = seen->last.name = seen->last.config = NULL;
	assert_string_equal(record->config, "{}");
	assert_string_equal(record->text, "why");
	return 0;
}

static void test_keeps(void **state)
{
	struct store *store = open_store();
	struct record one = sample("u1", "b", 0), two = sample("u2", "a", 7);
	struct seen seen = {0};

	assert_int_equal(store_save(store, &one, NULL), 0);
	assert_int_equal(store_save(store, &two, NULL), 0);
	two.name = "c";
	two.state = RECORD_SHUTDOWN;
	assert_int_equal(store_save(store, &two, NULL), 0);
	store_close(store);

	store = open_store();
	assert_int_equal(store_load(store, see, &seen, NULL), 0);
	assert_string_equal(seen.names, "bc");
	assert_int_equal(seen.last.domid, 7);
	assert_int_equal(seen.last.owner, 1000);
	assert_int_equal(seen.last.state, RECORD_SHUTDOWN);
	assert_int_equal(seen.last.pid, 34);
	assert_int_equal(store_delete(store, "u1", NULL), 0);
	memset(&seen, 0, sizeof seen);
	assert_int_equal(store_load(store, see, &seen, NULL), 0);
	assert_string_equal(seen.names, "c");
	store_close(store);
}

static void test_unique(void **state)
{
	struct store *store = open_store();
	struct record one = sample("u1", "a", 3), same_name = sample("u2", "a", 4),
		      same_domid = sample("u3", "c", 3), anothers = sample("u4", "a", 5);

	anothers.owner = 1001;
	assert_int_equal(store_save(store, &one, NULL), 0);
	assert_int_equal(store_save(store, &same_name, NULL), -EEXIST);
	assert_int_equal(store_save(store, &anothers, NULL), 0);
	assert_int_equal(store_save(store, &same_domid, NULL), -EEXIST);
	store_close(store);
}

static void test_domids(void **state)
{
	struct store *store = open_store();
	unsigned domid;

	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(store_take_domid(store, &domid, NULL), 0);
		assert_int_equal(domid, i);
	}
	assert_int_equal(store_begin(store, NULL), 0);
	assert_int_equal(store_take_domid(store, &domid, NULL), 0);
	assert_int_equal(domid, 4);
	store_rollback(store);
	assert_int_equal(store_next_domid(store), 4);
	store_close(store);
	store = open_store();
	assert_int_equal(store_take_domid(store, &domid, NULL), 0);
	assert_int_equal(domid, 4);
	store_close(store);
}

/* A process that dies inside a transaction leaves what was before. */
static void test_killed(void **state)
{
	struct store *store = open_store();
	struct record one = sample("u1", "a", 0), two = sample("u2", "b", 0);
	struct seen seen = {0};
	pid_t pid;

	assert_int_equal(store_save(store, &one, NULL), 0);
	store_close(store);
	pid = fork();
	if (!pid) {
		store = open_store();
		store_begin(store, NULL);
		store_save(store, &two, NULL);
		store_delete(store, "u1", NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	store = open_store();
	assert_int_equal(store_load(store, see, &seen, NULL), 0);
	assert_string_equal(seen.names, "a");
	store_close(store);
}

static void set_version(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static int64_t version_of(void)
{
	sqlite3_stmt *query;
	int64_t version;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &query, NULL),
		SQLITE_OK);
	assert_int_equal(sqlite3_step(query), SQLITE_ROW);
	version = sqlite3_column_int64(query, 0);
	sqlite3_finalize(query);
	sqlite3_close(db);
	return version;
}

static void refused(int code, const char *word)
{
	struct store *store;
	struct error err = {0};
	struct stat before, after;
	int r;

	assert_int_equal(stat(path, &before), 0);
	r = store_open(path, &store, &err);
	if (r != -code || !strstr(err.text, word) || !strstr(err.text, path))
		fail_msg("%d: %s", r, err.text);
	assert_null(store);
	/* Nothing was written. */
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_size, after.st_size);
}

/* One list of names for all users. */
static void test_older(void **state)
{
	struct record anothers = sample("u2", "a", 0);
	struct store *store;
	struct seen seen = {0};
	unsigned domid;

	set_version(
		"CREATE TABLE guests (uuid TEXT PRIMARY KEY NOT NULL, name TEXT UNIQUE NOT NULL,"
		" config TEXT NOT NULL, owner INTEGER NOT NULL, managed INTEGER NOT NULL,"
		" autostart INTEGER NOT NULL, state TEXT NOT NULL, domid INTEGER UNIQUE,"
		" started INTEGER NOT NULL, pid INTEGER NOT NULL, boot TEXT NOT NULL,"
		" reason TEXT NOT NULL, text TEXT NOT NULL, ended INTEGER NOT NULL)"
		" STRICT, WITHOUT ROWID;"
		"CREATE TABLE counter (domid INTEGER NOT NULL) STRICT;"
		"INSERT INTO counter VALUES (6);"
		"INSERT INTO guests VALUES"
		" ('u1','a','{}',1000,1,0,'running',5,12,34,'b','crash','why',56);"
		"PRAGMA application_id = 0x64616368; PRAGMA user_version = 1");
	store = open_store();
	anothers.owner = 1001;
	assert_int_equal(store_save(store, &anothers, NULL), 0);
	store_close(store);
	store = open_store();
	assert_int_equal(store_load(store, see, &seen, NULL), 0);
	assert_string_equal(seen.names, "aa");
	assert_int_equal(seen.last.owner, 1001);
	assert_int_equal(store_take_domid(store, &domid, NULL), 0);
	assert_int_equal(domid, 6);
	store_close(store);
}

static void holds(struct store *store, const char *uuid, const char *wanted)
{
	char *text;

	assert_int_equal(store_load_snapshots(store, uuid, &text, NULL), 0);
	if (wanted)
		assert_string_equal(text, wanted);
	else
		assert_null(text);
	free(text);
}

/* No snapshots. */
static void test_version_2(void **state)
{
	struct record one = sample("u1", "a", 0);
	struct store *store = open_store();
	struct seen seen = {0};

	assert_int_equal(store_save(store, &one, NULL), 0);
	store_close(store);
	set_version(
		"DROP TABLE snapshots; DROP TABLE networks; DROP TABLE peers; PRAGMA user_version = 2");
	store = open_store();
	assert_int_equal(store_load(store, see, &seen, NULL), 0);
	assert_string_equal(seen.names, "a");
	assert_int_equal(store_save_snapshots(store, "u1", "[1]", NULL), 0);
	store_close(store);
	assert_int_equal(version_of(), STORE_VERSION);
}

static int see_text(void *ctx, const char *name, const char *text)
{
	struct seen *seen = ctx;

	strcat(strcat(strcat(seen->names, name), "="), text);
	return 0;
}

/* And before that no networks. */
static void test_version_3(void **state)
{
	struct record one = sample("u1", "a", 0);
	struct store *store = open_store();
	struct seen seen = {0};

	assert_int_equal(store_save(store, &one, NULL), 0);
	store_close(store);
	set_version("DROP TABLE networks; DROP TABLE peers; PRAGMA user_version = 3");
	store = open_store();
	assert_int_equal(store_save_network(store, "lan", "{1}", NULL), 0);
	assert_int_equal(store_save_network(store, "dmz", "{2}", NULL), 0);
	assert_int_equal(store_save_network(store, "lan", "{3}", NULL), 0);
	assert_int_equal(store_save_network(store, "none", NULL, NULL), 0);
	store_close(store);
	assert_int_equal(version_of(), STORE_VERSION);
	store = open_store();
	assert_int_equal(store_load_networks(store, see_text, &seen, NULL), 0);
	assert_string_equal(seen.names, "dmz={2}lan={3}");
	assert_int_equal(store_save_network(store, "dmz", NULL, NULL), 0);
	seen.names[0] = 0;
	assert_int_equal(store_load_networks(store, see_text, &seen, NULL), 0);
	assert_string_equal(seen.names, "lan={3}");
	store_close(store);
}

/* Nor other hosts. */
static void test_version_4(void **state)
{
	struct store *store = open_store();
	struct seen seen = {0};

	assert_int_equal(store_save_network(store, "lan", "{1}", NULL), 0);
	store_close(store);
	set_version("DROP TABLE peers; PRAGMA user_version = 4");
	store = open_store();
	assert_int_equal(store_save_peer(store, "b", "{2}", NULL), 0);
	assert_int_equal(store_save_peer(store, "c", "{3}", NULL), 0);
	assert_int_equal(store_save_peer(store, "b", "{4}", NULL), 0);
	assert_int_equal(store_save_peer(store, "c", NULL, NULL), 0);
	store_close(store);
	assert_int_equal(version_of(), STORE_VERSION);
	store = open_store();
	assert_int_equal(store_load_peers(store, see_text, &seen, NULL), 0);
	assert_string_equal(seen.names, "b={4}");
	seen.names[0] = 0;
	assert_int_equal(store_load_networks(store, see_text, &seen, NULL), 0);
	assert_string_equal(seen.names, "lan={1}");
	store_close(store);
}

static void test_snapshots(void **state)
{
	struct record one = sample("u1", "a", 0), two = sample("u2", "b", 0);
	struct store *store = open_store();

	assert_int_equal(store_save(store, &one, NULL), 0);
	assert_int_equal(store_save(store, &two, NULL), 0);
	holds(store, "u1", NULL);
	assert_int_equal(store_save_snapshots(store, "u1", "[1]", NULL), 0);
	assert_int_equal(store_save_snapshots(store, "u1", "[1,2]", NULL), 0);
	assert_int_equal(store_save_snapshots(store, "u2", "[3]", NULL), 0);
	/* With the guest's own change in one. */
	assert_int_equal(store_begin(store, NULL), 0);
	assert_int_equal(store_save_snapshots(store, "u2", NULL, NULL), 0);
	store_rollback(store);
	store_close(store);
	store = open_store();
	holds(store, "u1", "[1,2]");
	holds(store, "u2", "[3]");
	assert_int_equal(store_delete(store, "u1", NULL), 0);
	assert_int_equal(store_save_snapshots(store, "u2", NULL, NULL), 0);
	holds(store, "u1", NULL);
	holds(store, "u2", NULL);
	store_close(store);
}

static void test_newer(void **state)
{
	store_close(open_store());
	set_version("PRAGMA user_version = 99");
	refused(EPROTO, "newer");
}

static void test_foreign(void **state)
{
	set_version("CREATE TABLE something (x)");
	refused(EUCLEAN, "not a store");
}

static void damage(off_t at, const char *with)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, with, strlen(with), at), strlen(with));
	close(fd);
}

static void test_damaged(void **state)
{
	store_close(open_store());
	damage(0, "no database at all");
	refused(EUCLEAN, "damaged");
}

static void test_damaged_inside(void **state)
{
	store_close(open_store());
	damage(4096, "\377\377\377\377\377\377\377\377\377\377\377\377");
	refused(EUCLEAN, "damaged");
}

static void test_no_folder(void **state)
{
	struct store *store;
	struct error err = {0};

	assert_true(store_open("/nowhere/at/all/dach.db", &store, &err) < 0);
	assert_non_null(strstr(err.text, "/nowhere/at/all/dach.db"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_keeps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unique, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_domids, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_older, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_version_2, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_version_3, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_version_4, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_snapshots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_newer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_foreign, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged_inside, set_up, tear_down),
		cmocka_unit_test(test_no_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
