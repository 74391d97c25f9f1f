/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The application ID marks the file as ours: "dach". */
#define APPLICATION_ID 0x64616368
#define TEXT(x) #x
#define NUMBER_TEXT(x) TEXT(x)

struct store {
	sqlite3 *db;
	char *path;
	bool open; /* store_begin() was called */
	sqlite3_stmt *save, *delete, *take, *next;
	sqlite3_stmt *network_save, *network_delete, *peer_save, *peer_delete;
	sqlite3_stmt *snapshots_save, *snapshots_load, *snapshots_delete;
};

#define VERSION_PRAGMA "PRAGMA user_version = " NUMBER_TEXT(STORE_VERSION) ";"

/* Two users may give their guests the same name: version 1 had one list of names for all. */
static const char guests_table[] = "CREATE TABLE guests ("
				   " uuid TEXT PRIMARY KEY NOT NULL,"
				   " name TEXT NOT NULL,"
				   " config TEXT NOT NULL,"
				   " owner INTEGER NOT NULL,"
				   " managed INTEGER NOT NULL,"
				   " autostart INTEGER NOT NULL,"
				   " state TEXT NOT NULL,"
				   " domid INTEGER UNIQUE,"
				   " started INTEGER NOT NULL,"
				   " pid INTEGER NOT NULL,"
				   " boot TEXT NOT NULL,"
				   " reason TEXT NOT NULL,"
				   " text TEXT NOT NULL,"
				   " ended INTEGER NOT NULL,"
				   " UNIQUE (owner, name)) STRICT, WITHOUT ROWID;";

/* Version 2 knew no snapshots. */
#define SNAPSHOTS_TABLE                     \
	"CREATE TABLE snapshots ("          \
	" guest TEXT PRIMARY KEY NOT NULL," \
	" list TEXT NOT NULL) STRICT, WITHOUT ROWID;"

/* And version 3 no networks. */
#define NETWORKS_TABLE                     \
	"CREATE TABLE networks ("          \
	" name TEXT PRIMARY KEY NOT NULL," \
	" value TEXT NOT NULL) STRICT, WITHOUT ROWID;"

/* Nor version 4 other hosts. */
#define PEERS_TABLE                        \
	"CREATE TABLE peers ("             \
	" name TEXT PRIMARY KEY NOT NULL," \
	" value TEXT NOT NULL) STRICT, WITHOUT ROWID;"

static const char other_tables[] =
	"CREATE TABLE counter (domid INTEGER NOT NULL) STRICT;"
	"INSERT INTO counter VALUES (1);" SNAPSHOTS_TABLE NETWORKS_TABLE PEERS_TABLE
	"PRAGMA application_id = " NUMBER_TEXT(APPLICATION_ID);

static const char *const state_names[] = {"off", "starting", "running", "shutdown"};

const char *record_state_name(enum record_state state)
{
	return state_names[state];
}

/* What SQLite says, as an errno and a sentence for people. */
static int failed(struct store *store, int code, struct error *err)
{
	switch (code & 0xff) {
	case SQLITE_FULL:
		return error_set(err, ENOSPC, "%s: no space left on the disk; nothing was changed",
			store->path);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return error_set(err, EUCLEAN,
			"%s: damaged, or not a store of dachd; put a copy of it back, or move it away",
			store->path);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return error_set(err, EBUSY, "%s: another program has it open", store->path);
	case SQLITE_READONLY:
		return error_set(err, EROFS, "%s: cannot be written to", store->path);
	case SQLITE_CANTOPEN:
		return error_set(err, errno ? errno : EIO, "%s: cannot be opened: %s", store->path,
			errno ? strerror(errno) : sqlite3_errstr(code));
	case SQLITE_NOMEM:
		return error_set(err, ENOMEM, "%s: out of memory", store->path);
	case SQLITE_CONSTRAINT:
		return error_set(err, EEXIST, "%s: there is such a guest already", store->path);
	}
	return error_set(err, EIO, "%s: %s", store->path,
		store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(code));
}

static int execute(struct store *store, const char *sql, struct error *err)
{
	int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);

	return code ? failed(store, code, err) : 0;
}

static int prepare(struct store *store, const char *sql, sqlite3_stmt **out, struct error *err)
{
	int code = sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);

	return code ? failed(store, code, err) : 0;
}

static int number(struct store *store, const char *sql, int64_t *value, struct error *err)
{
	sqlite3_stmt *query;
	int code, r = prepare(store, sql, &query, err);

	if (r)
		return r;
	code = sqlite3_step(query);
	*value = code == SQLITE_ROW ? sqlite3_column_int64(query, 0) : 0;
	sqlite3_finalize(query);
	return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : failed(store, code, err);
}

