/* SPDX-License-Identifier: Apache-2.0 */
#include "container/calls.h"

/* The keeper is asked, and answers; commands' connections go to it; it is a child. */
void container_calls(void *ctx, struct calls *calls, unsigned roles)
{
	static const int list[] = {SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(wait4)};

	if (roles & CALLS_LOOP)
		CALLS_ALLOW(calls, list);
}
