/* SPDX-License-Identifier: Apache-2.0 */
/* base/: whole reads and writes, threads and their locks, JSON, containers. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/container.h"
#include "base/descriptors.h"
#include "base/error.h"
#include "base/io.h"
#include "base/json.h"
#include "base/local_socket.h"
#include "base/spelling.h"
#include "base/team.h"
#include "base/loop.h"
#include "base/thread.h"

#define PIECE 1000u
#define PIECES 200u

/* --- io ------------------------------------------------------------------------------------- */

/* Writes in pieces to a pipe, with signals to whoever reads between them. */
struct writer {
	int fd;
	pthread_t reader;
};

static void no_action(int signal)
{
}

static void *write_pieces(void *ctx)
{
	struct writer *writer = ctx;
	uint8_t piece[PIECE];

	for (unsigned i = 0; i < PIECES; i++) {
		memset(piece, i, sizeof piece);
		assert_int_equal(io_write_all(writer->fd, piece, sizeof piece), 0);
		pthread_kill(writer->reader, SIGUSR1);
	}
	close(writer->fd);
	return NULL;
}

/* SIGUSR1 interrupts calls. */
static void let_signals_interrupt(void)
{
	struct sigaction action = {.sa_handler = no_action};

	sigaction(SIGUSR1, &action, NULL);
}

static void reads_are_whole_in_spite_of_signals_and_pieces(void **state)
{
	static uint8_t all[PIECES * PIECE + 100];
	struct writer writer = {.reader = pthread_self()};
	pthread_t thread;
	int pipe_fd[2];

	let_signals_interrupt();
	assert_int_equal(pipe(pipe_fd), 0);
	writer.fd = pipe_fd[1];
	assert_int_equal(thread_start(&thread, 0, write_pieces, &writer), 0);
	assert_int_equal(io_read_all(pipe_fd[0], all, 1500), 1500);
	/* What is there until the end, though more was asked for. */
	assert_int_equal(io_read_all(pipe_fd[0], all + 1500, sizeof all - 1500),
		PIECES * PIECE - 1500);
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < PIECES * PIECE; i++)
		assert_int_equal(all[i], (uint8_t)(i / PIECE));
	close(pipe_fd[0]);
}

static void a_file_without_a_size_is_read_whole(void **state)
{
	struct writer writer = {.reader = pthread_self()};
	pthread_t thread;
	int pipe_fd[2];
	size_t size;
	char *text;

	let_signals_interrupt();
	assert_int_equal(pipe(pipe_fd), 0);
	writer.fd = pipe_fd[1];
	assert_int_equal(thread_start(&thread, 0, write_pieces, &writer), 0);
	assert_int_equal(io_read_file(pipe_fd[0], 1 << 20, &text, &size), 0);
	pthread_join(thread, NULL);
	assert_int_equal(size, PIECES * PIECE);
	assert_int_equal((uint8_t)text[size - 1], (uint8_t)(PIECES - 1));
	assert_int_equal(text[size], 0);
	free(text);
	close(pipe_fd[0]);
}

static void a_file_of_just_the_limit_is_read_and_one_byte_more_is_not(void **state)
{
	const size_t sizes[] = {0, 1, 65535, 65536, 65537, 200000};
	char *text;
	size_t size;

	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		int fd = memfd_create("file", MFD_CLOEXEC);

		assert_int_equal(ftruncate(fd, sizes[i]), 0);
		assert_int_equal(io_read_file(fd, sizes[i], &text, &size), 0);
		assert_int_equal(size, sizes[i]);
		free(text);
		lseek(fd, 0, SEEK_SET);
		if (sizes[i]) {
			assert_int_equal(io_read_file(fd, sizes[i] - 1, &text, &size), -EFBIG);
			assert_null(text);
		}
		close(fd);
	}
	assert_int_equal(io_read_file(-1, 10, &text, &size), -EBADF);
	assert_null(text);
}

