"""A container image for the tests: it does what its hyperparameters or its model tell it to."""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BASE = Path(os.environ["SAGEMAKER_BASE_DIR"])


def train() -> None:
    config = BASE / "input" / "config"
    asked = json.loads((config / "hyperparameters.json").read_text())
    host = json.loads((config / "resourceconfig.json").read_text())["current_host"]
    # What is meant for one host only begins with its name.
    asked |= {k.removeprefix(f"{host}."): v for k, v in asked.items() if k.startswith(f"{host}.")}
    (BASE / "model" / f"seen-{host}.json").write_text(
        json.dumps(
            {
                "configs": {p.name: json.loads(p.read_text()) for p in config.iterdir()},
                "files": {
                    str(p.relative_to(BASE / "input" / "data")): p.read_text()
                    for p in sorted((BASE / "input" / "data").rglob("*"))
                    if p.is_file()
                },
                "environment": dict(os.environ),
            }
        )
    )
    for pipe, size in json.loads(asked.get("pipes", "[]")):
        path = BASE / "input" / "data" / pipe
        with path.open("rb") as opened:
            (BASE / "model" / pipe).write_bytes(opened.read(size))
            beside = [p.name for p in path.parent.iterdir()]
        (BASE / "model" / f"{pipe}.beside").write_text(json.dumps(sorted(beside)))
    if "count" in asked:
        _count(BASE / "checkpoints", int(asked["count"]))
    for line in json.loads(asked.get("print", "[]")):
        print(line, flush=True)
    if "output" in asked:
        (BASE / "output" / "data" / "report.txt").write_text(asked["output"])
    if "failure" in asked:
        (BASE / "output" / "failure").write_text(asked["failure"])
    if "on_term" in asked:
        code = int(asked["on_term"])
        signal.signal(
            signal.SIGTERM,
            signal.SIG_IGN if code < 0 else lambda *_: os._exit(code),
        )
    (BASE / "model" / "weights").write_text(asked.get("weights", "1"))
    (BASE / "tmp" / "up").touch()
    while "after" in asked and not (BASE.parent / asked["after"] / "tmp" / "up").exists():
        time.sleep(0.01)
    if "sleep" in asked:
        print("sleeping", flush=True)
        time.sleep(float(asked["sleep"]))
    if "child" in asked and os.fork() == 0:
        time.sleep(60)
    if "signal" in asked:
        os.kill(os.getpid(), int(asked["signal"]))
    sys.exit(int(asked.get("exit", "0")))


def _count(checkpoints: Path, last: int) -> None:
    """Count on from the last checkpoint, and pause after the third number of a process."""
    found = [int(path.name) for path in checkpoints.iterdir()]
    first = max(found, default=0) + 1
    (BASE / "model" / "first").write_text(str(first))
    for number in range(first, last + 1):
        (checkpoints / str(number)).write_text(f"state {number}")
        if number == first + 2 and number < last:
            print(f"paused, loss={number}", flush=True)
            time.sleep(60)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._send(200 if not (BASE / "model" / "sick").exists() else 503, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = self.headers.get("X-Amzn-SageMaker-Custom-Attributes", "")
        if asked == "die":
            os._exit(3)
        if asked.startswith("sleep="):
            time.sleep(float(asked[6:]))
        if asked.startswith("status="):
            self._send(int(asked[7:]), b"so be it")
            return
        if asked.startswith("long="):
            self._send(200, b"x" * int(asked[5:]))
            return
        weights = (BASE / "model" / "weights").read_text()
        answer = {
            "weights": weights,
            "body": body.decode()[:100],
            "length": len(body),
            "pid": os.getpid(),
            "headers": {k.lower(): v for k, v in self.headers.items()},
            "environment": dict(os.environ),
        }
        self._send(200, json.dumps(answer).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def serve() -> None:
    print("serving", flush=True)
    if (BASE / "model" / "broken").exists():
        print("the model is broken\n", flush=True)
        sys.exit(7)
    if (BASE / "model" / "asleep").exists():
        print("asleep", flush=True)
        time.sleep(60)
    Server(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()


if __name__ == "__main__":
    {"train": train, "serve": serve}[sys.argv[1]]()
