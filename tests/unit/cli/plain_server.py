"""A server that answers /_smp/ready and has children of each kind that a platform can have."""

import argparse
import http.server
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import cast

from local import handover

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


class Handler(http.server.BaseHTTPRequestHandler):
    secret = ""

    kind = "ready"

    def do_POST(self) -> None:
        """An answer to AWS's clients that is no answer, or none."""
        if self.kind == "hangs-up":
            self.close_connection = True
            return
        self.do_GET()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        challenge = self.path.partition("challenge=")[2]
        if not challenge:
            self.wfile.write(b"<html>")
            return
        port = cast(http.server.HTTPServer, self.server).server_port
        document = {"ready": True, "proof": handover.proof(self.secret, port, challenge)}
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, format: str, *args: object) -> None:
        return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--credentials", type=Path)
    parser.add_argument("--kind", default="ready")
    parser.add_argument("--listener", type=int)
    parser.add_argument("--secret", type=int)
    given = parser.parse_args()
    (given.state / "kept").touch()
    taken = handover.Handover.taken(given.listener, given.secret)
    Handler.secret = taken.secret
    if given.kind == "dies":
        sys.exit("the plain server dies of a reason")
    if given.kind == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Handler.kind = given.kind
    if given.kind in ("parent", "deaf"):
        # One of its group, one that left the group, and one that kept nothing but the folder.
        subprocess.Popen(SLEEP)
        subprocess.Popen(SLEEP, start_new_session=True)
        subprocess.Popen(SLEEP, start_new_session=True, cwd=given.state, env={"PATH": os.defpath})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", given.port), Handler, bind_and_activate=False
    )
    server.socket.close()
    server.socket, server.server_port = taken.listener, given.port
    server.serve_forever()


if __name__ == "__main__":
    main()