static void reads_and_writes_at_an_offset(void **state)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	char got[16];

	assert_int_equal(io_pwrite_all(fd, "12345678", 8, 5000000000u), 0);
	assert_int_equal(io_pread_all(fd, got, sizeof got, 5000000002u), 6);
	assert_memory_equal(got, "345678", 6);
	assert_int_equal(io_pread_all(fd, got, sizeof got, 6000000000u), 0);
	assert_int_equal(io_pread_all(-1, got, 1, 0), -EBADF);
	assert_int_equal(io_pwrite_all(-1, got, 1, 0), -EBADF);
	close(fd);
}

/* Empties a pipe slowly. */
static void *drain(void *ctx)
{
	const int *fd = ctx;
	char piece[4096];

	while (read(*fd, piece, sizeof piece) > 0)
		;
	return NULL;
}

static void a_descriptor_that_does_not_block_is_waited_for(void **state)
{
	static char much[1 << 20];
	pthread_t thread;
	int pipe_fd[2];

	assert_int_equal(pipe(pipe_fd), 0);
	fcntl(pipe_fd[1], F_SETFL, O_NONBLOCK);
	assert_int_equal(thread_start(&thread, 0, drain, &pipe_fd[0]), 0);
	assert_int_equal(io_write_all(pipe_fd[1], much, sizeof much), 0);
	close(pipe_fd[1]);
	pthread_join(thread, NULL);
	close(pipe_fd[0]);
}

/* --- threads -------------------------------------------------------------------------------- */

static void *blocked_signals(void *ctx)
{
	pthread_sigmask(SIG_SETMASK, NULL, ctx);
	return NULL;
}

static void a_thread_starts_with_all_signals_blocked_and_its_starter_keeps_his(void **state)
{
	sigset_t before, after, inside;
	pthread_t thread;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(thread_start(&thread, 64u << 10, blocked_signals, &inside), 0);
	pthread_join(thread, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	assert_true(sigismember(&inside, SIGTERM));
	assert_true(sigismember(&inside, SIGXFSZ));
	assert_false(sigismember(&after, SIGTERM));
	for (int signal = 1; signal < NSIG; signal++)
		assert_int_equal(sigismember(&before, signal), sigismember(&after, signal));
}

struct shared {
	struct mutex lock;
	pthread_cond_t changed;
	unsigned count GUARDED_BY(lock);
};

static void *count_up(void *ctx)
{
	struct shared *shared = ctx;

	for (unsigned i = 0; i < 1000; i++) {
		mutex_lock(&shared->lock);
		mutex_assert_held(&shared->lock);
		shared->count++;
		pthread_cond_signal(&shared->changed);
		mutex_unlock(&shared->lock);
	}
	return NULL;
}

static void a_lock_is_its_holders_also_after_a_wait(void **state)
{
	struct shared shared = {.count = 0};
	pthread_t thread[4];

	mutex_init(&shared.lock);
	pthread_cond_init(&shared.changed, NULL);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(thread_start(&thread[i], 0, count_up, &shared), 0);
	mutex_lock(&shared.lock);
	while (shared.count < 4000) {
		mutex_wait(&shared.lock, &shared.changed);
		mutex_assert_held(&shared.lock);
	}
	assert_int_equal(mutex_wait_until(&shared.lock, &shared.changed, clock_now() + 1000000),
		-ETIMEDOUT);
	mutex_assert_held(&shared.lock);
	mutex_unlock(&shared.lock);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	pthread_cond_destroy(&shared.changed);
	mutex_destroy(&shared.lock);
}

/* In a process of its own, with its complaint kept to itself. */
static bool dies_without_the_lock(struct mutex *mutex)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		mutex_assert_held(mutex);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void *ask_elsewhere(void *ctx)
{
	return dies_without_the_lock(ctx) ? ctx : NULL;
}

static void who_does_not_hold_a_lock_is_told(void **state)
{
	struct mutex mutex;
	pthread_t thread;
	void *died;

	mutex_init(&mutex);
	assert_true(dies_without_the_lock(&mutex));
	mutex_lock(&mutex);
	assert_false(dies_without_the_lock(&mutex));
	/* Somebody else's hold is not ours. */
	assert_int_equal(thread_start(&thread, 0, ask_elsewhere, &mutex), 0);
	pthread_join(thread, &died);
	assert_non_null(died);
	mutex_unlock(&mutex);
	assert_true(dies_without_the_lock(&mutex));
	mutex_destroy(&mutex);
}

/* --- the rest ------------------------------------------------------------------------------- */

static void json_is_parsed_with_a_sentence_and_looked_up(void **state)
{
	const char *text = "{\"n\": -7, \"x\": 1.5, \"t\": \"word\", \"b\": true}";
	json_t *json = json_parse(text, strlen(text), "file", NULL);
	struct error err = {""};

	assert_int_equal(json_get_number(json, "n"), -7);
	assert_true(json_get_float(json, "x") == 1.5);
	assert_true(json_get_float(json, "n") == -7);
	assert_string_equal(json_get_text(json, "t"), "word");
	assert_true(json_get_true(json, "b"));
	/* Not there, of another type, nothing at all. */
	assert_int_equal(json_get_number(json, "t"), 0);
	assert_string_equal(json_get_text(json, "n"), "");
	assert_string_equal(json_get_text(NULL, "n"), "");
	assert_false(json_get_true(json, "x"));
	json_decref(json);

	assert_null(json_parse("{\"a\": 1,\n\"a\": 2}", 17, "/etc/x", &err));
	assert_non_null(strstr(err.text, "/etc/x: line 2, column "));
}

static void what_is_no_socket_is_not_replaced_by_one(void **state)
{
	char folder[] = "/tmp/dach-test-XXXXXX", path[64], longer[200];
	struct error err = {0};
	struct stat st;
	int fd, second;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/socket", folder);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "kept", 4), 4);
	close(fd);
	assert_int_equal(local_socket_listen(path, 1, &err), -EADDRINUSE);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 4);
	unlink(path);

	fd = local_socket_listen(path, 1, &err);
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* Another's, who is there; and who is not any more. */
	assert_int_equal(local_socket_listen(path, 1, &err), -EADDRINUSE);
	close(fd);
	second = local_socket_listen(path, 1, &err);
	assert_true(second >= 0);
	close(second);
	unlink(path);
	rmdir(folder);
	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = 0;
	assert_int_equal(local_socket_listen(longer, 1, &err), -EINVAL);
	assert_int_equal(local_socket_listen("", 1, &err), -EINVAL);
}

