/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "share/message.h"
#include "share/server.h"

struct share_space {
	struct share_message message;
	uint64_t bytes[SHARE_BYTES_MAX / 8];
};

void share_serve(struct share_server *server, int socket)
{
	struct share_space *ask = malloc(sizeof *ask), *answer = malloc(sizeof *answer);

	while (ask && answer) {
		ssize_t n = recv(socket, ask, sizeof *ask, 0);
		size_t len;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < (ssize_t)sizeof ask->message || ask->message.room > sizeof answer->bytes ||
			(ask->message.room && ask->message.room < 16))
			break;
		len = share_server_answer(server, ask->bytes, (size_t)n - sizeof ask->message,
			answer->bytes, ask->message.room);
		if (!len)
			continue;
		answer->message = (struct share_message){.tag = ask->message.tag};
		do
			n = send(socket, answer, sizeof answer->message + len, MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			break;
	}
	free(ask);
	free(answer);
}
