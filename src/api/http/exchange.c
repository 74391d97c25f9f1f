/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

int exchange_status(int r)
{
	switch (-r) {
	case EINVAL:
	case ENAMETOOLONG:
	case ERANGE:
	case E2BIG:
	case EDOM:
		return 400;
	case EACCES:
	case EPERM:
	case EDQUOT:
		return 403;
	case ENOENT: /* what it names is not there; the guest is: exchange_unknown() */
		return 422;
	case EEXIST:
	case EBUSY:
	case EALREADY:
	case ESRCH:
	case ENOTSUP:
	case ENOSYS:
		return 409;
	case EMSGSIZE:
		return 413;
	case ESHUTDOWN:
	case EPIPE:
	case ETIMEDOUT:
	case ECANCELED:
		return 503;
	}
	return 500;
}

void exchange_upload(struct exchange *exchange, const char *data, size_t size)
{
	char *more;

	/* What is too much is read and thrown away: the answer comes at the end. */
	if (exchange->upload_failed)
		return;
	if (exchange->uploaded + size > EXCHANGE_BODY_MAX) {
		exchange->upload_failed = EMSGSIZE;
		return;
	}
	more = realloc(exchange->upload, exchange->uploaded + size);
	if (!more) {
		exchange->upload_failed = ENOMEM;
		return;
	}
	memcpy(more + exchange->uploaded, data, size);
	exchange->upload = more;
	exchange->uploaded += size;
}

int exchange_body(struct exchange *exchange, json_t **body, struct error *err)
{
	*body = NULL;
	if (exchange->upload_failed == EMSGSIZE)
		return error_set(err, EMSGSIZE, "the request's body is longer than 1 MiB");
	if (exchange->upload_failed)
		return error_nomem(err);
	if (!exchange->uploaded)
		return 0;
	*body = json_parse(exchange->upload, exchange->uploaded, "the request's body", err);
	free(exchange->upload);
	exchange->upload = NULL;
	exchange->uploaded = 0;
	if (!*body)
		return -EINVAL;
	if (json_is_object(*body))
		return 0;
	json_decref(*body);
	*body = NULL;
	return error_set(err, EINVAL, "the request's body is not a JSON object");
}

void exchange_suspend(struct exchange *exchange)
{
	exchange->suspended = true;
	MHD_suspend_connection(exchange->connection);
}

void exchange_resume(struct exchange *exchange)
{
	if (!exchange->suspended)
		return;
	exchange->suspended = false;
	exchange->group->resumed = true;
	MHD_resume_connection(exchange->connection);
}

void exchange_answer(struct exchange *exchange, int status, json_t *value)
{
	if (exchange->answered) {
		json_decref(value);
		return;
	}
	exchange->answered = true;
	exchange->status = status;
	exchange->answer = value;
	if (!value && !exchange->relay && !exchange->streams) {
		exchange->status = 500;
		exchange->answer =
			json_pack("{s:s, s:i}", "error", "out of memory", "errno", ENOMEM);
	}
	exchange_resume(exchange);
}

void exchange_refuse_as(struct exchange *exchange, int status, int r, const char *text)
{
	exchange_answer(exchange, status,
		json_pack("{s:s, s:i}", "error", *text ? text : strerror(-r), "errno", -r));
}

void exchange_refuse(struct exchange *exchange, int r, const char *text)
{
	exchange_refuse_as(exchange, exchange_status(r), r, text);
}

void exchange_unknown(struct exchange *exchange, const char *text)
{
	exchange_refuse_as(exchange, 404, -ENOENT, text);
}