static void a_member_leads_to_its_structure(void **state)
{
	struct holder {
		int first, second;
	} holder = {1, 2};

	assert_ptr_equal(container_of(&holder.second, struct holder, second), &holder);
	assert_ptr_equal(container_of(&holder.first, struct holder, first), &holder);
}

static void without_memory_there_is_a_sentence_unless_a_deeper_one_is_there(void **state)
{
	struct error err = {""};

	assert_int_equal(error_nomem(&err), -ENOMEM);
	assert_string_equal(err.text, "out of memory");
	assert_int_equal(error_nomem(NULL), -ENOMEM);
}

static void the_word_that_is_meant_is_the_nearest(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned far;
	} pairs[] = {{"", "", 0}, {"list", "list", 0}, {"lsit", "list", 1}, {"lis", "list", 1},
		{"lists", "list", 1}, {"lost", "list", 1}, {"", "abc", 3}, {"abc", "", 3},
		{"ca", "abc", 3}, {"shutdonw", "shutdown", 1}, {"crate", "create", 1}};
	static const char *const words[] = {"list", "log", "create", "destroy", "domid"};
	static const char *const meant[][2] = {{"lsit", "list"}, {"craete", "create"},
		{"detsory", "destroy"}, {"dimod", "domid"}, {"lo", "log"}, {"x", NULL},
		{"xy", NULL}, {"frobnicate", NULL}, {"", NULL}};
	char longer[64];

	for (unsigned n = 0; n < sizeof pairs / sizeof *pairs; n++)
		assert_int_equal(spelling_distance(pairs[n].a, strlen(pairs[n].a), pairs[n].b,
					 strlen(pairs[n].b)),
			pairs[n].far);
	memset(longer, 'a', sizeof longer);
	assert_int_equal(spelling_distance(longer, 30, longer, 30), 0);
	assert_int_equal(spelling_distance(longer, 31, longer, 31), 30);
	assert_int_equal(spelling_distance("", 0, longer, sizeof longer), 30);
	for (unsigned n = 0; n < sizeof meant / sizeof *meant; n++) {
		struct spelling spelling;

		spelling_begin(&spelling, meant[n][0], strlen(meant[n][0]));
		for (unsigned k = 0; k < sizeof words / sizeof *words; k++)
			spelling_offer(&spelling, words[k]);
		if (meant[n][1])
			assert_string_equal(spelling.found, meant[n][1]);
		else
			assert_null(spelling.found);
	}
}