/* What makes one of a version the next one's. */
static const char *const changes[STORE_VERSION] = {
	[1] = "INSERT INTO guests SELECT * FROM former; DROP TABLE former",
	[2] = SNAPSHOTS_TABLE,
	[3] = NETWORKS_TABLE,
	[4] = PEERS_TABLE,
};

static int change_from(struct store *store, int64_t version, struct error *err)
{
	int r = 0;

	if (version == 1) {
		r = execute(store, "ALTER TABLE guests RENAME TO former", err);
		if (!r)
			r = execute(store, guests_table, err);
	}
	return r ? r : execute(store, changes[version], err);
}

/* All of it or nothing: an empty file (0) becomes a store, or one of an older version this version's. */
static int make(struct store *store, int64_t version, struct error *err)
{
	int r = store_begin(store, err);

	if (!r && !version) {
		r = execute(store, guests_table, err);
		if (!r)
			r = execute(store, other_tables, err);
	}
	for (; !r && version && version < STORE_VERSION; version++)
		r = change_from(store, version, err);
	if (!r)
		r = execute(store, VERSION_PRAGMA, err);
	if (!r)
		return store_commit(store, err);
	store_rollback(store);
	return r;
}

/* Is it ours, whole, and of a version we know? */
static int check(struct store *store, struct error *err)
{
	int64_t id, version, objects;
	int r = number(store, "PRAGMA application_id", &id, err);

	if (!r)
		r = number(store, "PRAGMA user_version", &version, err);
	if (!r)
		r = number(store, "SELECT count(*) FROM sqlite_schema", &objects, err);
	if (r)
		return r;
	if (!id && !version && !objects)
		return make(store, 0, err);
	if (id != APPLICATION_ID)
		return failed(store, SQLITE_NOTADB, err);
	if (version > STORE_VERSION)
		return error_set(err, EPROTO,
			"%s: written by a newer dachd (version %lld, this one knows %d); use that one",
			store->path, (long long)version, STORE_VERSION);
	if (version >= 1 && version < STORE_VERSION)
		return make(store, version, err);
	return version == STORE_VERSION ? 0 : failed(store, SQLITE_NOTADB, err);
}

static int check_pages(struct store *store, struct error *err)
{
	sqlite3_stmt *query;
	const char *said;
	int code, r = prepare(store, "PRAGMA quick_check(1)", &query, err);

	if (r)
		return r;
	code = sqlite3_step(query);
	said = code == SQLITE_ROW ? (const char *)sqlite3_column_text(query, 0) : NULL;
	if (!said || strcmp(said, "ok"))
		r = failed(store, code == SQLITE_ROW ? SQLITE_CORRUPT : code, err);
	sqlite3_finalize(query);
	return r;
}

/* Of a table of texts by name. */
static int prepare_named(struct store *store, const char *table, sqlite3_stmt **save,
	sqlite3_stmt **delete, struct error *err)
{
	char sql[128];
	int r;

	snprintf(sql, sizeof sql,
		"INSERT INTO %s VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
		table);
	r = prepare(store, sql, save, err);
	if (r)
		return r;
	snprintf(sql, sizeof sql, "DELETE FROM %s WHERE name = ?1", table);
	return prepare(store, sql, delete, err);
}

static int prepare_all(struct store *store, struct error *err)
{
	int r = prepare(store,
		"INSERT INTO guests VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)"
		" ON CONFLICT (uuid) DO UPDATE SET name = ?2, config = ?3, owner = ?4,"
		" managed = ?5, autostart = ?6, state = ?7, domid = ?8, started = ?9, pid = ?10,"
		" boot = ?11, reason = ?12, text = ?13, ended = ?14",
		&store->save, err);

	if (!r)
		r = prepare(store, "DELETE FROM guests WHERE uuid = ?1", &store->delete, err);
	if (!r)
		r = prepare(store, "UPDATE counter SET domid = domid + 1 RETURNING domid - 1",
			&store->take, err);
	if (!r)
		r = prepare(store, "SELECT domid FROM counter", &store->next, err);
	if (!r)
		r = prepare(store,
			"INSERT INTO snapshots VALUES (?1, ?2)"
			" ON CONFLICT (guest) DO UPDATE SET list = ?2",
			&store->snapshots_save, err);
	if (!r)
		r = prepare(store, "SELECT list FROM snapshots WHERE guest = ?1",
			&store->snapshots_load, err);
	if (!r)
		r = prepare(store, "DELETE FROM snapshots WHERE guest = ?1",
			&store->snapshots_delete, err);
	if (!r)
		r = prepare_named(store, "networks", &store->network_save, &store->network_delete,
			err);
	if (!r)
		r = prepare_named(store, "peers", &store->peer_save, &store->peer_delete, err);
	return r;
}

