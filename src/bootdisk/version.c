/* SPDX-License-Identifier: Apache-2.0 */
#include "bootdisk/version.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static bool is_part(char c)
{
	return isalnum((unsigned char)c) || c == '~' || c == '^';
}

static size_t length(const char *text, bool digits)
{
	size_t len = 0;

	while (digits ? isdigit((unsigned char)text[len]) : isalpha((unsigned char)text[len]))
		len++;
	return len;
}

/* Numbers without their zeros: the longer is the larger. */
static int compare_parts(const char **left, const char **right, bool digits)
{
	size_t a, b;
	int order;

	while (digits && **left == '0')
		++*left;
	while (digits && **right == '0')
		++*right;
	a = length(*left, digits);
	b = length(*right, digits);
	order = digits && a != b ? (a < b ? -1 : 1) : memcmp(*left, *right, a < b ? a : b);
	if (!order)
		order = a < b ? -1 : a > b;
	*left += a;
	*right += b;
	return order;
}

int version_compare(const char *left, const char *right)
{
	int order = 0;

	while (!order) {
		bool digits;

		while (*left && !is_part(*left))
			left++;
		while (*right && !is_part(*right))
			right++;
		if (*left == '~' || *right == '~') {
			if (*left != *right)
				return *left == '~' ? -1 : 1;
			left++;
			right++;
			continue;
		}
		if (*left == '^' || *right == '^') {
			if (!*left || !*right)
				return *left ? 1 : -1;
			if (*left != *right)
				return *left == '^' ? -1 : 1;
			left++;
			right++;
			continue;
		}
		if (!*left || !*right)
			return *left ? 1 : *right ? -1 : 0;
		digits = isdigit((unsigned char)*left);
		/* A number is newer than letters. */
		if (digits != !!isdigit((unsigned char)*right))
			return digits ? 1 : -1;
		order = compare_parts(&left, &right, digits);
	}
	return order;
}
