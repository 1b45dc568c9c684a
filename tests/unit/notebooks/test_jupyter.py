import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from notebook_instance import jupyter

MORNING, NOON = "2026-11-24T08:00:00.250000Z", "2026-11-24T12:00:00Z"


class _Jupyter(BaseHTTPRequestHandler):
    """Answers as Jupyter's API does, to those who have its token."""

    answers: dict[str, Any]

    def do_GET(self) -> None:
        if self.headers["Authorization"] != "token secret":
            self.send_error(403)
            return
        if self.path not in self.answers:
            self.send_error(404)
            return
        body = json.dumps(self.answers[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def running() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Jupyter)
    _Jupyter.answers = {
        "/api/kernels": [
            {"execution_state": "busy", "last_activity": MORNING},
            {"execution_state": "starting", "last_activity": MORNING},
            {"execution_state": "idle", "last_activity": NOON},
            {"execution_state": "dead", "last_activity": MORNING},
        ],
        "/api/terminals": [{"name": "1", "last_activity": MORNING}],
    }
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _say(home: Path, server: ThreadingHTTPServer, **changes: Any) -> None:
    runtime = home / ".local" / "share" / "jupyter" / "runtime"
    runtime.mkdir(parents=True, exist_ok=True)
    said = {
        "base_url": "/",
        "hostname": "elsewhere.example.com",
        "url": "http://elsewhere.example.com:8888/",
        "port": server.server_address[1],
        "secure": False,
        "token": "secret",
        "pid": os.getpid(),
    }
    (runtime / "jpserver-1.json").write_text(json.dumps({**said, **changes}))


def test_kernels_and_terminals_are_counted(tmp_path: Path, running: ThreadingHTTPServer) -> None:
    _say(tmp_path, running)
    found = jupyter.look(jupyter.servers(tmp_path))
    assert found.busy == 2
    assert found.last_kernel_activity == 1795521600
    assert found.terminal_activity == (1795507200.25,)


def test_a_server_without_terminals_is_no_fault(
    tmp_path: Path, running: ThreadingHTTPServer
) -> None:
    _say(tmp_path, running)
    del _Jupyter.answers["/api/terminals"]
    assert jupyter.look(jupyter.servers(tmp_path)).terminal_activity == ()


def test_a_server_below_a_path_is_found(tmp_path: Path, running: ThreadingHTTPServer) -> None:
    _say(tmp_path, running, base_url="/notebook/")
    (server,) = jupyter.servers(tmp_path)
    assert server.url.endswith("/notebook/")
    with pytest.raises(jupyter.Unanswered, match="404"):
        jupyter.look([server])


def test_no_other_machine_is_ever_asked(tmp_path: Path, running: ThreadingHTTPServer) -> None:
    _say(tmp_path, running)
    (server,) = jupyter.servers(tmp_path)
    assert server.url == f"http://localhost:{running.server_address[1]}/"


@pytest.mark.parametrize(
    "answer",
    [{"message": "Forbidden"}, [{"execution_state": "idle"}], [{}], "x", [{"last_activity": 7}]],
)
def test_another_answer_tells_nothing(
    tmp_path: Path, running: ThreadingHTTPServer, answer: Any
) -> None:
    _say(tmp_path, running)
    _Jupyter.answers["/api/kernels"] = answer
    with pytest.raises(jupyter.Unanswered):
        jupyter.look(jupyter.servers(tmp_path))


def test_a_refusal_tells_nothing(tmp_path: Path, running: ThreadingHTTPServer) -> None:
    _say(tmp_path, running, token="wrong")
    with pytest.raises(jupyter.Unanswered, match="403"):
        jupyter.look(jupyter.servers(tmp_path))


def test_a_server_that_has_ended_is_not_asked(tmp_path: Path, running: ThreadingHTTPServer) -> None:
    _say(tmp_path, running, pid=2**22 + 1)
    assert [server.url for server in jupyter.servers(tmp_path)] == [jupyter.ON_AWS]


def test_files_that_are_no_servers_are_left_alone(tmp_path: Path) -> None:
    runtime = tmp_path / ".local" / "share" / "jupyter" / "runtime"
    runtime.mkdir(parents=True)
    (runtime / "jpserver-1.json").write_text('{"port": ')
    (runtime / "jpserver-2.json").write_text("[]")
    (runtime / "jpserver-3.json").write_text('{"port": "x", "pid": 1}')
    assert [server.url for server in jupyter.servers(tmp_path)] == [jupyter.ON_AWS]
