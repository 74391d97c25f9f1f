/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer RATE SIZE: writes so many MB a second into SIZE MiB of memory, a page's words being numbers that follow from how often it has
 * been written, and looks at each page before it writes it again. Each second a line: MB written in it, the longest time in ms
 * between two looks at the clock, of which there is one each millisecond, and pages that were wrong.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WORDS 512u

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static uint64_t word(size_t page, uint32_t times, unsigned n)
{
	return times ? (page * 0x9e3779b97f4a7c15ull + times) * (n + 1) : 0;
}

int main(int argc, char **argv)
{
	const double rate = argc > 1 ? atof(argv[1]) : 50;
	const size_t pages = (size_t)(argc > 2 ? atoi(argv[2]) : 64) * 256;
	uint64_t(*memory)[WORDS] = calloc(pages, sizeof *memory);
	uint32_t *times = calloc(pages, sizeof *times);
	double last = now(), second = last, owed = 0, longest = 0;
	unsigned long wrong = 0, written = 0;

	for (size_t page = 0;;) {
		struct timespec ms = {0, 1000000};
		double at = now();

		if (at - last > longest)
			longest = at - last;
		owed += (at - last < 20 ? at - last : 20) * rate / 4.096;
		last = at;
		for (; owed >= 1; owed--, written++) {
			for (unsigned n = 0; n < WORDS; n++)
				if (memory[page][n] != word(page, times[page], n)) {
					wrong++;
					break;
				}
			times[page]++;
			for (unsigned n = 0; n < WORDS; n++)
				memory[page][n] = word(page, times[page], n);
			page = page + 1 < pages ? page + 1 : 0;
			if (written % 64 == 63 && now() - at > 1)
				break;
		}
		if (owed > 5000)
			owed = 5000;
		if (at - second >= 1000) {
			printf("WRITER %.0f MB %.1f ms %lu wrong\n",
				written * 4.096 / (at - second), longest, wrong);
			fflush(stdout);
			second = at;
			longest = 0;
			written = 0;
		}
		nanosleep(&ms, NULL);
	}
}
