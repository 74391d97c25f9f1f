/* SPDX-License-Identifier: Apache-2.0 */
/* The paths of doc/openapi.json: which operation each is, and what of it stands in the path. */
#ifndef DACH_API_HTTP_ROUTE_H
#define DACH_API_HTTP_ROUTE_H

#include <stdbool.h>

#include "daemon/operation.h"

struct exchange;

/*
 * {ref} in a path is the guest, {vcpu} one of its processors and {snapshot} one of its snapshots. {verb} is each verb of
 * protocol/request.h that is passed on to the guest's monitor as it is.
 */
struct route {
	const char *method, *path;
	const struct operation_kind *operation;
	int status;          /* of its answer */
	const char *upgrade; /* its answer is the change to this protocol; NULL: JSON */
	bool body;           /* needs one; with {verb} it depends on the verb: route_needs_body() */
	void (*open)(struct exchange *exchange,
		const char *ref); /* instead of an operation: no JSON comes of it */
};

struct route_values {
	char ref[256], vcpu[16], snapshot[128];
	enum request_verb verb;
};

/* Ends with an all-zero entry. */
extern const struct route routes[];

/*
 * The route, with what stands in the path in values. NULL: none, and *other tells whether the path is
 * there with another method.
 */
const struct route *route_find(const char *method, const char *path, struct route_values *values,
	bool *other);
bool route_needs_body(const struct route *route, enum request_verb verb);

#endif
