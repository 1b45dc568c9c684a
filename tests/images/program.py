"""What the tests' image runs: `train` and `serve`, doing what hyperparameters and variables say."""

import http.server
import json
import os
import signal
import socket
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

BASE = Path("/opt/ml")
SEEN = ("TRAINING_", "AWS_", "OWN")


def train(arguments: list[str]) -> int:
    config = {
        path.stem: json.loads(path.read_text()) for path in (BASE / "input/config").glob("*.json")
    }
    chosen = config["hyperparameters"]
    print(f"loss={chosen.get('loss', '0.5')}")
    if "patient" in chosen:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("ignoring SIGTERM")
        time.sleep(600)
    if "fail" in chosen:
        (BASE / "output/failure").write_text(chosen["fail"])
        return 3
    report: dict[str, Any] = {
        "arguments": arguments,
        "config": config,
        "environment": {k: v for k, v in os.environ.items() if k.startswith(SEEN)},
        "data": {
            str(path.relative_to(BASE / "input/data")): path.read_text()
            for path in (BASE / "input/data").rglob("*")
            if path.is_file()
        },
        "interfaces": [name for _, name in socket.if_nameindex()],
        "address": socket.gethostbyname(config["resourceconfig"]["current_host"]),
    }
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        with urllib.request.urlopen(f"{endpoint}/_smp/ready", timeout=10) as answer:
            report["platform"] = json.load(answer)["ready"]
    hosts = config["resourceconfig"]["hosts"]
    if len(hosts) > 1:
        report["heard"] = talk(config["resourceconfig"]["current_host"], hosts)
    name = config["resourceconfig"]["current_host"]
    (BASE / "model" / f"{name}.json").write_text(json.dumps(report))
    (BASE / "model" / f"{name}.json").chmod(0o600)
    (BASE / "output/data" / f"{name}.txt").write_text("done")
    return 0


def talk(me: str, hosts: list[str]) -> list[str]:
    """Send this host's name to every other, by name, and hear theirs."""
    heard = []
    with socket.create_server(("0.0.0.0", 7777)) as server:
        for other in hosts:
            if other != me:
                connect(other).sendall(me.encode())
        for _ in hosts[1:]:
            connection, _ = server.accept()
            heard.append(connection.recv(100).decode())
    return sorted(heard)


def connect(host: str) -> socket.socket:
    for _ in range(100):
        try:
            return socket.create_connection((host, 7777), timeout=5)
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{host} was not found")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            (BASE / "model" / "new").write_text("x")
            writable = True
        except OSError:
            writable = False
        files = {path.name: path.read_text() for path in (BASE / "model").iterdir()}
        environment = {k: v for k, v in os.environ.items() if k.startswith(SEEN)}
        answer = {
            "body": body.decode(),
            "model": files,
            "writable": writable,
            "environment": environment,
        }
        self.answer(json.dumps(answer).encode())

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body)


def serve() -> int:
    mode = os.environ.get("OWN_MODE", "")
    print(f"serving {mode}")
    if mode == "exit":
        return 7
    if mode == "silent":
        time.sleep(600)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
    return 0


sys.exit(serve() if sys.argv[1:] == ["serve"] else train(sys.argv[1:]))
