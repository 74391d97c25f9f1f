/* SPDX-License-Identifier: Apache-2.0 */
/* Output to readers that are slow, do not read, or go away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "monitor/output.h"

#define MUCH (3u * OUTPUT_BUFFER)

static int pipe_fd[2];
static struct output_queue *output;
static uint8_t data[MUCH];
static char *text;
static size_t text_len;

static int setup(uint64_t patience)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < MUCH; i++)
		data[i] = "0123456789abcdef"[(i ^ i >> 9) % 16];
	return pipe2(pipe_fd, O_CLOEXEC) || output_create(pipe_fd[1], patience, &output, NULL) ||
		output_start(output, NULL);
}

/* A patience that is not over before the test is, however busy the host; and one that is over at once. */
static int setup_patient(void **state)
{
	return setup(600000000000ull);
}

static int setup_impatient(void **state)
{
	return setup(1000000);
}

/* What is read to the end; slowly at first. */
static void *read_rest(void *ctx)
{
	if (ctx)
		usleep(300000);
	assert_int_equal(io_read_file(pipe_fd[0], 2 * MUCH, &text, &text_len), 0);
	return NULL;
}

static void finish(bool patient)
{
	output_finish(output, patient, -1);
	close(pipe_fd[1]);
}

static void slow_reader_gets_all(void **state)
{
	pthread_t reader;

	pthread_create(&reader, NULL, read_rest, data);
	for (size_t at = 0; at < MUCH; at += 1000)
		output_write(output, data + at, MUCH - at < 1000 ? MUCH - at : 1000);
	finish(true);
	pthread_join(reader, NULL);
	assert_int_equal(text_len, MUCH);
	assert_memory_equal(text, data, MUCH);
	free(text);
	close(pipe_fd[0]);
}

/* The guest has waited once; what is lost is said in its place, and later output follows it. */
static void nobody_reads(void **state)
{
	unsigned long long lost = 0;
	char *line, *rest;
	pthread_t reader;

	output_write(output, data, MUCH);
	output_write(output, data, MUCH);
	output_write(output, data, MUCH);
	pthread_create(&reader, NULL, read_rest, NULL);
	finish(true);
	pthread_join(reader, NULL);
	line = strstr(text, "\r\n[dach: ");
	assert_non_null(line);
	assert_memory_equal(text, data, line - text);
	assert_int_equal(sscanf(line, "\r\n[dach: %llu bytes", &lost), 1);
	rest = strchr(line + 2, '\n') + 1;
	assert_int_equal(lost + (line - text) + (text + text_len - rest), 3 * MUCH);
	free(text);
	close(pipe_fd[0]);
}

/* Who does not wait for such a reader is soon through; the thread stays behind. */
static void nobody_reads_at_the_end(void **state)
{
	int cancel[2];

	output_write(output, data, 2 * 65536);
	output_finish(output, false, -1);
	assert_int_equal(output_create(pipe_fd[1], 1000000, &output, NULL), 0);
	assert_int_equal(output_start(output, NULL), 0);
	output_write(output, data, 2 * 65536);
	/* Nor does one who was patient until he was told. */
	assert_int_equal(pipe(cancel), 0);
	assert_int_equal(write(cancel[1], "", 1), 1);
	output_finish(output, true, cancel[0]);
	close(cancel[0]);
	close(cancel[1]);
	/* Both threads end with what they have, and free it. */
	assert_int_equal(io_read_all(pipe_fd[0], data, 4 * 65536), 4 * 65536);
	close(pipe_fd[1]);
	close(pipe_fd[0]);
}

static void reader_goes_away(void **state)
{
	close(pipe_fd[0]);
	for (unsigned i = 0; i < 20; i++)
		output_write(output, data, MUCH);
	finish(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(slow_reader_gets_all, setup_patient),
		cmocka_unit_test_setup(nobody_reads, setup_impatient),
		cmocka_unit_test_setup(nobody_reads_at_the_end, setup_impatient),
		cmocka_unit_test_setup(reader_goes_away, setup_impatient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
