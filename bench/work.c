/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of work that a guest's slowness shows in, each for about a second on the host: prints
 * "name seconds result". The results are the same everywhere. One static program, so that host and
 * guests run the same code. Arguments choose names.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Registers only: a multiply-and-rotate chain. */
static uint64_t arithmetic(void)
{
	uint64_t x = 1;

	for (unsigned long n = 0; n < 400000000; n++) {
		x *= 0xda942042e4dd58b5ull;
		x = (x << 23 | x >> 41) + n;
	}
	return x;
}

/* Loads that depend on each other, over 8 MiB. */
static uint64_t list(void)
{
	enum { COUNT = 1 << 20 };
	uint64_t *next = malloc(COUNT * sizeof *next), at = 0;

	for (uint64_t i = 0; i < COUNT; i++)
		next[i] = (i * 0x9e3779b1u + 12345) % COUNT;
	for (unsigned long n = 0; n < 30000000; n++)
		at = next[at];
	free(next);
	return at;
}

/* Stores and loads at strides: marks multiples. */
static uint64_t marks(void)
{
	enum { LIMIT = 8 << 20 };
	uint8_t *mark = malloc(LIMIT);
	uint64_t left = 0;

	for (int round = 0; round < 8; round++) {
		memset(mark, 0, LIMIT);
		for (uint64_t i = 2; i * i < LIMIT; i++)
			for (uint64_t j = i * i; !mark[i] && j < LIMIT; j += i)
				mark[j] = 1;
	}
	for (uint64_t i = 2; i < LIMIT; i++)
		left += !mark[i];
	free(mark);
	return left;
}

/* Calls and returns: moves of a tower of disks. */
static __attribute__((noinline)) uint64_t tower(int disks, int from, int to)
{
	if (!disks)
		return from ^ to;
	return tower(disks - 1, from, 6 - from - to) + 1 + tower(disks - 1, 6 - from - to, to);
}

static uint64_t calls(void)
{
	return tower(26, 1, 3);
}

/* Indirect jumps: a small interpreter. */
static uint64_t dispatch(void)
{
	static const uint8_t program[] = {3, 1, 0, 2, 4, 1, 3, 2, 0, 4, 4, 1, 2, 3, 0, 1};
	static void *const step[] = {&&zero, &&one, &&two, &&three, &&four};
	uint64_t a = 7, b = 11;
	unsigned long n = 0;

next:
	if (n == 150000000)
		return a ^ b;
	goto *step[program[n++ % sizeof program]];
zero:
	a += b;
	goto next;
one:
	b ^= a >> 3;
	goto next;
two:
	a = a << 5 | a >> 59;
	goto next;
three:
	b += n;
	goto next;
four:
	a -= b << 1;
	goto next;
}

/* Vector arithmetic, as the compiler makes it. */
static uint64_t vectors(void)
{
	enum { SIZE = 4096 };
	static float a[SIZE], b[SIZE];
	float sum = 0;

	for (int i = 0; i < SIZE; i++)
		b[i] = 1.0f / (i + 1);
	for (int round = 0; round < 200000; round++)
		for (int i = 0; i < SIZE; i++)
			a[i] = a[i] * 0.5f + b[i];
	for (int i = 0; i < SIZE; i++)
		sum += a[i];
	return (uint64_t)(sum * 1000);
}

static uint64_t syscalls(void)
{
	uint64_t n = 0;

	for (int i = 0; i < 1500000; i++)
		n += syscall(SYS_getppid) >= 0;
	return n;
}

static uint64_t processes(void)
{
	uint64_t n = 0;

	for (int i = 0; i < 800; i++) {
		pid_t child = fork();

		if (!child)
			_exit(1);
		n += waitpid(child, NULL, 0) == child;
	}
	return n;
}

static uint64_t switches(void)
{
	int there[2], back[2];
	uint64_t n = 0;
	char c = 0;
	pid_t child;

	if (pipe(there) || pipe(back))
		return 0;
	child = fork();
	if (!child) {
		close(there[1]);
		while (read(there[0], &c, 1) == 1 && write(back[1], &c, 1) == 1)
			;
		_exit(0);
	}
	for (int i = 0; i < 60000; i++)
		n += write(there[1], &c, 1) == 1 && read(back[0], &c, 1) == 1;
	close(there[1]);
	waitpid(child, NULL, 0);
	return n;
}

static uint64_t faults(void)
{
	const size_t size = 32 << 20;
	uint64_t n = 0;

	for (int round = 0; round < 8; round++) {
		uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		madvise(p, size, MADV_NOHUGEPAGE);
		for (size_t at = 0; at < size; at += 4096, n++)
			p[at] = 1;
		munmap(p, size);
	}
	return n;
}

static const struct {
	const char *name;
	uint64_t (*run)(void);
} works[] = {
	{"arithmetic", arithmetic}, {"list", list}, {"marks", marks}, {"calls", calls},
	{"dispatch", dispatch}, {"vectors", vectors}, {"syscalls", syscalls},
	{"processes", processes}, {"switches", switches}, {"faults", faults},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof works / sizeof *works; i++) {
		int chosen = argc < 2;
		double start;
		uint64_t result;

		for (int k = 1; k < argc; k++)
			chosen |= !strcmp(argv[k], works[i].name);
		if (!chosen)
			continue;
		start = seconds();
		result = works[i].run();
		printf("%-10s %8.3f %llu\n", works[i].name, seconds() - start,
			(unsigned long long)result);
		fflush(stdout);
	}
	return 0;
}