int store_open(const char *path, struct store **out, struct error *err)
{
	struct store *store = calloc(1, sizeof *store);
	int code, r;

	*out = NULL;
	if (!store || !(store->path = strdup(path))) {
		free(store);
		return error_nomem(err);
	}
	errno = 0;
	code = sqlite3_open_v2(path, &store->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
			SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE,
		NULL);
	r = code ? failed(store, code, err) : 0;
	if (!r) {
		sqlite3_busy_timeout(store->db, 2000);
		sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	}
	/* Before the first look: what a killed daemon left in the log is then read without a shared index. */
	if (!r)
		r = execute(store,
			"PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -512;"
			"PRAGMA temp_store = MEMORY",
			err);
	if (!r)
		r = check(store, err);
	if (!r)
		r = check_pages(store, err);
	/*
	 * A commit is one flush of the log instead of five of journal and file, while everybody waits. The log is
	 * short: on a disk without space it is written anew from its beginning.
	 */
	if (!r)
		r = execute(store,
			"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
			"PRAGMA wal_autocheckpoint = 32",
			err);
	if (!r)
		r = prepare_all(store, err);
	if (r) {
		store_close(store);
		return r;
	}
	*out = store;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	store_rollback(store);
	sqlite3_finalize(store->save);
	sqlite3_finalize(store->delete);
	sqlite3_finalize(store->take);
	sqlite3_finalize(store->next);
	sqlite3_finalize(store->snapshots_save);
	sqlite3_finalize(store->snapshots_load);
	sqlite3_finalize(store->snapshots_delete);
	sqlite3_finalize(store->network_save);
	sqlite3_finalize(store->network_delete);
	sqlite3_finalize(store->peer_save);
	sqlite3_finalize(store->peer_delete);
	sqlite3_close(store->db);
	free(store->path);
	free(store);
}

int store_begin(struct store *store, struct error *err)
{
	int r = execute(store, "BEGIN IMMEDIATE", err);

	store->open = !r;
	return r;
}

int store_commit(struct store *store, struct error *err)
{
	int r = execute(store, "COMMIT", err);

	if (r)
		store_rollback(store);
	store->open = false;
	return r;
}

void store_rollback(struct store *store)
{
	/* After some failures SQLite has done it already. */
	if (store->open && !sqlite3_get_autocommit(store->db))
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	store->open = false;
}

/* Runs a statement that gives nothing, or one number. */
static int run(struct store *store, sqlite3_stmt *statement, int64_t *value, struct error *err)
{
	int code = sqlite3_step(statement), r = 0;

	if (code == SQLITE_ROW) {
		if (value)
			*value = sqlite3_column_int64(statement, 0);
		code = sqlite3_step(statement);
	}
	if (code != SQLITE_DONE)
		r = failed(store, code, err);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return r;
}

void store_relax(struct store *store, bool relaxed)
{
	/* A log that is not flushed is still read by whoever comes next on this host. */
	sqlite3_exec(store->db,
		relaxed ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL", NULL, NULL,
		NULL);
}

int store_save(struct store *store, const struct record *record, struct error *err)
{
	sqlite3_stmt *s = store->save;

	sqlite3_bind_text(s, 1, record->uuid, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 2, record->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 3, record->config, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 4, record->owner);
	sqlite3_bind_int(s, 5, record->managed);
	sqlite3_bind_int(s, 6, record->autostart);
	sqlite3_bind_text(s, 7, state_names[record->state], -1, SQLITE_STATIC);
	if (record->domid)
		sqlite3_bind_int64(s, 8, record->domid);
	sqlite3_bind_int64(s, 9, record->started);
	sqlite3_bind_int64(s, 10, record->pid);
	sqlite3_bind_text(s, 11, record->boot, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 12, record->reason, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 13, record->text, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 14, record->ended);
	return run(store, s, NULL, err);
}

static int delete_both(struct store *store, const char *uuid, struct error *err)
{
	int r = store_save_snapshots(store, uuid, NULL, err);

	sqlite3_bind_text(store->delete, 1, uuid, -1, SQLITE_STATIC);
	return r ? r : run(store, store->delete, NULL, err);
}

int store_delete(struct store *store, const char *uuid, struct error *err)
{
	int r;

	if (store->open)
		return delete_both(store, uuid, err);
	r = store_begin(store, err);
	if (r)
		return r;
	r = delete_both(store, uuid, err);
	if (!r)
		return store_commit(store, err);
	store_rollback(store);
	return r;
}

int store_save_snapshots(struct store *store, const char *uuid, const char *text, struct error *err)
{
	sqlite3_stmt *s = text ? store->snapshots_save : store->snapshots_delete;

	sqlite3_bind_text(s, 1, uuid, -1, SQLITE_STATIC);
	if (text)
		sqlite3_bind_text(s, 2, text, -1, SQLITE_STATIC);
	return run(store, s, NULL, err);
}

