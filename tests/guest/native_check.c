/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For native.sh, in a guest: a loop that computes, in one page with CPUID. It prints what CPUID says there, which is to
 * be the same wherever the loop runs; and changes the loop, which is then to compute something else at once, for
 * another thread too.
 */
#include <cpuid.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096u
#define ROUNDS 60u
#define TIMES 2000000u

/* Function 0 adds an immediate as often as it is told; function 1 is EBX of CPUID's leaf. */
static const uint8_t loop[] = {0x31, 0xc0, 0x05, 1, 0, 0, 0, 0xff, 0xcf, 0x75, 0xf7, 0xc3};
static const uint8_t cpuid[] = {0x53, 0x89, 0xf8, 0x31, 0xc9, 0x0f, 0xa2, 0x89, 0xd8, 0x5b, 0xc3};
static uint8_t *page;

#define LOOP_AT 1024u
#define IMMEDIATE_AT (LOOP_AT + 3u)
#define CPUID_AT 2048u

static uint32_t (*function(unsigned at))(uint32_t)
{
	uint32_t (*f)(uint32_t);
	uint8_t *to = page + at;

	memcpy(&f, &to, sizeof f);
	return f;
}

static void check(const char *what, unsigned round, uint32_t is, uint32_t was)
{
	if (is == was)
		return;
	printf("WRONG: %s in round %u: %#x, not %#x\n", what, round, is, was);
	exit(1);
}

/* Another thread's changes are seen by who serializes after it has heard of them. */
static uint32_t told, done;

static void *follow(void *ctx)
{
	for (unsigned n = 1; n <= ROUNDS; n++) {
		while (__atomic_load_n(&told, __ATOMIC_ACQUIRE) != n)
			function(LOOP_AT)(1000);
		function(CPUID_AT)(0);
		check("a thread's sum", n, function(LOOP_AT)(1000), 1000 * n);
		__atomic_store_n(&done, n, __ATOMIC_RELEASE);
	}
	return ctx;
}

int main(void)
{
	static const uint32_t leaf[] = {0, 0x40000000, 0x80000002, 7};
	uint32_t expected[4], a, b, c, d;
	pthread_t thread;

	/* what is before the page tells where its instructions begin */
	page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	if (page == MAP_FAILED)
		return 1;
	memset(page, 0x90, 2 * PAGE);
	page += PAGE;
	memcpy(page + LOOP_AT, loop, sizeof loop);
	memcpy(page + CPUID_AT, cpuid, sizeof cpuid);
	for (unsigned i = 0; i < 4; i++) {
		__cpuid_count(leaf[i], 0, a, b, c, d);
		expected[i] = b;
		printf("leaf %#x: %#x\n", leaf[i], b);
	}
	for (unsigned n = 1; n <= ROUNDS; n++) {
		page[IMMEDIATE_AT] = (uint8_t)n;
		check("the sum", n, function(LOOP_AT)(TIMES), TIMES * n);
		for (unsigned i = 0; i < 4; i++)
			check("CPUID", n, function(CPUID_AT)(leaf[i]), expected[i]);
		check("its byte", n, page[IMMEDIATE_AT], n);
	}
	if (pthread_create(&thread, NULL, follow, NULL))
		return 1;
	for (unsigned n = 1; n <= ROUNDS; n++) {
		page[IMMEDIATE_AT] = (uint8_t)n;
		__atomic_store_n(&told, n, __ATOMIC_RELEASE);
		while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) != n) {
		}
	}
	pthread_join(thread, NULL);
	printf("CHECKED\n");
	return 0;
}