struct shared_work {
	unsigned done[100]; /* how often */
	unsigned by[TEAM_MAX];
	unsigned busy[TEAM_MAX]; /* a member does one piece at a time */
};

static void do_piece(void *ctx, unsigned member, unsigned piece)
{
	struct shared_work *work = ctx;

	assert_true(member < TEAM_MAX && piece < 100);
	assert_int_equal(__atomic_fetch_add(&work->busy[member], 1, __ATOMIC_RELAXED), 0);
	work->done[piece]++; /* nobody else has this one */
	work->by[member]++;
	__atomic_fetch_sub(&work->busy[member], 1, __ATOMIC_RELAXED);
}

static void a_team_does_each_piece_once(void **state)
{
	struct shared_work work = {.by = {0}};
	struct team *team = team_make(do_piece, &work);
	unsigned all = 0;

	assert_non_null(team);
	for (unsigned list = 0; list < 300; list++) {
		const unsigned pieces = list % 101;

		memset(work.done, 0, sizeof work.done);
		team_run(team, pieces);
		for (unsigned i = 0; i < 100; i++)
			assert_int_equal(work.done[i], i < pieces);
		all += pieces;
	}
	for (unsigned i = 0; i < TEAM_MAX; i++)
		all -= work.by[i];
	assert_int_equal(all, 0);
	team_end(team);
	team_end(NULL);
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* As many as there is room for, and not one more, whatever the kernel's padding; none is left open. */
static void descriptors_go_over_a_socket(void **state)
{
	int ends[2], all[5] = {0, 1, 2, 0, 1}, fd[5] = {-1, -1, -1, -1, -1};
	const unsigned before = open_descriptors();

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(descriptors_receive(ends[1], fd, 4), -EAGAIN);
	assert_int_equal(descriptors_send(ends[0], all, 5), 0);
	assert_int_equal(descriptors_receive(ends[1], fd, 3), 3);
	assert_int_equal(fd[3], -1);
	for (unsigned i = 0; i < 3; i++)
		close(fd[i]);
	assert_int_equal(descriptors_send(ends[0], all, 0), 0);
	assert_int_equal(descriptors_receive(ends[1], fd, 3), 0);
	assert_int_equal(descriptors_send(ends[0], all, DESCRIPTORS_MAX + 1), -EINVAL);
	close(ends[0]);
	assert_int_equal(descriptors_receive(ends[1], fd, 3), -EPROTO);
	close(ends[1]);
	assert_int_equal(open_descriptors(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_are_whole_in_spite_of_signals_and_pieces),
		cmocka_unit_test(a_file_without_a_size_is_read_whole),
		cmocka_unit_test(a_file_of_just_the_limit_is_read_and_one_byte_more_is_not),
		cmocka_unit_test(reads_and_writes_at_an_offset),
		cmocka_unit_test(a_descriptor_that_does_not_block_is_waited_for),
		cmocka_unit_test(
			a_thread_starts_with_all_signals_blocked_and_its_starter_keeps_his),
		cmocka_unit_test(a_team_does_each_piece_once),
		cmocka_unit_test(a_lock_is_its_holders_also_after_a_wait),
		cmocka_unit_test(who_does_not_hold_a_lock_is_told),
		cmocka_unit_test(json_is_parsed_with_a_sentence_and_looked_up),
		cmocka_unit_test(the_word_that_is_meant_is_the_nearest),
		cmocka_unit_test(descriptors_go_over_a_socket),
		cmocka_unit_test(what_is_no_socket_is_not_replaced_by_one),
		cmocka_unit_test(a_member_leads_to_its_structure),
		cmocka_unit_test(without_memory_there_is_a_sentence_unless_a_deeper_one_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