int store_load_snapshots(struct store *store, const char *uuid, char **text, struct error *err)
{
	sqlite3_stmt *query = store->snapshots_load;
	const unsigned char *list;
	int code, r = 0;

	*text = NULL;
	sqlite3_bind_text(query, 1, uuid, -1, SQLITE_STATIC);
	code = sqlite3_step(query);
	if (code == SQLITE_ROW) {
		list = sqlite3_column_text(query, 0);
		*text = list ? strdup((const char *)list) : NULL;
		if (!*text)
			r = error_nomem(err);
	} else if (code != SQLITE_DONE) {
		r = failed(store, code, err);
	}
	sqlite3_reset(query);
	sqlite3_clear_bindings(query);
	return r;
}

static int save_named(struct store *store, sqlite3_stmt *save, sqlite3_stmt *delete,
	const char *name, const char *text, struct error *err)
{
	sqlite3_stmt *s = text ? save : delete;

	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	if (text)
		sqlite3_bind_text(s, 2, text, -1, SQLITE_STATIC);
	return run(store, s, NULL, err);
}

static int load_named(struct store *store, const char *sql,
	int (*each)(void *ctx, const char *name, const char *text), void *ctx, struct error *err)
{
	sqlite3_stmt *query;
	int code = SQLITE_DONE;
	int r = prepare(store, sql, &query, err);

	if (r)
		return r;
	while (!r && (code = sqlite3_step(query)) == SQLITE_ROW)
		r = each(ctx, (const char *)sqlite3_column_text(query, 0),
			(const char *)sqlite3_column_text(query, 1));
	sqlite3_finalize(query);
	return r || code == SQLITE_DONE ? r : failed(store, code, err);
}

int store_save_network(struct store *store, const char *name, const char *text, struct error *err)
{
	return save_named(store, store->network_save, store->network_delete, name, text, err);
}

int store_load_networks(struct store *store,
	int (*each)(void *ctx, const char *name, const char *text), void *ctx, struct error *err)
{
	return load_named(store, "SELECT name, value FROM networks ORDER BY name", each, ctx, err);
}

int store_save_peer(struct store *store, const char *name, const char *text, struct error *err)
{
	return save_named(store, store->peer_save, store->peer_delete, name, text, err);
}

int store_load_peers(struct store *store,
	int (*each)(void *ctx, const char *name, const char *text), void *ctx, struct error *err)
{
	return load_named(store, "SELECT name, value FROM peers ORDER BY name", each, ctx, err);
}

int store_take_domid(struct store *store, unsigned *domid, struct error *err)
{
	int64_t value = 0;
	int r = run(store, store->take, &value, err);

	*domid = value;
	if (!r && (value < 1 || value > INT32_MAX))
		return error_set(err, ERANGE, "%s: no domain IDs are left", store->path);
	return r;
}

unsigned store_next_domid(struct store *store)
{
	int64_t value = 0;

	return run(store, store->next, &value, NULL) ? 0 : value;
}

static const char *text_of(sqlite3_stmt *query, int column)
{
	const char *text = (const char *)sqlite3_column_text(query, column);

	return text ? text : "";
}

static int read_record(struct store *store, sqlite3_stmt *query, struct record *record,
	struct error *err)
{
	const char *state = text_of(query, 6);
	unsigned i = 0;

	while (i < 4 && strcmp(state, state_names[i]))
		i++;
	if (i == 4)
		return failed(store, SQLITE_CORRUPT, err);
	*record = (struct record){
		.uuid = text_of(query, 0),
		.name = text_of(query, 1),
		.config = text_of(query, 2),
		.owner = sqlite3_column_int64(query, 3),
		.managed = sqlite3_column_int(query, 4),
		.autostart = sqlite3_column_int(query, 5),
		.state = i,
		.domid = sqlite3_column_int64(query, 7),
		.started = sqlite3_column_int64(query, 8),
		.pid = sqlite3_column_int64(query, 9),
		.boot = text_of(query, 10),
		.reason = text_of(query, 11),
		.text = text_of(query, 12),
		.ended = sqlite3_column_int64(query, 13),
	};
	return 0;
}

int store_load(struct store *store, int (*each)(void *ctx, const struct record *record), void *ctx,
	struct error *err)
{
	sqlite3_stmt *query;
	int code = SQLITE_ROW,
	    r = prepare(store, "SELECT * FROM guests ORDER BY name, owner", &query, err);

	if (r)
		return r;
	while (!r && (code = sqlite3_step(query)) == SQLITE_ROW) {
		struct record record;

		r = read_record(store, query, &record, err);
		if (!r)
			r = each(ctx, &record);
	}
	if (!r && code != SQLITE_DONE)
		r = failed(store, code, err);
	sqlite3_finalize(query);
	return r;
}
