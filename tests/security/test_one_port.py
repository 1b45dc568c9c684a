"""Who answers on the platform's port."""

import hashlib
import hmac
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pytest

from local import handover
from local.platform import assembly, credentials, deployment, lifecycle, ready, server
from local.platform.credentials import Credentials
from local.platform.errors import PlatformError
from local.platform.home import Home
from local.platform.progress import Silent
from local.platform.record import Server, recorded
from local.process_identity import ProcessIdentity
from tests.platform import LocalPlatform

PLAIN = Path(__file__).parents[1] / "unit" / "cli" / "plain_server.py"
# All that `up` does one after the other, each of which may be a while about it.
STAGES: list[tuple[Any, str]] = [
    (server, "claim"),
    (server, "start"),
    (server, "wait_ready"),
    (credentials, "load_made"),
    (deployment, "bootstrap"),
    (assembly, "make"),
    (deployment, "deploy"),
]


def with_administrator(home: Home, started: Server) -> Server:
    """As the real server, which has made its administrator before it answers."""
    made = Credentials("a", home.path.name)
    home.write_secret(home.credentials, json.dumps(asdict(made)))
    return started


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server that is up at once, and nothing to deploy to it."""
    start = server.start
    command = [sys.executable, str(PLAIN)]
    monkeypatch.setattr(
        server,
        "start",
        lambda home, port, **given: with_administrator(home, start(home, port, command, **given)),
    )
    monkeypatch.setattr(deployment, "bootstrap", lambda *given: None)
    monkeypatch.setattr(deployment, "deploy", lambda *given: None)
    monkeypatch.setattr(assembly, "make", lambda *given: tmp_path / "made")


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[tuple[Home, Home]]:
    made = Home(tmp_path / "first"), Home(tmp_path / "second")
    yield made
    for home in made:
        server.stop(home)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def files(home: Home) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (home.record, home.credentials)}


@pytest.mark.parametrize("stage", STAGES, ids=[name for _, name in STAGES])
@pytest.mark.holds("Of two homes that want one port, one gets it, however far apart they start.")
def test_a_second_home_is_told_that_the_port_is_taken_whatever_the_first_is_doing(
    stage: tuple[Any, str], homes: tuple[Home, Home], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = homes
    reached, go_on = threading.Event(), threading.Event()
    act: Callable[..., Any] = getattr(*stage)

    def held(*given: Any, **named: Any) -> Any:
        done = act(*given, **named)
        if threading.current_thread() is not threading.main_thread():
            reached.set()
            assert go_on.wait(60)
        return done

    monkeypatch.setattr(*stage, held)
    came: list[lifecycle.Platform] = []
    up = threading.Thread(target=lambda: came.append(lifecycle.up(first, port, Silent())))
    up.start()
    assert reached.wait(60)
    try:
        with pytest.raises(PlatformError, match=rf"Port {port} is taken by .*process \d+"):
            lifecycle.up(second, port, Silent())
    finally:
        go_on.set()
        up.join()
    assert not second.path.exists()
    assert came[0].credentials.secret_key == "first"
    assert server.running(first) == came[0].server


@pytest.mark.holds("A platform whose port was taken while it was down keeps all and harms nobody.")
def test_a_platform_that_finds_another_on_its_port_touches_neither(
    homes: tuple[Home, Home], port: int
) -> None:
    first, second = homes
    lifecycle.up(first, port, Silent())
    server.stop(first)
    lifecycle.up(second, port, Silent())
    before = files(first), files(second)
    with pytest.raises(PlatformError, match=f"Port {port} is taken"):
        lifecycle.up(first, None, Silent())
    assert (files(first), files(second)) == before
    assert server.running(second)
    server.stop(second)
    assert lifecycle.up(first, None, Silent()).credentials.secret_key == "first"


@pytest.mark.holds("A server of this home that nobody recorded is ended, not taken for another.")
def test_a_server_that_was_never_recorded_gives_its_port_back(
    homes: tuple[Home, Home], port: int
) -> None:
    lost = server.start(homes[0], port)
    homes[0].record.unlink()
    found = lifecycle.up(homes[0], port, Silent())
    assert found.server.pid != lost.pid
    assert lost.process is None


@pytest.mark.holds("A port is claimed by listening: no moment lies between looking and taking.")
def test_a_socket_that_is_bound_and_does_not_listen_yet_does_not_share_the_port() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        number = other.getsockname()[1]
        with server.claim(number), pytest.raises(OSError, match="in use"):
            other.listen()
        other.listen()
        with pytest.raises(PlatformError, match=f"Port {number} is taken by .*{os.getpid()}"):
            server.claim(number)


class Impostor(http.server.BaseHTTPRequestHandler):
    """Answers as its test says."""

    answer: Callable[[str, "Impostor"], None]

    def do_GET(self) -> None:
        type(self).answer(self.path, self)

    def say(self, status: int, text: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        return


def proof_of_another_port(path: str, impostor: Impostor) -> None:
    """What the real server on another port would say, asked in the name of who asks."""
    challenge = path.partition("challenge=")[2]
    impostor.say(200, json.dumps({"ready": True, "proof": handover.proof("known", 1, challenge)}))


ANSWERS: dict[str, Callable[[str, Impostor], None]] = {
    "ready": lambda path, impostor: impostor.say(200, '{"ready": true, "pid": 1}'),
    "no proof": lambda path, impostor: impostor.say(200, '{"ready": true, "proof": ""}'),
    "a list": lambda path, impostor: impostor.say(200, "[[[["),
    "a redirection": lambda path, impostor: impostor.say(302, "", Location="http://127.0.0.1:1/"),
    "a page": lambda path, impostor: impostor.say(404, "<html>"),
    "the proof of another port": proof_of_another_port,
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("alive", [True, False], ids=["alive", "dead"])
@pytest.mark.holds(
    "Who answers on the port without proof of being the server is named, and not used."
)
def test_an_answer_of_another_process_is_not_taken_for_the_servers(
    answer: str, alive: bool, tmp_path: Path
) -> None:
    handler = type("Answering", (Impostor,), {"answer": staticmethod(ANSWERS[answer])})
    impostor = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=impostor.serve_forever, daemon=True).start()
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    started = ProcessIdentity.of(sleeper.pid)
    found = Server(
        started.pid, started.started, impostor.server_port, boot=started.boot, secret="known"
    )
    if not alive:
        sleeper.kill()
        sleeper.wait()
    try:
        with pytest.raises(PlatformError) as caught:
            server.wait_ready(found, Home(tmp_path))
    finally:
        sleeper.kill()
        sleeper.wait()
        impostor.shutdown()
        impostor.server_close()
    assert ("is taken by" in caught.value.why) == alive
    assert ("It ended before it answered" in caught.value.why) == (not alive)


@pytest.mark.holds("The server proves itself without giving away what it proves itself with.")
def test_the_real_server_proves_itself_and_keeps_its_secret(platform: LocalPlatform) -> None:
    found = recorded(Home(platform.home))
    assert found
    assert len(found.secret) >= 32
    # A busy server may let a question time out.
    while (answer := ready.ask(found)) is ready.Answer.SILENT:
        time.sleep(0.1)
    assert answer is ready.Answer.READY
    said = [
        urllib.request.urlopen(f"{found.url}/_smp/ready{query}").read().decode()
        for query in ("", "?challenge=1", "?challenge=2")
    ]
    assert len({json.loads(text)["proof"] for text in said}) == 3
    assert not any(found.secret in text for text in said)
    command = " ".join(cast(Any, found.process).cmdline())
    inherited = cast(Any, found.process).environ()
    assert found.secret not in command
    assert found.secret not in inherited.values()


@pytest.mark.holds("To a record without a secret, nothing is a proof.")
def test_no_answer_proves_anything_without_a_secret() -> None:
    anybodys = hmac.new(b"", b"smp-ready:1:challenge", hashlib.sha256).hexdigest()
    assert handover.proof("", 1, "challenge") == ""
    for given in (anybodys, "", None, 1, "\ud800"):
        assert not handover.proves(given, "", 1, "challenge")
    assert not handover.proves("\ud800", "known", 1, "challenge")
    assert handover.proves(handover.proof("known", 1, "c"), "known", 1, "c")
