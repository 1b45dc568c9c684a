import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, NamedTuple

import pytest

from tests.unit.mocking import mocked_aws


class _CloudFormation(NamedTuple):
    url: str
    received: list[dict[str, Any]]


@pytest.fixture
def _cloudformation(monkeypatch: pytest.MonkeyPatch) -> Iterator[_CloudFormation]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            length = int(self.headers["Content-Length"])
            received.append(json.loads(self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with mocked_aws():
        yield _CloudFormation(f"http://127.0.0.1:{server.server_port}/", received)
    server.shutdown()
    server.server_close()


@pytest.fixture
def answers(_cloudformation: _CloudFormation) -> list[dict[str, Any]]:
    """What custom resources have told CloudFormation, with moto in the place of AWS."""
    return _cloudformation.received


@pytest.fixture
def answer_url(_cloudformation: _CloudFormation) -> str:
    """Where custom resources answer to."""
    return _cloudformation.url
