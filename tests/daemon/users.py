# SPDX-License-Identifier: Apache-2.0
"""Users of a host, each a process of his own with a connection that stays, for tests about who may do
what (as root). And what the guests' monitors were really given."""
import contextlib
import http.client
import json
import os

from harness import Connection


class User:
    """Asks the daemon as that user; ask() returns the status and the answer."""
    def __init__(self, run, uid, gid):
        self.uid = uid
        ours, theirs = os.pipe(), os.pipe()
        self.child = os.fork()
        if not self.child:
            kept = {ours[0], theirs[1]}
            for fd in range(3, 1024):
                if fd not in kept:
                    with contextlib.suppress(OSError):
                        os.close(fd)
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            self.serve(run, os.fdopen(ours[0]), os.fdopen(theirs[1], "w"))
            os._exit(0)
        os.close(ours[0])
        os.close(theirs[1])
        self.to, self.back = os.fdopen(ours[1], "w"), os.fdopen(theirs[0])

    @staticmethod
    def serve(run, questions, answers):
        connection = Connection(run + "/dachd.sock", 30)
        for line in questions:
            method, path, body = json.loads(line)
            said = [0, {"error": "the daemon is gone"}]
            for _ in range(2):  # the connection may be one of the daemon before
                try:
                    connection.request(method, path, None if body is None else json.dumps(body))
                    answer = connection.getresponse()
                    said = [answer.status, json.loads(answer.read())]
                    break
                except (OSError, http.client.HTTPException):
                    connection.close()
            answers.write(json.dumps(said) + "\n")
            answers.flush()

    def ask(self, method, path, body=None):
        self.to.write(json.dumps([method, path, body]) + "\n")
        self.to.flush()
        return json.loads(self.back.readline())

    def close(self):
        self.to.close()
        self.back.close()
        os.waitpid(self.child, 0)


def launched(d):
    """By UUID, what each monitor that runs was started with (its descriptor 3), and its process."""
    found = {}
    for uuid, pid in d.monitors().items():
        with contextlib.suppress(OSError, ValueError):
            with open(f"/proc/{pid}/fd/3") as document:
                found[uuid] = {**json.load(document), "pid": pid}
    return found
